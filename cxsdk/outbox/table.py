"""
The table of the outbox, for SQLAlchemy and Alembic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxsdk.errors import ExtraMissingError
from cxsdk.outbox.row import TABLE

try:
    import sqlalchemy as sa
except ImportError as error:
    raise ExtraMissingError("sqlalchemy", "sql") from error

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

__all__ = ["create_table", "metadata", "outbox_table"]

metadata = sa.MetaData()
"""Holds this table only; for ``target_metadata`` of an Alembic environment."""

outbox_table = sa.Table(
    TABLE,
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("service", sa.String(80), nullable=False),
    sa.Column("environment", sa.String(80), nullable=False),
    sa.Column("lane", sa.String(8), nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("tag", sa.LargeBinary(8), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
"""``cxsdk_outbox``: one committed event a row, until the relay has handed it to the spool."""


def create_table(bind: Engine | Connection | Any) -> None:
    """
    Create ``cxsdk_outbox`` where it is not there yet. Blocks on the database.

    Args:
        bind: an ``Engine``, or a ``Connection`` (then in its transaction, as in a migration:
            ``create_table(op.get_bind())``).

    Raises:
        ExtraMissingError: SQLAlchemy is not installed; raised by the import of this module.
        sqlalchemy.exc.SQLAlchemyError: the database refused.
    """
    metadata.create_all(bind)
