"""
A journey follows a customer over identifiers, and never joins two who were not said to be one.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import json

from cxsdk.collector import Limits, Store
from cxsdk.collector.people import People, find, person_of
from cxsdk.collector.row import judge

T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
VISIT = {"anonymous_id": "visit"}


@pytest.fixture
def keys_of(store):
    """
    Names of the identifiers that belong to one, and of those not followed.
    """

    def ask(value):
        with store.reading() as db:
            found = person_of(db, find(db, value))
        return {key[1] for key in found.keys}, {key[1] for key in found.shared}

    return ask


def test_visit_joins_the_customer_who_was_recognised(keep, facts, keys_of):
    """Both the anonymous and the known identifier lead to the whole journey."""
    keep(
        facts.interaction(VISIT),
        facts.identity("identified", {"id": "c1", **VISIT}),
        facts.interaction("c1"),
    )
    assert keys_of("c1") == keys_of("visit") == ({"c1", "visit"}, set())


def test_shared_device_joins_nobody(keep, facts, keys_of):
    """An anonymous id that two customers claimed is named, but followed for neither."""
    keep(
        facts.identity("identified", "c1", VISIT),
        facts.identity("identified", "c2", VISIT),
    )
    assert keys_of("c1") == ({"c1"}, {"visit"})
    assert keys_of("c2") == ({"c2"}, {"visit"})
    assert keys_of("visit") == ({"visit"}, set())


def test_linked_customers_are_one_also_over_a_shared_visit(keep, facts, keys_of):
    """When both were said to be one person their visit is theirs."""
    keep(
        facts.identity("identified", "c1", VISIT),
        facts.identity("identified", "c2", VISIT),
        facts.identity("linked", "c1", "c2"),
    )
    assert keys_of("c2") == ({"c1", "c2", "visit"}, set())


def test_recognising_never_joins_two_known_customers(keep, facts, keys_of):
    """Only a link says that two known customers are one."""
    keep(facts.identity("identified", "c1", "c2"), facts.interaction("c2"))
    assert keys_of("c1") == ({"c1"}, set())


def test_account_is_shared_by_many_and_joins_nobody(keep, facts, keys_of):
    """Two people of one account have two journeys."""
    keep(
        facts.identity("identified", {"id": "c1", "account_id": "home"}),
        facts.identity("identified", {"id": "c2", "account_id": "home"}),
    )
    assert keys_of("c1") == ({"c1"}, set())


def test_latest_statement_holds_whatever_order_it_came_in(tmp_path, facts):
    """Link, unlink and link again by their own time, in all orders of arrival."""
    said = [
        facts.identity(op, "c1", "c2", at=T0 + timedelta(minutes=n))
        for n, op in enumerate(["linked", "unlinked", "linked", "unlinked"])
    ]
    for number, order in enumerate(itertools.permutations(said)):
        store = Store(tmp_path / f"{number}.db")
        store.add([judge(json.encode(event), Limits(), strict=False) for event in order])
        store.add([judge(json.encode(facts.interaction("c2")), Limits(), strict=False)])
        with store.reading() as db:
            assert person_of(db, ("id", "c1")).keys == (("id", "c1"),)
        store.close()


def test_linked_visits_are_one_also_before_anybody_is_known(keep, facts, keys_of):
    """Two anonymous identifiers that were said to be one lead to one journey."""
    other = {"anonymous_id": "tablet"}
    keep(facts.interaction(VISIT), facts.identity("linked", VISIT, other))
    assert keys_of("visit") == keys_of("tablet") == ({"visit", "tablet"}, set())


def test_people_are_counted_as_journeys_join_them(store, keep, facts):
    """For every identifier the one that stands for it is in its own journey, and the same for all."""
    keep(
        facts.identity("identified", "c1", VISIT),
        facts.identity("identified", "c2", {"anonymous_id": "shared"}),
        facts.identity("identified", "c3", {"anonymous_id": "shared"}),
        facts.identity("linked", "c1", "c4"),
        facts.identity("linked", "c5", "c6"),
        facts.identity("unlinked", "c5", "c6", at=T0 + timedelta(hours=1)),
        facts.identity("linked", {"anonymous_id": "a1"}, {"anonymous_id": "a2"}),
        facts.interaction("alone"),
    )
    with store.reading() as db:
        people = People(db)
        keys = [tuple(row) for row in db.execute("SELECT space, value FROM customers")]
        for key in keys:
            joined = person_of(db, key).keys
            assert people.face(key) in joined
            assert {people.face(other) for other in joined} == {people.face(key)}
        faces = {people.face(key)[1] for key in keys}
    assert faces == {"c1", "c2", "c3", "shared", "c5", "c6", "a1", "alone"}


def test_events_without_a_customer_count_nobody(store):
    """A problem of nobody known adds no customer."""
    with store.reading() as db:
        assert People(db).among([None, "id:c1", "id:c1"]) == {("id", "c1")}


def test_known_identifier_is_meant_before_an_anonymous_one(store, keep, facts):
    """A bare value in a URL means the customer's id first; the space can be said."""
    keep(facts.interaction("x"), facts.interaction({"anonymous_id": "x"}))
    with store.reading() as db:
        assert find(db, "x") == ("id", "x")
        assert find(db, "x", "anonymous") == ("anonymous", "x")
        assert find(db, "nobody") is None


def test_statements_of_one_moment_follow_their_numbers(tmp_path, facts):
    """Linked and unlinked at the same time: the later number holds, whichever came first."""
    said = [
        facts.identity("linked", "c1", "c2", seq=1),
        facts.identity("unlinked", "c1", "c2", seq=2),
    ]
    for number, order in enumerate((said, said[::-1])):
        store = Store(tmp_path / f"{number}.db")
        for event in order:
            store.add([judge(json.encode(event), Limits(), strict=False)])
        with store.reading() as db:
            assert person_of(db, ("id", "c1")).keys == (("id", "c1"),)
            assert People(db).face(("id", "c2")) == ("id", "c2")
        store.close()
