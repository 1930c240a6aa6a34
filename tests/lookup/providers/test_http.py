"""
HTTP sources: what is asked, what answers mean, and servers that go away or dawdle.
"""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time

import httpx
import pytest
import respx

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import UNCHANGED, ErrorCode, Failed, Found
from cxsdk.lookup import HttpBatch, HttpProvider
from cxsdk.testing.conformance._context_means import in_child
from tests.lookup.providers.sources import request
from tests.prompts.cap_servers import Way
from tests.sinks.brokers import Mute

URL = "https://crm.example/customers/{id}"


@pytest.fixture
def make():
    """Make providers that are closed at the end."""
    made = []

    def make(url=URL, sections=None, **more):
        provider = HttpProvider(url, name="crm", sections=sections or {"profile": ""}, **more)
        made.append(provider)
        return provider

    yield make
    for provider in made:
        provider.close()


def failure(provider, *identifiers, **more):
    with pytest.raises(ProviderError) as caught:
        provider.fetch(request(*identifiers, **more))
    return caught.value


# ---- what answers mean ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "code", "retry_after"),
    [
        (401, {}, ErrorCode.AUTH, None),
        (403, {}, ErrorCode.AUTH, None),
        (407, {}, ErrorCode.AUTH, None),
        (400, {}, ErrorCode.UPSTREAM_4XX, None),
        (422, {}, ErrorCode.UPSTREAM_4XX, None),
        (429, {"Retry-After": "7"}, ErrorCode.RATE_LIMITED, 7.0),
        (429, {}, ErrorCode.RATE_LIMITED, None),
        (503, {"Retry-After": "3"}, ErrorCode.UPSTREAM_5XX, 3.0),
        (500, {"Retry-After": "3"}, ErrorCode.UPSTREAM_5XX, None),
        (502, {}, ErrorCode.UPSTREAM_5XX, None),
        (302, {"Location": "https://login.example"}, ErrorCode.GENERAL, None),
        (206, {}, ErrorCode.GENERAL, None),
        (304, {}, ErrorCode.GENERAL, None),
    ],
)
@respx.mock
def test_a_status_has_a_code(make, status, headers, code, retry_after):
    """Each kind of refusal is said in the words of the seam, never as nothing."""
    route = respx.get("https://crm.example/customers/c-1").respond(status, headers=headers)
    error = failure(make(), "c-1")
    assert (error.error_code, error.retry_after) == (code, retry_after)
    assert str(error) == f"crm: answered {status}"
    assert route.call_count == 1


@pytest.mark.parametrize("status", [204, 404, 410])
@respx.mock
def test_nothing_there_is_nothing(make, status):
    """Not found and gone are answers."""
    respx.get("https://crm.example/customers/c-1").respond(status)
    assert make().fetch(request("c-1")) == {"c-1": {}}


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("text/html", b"<html>please log in</html>", {}),
        ("", b"{}", {}),
        ("application/json", b'{"name": ', {}),
        ("application/json", b"", {}),
        ("application/json", b"\xff\xfe", {}),
        ("application/json", b"[" * 100_000, {}),
        ("application/json", b"x", {"Content-Encoding": "br"}),
        ("application/json", gzip.compress(b"{}", mtime=0)[:8], {"Content-Encoding": "gzip"}),
        ("application/json", gzip.compress(b" " * 5_000, mtime=0), {"Content-Encoding": "gzip"}),
        ("application/json", b'"' + b"x" * 2000 + b'"', {}),
    ],
    ids=["html", "nothing", "half", "empty", "latin", "deep", "brotli", "cut", "bomb", "long"],
)
@respx.mock
def test_what_is_no_json_is_an_error(make, kind, body, more):
    """Login pages, halves, bombs and what is too long are told apart from customers."""
    headers = {"Content-Type": kind, **more} if kind else more
    respx.get("https://crm.example/customers/c-1").respond(200, headers=headers, content=body)
    assert failure(make(max_bytes=1000), "c-1").error_code == ErrorCode.PARSE_ERROR


