"""
The consent table, family by state, and what a withdrawal does to what is not delivered yet.
"""

from __future__ import annotations

import pytest

import cxsdk as cx
from cxsdk.events import codec
from cxsdk.events.model import Event
from cxsdk.pipeline.customers import Customers
from cxsdk.testing import capture

FAMILIES = {
    "interaction": lambda: cx.record("a.b", attributes={"plan": "gold"}),
    "problem": lambda: cx.problem("slow", detail="words"),
    "commitment": lambda: cx.promise("callback", period="P1D"),
    "feedback": lambda: cx.feedback(csat=3),
    "reaction": lambda: cx.reaction("renew"),
    "declared": lambda: cx.reaction("renew", evidence="declared"),
    "consent": lambda: cx.consent("granted"),
    "erasure": lambda: cx.emit(_erasure()),
}
STATES = ("granted", "unknown", "denied")

KNOWN = {(family, state): True for family in FAMILIES for state in STATES}

OPT_IN = {"interaction", "problem", "commitment", "reaction"}
ANONYMOUS = {
    (family, state): state == "granted" or family not in OPT_IN
    for family in FAMILIES
    for state in STATES
}


def _erasure() -> Event:
    with capture() as events:
        cx.consent("unknown")
    [asked] = events
    return codec.from_wire(
        {
            **codec.to_wire(asked),
            "type": "dev.cxsdk.identity.erasure_requested.v1",
            "data": {"identity_id": "E-1", "customer": {"id": "u1"}, "op": "erasure_requested"},
        }
    )


@pytest.mark.parametrize(("cell", "captured"), KNOWN.items())
def test_known_customers(cell: tuple[str, str], captured: bool) -> None:
    """A known customer's events are captured under every state (basis: contract)."""
    _check({"customer": "u1"}, cell, captured)


@pytest.mark.parametrize(("cell", "captured"), ANONYMOUS.items())
def test_anonymous_customers(cell: tuple[str, str], captured: bool) -> None:
    """Anonymous usage and problems are opt-in; what a customer says is always taken."""
    _check({"session": "s1"}, cell, captured)


def _check(who: dict[str, str], cell: tuple[str, str], captured: bool) -> None:
    family, state = cell
    with capture() as events, cx.scope(**who, consent=state):
        result = FAMILIES[family]()

    assert captured == bool(result) == bool(events)
    if not captured:
        assert "consent" == result.reason


def test_denied_takes_attributes_and_words_away() -> None:
    """A denial leaves the bare fact: no attributes, no free text."""
    with capture() as events, cx.scope(customer="u1", consent="denied"):
        FAMILIES["interaction"]()
        FAMILIES["problem"]()
        with cx.interaction("c.d") as i:
            i.attributes["plan"] = "gold"

    record, problem, handled = (event.data for event in events)
    assert (None, None, None) == (record.ext, problem.detail, handled.ext)
    assert "denied" == handled.consent.state


def test_denied_leaves_the_customers_own_words_alone() -> None:
    """Feedback and declared reactions are kept whole; an observed reaction is the bare fact."""
    said = {"text": "my words", "attributes": {"plan": "gold"}, "refs": {"order": "A-1"}}
    with capture() as events, cx.scope(customer="u1", consent="denied", purposes=("care",)):
        cx.feedback(**said)  # type: ignore[arg-type]
        cx.reaction("cancel", evidence="declared", **said)  # type: ignore[arg-type]
        cx.reaction("lapse", **said)  # type: ignore[arg-type]

    feedback, declared, observed = (event.data for event in events)
    assert ("my words", "my words") == (feedback.answers[0].text, declared.reason_text)
    assert {"app": {"plan": "gold"}} == feedback.ext == declared.ext
    assert (None, None, ()) == (observed.reason_text, observed.ext, observed.refs)
    assert [("denied", ("care",))] * 3 == [
        (event.data.consent.state, event.data.consent.purposes) for event in events
    ]


