"""
Rehearsals over past events: whom prompts would have asked, by the engine's own decisions.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxsdk.cli._olist import olist_events
from cxsdk.errors import ConfigurationError
from cxsdk.events.codec import from_wire
from cxsdk.prompts import Echo, FrequencyCap, Prompt, Question, QuotaRule, Sampling, Trigger
from cxsdk.prompts.rules import NotAfterFailure, TenureAtLeast
from cxsdk.prompts.simulate import simulate

DATA = Path(__file__).parents[3] / "shared" / "data"
T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
DAY = 86_400.0
NUMBERS = itertools.count(1)


def event(family, action, days, data, customer="c1"):
    name = f"{family}-{next(NUMBERS)}"
    body = {f"{family}_id": name, "customer": {"id": customer}, **data}
    return from_wire(
        {
            "specversion": "1.0",
            "source": "urn:service:shop",
            "type": f"dev.cxsdk.{family}.{action}.v1",
            "dataschema": f"urn:cxsdk:schema:{family}:1-0-0",
            "datacontenttype": "application/json",
            "id": name,
            "subject": f"{family}/{name}",
            "time": (T0 + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "data": body,
        }
    )


def visit(days, customer="c1", touchpoint="checkout.pay", outcome="success", action="completed"):
    data = {
        "where": {"channel": "web", "touchpoint": touchpoint},
        "direction": "inbound",
        "performed_by": {"kind": "automated"},
        "outcome": outcome,
    }
    return event("interaction", action, days, data, customer)


def ask(key="effort", **more):
    more.setdefault("trigger", Trigger(event="checkout.pay"))
    return Prompt(key=key, questions=[Question(id="how")], **more)


def days_of(found):
    return [round((one.at - T0.timestamp()) / DAY, 3) for one in found.asks]


def test_an_order_a_day_is_asked_about_once_a_month():
    """By the default caps: 70 days of orders are three offers, 30 days apart."""
    found = simulate([ask()], [visit(day) for day in range(70)])
    assert days_of(found) == [0, 30, 60]
    (one,) = found.prompts
    assert (one.offered, one.customers, one.shortest_gap) == (3, 1, 30 * DAY)
    assert one.suppressed == {"cap_prompt": 49, "cap_global": 18}
    assert (found.occasions, found.customers, found.asked, found.share) == (70, 1, 1, 1.0)
    assert (found.most_in_90_days, found.shortest_gap) == (3, 30 * DAY)


def test_two_prompts_share_the_floor_between_any_two():
    """The one of higher priority asks first; the other waits for the seven days."""
    first, other = ask("first", priority=1), ask("other")
    found = simulate([other, first], [visit(day) for day in range(9)])
    assert [(one.prompt, day) for one, day in zip(found.asks, days_of(found), strict=True)] == [
        ("first", 0),
        ("other", 7),
    ]
    assert found.prompts[1].suppressed["lost_priority"] == 1


def test_events_may_come_in_any_order_and_twice():
    """Time decides; the same event counts once; the same input gives the same result."""
    every = [visit(day, f"c{day % 3}") for day in range(20)]
    found = simulate([ask()], [*reversed(every), *every])
    again = simulate([ask()], every)
    assert (found, found.occasions) == (again, 20)


def test_only_what_is_over_and_live_asks():
    """An interaction that began, another touchpoint and a draft ask nobody."""
    events = [visit(0, action="started"), visit(1, touchpoint="search")]
    found = simulate([ask(), ask("draft", status="draft")], events)
    assert (found.occasions, found.asks) == (1, ())
    assert [dict(one.suppressed) for one in found.prompts] == [
        {"not_live": 1},
        {"trigger_mismatch": 1},
    ]


def test_sampling_asks_the_same_share_of_customers():
    """A tenth of a thousand customers, and each of the others never."""
    events = [visit(day, f"c{who}") for who in range(1000) for day in (0, 40)]
    found = simulate([ask(sampling=Sampling(rate=0.1))], events)
    assert found.share == pytest.approx(0.1, abs=0.03)
    assert len(found.asks) == 2 * found.asked


def test_a_failure_keeps_people_from_being_asked():
    """A problem an hour before, and one of another customer, which does not matter."""
    problem = {"problem": "error", "severity": "major", "user_visible": True}
    events = [
        event("problem", "encountered", 0.0, problem),
        visit(1 / 24),
        event("problem", "encountered", 0.0, problem, "other"),
        visit(2.0, "other"),
    ]
    found = simulate([ask(eligibility=[NotAfterFailure(within=DAY)])], events)
    assert days_of(found) == [2.0]
    assert found.prompts[0].suppressed == {"recent_failure": 1}


def test_tenure_is_counted_from_the_first_event_or_said_by_a_trait():
    """New customers are not asked; an `identity` event or the caller may say since when."""
    prompt = ask(eligibility=[TenureAtLeast(seconds=30 * DAY)])
    assert days_of(simulate([prompt], [visit(0), visit(10), visit(31)])) == [31]
    traits = {"op": "identified", "traits": {"customer_since": "2020-01-01T00:00:00Z"}}
    told = event("identity", "identified", -1, traits)
    assert days_of(simulate([prompt], [told, visit(0)])) == [0]
    since = {"customer_since": datetime(2020, 1, 1, tzinfo=UTC)}
    assert days_of(simulate([prompt], [visit(0)], attributes=lambda _: since)) == [0]


def test_a_delayed_prompt_asks_at_the_next_visit():
    """What waits two days is asked when the customer is there again, not when they ordered."""
    prompt = ask(trigger=Trigger(event="checkout.pay", delay=2 * DAY))
    found = simulate([prompt], [visit(0), visit(1, touchpoint="search"), visit(3, touchpoint="x")])
    assert days_of(found) == [3]
    assert found.prompts[0].suppressed["delayed"] == 1


def test_a_letter_goes_out_when_its_time_has_come():
    """Nobody has to come back for it; the hour of the rehearsal's timer decides."""
    prompt = ask(channels=("email",), trigger=Trigger(event="checkout.pay", delay=2 * DAY))
    found = simulate([prompt], [visit(0), visit(5, "c2", touchpoint="search")])
    assert [(one.subject, one.interaction_id) for one in found.asks] != []
    assert 2 <= days_of(found)[0] <= 2.05


