"""
The host's transaction, whoever opened it: the seam between the verbs and a database library.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from cxsdk.errors import ConfigurationError
from cxsdk.outbox.pending import Call, Lost
from cxsdk.outbox.row import Row

__all__ = ["Host", "host_of"]


class Host(Protocol):
    """
    One transaction of the host's, on the host's own connection. For the thread that owns it.
    """

    @property
    def is_told_late(self) -> bool:
        """
        True: `after_commit` calls come when the commit is under way, not when it is through.
        """

    def source(self) -> Any:
        """
        Return what a relay reaches the same table by, on connections of its own.
        """

    def write(self, row: Row, lost: Lost) -> None:
        """
        Write *row* in the transaction, or keep it until just before the commit; then *lost* is
        called if that fails. Nothing that fails in here harms the transaction.

        Raises:
            OutboxError: it cannot be written.
        """

    def after_commit(self, call: Call) -> None:
        """
        Make *call* once the transaction is committed; never if it, or the savepoint in which
        this is said, is rolled back.
        """

    async def settle(self) -> None:
        """
        Write what was kept, where the host is asynchronous.
        """


def host_of(over: Any, using: str | None) -> Host:
    """
    Return the host of *over*, or of the Django alias *using* where *over* is None.

    Raises:
        ConfigurationError: it is nothing that has a transaction.
        IntegrationError: an alias was given and Django is not installed.
    """
    if over is None:
        from cxsdk.outbox.django.host import DjangoHost

        return DjangoHost(using or "default")
    if using is not None:
        raise ConfigurationError("outbox: expected a session or using=, got both")
    # Whoever brings a session has imported SQLAlchemy.
    if "sqlalchemy" in sys.modules:
        from cxsdk.outbox.sql import sql_host

        host = sql_host(over)
        if host is not None:
            return host
    raise ConfigurationError(
        "outbox: expected a SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, or"
        f" using= with the alias of a Django database, got {type(over).__name__}"
    )
