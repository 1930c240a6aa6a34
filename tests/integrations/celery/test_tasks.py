"""
Whom a task is for travels with it, and ends with it.
"""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from celery import Celery, chain, chord, group, shared_task
from celery.exceptions import Ignore, Reject

import cxsdk as cx
from cxsdk.integrations.celery import CX, HEADER
from cxsdk.pipeline.customers import Customers
from cxsdk.scope import current_interaction, current_scope
from cxsdk.testing import capture
from tests.integrations.celery.conftest import KEY
from tests.lifecycle.life import until

WHO = Customers(KEY)
SERVED = {
    "customer": "kunde-4711",
    "account": "haushalt-9",
    "session": "s3cret",
    "channel": "web",
    "location": "berlin",
    "locale": "de-DE",
    "tz": "Europe/Berlin",
    "consent": "granted",
    "purposes": ("service",),
    "correlation": "case-1",
    "assurance": "verified",
}


def wire_of(scope):
    """Return what a scope says, in wire form, with the interaction that things refer to."""
    if scope is None:
        return None
    known = WHO.resolve(scope.who)
    return {
        **(known.block or {}),
        "session": known.session,
        "where": scope.where,
        "consent": scope.consent,
        "purposes": scope.purposes,
        "correlation": scope.correlation,
        "assurance": scope.assurance,
        "last": scope.last,
    }


def seen():
    """Return what a task finds around itself."""
    return {"scope": wire_of(current_scope.get()), "open": bool(cx.current())}


NOBODY = {
    "session": None,
    "where": (None,) * 5,
    "consent": None,
    "purposes": None,
    "correlation": None,
    "assurance": None,
    "last": None,
}
THERE = {
    **(WHO.resolve(("kunde-4711", None, "haushalt-9", "s3cret")).block or {}),
    "session": WHO.session("s3cret"),
    "where": (None, None, None, "de-DE", "Europe/Berlin"),
    "consent": "granted",
    "purposes": ("service",),
    "correlation": "case-1",
    "assurance": "verified",
    "last": None,
}


@pytest.fixture
def look(app):
    """A task that notes what it sees."""
    found = []

    @app.task(name="look")
    def look(value=None):
        found.append(seen())
        return value

    look.found = found
    return look


# ---- whom it is for ------------------------------------------------------------------------


def test_a_worker_serves_whom_the_sender_served(client, app, look, working):
    """Customer, account, session, assurance, consent and case are there; channel and place not."""
    with working(app), cx.scope(**SERVED):
        look.delay().get(timeout=20, interval=0.02)
    assert look.found == [{"scope": THERE, "open": False}]


def test_an_eager_task_sees_the_same_and_leaves_nothing(client, app, look):
    """At once, or in a worker: the same scope; and the caller's own is there again afterwards."""
    app.conf.task_always_eager = True
    with cx.scope(**SERVED) as outer, cx.interaction("checkout.pay") as contact:
        look.delay().get()
        assert current_scope.get() is outer
        assert current_interaction.get() is contact
    assert look.found == [{"scope": {**THERE, "last": contact.interaction_id}, "open": False}]
    assert current_scope.get() is None


def test_nobody_is_nobody(client, app, look, working):
    """What the beat sends, or a script, is about nobody, also after a task about somebody."""
    with working(app):
        with cx.scope(**SERVED):
            look.delay().get(timeout=20, interval=0.02)
        look.delay().get(timeout=20, interval=0.02)
    assert look.found[1] == {"scope": NOBODY, "open": False}


def test_a_visitor_is_the_same_visitor(client, app, working):
    """Somebody unknown with a session has the same anonymous id on both sides."""

    @app.task
    def follow():
        return bool(cx.feedback(csat=4))

    with capture() as events, working(app), cx.scope(session="s3cret", consent="granted"):
        cx.feedback(csat=5)
        assert follow.delay().get(timeout=20, interval=0.02)
    here, there = events.of("feedback")
    assert here.data.customer == there.data.customer
    assert here.data.session_id == there.data.session_id


def test_ids_in_the_broker_are_pseudonyms(client, app, look):
    """Neither the customer nor the session stands in the message."""
    headers = sent_headers(app, look)
    assert "kunde-4711" not in json.dumps(headers)
    assert "s3cret" not in json.dumps(headers)
    assert "haushalt-9" not in json.dumps(headers)


