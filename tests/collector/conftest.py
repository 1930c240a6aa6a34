"""
Facts to send, a collector to send them to, and a browser to look at it.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from cxsdk.collector import Collector, Store
from cxsdk.collector.limits import Limits
from cxsdk.collector.row import Refusal, judge

T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


class Facts:
    """
    Builds events of the standard as JSON objects; what is given replaces the defaults.
    """

    def __init__(self):
        self.count = itertools.count(1)

    def event(self, family, action, data, *, at=T0, id=None, instance="p1", seq=None, **envelope):  # noqa: A002
        n = next(self.count)
        lane = "bulk" if family in {"interaction", "prompt"} else "vital"
        body = {f"{family}_id": f"{family}-{n}"} if family != "loss" else {}
        if family == "prompt":
            body = {}
        body.update(data)
        if seq is not None:
            body["sdk"] = {
                "name": "cxsdk",
                "version": "0.1.0",
                "instance": instance,
                "lane": envelope.pop("lane", lane),
                "seq": seq,
            }
        return {
            "specversion": "1.0",
            "source": "urn:service:shop",
            "type": f"dev.cxsdk.{family}.{action}.v1",
            "dataschema": f"urn:cxsdk:schema:{family}:1-0-0",
            "datacontenttype": "application/json",
            "id": id or f"event-{n}",
            "subject": f"{family}/{n}",
            "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            **envelope,
            "data": {name: value for name, value in body.items() if value is not None},
        }

    def interaction(self, customer="c1", touchpoint="checkout.pay", **more):
        envelope = _envelope(more)
        where = {"channel": "web", "medium": "web_page", "touchpoint": touchpoint, "stage": "order"}
        return self.event(
            "interaction",
            envelope.pop("action", "completed"),
            {
                "customer": _customer(customer),
                "where": {**where, **more.pop("where", {})},
                "direction": "inbound",
                "performed_by": {"kind": "automated"},
                "outcome": "success",
                **more,
            },
            **envelope,
        )

    def problem(self, customer="c1", problem="error", **more):
        envelope = _envelope(more)
        fields = {"problem": problem, "severity": "major", "user_visible": True, **more}
        if customer is not None:
            fields["customer"] = _customer(customer)
        return self.event("problem", envelope.pop("action", "encountered"), fields, **envelope)

    def promise(self, name, state="made", customer="c1", **more):
        envelope = _envelope(more)
        fields = {"commitment_id": name, "customer": _customer(customer), "state": state}
        if state == "made":
            fields |= {
                "kind": "delivery",
                "promised_by": {"kind": "company"},
                "duty": "deliver_by",
            }
        return self.event("commitment", state, {**fields, **more}, **envelope)

    def feedback(self, customer="c1", versus=None, answers=None, **more):
        envelope = _envelope(more)
        return self.event(
            "feedback",
            "given",
            {
                "customer": _customer(customer),
                "about": {"relationship": True},
                "answers": answers or [{"question": "versus_expectation", "value": versus or "-"}],
                "source": "stated",
                "solicited": True,
                "versus_expectation": versus,
                **more,
            },
            **envelope,
        )

    def reaction(self, customer="c1", reaction="renew", **more):
        envelope = _envelope(more)
        fields = {"reaction": reaction, "customer": _customer(customer), "evidence": "observed"}
        return self.event("reaction", "observed", {**fields, **more}, **envelope)

    def identity(self, op, customer, previous=None, **more):
        envelope = _envelope(more)
        fields = {"op": op, "customer": _customer(customer), **more}
        if previous is not None:
            fields["previous"] = _customer(previous)
        return self.event("identity", op, fields, **envelope)

    def loss(self, count, family="interaction", touchpoint="checkout.pay", **more):
        envelope = _envelope(more)
        span = {"from": "2026-05-04T09:00:00.000000Z", "to": "2026-05-04T09:30:00.000000Z"}
        return self.event(
            "loss",
            "recorded",
            {
                "reason": "disk_full",
                "family": family,
                "touchpoint": touchpoint,
                "count": count,
                **span,
                **more,
            },
            **envelope,
        )

    def prompt(self, action, offer=None, prompt="checkout_effort", **more):
        envelope = _envelope(more)
        fields = {"prompt_id": prompt, "instrument": "ces", "action": action, "offer_id": offer}
        return self.event("prompt", action, {**fields, **more}, **envelope)

    def score(self, value, instrument="csat", least=1, most=5, **more):
        scale = {"min": least, "max": most, "better": "higher"}
        answers = [{"question": instrument, "value": value, "scale": scale}]
        return self.feedback(answers=answers, instrument=instrument, **more)


def _envelope(more):
    names = {
        "at",
        "id",
        "instance",
        "seq",
        "source",
        "sampledrate",
        "lane",
        "action",
        "recordedtime",
    }
    # A feedback's own `source` is stated or inferred; a URI is the envelope's.
    return {
        name: more.pop(name)
        for name in names & more.keys()
        if name != "source" or ":" in more["source"]
    }


def _customer(customer):
    return {"id": customer} if isinstance(customer, str) else customer


class FixedClock:
    """
    A clock that stands still until it is set.
    """

    def __init__(self, moment=T0 + timedelta(minutes=1)):
        self.moment = moment

    def time_ns(self):
        return int(self.moment.timestamp() * 1e6) * 1000

    def monotonic(self):
        return 0.0

    def wait(self, signal, timeout):
        return signal.wait(timeout)


@pytest.fixture
def facts():
    """
    Builders of events.
    """
    return Facts()


@pytest.fixture
def clock():
    """
    A clock that the test sets; one minute after the default time of facts.
    """
    return FixedClock()


@pytest.fixture
def store(tmp_path, clock):
    """
    A store of its own, with the test's clock.
    """
    made = Store(tmp_path / "collector.db", clock=clock)
    yield made
    made.close()


@pytest.fixture
def keep(store):
    """
    Put events into the store as the collector does; every one must be right.
    """
    from msgspec import json

    def put(*events):
        rows = [judge(json.encode(event), Limits(), strict=False) for event in events]
        bad = [row.reason for row in rows if isinstance(row, Refusal)]
        assert bad == []
        return store.add(rows)

    return put


@pytest.fixture
def collector(tmp_path):
    """
    A collector that runs on a free port.
    """
    with Collector(tmp_path / "collector.db") as running:
        yield running


@pytest.fixture
def http(collector):
    """
    A client of the running collector.
    """
    with httpx.Client(base_url=collector.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def page(chromium):
    """
    Open a page at a width, with JavaScript on or off; collects what the browser complains about.
    """
    opened = []

    def open_at(url, width=1280, *, scheme="light", scripts=False):
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        opened.append(context)
        tab = context.new_page()
        tab.complaints = []
        tab.on("console", lambda message: tab.complaints.append(message.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: tab.complaints.append("dialog"))
        tab.on(
            "response",
            lambda response: response.status >= 400 and tab.complaints.append(response.url),
        )
        tab.goto(str(url))
        return tab

    yield open_at
    for context in opened:
        context.close()
