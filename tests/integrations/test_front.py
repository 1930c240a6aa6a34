"""
What all integrations stand on, by way of requests that are mappings. A framework of forty lines is
on the page about integrations of your own, with the conformance suite.
"""

from __future__ import annotations

import logging

import pytest

import cxsdk as cx
from cxsdk import _default
from cxsdk.integrations.front import Front, client_of
from cxsdk.integrations.options import Options
from cxsdk.prompts import Prompt, Question
from cxsdk.prompts.cases import case_of


class Fields(Front):
    """Requests that are mappings."""

    def header(self, request, name):
        return request.get(name, "")

    def login(self, request):
        return request.get("user")

    def session_key(self, request):
        return request.get("session")

    def held(self, request):
        return request.get("held")


@pytest.fixture
def front():
    return Fields(Options(interactions=[{"route": "*"}]))


def test_who_logs_in_during_a_request_is_its_customer(front, cx_events):
    """Nobody is not remembered: an interaction that ends after the login is the customer's."""
    request = {"session": "s1"}
    with front.visit(request, "/login") as visit:
        visit.began("POST", "/login", None)
        first = cx.current()._scope.who
        request["user"] = "u1"
    visit.answered(303)
    visit.end()
    assert first == (None, None, None, "s1")
    assert cx_events.one("interaction").data.customer.id == "u1"


def test_who_logs_out_during_a_request_was_its_customer(front, cx_events):
    """Once known, a customer stays who the request is of."""
    request = {"session": "s1", "user": "u1"}
    with front.visit(request, "/logout") as visit:
        visit.began("POST", "/logout", None)
        cx.record("seen.before")
        request.clear()
        cx.record("seen.after")
    visit.end()
    assert [event.data.customer.id for event in cx_events] == ["u1"] * 3


def served(front, request, status, *, then=None, error=None):
    """Serve a request that may change the session on its way."""
    with front.visit(request, "/enter") as visit:
        visit.began("POST", "/enter", None)
        request.update(then or {})
        if error is not None:
            visit.failed(error)
    visit.answered(status)
    visit.end()


def test_a_form_that_is_shown_again_has_failed_where_a_rule_says_so(cx_events):
    """Statuses mean what the rule says, unless the handler said or raised something."""
    rule = {"route": "*", "statuses": {200: ("failure", "wrong_password"), 404: "abandoned"}}
    front = Fields(Options(interactions=[rule]))
    for status in (200, 404, 302, 410):
        served(front, {"user": "u1"}, status)
    served(front, {"user": "u1"}, 200, error=RuntimeError())
    with front.visit({"user": "u1"}, "/enter") as visit:
        visit.began("POST", "/enter", None)
        cx.current().outcome = "partial"
    visit.answered(200)
    visit.end()
    found = [(event.data.outcome, event.data.reason) for event in cx_events]
    assert found == [
        ("failure", "wrong_password"),
        ("abandoned", None),
        ("success", None),
        ("unknown", None),
        ("failure", "wrong_password"),
        ("partial", None),
    ]


def test_a_login_of_the_hosts_own_links_the_visitor_where_a_rule_says_so(cx_events):
    """Who is served at its end is who the visitor of the session before was; not after a failure."""
    rule = {"route": "*", "login": True, "statuses": {200: "failure"}}
    front = Fields(Options(interactions=[rule], consent=lambda _: "granted"))
    served(front, {"session": "s1"}, 200)
    served(front, {"session": "s1"}, 302)
    served(front, {"session": "s1"}, 302, then={"session": "s2", "user": "u1"})
    served(front, {"session": "s2", "user": "u1"}, 403)
    tried, _, identified, entered, _ = cx_events
    assert [event.family for event in cx_events].count("identity") == 1
    assert identified.data.customer.id == entered.data.customer.id == "u1"
    assert identified.data.customer.anonymous_id == tried.data.customer.anonymous_id
    assert identified.data.assurance == "authenticated"
    assert cx.current().interaction_id is None
    assert cx.scope().who[0] is None


def test_who_logs_in_or_out_leaves_no_cookie_to_the_next(cx_events):
    """The next visitor of a shared browser is another one, and nobody is named twice over."""
    front = Fields(
        Options(interactions=[{"route": "*", "login": True}], consent=lambda _: "granted")
    )
    brought = {"cookie": f"cx_visitor={'v' * 22}"}
    headers = []
    for request, then in ((brought, {"user": "u1"}), ({}, {"user": "u1"}), (brought, {})):
        with front.visit(dict(request), "/enter") as visit:
            visit.began("POST", "/enter", None)
            visit.request.update(then)
        visit.answered(302)
        headers.append(visit.cookie(secure=False))
        visit.end()
    gone = "cx_visitor=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
    assert headers == [gone, None, None]


