"""
Events as Segment messages, checked against the shapes that its HTTP API documents.
"""

import json

import pytest

from cxsdk.events.mappings import segment
from cxsdk.events.mappings._fact import read
from tests.sinks.servers import check_message

WHO = {"id": "k7", "anonymous_id": "s-55", "account_id": "A-1"}
ORDER = {"about": {"refs": [{"type": "order", "id": "4711"}]}}


def test_every_event_is_a_message(golden):
    """Shape, ids and size, for the whole corpus; its id is the message's id."""
    message = segment.message(read(golden))
    check_message(message)
    assert message["messageId"] == json.loads(golden)["id"]
    assert message["timestamp"] == json.loads(golden)["time"]


def test_an_interaction_is_tracked(fact):
    """The customer's channel is a property and never Segment's."""
    where = {"channel": "web", "medium": "web_page", "locale": "de-AT", "tz": "Europe/Vienna"}
    money = {"amount": "19.90", "currency": "EUR"}
    data = {"customer": WHO, "where": where, "value": money, "outcome": "success"}
    message = segment.message(fact("interaction", "completed", data))
    assert (message["type"], message["event"]) == ("track", "Interaction Completed")
    assert (message["userId"], message["anonymousId"]) == ("k7", "s-55")
    context = {name: value for name, value in message["context"].items() if name != "library"}
    assert context == {"groupId": "A-1", "locale": "de-AT", "timezone": "Europe/Vienna"}
    said = message["properties"]
    assert (said["where_channel"], said["value"], said["currency"]) == ("web", 19.9, "EUR")
    assert "revenue" not in said
    assert "partitionkey" not in json.dumps(message)


def test_identified_is_identify(fact):
    """With the traits, and both ids so that destinations can join them."""
    data = {"op": "identified", "customer": WHO, "traits": {"plan": "gold"}}
    message = segment.message(fact("identity", "identified", data))
    assert (message["type"], message["traits"]) == ("identify", {"plan": "gold"})
    assert (message["userId"], message["anonymousId"]) == ("k7", "s-55")
    check_message(message)


@pytest.mark.parametrize("previous", [{"anonymous_id": "old"}, {"id": "old"}])
def test_linked_is_alias(fact, previous):
    """From the former id, anonymous or not, to the customer's."""
    data = {"op": "linked", "customer": {"id": "k7"}, "previous": previous}
    message = segment.message(fact("identity", "linked", data))
    assert message["type"] == "alias"
    assert (message["userId"], message["previousId"]) == ("k7", "old")
    assert "anonymousId" not in message
    check_message(message)


@pytest.mark.parametrize("action", ["unlinked", "consent_changed", "erasure_requested"])
def test_identity_without_a_counterpart_is_tracked(fact, action):
    """Under a name of its own."""
    message = segment.message(fact("identity", action, {"op": action, "customer": WHO}))
    assert message["event"] == f"Identity {action.replace('_', ' ').title()}"
    check_message(message)


def test_a_link_without_a_user_is_tracked(fact):
    """An alias needs a userId; the fact is not lost."""
    data = {"op": "linked", "customer": {"account_id": "A"}, "previous": {"id": "o"}}
    message = segment.message(fact("identity", "linked", data))
    assert (message["type"], message["properties"]["previous_id"]) == ("track", "o")


@pytest.mark.parametrize(
    ("reaction", "name", "money"),
    [
        ("repurchase", "Order Completed", "revenue"),
        ("return", "Order Refunded", "total"),
        ("cancel", "Order Cancelled", None),
        ("refer", "Reaction Observed", None),
    ],
)
def test_a_reaction_about_an_order_has_its_standard_name(fact, reaction, name, money):
    """Where the e-commerce spec has one; its order_id is there then."""
    data = {"reaction": reaction, "customer": WHO, "value": {"amount": "-5", "currency": "EUR"}}
    message = segment.message(fact("reaction", "observed", {**data, **ORDER}))
    assert (message["event"], message["properties"]["order_id"]) == (name, "4711")
    found = {key: message["properties"].get(key) for key in ("revenue", "total")}
    assert found == {"revenue": None, "total": None} | ({money: 5.0} if money else {})


def test_a_reaction_without_an_order_has_the_generic_name(fact):
    """Order Completed without an order_id would be wrong."""
    message = segment.message(
        fact(
            "reaction",
            "observed",
            {
                "reaction": "repurchase",
            },
        )
    )
    assert message["event"] == "Reaction Observed"


@pytest.mark.parametrize(
    ("customer", "ids"),
    [
        (None, {"anonymousId": "urn:service:shop"}),
        ({"account_id": "A-1"}, {"anonymousId": "account:A-1"}),
        ({"anonymous_id": "s"}, {"anonymousId": "s"}),
        ({"ids": [{"ns": "crm", "id": "7"}]}, {"userId": "crm:7"}),
    ],
)
def test_every_message_has_an_id(fact, customer, ids):
    """The service stands for nobody: one id for all, since Segment bills by ids."""
    data = {"problem": "error"} | ({"customer": customer} if customer else {})
    message = segment.message(fact("problem", "encountered", data))
    assert {name: message[name] for name in ("userId", "anonymousId") if name in message} == ids


def test_a_long_id_is_shortened_always_the_same(fact):
    """Segment takes 100 characters."""
    ids = {segment.message(fact("loss", "recorded", {}, id="x" * 101))["messageId"] for _ in "ab"}
    assert [len(name) for name in ids] == [64]
    assert ids != {segment.message(fact("loss", "recorded", {}, id="x" * 102))["messageId"]}
