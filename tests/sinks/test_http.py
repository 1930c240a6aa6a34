"""
What the HTTP sink puts on the wire, and how it treats connections.
"""

import gzip
import json
import logging
import os
import socket
import threading

import httpx
import pytest
import respx

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.sinks.http import HttpSink
from cxsdk.testing import faults
from cxsdk.testing.clock import FakeClock
from cxsdk.typing import Delivered, Hold, Partial, Refused, Retry, Split


def test_a_batch_is_a_cloudevents_batch(collector, make_sink, make_batch):
    """The body is the spooled bytes in a JSON array; the headers say what and when."""
    sink = make_sink(collector.url, api_key="s3cret", clock=FakeClock())
    batch = make_batch(3)
    assert sink.send(batch) == Delivered()
    request = collector.requests[0]
    assert request.wire_bytes == batch.body()
    assert request.path == "/events"
    assert request.headers["content-type"] == "application/cloudevents-batch+json"
    assert request.headers["idempotency-key"] == "key-1"
    assert request.headers["cxsdk-sent-at"] == "2026-01-01T00:00:00.000000Z"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("cxsdk/")


def test_the_closing_count_stands_beside_the_body(collector, make_sink, make_batch):
    """Once told how many there were, a sink says so with each request; the body is the same."""
    sink = make_sink(collector.url)
    sink.send(make_batch(3))
    sink.count_out("ab12", {"vital": 3, "bulk": 40})
    sink.send(make_batch(3))
    before, after = collector.requests
    assert "cxsdk-closing-count" not in before.headers
    assert after.headers["cxsdk-closing-count"] == "ab12; bulk=40; vital=3"
    assert before.wire_bytes == after.wire_bytes


def test_large_bodies_are_compressed_the_same_each_time(collector, make_sink, make_batch):
    """Above 1 KiB a body is gzipped, and a second attempt has the same bytes."""
    sink = make_sink(collector.url, compress=True)
    batch = make_batch(10, pad=200)
    sink.send(batch)
    sink.send(batch)
    first, second = collector.requests
    assert first.headers["content-encoding"] == "gzip"
    assert gzip.decompress(first.wire_bytes) == batch.body()
    assert first.wire_bytes == second.wire_bytes


@pytest.mark.parametrize(("host", "coding"), [("127.0.0.1", None), ("shop.test", "gzip")])
def test_this_machine_gets_plain_bodies(make_sink, make_batch, host, coding):
    """By default another host gets gzip, and this machine the bytes as they are."""
    import respx

    with respx.mock(using="httpcore") as router:
        route = router.post(f"http://{host}:4180/events").respond(200)
        sink = make_sink(f"http://{host}:4180")
        assert sink.send(make_batch(10, pad=200)) == Delivered()
    assert route.calls.last.request.headers.get("content-encoding") == coding


def test_single_events(collector, make_sink, make_batch):
    """Without batch mode each event is a structured request of its own key."""
    sink = make_sink(collector.url, batch=False)
    assert sink.send(make_batch(3)) == Delivered()
    assert [request.ids for request in collector.requests] == [["e0"], ["e1"], ["e2"]]
    assert {request.headers["content-type"] for request in collector.requests} == {
        "application/cloudevents+json"
    }
    assert len({request.headers["idempotency-key"] for request in collector.requests}) == 3


def test_single_events_stop_at_trouble(collector, make_sink, make_batch):
    """In single mode what is in stays in, a refused one is named, the rest comes again."""
    collector.script(faults.ok(), faults.status(422, body=b"bad"), faults.ok(), faults.status(503))
    sink = make_sink(collector.url, batch=False)
    result = sink.send(make_batch(5))
    assert result == Partial(refused={1: "http 422 bad"}, retry=frozenset({3, 4}))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(faults.status(503), Retry), (faults.status(422), Refused), (faults.status(413), Split)],
)
def test_a_single_event_gets_the_plain_verdict(collector, make_sink, make_batch, answer, kind):
    """In single mode a batch of one is judged like any other."""
    collector.script(answer)
    assert isinstance(make_sink(collector.url, batch=False).send(make_batch(1)), kind)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/events"),
        ("/", "/events"),
        ("/v2/in", "/v2/in"),
        ("/v2/?k=1&k=%20", "/v2/?k=1&k=%20"),
        ("/a//b/", "/a//b/"),
    ],
)
def test_the_url_is_verbatim(collector, make_sink, make_batch, url, path):
    """A path is left as it is; only an empty one becomes /events."""
    make_sink(collector.url + url).send(make_batch())
    assert collector.requests[0].path == path


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "file:///etc/passwd",
        "http://",
        "https:///x",
        "http://h:99999/",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://bücher.example/",
        "gopher://h",
    ],
)
def test_wrong_urls_are_refused_early(url):
    """Other schemes, missing hosts and characters that split a request never get to a socket."""
    with pytest.raises(ConfigurationError):
        HttpSink(url)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: b"},
        {"X A": "b"},
        {"X-A": "\x00"},
        {"X-A": "☃"},
        {"Content-Length": "1"},
        {"Host": "x"},
        {"X-A": " b"},
    ],
)
def test_wrong_headers_are_refused_early(headers):
    """A header that could smuggle another, or one of ours, is a configuration error."""
    with pytest.raises(ConfigurationError):
        HttpSink("http://h", headers=headers)


