"""
The endpoint: what is answered to each request, and that opening a link records nothing.
"""

from __future__ import annotations

import json

import pytest

from cxsdk.prompts.faces import origin

JSON = "application/json"
BROWSER = {"origin": "https://shop.example", "sec-fetch-site": "same-origin"}


def later(desk, seconds):
    """
    Move the clocks of engine and store.
    """
    now = desk.engine.now()
    desk.engine.now = lambda: now + seconds
    desk.store._time = lambda: now + seconds


# ---- opening ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"x-moz": "prefetch"},
        {"user-agent": "Mozilla/5.0 (compatible; SafeLinks)"},
    ],
    ids=["plain", "purpose", "sec-purpose", "x-moz", "scanner"],
)
def test_opening_all_eleven_links_of_a_letter_records_nothing(desk, method, headers):
    """Neither an answer nor that it was shown: mail scanners open every link."""
    offer = desk.offer("score", channel="email", context={"name": "Anna"})
    letter = offer.as_letter("https://shop.example/cx")
    assert len(letter.links) == 11
    for _, address in letter.links:
        path, query = address.removeprefix("https://shop.example/cx").split("?")
        found = desk.call(method, path, headers, query=query)
        assert found.status == 200
    for path in (f"/o/{offer.token}", f"/o/{offer.token}.json"):
        assert desk.call(method, path, headers).status == 200
    assert desk.actions() == []
    assert desk.state(offer) == "reserved"


def test_a_page_is_kept_to_itself(desk):
    """Nobody stores, indexes, frames or learns of its address, and no cookie is set."""
    found = desk.get(desk.offer(channel="link"))
    assert found.header("cache-control") == "no-store"
    assert found.header("referrer-policy") == "no-referrer"
    assert found.header("x-robots-tag") == "noindex"
    assert found.header("x-content-type-options") == "nosniff"
    policy = found.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert found.header("set-cookie") is None


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("v=8", ["8"]),
        ("score=0", ["0"]),
        ("v=8&v=3", ["8"]),
        ("v=11", []),
        ("v=%00", []),
        ("v=8&score=9", ["9"]),
        ("why=typed+for+you", []),
        ("v=" + "&v=".join("8" * 200), []),
        ("%zz=%", []),
    ],
)
def test_a_link_chooses_only_what_there_is(desk, query, chosen):
    """A value of the address is checked against the prompt; texts are not written for anybody."""
    import re

    text = desk.get(desk.offer("score", context={"name": "A"}), query).body.decode()
    assert re.findall(r'value="(\w+)" checked', text) == chosen
    assert "typed for you" not in text


def test_a_head_has_no_body_but_its_length(desk):
    """As RFC 9110 wants it."""
    offer = desk.offer()
    head, full = desk.call("HEAD", f"/o/{offer.token}"), desk.get(offer)
    assert head.body == b""
    assert head.headers == full.headers
    assert head.header("content-length") == str(len(full.body))


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("", "PUT", "GET, HEAD, POST, OPTIONS"),
        (".json", "POST", "GET, HEAD, OPTIONS"),
        ("/state", "GET", "POST, OPTIONS"),
        ("/state", "DELETE", "POST, OPTIONS"),
    ],
)
def test_other_methods_are_refused_with_those_there_are(desk, path, method, allow):
    """405 with Allow; OPTIONS says the same."""
    place = f"/o/{desk.offer().token}{path}"
    found = desk.call(method, place)
    assert (found.status, found.header("allow")) == (405, allow)
    options = desk.call("OPTIONS", place)
    assert (options.status, options.header("allow"), options.body) == (204, allow, b"")


@pytest.mark.parametrize("path", ["/", "", "/o", "/o/", "/o/a/b", "/x", "/o/a/state/b", "/static"])
def test_elsewhere_is_nothing(desk, path):
    """404."""
    assert desk.call("GET", path).status == 404


# ---- answering ----------------------------------------------------------------------------


def test_a_form_leads_to_the_thank_you_page(desk):
    """303, and a reload of that page records nothing again."""
    offer = desk.offer("all")
    found = desk.post(offer, {"versus": "better", "score": "6", "how": "ad"}, BROWSER, mount="/cx")
    assert (found.status, found.header("location")) == (303, f"/cx/o/{offer.token}?done=1")
    page = desk.get(offer, "done=1")
    assert (page.status, "That helps us. Thank you!" in page.body.decode()) == (200, True)
    assert "already" in desk.get(offer).body.decode()
    assert desk.actions() == ["prompt.shown", "feedback.given", "prompt.answered"]


def test_a_fragment_is_swapped_in(desk):
    """`<cx-prompt>` gets the thank-you alone, htmx an event with it."""
    ours = desk.post(desk.offer(), {"versus": "better"}, {"x-requested-with": "cx-prompt"})
    assert (ours.status, ours.header("hx-trigger")) == (200, None)
    assert ours.body.startswith(b"<cx-prompt")
    assert b'data-cx="done"' in ours.body
    htmx = desk.post(desk.offer(), {"versus": "better"}, {"hx-request": "true"})
    assert (htmx.status, htmx.header("hx-trigger")) == (200, "cx:answered")


def test_a_wrong_answer_comes_back_as_a_form(desk):
    """422; to htmx, which shows no error otherwise, with 200."""
    offer = desk.offer()
    assert desk.post(offer, {}).status == 422
    assert desk.post(offer, {}, {"x-requested-with": "cx-prompt"}).status == 422
    assert desk.post(offer, {}, {"hx-request": "true"}).status == 200
    assert desk.state(offer) == "shown"


