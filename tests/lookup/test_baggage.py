"""
Whom the scope serves reaches other services of the team, and nobody else; and only a signature is
believed.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cxsdk as cx
from cxsdk.lookup.baggage import MAX_BYTES, MAX_MEMBERS, Carrier
from cxsdk.scope import WireId
from cxsdk.testing import capture
from tests.lookup.conftest import Told

KEY = b"a secret of the team, long enough"
NOW = 1_800_000_000.0
RAW = "kunde-4711"


def carrier(key=KEY, *, allow=("b.internal",), environment="production", now=NOW):
    """Return a carrier at a moment."""
    return Carrier(allow=allow, key=key, environment=environment, now=lambda: now)


def members(headers):
    """Return the members of a header by name, decoded."""
    parts = [part.split("=", 1) for part in headers["baggage"].split(",")]
    return {name: unquote(value) for name, value in parts}


def sent(target="b.internal", headers=None, *, by=None, **scope):
    """Return what a scope sends."""
    with cx.scope(**({"customer": RAW, "session": "s3cret", "channel": "web"} | scope)):
        return (by or carrier()).outgoing(target, headers)


def changed(headers, name, value):
    """Return the headers with one member replaced, or left out."""
    found = {**members(headers), name: value}
    text = ",".join(f"{key}={said}" for key, said in found.items() if said is not None)
    return {"baggage": text}


# ---- to whom ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "is_told"),
    [
        ("b.internal", True),
        ("B.INTERNAL.", True),
        ("b.internal:8080", True),
        ("https://b.internal/x?y#z", True),
        ("http://user@b.internal:80/", True),
        ("a.svc.local", True),
        ("a.b.svc.local", True),
        ("svc.local", False),
        ("xsvc.local", False),
        ("evil.com", False),
        ("b.internal.evil.com", False),
        ("xb.internal", False),
        ("https://evil.com/b.internal", False),
        ("https://evil.com?b.internal", False),
        ("https://evil.com#@b.internal", False),
        ("https://b.internal\\@evil.com", False),
        ("https://evil.com\\@b.internal", False),
        ("https://b.internal@evil.com", False),
        ("https://b.internal%2eevil.com", False),
        ("https://b.internal\t.evil.com", False),
        ("https://ｂ.internal", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_hosts_of_the_list_are_told(target, is_told):
    """An exact name, or one below a suffix; nothing that a client might read otherwise."""
    found = sent(target, by=carrier(allow=("b.internal", ".svc.local")))
    assert is_told == bool(found)


def test_nobody_is_told_by_default():
    """Without a list no host gets anything."""
    assert {} == sent(by=carrier(allow=()))


@pytest.mark.parametrize(
    "entry", ["", ".", "*", "*.internal", "http://x", "x:80", "x/y", "ä.de", 7]
)
def test_an_entry_that_is_no_host_is_a_mistake(entry):
    """What would match nothing, or everything, is refused where it is said."""
    with pytest.raises(cx.ConfigurationError, match="carry_to: expected hosts"):
        cx.ContextOptions(carry_to=(entry,))


# ---- what -------------------------------------------------------------------------------------


def test_what_travels_is_opaque():
    """Neither the host's id nor the session key is in it: only what events carry."""
    found = members(sent())
    assert ["cx.sub", "cx.sid", "cx.ch", "cx.sig"] == list(found)
    assert re.fullmatch(r"[0-9a-f]{32}", found["cx.sub"])
    assert re.fullmatch(r"s-[0-9a-f]{24}", found["cx.sid"])
    assert not {RAW, "s3cret"} & set(" ".join(found.values()).split())


def test_nobody_and_nowhere_send_nothing():
    """Without a scope, and of a scope that says nothing, there is no header."""
    assert {} == carrier().outgoing("b.internal")
    with cx.scope(locale="de"):
        assert {} == carrier().outgoing("b.internal")


def test_without_a_key_an_address_stays_here():
    """What looks like an e-mail address does not travel as an id."""
    with pytest.raises(cx.InvalidEventError):
        sent(by=carrier(None), customer="anna@example.com")
    found = members(sent(by=carrier(None), customer="kunde ä,;=1"))
    assert ["cx.sub", "cx.sid", "cx.ch"] == list(found)
    assert "kunde ä,;=1" == found["cx.sub"]


def test_the_baggage_of_a_request_is_kept():
    """Members of others stay as they are; old ones of ours are replaced."""
    mine = {"Baggage": "a=1;p=x, cx.sub=forged ,b=%20,cx.sig=1.2"}
    text = sent(headers=mine)["baggage"]
    assert text.startswith("a=1;p=x,b=%20,cx.sub=")
    assert 1 == text.count("cx.sub=") == text.count("cx.sig=")
    assert sent()["baggage"] in text
    assert "\n" not in sent(headers={"baggage": "a=1\r\nx: y"})["baggage"]


