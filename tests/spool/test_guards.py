"""
Orders that only matter at the worst moment: what stands in a file between two steps.
"""

from __future__ import annotations

import os

import pytest

from cxsdk.spool import _disk, cursor
from cxsdk.spool._record import COMMIT
from cxsdk.spool.segment import FileSegment


class Watched:
    """
    A map that keeps what stood in it after each write.
    """

    def __init__(self, size):
        self.data = bytearray(size)
        self.states = []

    def __getitem__(self, where):
        return bytes(self.data[where])

    def __setitem__(self, where, value):
        self.data[where] = value
        self.states.append(bytes(self.data))


def test_the_commit_word_comes_last(tmp_path):
    """At no moment does a commit word stand before bytes that are not all there."""
    segment = FileSegment(tmp_path, "bulk", 1, 4096)
    segment.view = Watched(4096)
    segment.begin(1, 0, 0.0, bytes(16))
    began = len(segment.view.states)
    assert segment.put(b'{"id":"e"}', 0, bytes(8))
    states = segment.view.states[began:]
    whole = states[-1][segment.start : segment.mark[0]]
    assert whole.startswith(COMMIT)
    for state in states:
        record = state[segment.start : segment.mark[0]]
        assert record == whole or not record.startswith(COMMIT)


@pytest.mark.parametrize("torn", [0, 1, 7, 15])
def test_a_torn_cursor_leaves_the_one_before(tmp_path, monkeypatch, torn):
    """A write that stops anywhere in the slot leaves the other slot, and so an older cursor."""
    path = tmp_path / "00000001.bulk.default.cur"
    for generation, value in enumerate((100, 200, 300), 1):
        cursor.save(path, value, generation)
    real = os.pwrite
    monkeypatch.setattr(
        _disk,
        "pwrite",
        lambda fd, data, at: real(fd, b"\xff" * 16, at) and real(fd, data[:torn], at),
    )
    cursor.save(path, 400, 4)
    assert cursor.load(path) == (300, 3)


def test_a_sync_reaches_the_disk_once_a_record(bench, monkeypatch):
    """The keeper's round brings new records to the disk, and nothing when there are none."""
    spool = bench.open("mmap")
    synced = []
    monkeypatch.setattr(_disk, "sync", synced.append)
    spool.append("bulk", b"{}", 0, bytes(8))
    spool.maintain()
    records = [path for path in synced if path.suffix == ".open"]
    assert len(records) == 1
    bench.clock.turn(2)
    spool.maintain()
    assert [path for path in synced if path.suffix == ".open"] == records


def test_a_mapped_file_is_never_sparse(tmp_path):
    """Its room is taken when it is made: a full disk must not be a SIGBUS at an append."""
    segment = FileSegment(tmp_path, "bulk", 1, 256 * 1024)
    segment.make(mapped=True)
    about = segment.path.stat()
    assert about.st_blocks * 512 >= about.st_size == 256 * 1024
    segment.discard()
