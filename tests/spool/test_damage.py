"""
Damaged, cut, foreign and hostile files: what is whole is delivered, the rest is counted.
"""

import os
import shutil
import stat

import pytest

from cxsdk.spool._record import HEADER_BYTES, OVERHEAD, VERSION, pack_header
from cxsdk.spool.survey import survey

PAYLOADS = [b'{"n":%d,"t":"%s"}' % (n, b"x" * (n * 3)) for n in range(6)]


@pytest.fixture
def sealed(bench, tmp_path):
    """A sealed segment of six records, outside any spool."""
    spool = bench.open()
    for payload in PAYLOADS:
        spool.append("bulk", payload, 0, b"customer")
    spool.close()
    (path,) = bench.root.glob("*/*/*/*.seg")
    return path


def payloads_of(path):
    found = survey(path)
    data = path.read_bytes()
    if found is None:
        return [], 0
    ends = [*found.offsets[1:], found.end]
    whole = [
        data[offset + OVERHEAD : end][: int.from_bytes(data[offset + 8 : offset + 12], "little")]
        for offset, end in zip(found.offsets, ends, strict=True)
    ]
    return whole, sum(lost for _, lost in found.gaps)


def test_every_truncation_leaves_an_exact_prefix(sealed):
    """Cut at any byte, a segment that was never sealed gives all before and reports no damage."""
    sealed = sealed.rename(sealed.with_suffix(".open"))
    data = sealed.read_bytes()
    ends = [HEADER_BYTES]
    for payload in PAYLOADS:
        ends.append(ends[-1] + OVERHEAD + len(payload))
    for cut in range(len(data)):
        sealed.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends[1:])
        assert payloads_of(sealed) == (PAYLOADS[:whole], 0)


def test_every_bit_flip_costs_the_hit_record_only(sealed):
    """Any one flipped bit loses at most the record it hits, and that is counted."""
    data = sealed.read_bytes()
    for bit in range(HEADER_BYTES * 8, len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        sealed.write_bytes(flipped)
        found, lost = payloads_of(sealed)
        missing = [payload for payload in PAYLOADS if payload not in found]
        assert set(found) <= set(PAYLOADS)
        assert (len(missing), lost) == (1, 1), bit


def test_a_flipped_header_loses_no_record(sealed):
    """A damaged segment header costs nothing: the records speak for themselves."""
    data = sealed.read_bytes()
    for bit in range(HEADER_BYTES * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        sealed.write_bytes(flipped)
        assert payloads_of(sealed) == (PAYLOADS, 0)


def test_a_corrupt_record_is_counted_told_and_quarantined(bench, sealed):
    """The heir of a damaged segment delivers the rest and accounts for the lost one."""
    data = bytearray(sealed.read_bytes())
    at = data.index(b'"n":2')
    data[at] ^= 0xFF
    sealed.write_bytes(data)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [*PAYLOADS[:2], *PAYLOADS[3:]]
    counts = heir.counts("default")
    assert (counts.adopted, counts.dropped, counts.balance()) == (6, {"corrupt": 1}, 0)
    assert [(shed.reason, shed.payloads) for shed in bench.sheds] == [("corrupt", (b"",))]
    assert bench.notes["corrupt_skipped"] == 1
    (kept,) = (bench.root / "quarantine").iterdir()
    assert PAYLOADS[2][6:] in kept.read_bytes()


def test_damage_after_adoption_is_settled_too(bench, sealed):
    """A record that rots between adoption and delivery is dropped, not waited for for ever."""
    heir = bench.open()
    heir.maintain()
    data = bytearray(sealed.read_bytes())
    data[data.index(b'"n":5')] ^= 0xFF
    sealed.write_bytes(data)
    assert bench.drain(heir) == PAYLOADS[:5]
    counts = heir.counts("default")
    assert (counts.dropped, counts.spooled, counts.balance()) == ({"corrupt": 1}, 0, 0)


def test_a_newer_format_is_left_alone(bench, sealed):
    """A segment of a future version is neither read nor removed."""
    data = sealed.read_bytes()
    header = pack_header("bulk", 1, 1, bytes(16))
    newer = (
        header[:8] + (VERSION + 1).to_bytes(2, "little") + header[10:12] + bytes(4) + header[16:]
    )
    from zlib import crc32

    newer = newer[:12] + crc32(newer).to_bytes(4, "little") + newer[16:]
    sealed.write_bytes(newer + data[HEADER_BYTES:])
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == []
    assert sealed.exists()
    assert bench.notes["adopt_failed"] == 1


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5000, b"\xff" * 5000, os.urandom(5000), b"cxspool\x00" * 100]
)
def test_garbage_in_place_of_a_segment_harms_nothing(bench, sealed, content):
    """A file of rubbish is got rid of, and the good one beside it is delivered."""
    (sealed.parent / "00000099.bulk.seg").write_bytes(content)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == PAYLOADS
    assert heir.counts("default").balance() == 0
    heir.maintain()
    assert not sealed.parent.exists()


