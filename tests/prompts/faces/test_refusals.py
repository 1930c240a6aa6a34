"""
What the endpoint refuses: foreign pages, other bodies, tokens that are over, a store that is down.
"""

from __future__ import annotations

import json

import pytest

from cxsdk.errors import StoreUnavailableError
from tests.prompts.faces.conftest import FORM

JSON = "application/json"
BROWSER = {"origin": "https://shop.example", "sec-fetch-site": "same-origin"}


class Down:
    """
    A store that cannot be asked from a certain call on.
    """

    def __init__(self, store, *broken):
        self.store, self.broken = store, broken

    def __getattr__(self, name):
        if name in self.broken:

            def fail(*_, **__):
                raise StoreUnavailableError("down")

            return fail
        return getattr(self.store, name)


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        (BROWSER, True),
        ({"origin": "https://shop.example"}, True),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "null", "sec-fetch-site": "none"}, True),
        ({"origin": "https://app.example", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "https://APP.example"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://sub.shop.example", "sec-fetch-site": "same-site"}, False),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://shop.example.evil.example"}, False),
        ({"origin": "https://shop.example:444"}, False),
    ],
)
def test_only_pages_of_this_host_or_of_the_list_post(desk, headers, is_taken):
    """By Sec-Fetch-Site where the browser says it, else by Origin; scripts have neither."""
    for path, fields in (("", {"versus": "better"}), ("/state", {"state": "shown"})):
        offer = desk.offer()
        found = desk.post(offer, fields, headers, path, origins=["https://app.example/"])
        assert (found.status != 403) == is_taken
        assert (desk.state(offer) != "reserved") == is_taken


def test_a_page_elsewhere_is_let_in_by_name(desk):
    """CORS for the origins of the list, for no other, and never with credentials."""
    offer = desk.offer()
    how = {"origins": ["https://app.example"]}
    path = f"/o/{offer.token}"
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    preflight = desk.call("OPTIONS", path, asked, **how)
    assert preflight.header("access-control-allow-origin") == "https://app.example"
    assert "POST" in preflight.header("access-control-allow-methods")
    assert preflight.header("access-control-allow-credentials") is None
    shown = desk.call("GET", f"{path}.json", asked, **how)
    assert shown.header("access-control-allow-origin") == "https://app.example"
    foreign = desk.call("GET", f"{path}.json", {"origin": "https://evil.example"}, **how)
    assert foreign.header("access-control-allow-origin") is None
    assert foreign.header("vary") == "Origin"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("multipart/form-data; boundary=x", 415),
        ("text/plain", 415),
        ("", 415),
        (f"{FORM}; charset=UTF-8", 303),
    ],
)
def test_bodies_of_other_kinds_are_refused(desk, kind, status):
    """With a word that says what is taken."""
    offer = desk.offer()
    found = desk.call("POST", f"/o/{offer.token}", {"content-type": kind}, b"versus=better")
    assert found.status == status
    if status == 415:
        assert "application/x-www-form-urlencoded" in found.body.decode()
        assert desk.actions() == []


def test_what_cannot_be_answered_any_more_is_one_page(desk):
    """Expired, unknown, forged, of another service, of a chat: the same 410, byte for byte."""
    from cxsdk.prompts.token import TokenCodec

    good = desk.offer("score", channel="chat", context={"name": "A"})
    expired = desk.offer()
    now = desk.engine.now()
    foreign = TokenCodec([b"a key that is for tests only"], "other").sign(
        "x" * 16, "in_app", now + 60
    )
    unknown = desk.engine.codec.sign("0" * 36, "in_app", now + 60)
    late = desk.engine.codec.sign(expired.offer_id, "in_app", now - 60)
    forged = expired.token[:-4] + "AAAA"
    bodies = set()
    for token in (good.token, foreign, unknown, late, forged, "x", "%", "\u202e"):
        for method, body in (("GET", b""), ("POST", b"versus=better")):
            found = desk.call(method, f"/o/{token}", {"content-type": FORM}, body)
            assert found.status == 410
            bodies.add(found.body)
        assert desk.call("GET", f"/o/{token}.json").status == 410
        assert (
            desk.call("POST", f"/o/{token}/state", {"content-type": FORM}, b"state=shown").status
            == 410
        )
    assert len(bodies) == 1
    assert "This question is no longer open." in bodies.pop().decode()
    assert desk.actions() == []


def test_the_closed_page_is_in_the_language_of_the_reader(desk):
    """There is no offer to ask, so the browser's own wish decides."""
    for said, words in (
        ("de-CH,en;q=0.5", "nicht mehr offen"),
        ("fr;q=0.3, es", "ya no está"),
        ("", "no longer"),
    ):
        found = desk.call("GET", "/o/nothing", {"accept-language": said})
        assert found.body.decode().count(words) == 2  # title and text


@pytest.mark.parametrize("broken", [("find",), ("answer",)])
def test_a_store_that_is_down_says_when_to_try_again(desk, broken):
    """503 with Retry-After, and where the offer is known its form with all that was said."""
    offer = desk.offer("score", context={"name": "Anna"})
    desk.engine.store = Down(desk.store, *broken)
    found = desk.post(offer, {"score": "3", "why": "it broke"})
    assert (found.status, found.header("retry-after")) == (503, "10")
    assert ("it broke" in found.body.decode()) == (broken == ("answer",))
    body = b'{"answers":{"score":3}}'
    said = desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body)
    assert (said.status, json.loads(said.body)["code"]) == (503, "unavailable")
    desk.engine.store = desk.store
    assert desk.post(offer, {"score": "3", "why": "it broke"}).status == 303


def test_a_dismissal_that_is_not_kept_is_not_said_to_be(desk):
    """Whoever wants to be left alone learns when that failed."""
    offer = desk.offer()
    desk.engine.store = Down(desk.store, "advance")
    assert desk.post(offer, {"cx-action": "never_ask"}).status == 503
    assert desk.post(offer, {"state": "dismissed"}, path="/state").status == 503
    assert desk.state(offer) == "reserved"


def test_a_failure_of_ours_is_a_503(desk, caplog):
    """The host's server sees a response, the log why."""
    offer = desk.offer()

    def broken(*_):
        raise RuntimeError("a bug")

    desk.engine.find = broken
    assert desk.get(offer).status == 503
    assert "a bug" in caplog.text
    caplog.clear()
