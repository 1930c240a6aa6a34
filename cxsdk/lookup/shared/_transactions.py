"""
The transactions of a shared memory in a database, and the process that they are of.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk import _fork
from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.shared._listening import Listener

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SWEEP_S", "About", "Transactions"]

SWEEP_S = 10.0
_SPOKEN = 100
"""Subjects per message: one of PostgreSQL's holds 8000 bytes."""


@attrs.define
class About:
    """
    A transaction, and what it knows of the subjects that it is about.
    """

    connection: Connection
    now: float
    links: Mapping[str, str]
    """Subject → whom it became."""
    forgotten: set[str]

    def root(self, subject: str) -> str:
        return self.links.get(subject, subject)


class Transactions:
    """
    What begins a transaction about some subjects, in a file or on a server, after a fork anew.

    Args:
        where: path or DSN.

        shown: the same without credentials.

        timeout: seconds that a call takes at most.

        is_file: *where* is a path.
    """

    def __init__(self, where: str, shown: str, timeout: float, *, is_file: bool) -> None:
        self.timeout = timeout
        self._where = where
        self._shown = shown
        self._is_file = is_file
        self._is_closed = False
        self._inherited: list[Any] = []
        self._begin_process()

    def _begin_process(self) -> None:
        self._place: Any = None
        self._me = secrets.token_hex(8)
        self._listeners: list[Listener] = []
        self._sweep_at = time.monotonic() + SWEEP_S
        self._generation = _fork.current()

    def _own(self) -> Any:
        """
        Return the place of this process.
        """
        if self._generation != _fork.current() or self._place is None:
            with _fork.own_lock():
                if self._generation != _fork.current():
                    # The parent's: kept, so that nothing here says goodbye in its name.
                    self._inherited.append((self._place, self._listeners))
                    self._begin_process()
                if self._place is None and not self._is_closed:
                    self._place = self._made()
        if self._is_closed:
            raise StoreUnavailableError("sql: the memory is closed")
        if any(place is not None and place.is_open for place, _ in self._inherited):
            raise StoreUnavailableError(
                f"sqlite: {self._shown} was open when a C library forked this process, which SQLite"
                " does not survive; use the memory first after the fork (uWSGI: lazy-apps)"
            )
        return self._place

    def _made(self) -> Any:
        if self._is_file:
            from cxsdk.lookup.shared._sqlite import SqliteFile

            return SqliteFile(Path(self._where), self.timeout)
        from cxsdk.lookup.shared._postgres import PostgresDatabase

        return PostgresDatabase(self._where, self.timeout)

    # ---- transactions

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout

    @contextmanager
    def _mapped(self, place: Any) -> Iterator[None]:
        """
        Say what failed in our words, which hold no values.
        """
        import sqlalchemy as sa

        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as error:
            # Without its cause: that shows the values of the statement.
            raise StoreUnavailableError(f"{place.word}: {_words(error)}") from None

    @contextmanager
    def _about(self, subjects: Iterable[str], deadline: float) -> Iterator[About]:
        """
        Begin a transaction that has *subjects* and whom they became to itself.
        """
        place, names = self._own(), set(subjects)
        with self._mapped(place):
            while True:
                with place.begun(deadline) as connection:
                    place.lock(connection, list(names))
                    about = self._known(place, connection, names)
                    # Locks are taken in one order or not at all: with somebody else's in hand,
                    # more of them could close a circle.
                    if not place.locks or names.issuperset(about.links.values()):
                        yield about
                        return
                names |= set(about.links.values())

    def _known(self, place: Any, connection: Connection, names: set[str]) -> About:
        asked = {"names": list(names), **place.now()}
        about = About(connection, 0.0, {}, set())
        links: dict[str, str] = {}
        for kind, subject, root, now in connection.execute(place.statements.state, asked):
            if kind == "now":
                about.now = now
            elif kind == "link":
                links[subject] = root
            else:
                about.forgotten.add(subject)
        about.links = links
        return about

    def _say(self, about: About, changed: Iterable[str]) -> None:
        names = sorted(set(changed))
        words = [
            " ".join((self._me, *names[start : start + _SPOKEN]))
            for start in range(0, len(names), _SPOKEN)
        ]
        if words:
            self._place.say(about.connection, words)

    def _members(self, about: About, root: str) -> dict[str, str]:
        """
        Return who is a part of *root* → by whom it was absorbed.
        """
        asked = {"name": root, **self._place.now()}
        rows = about.connection.execute(self._place.statements.members, asked)
        return {each.subject: each.via for each in rows}


def _words(error: Exception) -> str:
    """
    Return the first line of what a driver said; SQLAlchemy's own words would show the values.
    """
    cause: Any = getattr(error, "orig", None) or error
    said = getattr(getattr(cause, "diag", None), "message_primary", None)
    if said is None and type(cause).__module__.startswith("sqlalchemy"):
        said = type(cause).__name__
    if said is None and isinstance(cause, OSError):
        said = cause.strerror
    words = str(said or cause).strip().partition("\n")[0]
    return words or type(cause).__name__
