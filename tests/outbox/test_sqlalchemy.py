"""
SQLAlchemy's sessions and connections on real databases: an event stands or falls with its change.
"""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import cxsdk as cx
from cxsdk.errors import OutboxError
from cxsdk.events.codec import decode
from cxsdk.outbox.row import TABLE
from cxsdk.outbox.table import create_table
from tests.outbox.conftest import Order, balanced, ends, holding


def say(tx, name):
    """One event of the vital lane that can be told from others."""
    return tx.feedback(csat=4, customer="u-17", attributes={"n": name})


class OverSession:
    """The ORM's way."""

    def __init__(self, database):
        self.host = database.session()
        self.commit, self.rollback = self.host.commit, self.host.rollback
        self.nested, self.close = self.host.begin_nested, self.host.close

    def order(self):
        self.host.add(Order())
        self.host.flush()


class OverConnection:
    """Core's way, as in SQLAlchemy 2."""

    def __init__(self, database):
        self.host = database.engine.connect()
        self.commit, self.rollback = self.host.commit, self.host.rollback
        self.nested, self.close = self.host.begin_nested, self.host.close

    def order(self):
        self.host.execute(sa.insert(Order).values())


@pytest.fixture(params=[OverSession, OverConnection])
def unit(request, database):
    """A unit of work of the host's."""
    with holding(request.param(database)) as made:
        yield made


# ---- standing and falling -----------------------------------------------------------------


def test_a_committed_event_arrives_once(client, collector, database, unit):
    """What the transaction wrote is delivered after its commit, by itself, and leaves no row."""
    with cx.outbox(unit.host) as tx:
        unit.order()
        assert say(tx, "a").durable
        assert say(tx, "b")
        with tx.interaction("checkout.pay", customer="u-17") as i:
            i.attributes["n"] = "c"
        assert tx.record("parcel.handover", customer="u-17", attributes={"n": "d"})
    assert database.rows() == 0
    unit.commit()
    assert collector.wait_for(4, timeout=30)
    ends(collector, client, "a", "b", "c", "d")
    assert (database.orders(), database.rows()) == (1, 0)
    figures = client.stats()["outbox"]
    assert (figures["committed"], figures["handed_over"], figures["troubles"]) == (4, 4, {})


def test_what_is_rolled_back_never_happened(client, collector, database, unit):
    """No row, no event, nothing offered, and no gap that a collector could see."""
    with cx.outbox(unit.host) as tx:
        unit.order()
        assert say(tx, "gone")
    unit.rollback()
    with cx.outbox(unit.host) as tx:
        assert say(tx, "there")
    unit.commit()
    ends(collector, client, "there")
    assert (database.orders(), client.stats()["offered"]) == (0, 1)
    assert [event["data"].get("sdk") for event in collector.accepted.values()] == [None]


def test_a_transaction_that_is_only_closed_is_rolled_back(client, collector, database, unit):
    """Leaving a session without a commit sends nothing, also not with a later commit."""
    with cx.outbox(unit.host) as tx:
        say(tx, "gone")
    unit.close()
    with Session(database.engine) as session, cx.outbox(session) as tx:
        say(tx, "there")
        session.commit()
    ends(collector, client, "there")


def test_only_the_events_of_a_savepoint_that_is_rolled_back_vanish(client, collector, unit):
    """Before, inside a released one, and after: all there."""
    with cx.outbox(unit.host) as tx:
        say(tx, "before")
        with unit.nested():
            say(tx, "released")
        lost = unit.nested()
        say(tx, "gone")
        inner = unit.nested()
        say(tx, "gone with the outer one")
        inner.commit()
        lost.rollback()
        say(tx, "after")
    unit.commit()
    ends(collector, client, "before", "released", "after")


def test_an_exception_in_the_block_decides_nothing(client, collector, database, unit):
    """The host may catch it and commit; then the event is there as the change is."""
    with pytest.raises(ZeroDivisionError), cx.outbox(unit.host) as tx:
        unit.order()
        say(tx, "a")
        raise ZeroDivisionError
    unit.commit()
    ends(collector, client, "a")
    assert database.orders() == 1


def test_the_same_keyed_event_in_two_open_transactions_waits_for_nobody(
    client, collector, database
):
    """A row has an id of its own: the second transaction does not wait for the first one's end."""
    if database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with database.session() as one, database.session() as two:
        one.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        two.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        results = [
            cx.outbox(each).commitment("order-1", customer="u-17").kept() for each in (one, two)
        ]
        one.commit()
        two.commit()
    assert results[0].id == results[1].id
    client.flush(20).raise_for_error()
    assert collector.ids == [results[0].id]


