"""
From what a provider sent to the value of a section: typed, bounded, and not to be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from cxsdk.knowing import SectionPlan
from cxsdk.lookup.items import LISTS, RECORDS, Consent, freeze

__all__ = ["Merged", "ShapeError", "merge", "shape"]

Merged: TypeAlias = tuple[Any, dict[str, str]]
"""A value, and its provenance: field or item id → provider."""

_OLDEST = datetime.min.replace(tzinfo=UTC)


class ShapeError(ValueError):
    """
    What a provider sent is not what the section holds; the message names the field, no value.
    """


def shape(name: str, raw: Any, plan: SectionPlan) -> tuple[Any, bool]:
    """
    Return the value of section *name*, and whether it was cut.

    Raises:
        ShapeError: it has another form.
    """
    wanted = frozenset(plan.fields)
    try:
        if name in LISTS:
            return _list(name, raw, plan.limit, wanted)
        if name in RECORDS:
            return _record(name, raw, wanted), False
    except msgspec.ValidationError as error:
        raise ShapeError(f"{name}: {error}") from None
    if wanted and isinstance(raw, Mapping):
        raw = {key: value for key, value in raw.items() if key in wanted}
    is_long = isinstance(raw, (list, tuple)) and len(raw) > plan.limit
    return freeze(raw[: plan.limit] if is_long else raw), is_long


def _list(name: str, raw: Any, limit: int, wanted: frozenset[str]) -> tuple[Any, bool]:
    kind = LISTS[name]
    if not isinstance(raw, (list, tuple)):
        raise ShapeError(f"{name}: expected a list, got {type(raw).__name__}")
    made = tuple(_made(kind, one, wanted) for one in raw[: limit + 1])
    return made[:limit], len(made) > limit


def _made(kind: type[Any], one: Any, wanted: frozenset[str]) -> Any:
    if isinstance(one, kind) and not wanted:
        return one
    if isinstance(one, msgspec.Struct):
        one = msgspec.structs.asdict(one)
    if wanted and isinstance(one, Mapping):
        one = {key: value for key, value in one.items() if key in wanted or key == "id"}
    return _frozen(msgspec.convert(one, kind, strict=False, from_attributes=True))


def _frozen(made: Any) -> Any:
    for field in type(made).__struct_fields__:
        value = getattr(made, field)
        if type(value) is dict:
            # The struct is frozen; what stands in it becomes so here, once.
            msgspec.structs.force_setattr(made, field, freeze(value))
    return made


def _record(name: str, raw: Any, wanted: frozenset[str]) -> Any:
    kind = RECORDS[name]
    if isinstance(raw, kind):
        return raw if not wanted else _made(kind, raw, wanted)
    if not isinstance(raw, Mapping):
        raise ShapeError(f"{name}: expected a mapping, got {type(raw).__name__}")
    given = {key: value for key, value in raw.items() if not wanted or key in wanted}
    if name == "profile":
        known = frozenset(kind.__struct_fields__)
        more = {key: value for key, value in given.items() if key not in known}
        given = {key: value for key, value in given.items() if key in known}
        if more:
            given["attributes"] = {**(given.get("attributes") or {}), **more}
    return _frozen(msgspec.convert(given, kind, strict=False))


# ---- several providers ------------------------------------------------------------------------


def merge(name: str, found: Sequence[tuple[str, Any]], limit: int) -> Merged:
    """
    Return what several providers said as one value.

    Lists: the union by ``id``; of an item that two have, the one that changed last. Records: field
    by field, the first provider that says anything. Consent: of each purpose the most restrictive
    word. Other sections: mappings key by key, lists whose items have an ``id`` as above, else the
    first value.

    Args:
        name: of the section.

        found: (provider, value) in order of preference; values as `shape` returns them.

        limit: items of a list at most.
    """
    if name == "consent":
        return _strictest(found)
    if name in LISTS or all(_has_ids(value) for _, value in found):
        return _union(found, limit)
    if name in RECORDS:
        return _by_field(RECORDS[name], found)
    if all(isinstance(value, Mapping) for _, value in found):
        joined: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for source, value in found:
            for key, item in value.items():
                if key not in joined:
                    joined[key], origin[key] = item, source
        return MappingProxyType(joined), origin
    return found[0][1], {}


def _strictest(found: Sequence[tuple[str, Any]]) -> Merged:
    made: Consent = found[0][1]
    for _, value in found[1:]:
        made = made.restricted(value)
    origin = {}
    for purpose, said in made.purposes.items():
        # Who named no purpose said it of all of them.
        origin[purpose] = next(
            (source for source, value in found if value.purposes.get(purpose) == said),
            next((source for source, value in found if value.state == said.state), ""),
        )
    return made, origin


def _has_ids(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(_id(one), (str, int)) for one in value)


def _id(one: Any) -> Any:
    return one.get("id") if isinstance(one, Mapping) else getattr(one, "id", None)


def _union(found: Sequence[tuple[str, Any]], limit: int) -> Merged:
    items: dict[Any, Any] = {}
    origin: dict[str, str] = {}
    for source, value in found:
        for one in value:
            name = _id(one)
            if name not in items or _moment(one) > _moment(items[name]):
                items[name], origin[name] = one, source
    newest = sorted(items.values(), key=_begun, reverse=True)[:limit]
    return tuple(newest), {_id(one): origin[_id(one)] for one in newest}


def _moment(one: Any) -> datetime:
    return _first(one, ("updated_at", "at", "made_at"))


def _begun(one: Any) -> datetime:
    return _first(one, ("at", "made_at", "updated_at"))


def _first(one: Any, names: Iterable[str]) -> datetime:
    for name in names:
        value = one.get(name) if isinstance(one, Mapping) else getattr(one, name, None)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return _OLDEST


def _by_field(kind: type[Any], found: Sequence[tuple[str, Any]]) -> Merged:
    made: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for field in kind.__struct_fields__:
        for source, value in found:
            said = getattr(value, field)
            if said is None or said == ():
                continue
            if isinstance(said, Mapping):
                for key, item in said.items():
                    if key not in (inner := made.setdefault(field, {})):
                        inner[key] = item
                        origin[f"{field}.{key}"] = source
            elif field not in made:
                made[field], origin[field] = said, source
    return _frozen(kind(**made)), origin
