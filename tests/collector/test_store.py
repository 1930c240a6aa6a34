"""
Each event is stored once, and the file says whose it is.
"""

from __future__ import annotations

import sqlite3
import stat

import pytest
from msgspec import json

from cxsdk.collector import Limits, Store
from cxsdk.collector.overview import overview
from cxsdk.collector.queries import Filter, events
from cxsdk.collector.row import Refusal, judge
from cxsdk.collector.standings import promises
from cxsdk.collector.tables import _STEPS, VERSION
from cxsdk.errors import ConfigurationError


def stored(store):
    with store.reading() as db:
        return [row["id"] for row in db.execute("SELECT id FROM events ORDER BY n")]


def refusals(store):
    with store.reading() as db:
        return [tuple(row) for row in db.execute("SELECT id, code FROM refusals ORDER BY n")]


def test_same_event_counts_once(store, keep, facts):
    """Sent again, also within one request and written in another order, it is a duplicate."""
    event = facts.interaction(id="a")
    backwards = dict(reversed(event.items()))
    assert (keep(event, event).accepted, keep(backwards).duplicate) == (1, 1)
    assert stored(store) == ["a"]
    assert refusals(store) == []


def test_same_id_with_other_content_is_a_conflict(store, keep, facts):
    """The first stays; the other counts as a duplicate and is remembered as a conflict."""
    keep(facts.interaction("c1", id="a"))
    done = keep(facts.interaction("c2", id="a"))
    assert (done.accepted, done.duplicate, len(done.conflicts)) == (0, 1, 1)
    assert refusals(store) == [("a", "conflict")]
    with store.reading() as db:
        assert db.execute("SELECT customer FROM events").fetchone()[0] == "id:c1"


def retold(event, *, seq=1, instance="p2"):
    """
    Return *event* as another process of a newer release tells it later, in another trace.
    """
    sdk = {"name": "cxsdk", "version": "0.2.0", "instance": instance, "lane": "vital", "seq": seq}
    return {
        **event,
        "time": "2026-05-04T10:30:00.000000Z",
        "recordedtime": "2026-05-04T10:31:00.000000Z",
        "traceparent": f"00-{'b' * 32}-{'c' * 16}-01",
        "tracestate": "vendor=1",
        "dataschema": event["dataschema"].replace("1-0-0", "1-0-1"),
        "data": {**event["data"], "sdk": sdk, "service": {"name": "shop", "version": "2"}},
    }


def test_repeat_by_another_process_is_a_plain_duplicate(store, keep, facts):
    """The same key told again elsewhere and later: no conflict and no refusal, the first stays."""
    first = facts.reaction(id="a", seq=1)
    keep(first)
    done = keep(retold(first))
    assert (done.accepted, done.duplicate, done.conflicts) == (0, 1, ())
    assert refusals(store) == []
    with store.reading() as db:
        assert events(db, Filter()).bodies[0].count("10:00:00.000000Z") == 1


def test_repeat_by_another_process_with_other_content_is_a_conflict(store, keep, facts):
    """Another reaction under the same key is another fact, whoever tells it."""
    first = facts.reaction(id="a", seq=1)
    keep(first)
    other = retold(first)
    other["data"]["reaction"] = "cancel"
    assert len(keep(other).conflicts) == 1
    assert refusals(store) == [("a", "conflict")]


def test_repeats_of_another_process_are_no_gap(store, keep, facts):
    """Its sequence numbers arrived, and each counts once however often it is delivered."""
    one, two, three = (facts.reaction(id=name, seq=n) for n, name in enumerate("abc", 1))
    keep(one, two, three)
    own = facts.reaction(id="d", instance="p2", seq=4)
    late = facts.reaction(id="e", instance="p2", seq=7)
    again = [retold(one, seq=1), retold(two, seq=2), retold(three, seq=3)]
    keep(*again, own, late)
    keep(*again, own, late)
    with store.reading() as db:
        (gap,) = overview(db, 0, store.now()).record.gaps
    assert (gap.instance, gap.low, gap.high, gap.missing) == ("p2", 1, 7, 2)


