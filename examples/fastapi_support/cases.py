"""
What the desk itself keeps: who may come in, cases, and what is said in them. A database in real life.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException

from cxsdk.integrations.fastapi import serving

CUSTOMERS = {"anna": "u-17", "ben": "u-18", "cleo": "u-19"}
AGENTS = {"desk": "a-1"}
CRM = {
    "u-17": {"name": "Anna Gruber", "attributes": {"plan": "gold"}},
    "u-18": {"name": "Ben Mayr"},
    "u-19": {"name": "Cleo Haas"},
}
SHIPPED = {"A-1": "u-17", "A-2": "u-18", "A-3": "u-19"}
"""Order → customer."""

_numbers = count(1)


@dataclass
class Case:
    """One case: what it is about, and its chat."""

    customer: str
    subject: str
    order: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    said: list[dict[str, Any]] = field(default_factory=list)
    solved: str | None = None
    talk: Any = None
    """The interaction of the open chat."""

    about: str = ""
    """The chat that is over, signed: what the customer is asked about."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def say(self, who: str, text: str) -> None:
        """Add a line, and wake up who listens."""
        async with self.changed:
            self.said.append({"from": who, "text": text})
            self.changed.notify_all()

    async def more(self, told: int) -> list[dict[str, Any]]:
        """Wait for lines after the first *told* ones, or for the close."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.said) > told or self.solved)
        return self.said[told:]

    async def close(self, solved: str) -> None:
        """End the chat: yes, partly or no."""
        async with self.changed:
            self.solved = solved
            self.changed.notify_all()


CASES: dict[int, Case] = {}


def _user(authorization: str, known: dict[str, str]) -> str:
    user = known.get(authorization.removeprefix("Bearer "))
    if user is None:
        raise HTTPException(401, "Who are you?")
    return user


def customer(authorization: Annotated[str, Header()] = "") -> str:
    """Whoever calls is served from here on: in all of the request, whatever it says."""
    user = _user(authorization, CUSTOMERS)
    serving(user, assurance="authenticated")
    return user


def agent(authorization: Annotated[str, Header()] = "") -> str:
    """Agents are let in, and nobody's customer."""
    return _user(authorization, AGENTS)


def case(number: int) -> Case:
    """The case of the path."""
    found = CASES.get(number)
    if found is None:
        raise HTTPException(404, "There is no such case.")
    return found


def own_case(
    found: Annotated[Case, Depends(case)], user: Annotated[str, Depends(customer)]
) -> Case:
    """The case of the path, for its own customer only."""
    if found.customer != user:
        raise HTTPException(404, "There is no such case.")
    return found
