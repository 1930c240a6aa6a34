"""
Erasure and access: everything that is held of one customer, taken away or handed out.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cxsdk._guard import voice
from cxsdk.knowing import Subject
from cxsdk.lookup.holding import as_wire
from cxsdk.lookup.people import Key, Person
from cxsdk.lookup.work import Pool
from cxsdk.remembering import ForgetReceipt

if TYPE_CHECKING:
    from cxsdk.lookup.engine import Engine
    from cxsdk.lookup.sources import Source

__all__ = ["Eraser", "Place"]

Place = Callable[[Person, tuple[Key, ...]], Any]
"""A place outside of the engine; erases or exports what it has of somebody under all their keys."""


class Eraser:
    """
    Erases and exports for one client. Thread-safe; blocks on every store there is.

    Args:
        erasing: name → erases there, returns how many things.

        showing: name → returns plain data of what is held there.
    """

    def __init__(
        self, engine: Engine, erasing: Mapping[str, Place], showing: Mapping[str, Place]
    ) -> None:
        self._engine = engine
        self._erasing = erasing
        self._showing = showing

    def forget(
        self,
        person: Person,
        say: Callable[[], str],
        *,
        suppress_for: float,
        timeout: float,
    ) -> ForgetReceipt:
        """
        Erase a customer under all ids in every place, within about *timeout* seconds.

        Args:
            say: records the wish, returns the event's id; called last, since what is undelivered
                is erased before.

            suppress_for: seconds in which further events about them are dropped.
        """
        engine, knowledge = self._engine, self._engine.knowledge
        end = time.monotonic() + timeout
        self._learn(person, end)
        keys = knowledge.links.every(person.key)
        until = None
        places: dict[str, str] = {}
        erased: dict[str, int] = {}
        if suppress_for:
            # First of all: what is on its way finds the tombstone when it comes.
            moment = time.time() + suppress_for
            knowledge.bury(keys, moment)
            until = datetime.fromtimestamp(moment, UTC)
        engine.loads.void(keys)
        erased["cache"] = sum(engine.people.drop(key) for key in keys)
        places["cache"] = "done"
        if knowledge.recall is not None:
            erased["overlay"] = knowledge.recall.overlay.forget(keys)
            places["overlay"] = "done"
        self._shared(keys, suppress_for, places, erased)
        for name, place in self._erasing.items():
            _note(name, lambda place=place: place(person, keys), places, erased)  # type: ignore[misc]
        places.update(self._provided(self._subjects(person, keys), end))
        knowledge.links.forget(person.key)
        return ForgetReceipt(id=say(), places=places, erased=erased, suppressed_until=until)

    def _learn(self, person: Person, end: float) -> None:
        """
        Learn from the shared memory who else this is, where it answers in time.
        """
        engine = self._engine
        if engine.knowledge.is_shared and engine.knowledge.recall is not None:
            over = threading.Event()

            def load() -> None:
                try:
                    engine.knowledge.recall.overlay.load([person.key])  # type: ignore[union-attr]
                except Exception as error:  # noqa: BLE001 - said where it is erased
                    voice.say(logging.WARNING, "context:learn", "cxsdk: shared memory: %s", error)
                over.set()

            if engine.helpers.submit(load):
                over.wait(max(0.0, min(1.0, end - time.monotonic())))

    def _subjects(self, person: Person, keys: tuple[Key, ...]) -> dict[str, list[Subject]]:
        engine = self._engine
        members = {one.key: one for one in engine.knowledge.links.members(person.key)}
        made: dict[str, list[Subject]] = {}
        for source in engine.sources:
            found = []
            for key in keys:
                raw = person.raw if key == person.key else getattr(members.get(key), "raw", "")
                space = "id" if key[0] == "id" else "anonymous"
                is_raw = source.takes == "raw" and space == "id"
                if space in source.spaces and (raw or not is_raw):
                    found.append(Subject(raw if is_raw else key[1], space))  # type: ignore[arg-type]
            made[source.name] = found
        return made

    def _shared(
        self,
        keys: tuple[Key, ...],
        suppress_for: float,
        places: dict[str, str],
        erased: dict[str, int],
    ) -> None:
        memory, knowledge = self._engine.shared_memory, self._engine.knowledge
        if memory is None:
            return
        names = [knowledge.name(key) for key in keys]
        _note("shared", lambda: memory.forget(names, suppress_for), places, erased)

    def _provided(self, subjects: dict[str, list[Subject]], end: float) -> dict[str, str]:
        """
        Have all providers forget at once, on threads: nobody knows how long each takes.
        """
        said: dict[str, str] = {}
        able = [
            each for each in self._engine.sources if callable(getattr(each.provider, "forget", 0))
        ]
        pool = Pool("forget", max(1, len(able)))
        over = {source.name: threading.Event() for source in able}

        def work(source: Source) -> None:
            said[source.name] = _forgotten(source, subjects[source.name], end)
            over[source.name].set()

        for source in able:
            pool.submit(lambda source=source: work(source))  # type: ignore[misc]
        for event in over.values():
            event.wait(max(0.0, end - time.monotonic()))
        pool.close()
        return {
            source.name: said.get(source.name, "pending") if source in able else "unsupported"
            for source in self._engine.sources
        }

    # ---- access --------------------------------------------------------------------------------

    def export(self, person: Person) -> dict[str, Any]:
        """
        Return what is held of a customer as plain data, with its sources and ages.
        """
        engine, knowledge = self._engine, self._engine.knowledge
        self._learn(person, time.monotonic() + 1.0)
        keys = knowledge.links.every(person.key)
        # What a visitor did before the login was moved; what comes since is the next visitor's.
        own = knowledge.links.every(person.key, visitors=False)
        sections: dict[str, dict[str, Any]] = {}
        for key in own:
            held = engine.people.find(key)
            for purpose, entries in ({} if held is None else held.entries).items():
                for name, entry in entries.items():
                    if entry.section is not None:
                        sections.setdefault(purpose, {})[name] = as_wire(entry.section)
        events = []
        for key in own:
            journal = knowledge.journal(key)
            events += (
                [] if journal is None else [msgspec.json.decode(p) for p in journal.payloads()]
            )
        shown: dict[str, Any] = {
            "ids": [{"space": space, "id": wire} for space, wire in keys],
            "forgotten": knowledge.is_forgotten(person.key),
            "sections": sections,
            "events": events,
        }
        for name, place in self._showing.items():
            try:
                shown[name] = place(person, keys)
            except Exception as error:  # noqa: BLE001 - said, and the rest is handed out
                shown[name] = {"error": type(error).__name__}
        return shown


def _note(
    name: str,
    erase: Callable[[], Any],
    places: dict[str, str],
    erased: dict[str, int],
) -> None:
    try:
        count = erase()
    except Exception as error:  # noqa: BLE001 - whatever a store raises, the others are erased
        voice.say(logging.ERROR, f"forget:{name}", "cxsdk: %s is not erased: %s", name, error)
        places[name] = "failed"
        return
    if count is not None:
        places[name] = "done"
        erased[name] = int(count)


def _forgotten(source: Source, subjects: list[Subject], end: float) -> str:
    """
    Return what a provider says of all *subjects* together.
    """
    words = set()
    try:
        for subject in subjects:
            answer = source.provider.forget(subject)
            if inspect.isawaitable(answer):
                answer = source.await_(answer, max(0.1, end - time.monotonic()))
            words.add(answer)
    except Exception as error:  # noqa: BLE001 - a team's own code
        kind = type(error).__name__
        text = "cxsdk: %s did not forget: %s"
        voice.say(logging.ERROR, f"forget:{source.name}", text, source.name, kind)
        return "failed"
    return next((word for word in ("pending", "unsupported") if word in words), "done")
