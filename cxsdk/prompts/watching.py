"""
Watching: what live events mean for prompts, on a thread of its own so that no handler waits.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._guard import voice
from cxsdk._ids import new_id
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import deciding, later
from cxsdk.prompts.cases import Case, case_of_event
from cxsdk.prompts.deciding import FAILURE, Asked
from cxsdk.prompts.offer import Bound
from cxsdk.prompts.rules import NotAfterFailure

if TYPE_CHECKING:
    from cxsdk.prompts.engine import Engine
    from cxsdk.prompts.model import Prompt

__all__ = ["Watcher", "look"]

_LETTERS = ("email", "link", "chat", "api")
_MOST = 1000
_RETRY_S = 1.0


class Watcher:
    """
    Hands events to *see*, in their order, on a daemon thread that begins with the first one.

    While the store is down up to a thousand events wait for it, the oldest go first. Thread-safe
    and fork-safe: what waits in a parent is the parent's.

    Args:
        see: gets an event and the moment of `put`; raises `StoreUnavailableError` to get it again.

        now: seconds since 1970.
    """

    def __init__(self, see: Callable[[Any, float], None], now: Callable[[], float]) -> None:
        self._see = see
        self._now = now
        self._is_closed = False
        self._begin_process()

    def _begin_process(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Any, float]] = deque()
        self._thread: threading.Thread | None = None
        self._is_down = False
        self._done = 0
        self._put = 0
        self._generation = _fork.current()

    def _own(self) -> None:
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._begin_process()

    def put(self, event: Any) -> None:
        """
        Take an event. Returns at once.
        """
        self._own()
        with self._changed:
            if self._is_closed:
                return
            self._waiting.append((event, self._now()))
            self._put += 1
            if len(self._waiting) > _MOST:
                self._waiting.popleft()
                self._done += 1
                words = "cxsdk: the cap store is away, so events pass that prompts wait for"
                voice.say(logging.WARNING, "prompts:unwatched", words)
            self._begin()
            self._changed.notify_all()

    def _begin(self) -> None:
        if self._thread is not None or sys.is_finalizing():
            return
        thread = threading.Thread(target=self._work, name="cxsdk-watch", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the next event, or whoever settles, tries again
        self._thread = thread

    def settle(self, seconds: float) -> None:
        """
        Wait until everything that was put before is seen.

        Raises:
            StoreUnavailableError: it is not, after *seconds* or because the store is away.
        """
        if not self._put:
            return  # nothing is ever watched
        self._own()
        with self._changed:
            wanted = self._put
            if self._done >= wanted:
                return
            self._is_down = False
            self._begin()
            self._changed.notify_all()  # try now what was to be tried later
            self._changed.wait_for(lambda: self._done >= wanted or self._is_down, seconds)
            if self._done < wanted:
                raise StoreUnavailableError("what happened before is not taken in yet")

    def _work(self) -> None:
        changed = self._changed
        while True:
            with changed:
                changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                event, moment = item = self._waiting[0]
            is_seen = self._try(event, moment)
            with changed:
                if is_seen:
                    if self._waiting and self._waiting[0] is item:
                        self._waiting.popleft()
                        self._done += 1
                    self._is_down = False
                else:
                    self._is_down = True
                changed.notify_all()
                if self._is_down:
                    if self._is_closed:
                        return
                    changed.wait_for(lambda: self._is_closed or not self._is_down, _RETRY_S)

    def _try(self, event: Any, moment: float) -> bool:
        try:
            self._see(event, moment)
        except StoreUnavailableError as error:
            words = "cxsdk: an event is not watched yet: %s"
            voice.say(logging.WARNING, "prompts:store", words, error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a store or a team's rule raises
            words = "cxsdk: an event is not watched: %r"
            voice.say(logging.ERROR, "prompts:watch", words, error)
        return True

    def close(self, seconds: float = 1.0) -> None:
        """
        See what waits, for up to *seconds*, and end. Idempotent.
        """
        if not self._is_closed and self._generation == _fork.current():
            try:
                self.settle(seconds)
            except StoreUnavailableError as error:
                voice.say(logging.WARNING, "prompts:store", "cxsdk: events pass: %s", error)
        self._is_closed = True
        if self._generation == _fork.current():
            with self._changed:
                self._changed.notify_all()


def _kind_of(event: Any) -> tuple[str, str]:
    family, _, action = str(event.type).rpartition(".v")[0].rpartition(".")
    return family.rpartition(".")[2], action


def concerns(event: Any) -> bool:
    """
    Say whether a prompt could wait for *event*.
    """
    family, action = _kind_of(event)
    is_one = family in {"interaction", "problem"} and action != "started"
    return is_one and getattr(event.data, "customer", None) is not None


def look(engine: Engine, event: Any, moment: float) -> None:
    """
    Look at a live event: note failures, call waits off, keep delayed triggers and letters.

    Args:
        moment: when it came, seconds since 1970.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    if not concerns(event):
        return
    from cxsdk.events.model import dump

    family, _ = _kind_of(event)
    data = dump(event.data)
    block = data["customer"]
    kind, name = ("c", "id") if "id" in block else ("a", "anonymous_id")
    if name not in block:
        return
    subject = deciding.subject_of(kind, block[name])
    touchpoint = (data.get("where") or {}).get("touchpoint", "")
    prompts = [prompt for prompt in engine.prompts.values() if prompt.status == "live"]
    failed = family == "problem" or data.get("outcome") == "failure"
    guards = [r.within for p in prompts for r in p.eligibility if isinstance(r, NotAfterFailure)]
    if failed and guards:
        unique = data.get("interaction_id") or data.get("problem_id") or new_id()
        engine.store.mark(subject, FAILURE, unique, max(guards))
    for prompt in prompts:
        if {touchpoint, family} & set(prompt.trigger.cancel_on):
            engine.store.cancel(subject, prompt.key)
    capture = engine._capture()
    if family == "interaction" and capture is not None:
        namespace = capture.settings.capture.namespace
        case = case_of_event(data, event.time.timestamp(), namespace)
        for prompt in prompts:
            _keep(engine, prompt, case, data, moment)