def test_a_huge_length_is_no_record(sealed):
    """A length field that points beyond the file ends nothing but its own record."""
    data = bytearray(sealed.read_bytes())
    data[HEADER_BYTES + 8 : HEADER_BYTES + 12] = b"\xff\xff\xff\x7f"
    sealed.write_bytes(data)
    assert payloads_of(sealed) == (PAYLOADS[1:], 1)


def test_a_damaged_or_newer_manifest_is_left_alone(bench, sealed):
    """Without a manifest that can be read nobody knows whose events these are."""
    for text in ("", "[]", '{"format": 99, "sinks": {}}', '{"format": 1}'):
        (sealed.parent / "manifest.json").write_text(text)
        heir = bench.open()
        heir.maintain()
        assert bench.drain(heir) == []
        assert sealed.exists()


def test_a_link_in_place_of_a_segment_is_refused(bench, sealed, tmp_path):
    """A symbolic or hard link to another file is not read, and the file it points to stays."""
    target = tmp_path / "secret"
    shutil.copy(sealed, target)
    (sealed.parent / "00000098.bulk.seg").symlink_to(target)
    os.link(target, sealed.parent / "00000099.bulk.seg")
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == PAYLOADS
    assert target.exists()
    assert bench.notes["adopt_failed"] == 2


def test_a_linked_service_directory_is_refused(bench, tmp_path):
    """A directory that leads elsewhere is not used: memory stands in."""
    bench.root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (bench.root / "shop").symlink_to(tmp_path / "elsewhere")
    spool = bench.open()
    assert spool.append("bulk", b"{}", 0, bytes(8)) is False
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_linked_root_is_refused(bench, tmp_path):
    """A root that is a symbolic link is not used."""
    (tmp_path / "elsewhere").mkdir()
    bench.root.symlink_to(tmp_path / "elsewhere")
    assert bench.open().append("bulk", b"{}", 0, bytes(8)) is False


def test_a_directory_others_may_write_is_refused(bench):
    """A service directory that everybody may write is not used."""
    folder = bench.root / "shop"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert bench.open().append("bulk", b"{}", 0, bytes(8)) is False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_somebody_elses_directory_is_refused(bench):
    """A service directory of another user is not used."""
    folder = bench.root / "shop"
    folder.mkdir(parents=True)
    os.chown(folder, 12345, 12345)
    assert bench.open().append("bulk", b"{}", 0, bytes(8)) is False


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_modes_are_tight_under_any_umask(bench, mode, umask):
    """Directories are 0700 and files 0600 whatever the umask."""
    before = os.umask(umask)
    try:
        spool = bench.open(mode)
        assert spool.append("bulk", b"{}", 0, b"customer")
        spool.append("vital", b"{}", 3, bytes(8))
        spool.maintain()
        (record,) = spool.lease("default", "vital", 1, 100)
        spool.bury("default", record, "invalid", "no", 1)
        spool.erase(b"somebody")
    finally:
        os.umask(before)
    paths = [bench.root, *bench.root.rglob("*")]
    assert len(paths) > 8
    for path in paths:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_damaged_length_holds_nothing_up(bench, sealed):
    """A lease that is not full yet goes on behind a record whose length points nowhere."""
    data = bytearray(sealed.read_bytes())
    data[HEADER_BYTES + 11] ^= 1
    sealed.write_bytes(data)
    heir = bench.open()
    heir.maintain()
    heir.append("bulk", b"fresh", 0, bytes(8))
    taken = heir.lease("default", "bulk", 100, 10_000)
    assert [record.payload for record in taken] == [b"fresh", *PAYLOADS[1:]]
