"""
``cxsdk demo``: the whole way, from a shop in one process to the collector in another.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from cxsdk.cli import main
from cxsdk.demo import Reckoning, Show


def environ(tmp_path):
    """
    Return an environment in which temporary folders are made below *tmp_path*.
    """
    own = {n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")}
    return own | {"TMPDIR": str(tmp_path)}


def test_every_accepted_event_arrives_once(tmp_path):
    """``--once`` ends by itself with 0, tells where to look, and leaves nothing behind."""
    found = subprocess.run(
        [sys.executable, "-m", "cxsdk", "demo", "--once", "--customers", "25"],
        capture_output=True,
        text=True,
        env=environ(tmp_path),
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"^collector: http://127\.0\.0\.1:\d+$", found.stdout, re.MULTILINE)
    assert found.stdout.count("/journey") >= 2
    assert re.search(
        r"\d{3} events accepted by the shop, each in the .* exactly once", found.stdout
    )
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_until_ctrl_c(tmp_path):
    """Without --once customers trickle on; the page answers; Ctrl-C ends it well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cxsdk", "demo", "--customers", "6"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(tmp_path),
    )
    try:
        told = ""
        while "Ctrl-C" not in told:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            told += line
        url = re.search(r"^collector: (\S+)$", told, re.MULTILINE)[1]
        assert httpx.get(f"{url}/").status_code == 200
        journey = re.search(r"^ +(\S+/journey) ", told, re.MULTILINE)[1]
        assert httpx.get(journey).status_code == 200
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=40)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, rest + errors
    assert "exactly once" in rest
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(monkeypatch, capsys):
    """An event that the collector lost makes the demo fail, by its name."""
    reckon = Show.reckon

    def lose_one(show):
        with show.collector.store.reading() as db:
            (name,) = db.execute("SELECT id FROM events WHERE family = 'feedback'").fetchone()
        show.collector.store._writer.execute("DELETE FROM events WHERE id = ?", (name,))
        lost.append(name)
        return reckon(show)

    lost = []
    monkeypatch.setattr(Show, "reckon", lose_one)
    assert main(["demo", "--once", "--customers", "5"]) == 1
    told = capsys.readouterr().out
    assert "1 of " in told
    assert f"urn:service:demo-shop {lost[0]}" in told


def test_the_same_seed_tells_the_same_past():
    """Seed and number decide a story, so that a page can be talked about."""
    pasts = []
    for _ in range(2):
        with Show(seed=7) as show:
            show.play(8)
            pasts.append([customer.past for customer in show.customers])
    assert pasts[0] == pasts[1]
    assert not show.folder.exists()


def test_it_says_why_the_shop_did_not_start(monkeypatch, capsys):
    """A shop that cannot start ends the demo with its last words, not with a hang."""
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main(["demo", "--once"]) == 1
    assert "the shop did not start" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("accepted", "stored", "missing", "doubled", "unknown"),
    [
        ("ab", "ab", 0, 0, 0),
        ("abc", "ab", 1, 0, 0),
        ("ab", "abb", 0, 1, 0),
        ("ab", "abz", 0, 0, 1),
    ],
)
def test_reckoning(accepted, stored, missing, doubled, unknown):
    """Missing, doubled and unknown events are told apart; only none of them is well."""
    found = Reckoning.of([("s", name) for name in accepted], [("s", name) for name in stored])
    assert (len(found.missing), len(found.doubled), len(found.unknown)) == (
        missing,
        doubled,
        unknown,
    )
    assert found.ok is (accepted == stored)


def test_nothing_accepted_is_not_well():
    """An empty list against an empty collector proves nothing."""
    assert not Reckoning.of([], []).ok
