"""
Each kind of value: what is right, what it looks like on the wire, how it is read.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events.blocks import Period, Token
from cxsdk.events.kinds import (
    Choice,
    Day,
    Flag,
    Instant,
    Json,
    Listing,
    Number,
    Scalar,
    Text,
    Traits,
    Whole,
    describe,
    under,
)

TOKEN = Token.__metadata__[0]
PERIOD = Period.__metadata__[0]
FREE = Text(8000, pii="free_text")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text(), "a"),
        (Text(), "a" * 200),
        (Text(), "a\u200db \u200f שלום"),
        (Text(is_id=True), "東-ß 1"),
        (FREE, "line\n\tline \x00 👩‍👩‍👧"),
        (TOKEN, "a.b2.c_d.e.f"),
        (PERIOD, "P2Y"),
        (PERIOD, "PT0.5S"),
        (PERIOD, "P1Y2M3W4DT5H6M7S"),
        (Choice(v.DIRECTION), "inbound"),
        (Choice(v.CHANNEL), "x_kiosk"),
        (Whole(), 0),
        (Whole(), 2**53 - 1),
        (Number(), -1e308),
        (Number(0, 1), 1),
        (Flag(), False),
        (Scalar(), "x"),
        (Scalar(), True),
        (Scalar(), 1.5),
        (Instant(), datetime(2026, 1, 1, tzinfo=UTC)),
        (Day(), date(2026, 1, 1)),
        (Listing(Flag(), 1, 2), (True, False)),
        (Listing(Flag()), []),
        (Traits(), {"a": 1, "b": "x", "c": True}),
        (Json(), {"com.acme": {"a": [{"b": None}], "d": date(2026, 1, 1)}}),
    ],
)
def test_a_right_value_is_taken(kind, value):
    """What the kind describes passes."""
    assert kind.check(value, "field") is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text(), ""),
        (Text(), "a" * 201),
        (Text(), 1),
        (Text(), b"a"),
        (Text(), "a\nb"),
        (Text(), "a\x85b"),
        (Text(), "\ud800"),
        (Text(), "\ufdd0"),
        (Text(is_id=True), "a\u200db"),
        (Text(is_id=True), "a\u00a0b"),
        (FREE, "\ud800"),
        (TOKEN, "Checkout"),
        (TOKEN, "a.b.c.d.e.f"),
        (TOKEN, "a..b"),
        (TOKEN, "a\n"),
        (PERIOD, "P"),
        (PERIOD, "PT"),
        (PERIOD, "P1H"),
        (PERIOD, "P1.5Y"),
        (PERIOD, "2 years"),
        (Choice(v.DIRECTION), "x_sideways"),
        (Choice(v.CHANNEL), "x_"),
        (Choice(v.CHANNEL), "x_A"),
        (Choice(v.CHANNEL), None),
        (Choice(v.CHANNEL), {}),
        (Whole(), -1),
        (Whole(), 2**53),
        (Whole(), 1.0),
        (Whole(), True),
        (Whole(1, 2), 3),
        (Number(), float("nan")),
        (Number(), float("inf")),
        (Number(), 10**30),
        (Number(), "1"),
        (Number(), True),
        (Number(0, 1), 1.01),
        (Flag(), 0),
        (Flag(), None),
        (Scalar(), ""),
        (Scalar(), []),
        (Scalar(), float("nan")),
        (Instant(), datetime(2026, 1, 1)),
        (Instant(), date(2026, 1, 1)),
        (Instant(), datetime(999, 12, 31, tzinfo=UTC)),
        (Instant(), datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2)))),
        (Day(), datetime(2026, 1, 1, tzinfo=UTC)),
        (Day(), "2026-01-01"),
        (Listing(Flag(), 1, 2), ()),
        (Listing(Flag(), 1, 2), (True,) * 3),
        (Listing(Flag()), "ab"),
        (Listing(Flag()), (1,)),
        (Traits(), {"a": [1]}),
        (Traits(), {"": 1}),
        (Traits(), {1: 1}),
        (Traits(), {"\ud800": 1}),
        (Traits(), []),
        (Json(), {"com.acme": 1}),
        (Json(), {1: {}}),
        (Json(), {"com.acme": {"a": object()}}),
        (Json(), {"com.acme": {1: 1}}),
        (Json(), "x"),
    ],
)
def test_a_wrong_value_is_refused_by_name(kind, value):
    """What the kind does not describe raises InvalidEventError naming the field."""
    with pytest.raises(InvalidEventError) as caught:
        kind.check(value, "field")
    assert caught.value.field.startswith("field")


@pytest.mark.parametrize(
    ("kind", "wire", "value"),
    [
        (Instant(), "2026-11-22T09:14:05Z", datetime(2026, 11, 22, 9, 14, 5, tzinfo=UTC)),
        (Instant(), "2026-11-22t09:14:05z", datetime(2026, 11, 22, 9, 14, 5, tzinfo=UTC)),
        (Instant(), "2026-11-22T09:14:05+01:00", datetime(2026, 11, 22, 8, 14, 5, tzinfo=UTC)),
        (
            Instant(),
            "2026-11-22T09:14:05.123456789Z",
            datetime(2026, 11, 22, 9, 14, 5, 123456, tzinfo=UTC),
        ),
        (Day(), "2026-02-28", date(2026, 2, 28)),
        (Listing(Day()), ["2026-02-28"], (date(2026, 2, 28),)),
        (Choice(v.OUTCOME), "exploded", "unknown"),
        (Choice(v.SEVERITY), "exploded", "x_unknown"),
        (Choice(v.SEVERITY), "x_exploded", "x_exploded"),
        (Choice(v.DIRECTION), "exploded", "exploded"),
        (Text(), "as is", "as is"),
    ],
)
def test_the_wire_form_is_read_leniently(kind, wire, value):
    """Times come into UTC, enum values of tomorrow are mapped."""
    assert value == kind.load(wire, "field", strict=False)


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (Instant(), "2026-11-22T09:14:05"),
        (Instant(), "2026-11-22 09:14:05Z"),
        (Instant(), "2026-11-22"),
        (Instant(), "2026-W01-1T00:00Z"),
        (Instant(), "2026-13-01T00:00:00Z"),
        (Instant(), "0999-01-01T00:00:00Z"),
        (Instant(), "9999-12-31T23:59:59-01:00"),
        (Instant(), "٢٠٢٦-11-22T09:14:05Z"),
        (Instant(), 0),
        (Day(), "2026-02-30"),
        (Day(), "2026-W01-1"),
        (Day(), "20260101"),
        (Day(), None),
        (Listing(Day()), "2026-02-28"),
        (Listing(Day(), 0, 1), ["2026-02-28", "2026-02-28"]),
        (Choice(v.CHANNEL), "radio"),
        (Choice(v.REACTION), "purchase"),
    ],
)
def test_a_wire_form_that_means_nothing_is_refused(kind, wire):
    """Also the lenient reader refuses what it cannot read."""
    with pytest.raises(InvalidEventError) as caught:
        kind.load(wire, "field", strict=False)
    assert caught.value.field == "field"


def test_a_time_is_written_in_utc_with_six_digits():
    """One form of every instant, so that texts sort and compare."""
    vienna = timezone(timedelta(hours=1))
    text = Instant().dump(datetime(2026, 11, 22, 10, tzinfo=vienna))
    assert text == "2026-11-22T09:00:00.000000Z"


def test_ext_is_at_most_sixteen_levels_deep():
    """Deep nesting is refused before it can hurt a reader."""
    deep: dict = {}
    for _ in range(20):
        deep = {"a": deep}
    with pytest.raises(InvalidEventError, match="16 levels"):
        Json().check({"com.acme": deep}, "ext")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        ("", "empty text"),
        ("Anna", "text of 4 characters"),
        (True, "true"),
        (1.5, "float 1.5"),
        (2**64, "a larger whole number"),
        ([], "list"),
    ],
)
def test_a_value_is_described_without_repeating_it(value, words):
    """Type and size are enough to find a mistake."""
    assert words == describe(value)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("plan", "traits.plan"),
        ("Anna Muster", "traits.<text of 11 characters>"),
        (4711, "traits.<int 4711>"),
    ],
)
def test_only_a_word_of_code_is_repeated_in_a_path(name, path):
    """A key that may be personal is described, too."""
    assert path == under("traits", name)


@pytest.mark.parametrize(
    "kind",
    [Text(), Choice(v.MET), Whole(), Whole(1, 2), Number(), Number(0), Number(0, 1), Flag(),
     Scalar(), Instant(), Day(), Listing(Flag()), Traits(), Json()],
)  # fmt: skip
def test_every_kind_has_words_for_people(kind):
    """Errors and documentation say what is expected."""
    assert kind.words().strip()
