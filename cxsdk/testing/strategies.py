"""
Hypothesis strategies for arbitrary valid events of the standard. Needs ``hypothesis``.

Made from the same plans as models and schemas, so a new field is drawn as soon as it exists::

    @given(strategies.events("feedback"))
    def test_my_collector_takes_any_feedback(event): ...
"""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from cxsdk.events import vocabulary as v
from cxsdk.events._block import Block, plan
from cxsdk.events.blocks import About, Answer, Customer, Party, Scale, Where, Window
from cxsdk.events.codec import schema_urn, subject_of
from cxsdk.events.envelope import Event
from cxsdk.events.families import (
    FAMILIES,
    Commitment,
    Feedback,
    Identity,
    Loss,
    Prompt,
)
from cxsdk.events.kinds import (
    Choice,
    Day,
    Flag,
    Instant,
    Json,
    Kind,
    Listing,
    Number,
    Scalar,
    Text,
    Traits,
    Whole,
)

__all__ = ["block", "events", "facts", "json_values"]

_EXACT = 2**53
_DUE = ("due_at", "due_date", "window", "period")
_PROMISED = ("kind", "promised_by", "duty")

_characters = st.characters(
    exclude_categories=("Cc", "Cs"),
    exclude_characters=[*map(chr, range(0xFDD0, 0xFDF0)), "\ufffe", "\uffff"],
)
_words = st.text(string.ascii_lowercase, min_size=1, max_size=12)
_ids = st.text(string.ascii_letters + string.digits + "-_.:@ éß東", min_size=1, max_size=40)
_instants = st.datetimes(
    datetime(1000, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
_numbers = st.one_of(
    st.integers(-_EXACT, _EXACT),
    st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False),
)
_scalars = st.one_of(
    st.text(_characters, min_size=1, max_size=20), st.booleans(), st.integers(-_EXACT, _EXACT)
)

# Patterns of the standard, each with a strategy that matches all of it.
_PATTERNED: dict[str, st.SearchStrategy[str]] = {
    "lower-case": st.lists(_words, min_size=1, max_size=5).map(".".join),
    "a BCP 47": st.sampled_from(["de", "de-AT", "zh-Hant-TW", "ar-EG"]),
    "an IANA": st.sampled_from(["UTC", "Europe/Vienna", "America/Argentina/Ushuaia", "Etc/GMT+5"]),
    "an absolute": st.sampled_from(["urn:service:shop", "https://shop.example/api"]),
    "a decimal": st.decimals(-(10**18), 10**18, places=2).map(lambda amount: f"{amount:f}"),
    "an ISO 8601": st.sampled_from(["P2Y", "PT48H", "P1Y2M3DT4H5M6.5S", "P6W", "PT0.5S"]),
    "an ISO 4217": st.sampled_from(["EUR", "USD", "JPY", "KWD"]),
}


def json_values(max_leaves: int = 8) -> st.SearchStrategy[Any]:
    """
    Return a strategy for any JSON value, right or wrong.
    """
    leaves = st.none() | st.booleans() | _numbers | st.text(max_size=20)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
        ),
        max_leaves=max_leaves,
    )


def block(cls: type) -> st.SearchStrategy[Any]:
    """
    Return a strategy for instances of *cls*, a class of `cxsdk.events.model` within an event.
    """
    return st.deferred(lambda: _made(cls))


def facts(family: str) -> st.SearchStrategy[Any]:
    """
    Return a strategy for the ``data`` of *family*.
    """
    return block(FAMILIES[family])


@st.composite
def events(draw: st.DrawFn, family: str | None = None) -> Event:
    """
    Draw a valid event, of *family* if one is given.
    """
    family = family or draw(st.sampled_from(list(FAMILIES)))
    data = draw(facts(family))
    field = v.ACTION_FIELDS.get(family)
    action = getattr(data, field) if field else draw(st.sampled_from(v.ACTIONS[family]))
    prefix = draw(st.sampled_from(["dev.cxsdk", "com.acme", "io.github.acme.loyalty"]))
    event_id = draw(_ids)
    envelope = draw(_fields(Event, skip={"type", "dataschema", "subject", "data", "id"}))
    if family not in {"interaction", "problem"}:
        envelope.pop("sampledrate", None)
    ids = {name: getattr(data, name) for name, *_ in plan(type(data)).fields if "_id" in name}
    return Event(
        **envelope,
        id=event_id,
        type=f"{prefix}.{family}.{action}.v1",
        dataschema=schema_urn(family),
        subject=subject_of(family, ids, event_id),
        data=data,
    )


# ---- from kinds and plans to strategies ---------------------------------------------------


def _of_text(kind: Text) -> st.SearchStrategy[str]:
    if kind.is_id:
        return _ids
    if kind.pattern is None:
        allowed = _characters | st.sampled_from("\n\t") if kind.pii else _characters
        return st.text(allowed, min_size=1, max_size=min(kind.longest, 30))
    for beginning, strategy in _PATTERNED.items():
        if kind.expected.startswith(beginning):
            return strategy
    return st.from_regex(kind.pattern, fullmatch=True)


def _of_choice(kind: Choice) -> st.SearchStrategy[str]:
    listed = st.sampled_from(kind.vocabulary.values)
    return listed | _words.map(lambda word: f"x_{word}") if kind.vocabulary.is_open else listed


