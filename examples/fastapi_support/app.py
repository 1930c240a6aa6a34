"""
A support desk that knows whom it helps. Run it: uvicorn app:app
"""

from pathlib import Path
from typing import Annotated

from cases import CASES, CRM, Case, customer, own_case
from desk import COLLECTOR, desk
from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask

import cxsdk as cx
from cxsdk.integrations.fastapi import CX, interactions
from cxsdk.lookup import CallableProvider, CollectorProvider

app = FastAPI(title="A support desk")
CX(
    app,
    service="fastapi-support",
    collector=COLLECTOR,
    tz="Europe/Vienna",
    prompts=cx.PromptOptions(files=str(Path(__file__).with_name("prompts.toml"))),
    context=cx.ContextOptions(
        providers=[
            CallableProvider("crm", ("profile",), lambda who: {"profile": CRM.get(who)}),
            CollectorProvider(COLLECTOR),
        ],
        timeout=0.5,
    ),
)
OwnCase = Annotated[Case, Depends(own_case)]
CHAT = interactions("case.chat", stage="support", medium="chat", by=cx.Party(kind="employee"))
cases = APIRouter(prefix="/cases")


class Opening(BaseModel):
    subject: str
    order: str | None = None


@cases.post("", dependencies=[interactions("case.open", stage="support")])
async def open_case(said: Opening, user: Annotated[str, Depends(customer)]):
    """A customer needs help."""
    made = Case(user, said.subject, said.order)
    CASES[made.number] = made
    cx.current().refs["case"] = str(made.number)
    return {"case": made.number, "chat": f"/cases/{made.number}/chat"}


@cases.get("/{number}/chat", dependencies=[CHAT])
async def chat(found: OwnCase):
    """Listen, as server-sent events: one interaction, from the first line to the close."""
    found.talk = cx.current()
    found.talk.refs["case"] = str(found.number)

    async def lines():
        told = 0
        while True:
            for line in await found.more(told):
                told += 1
                yield f"event: {line['from']}\ndata: {line['text']}\n\n"
            if found.solved:
                found.talk.goal_met = found.solved
                yield f"event: closed\ndata: {found.solved}\n\n"
                return

    def over():
        found.talk = None
        if found.solved:
            found.about = cx.prompts.remember()  # the chat, which has just ended

    return StreamingResponse(
        lines(), media_type="text/event-stream", background=BackgroundTask(over)
    )


@cases.post("/{number}/messages")
async def say(found: OwnCase, text: str):
    """A line of the customer; part of the chat, and no interaction of its own."""
    await found.say("customer", text)
    return {"said": len(found.said)}


@cases.get("/{number}/prompt")
async def prompt(found: OwnCase):
    """What the front end asks once the case is closed, or why it asks nothing."""
    offer = await cx.prompts.aoffer("case_effort", about=found.about)
    return {"ask": offer.as_json()} if offer else {"ask": None, "why_not": offer.reason}


app.include_router(cases)
app.include_router(desk)
