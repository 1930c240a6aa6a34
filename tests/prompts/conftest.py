"""
An engine over a client whose events are kept in memory, under a clock that tests turn.
"""

from __future__ import annotations

import json

import pytest

import cxsdk as cx
from cxsdk.pipeline.capture import diversions
from cxsdk.prompts import Prompt, Question
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.stores.memory import MemoryCapStore
from cxsdk.testing.clock import FakeClock

KEYS = (b"an old secret of 16 bytes", b"the secret that signs now")


class Rig:
    """A client, its engine and store, and what came out of them."""

    def __init__(self, client, engine, clock, events):
        self.client, self.engine, self.clock, self.events = client, engine, clock, events

    def ask(self, key=None, customer="c1", **how):
        """Pay and ask, in one scope."""
        scope = {k: how.pop(k) for k in ("session", "consent", "locale", "account") if k in how}
        attributes = how.pop("with_attributes", {})
        with self.client.scope(customer=customer, **scope):
            with self.client.interaction(how.pop("touchpoint", "checkout.pay")) as contact:
                contact.outcome = how.pop("outcome", "success")
                contact.attributes.update(attributes)
            return self.engine.offer(key, **how)

    def said(self, family, action=None):
        """Return the data of the events of a family."""
        kinds = [
            (event["type"].split(".")[-3], event["type"].split(".")[-2], event)
            for event in map(json.loads, self.events)
        ]
        return [e["data"] for f, a, e in kinds if f == family and action in {None, a}]

    def turn(self, seconds):
        self.clock.advance(seconds)


@pytest.fixture
def prompt():
    """Make a prompt about a checkout; what is given replaces the defaults."""

    def make(key="checkout_effort", **more):
        fields = {"questions": [Question(id="effort", kind="ces")], **more}
        return Prompt(key=key, **fields)

    return make


@pytest.fixture
def rig(prompt):
    """Make a rig of prompts."""
    open_rigs = []

    def make(*prompts, store=None, **options):
        clock = FakeClock()
        client = cx.Client(
            "shop", collector="memory:", clock=clock, strict=options.pop("strict", None)
        )
        events = []
        take = events.append  # one object, so that it is found again
        diversions.append(take)
        store = store or MemoryCapStore(lambda: clock.time_ns() / 1e9)
        engine = Engine(
            client.capture,
            prompts or [prompt()],
            store,
            keys=KEYS,
            audience="urn:service:shop|production",
            deadline=options.pop("deadline", 5.0),
            clock=clock,
            **options,
        )
        made = Rig(client, engine, clock, events)
        open_rigs.append((made, take))
        return made

    yield make
    for made, take in open_rigs:
        diversions.remove(take)
        made.engine.close()
        made.client.close()
