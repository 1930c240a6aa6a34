"""
``capture()`` and the plugin: what a team's own tests stand on.
"""

from __future__ import annotations

import pytest

import cxsdk as cx
from cxsdk import _default
from cxsdk.testing import Captured, capture


def test_a_client_made_by_the_code_under_test_is_strict_too(cx_events: Captured) -> None:
    """An application that calls init inside of the test raises what production would log."""
    made = cx.init("shop", collector="memory:")

    with pytest.raises(cx.InvalidEventError):
        cx.feedback(csat=9, customer="u1")
    with pytest.raises(cx.InvalidEventError):
        made.record("a", customer="")


def test_strictness_ends_with_the_block() -> None:
    """Afterwards such a client is as strict as its settings say."""
    with capture():
        made = cx.init("shop", collector="memory:")

    assert "invalid" == made.feedback(csat=9, customer="u1").reason  # type: ignore[union-attr]
    with capture(strict=False):
        lenient = cx.init("shop", collector="memory:", strict=True)
        assert "invalid" == lenient.feedback(csat=9, customer="u1").reason  # type: ignore[union-attr]
    with pytest.raises(cx.InvalidEventError):
        lenient.feedback(csat=9, customer="u1")


def test_a_client_that_an_earlier_test_closed_is_set_aside() -> None:
    """An application that closes at its end does not blind the tests that follow."""
    closed = cx.init("shop", collector="memory:")
    closed.close(0)
    with capture() as events:
        assert cx.feedback(csat=4, customer="u1")

    assert ["feedback"] == [event.family for event in events]
    assert closed is _default.client()


def test_blocks_may_stand_inside_of_each_other() -> None:
    """Both see the events, and each ends with its own."""
    with capture() as outer:
        with capture() as inner:
            cx.feedback(csat=4, customer="u1")
        cx.reaction("renew", customer="u1")

    assert (["feedback"], ["feedback", "reaction"]) == (
        [event.family for event in inner],
        [event.family for event in outer],
    )


def test_listeners_hear_of_captured_events() -> None:
    """What prompts and a team's own listeners wait for happens in tests as well."""
    heard: list[str] = []
    client = cx.Client("shop", collector="null:", listeners=[lambda event: heard.append(event.id)])
    with capture() as events:
        client.record("checkout.pay", customer="c1")
        with client.interaction("checkout.pay", customer="c1"):
            pass
    assert [event.id for event in events] == heard
    assert len(heard) == 2
    client.close()


def test_one_says_what_was_there_instead(cx_events: Captured) -> None:
    """one() fails with the types that were captured."""
    cx.reaction("renew", customer="u1")

    with pytest.raises(AssertionError, match=r"got 0 \(all: dev.cxsdk.reaction.observed.v1\)"):
        cx_events.one("feedback")
    assert "renew" == cx_events.one("reaction", "observed").data.reaction


PROJECT = """
import cxsdk as cx

def test_takes_the_fixture(cx_events):
    cx.feedback(csat=4, customer="u1")
    assert ["feedback"] == [event.family for event in cx_events]

def test_is_strict(cx_events):
    cx.feedback(csat=9, customer="u1")
"""


def test_the_plugin_works_in_a_project_that_only_installed_us(pytester: pytest.Pytester) -> None:
    """The fixture comes by entry point, and a wrong fact fails the team's test by its name."""
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*InvalidEventError: feedback.*expected a number from 1 to 5*"])
