"""
Who was affected: every customer who met something, whether or not they complained, less those to
whom it was made good.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import msgspec

from cxsdk.collector.context import as_text
from cxsdk.collector.people import People
from cxsdk.collector.questions.filters import AffectedQuery, Met, met
from cxsdk.collector.questions.paging import Place, customer_json, page
from cxsdk.collector.questions.voices import SILENCE, Voice, voices
from cxsdk.collector.row import Key

__all__ = ["COLUMNS", "affected", "as_csv"]

COLUMNS = (
    *("space", "customer", "times", "first", "last"),
    *("complained", "feedback", "reacted", "asked", "made_good"),
)
"""Of the CSV file."""

_MOST_ABOUT = 20
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""With what a formula begins, also in full width."""

_Token = tuple[str, str]


@attrs.define
class _Affected:
    """
    One customer and each time they met it.
    """

    met: list[Met] = attrs.Factory(list)
    made_good: int | None = None
    """When something was last done about it."""

    @property
    def first(self) -> int:
        return min(one.at for one in self.met)

    @property
    def last(self) -> int:
        return max(one.at for one in self.met)

    def left(self) -> list[Met]:
        """
        Return what was met since it was last made good, the earliest first.
        """
        after = [one for one in self.met if self.made_good is None or one.at > self.made_good]
        return sorted(after, key=lambda one: (one.at, one.event))


def affected(
    db: sqlite3.Connection, wanted: AffectedQuery, now: int, *, has_pages: bool = True
) -> dict[str, Any]:
    """
    Return who met what *wanted* says, each customer once, the latest first, with denominators.

    Made good is what a commitment or an interaction is *about*: a commitment that names the event
    or the thing in ``about``, or either of them with a ref of the type ``event``, ``interaction``,
    ``problem`` or ``commitment``. It covers all that was met until then; a commitment that was
    broken or cancelled covers nothing.

    Args:
        db: where to look.

        wanted: what was met.

        now: microseconds since 1970.

        has_pages: False returns all at once, whatever the limit.

    Raises:
        QueryError: the cursor is wrong.
    """
    people = People(db)
    found: dict[Key, _Affected] = {}
    events = nobody = sampled = 0
    for one in met(db, wanted, now):
        events += 1
        sampled += one.weight > 1
        if one.customer is None:
            nobody += 1
        else:
            found.setdefault(people.face(one.customer), _Affected()).met.append(one)
    since = min((one.first for one in found.values()), default=now)
    heard = voices(db, people, since)
    _make_good(db, people, found, since)

    def place(item: tuple[Key, _Affected]) -> Place:
        return -item[1].last, *item[0]

    listed = sorted(
        ((key, one) for key, one in found.items() if wanted.all or one.left()), key=place
    )
    shown, following = listed, None
    if has_pages:
        shown, following = page(listed, place, wanted.limit, wanted.cursor)
    return {
        "as_of": as_text(now),
        "filter": wanted.as_json(),
        "counts": {
            "events": events,
            "without_customer": nobody,
            "sampled": sampled,
            **_counts(found, heard),
        },
        "customers": [_customer(key, one, heard.get(key, SILENCE)) for key, one in shown],
        "next": following,
    }


def _counts(found: Mapping[Key, _Affected], heard: Mapping[Key, Voice]) -> dict[str, int]:
    told = [(heard.get(key, SILENCE), one.first) for key, one in found.items()]
    return {
        "customers": len(found),
        "said_something": sum(voice.spoke(first) for voice, first in told),
        "complained": sum(voice.complained >= first for voice, first in told),
        "gave_feedback": sum(voice.feedback >= first for voice, first in told),
        "reacted": sum(voice.reacted >= first for voice, first in told),
        "asked": sum(voice.asked >= first for voice, first in told),
        "made_good": sum(not one.left() for one in found.values()),
        "left": sum(bool(one.left()) for one in found.values()),
    }


def _customer(key: Key, one: _Affected, voice: Voice) -> dict[str, Any]:
    first = one.first
    left = one.left()[:_MOST_ABOUT]
    return {
        "customer": customer_json(key),
        "times": len(one.met),
        "first": as_text(first),
        "last": as_text(one.last),
        "complained": voice.complained >= first,
        "feedback": voice.feedback >= first,
        "reacted": voice.reacted >= first,
        "asked": voice.asked >= first,
        "made_good": not left,
        # What a commitment that makes it good is about.
        "about": {
            "event_ids": [met.event for met in left],
            "refs": [
                {"type": family, "id": entity}
                for family, entity in dict.fromkeys((met.family, met.entity) for met in left)
            ],
        },
    }


# ---- made good ----------------------------------------------------------------------------


class _Ref(msgspec.Struct):
    type: str
    id: str


class _About(msgspec.Struct):
    event_ids: list[str] = []
    interaction_ids: list[str] = []
    refs: list[_Ref] = []


class _Said(msgspec.Struct):
    about: _About | None = None
    refs: list[_Ref] = []


class _Wire(msgspec.Struct):
    data: _Said


_decoder = msgspec.json.Decoder(_Wire)
# A promise to make it good that was itself broken made nothing good. To look for the words is five
# times as fast as to read the JSON, and leaves out nearly all that say nothing of it.
_GOOD = """
SELECT e.customer, e.time, e.id, e.body FROM events e LEFT JOIN promises p ON p.id = e.entity
    AND e.family = 'commitment'
  WHERE e.time >= ? AND e.customer IS NOT NULL AND (
    (e.family = 'commitment' AND e.action = 'made' AND p.state NOT IN ('broken', 'cancelled')
      AND (instr(e.body, '"about"') OR instr(e.body, '"refs"')))
    OR (e.family = 'interaction' AND e.action = 'completed' AND instr(e.body, '"refs"')
      AND (instr(e.body, '"event"') OR instr(e.body, '"interaction"')
        OR instr(e.body, '"problem"') OR instr(e.body, '"commitment"'))))
"""


def _make_good(
    db: sqlite3.Connection, people: People, found: dict[Key, _Affected], since: int
) -> None:
    """
    Note of each customer when something was last done about what they met.
    """
    known: dict[Key, set[_Token]] = {}
    for customer, time, event, body in db.execute(_GOOD, (since,)):
        space, _, value = customer.partition(":")
        key = people.face((space, value))
        one = found.get(key)
        if one is None:
            continue
        if key not in known:
            known[key] = _tokens(one.met)
        # What is itself among the things that were met is no remedy.
        if ("event", event) not in known[key] and known[key] & _about(_decoder.decode(body).data):
            one.made_good = max(time, one.made_good or time)


def _tokens(every: Iterable[Met]) -> set[_Token]:
    """
    Return by what each time may be referred to.
    """
    return {token for one in every for token in (("event", one.event), (one.family, one.entity))}


def _about(said: _Said) -> set[_Token]:
    about = said.about or _About()
    return {
        *(("event", name) for name in about.event_ids),
        *(("interaction", name) for name in about.interaction_ids),
        *((ref.type, ref.id) for ref in (*about.refs, *said.refs)),
    }


# ---- CSV ----------------------------------------------------------------------------------


def as_csv(answer: Mapping[str, Any]) -> str:
    """
    Return the customers of an answer as CSV (RFC 4180); no cell is a formula to a spreadsheet.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for one in answer["customers"]:
        who = one["customer"]
        cells = [who["space"], who["id"], *(one[name] for name in COLUMNS[2:])]
        writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    # Leading blanks do not keep a spreadsheet from seeing a formula.
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text