@respx.mock
def test_a_gzip_that_nobody_asked_for_is_undone(make):
    """Some proxies insist."""
    respx.get("https://crm.example/customers/c-1").respond(
        200,
        headers={"Content-Type": "application/vnd.crm+json", "Content-Encoding": "gzip"},
        content=gzip.compress(b'{"name": "Ann"}'),
    )
    assert make().fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}


# ---- where sections stand ------------------------------------------------------------------

DOCUMENT = {
    "person": {"fullName": "Ann", "mails": [{"address": "a@example.org"}], "tel": None},
    "calls": [{"no": 7, "order": {"id": "A-1"}}, {"no": 8}],
    "seen": "2026-11-20T10:00:00Z",
    "odd": "text",
}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("calls", DOCUMENT["calls"]),
        ("calls.1.no", 8),
        ("calls.9", None),
        ("person.none.of.it", None),
        ("", DOCUMENT),
        (
            {"name": "person.fullName", "email": "person.mails.0.address", "phone": "person.tel"},
            {"name": "Ann", "email": "a@example.org"},
        ),
        (
            ("calls", {"id": "no", "refs.order": "order.id"}),
            [{"id": 7, "refs": {"order": "A-1"}}, {"id": 8}],
        ),
        (("nothing", {"id": "no"}), None),
        (lambda document: {"name": document["person"]["fullName"].upper()}, {"name": "ANN"}),
        (lambda _: None, None),
    ],
)
@respx.mock
def test_a_section_is_found(make, part, value):
    """By path, by field map, by both, or by a function; what is null is absent."""
    respx.get("https://crm.example/customers/c-1").respond(json=DOCUMENT)
    answer = make(sections={"profile": part}, as_of="seen").fetch(request("c-1"))["c-1"]
    found = answer.get("profile")
    assert (found and found.value) == value
    if found:
        assert found.as_of.isoformat() == "2026-11-20T10:00:00+00:00"


@pytest.mark.parametrize(
    "part", ["odd.name", ("odd", {"name": "x"}), lambda document: document["c-1"]]
)
@respx.mock
def test_a_section_of_another_form_fails_alone(make, part):
    """The others are answered; the failure names no id and no value."""
    respx.get("https://crm.example/customers/c-1").respond(json=DOCUMENT)
    provider = make(sections={"profile": part, "calls": "calls"})
    answer = provider.fetch(request("c-1", sections=("profile", "calls")))["c-1"]
    words = "crm: profile is not where it was expected"
    assert answer["profile"] == Failed(ErrorCode.PARSE_ERROR, words)
    assert answer["calls"].value == DOCUMENT["calls"]


# ---- what is asked -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "path"),
    [
        ("../x", "/customers/..%2Fx"),
        ("a b/é?#", "/customers/a%20b%2F%C3%A9%3F%23"),
        ("a\\..\\b", "/customers/a%5C..%5Cb"),
        ("{id}", "/customers/%7Bid%7D"),
        ("a%2Fb", "/customers/a%252Fb"),
        ("x" * 1000, "/customers/" + "x" * 1000),
    ],
)
def test_an_id_stays_in_its_segment(make, source, identifier, path):
    """Whatever it is made of, the server sees one segment below the customers."""
    provider = make(f"{source.url}/customers/{{id}}")
    assert provider.fetch(request(identifier)) == {identifier: {}}
    assert [each[1] for each in source.requests] == [path]
    source.put(identifier, "name", "Ann")
    assert provider.fetch(request(identifier))[identifier]["profile"].value == {"name": "Ann"}


@pytest.mark.parametrize("identifier", ["", ".", "..", "x" * 5000, "a\nb", "\ud800"])
def test_an_id_that_would_leave_it_is_not_asked_for(make, source, identifier):
    """An empty one would be the list of all customers, dots the folder above."""
    provider = make(f"{source.url}/customers/{{id}}")
    answer = provider.fetch(request(identifier))
    assert answer[identifier]["profile"].code == ErrorCode.INVALID_SUBJECT
    assert source.requests == []


