"""
Erasure: the bytes are gone from files, dead letters and other owners' directories.
"""

import pytest

from cxsdk.spool import _disk, inspect

ALICE, BOB = b"alice---", b"bob-----"


def bytes_below(root):
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("sealed", [False, True])
def test_the_bytes_are_gone_in_place(bench, mode, sealed):
    """Neither an active nor a sealed segment holds the payload any more; others are whole."""
    spool = bench.open(mode)
    for number in range(5):
        spool.append("bulk", b"secret%d" % number, 0, ALICE)
        spool.append("bulk", b"open%d" % number, 0, BOB)
    if sealed:
        bench.clock.turn(301)
        spool.maintain()
    bench.clock.turn(1)
    assert spool.erase(ALICE) == 5
    assert b"secret" not in bytes_below(bench.root)
    bench.clock.turn(1)
    spool.append("bulk", b"after", 0, ALICE)
    bench.crash(spool)
    verdicts = [inspect.verify(each.path) for each in inspect.spools(bench.root)]
    assert [(each.frames, each.voided, each.ok) for each in verdicts] == [(6, 5, True)]
    heir = bench.open(mode)
    heir.maintain()
    assert bench.drain(heir) == [*(b"open%d" % number for number in range(5)), b"after"]
    assert heir.counts("default").balance() == 0


def test_other_owners_heed_the_tombstone_before_they_lease(bench):
    """A second live process leases nothing of the customer after the first one erased."""
    first, second = bench.open(), bench.open()
    first.append("bulk", b"secret1", 0, ALICE)
    second.append("bulk", b"secret2", 0, ALICE)
    second.append("bulk", b"open", 0, BOB)
    bench.clock.turn(1)
    first.erase(ALICE)
    assert bench.drain(second) == [b"open"]
    assert second.counts("default").dropped == {"erased": 1}
    assert b"secret" not in bytes_below(bench.root)


def test_what_comes_after_a_tombstone_stays(bench):
    """An heir does not erase what the customer did after the owner had heeded the tombstone."""
    first, second = bench.open(), bench.open()
    second.append("bulk", b"before", 0, ALICE)
    bench.clock.turn(1)
    first.erase(ALICE)
    second.maintain()
    bench.clock.turn(1)
    second.append("bulk", b"after", 0, ALICE)
    bench.crash(second)
    bench.clock.turn(60)
    first.maintain()
    assert bench.drain(first) == [b"after"]


def test_a_dead_owners_events_are_erased_at_adoption(bench):
    """What lay in a dead process's directory is erased before the heir can lease it."""
    dead = bench.open()
    dead.append("bulk", b"secret", 0, ALICE)
    bench.crash(dead)
    bench.clock.turn(1)
    bench.open(service="other").erase(ALICE)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == []
    assert heir.counts("default").dropped == {"erased": 1}


def test_dead_letters_are_erased(bench):
    """Dead letters of the customer go, those of others stay."""
    spool = bench.open()
    spool.append("bulk", b'"secret"', 0, ALICE)
    spool.append("bulk", b'"open"', 0x80, BOB)
    for record in spool.lease("default", "bulk", 2, 100):
        spool.bury("default", record, "invalid", "no", 1)
    spool.erase(ALICE, only_consent=True)
    assert b"secret" in bytes_below(bench.root)
    spool.erase(ALICE)
    found = bytes_below(bench.root)
    assert b"secret" not in found
    assert b"open" in found
    spool.erase(BOB, only_consent=True)
    assert b"open" not in bytes_below(bench.root)


def test_a_torn_blank_is_skipped(bench):
    """A kill in the middle of blanking leaves a record that is skipped and not quarantined."""
    spool = bench.open()
    for payload in (b"before", b"secret", b"behind"):
        spool.append("bulk", payload, 0, ALICE if payload == b"secret" else BOB)
    spool.close()
    (path,) = bench.root.glob("*/*/*/*.seg")
    data = bytearray(path.read_bytes())
    at = data.index(b"secret") - 29
    data[at : at + 4] = b"\xff\x02\xc5\xfe"
    path.write_bytes(data)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [b"before", b"behind"]
    assert heir.counts("default").dropped == {}
    assert not list((bench.root / "quarantine").glob("*"))


def test_nobody_is_never_erased(bench):
    """The tag of nobody erases nothing."""
    spool = bench.open()
    spool.append("bulk", b"x", 0, bytes(8))
    assert spool.erase(bytes(8)) == 0
    assert bench.drain(spool) == [b"x"]


def test_a_lease_in_flight_is_not_buried(bench):
    """A record erased while a sink had it does not become a dead letter."""
    spool = bench.open()
    spool.append("bulk", b"secret", 0, ALICE)
    (record,) = spool.lease("default", "bulk", 1, 100)
    spool.erase(ALICE)
    spool.bury("default", record, "invalid", "no", 1)
    counts = spool.counts("default")
    assert (counts.dead_lettered, counts.dropped, counts.balance()) == (0, {"erased": 1}, 0)
    assert b"secret" not in bytes_below(bench.root)


def test_inspection_tells_what_is_there(bench):
    """The read-only look names owner, sinks, counts and age, and takes nothing away."""
    spool = bench.open(sinks=("default", "second"))
    for number in range(4):
        spool.append("bulk", b"%d" % number, 0, BOB)
    spool.ack("default", spool.lease("default", "bulk", 1, 100))
    (found,) = inspect.spools(bench.root)
    assert (found.service, found.environment, found.alive, found.format) == (
        "shop",
        "test",
        True,
        1,
    )
    assert (found.records, found.pending) == (4, {"default": 3, "second": 4})
    assert [each.payload for each in inspect.records(found.path, sink="default")] == [
        b"1",
        b"2",
        b"3",
    ]
    bench.crash(spool)
    (found,) = inspect.spools(bench.root)
    assert found.alive is False
    assert found.oldest_ns > 0


