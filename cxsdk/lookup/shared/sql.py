"""
A shared memory in SQLite or PostgreSQL. Extra ``sql``, and for PostgreSQL ``postgres``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, ExtraMissingError, StoreUnavailableError
from cxsdk.lookup.shared._kept import LINK_KEPT_S, MOST, newest, under
from cxsdk.lookup.shared._transactions import SWEEP_S, About, Transactions
from cxsdk.remembering import Remembered, Told

__all__ = ["SqlMemory", "ddl"]

_EXAMPLE = "sqlite:///var/lib/shop/memory.db or postgresql://user@host:5432/database"
_ROWS = 200
"""Rows per statement."""
_SWEEP_ROWS = 200


def ddl(dialect: str = "postgresql") -> str:
    """
    Return the statements that make the tables, for whoever does not let a service do so.

    Args:
        dialect: ``postgresql`` or ``sqlite``.

    Raises:
        ConfigurationError: it is neither.
        ExtraMissingError: SQLAlchemy is not installed.
    """
    if dialect not in {"postgresql", "sqlite"}:
        raise ConfigurationError(f"dialect: expected postgresql or sqlite, got {dialect!r:.40}")
    _need_sqlalchemy()
    from cxsdk.lookup.shared import _tables

    return _tables.ddl(dialect)


def _need_sqlalchemy() -> None:
    try:
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise ExtraMissingError("sqlalchemy", "sql") from None


class SqlMemory(Transactions):
    """
    A `SharedMemory` in the tables ``cx_told``, ``cx_links`` and ``cx_forgotten`` of an SQLite file
    or a PostgreSQL database (11 and later). Safe from any thread; a forked child connects anew.
    The tables are made at the first call where there are none; `ddl` says how.

    SQLite: for the processes of one machine; the clock is the machine's, one call at a time has
    the file, and nobody is told of changes. PostgreSQL: at most four connections per process and
    one that listens (``LISTEN``: through PgBouncer only with session pooling), the time is the
    server's, and what is locked is a subject.

    Args:
        url: ``sqlite:///absolute/path``, ``sqlite:relative`` or ``postgresql://…`` as libpq takes
            it.

        timeout: seconds that a call takes at most, connecting included.

        most: things kept per subject and shelf.

    Raises:
        ConfigurationError: the URL is wrong.
        ExtraMissingError: SQLAlchemy or psycopg is not installed.
    """

    def __init__(self, url: str, *, timeout: float = 0.25, most: int = MOST) -> None:
        _need_sqlalchemy()
        self.most = most
        is_file = url.partition(":")[0].lower() == "sqlite"
        where = _path(url) if is_file else url
        super().__init__(where, where if is_file else _server(url), timeout, is_file=is_file)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.25,
        most: int = MOST,
        **options: Any,  # noqa: ARG003 - those of other memories
    ) -> SqlMemory:
        """
        Return a memory for ``sqlite:///path`` or ``postgresql://user@host:5432/database``.

        Raises:
            ConfigurationError: the URL is wrong.
            ExtraMissingError: SQLAlchemy or psycopg is not installed.
        """
        return cls(url, timeout=timeout, most=most)

    def __repr__(self) -> str:
        return f"SqlMemory({self._shown!r})"

    # ---- the seam

    def put(self, told: Sequence[Told]) -> None:
        """
        Remember, in one transaction.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        if not told:
            return
        deadline = self._deadline()
        with self._about((each.subject for each in told), deadline) as about:
            rows: dict[tuple[str, str], dict[str, Any]] = {}
            for each in told:
                root = about.root(each.subject)
                if each.keep > 0 and root not in about.forgotten:
                    rows.setdefault((root, each.id), _row(each, root, about.now))
            changed = self._enter(about, [rows[key] for key in sorted(rows)])
            self._say(about, changed)
        if time.monotonic() >= self._sweep_at:
            with suppress(StoreUnavailableError):  # it is put all the same
                self._sweep(deadline)

    def _enter(self, about: About, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """
        Insert what is not there; return the subjects that have more than before.
        """
        use, connection = self._place.statements, about.connection
        names = {row["subject"] for row in rows}
        if not names:
            return set()
        old = {"names": list(names), "moment": about.now}
        connection.execute(use.wipe_over, old)
        changed: set[str] = set()
        for start in range(0, len(rows), _ROWS):
            some = list(rows[start : start + _ROWS])
            changed.update(row.subject for row in connection.execute(use.insert_told, some))
        if changed:
            connection.execute(use.trim, {"names": list(changed), "most": self.most})
        return changed

    def read(self, subjects: Sequence[str]) -> Mapping[str, Remembered]:
        """
        Return what is remembered of each of *subjects*.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        if not subjects:
            return {}
        place = self._own()
        with self._mapped(place), place.reading(self._deadline()) as connection:
            asked = {"names": list(subjects), **place.now()}
            rows = connection.execute(place.statements.read, asked).all()
        told: dict[str, list[Told]] = {}
        links: dict[str, tuple[str, bytes]] = {}
        members: dict[str, list[str]] = {}
        forgotten: set[str] = set()
        for kind, subject, name, shelf, at, keep, payload in rows:
            if kind == "told":
                told.setdefault(subject, []).append(
                    Told(subject, name, shelf, at, keep, bytes(payload))
                )
            elif kind == "link":
                links[subject] = name, bytes(payload)
            elif kind == "member":
                members.setdefault(subject, []).append(name)
            else:
                forgotten.add(subject)
        return {
            each: Remembered(forgotten=True)
            if each in forgotten
            else Remembered(
                newest(told.get(each, ()), self.most),
                links[each][0] if each in links else None,
                tuple(sorted(members.get(each, ()))),
                links[each][1] if each in links else b"",
            )
            for each in subjects
        }

    def link(self, absorb: str, keep: str, note: bytes = b"") -> bool:
        """
        Make *absorb* a part of *keep*; False where it is a part of another one already, or *keep*
        is a part of it, or one of the two is forgotten.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        with self._about((absorb, keep), self._deadline()) as about:
            use, connection = self._place.statements, about.connection
            root, there = about.root(keep), about.links.get(absorb)
            over = about.now + LINK_KEPT_S
            if root == absorb or {root, absorb} & about.forgotten or there not in {None, root}:
                return False
            if there is not None:
                new = {"name": absorb, "new_note": note, "new_over": over}
                connection.execute(use.renew, new)
                return True
            members = self._members(about, absorb)
            connection.execute(use.drop_links, {"names": [absorb]})  # one that is over
            if members:
                connection.execute(use.move, {"names": list(members), "to": root})
            made = {"subject": absorb, "root": root, "via": keep, "note": note, "over": over}
            connection.execute(use.insert_link, made)
            rows = [
                {**row, "subject": root}
                for row in connection.execute(use.all_of, {"name": absorb}).mappings()
                if row["over"] > about.now
            ]
            connection.execute(use.wipe, {"names": [absorb]})
            self._enter(about, sorted(rows, key=lambda row: str(row["id"])))
            self._say(about, {absorb, root, *members})
            return True

    def unlink(self, absorb: str) -> bool:
        """
        End a link; who had become *absorb* before goes with it. False where there is none.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        with self._about((absorb,), self._deadline()) as about:
            root = about.links.get(absorb)
            if root is None:
                return False
            use, connection = self._place.statements, about.connection
            members = under(absorb, self._members(about, root))
            connection.execute(use.drop_links, {"names": [absorb]})
            if members:
                connection.execute(use.move, {"names": list(members), "to": absorb})
            self._say(about, {absorb, root, *members})
            return True

    def forget(self, subjects: Sequence[str], suppress_for: float) -> int:
        """
        Erase; return how many things there were. SQLite: also from the file's free pages and,
        unless others read for longer than *timeout*, from its log.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        if not subjects:
            return 0
        deadline = self._deadline()
        with self._about(subjects, deadline) as about:
            count, changed = 0, set()
            for subject in dict.fromkeys(subjects):
                erased, gone = self._forget(about, subject)
                count += erased
                changed |= {about.root(subject), *gone}
                if suppress_for > 0:
                    until = about.now + suppress_for
                    tombs = [{"subject": each, "over": until} for each in sorted(gone)]
                    about.connection.execute(self._place.statements.entomb, tombs)
            self._say(about, changed)
        with self._mapped(self._place):
            self._place.erased(deadline)
        return count

    def _forget(self, about: About, subject: str) -> tuple[int, set[str]]:
        use, connection = self._place.statements, about.connection
        root = about.root(subject)
        members = self._members(about, root)
        if root != subject and subject not in members:
            root, members = subject, {}  # an earlier one of this call was its root
        gone = {subject, *under(subject, members)}
        connection.execute(use.wipe_over, {"names": [root], "moment": about.now})
        if root == subject:
            erased = connection.execute(use.wipe, {"names": [root]}).rowcount
        else:
            asked = {"name": root, "names": list(gone)}
            erased = connection.execute(use.wipe_some, asked).rowcount
        connection.execute(use.drop_links, {"names": list(gone)})
        return erased, gone

    def _sweep(self, deadline: float) -> None:
        """
        Drop some of what is over.
        """
        self._sweep_at = time.monotonic() + SWEEP_S
        with self._about((), deadline) as about:
            for statement in self._place.statements.sweeps:
                asked = {"moment": about.now, "bite": _SWEEP_ROWS}
                if about.connection.execute(statement, asked).rowcount == _SWEEP_ROWS:
                    self._sweep_at = 0.0  # there is more

    def subscribe(self, heard: Callable[[str | None], None]) -> bool:
        """
        PostgreSQL: listen on a daemon thread ``cxsdk-memory`` until `close`, and return True;
        *heard* gets None at each connect, the first included. SQLite: return False.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        listener = self._own().listener(self._me, heard)
        if listener is None:
            return False
        self._listeners.append(listener)
        return True

    def close(self) -> None:
        """
        Close the connections and end the thread. Idempotent; later calls raise
        `StoreUnavailableError`.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._generation == _fork.current():
            for listener in self._listeners:
                listener.close()
            if self._place is not None:
                self._place.close()


def _row(told: Told, root: str, now: float) -> dict[str, Any]:
    return {
        "subject": root,
        "id": told.id,
        "origin": told.subject,
        "shelf": told.shelf,
        "at": float(told.at),
        "over": now + told.keep,
        "payload": told.payload,
    }


def _path(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or path in {"", "/"}:
        raise ConfigurationError(f"context memory: expected a path, as in {_EXAMPLE}")
    # Four slashes, as others write an absolute path.
    return path[1:] if path.startswith("//") else path


def _server(url: str) -> str:
    try:
        import psycopg
    except ImportError:
        raise ExtraMissingError("psycopg", "postgres") from None
    try:
        told = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # What could not be read may hold the password anywhere.
        raise ConfigurationError(
            f"context memory: expected a PostgreSQL URL, as in {_EXAMPLE}"
        ) from None
    return f"{told.get('host', '')}:{told.get('port', 5432)}/{told.get('dbname', '')}"