def test_sessions_of_every_kind_are_taken(client, collector, database):
    """scoped_session, sessionmaker.begin, and a session on a connection of the test's own."""
    registry = scoped_session(sessionmaker(database.engine))
    with cx.outbox(registry) as tx:
        say(tx, "scoped")
    registry.commit()
    registry.remove()
    with sessionmaker(database.engine).begin() as session:
        say(cx.outbox(session), "made")
    with database.engine.connect() as connection, connection.begin():
        with Session(connection) as session:
            say(cx.outbox(session), "joined")
            session.commit()
    client.flush(20)
    assert collector.wait_for(3, timeout=30)
    ends(collector, client, "scoped", "made", "joined")


def test_autocommit_is_a_transaction_for_each_row(client, collector, database):
    """Without a transaction there is no savepoint; the row is committed at once."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    if database.kind == "sqlite":
        pytest.skip("the events that give SQLite its savepoints begin a transaction")
    with engine.connect() as connection:
        assert say(cx.outbox(connection), "a")
        assert database.rows() == 1
        connection.commit()
    ends(collector, client, "a")


def test_sqlite_without_any_settings_of_the_host(init, collector, tmp_path):
    """As pysqlite comes, the release of a savepoint would commit: rollback still holds."""
    client = init()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db")
    create_table(engine)
    with Session(engine) as session:
        say(cx.outbox(session), "gone")
        session.rollback()
        say(cx.outbox(session), "there")
        session.commit()
    ends(collector, client, "there")
    engine.dispose()


# ---- trouble ------------------------------------------------------------------------------


def test_a_missing_table_harms_no_transaction(client, collector, database, unit, caplog):
    """The business change is committed; the event is refused, said once, and on record as lost."""
    database.drop_outbox()
    with caplog.at_level(logging.ERROR, logger="cxsdk"), cx.outbox(unit.host) as tx:
        unit.order()
        results = [say(tx, "a"), say(tx, "b")]
        unit.order()
    unit.commit()
    assert [(bool(each), each.reason) for each in results] == [(False, "outbox")] * 2
    assert database.orders() == 2
    assert len(caplog.records) == 1
    assert TABLE in caplog.text
    assert "u-17" not in caplog.text
    assert client.stats()["refused"] == {"outbox": 2}
    client.flush(20)
    (loss,) = collector.accepted.values()
    assert (loss["data"]["reason"], loss["data"]["count"]) == ("outbox", 2)
    balanced(client)


def test_a_loss_that_was_rolled_back_is_none(client, collector, database, unit):
    """Where the whole transaction did not happen, nothing is short of the event."""
    database.drop_outbox()
    say(cx.outbox(unit.host), "a")
    unit.rollback()
    client.flush(20)
    assert collector.ids == []


def test_strict_mode_raises_and_the_transaction_lives(init, database, unit):
    """A developer sees what is wrong at the line that said it."""
    client = init(strict=True)
    database.drop_outbox()
    unit.order()
    with pytest.raises(OutboxError, match=TABLE):
        say(cx.outbox(unit.host), "a")
    unit.commit()
    assert database.orders() == 1
    balanced(client)


def test_a_connection_that_dies_fails_the_host_by_its_own_call_only(
    client, database, unit, request
):
    """Our verb is silent; what the database says, it says to the host's own statement."""
    if database.kind == "sqlite":
        pytest.skip("a file does not hang up")
    unit.order()
    request.getfixturevalue("postgres").hang_up()
    assert say(cx.outbox(unit.host), "a").reason == "outbox"
    with pytest.raises((DBAPIError, sa.exc.SQLAlchemyError)):
        unit.order()
    unit.rollback()
    assert database.orders() == 0
    balanced(client)


def test_a_transaction_that_failed_already_stays_the_hosts_business(client, database, unit):
    """In PostgreSQL nothing works after an error; our verb adds none of its own."""
    with pytest.raises(DBAPIError):
        unit.host.execute(sa.text("SELECT * FROM nowhere"))
    result = say(cx.outbox(unit.host), "a")
    assert bool(result) is (database.kind == "sqlite")
    unit.rollback()
    assert database.rows() == 0


# ---- what is shared with the client -------------------------------------------------------


def test_listeners_hear_of_it_after_the_commit(init, collector, database, unit):
    """A listener gets every accepted event, and a rolled back one is none."""
    heard = []
    client = init(listeners=[lambda event: heard.append(event.data.ext["app"]["n"])])
    with cx.outbox(unit.host) as tx:
        say(tx, "a")
        lost = unit.nested()
        say(tx, "gone")
        lost.rollback()
    assert heard == []
    unit.commit()
    assert heard == ["a"]
    ends(collector, client, "a")


