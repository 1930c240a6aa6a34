"""
The tables of a shared memory in a database, and what is asked of them. Imported with SQLAlchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

__all__ = ["Statements", "ddl", "metadata"]

metadata = sa.MetaData()

_moment: Any = sa.Double()
# Of the same moment the higher id is the newer, by bytes and not by a language.
_id = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")

told = sa.Table(
    "cx_told",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("id", _id, primary_key=True),
    sa.Column("origin", sa.String(64), nullable=False),
    sa.Column("shelf", sa.String(16), nullable=False),
    sa.Column("at", _moment, nullable=False),
    sa.Column("over", _moment, nullable=False, index=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
links = sa.Table(
    "cx_links",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("root", sa.String(64), nullable=False, index=True),
    sa.Column("via", sa.String(64), nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("over", _moment, nullable=False, index=True),
)
forgotten = sa.Table(
    "cx_forgotten",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("over", _moment, nullable=False, index=True),
)


def ddl(dialect: str = "postgresql") -> str:
    """
    Return the statements that make the tables and indexes, for ``postgresql`` or ``sqlite``.
    """
    spoken: Any = {"postgresql": postgresql.dialect, "sqlite": sqlite.dialect}[dialect]()
    made: list[Any] = []
    for table in metadata.sorted_tables:
        made.append(CreateTable(table, if_not_exists=True))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += [CreateIndex(index, if_not_exists=True) for index in indexes]
    return "\n".join(f"{str(each.compile(dialect=spoken)).strip()};" for each in made) + "\n"


class Statements:
    """
    Made once, for SQLAlchemy keeps what it compiled of them. *names* is a list of subjects.

    Args:
        now: the clock, as an expression.

        insert: the dialect's own.
    """

    def __init__(self, now: Any, insert: Any) -> None:
        names: Any = sa.bindparam("names", expanding=True)
        name: Any = sa.bindparam("name")
        moment: Any = sa.bindparam("moment")
        self.read = _read(now, names)
        self.state = _state(now, names)
        self.members = sa.select(links.c.subject, links.c.via).where(
            links.c.root == name, links.c.over > now
        )
        # What is told
        self.insert_told = (
            insert(told).on_conflict_do_nothing().returning(told.c.subject, told.c.id)
        )
        self.all_of = sa.select(told).where(told.c.subject == name)
        self.wipe = sa.delete(told).where(told.c.subject.in_(names))
        self.wipe_some = sa.delete(told).where(told.c.subject == name, told.c.origin.in_(names))
        self.wipe_over = sa.delete(told).where(told.c.subject.in_(names), told.c.over <= moment)
        self.trim = _trim(names)
        # Links
        self.insert_link = sa.insert(links)
        self.drop_links = sa.delete(links).where(links.c.subject.in_(names))
        self.move = sa.update(links).where(links.c.subject.in_(names))
        self.move = self.move.values(root=sa.bindparam("to"))
        self.renew = sa.update(links).where(links.c.subject == name)
        self.renew = self.renew.values(note=sa.bindparam("new_note"), over=sa.bindparam("new_over"))
        # Tombstones
        tomb = insert(forgotten)
        self.entomb = tomb.on_conflict_do_update(
            index_elements=[forgotten.c.subject],
            set_={"over": tomb.excluded.over},
            where=forgotten.c.over < tomb.excluded.over,
        )
        self.sweeps = [_sweep(table, moment) for table in (told, links, forgotten)]


def _kind(word: str) -> Any:
    return sa.literal_column(f"'{word}'").label("kind")


def _read(now: Any, names: Any) -> Any:
    """
    Return one statement, so that what it says is of one moment.
    """
    nothing: Any = sa.null()
    numbers = (nothing, nothing, nothing)
    said = sa.select(
        _kind("told"),
        told.c.subject,
        told.c.id,
        told.c.shelf,
        told.c.at,
        (told.c.over - now).label("keep"),
        told.c.payload,
    )
    became = sa.select(_kind("link"), links.c.subject, links.c.root, *numbers, links.c.note)
    members = sa.select(_kind("member"), links.c.root, links.c.subject, *numbers, nothing)
    erased = sa.select(_kind("forgotten"), forgotten.c.subject, nothing, *numbers, nothing)
    return sa.union_all(
        said.where(told.c.subject.in_(names), told.c.over > now),
        became.where(links.c.subject.in_(names), links.c.over > now),
        members.where(links.c.root.in_(names), links.c.over > now),
        erased.where(forgotten.c.subject.in_(names), forgotten.c.over > now),
    )


def _state(now: Any, names: Any) -> Any:
    nothing: Any = sa.null()
    empty: Any = sa.literal_column("''")
    clock = sa.select(
        _kind("now"), empty.label("subject"), empty.label("root"), sa.cast(now, _moment)
    )
    became = sa.select(_kind("link"), links.c.subject, links.c.root, nothing)
    erased = sa.select(_kind("forgotten"), forgotten.c.subject, nothing, nothing)
    return sa.union_all(
        clock,
        became.where(links.c.subject.in_(names), links.c.over > now),
        erased.where(forgotten.c.subject.in_(names), forgotten.c.over > now),
    )


def _trim(names: Any) -> Any:
    rank = sa.func.row_number().over(
        partition_by=(told.c.subject, told.c.shelf),
        order_by=(told.c.at.desc(), told.c.id.desc()),
    )
    all_of = sa.select(told.c.subject, told.c.id, rank.label("rank"))
    ranked = all_of.where(told.c.subject.in_(names)).subquery()
    too_many = sa.select(ranked.c.subject, ranked.c.id).where(ranked.c.rank > sa.bindparam("most"))
    return sa.delete(told).where(sa.tuple_(told.c.subject, told.c.id).in_(too_many))


def _sweep(table: sa.Table, moment: Any) -> Any:
    keys: list[Any] = list(table.primary_key.columns)
    # What somebody else is at is left to them; nothing waits, so nothing waits in a circle.
    over = (
        sa.select(*keys)
        .where(table.c.over <= moment)
        .limit(sa.bindparam("bite"))
        .with_for_update(skip_locked=True)
    )
    whole: Any = sa.tuple_(*keys) if len(keys) > 1 else keys[0]
    return sa.delete(table).where(whole.in_(over))
