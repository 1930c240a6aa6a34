"""
What the sinks with words of their own have in common, against servers that check what they get.
"""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import cxsdk as cx
from cxsdk.config import DeliveryOptions, Settings, SpoolOptions
from cxsdk.errors import ConfigurationError
from cxsdk.sinks import open_sink
from cxsdk.sinks.otlp import OtlpSink
from cxsdk.sinks.posthog import PosthogSink
from cxsdk.sinks.segment import SegmentSink
from cxsdk.testing import faults
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Batch, Delivered, Hold, Partial, Record, Refused, Retry, Split
from tests.events.golden import FOLDER
from tests.sinks.servers import KEY, SIDES, well

KINDS = {
    "otlp": (OtlpSink, {}),
    "otlp-protobuf": (OtlpSink, {"encoding": "protobuf"}),
    "segment": (SegmentSink, {"api_key": KEY}),
    "posthog": (PosthogSink, {"api_key": KEY}),
}
AGES = 60.0


def side(kind):
    return kind.partition("-")[0]


def server_of(kind, always=None):
    return FaultCollector(always or well(side(kind)), read=SIDES[side(kind)][0])


def batch_of(*payloads):
    records = [Record(payload=payload, lane="bulk", kind=0) for payload in payloads]
    return Batch(records=tuple(records), key="k")


def event(name, pad=0):
    where = {"channel": "web", "medium": "web_page", "touchpoint": "t"}
    data = {"interaction_id": name, "customer": {"id": "u"}, "where": where, "pad": "x" * pad}
    return json.dumps(
        {
            "specversion": "1.0",
            "id": name,
            "source": "urn:service:shop",
            "type": "dev.cxsdk.interaction.completed.v1",
            "time": "2026-11-22T09:14:05.120000Z",
            "data": data,
        }
    ).encode()


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def server(kind):
    with server_of(kind) as running:
        yield running


@pytest.fixture
def sink(kind, server):
    cls, options = KINDS[kind]
    made = cls(server.url, timeout=5.0, compress=True, **options)
    yield made
    made.close()


# ---- one request --------------------------------------------------------------------------


def test_the_whole_corpus_is_taken(sink, server):
    """Every event of the standard, in one request that the other side's own check passes."""
    corpus = [path.read_bytes() for path in sorted(FOLDER.glob("*-*-*/*.json"))]
    assert sink.send(batch_of(*corpus)) == Delivered()
    assert len(server.requests[0].events) == len(corpus)
    assert server.requests[0].headers["content-encoding"] == "gzip"


def test_without_compression(kind, server):
    """For servers that read compressed bodies wrongly."""
    cls, options = KINDS[kind]
    made = cls(server.url, compress=False, **options)
    assert made.send(batch_of(event("a", 5000))) == Delivered()
    assert "content-encoding" not in server.requests[0].headers
    made.close()


def test_an_event_that_cannot_be_read_is_refused_alone(sink, server):
    """The others of its batch are delivered, and it is named by its place."""
    odd = b'{"id":"odd","type":"dev.cxsdk.problem.encountered.v1","data":{"customer":7}}'
    result = sink.send(batch_of(event("a"), b"what?", event("b"), odd))
    assert isinstance(result, Partial)
    assert sorted(result.refused) == [1, 3]
    assert len(server.accepted) == 2
    nothing = sink.send(batch_of(b"what?"))
    assert list(nothing.refused) == [0]
    assert len(server.requests) == 1


def test_verdicts_keep_their_places(kind, server):
    """What was refused here and what there do not get mixed up."""
    cls, options = KINDS[kind]
    made = cls(server.url, **options)
    names = [read_id(kind, event(name)) for name in ("a", "b")]
    server.always = in_a_list(names, {names[1]: 422})
    result = made.send(batch_of(b"what?", event("a"), b"no", event("b")))
    assert sorted(result.refused) == [0, 2, 3]
    assert result.retry == frozenset()
    made.close()