def test_a_logout_of_the_hosts_own_is_of_who_was_logged_in(cx_events, caplog):
    """A team's function is asked before the handler; what it cannot tell then, it is asked again."""
    asked = []

    def household(request):
        asked.append(1)
        return request["household"]  # raises where there is none

    front = Fields(Options(interactions=[{"route": "*"}], customer=household))
    with caplog.at_level(logging.WARNING, "cxsdk"):
        served(front, {"household": "h1"}, 302, then={"household": None})
        served(front, {}, 302, then={"household": "h2"})
    assert [event.data.customer.id for event in cx_events] == ["h1", "h2"]
    assert (len(asked), caplog.records) == (3, [])


def test_a_session_without_a_login_is_an_anonymous_visitor(cx_events):
    """The anonymous id is a hash of the session key, the same in each request."""
    front = Fields(Options(consent=lambda _: "granted"))
    for _ in range(2):
        with front.visit({"session": "secret-key"}, "/x"):
            cx.record("page.seen")
    first, second = cx_events
    assert first.data.customer.id is None
    assert first.data.customer.anonymous_id == second.data.customer.anonymous_id
    assert "secret-key" not in str(first.data)


def test_serving_holds_for_the_whole_request(front, cx_events):
    """What a thread of a pool finds out is seen by all of the request."""
    import concurrent.futures
    import contextvars

    from cxsdk.integrations import serving

    with front.visit({"session": "s1"}, "/x") as visit:
        visit.began("GET", "/x", None)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            variables = contextvars.copy_context()
            assert pool.submit(variables.run, serving, "u9").result() is True
        cx.record("page.seen")
    visit.end()
    assert [event.data.customer.id for event in cx_events] == ["u9", "u9"]
    assert serving("u9") is False


def test_a_service_of_the_team_is_believed_by_its_signature(cx_events):
    """Signed baggage names the customer; what is not signed does so only where the team says so."""
    key = b"k" * 32
    options = cx.ContextOptions(carry_to=["other"])
    sender = cx.Client("sender", privacy=cx.PrivacyOptions(key=key), context=options)
    stranger = cx.Client("stranger", privacy=cx.PrivacyOptions(key=b"x" * 32), context=options)
    with cx.scope(customer="u1"):
        signed, forged = sender.carry("other"), stranger.carry("other")
    receiver = cx.Client("receiver", privacy=cx.PrivacyOptions(key=key))
    seen = []
    for believes in ("signed", "claimed", "ignore"):
        front = Fields(Options(baggage=believes), receiver)
        for headers in (signed, forged):
            with front.visit(headers, "/x") as visit:
                seen.append((visit.guest.who[0] is not None, visit.guest.assurance))
    for client in (sender, stranger, receiver):
        client.close(0)
    assert seen == [
        (True, None),
        (False, None),
        (True, None),
        (True, "claimed"),
        (False, None),
        (False, None),
    ]


def test_a_broken_session_is_said_once_and_nobody_is_served(caplog):
    """What the host's login raises does not reach the request."""

    def broken(_):
        raise RuntimeError("the session store is down")

    front = Fields(Options(customer=broken))
    with caplog.at_level(logging.WARNING, "cxsdk"):
        for _ in range(3):
            with front.visit({}, "/x") as visit:
                assert visit.guest.who == (None, None, None, None)
    assert len(caplog.records) == 1
    assert "session store" not in caplog.text


def test_a_resolver_that_asks_who_is_served_ends(front):
    """The host's own function may use what asks it."""
    asked = []

    def resolver(_):
        asked.append(1)
        return cx.peek() and None

    recursive = Fields(Options(customer=resolver))
    with recursive.visit({}, "/x") as visit:
        cx.record("page.seen")
        assert visit.guest.who[0] is None
    assert 0 < len(asked) < 20


def test_applications_of_the_same_settings_share_a_client():
    """A factory that is called twice makes one client; other settings replace it."""
    client_of({"service": "one", "collector": "null:"})
    first = _default.client()
    client_of({"service": "one", "collector": "null:"})
    assert _default.client() is first
    client_of({"service": "two", "collector": "null:"})
    assert _default.client().settings.service == "two"
    second = _default.client()
    client_of({})
    assert _default.client() is second


def test_the_environment_may_name_the_service(monkeypatch):
    """Settings without a word for ``init`` make a client only where the service has a name."""
    client_of({})
    assert _default.client() is None
    monkeypatch.setenv("CXSDK_SERVICE", "named")
    client_of({})
    assert _default.client().settings.service == "named"