def test_a_yes_counts_once_it_is_committed_a_no_at_once(init, unit):
    """Consent that was rolled back allows nothing; a denial is never taken back by a rollback."""
    client = init(privacy=cx.PrivacyOptions(basis="consent", when_denied="drop"))
    with cx.outbox(unit.host) as tx:
        assert tx.consent("granted", customer="u-17")
    unit.rollback()
    assert cx.record("a.b", customer="u-17").reason == "consent"
    with cx.outbox(unit.host) as tx:
        tx.consent("granted", customer="u-17")
    unit.commit()
    assert cx.record("a.b", customer="u-17")
    with cx.outbox(unit.host) as tx:
        tx.consent("denied", customer="u-17")
    unit.rollback()
    assert cx.record("a.b", customer="u-17").reason == "consent"
    balanced(client)


def test_every_event_is_valid_and_about_the_open_interaction(client, collector, unit):
    """The scope, the open interaction, redaction and the strict codec: as everywhere."""
    with cx.scope(customer="u-17"), cx.interaction("checkout.pay") as contact:
        with cx.outbox(unit.host) as tx:
            tx.promise("delivery", key="order-1", period="P2D")
            tx.feedback(csat=2, text="call me at joe@example.com")
            with tx.interaction("order.place", channel="web", medium="web_page") as i:
                i.attributes["k"] = 1
        unit.commit()
    client.flush(20).raise_for_error()
    events = {
        event.family + event.action: event
        for request in collector.requests
        for event in (decode(_bytes(each), strict=True) for each in request.events)
    }
    assert len(collector.accepted) == 4
    assert events["commitmentmade"].data.made_in == contact.interaction_id
    assert "joe@" not in events["feedbackgiven"].data.answers[1].text


def _bytes(event):
    import json

    return json.dumps(event).encode()


def test_no_part_of_a_transactions_capture_is_bound_to_the_clients(client, database):
    """What leads to the spool by another way would miss the transaction."""
    main = client._parts.capture
    with database.session() as session:
        made = cx.outbox(session).capture()
    owners = {name: getattr(value, "__self__", value) for name, value in vars(made).items()}
    del owners["_on_first"]  # the client's; it begins delivery and leads nowhere
    assert [name for name, each in owners.items() if each is main and name != "_main"] == []
    assert [name for name, each in owners.items() if getattr(each, "_capture", None) is main] == []
    with pytest.raises(OutboxError):
        made._append("bulk", b"{}", 0, bytes(8))


@pytest.mark.parametrize("unusual", [False, True])
def test_an_interaction_carries_no_number_by_either_way(client, database, unusual):
    """The way of the common shape and the way of all others end in the same kind of row."""
    written = []
    with database.session() as session:
        tx = cx.outbox(session)
        tx._host.write = lambda row, lost: written.append(row.payload)
        tx._host.after_commit = lambda call: None
        with tx.interaction("a.b", customer="u-17", stage="order") as i:
            i.attributes["k"] = "}}"
            if unusual:
                i.reason = "gift"
            i.goal_met = "yes"
    event = decode(written[0], strict=True)
    assert event.data.sdk is None
    assert event.data.ext == {"app": {"k": "}}"}}
    assert event.data.goal_met == "yes"


# ---- nothing to write to, or nobody to write for ------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"spool": cx.SpoolOptions(mode="off")}, "disabled"),
        ({"collector": None}, "no_collector"),
    ],
)
def test_where_nothing_is_kept_nothing_is_written(init, database, options, reason):
    """No row that nobody would ever take."""
    init(**options)
    with database.session() as session:
        assert say(cx.outbox(session), "a").reason == reason
        session.commit()
    assert database.rows() == 0


def test_without_init_and_after_close(init, database):
    """The verbs say why, as those of the module do."""
    with database.session() as session:
        assert say(cx.outbox(session), "a").reason == "not_initialised"
        init().close()
        assert say(cx.outbox(session), "a").reason == "closed"


@pytest.mark.parametrize("strict", [False, True])
def test_what_has_no_transaction_is_refused(init, strict, caplog):
    """A wrong argument is said once and drops the events; strict mode raises."""
    init(strict=strict)
    if strict:
        with pytest.raises(cx.ConfigurationError, match="got str"):
            cx.outbox("session")
        return
    assert say(cx.outbox(object()), "a").reason == "outbox"
    assert "got object" in caplog.text


def test_captured_events_write_no_row(database):
    """In the team's own tests nothing goes to the database."""
    from cxsdk.testing import capture

    with capture() as events, database.session() as session:
        with cx.outbox(session) as tx:
            tx.promise("delivery", key="order-1", period="P2D", customer="u-17")
        session.commit()
    assert events.one("commitment").data.commitment_id == "order-1"
    assert database.rows() == 0


def test_alembic_makes_the_table(database):
    """A migration that calls create_table makes what the verbs need, and autogenerate agrees."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    from cxsdk.outbox.table import metadata

    database.drop_outbox()
    with database.engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            from alembic import op

            create_table(op.get_bind())
            create_table(op.get_bind())
        found = compare_metadata(context, metadata)
    assert [each for each in found if each[0] not in {"remove_table", "remove_index"}] == []
    assert database.rows() == 0
