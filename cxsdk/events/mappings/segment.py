"""
Events as messages of the Segment HTTP tracking API: track, identify and alias.

RudderStack and other compatible servers take the same. ``context.channel`` is never written:
there it means server, browser or mobile, here the customer's channel is ``where_channel``.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from cxsdk._version import __version__
from cxsdk.events.mappings._fact import Fact, Who, envelope, flat, number, title, who

__all__ = ["LONGEST_ID", "message"]

LONGEST_ID = 100
"""Characters of a ``messageId``."""

_ELSEWHERE = frozenset({"customer", "value"})
_ORDERS = {
    "repurchase": "Order Completed",
    "return": "Order Refunded",
    "cancel": "Order Cancelled",
}
"""Reactions with a name in the e-commerce spec, which demands an ``order_id``."""


def message(fact: Fact) -> dict[str, Any]:
    """
    Return the message of *fact*; its ``messageId`` is the event's id, by which Segment and others
    drop what comes twice.
    """
    ids = who(fact.data.get("customer"))
    out: dict[str, Any] = {"messageId": _message_id(fact.id)}
    if fact.time:
        out["timestamp"] = fact.time
    out["context"] = _context(fact, ids)
    if fact.family == "identity" and fact.action == "identified":
        out |= {"type": "identify", **_ids(fact, ids), "traits": fact.data.get("traits") or {}}
        return out
    previous = who(fact.data.get("previous"))
    before = previous.user or previous.anonymous
    if fact.family == "identity" and fact.action == "linked" and ids.user and before:
        out |= {"type": "alias", "userId": ids.user, "previousId": before}
        return out
    out |= {"type": "track", **_ids(fact, ids), "event": _event(fact)}
    out["properties"] = _properties(fact)
    return out


def _message_id(event_id: str) -> str:
    if len(event_id) <= LONGEST_ID:
        return event_id
    return blake2b(event_id.encode(), digest_size=32).hexdigest()


def _ids(fact: Fact, ids: Who) -> dict[str, str]:
    """
    Return ``userId`` and ``anonymousId``; one of them is demanded of every message.

    Where there is nobody, the service itself stands for them: one id for all such events, since
    Segment bills by distinct ids.
    """
    found = {"userId": ids.user, "anonymousId": ids.anonymous}
    said = {name: value for name, value in found.items() if value}
    if said:
        return said
    return {"anonymousId": f"account:{ids.account}" if ids.account else fact.source or "cxsdk"}


def _context(fact: Fact, ids: Who) -> dict[str, Any]:
    where = fact.data.get("where") or {}
    said = {
        "groupId": ids.account,
        "locale": where.get("locale"),
        "timezone": where.get("tz"),
        "traceparent": fact.traceparent,
    }
    library = {"name": "cxsdk", "version": __version__}
    return {"library": library, **{name: value for name, value in said.items() if value}}


def _event(fact: Fact) -> str:
    standard = _ORDERS.get(fact.data.get("reaction", ""))
    if fact.family == "reaction" and standard and _order(fact):
        return standard
    return title(fact).title() or "Event"


def _order(fact: Fact) -> str | None:
    """
    Return the id of the one order that *fact* refers to.
    """
    about = fact.data.get("about") or {}
    refs = [*fact.data.get("refs", ()), *about.get("refs", ())]
    orders = {ref["id"] for ref in refs if ref.get("type") == "order"}
    return orders.pop() if len(orders) == 1 else None


def _properties(fact: Fact) -> dict[str, Any]:
    customer = {f"customer_{name}": value for name, value in _rest_of_customer(fact).items()}
    out = {**envelope(fact), **customer, **flat(fact.data, without=_ELSEWHERE)}
    money = fact.data.get("value") or {}
    amount = number(money.get("amount"))
    if amount is not None:
        # `revenue` is read as income by many destinations, so only an order says it.
        out["value"] = amount
        out["currency"] = money.get("currency")
    order = _order(fact)
    if order is not None:
        out["order_id"] = order
        if fact.family == "reaction" and amount is not None:
            named = {"repurchase": "revenue", "return": "total"}.get(fact.data.get("reaction", ""))
            if named:
                out[named] = abs(amount)
    return out


def _rest_of_customer(fact: Fact) -> dict[str, Any]:
    customer = fact.data.get("customer") or {}
    return {name: item for name, item in customer.items() if name not in {"id", "anonymous_id"}}