def test_json_gets_json(desk):
    """What became of it, and the words to say so."""
    offer = desk.offer("score", context={"name": "Anna"})
    body = json.dumps({"answers": {"score": 9}}).encode()
    found = desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body)
    said = json.loads(found.body)
    assert (found.status, said["outcome"], said["complete"]) == (200, "accepted", True)
    assert said["feedback_id"] == desk.events.one("feedback").id
    again = desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body)
    assert (again.status, json.loads(again.body)["outcome"]) == (200, "same")
    other = json.dumps({"answers": {"score": 1}}).encode()
    conflict = desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, other)
    assert (conflict.status, json.loads(conflict.body)["code"]) == (409, "conflict")
    assert len({event.id for event in desk.events.of("feedback")}) == 1


def test_an_answer_may_be_changed_while_its_prompt_allows(desk):
    """The form is shown again, and the later answer takes the earlier one's place."""
    offer = desk.offer("mood")
    assert desk.post(offer, {"mood": "angry"}).status == 303
    assert "<form" in desk.get(offer).body.decode()
    assert desk.post(offer, {"mood": "pleased"}).status == 303
    later(desk, 7200)
    assert desk.post(offer, {"mood": "angry"}).status in {409, 410}
    values = [event.data.answers[0].value for event in desk.events.of("feedback")]
    assert values == ["angry", "pleased"]


def test_a_partial_answer_is_kept(desk):
    """Headless forms may send what they have."""
    offer = desk.offer("all")
    body = json.dumps({"answers": {"versus": "worse"}, "partial": True}).encode()
    found = desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body)
    assert json.loads(found.body)["complete"] is False
    assert desk.state(offer) == "partial"


@pytest.mark.parametrize(
    ("wanted", "allowed", "path"),
    [
        ("/thanks", ["/thanks"], "/thanks"),
        ("/shop/a?b=c#d", ["/shop/"], "/shop/a?b=c#d"),
        ("/ä", ["/"], "/%C3%A4"),
        ("/thanks/more", ["/thanks"], None),
        ("/thanks", [], None),
        ("//evil.example", ["/"], None),
        ("///evil.example", ["/"], None),
        ("/\\evil.example", ["/"], None),
        ("/\t/evil.example", ["/"], None),
        ("https://evil.example/", ["/"], None),
        ("javascript:alert(1)", ["/"], None),
        ("/a\r\nSet-Cookie: x=1", ["/"], None),
        ("/shop/../admin", ["/shop/"], None),
        ("", ["/"], None),
        ("/" + "a" * 600, ["/"], None),
    ],
)
def test_a_form_leads_only_where_it_is_allowed(desk, wanted, allowed, path):
    """Paths of this host that the team named; anything else ends on the thank-you page."""
    offer = desk.offer()
    assert origin.return_path(wanted, allowed) == path
    found = desk.post(offer, {"versus": "better", "cx-return": wanted}, returns=allowed)
    assert found.status == 303
    assert found.header("location") == (path or f"/o/{offer.token}?done=1")


@pytest.mark.parametrize(("action", "note"), [("not_now", "1"), ("never_ask", "never_ask")])
def test_the_other_buttons_dismiss(desk, action, note):
    """Without JavaScript too; never again means that nobody asks this customer any more."""
    offer = desk.offer(customer="u-tired")
    found = desk.post(offer, {"cx-action": action, "versus": "better"})
    assert (found.status, found.header("location")) == (303, f"/o/{offer.token}?done={note}")
    assert desk.get(offer, f"done={note}").status == 200
    assert desk.get(offer).status == 410
    dismissed = desk.events.one("prompt", "dismissed")
    assert dismissed.data.reason == action
    assert not desk.events.of("feedback")
    later(desk, 400 * 86_400)
    again = desk.engine.offer("versus", customer="u-tired")
    assert bool(again) == (action == "not_now")


# ---- the life of it -----------------------------------------------------------------------


def test_the_element_tells_what_happens(desk):
    """Shown, started, dismissed: each once, by a form or by JSON, and answered with nothing."""
    offer = desk.offer()
    for state in ("shown", "shown", "started"):
        found = desk.post(offer, {"state": state}, BROWSER, "/state")
        assert (found.status, found.body) == (204, b"")
    body = b'{"state":"dismissed","reason":"escape"}'
    path = f"/o/{offer.token}/state"
    assert desk.call("POST", path, {"content-type": JSON, **BROWSER}, body).status == 204
    assert desk.call("POST", path, {"content-type": JSON, **BROWSER}, body).status == 204
    assert desk.actions() == ["prompt.shown", "prompt.started", "prompt.dismissed"]
    assert desk.events.one("prompt", "dismissed").data.reason == "escape"


@pytest.mark.parametrize(
    "reason", ["close", "escape", "not_now", "never_ask", "timeout", "navigated"]
)
def test_every_reason_to_dismiss_is_taken(desk, reason):
    """Those of the standard."""
    offer = desk.offer()
    assert desk.post(offer, {"state": "dismissed", "reason": reason}, path="/state").status == 204
    assert desk.events.one("prompt", "dismissed").data.reason == reason


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"state": "answered"},
        {"state": "shown", "x": "1"},
        {"state": "dismissed", "reason": "<b>"},
    ],
)
def test_other_states_are_refused(desk, fields):
    """400, and nothing moves."""
    offer = desk.offer()
    found = desk.post(offer, fields, path="/state")
    assert (found.status, found.header("content-type")) == (400, "application/problem+json")
    assert desk.state(offer) == "reserved"


@pytest.mark.parametrize("header", ["purpose", "sec-purpose"])
def test_a_page_that_nobody_looks_at_was_not_shown(desk, header):
    """A beacon from a prerendered page is not counted."""
    offer = desk.offer()
    found = desk.post(offer, {"state": "shown"}, {header: "prefetch;prerender"}, "/state")
    assert found.status == 204
    assert desk.actions() == []