def in_a_list(names, codes):
    results = [{"index": n, "status": codes.get(name, 200)} for n, name in enumerate(names)]
    return faults.status(207, body=json.dumps({"results": results}).encode())


def read_id(kind, payload):
    from cxsdk.events.mappings import posthog
    from cxsdk.events.mappings._fact import read

    return posthog.event_uuid(read(payload)) if kind == "posthog" else read(payload).id


@pytest.mark.parametrize("code", [400, 422])
def test_a_refused_batch_is_refused(sink, server, code):
    """Delivery finds out which event it is."""
    server.script(faults.status(code, body=b'{"message":"bad"}'))
    result = sink.send(batch_of(event("a"), event("b")))
    assert isinstance(result, Refused)
    assert "bad" in result.detail


@pytest.mark.parametrize("code", [429, 502, 503, 504, 500])
def test_a_transient_answer_waits_as_asked(sink, server, code):
    """With Retry-After as a minimum."""
    server.script(faults.status(code, retry_after="7"))
    result = sink.send(batch_of(event("a")))
    assert isinstance(result, Retry)
    assert result.after == 7.0
    assert result.throttled == (code == 429)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (faults.status(413), Split),
        (faults.status(401), Hold),
        (faults.status(404), Hold),
        (faults.html_login(), Hold),
        (faults.reset(), Retry),
        (faults.hang(0.1), Retry),
        (faults.raw(b"what?"), Retry),
    ],
)
def test_other_answers(sink, server, answer, expected):
    """The table of delivery holds for these destinations too."""
    server.script(answer, answer)
    assert isinstance(sink.send(batch_of(event("a"), event("b"))), expected)


# ---- addresses ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["otlp", "segment", "posthog"])
@pytest.mark.parametrize("url", ["{}+ftp://h", "{}+http:h", "{}+https:/h", "{}+http://", "{}://h"])
def test_a_wrong_url_is_said_without_repeating_it(name, url):
    """It may hold a key."""
    settings = Settings(service="shop", api_key=KEY)
    cls = KINDS[name][0]
    with pytest.raises(ConfigurationError) as caught:
        cls.from_url(url.format(name).replace("//h", f"//{KEY}@h"), settings=settings)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("otlp+http://h:4318", "http://h:4318/v1/logs"),
        ("otlp+https://h/", "https://h/v1/logs"),
        ("otlp+https://h/otlp/v1/logs?a=1&encoding=protobuf&a=2", "https://h/otlp/v1/logs?a=1&a=2"),
        ("otlp+https://h/x?q=%2F", "https://h/x?q=%2F"),
        ("segment+https://api.segment.io", "https://api.segment.io/v1/batch"),
        ("segment+http://rudder:8080/v1/batch", "http://rudder:8080/v1/batch"),
        ("posthog+https://us.i.posthog.com", "https://us.i.posthog.com/batch/"),
        ("posthog+https://proxy.example/ingest/batch/", "https://proxy.example/ingest/batch/"),
    ],
)
def test_the_path_is_the_documented_one_where_it_is_empty(url, target):
    """And taken as it is elsewhere."""
    made = open_sink(url, settings=Settings(service="shop", api_key=KEY))
    assert made._target == target
    protocol = url.partition("+")[0]
    assert made.fingerprint == f"{protocol}+{target.partition('?')[0]}"
    assert getattr(made, "encoding", "json") == ("protobuf" if "protobuf" in url else "json")