def sent_headers(app, task, **options):
    """Return the headers of one message as the broker has it."""
    with cx.scope(**SERVED):
        task.apply_async(**options)
    with app.connection_for_read() as connection, connection.channel() as channel:
        message = channel.basic_get(app.conf.task_default_queue, no_ack=True)
    return dict(message.headers)


def test_headers_of_the_host_stay(client, app, look):
    """What a team sends along is there, and a traceparent of its own is not replaced."""
    own = {"tenant": "a", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    headers = sent_headers(app, look, headers=own)
    assert {name: headers[name] for name in own} == own
    assert headers[HEADER]
    assert own == {"tenant": "a", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}


def test_a_positional_task_id_is_heeded(client, app, look):
    """``send_task`` called with places instead of names sends what it was told."""
    with cx.scope(**SERVED):
        result = app.send_task("look", (), {}, None, None, "an-id")
    assert result.id == "an-id"


# ---- on its way ----------------------------------------------------------------------------


def test_tasks_of_a_task_are_for_the_same_customer(client, app, look, working):
    """Sent by a task, as a link, in a chain, a group or a chord: all of them."""

    @app.task
    def outer():
        look.delay()

    with working(app), cx.scope(**SERVED):
        outer.apply_async(link=look.si()).get(timeout=20, interval=0.02)
        chain(look.si(), look.si()).apply_async().get(timeout=20, interval=0.02)
        group(look.si(), look.si()).apply_async().get(timeout=20, interval=0.02)
        chord([look.si(), look.si()], look.si()).apply_async().get(timeout=20, interval=0.02)
        look.delay().get(timeout=20, interval=0.02)
    assert [one["scope"] for one in look.found] == [THERE] * 10


def test_a_task_may_name_another_customer(client, app, look, working):
    """What it sends on inside of that scope is about them, with none of the first one's facts."""

    @app.task
    def outer():
        with cx.scope(customer="kunde-2"):
            look.delay()

    with working(app), cx.scope(**SERVED):
        outer.delay().get(timeout=20, interval=0.02)
        look.delay().get(timeout=20, interval=0.02)
    other = WHO.resolve(("kunde-2", None, None, None)).block["id"]
    first = look.found[0]["scope"]
    assert (first["id"], first["consent"], first["session"]) == (other, None, None)
    assert first["assurance"] is None or first["assurance"] == "authenticated"
    assert look.found[1]["scope"] == THERE


def test_a_task_that_names_the_same_customer_keeps_what_is_known_of_them(client, app, working):
    """The host's id in the task's arguments is recognised: session, consent, assurance stay."""

    @app.task
    def outer(user_id):
        with cx.scope(customer=user_id):
            return wire_of(current_scope.get())

    with working(app), cx.scope(**SERVED):
        found = outer.delay("kunde-4711").get(timeout=20, interval=0.02)
    named = {**found, "where": tuple(found["where"]), "purposes": tuple(found["purposes"])}
    assert named == {name: value for name, value in THERE.items() if name != "account_id"}


def test_a_retry_is_for_whom_the_first_attempt_was(client, app, working):
    """Whatever scope the task was in when it asked for one more."""
    found = []

    @app.task(bind=True, max_retries=2)
    def stubborn(self):
        found.append(wire_of(current_scope.get()))
        with cx.scope(customer="somebody-else", consent="denied"):
            if self.request.retries < 2:
                raise self.retry(countdown=0)

    with working(app), cx.scope(**SERVED):
        stubborn.delay().get(timeout=20, interval=0.02)
    assert found == [THERE] * 3


# ---- and ends with it ----------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_task_leaves_nothing_to_the_next(client, app, working, pool):
    """Scopes and interactions that a task enters and never leaves end with it."""
    found = []

    @app.task
    def leaky(n):
        found.append((n, seen()))
        cx.scope(customer=f"left-{n}").__enter__()
        cx.interaction("left.open").__enter__()
        if n % 2:
            raise ValueError(n)

    with capture(strict=False), working(app, pool):
        sent = [leaky.delay(n) for n in range(6)]
        for one in sent:
            one.get(timeout=20, interval=0.02, propagate=False)
    assert sorted(n for n, _ in found) == list(range(6))
    assert [what for _, what in found] == [{"scope": NOBODY, "open": False}] * 6


def test_tasks_side_by_side_serve_their_own(client, app, working):
    """Two at a time in threads, both waiting for each other: nobody sees the other's customer."""
    both = threading.Barrier(2)
    found = {}

    @app.task
    def meet(who):
        both.wait(20)
        found[who] = wire_of(current_scope.get())["id"]
        both.wait(20)

    with working(app, "threads", 2):
        sent = []
        for who in ("kunde-1", "kunde-2"):
            with cx.scope(customer=who):
                sent.append(meet.delay(who))
        for one in sent:
            one.get(timeout=20, interval=0.02)
    assert found == {
        who: WHO.resolve((who, None, None, None)).block["id"] for who in ("kunde-1", "kunde-2")
    }


# ---- back-stage ----------------------------------------------------------------------------


def test_a_task_is_no_interaction_unless_its_function_says_so(client, app, working):
    """The one beneath the task's decorator counts; it is outbound, and what it says is in it."""

    @app.task
    def silent():
        return None

    @app.task
    @cx.interaction("invoice.sent", channel="mail")
    def invoice():
        cx.promise("delivery", key="order-7", period="P2D")

    @app.task
    @cx.interaction("call.answered", direction="inbound")
    def answered():
        cx.record("letter.sent")

    with capture() as events, working(app), cx.scope(**SERVED):
        for task in (silent, invoice, answered):
            task.delay().get(timeout=20, interval=0.02)
    told = {e.data.where.touchpoint: e.data.direction for e in events.of("interaction")}
    assert told == {
        "invoice.sent": "outbound",
        "call.answered": "inbound",
        "letter.sent": "outbound",
    }
    sent = next(e for e in events.of("interaction") if e.data.where.touchpoint == "invoice.sent")
    assert (sent.data.where.channel, sent.data.consent.state) == ("mail", "granted")
    assert events.one("commitment").data.made_in == sent.data.interaction_id
    assert sent.correlationid == "case-1"


def test_the_same_function_outside_of_a_task_is_inbound(client, app):
    """Called as a plain function it is what it always was, before and after a task."""

    @app.task
    @cx.interaction("invoice.sent")
    def invoice():
        return None

    with capture() as events, cx.scope(customer="kunde-1"):
        invoice()
        invoice.apply()
        invoice()
    directions = [event.data.direction for event in events.of("interaction")]
    assert directions == ["inbound", "outbound", "inbound"]


def test_what_a_task_says_is_about_the_contact_it_was_sent_from(client, app, working):
    """A promise made in the task of a checkout was made in that checkout."""

    @app.task
    def promise():
        cx.promise("delivery", key="order-7", period="P2D")

    with capture() as events, working(app), cx.scope(customer="kunde-1"):
        with cx.interaction("checkout.pay") as contact:
            sent = promise.delay()
        sent.get(timeout=20, interval=0.02)
    assert events.one("commitment").data.made_in == contact.interaction_id


def throw(error):
    """Return what ends a task by *error*."""

    def leave(_):
        raise error

    return leave


@pytest.mark.parametrize(
    ("leave", "attempts", "expected"),
    [
        (lambda _: None, 1, [("success", None)]),
        (lambda task: task.retry(countdown=0), 2, [("success", None)]),
        (throw(Ignore()), 1, [("unknown", None)]),
        (throw(Reject("no", requeue=False)), 1, [("unknown", None)]),
        (throw(KeyError("a")), 1, [("failure", "KeyError")]),
    ],
    ids=["returns", "retries", "ignores", "rejects", "fails"],
)
def test_control_flow_is_no_failure(client, app, look, working, leave, attempts, expected):
    """An attempt that another follows is no contact; one given up ended nobody knows how."""
    came = []

    @app.task(bind=True, max_retries=1)
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def notice(self):
        came.append(self.request.retries)
        if self.request.retries == 0:
            leave(self)

    with capture(strict=False) as events, working(app):
        notice.delay()
        until(lambda: len(came) == attempts, f"{attempts} attempts")
        look.delay().get(timeout=20, interval=0.02)  # behind it: the worker has one hand
    told = [
        (e.data.outcome, e.data.error.type if e.data.error else None)
        for e in events.of("interaction")
    ]
    assert told == expected


def test_an_attempt_that_celery_retries_by_itself_is_no_contact(client, app, look, working):
    """With ``autoretry_for`` the last attempt counts, however it ends; nested ones are their own."""
    came = []

    class DownError(Exception): ...

    @app.task(bind=True, autoretry_for=(DownError,), max_retries=2, default_retry_delay=0)
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def notice(self, fails):
        came.append(self.request.retries)
        with contextlib.suppress(DownError), cx.interaction("call.made"):
            raise DownError
        if self.request.retries < fails:
            raise DownError

    def outcomes(events, touchpoint):
        return [
            event.data.outcome
            for event in events.of("interaction")
            if event.data.where.touchpoint == touchpoint
        ]

    for fails, expected in ((1, (2, "success")), (9, (3, "failure"))):
        came.clear()
        with capture() as events, working(app):
            notice.delay(fails)
            until(lambda most=expected[0]: len(came) == most, "the attempts")
            look.delay().get(timeout=20, interval=0.02)
        assert outcomes(events, "notice.sent") == [expected[1]]
        assert outcomes(events, "call.made") == ["failure"] * expected[0]
        assert len({event.id for event in events}) == len(events)


def test_a_rejected_task_that_comes_again_is_one_contact(client, app, working):
    """``Reject(requeue=True)`` hands the message back: only the last attempt counts."""
    came = []

    @app.task(acks_late=True)
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def notice():
        came.append(1)
        if len(came) < 3:
            raise Reject("later", requeue=True)

    with capture(strict=False) as events, working(app):
        notice.delay().get(timeout=20, interval=0.02)
    assert (len(came), len(events.of("interaction"))) == (3, 1)


@pytest.mark.parametrize(("acks_late", "expected"), [(True, []), (False, ["unknown"])])
def test_an_attempt_cut_short_is_no_contact_where_it_comes_again(client, app, acks_late, expected):
    """Ended with its process, a task that was not acknowledged before is handed out again."""
    from celery.app.trace import build_tracer

    @app.task(acks_late=acks_late)
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def notice():
        with cx.interaction("call.made"):
            raise SystemExit

    traced = build_tracer(notice.name, notice, app=app)
    with capture() as events, pytest.raises(SystemExit):
        traced("4b7c6e1e-0000-4000-8000-000000000001", (), {}, {"is_eager": False})
    assert [event.data.outcome for event in events] == expected * 2


def test_a_task_run_at_once_in_another_is_the_same_when_that_one_comes_again(client, app):
    """``apply()`` in a worker: what both say has the same ids, and none of them twice."""
    from celery.app.trace import build_tracer

    @app.task
    @cx.interaction("call.made", customer=lambda *_: "kunde-1")
    def call():
        cx.feedback(csat=4, customer="kunde-1")

    @app.task(acks_late=True)
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def notice():
        call.apply()
        call.apply().get()
        cx.feedback(csat=4, customer="kunde-1")

    traced = build_tracer(notice.name, notice, app=app)
    with capture() as events:
        for _ in range(2):
            traced("4b7c6e1e-0000-4000-8000-000000000002", (), {}, {"is_eager": False})
    ids = [event.id for event in events]
    assert len(set(ids[:6])) == 6
    assert ids[:6] == ids[6:]


def test_a_task_run_at_once_in_another_is_cut_short_with_it(client, app):
    """It is no contact where the one around it is handed out again."""
    from celery.app.trace import build_tracer

    @app.task
    @cx.interaction("call.made", customer=lambda *_: "kunde-1")
    def call():
        raise SystemExit

    @app.task(acks_late=True)
    def notice():
        call.apply()

    traced = build_tracer(notice.name, notice, app=app)
    with capture() as events, pytest.raises(SystemExit):
        traced("4b7c6e1e-0000-4000-8000-000000000003", (), {}, {"is_eager": False})
    assert events == []


def test_a_task_run_at_once_does_not_come_again(client, app):
    """Whatever its settings: nobody hands it out."""

    @app.task(acks_late=True)
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def notice():
        raise SystemExit

    with capture() as events, pytest.raises(SystemExit):
        notice.apply()
    assert events.one("interaction").data.outcome == "unknown"


# ---- order of decorators -------------------------------------------------------------------


def test_the_wrong_order_is_refused_with_the_right_one(app):
    """On a task, and on a lazy shared one, the message shows how the two lines belong."""
    right = '@app.task  # or @shared_task\n    @cx.interaction("invoice.sent", ...)\n    def ...'
    with pytest.raises(cx.ConfigurationError) as refused:

        @cx.interaction("invoice.sent")
        @app.task
        def plain(): ...

    assert right in str(refused.value)
    with pytest.raises(cx.ConfigurationError) as refused:

        @cx.interaction("invoice.sent", customer=cx.arg("user_id"))
        @shared_task
        def lazy(user_id): ...

    assert right in str(refused.value)
    app.finalize()  # as a worker has done when a module comes late: tasks are no lazy ones then
    with pytest.raises(cx.ConfigurationError) as refused:

        @cx.interaction("invoice.sent")
        @app.task
        def late(): ...

    assert right in str(refused.value)


def test_the_right_order_keeps_what_the_task_is(client, app):
    """Name, module, signature and documentation are the function's own; cx.arg finds its own."""

    @app.task
    @cx.interaction("invoice.sent", customer=cx.arg("user_id"))
    def invoice(user_id, copies=1):
        """Send it."""
        return copies

    assert invoice.name.endswith("invoice")
    assert invoice.__doc__ == "Send it."
    with pytest.raises(TypeError):
        invoice.delay()  # checked against the signature, before it is sent
    with capture() as events:
        assert invoice.apply(("kunde-1",)).get() == 1
    assert (
        events.one("interaction").data.customer.id
        == WHO.resolve(("kunde-1",) + (None,) * 3).block["id"]
    )


# ---- the application -----------------------------------------------------------------------


def test_installed_twice_is_once_and_uninstall_restores(make_app):
    """``send_task`` is wrapped once, and is the class's own again."""
    app = make_app(installed=False)
    first, second = CX(app), CX(app)
    wrapped = app.send_task
    assert CX(app).install().install() is not None
    assert app.send_task is wrapped
    first.uninstall()
    second.uninstall()
    assert app.send_task is wrapped  # the last one is still in force
    third = CX(app)
    third.uninstall()
    third.uninstall()
    assert "send_task" not in vars(app)
    assert app.send_task.__func__ is Celery.send_task
    assert third.install() is third
    third.uninstall()


def test_what_others_laid_over_it_stays(make_app, client):
    """Uninstalled beneath another wrapper it hands on and does nothing."""
    app = make_app(installed=False)
    cxs = CX(app)
    ours = app.send_task

    def theirs(*args, **options):
        return ours(*args, **options)

    app.send_task = theirs

    @app.task(name="look")
    def look(): ...

    cxs.uninstall()
    assert HEADER not in sent_headers(app, look)


def test_another_application_sends_nothing(make_app, client):
    """Whoever did not ask for it has no header: its broker may be somebody else's."""
    make_app("ours")
    other = make_app("theirs", installed=False)

    @other.task(name="look")
    def look(): ...

    assert HEADER not in sent_headers(other, look)


def test_excluded_tasks_are_left_alone(make_app, client, working):
    """By name or pattern: no header, and no scope around them."""
    app = make_app(exclude=["vendor.*"])

    @app.task(name="vendor.sync")
    def sync():
        return current_scope.get() is None

    assert HEADER not in sent_headers(app, sync)
    with working(app), cx.scope(**SERVED):
        assert sync.delay().get(timeout=20, interval=0.02)


@pytest.mark.parametrize("wrong", [{"exclude": [""]}, {"exclude": [7]}])
def test_a_wrong_exclude_is_refused(wrong):
    """Said at once, where the application is set up."""
    with pytest.raises(cx.ConfigurationError, match="exclude"):
        CX(**wrong)


def test_something_else_than_an_application_is_refused():
    """Said at once."""
    with pytest.raises(cx.ConfigurationError, match="a Celery application, got str"):
        CX("shop")
    with pytest.raises(cx.ConfigurationError, match="a Celery application"):
        CX().install()


def test_without_init_nothing_happens(app, working):
    """Tasks run, headers stay as they are, and the scope is nobody's business."""

    @app.task(name="look")
    def look():
        return current_scope.get() is None

    assert HEADER not in sent_headers(app, look)
    with working(app):
        assert look.delay().get(timeout=20, interval=0.02)


def test_a_disabled_client_does_nothing(app, monkeypatch, working):
    """``CXSDK_DISABLED=1`` leaves the application as if cxsdk were not there."""
    monkeypatch.setenv("CXSDK_DISABLED", "1")
    cx.init("jobs")

    @app.task(name="look")
    def look():
        return current_scope.get() is None

    assert HEADER not in sent_headers(app, look)
    with working(app):
        assert look.delay().get(timeout=20, interval=0.02)


def test_a_wrong_customer_does_not_keep_a_task_from_being_sent(app, caplog):
    """An address as an id, without a key, is told to no broker; the task goes, and one line."""
    cx.init("jobs", collector="memory:")

    @app.task(name="look")
    def look(): ...

    with cx.scope(customer="anna@example.org"):
        for _ in range(3):
            assert look.delay().id
    lines = [r.message for r in caplog.records if "goes without its scope" in r.message]
    assert len(lines) == 1
    assert "anna" not in lines[0]