def bury(spool, payload, tag, kind=0):
    spool.append("bulk", payload, kind, tag)
    (record,) = spool.lease("default", "bulk", 1, 100)
    spool.bury("default", record, "invalid", "no", 1)


def test_a_dead_owners_letters_are_erased(bench):
    """Dead letters of a directory that is adopted later heed the tombstones as well."""
    dead = bench.open()
    bury(dead, b'"secret"', ALICE)
    bury(dead, b'"open"', BOB)
    bench.crash(dead)
    bench.clock.turn(1)
    bench.open(service="other").erase(ALICE)
    heir = bench.open()
    heir.maintain()
    found = bytes_below(bench.root)
    assert b"secret" not in found
    assert b"open" in found


def test_letters_of_what_came_after_a_tombstone_stay(bench):
    """What a customer did after the erasure, and was refused, is not erased by an heir."""
    bench.open(service="other").erase(ALICE)
    bench.clock.turn(1)
    dead = bench.open()
    bury(dead, b'"later"', ALICE)
    bench.crash(dead)
    heir = bench.open()
    heir.maintain()
    assert b"later" in bytes_below(bench.root)


def test_letters_of_a_directory_in_adoption_are_erased(bench):
    """Also while most of what a dead owner left is still to be delivered."""
    dead = bench.open()
    bury(dead, b'"secret"', ALICE)
    dead.append("bulk", b'"waiting"', 0, BOB)
    bench.crash(dead)
    heir = bench.open()
    heir.maintain()
    assert heir.counts("default").adopted == 1
    bench.clock.turn(1)
    bench.open(service="other").erase(ALICE)
    heir.maintain()
    assert b"secret" not in bytes_below(bench.root)


def test_letters_that_could_not_be_erased_are_tried_again(bench, monkeypatch):
    """A disk that refuses once does not keep a customer's letter for ever."""
    spool = bench.open()
    bury(spool, b'"secret"', ALICE)
    bury(spool, b'"open"', BOB)
    real = _disk.rename
    monkeypatch.setattr(_disk, "rename", lambda *_: (_ for _ in ()).throw(OSError("no")))
    spool.erase(ALICE)
    monkeypatch.setattr(_disk, "rename", real)
    assert b"secret" in bytes_below(bench.root)
    spool.maintain()
    assert b"secret" not in bytes_below(bench.root)


def test_a_clock_set_back_hides_nothing_from_an_erasure(bench):
    """Another owner's events from before the jump are erased, though their stamps are later."""
    first, second = bench.open(), bench.open()
    second.append("bulk", b"secret", 0, ALICE)
    second.maintain()
    bench.clock.turn(1)
    second.maintain()
    bench.clock.wall -= 86_400 * 10**9
    bench.clock.turn(1)
    first.erase(ALICE)
    assert bench.drain(second) == []
    assert b"secret" not in bytes_below(bench.root)


def test_what_comes_after_a_jump_and_an_erasure_stays(bench):
    """A new segment is not older than a stone that was found before it was begun."""
    first, second = bench.open(), bench.open()
    second.append("bulk", b"before", 0, ALICE)
    bench.clock.turn(1)
    first.erase(ALICE)
    second.maintain()
    bench.clock.turn(1)
    second.append("bulk", b"after", 0, ALICE)
    bench.clock.turn(1)
    first.erase(BOB)
    assert bench.drain(second) == [b"after"]


@pytest.mark.parametrize("by", ["own", "other"])
def test_a_clock_set_back_hides_no_letter_from_an_erasure(bench, by):
    """Dead letters from before the jump are erased, though their stamps are later."""
    spool, other = bench.open(), bench.open(service="other")
    bury(spool, b'"secret"', ALICE)
    spool.maintain()
    bench.clock.turn(1)
    spool.maintain()
    bench.clock.wall -= 86_400 * 10**9
    bench.clock.turn(1)
    (spool if by == "own" else other).erase(ALICE)
    spool.maintain()
    assert b"secret" not in bytes_below(bench.root)


def test_what_comes_after_a_tombstone_into_an_empty_segment_stays(bench, monkeypatch):
    """A segment begun when a disk came back, and still empty, is no older than its first record."""
    real = _disk.create
    monkeypatch.setattr(_disk, "create", lambda *_: (_ for _ in ()).throw(OSError("full")))
    spool = bench.open(retry_disk_after=5)
    spool.append("bulk", b"secret", 0, ALICE)
    bench.drain(spool)
    monkeypatch.setattr(_disk, "create", real)
    bench.clock.turn(6)
    spool.maintain()
    bench.clock.turn(1)
    spool.erase(ALICE)
    bench.clock.turn(1)
    assert spool.append("bulk", b"after", 0, ALICE) is True
    bench.crash(spool)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [b"after"]


def test_a_tombstone_that_the_disk_refused_is_written_later(bench, monkeypatch):
    """Another owner hears of an erasure although the disk was full when it was asked for."""
    first, second = bench.open(), bench.open()
    second.append("bulk", b"secret", 0, ALICE)
    bench.clock.turn(1)
    real = _disk.create
    monkeypatch.setattr(_disk, "create", lambda *_: (_ for _ in ()).throw(OSError("full")))
    first.erase(ALICE)
    first.maintain()
    assert b"secret" in bytes_below(bench.root)
    monkeypatch.setattr(_disk, "create", real)
    first.maintain()
    assert bench.drain(second) == []
    assert b"secret" not in bytes_below(bench.root)
    assert bench.notes["tombstone_failed"] == 1