def test_there_is_room_or_nothing_is_sent():
    """64 members and 8,192 bytes are never exceeded; what others put there comes first."""
    room = MAX_MEMBERS - 4
    full = {"baggage": ",".join(f"m{n}=1" for n in range(room))}
    assert MAX_MEMBERS == sent(headers=full)["baggage"].count(",") + 1
    assert {} == sent(headers={"baggage": full["baggage"] + ",one=more"})
    ours = len(sent()["baggage"])
    assert MAX_BYTES == len(
        sent(headers={"baggage": "m=" + "x" * (MAX_BYTES - ours - 3)})["baggage"]
    )
    assert {} == sent(headers={"baggage": "m=" + "x" * (MAX_BYTES - ours - 2)})


# ---- whom a receiver believes ----------------------------------------------------------------


def test_a_signature_makes_the_customer_as_sure_as_the_sender_was():
    """Signed and young: authenticated where nothing is said, else exactly what was said."""
    assert "authenticated" == carrier().incoming(sent()).assurance
    for said in ("claimed", "authenticated", "verified"):
        assert said == carrier().incoming(sent(assurance=said)).assurance


@pytest.mark.parametrize(
    "receiver",
    [
        carrier(b"another secret, just as long"),
        carrier(environment="staging"),
        carrier(now=NOW + 301),
        carrier(now=NOW - 61),
    ],
    ids=["key", "environment", "old", "future"],
)
def test_a_signature_of_others_or_of_another_time_is_a_claim(receiver):
    """Other keys, environments and times do not count."""
    scope = receiver.incoming(sent(assurance="verified"))
    assert "claimed" == scope.assurance
    assert WireId(members(sent())["cx.sub"]) == scope.who[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cx.sub", "0" * 32),
        ("cx.sid", "s-" + "0" * 24),
        ("cx.sid", None),
        ("cx.ch", "store"),
        ("cx.ch", None),
        ("cx.as", "verified"),
        ("cx.as", None),
        ("cx.sig", None),
        ("cx.sig", f"{int(NOW)}.{'0' * 64}"),
        ("cx.sig", f"{int(NOW) + 1}.{'0' * 64}"),
    ],
)
def test_whatever_is_changed_makes_it_a_claim(name, value):
    """The signature is over all members, also over which there are."""
    headers = sent(assurance="claimed") if name == "cx.as" else sent()
    scope = carrier().incoming(changed(headers, name, value))
    assert "claimed" == scope.assurance


def test_a_receiver_without_a_key_believes_nobody():
    """Ids pass as they are, as a claim."""
    scope = carrier(None).incoming(sent(by=carrier(None)))
    assert ("claimed", RAW) == (scope.assurance, scope.who[0])
    assert carrier(None).incoming({"baggage": "cx.sub=anna%40example.com"}).who[0] is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cx.sub",
        "cx.sub=",
        "cx.sub=u1",
        "cx.sub=%ff%fe",
        "cx.sub=" + "a" * 33,
        "cx.sub=" + "A" * 32,
        "cx.sub=" + "a" * 32 + "%0A",
        "cx.sub=" + "a" * 32 + ",cx.sub=" + "a" * 32,
        "cx.sub=" + "a" * 32 + "," + "x=" + "y" * MAX_BYTES,
        "cx.sub=" + "a" * 32 + ",m=1" * MAX_MEMBERS,
        "CX.SUB=" + "a" * 32,
        "cx.sid=raw-session-key,cx.ch=billboard,cx.ch2=web,cx.as=verified",
    ],
)
def test_junk_makes_a_scope_that_says_nothing(text):
    """What is malformed, too large, there twice or of no meaning is left out."""
    scope = carrier().incoming({"baggage": text})
    assert (None, None, None, None) == scope.who
    assert scope.where[0] is None is scope.assurance


@pytest.mark.parametrize(
    "form",
    [
        lambda text: {"Baggage": text},
        lambda text: [(b"Baggage", text.encode())],
        lambda text: {"HTTP_BAGGAGE": text},
        lambda text: httpx.Headers({"baggage": text}),
        lambda text: [("baggage", one) for one in text.split(",")],
        lambda text: {"baggage": text.replace(",", ";p=1 , ")},
    ],
)
def test_headers_come_in_the_forms_that_frameworks_have(form):
    """Mappings, raw pairs, an environ, a header in several lines, properties and spaces."""
    scope = carrier().incoming(form(sent()["baggage"]))
    assert ("authenticated", "web") == (scope.assurance, scope.where[0])


