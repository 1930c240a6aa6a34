"""
Facts that wait for the commit of a host's transaction: what is rolled back was never said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cxsdk._ledger import Ledger
from cxsdk.pipeline.capture import Capture
from cxsdk.pipeline.commits import Commits
from cxsdk.pipeline.draft import Draft
from cxsdk.typing import Accepted, Dropped

__all__ = ["LateBooks", "WaitingCapture", "unoffered"]

Veto = Callable[[], str]
Then = Callable[[Accepted | Dropped], object]


def unoffered() -> int:
    """
    Count nothing: an event that may yet be rolled back is offered when it is known.
    """
    return 0


class LateBooks(Ledger):
    """
    The client's ledger, for events that may yet be rolled back: only a refusal is final.

    Args:
        books: the ledger.
    """

    def __init__(self, books: Ledger) -> None:
        self._books = books

    def refuse(self, reason: str) -> None:
        """
        Count one event that was offered and not accepted.
        """
        self._books.offered.add()
        self._books.refuse(reason)

    def note(self, what: str, count: int = 1) -> None:
        """
        Count something worth a look.
        """
        self._books.note(what, count)


class WaitingCapture(Capture):
    """
    The capture of one client for one fact: it is checked, redacted and processed when it is said,
    and numbered and kept when the transaction is through.

    Args:
        main: the client's own capture.

        transactions: of the host.

        veto: asked when the transaction is through; a reason drops the event.

        then: gets what became of the event after that; not called for what is rolled back.
    """

    def __init__(
        self,
        main: Capture,
        transactions: Commits,
        veto: Veto | None = None,
        then: Then | None = None,
    ) -> None:
        # A copy, not a new one: this is made in a request.
        self.__dict__.update(main.__dict__)
        self._main = main
        self._transactions = transactions
        self._veto = veto
        self._then = then
        self._ledger = LateBooks(main._ledger)
        self._offer = unoffered

    def _number(self, draft: Draft, said: str | None, state: str, event: Any) -> Accepted | Dropped:
        main = self._main

        def lost() -> None:
            main._offer()
            main._drop("rolled_back")

        self._transactions.wait(lambda: self._say(draft, said, state, event), lost)
        return Accepted(draft.id, durable=False, waits=True)

    def _say(self, draft: Draft, said: str | None, state: str, event: Any) -> None:
        main = self._main
        main._offer()
        why = "" if self._veto is None else self._veto()
        if why:
            result: Accepted | Dropped = main._drop(why)
        else:
            # Asked again: a withdrawal or an erasure may have come in between.
            refusal = main._admit_fact(draft, said)
            result = main._number(draft, said, state, event) if refusal is None else refusal
        if self._then is not None:
            self._then(result)
