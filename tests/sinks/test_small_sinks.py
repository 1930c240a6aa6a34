"""
Console, memory, null, and how a sink is found.
"""

import io
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import cxsdk.sinks
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.sinks import known_schemes, open_sink
from cxsdk.sinks.console import ConsoleSink
from cxsdk.sinks.memory import MemorySink
from cxsdk.sinks.null import NullSink
from cxsdk.typing import Batch, Delivered, Record, Retry

SETTINGS = Settings(service="s")


def batch_of(*payloads):
    return Batch(records=[Record(payload=p, lane="bulk", kind=0) for p in payloads], key="k")


def test_console_writes_a_line_per_event():
    """Time, type, subject and data stand in one line."""
    stream = io.StringIO()
    payload = b'{"time":"T","type":"a.b","subject":"c","data":{"x":1},"id":"i"}'
    assert ConsoleSink(stream).send(batch_of(payload)) == Delivered()
    assert stream.getvalue() == 'cx T a.b c {"x":1}\n'


def test_console_strips_control_characters():
    """No event can move the cursor, forge a line or turn the text around."""
    stream = io.StringIO()
    bad = '{"type":"a\\u001b[2Jb\\ncx forged","subject":"\u202ex"}'.encode()
    ConsoleSink(stream).send(batch_of(bad, b"\x1b no json \r\n"))
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert not set(text) & set("\x1b\r\u202e")


def test_console_without_a_terminal(monkeypatch):
    """A process without standard error has nobody to read it; a broken one is a retry."""
    monkeypatch.setattr(sys, "stderr", None)
    assert ConsoleSink().send(batch_of(b"{}")) == Delivered()
    closed = io.StringIO()
    closed.close()
    assert isinstance(ConsoleSink(closed).send(batch_of(b"{}")), Retry)


def test_console_survives_a_narrow_encoding():
    """What the stream cannot encode is escaped, not raised."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    assert ConsoleSink(stream).send(batch_of('{"type":"grün"}'.encode())) == Delivered()
    assert raw.getvalue() == b"cx gr\\xfcn\n"


def test_memory_keeps_the_last_batches(make_batch):
    """It is bounded: the oldest batch goes first."""
    sink = MemorySink(2)
    batches = [make_batch(n) for n in (1, 2, 3)]
    for batch in batches:
        sink.send(batch)
    assert sink.batches == batches[1:]
    assert [event["id"] for event in sink.events] == ["e0", "e1", "e0", "e1", "e2"]
    sink.clear()
    assert sink.batches == []


def test_memory_from_a_url():
    """Name and bound can stand in the URL; a bound of none is refused."""
    sink = MemorySink.from_url("memory://here?max_batches=7", settings=SETTINGS)
    assert sink.fingerprint == "memory:here"
    for text in ("0", "x"):
        with pytest.raises(ConfigurationError):
            MemorySink.from_url(f"memory:?max_batches={text}", settings=SETTINGS)


def test_null_counts(make_batch):
    """It takes everything and remembers how many."""
    sink = NullSink()
    sink.send(make_batch(3))
    assert sink.events == 3


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h", "HttpSink"),
        ("HTTPS://h", "HttpSink"),
        ("file:/tmp/x", "FileSink"),
        ("console:", "ConsoleSink"),
        ("memory:", "MemorySink"),
        ("null:", "NullSink"),
    ],
)
def test_built_in_schemes(url, name, monkeypatch):
    """Every built-in scheme opens without a look at installed packages."""

    def scan(**_):
        raise AssertionError("scanned")

    monkeypatch.setattr("importlib.metadata.entry_points", scan)
    assert type(open_sink(url, settings=SETTINGS)).__name__ == name


def test_a_sink_is_its_own():
    """A Sink object is taken as it is, anything else is refused."""
    sink = NullSink()
    assert open_sink(sink, settings=SETTINGS) is sink
    with pytest.raises(ConfigurationError, match="got int"):
        open_sink(7, settings=SETTINGS)


@pytest.mark.parametrize("url", ["gopher://h", "", "plain words"])
def test_unknown_schemes_name_the_known(url):
    """The message lists every scheme that works."""
    with pytest.raises(ConfigurationError, match="console, file, http, https, kafka, memory"):
        open_sink(url, settings=SETTINGS)


def test_entry_points_are_found(monkeypatch):
    """A scheme that another package registered is opened by its factory."""
    point = EntryPoint("else", f"{__name__}:made", "cxsdk.sinks")
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda **kw: EntryPoints([point]).select(**kw)
    )
    assert isinstance(open_sink("else:x", settings=SETTINGS), NullSink)
    assert "else" in known_schemes()


def test_a_missing_package_names_its_extra(monkeypatch):
    """A sink whose package is not installed says what to install."""
    point = EntryPoint("pulsar", "pulsar_nonsense:Sink", "cxsdk.sinks")
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda **kw: EntryPoints([point]).select(**kw)
    )
    with pytest.raises(ExtraMissingError, match=r"pulsar_nonsense.*cxsdk\[pulsar\]"):
        open_sink("pulsar://h", settings=SETTINGS)


def made(url, *, settings):
    return NullSink()


def _this():
    import types

    module = types.ModuleType(__name__)
    module.made = made
    return module


def test_import_is_light():
    """Opening an HTTP sink loads neither httpcore nor httpx nor tenacity."""
    import subprocess

    code = (
        "import sys; from cxsdk.sinks import open_sink; from cxsdk.config import Settings;"
        "import cxsdk.delivery; open_sink('http://h', settings=Settings(service='s'));"
        "print([m for m in ('httpcore', 'httpx', 'tenacity', 'certifi') if m in sys.modules])"
    )
    root = str(__import__("pathlib").Path(cxsdk.sinks.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