def test_a_wait_is_called_off():
    """A problem in between: the letter is never sent."""
    prompt = ask(
        channels=("email",),
        trigger=Trigger(event="checkout.pay", delay=2 * DAY, cancel_on=("problem",)),
    )
    problem = {"problem": "error", "severity": "major", "user_visible": True}
    events = [visit(0), event("problem", "encountered", 1.0, problem), visit(5, "c2", "x")]
    assert simulate([prompt], events).asks == ()


def test_quotas_fill_by_the_share_that_answers():
    """Without answers a quota never fills; with all answered five are five."""
    prompt = ask(quotas=[QuotaRule(limit=5)])
    events = [visit(who, f"c{who}") for who in range(20)]
    assert len(simulate([prompt], events).asks) == 20
    found = simulate([prompt], events, answered=1.0)
    assert (len(found.asks), found.prompts[0].suppressed["quota_full"]) == (5, 15)


def test_an_echo_is_asked_of_who_answered():
    """The same prompt again, two weeks later, at the next visit."""
    prompt = ask(echo=Echo(after=14 * DAY))
    events = [visit(0), visit(15, touchpoint="search")]
    assert len(simulate([prompt], events).asks) == 1
    found = simulate([prompt], events, answered=1.0)
    assert [(one.stage, day) for one, day in zip(found.asks, days_of(found), strict=True)] == [
        ("experience", 0),
        ("recall", 15),
    ]


def test_progress_is_said_and_ends_at_the_end():
    """Once an event."""
    said = []
    simulate([ask()], [visit(0), visit(1)], progress=lambda done, total: said.append((done, total)))
    assert said == [(1, 2), (2, 2)]


def test_nothing_happened_is_no_failure():
    """No event, no occasion, no share."""
    found = simulate([ask()], [])
    assert (found.occasions, found.share, found.most_in_90_days, found.shortest_gap) == (
        0,
        0.0,
        0,
        None,
    )


def test_a_share_is_a_share():
    """Not per cent."""
    with pytest.raises(ConfigurationError, match="answered: expected 0 to 1, got 10"):
        simulate([ask()], [], answered=10)


def test_nobody_of_a_real_shop_is_asked_twice_within_the_gap():
    """
    Two years of Olist's orders: every gap between two offers to one customer is at least the
    floor, every gap of one prompt at least its own, and each refused repeat has a reason.
    """
    if not DATA.is_dir():
        pytest.skip(f"the Olist sample is not in {DATA}")
    events = list(olist_events(DATA))
    by_customer = defaultdict(list)
    for each in events:
        by_customer[each.data.customer.id].append(each)
    # Whoever came most often is asked most often; the others are a thousand like any thousand.
    often = sorted(by_customer.values(), key=lambda mine: (-len(mine), mine[0].id))[:1000]
    some = [each for mine in often for each in mine]
    prompts = [
        ask("effort", caps=[FrequencyCap(scope="prompt", within=60 * DAY)]),
        ask("parcel", priority=1, trigger=Trigger(event="parcel.handover")),
    ]
    found = simulate(prompts, some, answered=0.3)
    assert (found.occasions, found.customers) == (len(some), 1000)
    assert found.asked == 1000
    assert found.shortest_gap >= 7 * DAY
    effort, parcel = sorted(found.prompts, key=lambda one: one.key)
    assert effort.shortest_gap is None or effort.shortest_gap >= 60 * DAY
    assert parcel.shortest_gap is None or parcel.shortest_gap >= 30 * DAY
    # One occasion, one word for each prompt.
    for one in found.prompts:
        assert one.offered + sum(one.suppressed.values()) == len(some)
    assert found == simulate(prompts, some, answered=0.3)
