"""
What waits for the end of a host's transaction, with the savepoints it stands behind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

from cxsdk._guard import is_ours, voice
from cxsdk.errors import OutboxError
from cxsdk.outbox.row import Row

__all__ = ["Call", "Lost", "Pending", "quietly"]

Call = Callable[[], object]
Lost = Callable[[OutboxError], object]


class Pending:
    """
    Rows to be written before the commit, and calls to be made after it, in order.

    Savepoints are properly nested, so undoing one takes away all that came since its mark. For
    one transaction at a time and the thread that uses it.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[Row, Lost]] = []
        """Each with what to do when it cannot be written."""

        self.calls: list[Call] = []
        self._marks: dict[Hashable, tuple[int, int]] = {}

    def mark(self, savepoint: Hashable) -> None:
        """
        A savepoint begins here. Again for one that was released: nothing is behind it any more.
        """
        self._marks[savepoint] = (len(self.rows), len(self.calls))

    def undo(self, savepoint: Hashable) -> None:
        """
        A savepoint was rolled back; one that is not known began before all of this.
        """
        rows, calls = self._marks.pop(savepoint, (0, 0))
        del self.rows[rows:]
        del self.calls[calls:]

    def take_rows(self) -> list[tuple[Row, Lost]]:
        """
        Return the rows that are still to be written, and forget them.
        """
        rows, self.rows = self.rows, []
        self._marks = {savepoint: (0, calls) for savepoint, (_, calls) in self._marks.items()}
        return rows

    def committed(self) -> None:
        """
        The transaction is through: make the calls. Never raises.
        """
        calls = self.calls
        self.clear()
        for call in calls:
            quietly(call)

    def clear(self) -> None:
        """
        Forget everything: the transaction was rolled back, or is over.
        """
        self.rows = []
        self.calls = []
        self._marks = {}


def quietly(call: Call) -> None:
    """
    Make *call* at the end of a host's transaction; an error of ours does not reach the host.
    """
    try:
        call()
    except Exception as error:
        if not is_ours(error):
            raise
        voice.say(logging.ERROR, "outbox_after", "cxsdk: after a commit: %r", error)
