"""
One destination: what goes next, and what becomes of it.

A `Line` has no thread and no loop. `turn` does one step and says how long to wait for the next,
so the same code runs under a sender thread, inline at the end of a process, and in tests that
let an hour pass on a fake clock.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.config import DeliveryOptions
from cxsdk.delivery.bell import Bell
from cxsdk.delivery.gate import Gate
from cxsdk.delivery.parcel import Condemned, Parcel, Trial
from cxsdk.delivery.picker import Picker
from cxsdk.delivery.sizer import Sizer
from cxsdk.typing import (
    Delivered,
    Hold,
    Partial,
    Record,
    Refused,
    Retry,
    SendResult,
    Sink,
    Split,
    Spool,
)

__all__ = ["Line"]

_WHOLE_BATCHES = 3
_TOO_LARGE = "too_large"


class Line:
    """
    Sends one sink's events, one request at a time.

    `turn` and `put_back` belong to one thread at a time; `call`, `notice` and the figures to any.

    Args:
        name: the sink's name, which owns the cursor in the spool.

        sink: the destination.

        spool: where events come from.

        options: sizes and waits.

        clock: all time.

        note: counts what is worth a look.

        rng: source of chance.

        speaks: says which process of a host logs a reason; None: every one.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        spool: Spool,
        options: DeliveryOptions,
        *,
        clock: Clock,
        note: Callable[[str, int], None],
        rng: random.Random,
        speaks: Callable[[str], bool] | None = None,
    ) -> None:
        self.name = name
        self.sink = sink
        self.bell = Bell()
        self.gate = Gate(options, rng)
        self.picker = Picker(name, spool, options)
        self.last_error = ""
        self.attempts = self.retries = self.batches = 0
        self.next_at: float = math.inf
        self.heeded = 0
        self.lost = False
        self._spool = spool
        self._options = options
        self._clock = clock
        self._note = note
        self._speaks = speaks
        self._doubtful: list[Condemned] = []
        self._whole_refused = 0
        self._calls = 0
        self._final = False
        self._hurried = 0

    # ---- for other threads ---------------------------------------------------------------

    def call(self, *, final: bool = False) -> int:
        """
        Ask for an attempt now; return a ticket. It was heeded once `heeded` is not below it.
        """
        self._final = self._final or final
        self._calls += 1
        self.bell.set()
        return self._calls

    def press(self) -> None:
        """
        Say that the spool fills up. Never blocks, safe in a signal handler.
        """
        self.picker.press()
        self.bell.set()

    def notice(self, since: float) -> int:
        """
        Look whether events came in after the moment *since*, and wake the sender if so; return
        how many are pending.
        """
        pending, news = self.picker.notice(since)
        if news:
            self.bell.set()
        return pending

    def stats(self) -> dict[str, Any]:
        """
        Return the figures of this destination; times in seconds.
        """
        now = self._clock.monotonic()
        behind = self.picker.behind_since
        holding = self.gate.holding
        return {
            "breaker": self.gate.breaker.state,
            "holding": holding.reason if holding else "",
            "last_error": self.last_error,
            "attempts": self.attempts,
            "retries": self.retries,
            "batches": self.batches,
            "next_attempt": max(0.0, self.next_at - now) if self.next_at < math.inf else None,
            "lag": max(0.0, now - behind) if behind is not None else 0.0,
            "batch_size": self.picker.sizer.events,
            "budget": self.gate.budget.tokens,
            # dict() of a dict is one step: the sender may add a name meanwhile.
            "decisions": {what: n for what, n in dict(self.gate.decided).items() if n},
        }

    # ---- one step ------------------------------------------------------------------------

    def turn(self) -> float | None:
        """
        Do one step; return the seconds until the next is worth taking, None for "when called".

        Blocks as long as the sink does, and on the spool's disk.
        """
        now = self._clock.monotonic()
        calls = self._calls
        self._hurry(calls, now)
        wait: float | None = self.gate.wait(now)
        if not wait:
            parcel = self.picker.probe(now) if self.gate.probing else self.picker.pick(now)
            if parcel is None:
                wait = self.picker.rest(now)
            else:
                self._send(parcel)
                wait = 0.0
        self.next_at = math.inf if wait is None else now + wait
        self.heeded = calls
        return wait

    def put_back(self) -> None:
        """
        Give everything back to the spool: what was not delivered stays there.
        """
        for parcel in self.picker.shelf.clear():
            if parcel.trial is not None:
                self._release([each.record for each in parcel.trial.condemned])
                parcel.trial.condemned = []
            self._release(parcel.records)
        self._release([each.record for each in self._doubtful])
        self._set_doubtful([])
        self._whole_refused = 0

    def _hurry(self, calls: int, now: float) -> None:
        if calls == self._hurried:
            return
        self._hurried = calls
        self.picker.hasten()
        if self.gate.hurry(now, final=self._final):
            self.picker.shelf.bring_forward(now)

    def _say(self, level: int, what: str, words: str, *args: object) -> None:
        reason = f"{what}:{self.name}"
        voice.say(level, reason, f"sink %r {words}", self.name, *args, among=self._speaks)

    def _decide(self, what: str, count: int) -> None:
        self.gate.decided[what] += count
        self._note(what, count)

    # ---- what becomes of it --------------------------------------------------------------

    def _send(self, parcel: Parcel) -> None:
        parcel.attempts += 1
        self.attempts += 1
        if parcel.attempts > 1:
            self.retries += 1
            self._note("retries", 1)
        result = self._ask_sink(parcel)
        self.gate.sent(len(parcel), self._clock.monotonic())
        if self.lost:
            return  # the spool has another owner by now, or none
        self._settle(parcel, result)

    def _ask_sink(self, parcel: Parcel) -> SendResult:
        try:
            result = self.sink.send(parcel.batch())
        except Exception as error:  # noqa: BLE001 - a sink is anyone's code
            self._decide("sink_errors", 1)
            kind = type(error).__name__
            self._say(
                logging.ERROR, f"sink:{kind}", "raised %s; it should return Retry or Hold", kind
            )
            return Retry(f"the sink raised {kind}")
        if not isinstance(result, SendResult):
            self._decide("sink_errors", 1)
            kind = type(result).__name__
            self._say(logging.ERROR, f"sink:{kind}", "returned %s, which is no SendResult", kind)
            return Retry(f"the sink returned {kind}")
        return result

    def _settle(self, parcel: Parcel, result: SendResult) -> None:
        if isinstance(result, Delivered):
            self._delivered(parcel)
        elif isinstance(result, Partial):
            self._partial(parcel, result)
        elif isinstance(result, Retry):
            self._again(parcel, result)
        elif isinstance(result, Split):
            self._split(parcel, result)
        elif isinstance(result, Refused):
            self._refused(parcel, result)
        else:
            self._hold(parcel, result)

    def _delivered(self, parcel: Parcel) -> None:
        self._spool.ack(self.name, parcel.records)
        self.batches += 1
        self.picker.sizer.went_well(len(parcel), parcel.size)
        self._answered()
        self._taken()
        self._close(parcel)

    def _answered(self) -> None:
        """
        The destination is there, whatever it says.
        """
        now = self._clock.monotonic()
        if self.gate.alive(now):
            self.picker.shelf.bring_forward(now)
            self._say(logging.INFO, "back", "is back")

    def _taken(self) -> None:
        """
        The destination took something, so what it refused before is the events' own fault.
        """
        self.last_error = ""
        self._whole_refused = 0
        doubtful = self._doubtful
        self._set_doubtful([])
        self._bury(doubtful)

    def _set_doubtful(self, condemned: list[Condemned]) -> None:
        self._doubtful = condemned
        self.picker.aside = len(condemned)

    def _partial(self, parcel: Parcel, result: Partial) -> None:
        size = len(parcel)
        refused = {i: words for i, words in result.refused.items() if 0 <= i < size}
        later = [i for i in sorted(result.retry) if 0 <= i < size and i not in refused]
        waiting = set(later)
        taken = [r for i, r in enumerate(parcel.records) if i not in refused and i not in waiting]
        contract = self._is_contract_probe()
        if taken or refused:
            self._answered()
        if taken:
            if result.unnamed > 0:
                taken = self._lose(taken, result)
            self._spool.ack(self.name, taken)
            self.batches += 1
            self._taken()
        trial = parcel.trial or Trial(size)
        for index, words in refused.items():
            reason = _TOO_LARGE if words.startswith(_TOO_LARGE) else "refused"
            trial.condemned.append(Condemned(parcel.records[index], reason, words, parcel.attempts))
        if later:
            rest = Parcel([parcel.records[i] for i in later], parcel.lane, leased=parcel.leased)
            rest.trial, rest.attempts = parcel.trial, 0 if taken else parcel.attempts
            if parcel.trial is not None:
                parcel.trial.open += 1
            self._put_off(rest, Retry("per event"), paused=not taken and not refused)
        if contract and not taken and trial.blamed:
            self._break(trial, Hold(self._refusal(trial)))
            return
        parcel.trial = trial
        self._close(parcel)

    def _lose(self, taken: list[Record], result: Partial) -> list[Record]:
        """
        Drop as many as were refused without a name, and return the rest. The number is right; that
        it is the last ones is not known.
        """
        lost = min(result.unnamed, len(taken))
        self._spool.drop(self.name, taken[-lost:], "rejected_unnamed")
        self._decide("rejected_unnamed", lost)
        words = "refused %d events without saying which, and they are lost: %s"
        self._say(logging.ERROR, "unnamed", words, lost, result.words)
        return taken[:-lost]

    def _again(self, parcel: Parcel, result: Retry) -> None:
        was_closed = self.gate.breaker.state == "closed"
        self._put_off(parcel, result, paused=True)
        if was_closed and self.gate.breaker.state != "closed":
            words = "does not answer (%s); events are kept and sent later"
            self._say(logging.WARNING, "outage", words, result.reason)

    def _put_off(self, parcel: Parcel, result: Retry, *, paused: bool) -> None:
        """
        Keep *parcel* as it is for later; with *paused* the others wait as well.
        """
        now = self._clock.monotonic()
        self.last_error = result.reason
        wait = self.gate.failed(result, now) if paused else 0.0
        # Its own count of attempts: a batch that fails alone gets rarer, the others go on.
        own = self.gate.backoff.wait(parcel.attempts, 0.0)
        parcel.due = now + max(wait, own)
        self.picker.shelf.put(parcel)

    def _split(self, parcel: Parcel, result: Split) -> None:
        self._answered()
        self._decide("splits", 1)
        parcel.trial = parcel.trial or Trial(len(parcel))
        self.picker.sizer.too_large(len(parcel), parcel.size)
        if len(parcel) > 1:
            self.picker.shelf.put(*parcel.halves())
            return
        trial = parcel.trial
        trial.condemned.append(
            Condemned(parcel.records[0], _TOO_LARGE, result.reason, parcel.attempts)
        )
        self._close(parcel)

    def _refused(self, parcel: Parcel, result: Refused) -> None:
        contract = self._is_contract_probe()
        self._answered()
        self.last_error = f"{result.reason} {result.detail}".strip()
        trial = parcel.trial = parcel.trial or Trial(len(parcel))
        if len(parcel) > 1:
            self._decide("bisections", 1)
            self.picker.shelf.put(*parcel.halves())
            return
        trial.condemned.append(
            Condemned(parcel.records[0], "refused", self.last_error, parcel.attempts)
        )
        if trial.broken or contract:
            self._break(trial, Hold(self._refusal(trial)))
        else:
            self._close(parcel)

    def _close(self, parcel: Parcel) -> None:
        """
        Nothing of *parcel* is left; judge its trial if it was the last of it.
        """
        trial = parcel.trial
        if trial is None:
            return
        trial.open -= 1
        if trial.open > 0 and not trial.broken:
            return
        if trial.broken:
            self._break(trial, Hold(self._refusal(trial)))
        elif trial.whole:
            # Not one was taken. Perhaps all are bad, perhaps the destination takes nothing.
            self._set_doubtful([*self._doubtful, *trial.condemned])
            self._whole_refused += 1
            if self._whole_refused >= _WHOLE_BATCHES:
                self._break(Trial(0), Hold(self._refusal(trial)))
        else:
            self._bury(trial.condemned)

    def _refusal(self, trial: Trial) -> str:
        words = trial.condemned[-1].detail[:120] if trial.condemned else ""
        return f"refuses too much: {words}".rstrip(": ")

    def _is_contract_probe(self) -> bool:
        return self.gate.holding is not None and self.gate.holding.contract

    def _break(self, trial: Trial, result: Hold) -> None:
        """
        So much is refused that the fault is not the events': bury none, hold.
        """
        self._release([each.record for each in trial.condemned])
        trial.condemned = []
        self._stop(result, contract=True)
        self.picker.sizer = Sizer(self._options.max_batch_events, self._options.max_batch_bytes)

    def _hold(self, parcel: Parcel, result: Hold) -> None:
        self.picker.shelf.put(parcel)
        self._stop(result, contract=False)

    def _stop(self, result: Hold, *, contract: bool) -> None:
        self.put_back()
        self.last_error = result.reason
        self._decide("holds", 1)
        self.gate.hold(result, self._clock.monotonic(), contract=contract)
        words = "is on hold: %s. Nothing is lost; see cxsdk doctor"
        self._say(logging.ERROR, f"hold:{result.reason[:24]}", words, result.reason)

    def _bury(self, condemned: list[Condemned]) -> None:
        for each in condemned:
            self._decide("buried", 1)
            self._spool.bury(self.name, each.record, each.reason, each.detail, each.attempts)

    def _release(self, records: Sequence[Record]) -> None:
        if records:
            self._spool.release(self.name, records)