def _of_number(kind: Number) -> st.SearchStrategy[float]:
    low = kind.least if kind.least is not None else -1e6
    high = kind.most if kind.most is not None else 1e6
    return st.floats(low, high, allow_nan=False) | st.integers(int(low), int(high))


def _of_listing(kind: Listing) -> st.SearchStrategy[Any]:
    return st.lists(_of(kind.item), min_size=kind.least, max_size=3).map(tuple)


_STRATEGIES: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    Text: _of_text,
    Choice: _of_choice,
    Number: _of_number,
    Listing: _of_listing,
    Whole: lambda kind: st.integers(kind.least, kind.most),
    Flag: lambda _: st.booleans(),
    Scalar: lambda _: _scalars,
    Instant: lambda _: _instants,
    Day: lambda _: st.dates(date(1000, 1, 1)),
    Traits: lambda _: st.dictionaries(_words, _scalars, max_size=3),
    Json: lambda _: st.dictionaries(
        _words, st.dictionaries(_words, json_values(), max_size=3), max_size=2
    ),
    Block: lambda kind: block(kind.cls),
}


def _of(kind: Kind) -> st.SearchStrategy[Any]:
    return _STRATEGIES[type(kind)](kind)


@st.composite
def _fields(draw: st.DrawFn, cls: type, skip: frozenset[str] | set[str] = frozenset()) -> Any:
    """
    Draw values by attribute: all required ones, some of the others.
    """
    optional = [row[0] for row in plan(cls).fields if not row[3] and row[0] not in skip]
    chosen = set(draw(st.lists(st.sampled_from(optional), unique=True))) if optional else set()
    return {
        name: draw(_of(kind))
        for name, _, kind, required in plan(cls).fields
        if name not in skip and (required or name in chosen)
    }


@st.composite
def _made(draw: st.DrawFn, cls: type) -> Any:
    """
    Draw fields of *cls* and mend what the class checks over its fields together.
    """
    fields = draw(_fields(cls))
    mend = _MENDERS.get(cls)
    if mend is not None:
        mend(fields, draw)
    return cls(**fields)


def _mend_customer(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if not fields.keys() & {"id", "anonymous_id", "account_id"}:
        fields["id"] = draw(_ids)


def _mend_party(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if fields["kind"] == "partner":
        fields.setdefault("partner_role", draw(_of_choice(Choice(v.PARTNER_ROLE))))


def _mend_about(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if "touchpoint" not in fields:
        fields["interaction_ids"] = (draw(_ids),)


def _mend_span(fields: dict[str, Any], _: st.DrawFn) -> None:
    fields["from_"], fields["to"] = sorted((fields["from_"], fields["to"]))


def _mend_scale(fields: dict[str, Any], draw: st.DrawFn) -> None:
    fields["min"] = draw(st.integers(-100, 100))
    fields["max"] = fields["min"] + draw(st.integers(1, 100))


def _mend_answer(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if draw(st.booleans()):
        scale = fields["scale"] = draw(block(Scale))
        number = st.integers(scale.min, scale.max) | st.floats(scale.min, scale.max)
        fields["value"] = draw(number)
        fields["values"] = tuple(draw(st.lists(number, max_size=3)))
        return
    said = st.text(_characters, min_size=1, max_size=20) | st.booleans()
    fields["value"] = draw(said)
    fields["values"] = tuple(draw(st.lists(said, max_size=3)))


def _mend_commitment(fields: dict[str, Any], draw: st.DrawFn) -> None:
    due = [name for name in _DUE if name in fields]
    kinds = {name: kind for name, _, kind, _ in plan(Commitment).fields}
    if fields["state"] == "made":
        for name in _PROMISED:
            fields.setdefault(name, draw(_of(kinds[name])))
        if not due:
            due = [draw(st.sampled_from(_DUE))]
            fields[due[0]] = draw(_of(kinds[due[0]]))
    for name in due[1:]:
        del fields[name]
    if "due_date" in fields:
        fields["where"] = Where(tz=draw(_PATTERNED["an IANA"]))
    if fields["state"] in {"broken", "expired"}:
        fields.pop("duty", None)


def _mend_feedback(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if fields.keys() & {"prompt_id", "offer_id"}:
        fields["prompt_id"], fields["offer_id"] = draw(_ids), draw(_ids)


def _mend_identity(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if fields["op"] in {"linked", "unlinked"}:
        fields["previous"] = draw(block(Customer))
    if fields["op"] == "consent_changed":
        kind = next(row[2] for row in plan(Identity).fields if row[0] == "consent")
        fields["consent"] = draw(_of(kind))


def _mend_prompt(fields: dict[str, Any], draw: st.DrawFn) -> None:
    if fields["action"] == "suppressed":
        fields["reason"] = draw(_words)
    else:
        fields["offer_id"] = draw(_ids)


_MENDERS: dict[type, Callable[[dict[str, Any], st.DrawFn], None]] = {
    About: _mend_about,
    Answer: _mend_answer,
    Commitment: _mend_commitment,
    Customer: _mend_customer,
    Feedback: _mend_feedback,
    Identity: _mend_identity,
    Loss: _mend_span,
    Party: _mend_party,
    Prompt: _mend_prompt,
    Scale: _mend_scale,
    Window: _mend_span,
}