@respx.mock
def test_credentials_and_headers_are_sent(make):
    """A key, a user, or a user in the URL; and accept JSON, uncompressed."""
    route = respx.get("https://crm.example/customers/c-1").respond(404)
    for more in (
        {"api_key": "k3y"},
        {"auth": ("ann", "pw")},
        {"url": "https://ann:pw@crm.example/customers/{id}"},
    ):
        make(headers={"X-Tenant": "shop"}, **more).fetch(request("c-1"))
    sent = [call.request.headers for call in route.calls]
    assert [each["authorization"] for each in sent] == ["Bearer k3y"] + ["Basic YW5uOnB3"] * 2
    assert {(each["accept"], each["accept-encoding"], each["x-tenant"]) for each in sent} == {
        ("application/json", "identity", "shop")
    }


@respx.mock
def test_spaces_have_addresses_of_their_own(make):
    """A visitor is not asked for among customers, nor the other way round."""
    respx.get("https://crm.example/people?id=x%261").respond(json={"name": "known"})
    respx.get("https://crm.example/visitors/x%261").respond(json={"name": "visitor"})
    provider = make(
        {
            "id": "https://crm.example/people?id={id}",
            "anonymous": "https://crm.example/visitors/{id}",
        }
    )
    assert provider.spaces == ("id", "anonymous")
    for space, name in (("id", "known"), ("anonymous", "visitor")):
        answer = provider.fetch(request("x&1", space=space))
        assert answer["x&1"]["profile"].value == {"name": name}
    assert make().fetch(request("c-1", space="anonymous")) == {}


# ---- versions ------------------------------------------------------------------------------


def test_what_is_unchanged_is_not_sent_again(make, source):
    """The ETag of the last answer is given back; a change brings the new one."""
    provider = make(f"{source.url}/customers/{{id}}", {"profile": "profile", "all": ""})
    source.put("c-1", "profile", {"name": "Ann"})
    both = ("profile", "all")
    first = provider.fetch(request("c-1", sections=both))["c-1"]
    versions = {("c-1", name): said.version for name, said in first.items()}
    again = provider.fetch(request("c-1", sections=both, versions=versions))
    assert again == {"c-1": {"profile": UNCHANGED, "all": UNCHANGED}}
    one = {("c-1", "profile"): first["profile"].version}
    assert isinstance(
        provider.fetch(request("c-1", sections=both, versions=one))["c-1"]["profile"], Found
    )
    source.put("c-1", "profile", {"name": "Bea"})
    changed = provider.fetch(request("c-1", sections=both, versions=versions))["c-1"]
    assert changed["profile"].value == {"name": "Bea"}
    assert [each[2].get("If-None-Match") for each in source.requests] == [
        None,
        first["all"].version,
        None,
        first["all"].version,
    ]


@respx.mock
def test_a_date_is_a_version_too(make):
    """Without an ETag the date of the last change is asked with; what is no header is not."""
    date = "Fri, 20 Nov 2026 10:00:00 GMT"
    route = respx.get("https://crm.example/customers/c-1").respond(
        json={}, headers={"Last-Modified": date}
    )
    provider = make()
    version = provider.fetch(request("c-1"))["c-1"]["profile"].version
    assert version == date
    for told in (version, 'x"\r\nX: y'):
        provider.fetch(request("c-1", versions={("c-1", "profile"): told}))
    sent = [call.request.headers.get("if-modified-since") for call in route.calls]
    assert sent == [None, date, None]


# ---- batches -------------------------------------------------------------------------------


@respx.mock
def test_many_are_asked_for_at_once(make):
    """One POST; answers are taken by their id, and nobody else's."""
    route = respx.post("https://crm.example/search").respond(
        json={"hits": [{"key": 7, "name": "Ann"}, {"key": "x", "name": "Eve"}, {"key": "c-9"}]}
    )
    batch = HttpBatch(
        "https://crm.example/search",
        ids=lambda ids: {"where": {"key": ids}},
        items="hits",
        id="key",
        max=3,
    )
    provider = make(None, {"profile": {"name": "name"}}, batch=batch)
    answers = provider.fetch(request("7", "8", "", sections=("profile",)))
    assert json.loads(route.calls[0].request.content) == {"where": {"key": ["7", "8"]}}
    assert set(answers) == {"7", ""}
    assert answers["7"]["profile"].value == {"name": "Ann"}
    assert answers[""]["profile"].code == ErrorCode.INVALID_SUBJECT
    assert provider.max_batch == 3


