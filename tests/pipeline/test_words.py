"""
Long words give way: they never cost the event, nor the host's time, and a cut leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.pipeline.redact import Redactor, _unused
from cxsdk.pipeline.words import Words
from cxsdk.testing import Captured


class Reader(Redactor):
    """Counts the characters that redaction is asked to read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        scan = self._scan

        def counting(text: str) -> str:
            self.read += len(text)
            return scan(text)

        self._scan = counting


FREE_TEXT: list[tuple[Callable[[str], Any], Callable[[Any], str]]] = [
    (lambda text: cx.feedback(csat=4, text=text, customer="u1"), lambda d: d.answers[1].text),
    (lambda text: cx.problem("error", detail=text, customer="u1"), lambda d: d.detail),
    (lambda text: cx.reaction("complain", text=text, customer="u1"), lambda d: d.reason_text),
]


@pytest.mark.parametrize(("say", "read"), FREE_TEXT, ids=["feedback", "problem", "reaction"])
@pytest.mark.parametrize("length", [8001, 31_999, 10_000_000])
def test_long_words_are_cut_and_flagged(
    cx_events: Captured,
    say: Callable[[str], Any],
    read: Callable[[Any], str],
    length: int,
) -> None:
    """What the standard has no room for is cut, not refused: the customer's words are kept."""
    assert say(("it took so long " * (length // 16 + 1))[:length])

    data = cx_events[0].data
    assert 7000 < len(read(data)) <= 8000
    assert {"truncated": True} == data.ext["cxsdk"]


def test_words_that_fit_are_not_flagged(cx_events: Captured) -> None:
    """Eight thousand characters stay as they are."""
    cx.feedback(text="x" * 8000, customer="u1")

    data = cx_events.one("feedback").data
    assert ("x" * 8000, None) == (data.answers[0].text, data.ext)


@pytest.mark.parametrize("blanks", range(0, 40, 3))
def test_a_cut_leaves_no_half_of_anything(cx_events: Captured, blanks: int) -> None:
    """No part of an address or card that stands where a text is cut is kept."""
    mails = "a.very.long.name@shop.example " * 32
    for secret in ("4111 1111 1111 1111", "a.very.long.name@shop.example"):
        with cx.interaction("a", customer="u1") as i:
            i.attributes["story"] = mails + "-" * blanks + secret + " words" * 10_000

        story = cx_events.pop().data.ext["app"]["story"]
        assert story.startswith("[email] [email]")
        assert "long.name" not in story
        assert "1111" not in story


@pytest.mark.parametrize("size", [40_000, 4_000_000])
def test_what_can_never_be_kept_is_not_read(size: int) -> None:
    """However long an attribute or a text is, redaction reads no more than an event holds."""
    client = cx.Client("shop", collector="memory:")
    capture = client._parts.capture
    reader = Reader()
    capture._redactor, capture.words = reader, Words(reader)
    with client.interaction("a", customer="u1") as i:
        i.attributes.update(story="call 12 " * (size // 8), deep=[{"more": "1 2 " * (size // 4)}])
    client.feedback(text="call 12 " * (size // 8), customer="u1")

    assert i.result
    assert 0 < reader.read < 2 * 32_000
    client.close(0)


def test_half_a_character_does_not_cost_the_customers_words(cx_events: Captured) -> None:
    """A lone surrogate of a broken client is replaced."""
    cx.feedback(text="fine \ud83d", customer="u1")

    assert "fine ?" == cx_events.one("feedback").data.answers[0].text


class Counting(dict[str, int]):
    """A mapping that counts how often it is asked for a key."""

    asked = 0

    def __contains__(self, key: object) -> bool:
        self.asked += 1
        return super().__contains__(key)


def test_many_keys_that_become_alike_are_numbered_in_one_pass() -> None:
    """A thousand names of one form cost some thousand look-ups, not half a million."""
    taken, counts = Counting(), dict[str, int]()
    for number in range(1000):
        taken[_unused("[email]", taken, counts)] = number

    assert (1000, "[email] 1000") == (len(taken), list(taken)[-1])
    assert taken.asked < 3000


def test_traits_without_a_value_are_absent(cx_events: Captured) -> None:
    """None among traits is left out, and nothing but None leaves no traits."""
    cx.identify("u1", traits={"tier": None, "size": 3})
    cx.identify("u1", traits={"tier": None})

    first, second = (event.data.traits for event in cx_events)
    assert ({"size": 3}, None) == (first, second)