def test_an_api_key_is_checked_as_a_header():
    """A key with a line end is refused, and the message does not repeat it."""
    with pytest.raises(ConfigurationError) as caught:
        HttpSink("http://h", api_key="s3cret\nX: y")
    assert "s3cret" not in str(caught.value)


def test_credentials_in_the_url_become_basic(collector, make_sink, make_batch):
    """user:password@ is sent as basic authentication and shown nowhere."""
    sink = make_sink(collector.url.replace("//", "//us%20er:p%40ss@"))
    sink.send(make_batch())
    assert collector.requests[0].headers["authorization"] == "Basic dXMgZXI6cEBzcw=="
    assert "ss" not in sink.fingerprint + repr(sink)


def test_two_credentials_are_one_too_many():
    """Credentials in the URL and an API key contradict each other."""
    with pytest.raises(ConfigurationError):
        HttpSink("http://u:p@h", api_key="k")


def test_query_secrets_are_not_in_the_fingerprint():
    """A token in the query is part of the target, not of what is shown."""
    sink = HttpSink("https://h/x?token=s3cret")
    assert sink.fingerprint == "https://h/x"
    assert "s3cret" not in repr(sink)


def test_from_url_takes_the_key_of_the_settings(collector, make_batch):
    """The API key of init reaches the wire."""
    sink = HttpSink.from_url(collector.url, settings=Settings(service="s", api_key="abc123"))
    sink.send(make_batch())
    sink.close()
    assert collector.requests[0].headers["authorization"] == "Bearer abc123"


def test_the_refresh_hook_is_asked_once(collector, make_sink, make_batch):
    """After a 401 a new key is fetched once and used from then on."""
    collector.script(faults.status(401))
    asked = []
    sink = make_sink(collector.url, api_key="old", refresh=lambda: asked.append(1) or "new")
    assert sink.send(make_batch()) == Delivered()
    assert sink.send(make_batch()) == Delivered()
    assert len(asked) == 1
    assert [r.headers["authorization"] for r in collector.requests] == [
        "Bearer old",
        "Bearer new",
        "Bearer new",
    ]


def test_a_refresh_that_does_not_help_holds(collector, make_sink, make_batch):
    """If the new key is refused too, or the hook breaks, it is a hold after two or one requests."""
    collector.always = faults.status(403)

    def broken():
        raise OSError("vault is down")

    assert isinstance(make_sink(collector.url, refresh=lambda: "new").send(make_batch()), Hold)
    assert len(collector.requests) == 2
    assert isinstance(make_sink(collector.url, refresh=broken).send(make_batch()), Hold)
    assert len(collector.requests) == 3


@pytest.mark.parametrize("code", [406, 415])
def test_without_compression_once(collector, make_sink, make_batch, code):
    """A destination that does not take gzip gets the same batch plain, and is remembered."""
    collector.script(faults.status(code))
    sink = make_sink(collector.url, compress=True)
    batch = make_batch(10, pad=200)
    assert sink.send(batch) == Delivered()
    assert sink.send(batch) == Delivered()
    assert [request.headers.get("content-encoding") for request in collector.requests] == [
        "gzip",
        None,
        None,
    ]


def test_a_type_nobody_wants_holds(collector, make_sink, make_batch):
    """If it does not take the plain one either, it is a hold."""
    collector.always = faults.status(415)
    sink = make_sink(collector.url, compress=True)
    assert isinstance(sink.send(make_batch(10, pad=200)), Hold)
    assert len(collector.requests) == 2


def test_misdirected_gets_one_new_connection(collector, make_sink, make_batch):
    """421 means this connection is the wrong one: once more on another, then hold."""
    collector.script(faults.status(421))
    sink = make_sink(collector.url)
    assert sink.send(make_batch()) == Delivered()
    assert collector.connections == 2
    collector.always = faults.status(421)
    assert isinstance(sink.send(make_batch()), Hold)


def test_a_connection_is_kept(collector, make_sink, make_batch):
    """Batches share one connection."""
    sink = make_sink(collector.url)
    for _ in range(5):
        sink.send(make_batch())
    assert collector.connections == 1


def test_a_stale_connection_is_replaced_once(collector, make_sink, make_batch):
    """A reset on a kept-alive connection before any byte is tried once on a fresh one."""
    sink = make_sink(collector.url)
    sink.send(make_batch())
    collector.script(faults.reset())
    assert sink.send(make_batch()) == Delivered()
    assert collector.connections == 2


