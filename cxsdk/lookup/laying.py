"""
Laying over: a section as a provider knows it, with what this service saw since. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from cxsdk.lookup.items import LISTS, UNCHANGING, Consent, ConsentState, Item, Profile, freeze

__all__ = ["Noticed", "overlaid"]

_FIRST = datetime.min.replace(tzinfo=UTC)
_REFUSALS = frozenset({"denied", "withdrawn"})


class Noticed(Protocol):
    """
    What `overlaid` asks of a journal.
    """

    def changes(self, section: str) -> tuple[tuple[str, float, dict[str, Any]], ...]:
        """
        Return (event id, seconds since 1970, data) in the order in which they happened.
        """


def overlaid(
    section: str,
    value: Any,
    as_of: datetime | None,
    lag: float,
    journal: Noticed | None,
    limit: int,
) -> Any:
    """
    Return *value* with what *journal* says of *section* laid over.

    A change ends where the provider must have seen it: as soon as *as_of* is *lag* after it. Until
    then its fields replace those of the item with its id, or it stands as an item of its own, with
    ``local=True``. An item that has changed again since, elsewhere, stays as the provider has it. A
    problem that was resolved is left out. A refusal of consent holds at once and
    for as long as the journal has it; a grant only where *value* has nothing more restrictive.

    Args:
        value: items (`cxsdk.lookup.items`), the newest first, or one record, or plain data of a
            section that is not typed; None: nothing is known.

        as_of: when the provider last knew this to be true; None: no provider answered.

        lag: seconds until an event shows in the provider's answers.

        limit: items at most.
    """
    noticed = () if journal is None else journal.changes(section)
    if section == "consent":
        return _consent(value, noticed, as_of, lag)
    open_until = float("-inf") if as_of is None else as_of.timestamp() - lag
    news = [data for _, at, data in noticed if at > open_until]
    if not news:
        return value[:limit] if isinstance(value, (list, tuple)) else value
    if section in LISTS:
        return _items(LISTS[section], value or (), news, limit)
    if section == "profile":
        return _profile(value, news)
    return _plain(value, news, limit)


def _plain(value: Any, news: list[dict[str, Any]], limit: int) -> Any:
    if isinstance(value, (list, tuple)) or (value is None and all("id" in one for one in news)):
        return _plain_items(value or (), news, limit)
    if isinstance(value, Mapping) or value is None:
        return freeze({**(value or {}), **_joined(news)})
    return value


def _joined(news: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for data in news:
        joined.update(data)
    return joined


def _by_id(news: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    by_id: dict[str, dict[str, Any]] = {}
    for data in news:
        if "id" in data:
            by_id.setdefault(data["id"], {}).update(data)
    return by_id


# ---- lists -------------------------------------------------------------------------------------


def _items(
    cls: type[Item], items: Iterable[Item], news: list[dict[str, Any]], limit: int
) -> tuple[Item, ...]:
    found = {item.id: item for item in items}
    for name, data in _by_id(news).items():
        before = found.get(name)
        if before is not None and _is_newer(before, data):
            continue  # another process has said more of it since, and the provider has heard that
        laid = _laid(cls, before, data)
        if data.get("status") == "resolved":
            found.pop(name, None)
        elif laid is not None:
            found[name] = laid
    # Stable: what has no moment, or the same one, stays in the provider's order.
    return tuple(sorted(found.values(), key=_moment, reverse=True)[:limit])


def _laid(cls: type[Item], item: Item | None, data: Mapping[str, Any]) -> Item | None:
    try:
        seen = msgspec.convert(dict(data), cls)
    except (msgspec.ValidationError, TypeError):
        return item  # a reducer of the team's gave something else
    names = [name for name in cls.__struct_fields__ if name in data and name != "local"]
    if item is None:
        # Nobody else has *seen* yet: it is finished in place, a third of the price of a copy.
        for name in names:
            value = getattr(seen, name)
            if type(value) not in UNCHANGING:
                msgspec.structs.force_setattr(seen, name, freeze(value))
        msgspec.structs.force_setattr(seen, "local", True)
        return seen
    fields = {name: freeze(getattr(seen, name)) for name in names}
    if all(getattr(item, name) == fields[name] for name in names):
        return item
    return msgspec.structs.replace(item, **fields, local=True)


def _is_newer(item: Any, data: Mapping[str, Any]) -> bool:
    known, said = getattr(item, "updated_at", None), data.get("updated_at")
    if known is None or not isinstance(said, str):
        return False
    try:
        return bool(known > datetime.fromisoformat(said.upper()))
    except (TypeError, ValueError):
        return False


def _moment(item: Any) -> datetime:
    for name in ("at", "updated_at", "made_at"):
        moment = getattr(item, name, None)
        if moment is not None:
            return moment  # type: ignore[no-any-return]
    return _FIRST


def _plain_items(items: Iterable[Any], news: list[dict[str, Any]], limit: int) -> tuple[Any, ...]:
    laid = _by_id(news)
    kept: list[Any] = []
    for item in items:
        name = item.get("id") if isinstance(item, Mapping) else None
        data = laid.pop(name, None) if isinstance(name, str) else None
        kept.append(item if data is None else freeze({**item, **data}))
    # What the provider has not is newer than what it has; of the order in there nobody knows.
    fresh = [freeze(data) for data in reversed(laid.values())]
    return tuple((*fresh, *kept)[:limit])


# ---- records -----------------------------------------------------------------------------------


def _profile(value: Profile | None, news: list[dict[str, Any]]) -> Profile | None:
    before = value or Profile()
    data = _joined(news)
    attributes = dict(before.attributes)
    for one in news:
        attributes.update(one.get("attributes") or {})
    data["attributes"] = attributes
    try:
        seen = msgspec.convert(data, Profile)
    except (msgspec.ValidationError, TypeError):
        return value
    names = [name for name in Profile.__struct_fields__ if name in data]
    return msgspec.structs.replace(before, **{name: freeze(getattr(seen, name)) for name in names})


def _consent(
    value: Consent | None,
    noticed: Iterable[tuple[str, float, dict[str, Any]]],
    as_of: datetime | None,
    lag: float,
) -> Consent | None:
    general, named = _last_words(noticed)
    seen_until = float("-inf") if as_of is None else as_of.timestamp() - lag

    def holds(word: tuple[float, ConsentState]) -> bool:
        # That a refusal is in the provider's answer cannot be told from its age: others may have
        # asked it before it was told. It stays as long as the journal has it.
        return word[1].state in _REFUSALS or word[0] > seen_until

    ours = {name: word[1] for name, word in named.items() if holds(word)}
    state = general[1] if general is not None and holds(general) else None
    if state is None and not ours:
        return value
    if state is not None and state.state in _REFUSALS and value is not None:
        # Who refused in general refused each purpose, unless they named it since.
        ours = {**{name: state for name in value.purposes if name not in named}, **ours}
    moments = [one.updated_at for one in (state, *ours.values()) if one and one.updated_at]
    said = Consent(
        state=None if state is None else state.state,
        state_at=None if state is None else state.updated_at,
        purposes=MappingProxyType(ours),
        updated_at=max(moments, default=None),
    )
    return said if value is None else value.restricted(said)


Word = tuple[float, ConsentState]


def _last_words(
    noticed: Iterable[tuple[str, float, dict[str, Any]]],
) -> tuple[Word | None, dict[str, Word]]:
    """
    Return what was last said in general, and for each purpose.
    """
    general: Word | None = None
    named: dict[str, Word] = {}
    for _, at, data in noticed:
        try:
            said = msgspec.convert(data, Consent)
        except (msgspec.ValidationError, TypeError):
            continue
        if said.state is not None:
            general = (at, ConsentState(state=said.state, updated_at=said.updated_at))
            if said.state in _REFUSALS:
                named = dict.fromkeys(named, general)
        named.update({name: (at, each) for name, each in said.purposes.items()})
    return general, named