@given(
    st.one_of(
        st.text(max_size=300),
        st.lists(
            st.tuples(
                st.sampled_from(["cx.sub", "cx.sid", "cx.ch", "cx.as", "cx.sig", "a"]),
                st.one_of(
                    st.text(max_size=40),
                    st.sampled_from(["a" * 32, "s-" + "b" * 24, "web", "verified", "1.2", "%"]),
                ),
            )
        ).map(lambda pairs: ",".join(f"{name}={value}" for name, value in pairs)),
    )
)
def test_no_header_raises_and_none_is_believed_unsigned(text):
    """Whatever comes: a scope, at most a claim, whose events can be written."""
    scope = carrier().incoming({"baggage": text})
    assert scope.assurance in {None, "claimed"}
    assert scope.who[0] is None or re.fullmatch(r"[0-9a-f]{32}", str(scope.who[0]))
    assert scope.who[3] is None or re.fullmatch(r"s-[0-9a-f]{24}", str(scope.who[3]))


@given(
    st.text(min_size=1, max_size=50),
    st.text(max_size=60),
    st.sampled_from([None, "claimed", "authenticated", "verified"]),
)
def test_what_is_sent_arrives(customer, session, assurance):
    """Any id and session that events take: the same wire id, session and assurance come out."""
    ours = carrier()
    scope = cx.scope(customer=customer, session=session, assurance=assurance)
    try:
        known = ours._customers.resolve(scope.who)
    except cx.InvalidEventError:
        return
    with scope:
        headers = ours.outgoing("b.internal")
    headers["baggage"].encode("ascii")
    got = carrier().incoming(headers)
    assert (assurance or "authenticated") == got.assurance
    theirs = carrier()._customers.resolve(got.who)
    assert (known.block, known.session) == (theirs.block, theirs.session)


# ---- the verbs --------------------------------------------------------------------------------


def client(name, *, key=KEY, **context):
    """Return a client of a service of the team."""
    return cx.Client(
        name,
        collector="memory:",
        privacy=cx.PrivacyOptions(key=key),
        context=cx.ContextOptions(**context),
    )


def test_the_verbs_can_be_called_anywhere():
    """Before init, of nonsense, and by whoever is switched off: nothing, and no error."""
    assert {} == cx.carry("https://b.internal")
    assert (None, None, None, None) == cx.received({"baggage": "cx.sub=u"}).who

    class Odd:
        def items(self):
            raise RuntimeError

    with client("a", carry_to="b.internal") as one, cx.scope(customer="null"):
        assert {} == one.carry("b.internal")
        assert {} == one.carry(None)
        assert {} == one.carry("b.internal", Odd())
        assert (None, None, None, None) == one.received(Odd()).who
        assert (None, None, None, None) == one.received(None).who


def test_who_was_received_can_be_sent_on():
    """From A to B to C: the same customer, as sure as A was."""
    with client("b", carry_to="c.internal") as b, client("c") as c:
        for assurance in ("authenticated", "claimed"):
            with b.received(_sent_now(assurance)):
                onward = b.carry("c.internal")
            scope = c.received(onward)
            assert (assurance, WireId(members(onward)["cx.sub"])) == (scope.assurance, scope.who[0])


def _sent_now(assurance):
    with client("a", carry_to="b.internal") as a:
        with cx.scope(customer=RAW, session="s", assurance=assurance):
            return a.carry("b.internal")


# ---- a customer of whom only the wire id is known ---------------------------------------------


def test_a_pseudonym_given_as_an_id_is_somebody_else(make):
    """Whoever learns a wire id cannot become that customer by naming it as the host's own."""
    one = make(client={"privacy": cx.PrivacyOptions(key=KEY)})
    customers = one.capture().customers
    wire = customers.resolve((RAW, None, None, None)).block["id"]
    with one.received(_sent_now("authenticated")) as scope:
        assert wire == customers.resolve(scope.who).block["id"]
    assert wire != customers.resolve((wire, None, None, None)).block["id"]
    assert WireId(wire) == WireId(wire)
    assert WireId(wire) != wire
    assert "WireId" in repr(WireId(wire))
    assert wire not in repr(WireId(wire))


def test_a_provider_of_raw_ids_is_not_asked_and_says_so(make):
    """That the one who can be asked has nothing is not that there is nothing."""
    crm = Told("crm", {"profile": {"name": "Anna"}, "problems": [{"id": "p1"}]})
    feed = Told(
        "feed",
        lambda request: {one.id: {} for one in request.subjects},
        sections=("problems", "feedback"),
        takes="wire",
    )
    one = make(crm, feed, client={"privacy": cx.PrivacyOptions(key=KEY)}, timeout=10.0)
    with one.received(_sent_now("authenticated")):
        ctx = one.context(sections=("profile", "problems", "feedback"))
        assert ["unsupported", "unsupported", "not_found"] == [
            one.reason for one in (ctx.profile, ctx.problems, ctx.feedback)
        ]
        assert "host's own id" in ctx.problems.error_message
        assert (0, {ctx.wire_id}) == (
            crm.calls,
            {each.id for request in feed.requests for each in request.subjects},
        )
    named = one.context(RAW, sections=("profile", "problems"))
    assert ("Anna", True) == (named.profile.name, named.problems.any())
    with one.received(_sent_now("authenticated")):
        # The same customer: what is known of them by now is known of them here too.
        assert "Anna" == one.context(sections=("profile",)).profile.name


