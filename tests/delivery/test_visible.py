"""
What delivery decides is seen from inside (`stats`, metrics) and from outside (the notice).
"""

from __future__ import annotations

import json

import pytest

from cxsdk._ledger import _decisions, _lag, _stopped
from cxsdk.cli._checks import DECISIONS, _delivery
from cxsdk.spool import notice
from cxsdk.testing.clock import FakeClock
from cxsdk.typing import Delivered, Hold, Partial, Refused, Retry, Split


def script(*results):
    rest = list(results)
    return lambda batch: rest.pop(0) if rest else Delivered()


def bad(batch):
    """Refuse whatever holds the third event."""
    names = [json.loads(record.payload)["id"] for record in batch.records]
    return Refused("http 400", "poison") if "b2" in names else Delivered()


@pytest.mark.parametrize(
    ("answer", "decided"),
    [
        (script(Retry("x", throttled=True)), {"throttled": 1}),
        (script(*[Retry("x")] * 5), {"breaker_opened": 1}),
        (script(Split("http 413")), {"splits": 1}),
        (bad, {"buried": 1}),
        (script(Hold("http 401", probe_after=1.0)), {"holds": 1}),
        (script(Partial(unnamed=2, words="no")), {"rejected_unnamed": 2}),
        (script("nonsense"), {"sink_errors": 1}),
    ],
)
def test_each_decision_is_counted(rig, answer, decided):
    """What was decided stands in the sink's figures under its name, as often as it was."""
    r = rig(answer)
    r.emit(30)
    r.drive(600)
    found = r.line.stats()["decisions"]
    assert found.items() >= decided.items()
    assert set(found) <= set(DECISIONS)


def test_halving_for_poison_is_counted(rig):
    """Each halving of a refused batch counts."""
    r = rig(bad)
    r.emit(32)
    r.drive(60)
    assert r.line.stats()["decisions"]["bisections"] == 5


def test_an_empty_budget_is_counted(rig):
    """Retries that nobody can afford any more are told."""
    r = rig(lambda _: Retry("x"))
    r.emit(1)
    r.drive(6 * 3600)
    assert r.line.stats()["decisions"]["budget_empty"] > 0


def test_the_pace_is_kept(rig):
    """With 100 a second 1,000 events take ten seconds, less the first batch."""
    r = rig(max_events_per_second=100.0, max_batch_events=50)
    r.emit(1000)
    began = r.clock.monotonic()
    r.drive(3600)
    moments = r.line.stats()["batches"]
    assert (r.counts.delivered, moments) == (1000, 20)
    r.emit(1)
    r.drive()
    assert r.clock.monotonic() - began >= 9.5


def test_the_pace_holds_at_any_moment(rig):
    """No second ever sees more than the pace and one batch."""
    at = []
    r = rig(
        lambda batch: at.extend([r.clock.monotonic()] * len(batch)) or Delivered(),
        max_events_per_second=20.0,
        max_batch_events=10,
    )
    r.emit(200)
    r.drive(60)
    assert len(at) == 200
    for moment in at:
        assert sum(moment <= other < moment + 1.0 for other in at) <= 20 + 10


def test_without_a_pace_nothing_waits(rig):
    """The default is as fast as the destination takes it."""
    r = rig()
    r.emit(2000)
    began = r.clock.monotonic()
    r.drive()
    assert (r.counts.delivered, r.clock.monotonic()) == (2000, began)


def test_decisions_lag_and_stops_are_metrics(rig):
    """A meter gets each decision by sink, the lag, and whether delivery is stopped."""
    r = rig(script(Split("http 413"), Hold("http 401", probe_after=60.0)))
    r.emit(20)
    r.drive(1)
    stats = {"sinks": {"default": {"delivery": r.line.stats()}}}
    found = {each["decision"]: value for value, each in _decisions(stats)}
    assert (found["attempts"], found["splits"], found["holds"]) == (2, 1, 1)
    assert list(_stopped(stats)) == [(1, {"sink": "default"})]
    assert [each for _, each in _lag(stats)] == [{"sink": "default"}]


def test_the_notice_is_written_when_it_tells_something_new(tmp_path):
    """At once for news, at most every two seconds, and every half minute in any case."""
    clock = FakeClock()
    board = notice.Notice(clock)
    figures = {"default": {"breaker": "closed", "holding": "", "last_error": "", "lag": 0.0}}

    def said():
        return (notice.read(tmp_path) or {}).get("sinks", {}).get("default")

    board.put(tmp_path, figures)
    assert said()["holding"] == ""
    for step, (seconds, expected) in enumerate([(1.0, ""), (1.5, "http 401")]):
        clock.advance(seconds)
        board.put(tmp_path, {"default": {**figures["default"], "holding": "http 401", "n": step}})
        assert said()["holding"] == expected
    stamp = notice.read(tmp_path)["at"]
    clock.advance(10.0)
    board.put(tmp_path, {"default": {**figures["default"], "holding": "http 401", "lag": 9.0}})
    assert notice.read(tmp_path)["at"] == stamp
    clock.advance(21.0)
    board.put(tmp_path, {"default": {**figures["default"], "holding": "http 401", "lag": 30.0}})
    assert said()["lag"] == 30.0
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sinks": 3}'])
def test_no_notice_is_none(tmp_path, text):
    """What is no notice reads as none."""
    assert notice.read(tmp_path) is None
    (tmp_path / "status.json").write_text(text)
    assert notice.read(tmp_path) is None


@pytest.mark.parametrize(
    ("figures", "level", "words", "todo"),
    [
        ({"holding": "http 401: no", "next_attempt": 60.0}, "problem", "on hold", "api_key"),
        ({"holding": "refuses too much: x"}, "problem", "on hold", "contract"),
        ({"holding": "strange"}, "problem", "strange", "repair it there"),
        ({"breaker": "open", "last_error": "network: x"}, "problem", "does not answer", "start"),
        ({"breaker": "closed"}, "ok", "7 events wait", ""),
    ],
)
def test_the_doctor_explains(figures, level, words, todo):
    """What is wrong, that nothing is lost, and what to do."""
    found = next(_delivery("shop/test: sink 'default'", figures, 7))
    assert found.level == level
    assert words in found.words
    assert todo in found.todo
    assert level == "ok" or "none is lost" in found.words


def test_the_doctor_names_each_decision():
    """Every decision has its explanation."""
    found = list(_delivery("x", {"decisions": dict.fromkeys(DECISIONS, 3)}, 0))
    assert [each.words for each in found[1:]] == [
        f"x: 3 × {words}" for words, _ in DECISIONS.values()
    ]