def aged(store, path, version):
    """
    Write what *store* holds to a new file as *version* kept it.
    """
    old = sqlite3.connect(path)
    for script, _ in _STEPS[:version]:
        old.executescript(script)
    with store.reading() as new:
        for (table,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            if table.startswith("sqlite_"):
                continue
            names = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
            rows = new.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
            marks = ", ".join("?" * len(names))
            old.executemany(f"INSERT INTO {table} VALUES ({marks})", map(tuple, rows))
    (application,) = store._writer.execute("PRAGMA application_id").fetchone()
    old.executescript(f"PRAGMA application_id = {application}; PRAGMA user_version = {version}")
    old.close()


@pytest.mark.parametrize("version", range(1, VERSION))
def test_file_of_an_older_version_is_brought_up_to_date(store, keep, facts, tmp_path, version):
    """An older file opens with all its events and figures, and takes repeats."""
    first = facts.reaction(id="a", seq=1)
    promise = facts.promise("p", due_at="2026-05-04T10:30:00Z", id="b")
    imported = facts.promise("p", "kept", id="c", recordedtime="2026-05-04T10:00:59.250Z")
    keep(first, promise, imported)
    aged(store, tmp_path / "old.db", version)
    again = Store(tmp_path / "old.db", clock=store.clock)
    with store.reading() as new, again.reading() as old:
        assert overview(old, 0, store.now()) == overview(new, 0, store.now())
        key = (("id", "c1"),)
        assert promises(old, key) == promises(new, key) != {}
    row = judge(json.encode(retold(first)), Limits(), strict=False)
    assert again.add([row]).duplicate == 1
    assert stored(again) == ["a", "b", "c"]
    again.close()


def test_same_id_of_another_source_is_another_event(store, keep, facts):
    """Source and id together are the key."""
    keep(facts.interaction(id="a"), facts.interaction(id="a", source="urn:service:other"))
    assert stored(store) == ["a", "a"]


def test_refusals_are_bounded(tmp_path):
    """The oldest refusals go when the table is full."""
    store = Store(tmp_path / "x.db", refusals_kept=3)
    for name in "abcde":
        store.add([], [Refusal(name, None, "invalid", "why")])
    assert [name for name, _ in refusals(store)] == ["c", "d", "e"]
    store.close()


def test_file_opens_again_with_all_that_was_in_it(tmp_path, keep, store, facts):
    """What was added stands in the file for the next process."""
    keep(facts.interaction(id="a"))
    store.close()
    again = Store(store.path)
    assert stored(again) == ["a"]
    again.close()


def test_file_is_readable_by_its_owner_only(store):
    """Customer data is not for other users of the machine."""
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("CREATE TABLE mine (a)", "another program"),
        ("PRAGMA application_id = 5", "another program"),
        ("PRAGMA user_version = 999", "update cxsdk"),
    ],
)
def test_foreign_and_newer_files_are_left_alone(tmp_path, script, words):
    """Another program's database or a newer version is refused in words, and not written to."""
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as db:
        db.executescript(script)
    db.close()
    with pytest.raises(ConfigurationError, match=words):
        Store(path)


def test_unusable_path_is_a_configuration_error(tmp_path):
    """A folder in the place of the file is named in the error."""
    with pytest.raises(ConfigurationError, match="cannot open"):
        Store(tmp_path)


def test_failed_transaction_leaves_nothing(store, keep, facts, monkeypatch):
    """When one part cannot be written nothing is, and the next request works."""
    monkeypatch.setattr(store, "_remember", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep(facts.interaction(id="a"))
    monkeypatch.undo()
    keep(facts.interaction(id="b"))
    assert stored(store) == ["b"]


def test_pages_follow_each_other_without_gap_or_repeat(store, keep, facts):
    """Events of one moment, read three at a time, come each once."""
    keep(*[facts.interaction(id=f"{n}") for n in range(10)])
    seen, cursor = [], ""
    while True:
        with store.reading() as db:
            page = events(db, Filter.read({"limit": "3", "cursor": cursor}))
        seen += page.bodies
        if page.next is None:
            break
        cursor = page.next
    assert (len(seen), len(set(seen))) == (10, 10)


def test_a_repeat_that_took_longer_is_a_plain_duplicate(store, keep, facts):
    """How long the telling took is no content: a task that is handed out again is as fast as it is."""
    event = facts.interaction("c1", id="a")

    def lasting(duration_ms):
        return {**event, "data": {**event["data"], "duration_ms": duration_ms}}

    keep(lasting(5))
    done = keep(lasting(900))
    assert (done.accepted, done.duplicate, done.conflicts) == (0, 1, ())