@pytest.mark.parametrize(
    ("items", "answer", "code"),
    [
        ("", {"c-1": {"name": "Ann"}}, None),
        (lambda document: {d["n"]: d for d in document}, [{"n": "c-1", "name": "Ann"}], None),
        ("hits", {"hits": "none"}, ErrorCode.PARSE_ERROR),
        ("hits", {"hits": ["x"]}, ErrorCode.PARSE_ERROR),
        ("hits", {}, ErrorCode.PARSE_ERROR),
        (lambda document: document["c-1"], [], ErrorCode.PARSE_ERROR),
    ],
)
@respx.mock
def test_answers_of_a_batch_have_many_forms(make, items, answer, code):
    """A mapping, or what a function makes of it; another form is an error, not nothing."""
    respx.post("https://crm.example/search").respond(json=answer)
    provider = make(
        None, {"profile": ""}, batch=HttpBatch("https://crm.example/search", items=items)
    )
    if code is None:
        assert provider.fetch(request("c-1"))["c-1"]["profile"].value["name"] == "Ann"
    else:
        assert failure(provider, "c-1").error_code == code


# ---- servers that misbehave ----------------------------------------------------------------


def test_a_server_may_be_killed_and_come_back(make, source):
    """Kept connections die with it: an outage is said while it lasts, and then it works again."""
    source.put("c-1", "name", "Ann")
    provider = make(f"{source.url}/customers/{{id}}")
    for _ in range(2):
        assert provider.fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}
        source.kill()
        assert failure(provider, "c-1").error_code == ErrorCode.CONNECTION
        source.start()
        assert provider.fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}
    assert len(source.open) == 1


def test_a_connection_is_kept(make, source):
    """Requests one after the other share a connection, also after a 404."""
    provider = make(f"{source.url}/customers/{{id}}")
    for number in range(5):
        provider.fetch(request(f"c-{number}"))
    assert len(source.open) == 1


def test_a_way_that_freezes_ends_at_the_deadline(make, source):
    """In the middle of a kept connection, too; once it thaws, there are answers again."""
    source.put("c-1", "name", "Ann")
    way = Way("127.0.0.1", source.port)
    try:
        provider = make(f"http://127.0.0.1:{way.port}/customers/{{id}}")
        provider.fetch(request("c-1"))
        way.freeze()
        began = time.monotonic()
        assert failure(provider, "c-1", seconds=0.2).error_code == ErrorCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 2.0
        way.thaw()
        assert provider.fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}
    finally:
        way.close()


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"]
)
def test_a_server_that_dawdles_ends_at_the_deadline(make, head):
    """One byte at a time keeps every read short, and still the deadline holds."""
    door = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def dawdle():
        connection, _ = door.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(head)
                while not over.wait(0.02):
                    connection.sendall(b"x")
            except OSError:
                pass

    thread = threading.Thread(target=dawdle)
    thread.start()
    try:
        provider = make(f"http://127.0.0.1:{door.getsockname()[1]}/customers/{{id}}")
        began = time.monotonic()
        assert failure(provider, "c-1", seconds=0.3).error_code == ErrorCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 2.0
    finally:
        over.set()
        thread.join()
        door.close()


def test_each_thread_has_a_deadline_of_its_own(make, source):
    """Others that ask meanwhile, with more time, do not lengthen it."""
    provider = make(f"{source.url}/customers/{{id}}")
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(failure(provider, "slow", seconds=0.2).error_code)
    )
    thread.start()
    for _ in range(10_000):
        provider.fetch(request("c-1"))
        if codes:
            break
    source.over.set()
    thread.join()
    assert codes == [ErrorCode.DEADLINE_EXCEEDED]


def test_a_kept_connection_that_is_gone_costs_nothing(make):
    """The server hung up between two questions: the second one is asked on a new connection."""
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve():
            for answers in (1, 0, 1):
                if heard[-1:] != ["kept"]:
                    connection, _ = door.accept()
                connection.recv(65536)
                heard.append("kept" if answers and len(heard) < 1 else "closed")
                if answers:
                    connection.sendall(answer)
                if heard[-1] == "closed":
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        provider = make(f"http://127.0.0.1:{door.getsockname()[1]}/customers/{{id}}")
        for _ in range(2):
            assert provider.fetch(request("c-1")) == {"c-1": {}}
        thread.join()
    assert heard == ["kept", "closed", "closed"]


