"""
Asynchronous sessions and connections: rows wait for a moment to be awaited in, never past the end.
"""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

import cxsdk as cx
from cxsdk.errors import OutboxError
from tests.outbox.conftest import Order, balanced, ends, savepoints
from tests.outbox.test_sqlalchemy import say


class Unit:
    """A unit of work over an AsyncSession or an AsyncConnection."""

    def __init__(self, host):
        self.host = host
        self.commit, self.rollback = host.commit, host.rollback
        self.nested = host.begin_nested

    async def order(self):
        if isinstance(self.host, AsyncSession):
            self.host.add(Order())
            await self.host.flush()
        else:
            await self.host.execute(sa.insert(Order).values())


@pytest.fixture(params=["session", "connection"])
def run(request, database):
    """Run a coroutine function with a unit of work, in a loop of its own."""

    def run(work):
        async def main():
            engine = create_async_engine(database.async_url, poolclass=NullPool)
            if database.kind == "sqlite":
                savepoints(engine.sync_engine)
            over = AsyncSession(engine) if request.param == "session" else engine.connect()
            async with over as host:
                await work(Unit(host))
            await engine.dispose()

        asyncio.run(main())

    run.kind = request.param
    return run


def test_a_committed_event_arrives_once(client, collector, database, run):
    """The rows are there at the end of the block, and go out after the commit."""

    async def work(unit):
        async with cx.outbox(unit.host) as tx:
            await unit.order()
            assert say(tx, "a").durable
            assert say(tx, "b")
        found = await unit.host.execute(sa.text("SELECT count(*) FROM cxsdk_outbox"))
        assert found.scalar() == 2
        await unit.commit()
        report = await cx.aflush(20)
        assert report.pending == 0

    run(work)
    ends(collector, client, "a", "b")
    assert (database.orders(), database.rows()) == (1, 0)


def test_a_commit_inside_the_block_takes_them_along(client, collector, database, run):
    """Whoever commits before the end of the block commits the events said so far."""

    async def work(unit):
        async with cx.outbox(unit.host) as tx:
            await unit.order()
            say(tx, "with it")
            await unit.commit()
            await unit.order()
            say(tx, "not this one")
            await unit.rollback()

    run(work)
    ends(collector, client, "with it")
    assert database.orders() == 1


def test_what_is_rolled_back_never_happened(client, collector, database, run):
    """Before or after the end of the block."""

    async def work(unit):
        await unit.order()
        async with cx.outbox(unit.host) as tx:
            say(tx, "gone")
        await unit.rollback()
        await unit.order()
        async with cx.outbox(unit.host) as tx:
            say(tx, "gone too")
            await unit.rollback()
        await unit.order()
        async with cx.outbox(unit.host) as tx:
            say(tx, "there")
        await unit.commit()
        await unit.order()
        async with cx.outbox(unit.host) as tx:
            say(tx, "never ended")

    run(work)
    ends(collector, client, "there")
    assert database.orders() == 1


def test_only_the_events_of_a_savepoint_that_is_rolled_back_vanish(client, collector, run):
    """Rows that are not written yet share the fate of the savepoint they were said in."""

    async def work(unit):
        await unit.order()
        async with cx.outbox(unit.host) as tx:
            say(tx, "before")
            lost = await unit.nested()
            say(tx, "gone")
            inner = await unit.nested()
            say(tx, "gone with the outer one")
            await inner.commit()
            await lost.rollback()
            async with unit.nested():
                say(tx, "released")
            say(tx, "after")
            async with unit.nested():
                async with cx.outbox(unit.host) as own:
                    say(own, "own block")
        lost = await unit.nested()
        async with cx.outbox(unit.host) as tx:
            say(tx, "written and gone")
        await lost.rollback()
        await unit.commit()

    run(work)
    ends(collector, client, "before", "released", "after", "own block")


def test_an_exception_in_the_block_decides_nothing(client, collector, run):
    """The host may catch it and commit; then the event is there."""

    async def work(unit):
        await unit.order()
        with pytest.raises(ZeroDivisionError):
            async with cx.outbox(unit.host) as tx:
                say(tx, "a")
                raise ZeroDivisionError
        await unit.commit()

    run(work)
    ends(collector, client, "a")


@pytest.mark.parametrize("strict", [False, True])
def test_a_missing_table_harms_no_transaction(init, collector, database, run, strict):
    """The change is committed, the event counted and on record as lost; strict mode raises."""
    client = init(strict=strict)
    database.drop_outbox()

    async def work(unit):
        await unit.order()
        try:
            async with cx.outbox(unit.host) as tx:
                say(tx, "a")
                say(tx, "b")
        except OutboxError:
            assert strict
        else:
            assert not strict
        await unit.commit()

    run(work)
    assert database.orders() == 1
    if not strict:
        assert client.stats()["refused"] == {"outbox": 2}
        client.flush(20)
        (loss,) = collector.accepted.values()
        assert (loss["data"]["reason"], loss["data"]["count"]) == ("outbox", 2)
    balanced(client)


def test_before_the_first_statement(client, collector, database, run):
    """A session begins by it; a connection has to be in a transaction, and says so."""

    async def work(unit):
        async with cx.outbox(unit.host) as tx:
            taken = say(tx, "gone")
            assert bool(taken) is (run.kind == "session")
        await unit.rollback()
        await unit.order()
        await unit.commit()

    run(work)
    client.flush(20).raise_for_error()
    types = [event["type"] for event in collector.accepted.values()]
    assert types == ([] if run.kind == "session" else ["dev.cxsdk.loss.recorded.v1"])
    assert (database.orders(), database.rows()) == (1, 0)


def test_the_synchronous_form_inside_run_sync(client, collector, run):
    """Where the host works on the inner session, the verbs write at once."""

    async def work(unit):
        def inner(host):
            with cx.outbox(host) as tx:
                say(tx, "a")
            found = host.execute(sa.text("SELECT count(*) FROM cxsdk_outbox"))
            return found.scalar()

        assert await unit.host.run_sync(inner) == 1
        await unit.commit()

    run(work)
    ends(collector, client, "a")


def test_a_scoped_session(client, collector, database):
    """What frameworks hand out is taken as the session it stands for."""

    async def main():
        engine = create_async_engine(database.async_url, poolclass=NullPool)
        registry = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        async with cx.outbox(registry) as tx:
            say(tx, "a")
        await registry.commit()
        await registry.remove()
        await engine.dispose()

    asyncio.run(main())
    ends(collector, client, "a")


def test_an_async_engine_named_in_init_delivers_what_others_left(init, collector, database):
    """The relay has a loop of its own, on its own thread."""
    first = init()
    first._parts.outbox.relay.close(0)  # as if this process were killed before the hand-over
    with database.session() as session:
        say(cx.outbox(session), "a")
        session.commit()
    assert database.rows() == 1
    engine = create_async_engine(database.async_url)
    client = init(outbox=engine)
    assert collector.wait_for(1, timeout=30)
    ends(collector, client, "a")
    assert database.rows() == 0
    assert client.stats()["outbox"]["handed_over"] == 1


def test_a_connection_that_is_not_open_yet(client, database):
    """It costs the event and says so."""
    engine = create_async_engine(database.async_url, poolclass=NullPool)
    assert say(cx.outbox(engine.connect()), "a").reason == "outbox"
