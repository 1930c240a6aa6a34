"""
``cxsdk replay``: files of events go to a collector once.
"""

from __future__ import annotations

import gzip
import json
import time

from cxsdk.collector import Collector
from cxsdk.testing.faults import FaultCollector, hang, reset, status


def write(path, lines):
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_every_event_arrives_with_its_id_and_bytes(cxsdk, collector, stored, events, tmp_path):
    """What the collector stores is what the file says, byte by byte."""
    made = events(600)
    found = cxsdk("replay", write(tmp_path / "e.ndjson", made.values()), "--to", collector.url)
    assert (found.returncode, found.stdout) == (0, "1200 events delivered, 0 bad lines skipped\n")
    with collector.store.reading() as db:
        assert dict(db.execute("SELECT id, body FROM events").fetchall()) == {
            name: body.decode() for name, body in made.items()
        }


def test_a_second_replay_stores_nothing_more(cxsdk, collector, stored, events, tmp_path):
    """The same file twice: the same events, once, and none in conflict."""
    made = events(50)
    path = write(tmp_path / "e.ndjson", made.values())
    assert [cxsdk("replay", path, "--to", collector.url).returncode for _ in range(2)] == [0, 0]
    assert stored() == set(made)
    with collector.store.reading() as db:
        assert db.execute("SELECT count(*) FROM refusals").fetchone()[0] == 0


def test_gzip_and_stdin_are_read_by_content(cxsdk, collector, stored, events, tmp_path):
    """A gzipped file under any name, and gzipped stdin, are unpacked."""
    made = events(20)
    lines = list(made.values())
    first = tmp_path / "first.txt"
    first.write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\n".join(lines[:20])))
    assert cxsdk("replay", first, "--to", collector.url).returncode == 0
    second = gzip.compress(b"\n".join(lines[20:]))
    assert cxsdk("replay", "-", "--to", collector.url, stdin=second).returncode == 0
    assert stored() == set(made)


def test_bad_lines_are_named_skipped_and_counted(cxsdk, collector, stored, events, tmp_path):
    """Each bad line is said with number and reason; the others arrive; exit code 1."""
    made = events(2)
    one, two, three, four = made.values()
    path = write(tmp_path / "e.ndjson", [one, b"{nonsense", two, b"", three, b'{"id": 1}', four])
    found = cxsdk("replay", path, "--to", collector.url)
    assert found.returncode == 1
    assert "line 2: not JSON" in found.stderr
    assert "line 6: event.type: expected" in found.stderr
    assert found.stdout == "4 events delivered, 2 bad lines skipped\n"
    assert stored() == set(made)


def test_a_cut_gzip_file_is_said(cxsdk, collector, events, tmp_path):
    """What can be read of a damaged file arrives; that the rest is missing is an error."""
    path = tmp_path / "e.gz"
    whole = gzip.compress(b"\n".join(events(400).values()))
    path.write_bytes(whole[: len(whole) // 2])
    found = cxsdk("replay", path, "--to", collector.url)
    assert found.returncode == 1
    assert "cut or damaged" in found.stderr


def test_a_dry_run_sends_nothing(cxsdk, collector, stored, events, tmp_path):
    """``--dry-run`` counts by family and leaves the collector alone."""
    path = write(tmp_path / "e.ndjson", events(5).values())
    found = cxsdk("replay", path, "--to", collector.url, "--dry-run")
    assert found.returncode == 0
    assert [line.split() for line in found.stdout.splitlines()[1:3]] == [
        ["feedback", "5"],
        ["interaction", "5"],
    ]
    assert stored() == set()


def test_transient_failures_are_retried(cxsdk, events, tmp_path):
    """503, a reset connection and a slow answer are retried like a service's own events."""
    made = events(40)
    path = write(tmp_path / "e.ndjson", made.values())
    with FaultCollector() as faulty:
        faulty.script(status(503), reset(), hang(0.2), status(429))
        found = cxsdk("replay", path, "--to", faulty.url, "--batch", "20")
        assert found.returncode == 0, found.stdout + found.stderr
        assert set(faulty.ids) == set(made)


def test_a_refusal_of_all_ends_the_replay_at_once(cxsdk, events, tmp_path):
    """A wrong key is not waited for: exit code 1 with the reason, and what to do."""
    path = write(tmp_path / "e.ndjson", events(5).values())
    with Collector(api_key="right") as locked:
        found = cxsdk("replay", path, "--to", locked.url, CXSDK_API_KEY="wrong")
        assert found.returncode == 1
        assert "401" in found.stdout
        assert "replay again" in found.stdout
        assert "wrong" not in found.stdout + found.stderr
        again = cxsdk("replay", path, "--to", locked.url, CXSDK_API_KEY="right")
        assert again.returncode == 0


def test_nobody_there_ends_when_patience_does(cxsdk, events, tmp_path):
    """Without an answer the replay gives up after its patience, and says why."""
    path = write(tmp_path / "e.ndjson", events(5).values())
    found = cxsdk("replay", path, "--to", "http://127.0.0.1:9", "--patience", "0.5")
    assert found.returncode == 1
    assert "Connection refused" in found.stdout


def test_a_refused_event_is_named(cxsdk, events, tmp_path):
    """An event that the collector refuses is named with the collector's words; exit code 1."""
    lines = list(events(20).values())
    odd = json.loads(lines[0])
    odd["data"]["surprise"] = 1
    lines[0] = json.dumps(odd).encode()
    path = write(tmp_path / "e.ndjson", lines)
    with Collector(strict=True) as strict:
        found = cxsdk("replay", path, "--to", strict.url)
        assert found.returncode == 1
        assert f"refused: {odd['id']}: " in found.stderr
        assert "surprise" in found.stderr
        assert found.stdout == "39 events delivered, 0 bad lines skipped, 1 refused\n"


def test_the_rate_is_kept(cxsdk, collector, stored, events, tmp_path):
    """``--rate`` events a second, not more."""
    made = events(20)
    path = write(tmp_path / "e.ndjson", made.values())
    began = time.monotonic()
    assert cxsdk("replay", path, "--to", collector.url, "--rate", "40").returncode == 0
    assert time.monotonic() - began >= 1.0
    assert stored() == set(made)


def test_a_missing_file_or_destination_is_said(cxsdk, collector, tmp_path):
    """No such file, no destination, a URL that is none: asked wrongly, 2."""
    assert cxsdk("replay", "nowhere", "--to", collector.url).returncode == 2
    (tmp_path / "e").touch()
    assert cxsdk("replay", "e").returncode == 2
    assert cxsdk("replay", "e", "--to", "gopher://x").returncode == 2
