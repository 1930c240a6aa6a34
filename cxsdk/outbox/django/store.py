"""
The outbox's table through one of Django's databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, transaction

from cxsdk.errors import ConfigurationError
from cxsdk.outbox.django.host import words_of
from cxsdk.outbox.row import COLUMNS, TABLE, Keep, Row, Waiting

__all__ = ["DjangoStore"]

_SELECT = (
    f"SELECT {', '.join(COLUMNS)} FROM {TABLE}"  # noqa: S608 - constants
    " WHERE service = %s AND environment = %s ORDER BY id LIMIT %s"
)
_WAITING = (
    f"SELECT service, environment, COUNT(*), MIN(created) FROM {TABLE}"  # noqa: S608 - constants
    " GROUP BY service, environment ORDER BY service, environment"
)


class DjangoStore:
    """
    A `Store` over an alias. Django's connections belong to threads, so a relay has its own.

    Raises:
        ConfigurationError: there is no such alias.
    """

    def __init__(self, alias: str) -> None:
        if alias not in connections.settings:
            raise ConfigurationError(f"outbox: DATABASES has no {alias!r}")
        self._alias = alias

    def take(self, service: str, environment: str, limit: int, keep: Keep) -> int:
        """
        Hand over up to *limit* rows; see `Store.take`.

        Raises:
            django.db.Error: the database refused.
        """
        connection = connections[self._alias]
        with transaction.atomic(using=self._alias), connection.cursor() as cursor:
            select = _SELECT
            if connection.vendor == "sqlite":
                # Be the only writer from here on; SQLite has no rows to be locked one by one.
                cursor.execute(f"DELETE FROM {TABLE} WHERE id = ''")  # noqa: S608 - a constant
            elif connection.features.has_select_for_update_skip_locked:
                select += " FOR UPDATE SKIP LOCKED"
            cursor.execute(select, [service, environment, limit])
            rows = [_row(found) for found in cursor.fetchall()]
            kept = keep(rows) if rows else ()
            if kept:
                marks = ", ".join(["%s"] * len(kept))
                cursor.execute(f"DELETE FROM {TABLE} WHERE id IN ({marks})", list(kept))  # noqa: S608 - marks
        return len(kept)

    def waiting(self) -> Sequence[Waiting]:
        """
        Return what waits.

        Raises:
            django.db.Error: the database refused.
        """
        with connections[self._alias].cursor() as cursor:
            cursor.execute(_WAITING)
            return [Waiting(*found) for found in cursor.fetchall()]

    def words_of(self, error: BaseException) -> str:
        """
        Return what went wrong.
        """
        return words_of(error)

    def rest(self) -> None:
        """
        Close this thread's connection.
        """
        connections[self._alias].close()


def _row(found: Sequence[Any]) -> Row:
    fields = dict(zip(COLUMNS, found, strict=True))
    # Some drivers give memory views.
    return Row(**{**fields, "tag": bytes(fields["tag"]), "payload": bytes(fields["payload"])})
