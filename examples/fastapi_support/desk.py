"""
The agents' side: who the customer is, what they were promised, and what is made good.

An agent is no customer, so nothing here is an interaction by itself; what an agent does for a
customer is said in that customer's scope.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import httpx
from cases import SHIPPED, Case, agent, case
from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel

import cxsdk as cx

COLLECTOR = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")
KNOWN = ("profile", "problems", "commitments", "interactions")
TheCase = Annotated[Case, Depends(case)]
desk = APIRouter(prefix="/desk", dependencies=[Depends(agent)])


@desk.get("/cases/{number}")
async def look(found: TheCase):
    """Who is it? Before the first word, so that nobody tells their story twice."""
    ctx = await cx.acontext(found.customer, sections=KNOWN)
    now, contacts = datetime.now(UTC), ctx.interactions.get(())
    return {
        "subject": found.subject,
        "is_here": found.talk is not None,
        "order": found.order,
        "name": ctx.profile.name if ctx.profile.known else "?",
        "plan": ctx.profile.attributes.get("plan") if ctx.profile.known else None,
        "open_problems": [p.problem for p in ctx.problems.get(()) if p.status == "open"],
        "promises": {p.id: p.standing(now) for p in ctx.commitments.get(())},
        "contacts": [{"where": c.touchpoint, "outcome": c.outcome} for c in contacts],
        "asked_before": sorted({question for c in contacts for question in c.asked}),
        "not_known": [name for name in KNOWN if not ctx[name].known],
    }


class Line(BaseModel):
    text: str
    asks: str | None = None
    """A token for what the customer is asked, such as ``order_number``."""


@desk.post("/cases/{number}/messages")
async def say(found: TheCase, line: Line):
    """Say something in the chat; a question that was asked before is not put again."""
    before = found.talk.asks(line.asks) if line.asks and found.talk else None
    if before:
        return {"sent": False, "why": f"they were asked for their {line.asks} before"}
    await found.say("desk", line.text)
    return {"sent": True, "asked_before": before}


@desk.post("/cases/{number}/close")
async def close(found: TheCase, solved: Literal["yes", "partly", "no"]):
    """End the chat: did they get what they came for?"""
    await found.close(solved)
    return {"closed": found.number}


# ---- promises -------------------------------------------------------------------------------------


@desk.post("/cases/{number}/callback")
async def promise(found: TheCase, hours: float = 4):
    """Promise to call back; it is remembered until kept or broken."""
    due = datetime.now(UTC) + timedelta(hours=hours)
    with cx.scope(customer=found.customer):
        cx.promise("callback", key=f"callback-{found.number}", due_at=due)
    return {"due_at": due}


@desk.post("/cases/{number}/callback/{became}")
async def called(found: TheCase, became: Literal["kept", "broken"]):
    """Say what became of it: the call itself is an interaction, one that we began."""
    with cx.scope(customer=found.customer, channel="contact_center", medium="voice"):
        promised = cx.commitment(f"callback-{found.number}")
        if became == "broken":
            promised.broken(reason="no_agent")
            return {"callback": "broken"}
        us = cx.Party(kind="employee")
        cx.record("case.callback", stage="support", direction="outbound", by=us)
        promised.kept()
    return {"callback": "kept"}


# ---- a problem of many ------------------------------------------------------------------------------


class Outage(BaseModel):
    key: str
    problem: str = "delivery_failure"
    orders: list[str]


@desk.post("/outages")
async def outage(said: Outage):
    """Something hit many: each of them has a problem, whether or not they ever complain."""
    hit = [(order, SHIPPED[order]) for order in said.orders if order in SHIPPED]
    for order, customer in hit:
        refs = {"outage": said.key, "order": order}
        key = f"{said.key}-{order}"
        cx.problem(said.problem, key=key, severity="major", customer=customer, refs=refs)
    return {"hit": len(hit)}


@desk.post("/outages/{key}/make-good")
async def make_good(key: str, amount: str = "5.00"):
    """Make it good to everyone who met it, found again from the facts; safe to be called again."""
    async with httpx.AsyncClient(base_url=COLLECTOR) as collector:
        wanted = {"family": "problem", "ref": f"outage:{key}"}
        answer = await collector.get("/affected.json", params=wanted)
    if answer.status_code != 200:
        raise HTTPException(503, "The collector cannot be asked now.")
    affected = answer.json()
    due = datetime.now(UTC) + timedelta(days=7)
    for one in affected["customers"]:
        who = one["customer"]["id"]
        cx.promise(
            "refund",
            key=f"{key}-{who}",
            due_at=due,
            value=(amount, "EUR"),
            about=cx.About(event_ids=tuple(one["about"]["event_ids"])),
            customer=who,
        )
    return affected["counts"]
