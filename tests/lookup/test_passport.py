"""
Whom a task is for: what is signed is believed, for that task, and nothing else is.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cxsdk as cx
from cxsdk.lookup.passport import MAX_BYTES, Passport
from cxsdk.pipeline.customers import Customers
from cxsdk.scope import WireId

KEY = b"a secret of the team, long enough"
TASK, SENT = "t-1\nshop.notice", "01a2193c-7716-77e5-a4c3-439ad60f847a"
SERVED = {"customer": "kunde-1", "session": "s3cret", "consent": "granted", "purposes": ("ads",)}


def passport(key=KEY, environment="production"):
    """Return one under a key."""
    return Passport(key=key, environment=environment)


def issued(by=None, **scope):
    """Return what a scope gets."""
    with cx.scope(**(scope or SERVED)):
        return (by or passport()).issue(TASK, SENT)


def body(header):
    """Return what stands in it."""
    return json.loads(header.partition(".")[2])


def forged(header, **changes):
    """Return it with other members under the old signature."""
    return f"{header.partition('.')[0]}.{json.dumps({**body(header), **changes})}"


def test_what_is_signed_is_as_sure_as_the_sender_was():
    """The login of the sender, or what its scope said."""
    assert passport().read(TASK, issued()).scope.assurance == "authenticated"
    header = issued(customer="kunde-1", assurance="claimed")
    assert passport().read(TASK, header).scope.assurance == "claimed"
    header = issued(customer="kunde-1", assurance="verified")
    assert passport().read(TASK, header).scope.assurance == "verified"


@pytest.mark.parametrize(
    ("by", "task"),
    [
        (passport(), "t-2\nshop.notice"),
        (passport(), "t-1\nshop.refund"),
        (passport(b"another secret, long enough"), TASK),
        (passport(environment="staging"), TASK),
    ],
    ids=["another task", "another name", "another key", "another environment"],
)
def test_a_signature_holds_for_one_task_of_one_team(by, task):
    """Elsewhere it is a claim, and what it says of consent is not heard."""
    scope = by.read(task, issued()).scope
    assert scope.assurance == "claimed"
    assert (scope.consent, scope.purposes) == (None, None)


def test_another_customer_under_the_signature_is_a_claim():
    """Whoever changes a member has no signature."""
    other = Customers(KEY).resolve(("kunde-2", None, None, None)).block["id"]
    scope = passport().read(TASK, forged(issued(), sub=other)).scope
    assert (str(scope.who[0]), scope.assurance) == (other, "claimed")


def test_a_denial_is_heard_whoever_says_it():
    """It takes nothing from anybody but us."""
    assert passport().read(TASK, forged(issued(), con="denied")).scope.consent == "denied"


def test_without_a_key_ids_are_the_hosts_own_and_claimed():
    """There is nothing to sign with; consent is what the team's other service says."""
    header = issued(passport(None))
    scope = passport(None).read(TASK, header).scope
    assert header.startswith("-.")
    assert (scope.who[0], scope.assurance, scope.consent) == ("kunde-1", "claimed", "granted")


def test_a_raw_id_is_nobody_where_there_is_a_key():
    """Only a pseudonym is one."""
    scope = passport().read(TASK, issued(passport(None))).scope
    assert scope.who[0] is None


def test_the_customer_is_recognised_by_the_hosts_id():
    """The pseudonym stands for one id, as text or number, and for no pseudonym."""
    customer = passport().read(TASK, issued(customer=4711)).scope.who[0]
    assert customer.stands_for(4711)
    assert customer.stands_for("4711")
    assert not customer.stands_for("4712")
    assert not customer.stands_for(str(customer))
    assert not customer.stands_for("")
    assert not WireId(str(customer)).stands_for(4711)


def test_handed_on_it_is_the_same():
    """What a worker sends on is about the same customer in the same session."""
    first = issued()
    with passport().read(TASK, first).scope:
        second = passport().issue(TASK, SENT)
    assert body(second) == body(first) | {"as": "authenticated"}


def test_nobody_has_a_sent_id_only():
    """So that what is handed out again is known as such."""
    header = passport().issue(TASK, SENT)
    assert body(header) == {"sent": SENT}
    stamp = passport().read(TASK, header)
    assert stamp.sent == SENT
    assert stamp.scope.who == (None, None, None, None)


def test_what_is_too_much_is_left_out():
    """A header has room for 8,192 bytes; the task goes in any case."""
    header = issued(customer="kunde-1", purposes=tuple(f"p{n:030}" for n in range(400)))
    assert len(header) < MAX_BYTES
    assert body(header) == {"sent": SENT}


def test_a_wrong_id_is_refused_by_name():
    """As it would be in an event."""
    with pytest.raises(cx.InvalidEventError, match=r"customer\.id"):
        issued(passport(None), customer="anna@example.org")


@pytest.mark.parametrize(
    "changes",
    [
        {"cor": "line\nbreak", "loc": "not a locale!", "tz": "no zone", "pur": ["Ä b"]},
        {"cor": 7, "loc": [], "tz": {}, "pur": "ads", "con": "perhaps"},
        {"sid": "s-short", "sub": "x", "anon": "anna@example.org\n", "in": "7", "sent": "no"},
        {"pur": ["p"] * 51},
    ],
)
def test_what_events_would_refuse_is_not_taken(changes):
    """Else all events of a task would be refused for one bad member."""
    # Signed, so that it is the value that is judged.
    text = json.dumps({"con": "granted", **changes})
    header = f"{passport()._signature(TASK, text)}.{text}"
    stamp = passport().read(TASK, header)
    scope = stamp.scope
    assert (scope.correlation, scope.where, scope.last, stamp.sent) == (
        None,
        (None,) * 5,
        None,
        None,
    )
    assert scope.who == (None, None, None, None)
    assert not scope.purposes


@given(st.text() | st.none() | st.binary() | st.recursive(st.integers(), st.lists))
def test_whatever_comes_gives_a_scope(header):
    """Of nonsense one that says nothing."""
    assert passport().read(TASK, header).scope.who == (None, None, None, None)


@given(
    st.dictionaries(
        st.sampled_from(
            ["sub", "anon", "acc", "sid", "as", "con", "pur", "cor", "tz", "in", "sent"]
        ),
        st.text() | st.integers() | st.none() | st.lists(st.text()) | st.just("9" * 5000),
    )
)
def test_whatever_stands_in_it_gives_a_scope(members):
    """Members of any type and length are taken or left out; nothing is raised."""
    for key in (KEY, None):
        scope = passport(key).read(TASK, f"-.{json.dumps(members)}").scope
        assert scope.assurance in {None, "claimed"}


def test_deep_nesting_is_no_way_in():
    """A header that is deeper than the stack is nonsense."""
    assert passport().read(TASK, '-.{"sub":' + "[" * 8000 + "}").scope.who[0] is None
