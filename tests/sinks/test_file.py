"""
The NDJSON file: whole batches, repaired at open.
"""

import json
import os
import stat

import pytest

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.sinks.file import FileSink
from cxsdk.typing import Delivered, Hold, Retry

SETTINGS = Settings(service="s")


def test_one_line_per_event(tmp_path, make_batch):
    """Each event is one line of JSON, and a second batch comes behind the first."""
    sink = FileSink(tmp_path / "x.ndjson")
    assert sink.send(make_batch(2)) == Delivered()
    assert sink.send(make_batch(1)) == Delivered()
    sink.close()
    lines = (tmp_path / "x.ndjson").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["e0", "e1", "e0"]


def test_one_write_per_batch(tmp_path, make_batch, monkeypatch):
    """A batch is one system call, so that readers and other writers never see half of it."""
    writes = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(len(data)) or real(fd, data))
    FileSink(tmp_path / "x").send(make_batch(50))
    assert len(writes) == 1


def test_the_file_is_private(tmp_path, make_batch):
    """The file is made readable for its owner alone."""
    FileSink(tmp_path / "x").send(make_batch())
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


@pytest.mark.parametrize("tail", [b'{"half', b"x" * 200_000, b""])
@pytest.mark.parametrize("before", [b"", b'{"id":"old"}\n'])
def test_a_torn_last_line_is_cut_off(tmp_path, make_batch, before, tail):
    """What a crash left behind the last line end is gone at open, the rest is untouched."""
    path = tmp_path / "x"
    path.write_bytes(before + tail)
    FileSink(path).send(make_batch(1))
    assert path.read_bytes() == before + make_batch(1).records[0].payload + b"\n"


def test_a_short_write_is_taken_back(tmp_path, make_batch, monkeypatch):
    """A disk that fills up in the middle of a batch leaves no half line, and the batch comes again."""
    sink = FileSink(tmp_path / "x")
    sink.send(make_batch(1))
    size = (tmp_path / "x").stat().st_size
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))
    assert isinstance(sink.send(make_batch(3)), Retry)
    assert (tmp_path / "x").stat().st_size == size
    monkeypatch.undo()
    assert sink.send(make_batch(3)) == Delivered()


def test_fsync_waits_for_the_disk(tmp_path, make_batch, monkeypatch):
    """With fsync=1 each batch is synced before it is said to be delivered."""
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    sink = FileSink.from_url(f"file://{tmp_path}/x?fsync=1", settings=SETTINGS)
    sink.send(make_batch())
    assert len(synced) == 1


def test_a_missing_directory_is_a_hold(tmp_path, make_batch):
    """Somebody has to make the directory; until then nothing is lost."""
    sink = FileSink(tmp_path / "no" / "x")
    assert isinstance(sink.send(make_batch()), Hold)
    (tmp_path / "no").mkdir()
    assert sink.send(make_batch()) == Delivered()


@pytest.mark.parametrize("url", ["file:", "file:///", "file://host/x"])
def test_wrong_urls(url):
    """A URL without a path, or of another host, is a configuration error."""
    with pytest.raises(ConfigurationError):
        FileSink.from_url(url, settings=SETTINGS)


def test_paths_are_unquoted():
    """Percent signs in a URL are not percent signs in a name."""
    sink = FileSink.from_url("file:///tmp/a%20b", settings=SETTINGS)
    assert sink.fingerprint == "file:/tmp/a b"
