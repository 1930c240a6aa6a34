"""
The plugin in projects that only installed us: fixtures, strictness, messages, cost.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import cxsdk.testing
from cxsdk.testing.pytest_plugin import __all__ as fixtures


def run(pytester: pytest.Pytester, source: str, *more: str) -> pytest.RunResult:
    """
    Run *source* as somebody's test module, in a process of its own.
    """
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *more)


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
    result = run(pytester, PROJECT)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*InvalidEventError: feedback.*expected a number from 1 to 5*"])


def test_the_fixtures_are_listed_with_what_they_are_for(pytester: pytest.Pytester) -> None:
    """``pytest --fixtures`` and ``--markers`` tell of them."""
    listed = run(pytester, "", "--fixtures").stdout.str()
    for name in fixtures:
        assert f"\n{name} -- " in listed
    assert "_cx_stage" not in listed
    run(pytester, "", "--markers", "--strict-markers").stdout.fnmatch_lines(
        ["@pytest.mark.cx_lenient: what cxsdk would only count*"]
    )
    run(pytester, "", "--help").stdout.fnmatch_lines(["*cx_strict (bool):*raise in tests what*"])


LENIENT = """
import pytest
import cxsdk as cx

def wrong():
    made = cx.init("shop", collector="null:")
    said = cx.feedback(csat=9, customer="u1")
    bool(cx.context("u1").problems)
    made.close(0)
    return said.reason

@pytest.mark.cx_lenient
def test_with_the_marker(cx_events):
    assert wrong() == "invalid"

@pytest.mark.cx_lenient
@pytest.mark.parametrize("name", ["cx_prompts", "cx_context", "cx_clock"])
def test_with_the_marker_and_another_fixture(name, request):
    request.getfixturevalue(name)
    assert wrong() == "invalid"

def test_without_the_marker(cx_events):
    with pytest.raises(cx.InvalidEventError):
        wrong()
"""


def test_a_marker_shows_what_production_does(pytester: pytest.Pytester) -> None:
    """One test is lenient, its neighbour is not."""
    run(pytester, LENIENT, "--strict-markers").assert_outcomes(passed=5)


def test_a_project_can_be_lenient_as_a_whole(pytester: pytest.Pytester) -> None:
    """``cx_strict = false`` in the ini file."""
    pytester.makeini("[pytest]\ncx_strict = false\n")
    result = run(pytester, LENIENT, "--strict-config")

    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["E       Failed: DID NOT RAISE *InvalidEventError*"])


DIFFERENT = """
import cxsdk as cx

def pay():
    with cx.scope(customer="u-17"):
        with cx.interaction("checkout.pay"):
            pass
        cx.feedback(csat=4)

def test_a_list(cx_events):
    pay()
    assert cx_events == []

def test_a_list_the_other_way(cx_events):
    pay()
    assert [cx_events[0]] == cx_events

def test_an_event(cx_events):
    pay()
    cx_events.assert_one("interaction", touchpoint="checkout.pay", outcome="failure")

def test_a_prompt(cx_prompts):
    pay()
    cx_prompts.assert_asked("effort")
"""


def test_what_differs_can_be_read(pytester: pytest.Pytester) -> None:
    """The failure stands at the team's own line, and shows events and no models."""
    result = run(pytester, DIFFERENT)

    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            ">       assert cx_events == []",
            "E       assert 2 events == no events",
            "E         captured, in order:",
            "E           1  interaction.completed  checkout.pay  u-17  success",
            "E           2  feedback.given         -             u-17  csat=4",
            "E       assert 2 events == 1 event",
            '>       cx_events.assert_one("interaction", touchpoint=*',
            "E       AssertionError: expected one interaction with *outcome='failure', got none",
            "E       nearest is 1, interaction.completed:",
            "E           touchpoint  'checkout.pay'",
            "E         ! outcome     expected 'failure', got 'success'",
            "E       AssertionError: expected anybody by 'effort' to be asked",
        ]
    )
    assert "Event(specversion" not in result.stdout.str()
    assert "captured.py" not in result.stdout.str()


PARALLEL = """
import pytest
import cxsdk as cx
from cxsdk.prompts import Prompt, Question, Trigger

EFFORT = Prompt(
    key="effort", trigger=Trigger(event="pay"), questions=[Question(id="easy", kind="ces")]
)

@pytest.mark.parametrize("number", range(8))
def test_each_for_itself(number, cx_prompts, cx_events, cx_clock, cx_context):
    cx_prompts.use(EFFORT)
    cx_context.knows("u-1", orders=[number])
    with cx.scope(customer="u-1"):
        with cx.interaction("pay"):
            cx_clock.advance(number)
        assert cx.prompts.offer("effort")
    cx_prompts.answer("effort", {"easy": 1 + number % 7})
    assert cx_events.one("interaction").data.duration_ms == number * 1000
    assert cx.context("u-1")["orders"].value == (number,)
"""


def test_tests_do_not_meet_in_one_process_or_several(pytester: pytest.Pytester) -> None:
    """The same customer is asked in each test, also under pytest-xdist."""
    run(pytester, PARALLEL).assert_outcomes(passed=8)
    run(pytester, PARALLEL, "-n", "2").assert_outcomes(passed=8)


APPLICATION = """
import pytest
import cxsdk as cx

class Application:
    def __init__(self):
        self.client = cx.init("shop", collector="memory:")

    def page(self):
        self.client.record("home.view", customer="u1")
        return self.client.context("u1").profile.get({})

@pytest.fixture(scope="session")
def application():
    made = Application()
    yield made
    made.client.close(1)

@pytest.mark.parametrize("number", range(3))
def test_one(application, number, cx_events, cx_context, cx_clock):
    cx_context.knows("u1", profile={"name": str(number)})
    assert application.page().name == str(number)
    assert cx_events.one("interaction").time == cx_clock.now

def test_without(application):
    assert application.page() == {}
    assert application.client is cx.client()
"""


def test_an_application_of_the_session_is_lent_to_each_test(pytester: pytest.Pytester) -> None:
    """It is made once, before any test, and what stands in ends with each."""
    run(pytester, APPLICATION).assert_outcomes(passed=4)


def test_loading_the_plugin_costs_nothing() -> None:
    """Every session of an environment loads it: it adds itself to ``import cxsdk``, and pytest."""
    program = """
import sys, pytest, cxsdk
before = set(sys.modules)
import cxsdk.testing.pytest_plugin
print(*sorted(set(sys.modules) - before))
print(*sorted({"cxsdk.events.model", "cxsdk.pipeline.capture", "httpx"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ["cxsdk.testing cxsdk.testing.pytest_plugin", ""] == done.stdout.splitlines()


def test_public_names_are_there_when_they_are_used() -> None:
    """Each of __all__ can be had, in whatever order; others are errors."""
    names = list(cxsdk.testing.__all__)
    assert sorted(names) == names
    for name in names:
        assert name == getattr(cxsdk.testing, name).__name__
    assert callable(cxsdk.testing.capture)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cxsdk.testing.nothing