def test_two_resets_are_a_retry(collector, make_sink, make_batch):
    """If the fresh connection breaks as well, it is the destination's trouble."""
    sink = make_sink(collector.url)
    sink.send(make_batch())
    collector.script(faults.reset(), faults.reset())
    before = len(collector.requests)
    assert isinstance(sink.send(make_batch()), Retry)
    assert len(collector.requests) == before + 2


def test_a_fresh_connection_is_not_tried_twice(collector, make_sink, make_batch):
    """A reset on the first connection is a retry at once: the request may have arrived."""
    collector.script(faults.reset())
    result = make_sink(collector.url).send(make_batch())
    assert isinstance(result, Retry)
    assert result.uncertain
    assert len(collector.requests) == 1


def test_a_forked_child_leaves_the_connection_alone(collector, make_sink, make_batch):
    """A child sends over a connection of its own, and the parent's still works."""
    sink = make_sink(collector.url)
    sink.send(make_batch())
    child = os.fork()
    if not child:
        done = isinstance(sink.send(make_batch()), Delivered)
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sink.send(make_batch()) == Delivered()
    assert collector.connections == 2


def test_close_ends_a_running_send(collector, make_sink, make_batch):
    """Close from another thread wakes a send that waits for an answer."""
    collector.always = faults.hang(30)
    sink = make_sink(collector.url)
    results = []
    sender = threading.Thread(target=lambda: results.append(sink.send(make_batch())))
    sender.start()
    assert collector.wait_for_requests(1)
    sink.close()
    sender.join(5)
    assert not sender.is_alive()
    assert isinstance(results[0], Retry)


def test_hurry_ends_a_send_early(collector, make_sink, make_batch):
    """A process with half a second left does not wait ten for an answer."""
    collector.always = faults.hang(30)
    sink = make_sink(collector.url)
    sink.hurry(0.2)
    result = sink.send(make_batch())
    assert isinstance(result, Retry)
    assert result.reason.startswith("timeout")


def test_environment_proxies_are_not_asked(collector, make_sink, make_batch, monkeypatch):
    """HTTP_PROXY changes nothing unless trust_env says so."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert make_sink(collector.url).send(make_batch()) == Delivered()
    assert isinstance(make_sink(collector.url, trust_env=True).send(make_batch()), Retry)


def test_a_proxy_is_used(collector, make_sink, make_batch):
    """An explicit proxy gets the request with the absolute URL."""
    sink = make_sink("http://collector.invalid/in", proxy=collector.url)
    assert sink.send(make_batch()) == Delivered()
    assert collector.requests[0].path == "http://collector.invalid/in"


def test_requests_are_invisible(collector, make_sink, make_batch, caplog):
    """Inside a send, instrumentation is suppressed and httpcore's debug log is silent."""
    from opentelemetry import context

    seen = []
    sink = make_sink(collector.url, refresh=lambda: seen.append(context.get_current()) or "k")
    collector.script(faults.status(401))
    with caplog.at_level(logging.DEBUG):
        sink.send(make_batch())
    values = [value for key, value in seen[0].items() if "suppress" in key]
    assert len(values) >= 2
    assert all(values)
    assert not [record for record in caplog.records if record.name.startswith("httpcore")]
    assert not [key for key in context.get_current() if "suppress" in key]


def test_no_secret_is_logged(collector, make_sink, make_batch, caplog):
    """Whatever goes wrong, no log line and no result holds the key."""
    collector.script(
        faults.status(401, body=b"bad key s3cret-key"), faults.status(400, body=b"s3cret-key")
    )
    sink = make_sink(collector.url, api_key="s3cret-key", headers={"X-Tenant": "t3nant-key"})
    with caplog.at_level(logging.DEBUG):
        results = [sink.send(make_batch()), sink.send(make_batch())]
    shown = caplog.text + repr(results) + repr(sink) + sink.fingerprint
    assert "s3cret-key" not in shown
    assert "t3nant-key" not in shown


@respx.mock
@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (httpx.Response(202, json={"rejected": []}), Delivered),
        (httpx.Response(503), Retry),
        (httpx.Response(413), Split),
        (httpx.Response(422), Refused),
        (httpx.Response(404), Hold),
        (httpx.Response(101), Hold),
        (httpx.Response(599), Hold),
    ],
)
def test_verdicts_through_respx(make_batch, effect, kind):
    """A team that mocks HTTP with respx sees our requests and steers our verdicts."""
    route = respx.post("https://cx.example/events").mock(return_value=effect)
    sink = HttpSink("https://cx.example")
    assert isinstance(sink.send(make_batch()), kind)
    assert len(json.loads(route.calls[0].request.content)) == 3
    sink.close()


def test_an_unknown_name_is_a_retry(make_sink, make_batch, monkeypatch):
    """A name that does not resolve is transient: DNS comes and goes."""

    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = make_sink("http://collector.invalid").send(make_batch())
    assert isinstance(result, Retry)
    assert not result.uncertain
