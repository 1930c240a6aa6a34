"""
Django's transactions as hosts of the outbox.
"""

from __future__ import annotations

import contextlib

from cxsdk.errors import IntegrationError, OutboxError
from cxsdk.outbox.pending import Call, Lost, quietly
from cxsdk.outbox.row import COLUMNS, TABLE, Row

try:
    from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
    from django.db import Error, connections, transaction
    from django.utils.connection import ConnectionDoesNotExist
except ImportError as error:
    raise IntegrationError(
        "django is not installed. Install it with: pip install django"
    ) from error

__all__ = ["DjangoHost", "words_of"]

_INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608 - constants
_TROUBLES = (Error, ImproperlyConfigured, SynchronousOnlyOperation, ConnectionDoesNotExist)


class DjangoHost:
    """
    The transaction of the current thread on one of Django's databases.
    """

    is_told_late = False

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def source(self) -> str:
        """
        Return the alias as a relay's source.
        """
        return f"django:{self._alias}"

    def write(self, row: Row, lost: Lost) -> None:
        """
        Write *row*, behind a savepoint.

        Raises:
            OutboxError: the database refused.
        """
        try:
            with transaction.atomic(using=self._alias), connections[self._alias].cursor() as cursor:
                cursor.execute(_INSERT, [getattr(row, name) for name in COLUMNS])
        except _TROUBLES as error:
            raise OutboxError(words_of(error)) from error

    def after_commit(self, call: Call) -> None:
        """
        Make *call* after the outermost commit; at once where no transaction is open.
        """
        # In a transaction that is broken already nothing will be committed.
        with contextlib.suppress(*_TROUBLES):
            transaction.on_commit(lambda: quietly(call), using=self._alias)

    async def settle(self) -> None:
        """
        Do nothing: Django's transactions are synchronous.
        """


def words_of(error: BaseException) -> str:
    """
    Return what the database said, one line, without what a row holds.
    """
    first = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first}"
