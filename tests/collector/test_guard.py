"""
Who may talk to the collector, and what a browser may do with its pages.
"""

from __future__ import annotations

import httpx
import pytest

from cxsdk.collector import Collector
from cxsdk.collector.guard import clean

KEY = "s3cret-key"


@pytest.fixture
def locked(tmp_path):
    """
    A client of a collector with a key.
    """
    with Collector(tmp_path / "locked.db", api_key=KEY) as running:
        with httpx.Client(base_url=running.url, trust_env=False) as client:
            yield client


@pytest.mark.parametrize(
    "path", ["/", "/events", "/customers", "/customers/c/journey", "/static/collector.css"]
)
def test_without_the_key_nothing_is_shown(locked, path):
    """Pages, events and the static files need the key; a browser is asked for it."""
    answer = locked.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Token {KEY}",
        "Basic !!!",
        "Basic czNjcmV0",
        f"bearer {KEY}x",
        "Bearer \xff",
    ],
)
def test_wrong_keys_are_refused(locked, facts, authorization):
    """A wrong, cut or oddly written key is 401, for posting too."""
    answer = locked.post(
        "/events",
        json=[facts.interaction()],
        headers={"authorization": authorization.encode("latin-1")},
    )
    assert answer.status_code == 401
    assert KEY not in answer.text


def test_key_opens_as_bearer_and_as_password(locked, facts):
    """Services show a bearer token, browsers a password with any name."""
    bearer = {"authorization": f"Bearer {KEY}"}
    assert locked.post("/events", json=[facts.interaction()], headers=bearer).status_code == 200
    assert locked.get("/", auth=("anyone", KEY)).status_code == 200


def test_health_is_open_and_tells_nothing(locked):
    """A probe needs no key and learns only that the collector answers."""
    assert locked.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_foreign_host_is_refused(http, host):
    """A name that was rebound to the loopback address gets nothing."""
    assert http.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4180", "127.0.0.1:1", "[::1]:4180"])
def test_loopback_names_are_allowed(http, host):
    """The names of this machine are taken with any port."""
    assert http.get("/healthz", headers={"host": host}).status_code == 200


def test_other_sites_may_not_post(http, facts):
    """A page elsewhere cannot send events with a visitor's browser; there is no CORS."""
    answer = http.post(
        "/events", json=[facts.interaction()], headers={"origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/events", "/nowhere", "/static/collector.css"])
def test_every_answer_carries_the_headers(http, path):
    """CSP, nosniff, no framing, no referrer, no store."""
    headers = http.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_clean_leaves_one_harmless_line():
    """Control, escape, separator and direction characters become question marks."""
    assert clean("a\r\n\x1b[1m\u2028\u202eb\x9b") == "a???[1m??b?"


@pytest.mark.parametrize("origin", ["http://[::1", "null", "http://evil.example", "]["])
def test_origins_that_are_no_url_are_foreign(http, caplog, origin):
    """They are refused as such, and nothing is logged as a failure."""
    assert http.get("/", headers={"origin": origin}).status_code == 403
    assert "Traceback" not in caplog.text
