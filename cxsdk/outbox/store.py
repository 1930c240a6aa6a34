"""
The table of the outbox as a relay sees it: on connections of the relay's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cxsdk.errors import ExtraMissingError
from cxsdk.outbox.row import Keep, Waiting

__all__ = ["Store", "name_of", "open_store"]

_DJANGO = "django:"


class Store(Protocol):
    """
    One database that has the table. Used by one thread.
    """

    def take(self, service: str, environment: str, limit: int, keep: Keep) -> int:
        """
        Give up to *limit* rows to *keep* and delete those it names, in one short transaction in
        which no other relay gets the same rows. Return how many were deleted.

        Raises:
            Exception: whatever the database raises; then nothing was deleted.
        """

    def waiting(self) -> Sequence[Waiting]:
        """
        Return what waits, whoever's it is.

        Raises:
            Exception: whatever the database raises.
        """

    def words_of(self, error: BaseException) -> str:
        """
        Return what went wrong, without anything that an event holds.
        """

    def rest(self) -> None:
        """
        Let go of connections; the next use opens new ones.
        """


def name_of(source: Any) -> str:
    """
    Return what *source* is called in figures and log lines, without a password.
    """
    if isinstance(source, str):
        if source.startswith(_DJANGO):
            return source
        from cxsdk.outbox.sql_store import shown

        return shown(source)
    url = getattr(source, "url", None)
    # As SQLAlchemy shows it, the password is hidden.
    return type(source).__name__ if url is None else str(url)


def open_store(source: Any) -> Store:
    """
    Return the table behind *source*: a SQLAlchemy ``Engine`` or ``AsyncEngine``, a URL such as
    ``postgresql+psycopg://…``, or ``django:<alias>``. Connects nowhere.

    Raises:
        ConfigurationError: it is none of these.
        ExtraMissingError: SQLAlchemy is not installed.
    """
    if isinstance(source, str) and source.startswith(_DJANGO):
        from cxsdk.outbox.django.store import DjangoStore

        return DjangoStore(source.removeprefix(_DJANGO) or "default")
    try:
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise ExtraMissingError("sqlalchemy", "sql") from error
    from cxsdk.outbox.sql_store import sql_store

    return sql_store(source)
