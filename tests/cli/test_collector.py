"""
``cxsdk collector``: a process that takes events and ends properly.
"""

from __future__ import annotations

import signal
import sqlite3

import httpx
import pytest

BATCH = {"content-type": "application/cloudevents-batch+json"}


def address(process):
    return process.stdout.readline().split()[1]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_it_takes_events_and_ends_on_a_signal(running, events, tmp_path, number, code):
    """It prints its address, stores what is posted, and ends as that signal ends a process."""
    process = running("collector", "--port", "0", "--db", tmp_path / "c.db")
    url = address(process)
    body = b"[" + b",".join(events(3).values()) + b"]"
    answer = httpx.post(f"{url}/events", content=body, headers=BATCH)
    assert answer.json()["accepted"] == 6
    process.send_signal(number)
    assert process.wait(20) == code
    db = sqlite3.connect(tmp_path / "c.db")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (6,)
    db.close()


def test_the_key_may_come_from_the_environment(running, tmp_path):
    """With CXSDK_API_KEY set, nobody comes in without it, and it is not printed."""
    process = running("collector", "--port", "0", "--db", tmp_path / "c.db", CXSDK_API_KEY="hush")
    line = process.stdout.readline()
    assert "hush" not in line
    url = line.split()[1]
    assert httpx.get(f"{url}/events").status_code == 401
    key = {"authorization": "Bearer hush"}
    assert httpx.get(f"{url}/events", headers=key).status_code == 200


def test_other_hosts_need_a_key(cxsdk, tmp_path):
    """Binding where others reach it without a key is refused with exit code 2."""
    found = cxsdk("collector", "--host", "0.0.0.0", "--port", "0", "--db", tmp_path / "c.db")
    assert found.returncode == 2
    assert "API key" in found.stderr