def test_an_interaction_that_a_rule_ignores_is_none(cx_events):
    """``ignore`` of a rule holds for what the handler raises."""
    front = Fields(Options(interactions=[{"route": "*", "ignore": (LookupError,)}]))
    with front.visit({"user": "u1"}, "/x") as visit:
        visit.began("GET", "/x", None)
        visit.failed(LookupError("not for us"))
    visit.answered(404)
    visit.end()
    assert list(cx_events) == []


def test_a_strict_client_raises_what_it_would_count(front, cx_events):
    """In tests a wrong customer is an error; a visitor of whom nothing is known is none."""
    with front.visit({"user": "someone@example.com"}, "/x") as visit:
        visit.began("GET", "/x", None)
    with pytest.raises(cx.InvalidEventError, match="customer"):
        visit.end()
    with front.visit({}, "/x") as visit:
        visit.began("GET", "/x", None)
    visit.end()
    assert list(cx_events) == []


def test_the_language_of_a_reader_is_for_prompts_only(front, cx_events):
    """Accept-Language is not written on events."""
    with front.visit({"user": "u1", "accept-language": "de-AT,de;q=0.8"}, "/x") as visit:
        cx.record("page.seen")
        assert visit.guest.reader == "de-AT"
    assert cx_events[0].data.where.locale is None


def test_a_visitor_who_agreed_is_named_by_a_cookie(cx_events):
    """Without consent there is no cookie; with it the same visitor is found again."""
    said = {"value": None}
    front = Fields(Options(consent=lambda _: said["value"]))
    seen = []
    for consent, cookie in ((None, ""), ("denied", ""), ("granted", ""), ("granted", "again")):
        said["value"] = consent
        request = {"cookie": f"a=b; {seen[-1]}" if cookie else ""}
        with front.visit(request, "/x") as visit:
            who = visit.guest.who[3]
        header = visit.cookie(secure=True)
        seen.append((header or "").partition(";")[0])
        assert (who is not None) is (consent == "granted")
    assert [bool(each) for each in seen] == [False, False, True, False]
    assert who == seen[2].partition("=")[2]


def test_a_span_that_begins_after_the_route_is_known_is_the_one(front, cx_events):
    """A framework's instrumentation may open its span later than we begin."""
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with front.visit({"user": "u1"}, "/x") as visit:
        visit.began("GET", "/x", None)
        with tracer.start_as_current_span("GET /x") as span:
            visit.seen_from_inside()
    visit.end()
    expected = f"{span.get_span_context().trace_id:032x}"
    assert cx_events.one("interaction").traceparent.split("-")[1] == expected


def test_what_a_page_was_made_of_is_a_failure_to_the_next_page():
    """A declined card that the host redirects with is kept as what the event will say."""
    question = Question(id="easy", kind="ces")
    prompts = cx.PromptOptions(
        prompts=[Prompt(key="effort", questions=[question])],
        store="memory:",
        keys=(b"test-of-the-front-and-its-trail",),
    )
    client = cx.init("test", collector="null:", prompts=prompts)
    rule = {"route": "*", "fails": {KeyError: "card_declined"}, "ignore": (LookupError,)}
    front = Fields(Options(interactions=[rule]))
    kept = []
    for error in (KeyError(), IndexError(), None):
        with front.visit({"user": "u1"}, "/pay") as visit:
            visit.began("POST", "/pay", None)
            if error is not None:
                visit.failed(error)
            kept.append(visit.answered(303))
        visit.end()
    engine = client.prompts
    said = [each and case_of(each["t"], engine.seal).data for each in kept]
    client.close(0)
    assert said == [{"outcome": "failure"}, None, {"outcome": "success"}]


def test_what_fails_of_ours_is_counted_and_the_request_goes_on(front, caplog):
    """Said once, counted each time; in strict mode it is raised."""
    client = cx.init("test", collector="memory:")
    front.rules = None  # of ours, and broken
    with caplog.at_level(logging.ERROR, "cxsdk"):
        for _ in range(3):
            with front.visit({"user": "u1"}, "/x") as visit:
                visit.began("GET", "/x", None)
            visit.end()
    assert client.stats()["noted"]["integration_error"] == 3
    said = [record for record in caplog.records if "goes on without" in record.getMessage()]
    assert len(said) == 1
    client.capture().strict = True
    with front.visit({"user": "u1"}, "/x") as visit, pytest.raises(AttributeError):
        visit.began("GET", "/x", None)
