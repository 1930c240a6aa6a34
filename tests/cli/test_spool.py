"""
``cxsdk spool``: what dead processes left is seen, checked and delivered.
"""

from __future__ import annotations

import json

from cxsdk.cli import main
from cxsdk.spool import inspect


def lines(found):
    return [line.split() for line in found.stdout.splitlines()]


def snapshot(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_ls_shows_whose_they_are_and_what_waits(cxsdk, leave):
    """Each directory with service, environment, owner and what waits; and it is only read."""
    root = leave(30)
    leave(5, service="lives", environment="test")
    before = snapshot(root / "shop")  # the living one's keeper goes on meanwhile
    found = cxsdk("spool", "ls", "--dir", root)
    assert found.returncode == 0
    rows = {row[0]: row for row in lines(found)[2:]}
    assert rows["shop"][1] == "production"
    assert rows["shop"][3:6] == ["gone", "default", "30"]
    assert rows["lives"][3:6] == ["alive", "default", "5"]
    assert snapshot(root / "shop") == before


def test_ls_takes_the_root_from_the_environment(cxsdk, leave):
    """``CXSDK_SPOOL_DIR`` is the root where no --dir is given."""
    root = leave(3)
    assert str(root) in cxsdk("spool", "ls", CXSDK_SPOOL_DIR=str(root)).stdout


def test_customers_are_not_shown_unless_asked_for(cxsdk, leave):
    """Neither table nor JSON holds an event; --show-data prints them."""
    root = leave(3)
    for more in ([], ["--json"]):
        assert "secret-" not in cxsdk("spool", "ls", "--dir", root, *more).stdout
        assert "secret-2" in cxsdk("spool", "ls", "--dir", root, "--show-data", *more).stdout


def test_json_can_be_read(cxsdk, leave):
    """``--json`` gives figures by name, filtered by service."""
    root = leave(7)
    leave(2, service="other")
    (found,) = json.loads(cxsdk("spool", "ls", "--dir", root, "--json", "--service", "shop").stdout)
    assert found["pending"] == {"default": 7}
    assert (found["alive"], found["dead_letters"], found["problem"]) == (False, 0, "")


def test_verify_finds_nothing_in_a_sound_spool(cxsdk, leave):
    """A spool after kill -9 is sound: exit code 0."""
    root = leave(40)
    found = cxsdk("spool", "verify", "--dir", root, "--json")
    assert found.returncode == 0
    (verdict,) = json.loads(found.stdout)
    assert (verdict["ok"], verdict["events"], verdict["missing"]) == (True, 40, 0)


def test_what_a_living_owner_renames_is_no_damage(leave, monkeypatch):
    """A segment that is gone at the second look was sealed or delivered; damage would stay."""
    root = leave(5, service="lives")
    looks = [inspect.Verdict(problems=("No such file",)), inspect.Verdict(frames=5)]
    monkeypatch.setattr(inspect, "verify", lambda _: looks.pop(0))
    assert main(["spool", "verify", "--dir", str(root)]) == 0
    monkeypatch.setattr(inspect, "verify", lambda _: inspect.Verdict(corrupt=(("a.seg", 1),)))
    assert main(["spool", "verify", "--dir", str(root)]) == 1


def test_verify_finds_damage(cxsdk, leave):
    """One damaged record: exit code 1, with file and place, and one number missing."""
    root = leave(40)
    segment = next(path for path in root.rglob("*.bulk.*") if b"secret-20" in path.read_bytes())
    data = bytearray(segment.read_bytes())
    data[2000:2010] = b"\xff" * 10
    segment.write_bytes(data)
    found = cxsdk("spool", "verify", "--dir", root)
    assert found.returncode == 1
    assert f"{segment.name}: damaged at byte" in found.stdout
    (verdict,) = json.loads(cxsdk("spool", "verify", "--dir", root, "--json").stdout)
    assert (verdict["events"], verdict["missing"]) == (39, 1)


def test_drain_without_yes_only_counts(cxsdk, leave, collector, stored):
    """Without --yes nothing is sent and nothing changes."""
    root = leave(30)
    before = snapshot(root)
    found = cxsdk("spool", "drain", "--dir", root, "--to", collector.url)
    assert found.returncode == 0
    assert "30 events would go to" in found.stdout
    assert (stored(), snapshot(root)) == (set(), before)


def test_drain_delivers_what_nobody_owns(cxsdk, leave, collector, stored):
    """Directories of any service go to the collector and are gone; a live one is left alone."""
    root = leave(30)
    leave(20, environment="test")
    leave(5, service="lives")
    found = cxsdk("spool", "drain", "--dir", root, "--to", collector.url, "--yes")
    assert found.returncode == 0, found.stdout + found.stderr
    assert len(stored()) == 50
    left = json.loads(cxsdk("spool", "ls", "--dir", root, "--json").stdout)
    assert [(each["service"], each["pending"]["default"]) for each in left] == [("lives", 5)]


def test_drain_may_be_for_one_environment(cxsdk, leave, collector, stored):
    """--service and --environment choose."""
    root = leave(30)
    leave(20, environment="test")
    found = cxsdk(
        "spool", "drain", "--dir", root, "--to", collector.url, "--yes", "--environment", "test"
    )
    assert found.returncode == 0
    assert len(stored()) == 20


def test_what_cannot_be_delivered_stays(cxsdk, leave, collector, stored):
    """Nobody answers: exit code 1, the reason, all events still there; later they go."""
    root = leave(30)
    asked = ("spool", "drain", "--dir", root, "--yes", "--to")
    found = cxsdk(*asked, "http://127.0.0.1:9", "--patience", "0.5")
    assert found.returncode == 1
    assert "30 left" in found.stdout
    assert "Connection refused" in found.stdout
    assert cxsdk(*asked, collector.url).returncode == 0
    assert len(stored()) == 30


def test_a_newer_format_is_left_alone(cxsdk, leave, collector, stored):
    """A directory of a newer version is named, not touched; exit code 1."""
    root = leave(3)
    manifest = next(root.rglob("manifest.json"))
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    found = cxsdk("spool", "drain", "--dir", root, "--to", collector.url, "--yes")
    assert found.returncode == 1
    assert "newer version" in found.stdout
    assert stored() == set()
    assert cxsdk("spool", "verify", "--dir", root).returncode == 1
