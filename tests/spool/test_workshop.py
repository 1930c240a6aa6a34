"""
Repairs by hand: a directory keeps what was delivered when it gets another name or another sink.
"""

from __future__ import annotations

import pytest

from cxsdk.errors import SpoolLockedError
from cxsdk.spool import dead, directory, workshop


def spool(root, service, sinks):
    return workshop.by_hand(root, service, "test", sinks)


def left(root, *, count=10, acked=4):
    """
    A directory of service ``till`` whose sink ``old`` has got the first *acked* of *count*.
    """
    made = spool(root, "till", {"old": "old:", "other": "other:"})
    for number in range(count):
        made.append("bulk", b'{"n":%d}' % number, 0, bytes(8))
    made.ack("old", made.lease("old", "bulk", acked, 10**6))
    made.close()
    (path,) = directory.incarnations(root / "till" / "test")
    return path


def test_an_heir_goes_on_where_the_old_sink_was(tmp_path):
    """What was delivered under the old name is not sent again under the new one."""
    path = left(tmp_path)
    moved = workshop.hand_over(path, tmp_path, "shop", "test", "new", "old", "new:")
    assert moved.parent == tmp_path / "shop" / "test"
    assert directory.manifest_of(moved)["sinks"] == {"new": "new:", "other": "other:"}
    heir = spool(tmp_path, "shop", {"new": "new:"})
    assert heir.adopt_directory(moved) == 10
    payloads = [record.payload for record in heir.lease("new", "bulk", 100, 10**6)]
    assert payloads == [b'{"n":%d}' % number for number in range(4, 10)]
    heir.close()


def test_a_living_owner_is_not_handed_over(tmp_path):
    """Its directory, manifest and cursors stay as they are."""
    owner = spool(tmp_path, "till", {"old": "old:"})
    owner.append("bulk", b"{}", 0, bytes(8))
    (path,) = directory.incarnations(tmp_path / "till" / "test")
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(SpoolLockedError):
        workshop.hand_over(path, tmp_path, "shop", "test", "new", "old", "new:")
    assert (path / "manifest.json").read_bytes() == before
    owner.close()


def test_letters_wait_for_whoever_is_at_them(tmp_path, monkeypatch):
    """The owner's lock is waited for, within patience, and its error comes out after that."""
    folder = tmp_path / "dead"
    folder.mkdir()
    tries = []

    def busy(fd):
        tries.append(fd)
        raise BlockingIOError(11, "busy")

    monkeypatch.setattr(dead._disk, "lock", busy)
    with pytest.raises(BlockingIOError), workshop.sole_for(folder, 0.2):
        pass
    assert len(tries) > 1