def test_a_new_connection_that_fails_is_not_tried_twice(make):
    """A server that hangs up on everybody is asked once."""
    mute = Mute()
    provider = make(f"http://127.0.0.1:{mute.port}/customers/{{id}}")
    assert failure(provider, "c-1").error_code == ErrorCode.CONNECTION
    assert len(mute._held) == 1
    mute.close()


def test_a_child_asks_on_a_connection_of_its_own(make, source):
    """The parent's stays the parent's, also when the child closes the provider."""
    provider = make(f"{source.url}/customers/{{id}}")
    provider.fetch(request("c-1"))
    assert in_child(lambda: (provider.fetch(request("c-2")), provider.close())[0]) == {"c-2": {}}
    provider.fetch(request("c-3"))
    parent, child, again = source.peers
    assert parent == again
    assert parent != child


def test_a_name_lookup_that_hangs_is_shared_and_left(make, monkeypatch):
    """Many ask for one host: one lookup is made, and nobody waits beyond the deadline."""
    free, looked = threading.Event(), []

    def hang(*args, **more):
        looked.append(args)
        free.wait(30)
        raise socket.gaierror(-3, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    provider = make("http://crm.invalid/customers/{id}")
    codes = []
    threads = [
        threading.Thread(
            target=lambda: codes.append(failure(provider, "c-1", seconds=0.3).error_code)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [ErrorCode.DEADLINE_EXCEEDED] * 4
    assert len(looked) == 1
    free.set()


def test_close_wakes_who_waits(make, ports):
    """A thread that waits for an answer is back when the provider is closed."""
    provider = make(f"http://127.0.0.1:{ports[1]}/customers/{{id}}")
    caught = []
    thread = threading.Thread(target=lambda: caught.append(failure(provider, "c-1")))
    thread.start()
    live = lambda: provider._caller._pool.get()._live  # noqa: E731
    while not live():
        time.sleep(0.01)
    provider.close()
    thread.join(10)
    assert not thread.is_alive()
    assert caught[0].error_code == ErrorCode.CONNECTION


# ---- the host's traces and logs ------------------------------------------------------------


def test_requests_are_invisible(make, source, caplog):
    """No span of an instrumented httpx, none suppressed for the host, and no line of a log."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    caplog.set_level(logging.DEBUG)
    spans, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    HTTPXClientInstrumentor().instrument(tracer_provider=tracers)
    try:
        make(f"{source.url}/customers/{{id}}").fetch(request("c-1"))
        assert spans.get_finished_spans() == ()
        assert [each for each in caplog.records if each.name.startswith("httpcore")] == []
        httpx.get(source.url)
        assert len(spans.get_finished_spans()) == 1
    finally:
        HTTPXClientInstrumentor().uninstrument()


# ---- what is wrong is said at once ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "https://crm.example/customers"}, r"crm\.url: expected \{id\}"),
        ({"url": "https://{id}.example/"}, "in the path or the query"),
        ({"url": "ftp://crm.example/{id}"}, "http://host"),
        ({"url": "https://crm.example/{id}#x"}, "fragment"),
        ({"url": "https://crm.example/ {id}"}, "spaces"),
        ({"url": None}, "or a batch"),
        ({"url": {"session": URL}}, "spaces"),
        ({"sections": {"profile": 7}}, "expected a path"),
        ({"sections": {"My Profile": ""}}, "tokens"),
        ({"takes": "hashed"}, "raw or wire"),
        ({"headers": {"Host": "x"}}, "Host"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"api_key": "a", "auth": ("b", "c")}, "not both"),
        ({"visibility_lag": -1}, "visibility_lag"),
    ],
)
def test_what_is_wrong_is_said_at_once(make, arguments, words):
    """The error names the argument and what is expected."""
    with pytest.raises(ConfigurationError, match=words):
        make(**arguments)


def test_a_batch_has_an_address():
    """Its URL is checked as the other one is."""
    with pytest.raises(ConfigurationError, match=r"batch\.url"):
        HttpBatch("crm.example")
