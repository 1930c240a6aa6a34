"""
Numbers and words as people read them.
"""

from __future__ import annotations

import pytest

from cxsdk.collector import words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "\u2013"),
        (0, "0\u202f%"),
        (0.001, "< 1 %"),
        (0.5, "50\u202f%"),
        (0.999, "> 99 %"),
        (1, "100\u202f%"),
    ],
)
def test_percent_never_rounds_to_all_or_nothing(share, text):
    """Unknown is a dash, and a little is not none."""
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "250 ms"),
        (-2.0, "\u22122.0 s"),
        (61, "1 min 1 s"),
        (3700, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_seconds_take_the_unit_that_fits(value, text):
    """From milliseconds to days, also below zero."""
    assert words.seconds(value) == text


def test_values_read_as_words():
    """Tokens, numbers and parties."""
    assert words.words("x_own_thing") == "own thing"
    assert (words.question("nps"), words.question("how_easy")) == ("NPS", "how easy")
    assert words.words("checkout.pay") == "checkout.pay"
    assert words.moment(0) == "1970-01-01 00:00"
    assert words.number(12345) == "12\u202f345"
    assert words.number(1.50) == "1.5"
    party = {"kind": "partner", "partner_role": "carrier", "org": "dhl"}
    assert words.party(party) == "partner \u00b7 carrier \u00b7 dhl"
    assert words.due("2026-05-10T12:00:00+02:00 to x") == "2026-05-10 10:00 UTC to x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-3", "\u22123"),
        ("+0", "0"),
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("+1.5", "+1.5"),
        ("12", "12"),
    ],
)
def test_a_minus_is_a_minus(text, said):
    """Not a hyphen, and nothing is never below nothing."""
    assert words.minus(text) == said
