"""
Bodies are cut into events under caps.
"""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from cxsdk.collector.body import BodyError, inflate, split

BATCH = "application/cloudevents-batch+json"


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda raw: zlib.compress(raw, wbits=-15)),
        ("gzip", lambda raw: gzip.compress(raw[:5], mtime=0) + gzip.compress(raw[5:])),
        ("identity", bytes),
    ],
)
def test_codings_are_undone(coding, pack):
    """Gzip (also in members), zlib and raw deflate give the bytes back."""
    assert inflate(pack(b"hello world"), coding, 100) == b"hello world"


def test_bomb_is_stopped_while_it_inflates():
    """128 MiB of zeros costs no more memory than the cap."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(BodyError) as caught:
        inflate(bomb, "gzip", 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 8 << 20


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"x" * 999, mtime=0)[:-9]])
def test_damaged_coding_is_the_senders_fault(body):
    """What does not inflate, or ends in the middle, is 400."""
    with pytest.raises(BodyError) as caught:
        inflate(body, "gzip", 10_000)
    assert caught.value.status == 400


def test_body_is_cut_into_its_events():
    """A list, one object, and lines give the text of each event as it stands."""
    assert split(b' [{"a":1}, {"b":2}]', BATCH, 9) == [b'{"a":1}', b'{"b":2}']
    assert split(b'{"a":1}', "application/json", 9) == [b'{"a":1}']
    assert split(b'{"a":1}\r\n\n{"b":2}', "application/x-ndjson", 9) == [b'{"a":1}', b'{"b":2}']
    assert split(b"[]", BATCH, 9) == []


@pytest.mark.parametrize("body", [b"", b"<html>", b'[{"a":1}', b"[" * 100_000, b"\xff\xfe"])
def test_no_json_is_refused_as_a_whole(body):
    """What is no JSON, or nested without end, is 400."""
    with pytest.raises(BodyError) as caught:
        split(body, BATCH, 9)
    assert caught.value.status == 400


def test_too_many_events_are_to_be_split():
    """More events than allowed is 413, which makes a sender halve its batch."""
    with pytest.raises(BodyError) as caught:
        split(b"[1,2,3]", BATCH, 2)
    assert caught.value.status == 413