def _keep(engine: Engine, prompt: Prompt, case: Case, data: dict[str, Any], moment: float) -> None:
    """
    Have *prompt* wait, where it is about this interaction and no page asks it now.
    """
    channel = next((each for each in prompt.channels if each in _LETTERS), None)
    channel = channel or ("in_app" if prompt.trigger.delay else None)
    capture = engine._capture()
    if channel is None or not prompt.trigger.event or capture is None:
        return
    block, where = data["customer"], data.get("where") or {}
    first = block.get("id") or block.get("anonymous_id") or ""
    space = "id" if "id" in block else "anonymous"
    is_known = "id" in block or "account_id" in block
    bound = Bound(
        prompt=prompt.key,
        version=prompt.version,
        channel=channel,
        customer=block,
        session=data.get("session_id"),
        partition=first if capture.settings.privacy.key and is_known else None,
        tag=capture.customers.tag(first, space),
        is_known=is_known,
    )
    asked = Asked(
        known=bound.known,
        case=case,
        channel=channel,
        locale=str(where.get("locale") or ""),
        now=engine.now(),
        consent=str((data.get("consent") or {}).get("state") or "unknown"),
        tz=str(where.get("tz") or capture.settings.tz or "UTC"),
    )
    if any(verdict.reason for verdict in deciding.cheap_verdicts(prompt, asked)):
        return
    later.mark(engine, prompt, asked)
    if prompt.trigger.count > 1:
        history = engine.store.history(asked.subject)
        if deciding.count_reason(prompt, asked, history):
            return
    later.wait(engine, prompt, asked, since=max(0.0, engine.now() - moment))
