"""
The collector over real HTTP: what it takes, what it refuses and how it says so.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import gzip
import logging
import socket
import sqlite3
import zlib

import httpx
import pytest
from msgspec import json

from cxsdk._guard import Voice
from cxsdk.collector import Collector, Limits, app, fault

BATCH = {"content-type": "application/cloudevents-batch+json"}
SMALL = Limits(body_bytes=20_000, inflated_bytes=40_000, event_bytes=4_000, events=10)


@pytest.fixture
def small(tmp_path):
    """
    A client of a collector with narrow limits.
    """
    with Collector(tmp_path / "small.db", limits=SMALL) as running:
        with httpx.Client(base_url=running.url, trust_env=False) as client:
            yield client


def ids(http, **query):
    return [event["id"] for event in http.get("/events", params=query).json()["events"]]


@pytest.mark.parametrize(
    ("media", "write"),
    [
        ("application/cloudevents+json", lambda events: json.encode(events[0])),
        ("application/cloudevents-batch+json; charset=utf-8", json.encode),
        ("application/json", json.encode),
        ("application/x-ndjson", lambda events: b"\n".join(map(json.encode, events))),
    ],
)
def test_every_form_of_cloudevents_json_is_taken(http, facts, media, write):
    """Structured, batch, plain JSON and lines are stored alike."""
    answer = http.post(
        "/events", content=write([facts.interaction(id="a")]), headers={"content-type": media}
    )
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 1, "duplicate": 0, "rejected": []},
    )
    assert ids(http) == ["a"]


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_taken(http, facts, coding, pack):
    """Gzip and deflate are undone."""
    headers = {**BATCH, "content-encoding": coding}
    body = pack(json.encode([facts.interaction()]))
    assert http.post("/events", content=body, headers=headers).json()["accepted"] == 1


def test_bad_event_is_refused_with_its_field_and_the_rest_kept(http, facts):
    """One wrong direction of three: two stored, one named."""
    bad = facts.interaction(id="bad", direction="sideways")
    answer = http.post("/events", json=[facts.interaction(id="a"), bad, facts.reaction(id="b")])
    assert answer.status_code == 200
    (rejected,) = answer.json()["rejected"]
    assert (rejected["id"], rejected["index"]) == ("bad", 1)
    assert "interaction.direction" in rejected["reason"]
    assert set(ids(http)) == {"a", "b"}


def test_repeated_and_changed_events_are_duplicates(http, facts):
    """At-least-once delivery counts once; a changed body is no second event."""
    event = facts.interaction("c1", id="a")
    http.post("/events", json=[event])
    again = http.post("/events", json=[event, facts.interaction("c2", id="a")]).json()
    assert again == {"accepted": 0, "duplicate": 2, "rejected": []}
    assert "conflict" in http.get("/?range=all").text


def test_repeats_of_another_process_are_not_complained_about(http, facts, caplog, monkeypatch):
    """A key told twice by two processes is answered as a duplicate, without a line in the log."""
    monkeypatch.setattr(app, "voice", Voice())
    first = facts.reaction(id="a", seq=1)
    again = facts.reaction(id="a", seq=1, instance="p2", reaction_id=first["data"]["reaction_id"])
    again |= {"subject": first["subject"], "time": "2026-05-04T10:30:00Z"}
    with caplog.at_level(logging.WARNING, "cxsdk"):
        http.post("/events", json=[first])
        answer = http.post("/events", json=[again]).json()
    assert answer == {"accepted": 0, "duplicate": 1, "rejected": []}
    assert caplog.records == []
    assert "conflict" not in http.get("/?range=all").text


def test_lenient_takes_a_newer_event_and_strict_does_not(tmp_path, facts):
    """A field of a later version is kept as it came, unless the collector is strict."""
    newer = facts.interaction(mood="fine")
    for strict, accepted in ((False, 1), (True, 0)):
        with Collector(tmp_path / f"{strict}.db", strict=strict) as running:
            answer = httpx.post(f"{running.url}/events", json=[newer], trust_env=False).json()
        assert answer["accepted"] == accepted
    assert "interaction.mood" in answer["rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"<html>", BATCH, 400),
        (b"[" * 5000, BATCH, 400),
        (b"[]", {"content-type": "text/plain"}, 415),
        (b"[]", {}, 415),
        (b"[]", {**BATCH, "content-encoding": "gzip, gzip"}, 415),
        (b"[]", {**BATCH, "content-encoding": "br"}, 415),
        (b"[]", {**BATCH, "content-encoding": "gzip"}, 400),
        (b" " * 20_001, BATCH, 413),
        (gzip.compress(bytes(50_000_000)), {**BATCH, "content-encoding": "gzip"}, 413),
        (b"[" + b",".join([b"{}"] * 11) + b"]", BATCH, 413),
    ],
)
def test_bad_bodies_are_answered_as_a_whole(small, body, headers, status):
    """No JSON, unknown type or coding, bombs and oversize have their own status."""
    answer = small.post("/events", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_body_without_a_length_is_capped_too(small):
    """A chunked body is stopped at the cap."""
    answer = small.post("/events", content=iter([b" " * 10_000] * 3), headers=BATCH)
    assert answer.status_code == 413


def test_slow_body_is_given_up(tmp_path):
    """A client that stops sending is answered 408, and the collector goes on."""
    with Collector(tmp_path / "x.db", limits=Limits(body_seconds=0.2)) as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as peer:
            peer.sendall(
                b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-length: 9\r\n"
                b"content-type: application/json\r\n\r\n["
            )
            assert peer.recv(4096).startswith(b"HTTP/1.1 408")
        assert httpx.get(f"{running.url}/healthz", trust_env=False).status_code == 200


def test_oversized_deep_and_endless_events_are_refused_alone(small, facts):
    """A huge event, one of 33 levels and one of a thousand keys spare their neighbour."""
    deep = facts.interaction(id="deep")
    deep["data"]["newer"] = json.decode(b"[" * 40 + b"]" * 40)
    keys = facts.interaction(id="keys")
    keys["data"]["newer"] = dict.fromkeys(map(str, range(1000)), 0)
    answer = small.post("/events", json=[facts.interaction(id="a"), deep, keys]).json()
    assert answer["accepted"] == 1
    assert [one["id"] for one in answer["rejected"]] == ["deep", "keys"]
    assert ["levels" in answer["rejected"][0]["reason"], "bytes" in answer["rejected"][1]["reason"]]


def test_a_million_keys_cost_nothing(http):
    """Eight megabytes of keys are refused by size, never built."""
    body = b"[{" + b",".join(b'"%d":0' % n for n in range(1_000_000 // 2)) + b"}]"
    headers = {**BATCH, "content-encoding": "gzip"}
    answer = http.post("/events", content=gzip.compress(body), headers=headers)
    assert answer.json()["rejected"][0]["reason"].startswith("event: expected at most")


def test_concurrent_posts_are_all_stored_once(collector, facts):
    """Eight senders with overlapping events leave each event once."""
    batches = [
        json.encode([facts.interaction(id=f"e{n}-{k}") for k in range(20)]) for n in range(10)
    ]
    events = [json.decode(batch) for batch in batches]

    def send(batch):
        return httpx.post(f"{collector.url}/events", json=batch, trust_env=False).json()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, events * 4))
    assert sum(answer["accepted"] for answer in answers) == 200
    assert sum(answer["duplicate"] for answer in answers) == 600


def test_events_can_be_filtered_and_paged(http, facts):
    """By family, type, touchpoint, customer and time; the newest first."""
    http.post(
        "/events",
        json=[
            facts.interaction("c1", "search", id="a"),
            facts.interaction("c2", "checkout.pay", id="b"),
            facts.reaction("c1", id="c"),
        ],
    )
    assert ids(http, family="reaction") == ["c"]
    assert ids(http, type="dev.cxsdk.interaction.completed.v1") == ["b", "a"]
    assert ids(http, touchpoint="search") == ["a"]
    assert ids(http, customer="c1") == ["c", "a"]
    assert ids(http, customer="nobody") == []
    assert ids(http, since="2026-05-04T12:00:00+02:00") == ["c", "b", "a"]
    assert ids(http, until="2026-05-04T10:00:00Z") == []
    first = http.get("/events", params={"limit": 2}).json()
    assert ids(http, limit=2, cursor=first["next"]) == ["a"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "family=nope", "since=2026-05-04T10:00:00", "cursor=!", "colour=red"],
)
def test_wrong_queries_name_the_parameter(http, query):
    """A query that cannot be read is 400 and says which part."""
    answer = http.get(f"/events?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(query.partition("=")[0])


def test_journey_follows_the_customer_as_json(http, facts):
    """Events before and after the login, the identifiers and the promises, by path and by Accept."""
    visit = {"anonymous_id": "visit"}
    http.post(
        "/events",
        json=[
            facts.interaction(visit, id="before"),
            facts.identity("identified", {"id": "c/1", **visit}, id="login"),
            facts.promise("p", customer="c/1", id="promise", due_at="2020-01-01T00:00:00Z"),
        ],
    )
    found = http.get("/customers/c%2F1/journey.json").json()
    assert [event["id"] for event in found["events"]] == ["before", "login", "promise"]
    assert [key["id"] for key in found["customer"]["keys"]] == ["c/1", "visit"]
    assert found["promises"][0]["standing"] == "overdue"
    accepting = http.get("/customers/c%2F1/journey", headers={"accept": "application/json"})
    assert accepting.json() == found
    assert http.get("/customers/nobody/journey.json").status_code == 404


def test_store_that_fails_is_503_and_keeps_nothing_back(http, collector, facts, monkeypatch):
    """A full disk makes the sender try again; afterwards all is well."""
    import sqlite3

    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(collector.store, "_insert", fail)
    answer = http.post("/events", json=[facts.interaction(id="a")])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    monkeypatch.undo()
    assert http.post("/events", json=[facts.interaction(id="a")]).json()["accepted"] == 1


def test_failed_request_is_logged_without_event_data(http, collector, facts, caplog, monkeypatch):
    """An error of our own is 500 and one line with type and place; not what the event said."""

    def fail(rows, *_):
        raise RuntimeError(f"cannot store {rows[0].body}")

    monkeypatch.setattr(fault, "voice", Voice())
    monkeypatch.setattr(collector.store, "add", fail)
    with caplog.at_level(logging.DEBUG):
        answer = http.post("/events", json=[facts.interaction("secret-customer")])
    assert (answer.status_code, answer.json()) == (500, {"error": "collector: failed"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    lines = [line for line in caplog.text.splitlines() if "ERROR" in line]
    assert len(lines) == 1
    assert "RuntimeError" in lines[0]
    assert "app.py" in lines[0]
    assert "secret-customer" not in caplog.text
    assert "Traceback" not in caplog.text


def test_error_after_the_answer_began_is_only_logged(caplog, monkeypatch):
    """Half an answer cannot become another one; the line is logged all the same."""

    async def app_that_breaks(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("secret-customer")

    sent = []

    async def send(message):
        sent.append(message["type"])

    monkeypatch.setattr(fault, "voice", Voice())
    with caplog.at_level(logging.ERROR):
        asyncio.run(fault.Fault(app_that_breaks)({"type": "http"}, None, send))
    assert sent == ["http.response.start"]
    assert "ValueError" in caplog.text
    assert "secret-customer" not in caplog.text


def test_log_lines_hold_no_control_characters_of_events(http, facts, caplog, monkeypatch):
    """A field name with CR, LF, ESC or a direction override cannot forge a line."""
    monkeypatch.setattr(app, "voice", Voice())
    evil = facts.interaction()
    evil["data"]["where"]["touchpoint"] = "\r\n\x1b[31mFAKE\u202e"
    evil["data"]["direction"] = "a\r\nb\x1b"
    with caplog.at_level(logging.WARNING, "cxsdk"):
        http.post("/events", json=[evil])
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.replace(
            '"user_visible":true', '"user_visible":true,"user_visible":false'
        ),
        lambda text: text.replace(
            '"user_visible":true', '"user_visible" : true, "user_visible":false'
        ),
        lambda text: text.replace('{"a":1}', '{"a":1,"a":1e9}'),
        lambda text: text.replace('"subject"', '"\\u0069d":"other","subject"'),
    ],
)
def test_a_name_twice_in_an_object_is_refused(http, facts, write):
    """Readers differ on which of the two counts, so the figures would differ from the journey."""
    event = facts.problem(ext={"app": {"a": 1}})
    text = json.encode(event).decode()
    twice = write(text)
    assert twice != text
    headers = {"content-type": "application/json"}
    answer = http.post("/events", content=twice, headers=headers).json()
    assert answer["accepted"] == 0
    (refused,) = answer["rejected"]
    assert refused["reason"] == "event: expected each name once in an object"
    pretty = json.format(json.encode(event), indent=2)
    assert http.post("/events", content=pretty, headers=headers).json()["accepted"] == 1


@pytest.mark.parametrize("path", ["/events", "/customers/c1/journey.json"])
@pytest.mark.parametrize("numbers", ["9" * 30 + ".1", "1." + "9" * 30, "1.-" + "9" * 30, "1"])
def test_cursors_that_nobody_gave_out_are_named(http, facts, path, numbers):
    """A number that SQLite cannot hold is a wrong cursor and no failure of the collector."""
    http.post("/events", json=facts.interaction())
    cursor = base64.urlsafe_b64encode(numbers.encode()).decode()
    answer = http.get(path, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"][:7]) == (400, "cursor:")


def test_zeros_before_a_limit_do_not_lift_it(http):
    """A limit is read whole."""
    assert http.get("/events", params={"limit": "0000000011000000"}).status_code == 400
    assert http.get("/events", params={"limit": "1000"}).status_code == 200


def test_wrong_method_is_told_all_right_ones(http):
    """Events are posted and read at one address."""
    answer = http.put("/events", json=[])
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_large_counts_add_up_without_failing(http, facts):
    """Sums beyond 64 bits are no failure of the page."""
    most = 2**53 - 1
    for _ in range(2):
        every = [facts.problem(count=most) for _ in range(800)]
        every += [facts.interaction(sampledrate=2**31 - 1), facts.loss(most)]
        assert http.post("/events", json=every).json()["rejected"] == []
    assert http.get("/", params={"range": "all"}).status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_browsers_are_told_in_a_page_what_is_wrong(http, collector, monkeypatch, accept):
    """An unknown address and a store that fails are pages to a browser, and JSON to programs."""

    def broken():
        raise sqlite3.OperationalError("database is locked")

    unknown = http.get("/nothing", headers={"accept": accept})
    monkeypatch.setattr(collector.store, "reading", broken)
    failed = http.get("/", headers={"accept": accept})
    assert (unknown.status_code, failed.status_code) == (404, 503)
    assert failed.headers["retry-after"] == "5"
    for answer in (unknown, failed):
        assert answer.headers["content-type"].startswith(accept)
        assert "content-security-policy" in answer.headers


def _fill(collector):
    (pages,) = collector.store._writer.execute("PRAGMA page_count").fetchone()
    collector.store._writer.execute(f"PRAGMA max_page_count = {pages}")
    return lambda: collector.store._writer.execute("PRAGMA max_page_count = 1000000")


def _lock(collector):
    other = sqlite3.connect(collector.store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other.close


def _move(collector):
    path = collector.store.path
    path.rename(path.with_suffix(".away"))
    return lambda: path.with_suffix(".away").rename(path)


@pytest.mark.parametrize("break_it", [_fill, _lock, _move])
def test_a_file_that_cannot_be_written_costs_no_event(http, collector, facts, break_it):
    """A full disk, a lock of another program, a file moved away: 503, and later all are taken."""
    collector.store._writer.execute("PRAGMA busy_timeout = 50")
    http.post("/events", json=facts.interaction())
    events = [facts.interaction() for _ in range(500)]
    repair = break_it(collector)
    answer = http.post("/events", json=events)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    repair()
    assert http.post("/events", json=events).json()["accepted"] == 500
    assert len(http.get("/events?limit=1000").json()["events"]) == 501
