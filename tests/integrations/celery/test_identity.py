"""
What is said in a task that is handed out again is the same event; what is said twice is two.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import cxsdk as cx
from cxsdk import _ids
from cxsdk.integrations.celery import HEADER
from cxsdk.scope import current_scope
from cxsdk.testing import capture

HANDED = {"exchange": "", "routing_key": "q", "redelivered": True}


@pytest.fixture
def run(client):
    """Run a message of a task as a worker's pool would."""

    def run(task, task_id="t-1", *, args=(), retries=0, **headers):
        from celery.app.trace import build_tracer

        request = {"id": task_id, "task": task.name, "retries": retries, **headers}
        request |= {"delivery_info": HANDED, "callbacks": None, "errbacks": None}
        tracer = build_tracer(task.name, task, app=task.app)
        with capture() as events:
            tracer(task_id, list(args), {}, request)
        assert current_scope.get() is None
        return events

    return run


@pytest.fixture
def say(app):
    """A task that says one or more of everything."""

    @app.task
    @cx.interaction("notice.sent", customer=lambda: "kunde-1")
    def say():
        cx.current().goal_met = "yes"
        cx.feedback(csat=4)
        cx.feedback(csat=2)
        cx.reaction("renew")
        cx.promise("warranty", period="P2Y")
        cx.commitment("order-7").at_risk()
        cx.problem("slow")
        cx.record("letter.sent", customer="kunde-1")
        cx.identify("kunde-1")
        with cx.interaction("call.made"):
            pass

    return say


def ids(events):
    """Return the ids of events."""
    return [event.id for event in events]


def test_handed_out_again_is_the_same(run, say):
    """All events of all families, whoever runs it and whenever."""
    first, second = run(say), run(say)
    assert len(first) == 10
    assert ids(first) == ids(second)
    assert len(set(ids(first))) == len(first)


def test_the_id_in_the_event_is_the_events(run, say):
    """What refers to it finds it: feedback_id, reaction_id, interaction_id and their kin."""
    events = run(say)
    feedback, _ = events.of("feedback")
    assert feedback.data.feedback_id == feedback.id
    interactions = {e.data.where.touchpoint: e for e in events.of("interaction")}
    notice = interactions["notice.sent"]
    assert notice.data.interaction_id == notice.id
    assert feedback.data.about.interaction_ids == (notice.id,)


@pytest.mark.parametrize(
    "other",
    [
        {"task_id": "t-2"},
        {"retries": 1},
        {HEADER: '-.{"sent": "01a2193c-7716-77e5-a4c3-439ad60f847a"}'},
    ],
    ids=["task", "attempt", "message"],
)
def test_something_else_is_other_events(run, say, other):
    """Another task, another attempt, or the same id sent once more."""
    assert not set(ids(run(say))) & set(ids(run(say, **other)))


def test_the_same_message_is_the_same_under_its_header(run, say):
    """What was made at sending stands for the message, whether or not its signature holds."""
    sent = {HEADER: '-.{"sent": "01a2193c-7716-77e5-a4c3-439ad60f847a"}'}
    assert ids(run(say, **sent)) == ids(run(say, **sent))


def test_who_is_left_keeps_their_ids(app, run):
    """Over many customers, handed out again, the first ones done: nobody gets another's id."""

    @app.task
    def remind(customers):
        for one in customers:
            with cx.interaction("reminder.sent", customer=one):
                pass
            cx.reaction("renew", customer=one)

    everyone = run(remind, args=[["a", "b", "c"]])
    rest = run(remind, args=[["b", "c"]])
    assert ids(everyone)[2:] == ids(rest)


def test_another_way_through_the_task_keeps_ids_apart(app, run):
    """What is left out the second time does not give its id to what comes after it."""

    @app.task
    def work(is_first):
        if is_first:
            cx.record("notice.sent", customer="kunde-1")
            cx.reaction("complain", customer="kunde-1")
            cx.problem("slow", customer="kunde-1")
        cx.record("report.sent", customer="kunde-1")
        cx.reaction("renew", customer="kunde-1")
        cx.problem("error", customer="kunde-1")

    assert ids(run(work, args=[True]))[3:] == ids(run(work, args=[False]))


def test_a_key_of_the_hosts_own_stays_what_it_is(app, run, client):
    """``key=`` means the same in a task as anywhere else."""

    @app.task
    def work():
        cx.feedback(csat=4, key="mail-7", customer="kunde-1")
        cx.promise("delivery", key="order-7", period="P2D", customer="kunde-1")

    inside = run(work)
    with capture() as outside:
        cx.feedback(csat=4, key="mail-7", customer="kunde-1")
        cx.promise("delivery", key="order-7", period="P2D", customer="kunde-1")
    assert ids(inside) == ids(outside)
    assert inside.one("commitment").data.commitment_id == "order-7"


def test_an_id_asked_for_early_is_the_same(app, run):
    """Read while the interaction is open, and where ``started`` is said, it is the final one."""
    found = []

    @app.task
    @cx.interaction("notice.sent", customer=cx.arg("who"))
    def work(who):
        found.append(cx.current().interaction_id)

    first, second = run(work, args=["kunde-1"]), run(work, args=["kunde-1"])
    assert [*ids(first), *ids(second)] == found
    assert found[0] == found[1]


def test_started_and_completed_have_one_interaction(app, run):
    """Both events of a task that is handed out again are the same again."""
    cx.init("jobs", collector="memory:", capture=cx.CaptureOptions(started=True))

    @app.task
    @cx.interaction("notice.sent", customer=lambda: "kunde-1")
    def work(): ...

    first, second = run(work), run(work)
    assert [e.action for e in first] == ["started", "completed"]
    assert ids(first) == ids(second)
    assert len({e.data.interaction_id for e in first}) == 1


def test_at_once_is_never_again(client, app):
    """An eager task is not handed out by anybody: a fixed task id gives new events each time."""

    @app.task
    def work():
        cx.feedback(csat=4, customer="kunde-1")

    with capture() as events:
        work.apply(task_id="t-1")
        work.apply(task_id="t-1")
    assert len(set(ids(events))) == 2


def test_a_task_that_says_very_much_goes_on(app, run, monkeypatch):
    """Beyond so many customers ids are new ones: memory is bounded, nothing is lost."""
    monkeypatch.setattr(_ids, "_MOST_KINDS", 200)

    @app.task
    def work():
        for n in range(250):
            cx.record("letter.sent", customer=f"kunde-{n}")

    events = run(work)
    assert len(set(ids(events))) == 250


def test_the_time_of_each_is_its_own(app, run):
    """The same id, but when it happened is when it happened."""

    @app.task
    def work():
        cx.record("letter.sent", customer="kunde-1")

    before = datetime.now(UTC)
    first, second = run(work)[0], run(work)[0]
    assert before <= first.time <= second.time
    assert first.id == second.id