@pytest.mark.parametrize("name", ["segment", "posthog"])
def test_a_key_is_needed_once(name):
    """In the URL, as an argument or from the settings; none or two are an error."""
    cls = KINDS[name][0]
    bare = Settings(service="shop")
    assert cls.from_url(f"{name}+https://{KEY}@h", settings=bare).api_key == KEY
    both = cls.from_url(f"{name}+https://mine@h", settings=Settings(service="s", api_key=KEY))
    assert both.api_key == "mine"
    for make in (
        lambda: cls.from_url(f"{name}+https://h", settings=bare),
        lambda: cls("https://h"),
        lambda: cls(f"https://{KEY}@h", api_key="other"),
        lambda: cls(f"https://user:{KEY}@h"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert KEY not in str(caught.value)


# ---- a client of its own ------------------------------------------------------------------


@contextmanager
def client_to(sink, folder, **options):
    delivery = {"linger": 0.05, "retry_base": 0.02, "retry_cap": 0.1, **options}
    client = cx.Client(
        "shop",
        collector=sink,
        spool=SpoolOptions(mode="mmap", directory=folder, min_free_bytes=0),
        delivery=DeliveryOptions(**delivery),
    )
    try:
        yield client
    finally:
        client.close(0)


def emit(client, count):
    made = [client.record("parcel.handover", customer=f"u-{n}") for n in range(count)]
    assert all(made)
    return [each.id for each in made]


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(503, retry_after="0"),
        faults.status(429, retry_after="0.1"),
        faults.hang(0.05),
        faults.reset(),
        faults.close_mid_body(),
        faults.drop_response_after_accept(),
        faults.raw(b"what?"),
    ],
)
def test_nothing_is_lost(sink, server, tmp_path, fault):
    """After two faults of any transient kind everything arrives, duplicates under equal ids."""
    server.script(fault, fault)
    with client_to(sink, tmp_path) as client:
        ids = emit(client, 60)
        assert client.flush(AGES).pending == 0
        figures = client.stats()["sinks"]["default"]
    assert sorted(server.ids) == sorted(ids)
    assert figures["delivered"] == 60
    assert figures["dropped"] == {}


def test_poison_is_found_and_the_rest_arrives(sink, server, tmp_path):
    """A 400 for the whole batch costs one event."""
    with client_to(sink, tmp_path) as client:
        ids = emit(client, 40)
        poison = ids[17]
        refuse = faults.refuse_batches_with(lambda name: name == poison)
        server.always = refuse
        report = client.flush(AGES)
    assert (report.delivered, report.dropped) == (39, 1)
    assert set(ids) - set(server.ids) == {poison}


class Process:
    """The other side in a process of its own, that can be killed and comes back on its port."""

    def __init__(self, kind, folder):
        self.kind, self.journal, self.port = kind, folder / "journal", 0
        self.journal.touch()
        self.start()

    def start(self):
        root = Path(__file__).parent.parent.parent
        program = [sys.executable, "-m", "tests.sinks.servers", self.kind, str(self.port)]
        self.process = subprocess.Popen(
            [*program, str(self.journal)], stdout=subprocess.PIPE, text=True, cwd=root
        )
        self.port = int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def ids(self):
        return self.journal.read_text().split()

    def wait_for(self, count):
        ends = time.monotonic() + AGES
        while len(set(self.ids)) < count:
            assert time.monotonic() < ends, f"{len(set(self.ids))} of {count} arrived"
            time.sleep(0.01)


def test_a_server_that_is_killed_mid_stream(kind, tmp_path):
    """SIGKILL between two requests or in one, events meanwhile, a restart: all arrive."""
    server = Process(side(kind), tmp_path)
    cls, options = KINDS[kind]
    sink = cls(f"http://127.0.0.1:{server.port}", timeout=2.0, **options)
    try:
        with client_to(sink, tmp_path / "spool", max_batch_events=20) as client:
            assert client.stats()["spool"]["level"] in {"mmap", "write"}
            ids = emit(client, 300)
            server.wait_for(40)
            server.kill()
            ids += emit(client, 100)
            client.flush(0.3)
            assert len(set(server.ids)) < 400
            server.start()
            ids += emit(client, 100)
            assert client.flush(AGES).pending == 0
            figures = client.stats()["sinks"]["default"]
    finally:
        server.kill()
    assert set(server.ids) == set(ids)
    assert (figures["delivered"], figures["dropped"], figures["dead_lettered"]) == (500, {}, 0)