def test_what_the_scope_says_holds_for_who_was_received(make):
    """Consent and assurance of the scope are the customer's, by whichever id they are named."""
    crm = Told("crm", {"profile": {"name": "Anna"}})
    one = make(crm, client={"privacy": cx.PrivacyOptions(key=KEY)}, timeout=10.0)

    def reason(customer=None):
        return one.context(customer, sections=("profile",), purpose="marketing").profile.reason

    assert "consent_denied" == reason(RAW)
    with one.received(_sent_now("authenticated")):
        assert "consent_denied" == reason()
        with one.scope(consent="granted"):
            assert "resolved" == reason()
    with one.received(_sent_now("claimed")):
        for customer in (None, RAW):
            ctx = one.context(customer, sections=("profile",))
            assert ("claimed", "assurance_too_low") == (ctx.assurance, ctx.profile.reason)
        assert "authenticated" == one.context("somebody-else", sections=()).assurance
    assert 1 == crm.calls


# ---- two services and a stranger -------------------------------------------------------------


class Service:
    """
    A real HTTP server that runs a function on the headers of each request and answers in JSON.
    """

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answer(self.headers)).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_a_customer_travels_from_service_to_service(make):
    """B serves A's customer as authenticated; a stranger is told nothing; a forger sees nothing."""
    crm = Told(
        "crm",
        lambda request: {one.id: {"profile": {"name": "Anna"}} for one in request.subjects},
        sections=("profile",),
        takes="wire",
    )
    b = make(crm, client={"privacy": cx.PrivacyOptions(key=KEY)}, timeout=10.0)

    def serve(headers):
        with b.received(headers) as scope, b.interaction("order.view", stage="order") as contact:
            ctx = b.context(sections=("profile",))
            profile = ctx.profile
        return {
            "assurance": scope.assurance,
            "id": ctx.wire_id,
            "reason": profile.reason,
            "name": profile.value and profile.value.name,
            "was_kept": bool(contact.result),
        }

    def listen(headers):
        return headers.get("baggage")

    with (
        Service(serve) as near,
        Service(listen) as far,
        client("a", carry_to="localhost") as a,
        httpx.Client(trust_env=False) as web,
    ):
        allowed, stranger = f"http://localhost:{near.port}/", f"http://127.0.0.1:{far.port}/"
        with cx.scope(customer=RAW, session="s"):
            told = web.get(allowed, headers=a.carry(allowed)).json()
            headers = a.carry(allowed)
            assert web.get(stranger, headers=a.carry(stranger)).json() is None
        wire = a.capture().customers.resolve((RAW, None, None, None)).block["id"]
        expected = {
            "assurance": "authenticated",
            "id": wire,
            "reason": "resolved",
            "name": "Anna",
            "was_kept": True,
        }
        assert expected == told
        asked = crm.calls
        forged = changed(headers, "cx.sig", f"{int(NOW)}.{'f' * 64}")
        got = web.get(allowed, headers=forged).json()
        assert ("claimed", "assurance_too_low", None) == (
            got["assurance"],
            got["reason"],
            got["name"],
        )
        assert asked == crm.calls


def test_the_customer_of_another_service_is_recognised_by_the_hosts_id():
    """Whoever names the same customer by their own id keeps session and assurance."""
    with carrier().incoming(sent()), cx.scope(customer=RAW) as named:
        assert (named.who[0], named.assurance) == (RAW, "authenticated")
        assert str(named.who[3]).startswith("s-")
    with carrier().incoming(sent()), cx.scope(customer="somebody-else") as other:
        assert (other.assurance, other.who[3]) == (None, None)


def test_an_interaction_of_that_customer_keeps_the_consent():
    """Named on the call, by a decorator say, they are still whom the scope serves."""
    with cx.Client("b", collector="null:", privacy=cx.PrivacyOptions(key=KEY)) as client:
        with capture() as events, carrier().incoming(sent()), cx.scope(consent="granted"):
            for customer in (RAW, "somebody-else"):
                with client.interaction("order.view", customer=customer):
                    client.feedback(csat=4, customer=customer)
    states = [event.data.consent and event.data.consent.state for event in events]
    assert states == ["granted", "granted", None, None]