def test_denied_drops_where_the_team_says_so() -> None:
    """when_denied="drop" refuses interactions of customers who said no."""
    client = cx.Client("shop", privacy=cx.PrivacyOptions(when_denied="drop"))
    with client.scope(customer="u1", consent="denied"):
        with client.interaction("a") as i:
            pass

    assert "consent" == i.result.reason


def test_basis_consent_needs_consent() -> None:
    """Where consent is the only basis, an unknown state captures nothing."""
    client = cx.Client("shop", privacy=cx.PrivacyOptions(basis="consent"))

    assert "consent" == client.record("a", customer="u1").reason
    # Nor does a denial: without consent nothing is left that allows it.
    with client.scope(customer="u1", consent="denied"):
        assert "consent" == client.record("a").reason


def test_what_a_customer_said_holds_for_later_events() -> None:
    """consent() is remembered for the customer where a scope says nothing."""
    with capture() as events:
        cx.consent("denied", customer="u1")
        with cx.interaction("a", customer="u1") as i:
            i.attributes["plan"] = "gold"
        with cx.interaction("a", customer="u2") as i:
            i.attributes["plan"] = "gold"

    denied, other = (event.data for event in events.of("interaction"))
    assert ("denied", None) == (denied.consent.state, denied.ext)
    assert (None, {"app": {"plan": "gold"}}) == (other.consent, other.ext)


def test_nobody_is_explained_once(caplog: pytest.LogCaptureFixture) -> None:
    """An interaction without any customer is dropped with one warning that names the line."""
    client = cx.Client("shop")
    for _ in range(3):
        with client.interaction("a") as i:
            pass

    assert "no_customer" == i.result.reason
    said = [r.getMessage() for r in caplog.records if "no_customer" in r.getMessage()]
    assert 1 == len(said)
    assert __file__ in said[0]
    assert {"no_customer": 3} == client.stats()["refused"]


def test_a_denial_holds_where_it_could_not_be_recorded() -> None:
    """consent("denied") is heeded in this process also when its event was not kept."""
    client = cx.Client("shop", privacy=cx.PrivacyOptions(when_denied="drop"))

    assert "no_collector" == client.consent("denied", customer="u1").reason
    assert "consent" == client.record("a", customer="u1").reason
    assert "invalid" == client.consent("maybe", customer="u2").reason
    assert "no_collector" == client.record("a", customer="u2").reason


def test_a_denial_is_forgotten_last() -> None:
    """The words of thousands of customers later, a denial still stands."""
    customers = Customers(None)
    for number in range(9000):
        known = customers.resolve((f"u{number}", None, None, None))
        customers.remember_consent(known, "granted" if number else "denied")

    assert "denied" == customers.consent_of(customers.resolve(("u0", None, None, None)))
    assert 8192 == len(customers.consents)


def test_purposes_alone_are_stamped_by_every_verb() -> None:
    """A scope that says purposes and no consent stamps them on interactions as on facts."""
    with capture() as events, cx.scope(customer="u1", purposes="care"):  # type: ignore[arg-type]
        with cx.interaction("a"):
            pass
        cx.record("a")

    assert [("unknown", ("care",))] * 2 == [
        (event.data.consent.state, tuple(event.data.consent.purposes)) for event in events
    ]


def test_a_visitor_called_as_a_customer_speaks_for_themselves():
    """What a visitor says of consent, and wants erased, is not the customer's of the same name."""
    client = cx.Client("shop", collector="memory:")
    capture = client.capture()
    spaces = [("x", None, None, None), (None, "x", None, None), (None, None, "x", None)]
    known = [capture.known(who) for who in spaces]
    assert 3 == len({each.tag for each in known})
    capture.customers.remember_consent(known[1], "granted")
    assert [None, "granted", None] == [capture.customers.consent_of(each) for each in known]
    client.close()
