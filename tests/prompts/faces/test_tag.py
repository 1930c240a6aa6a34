"""
``cx_prompt`` in a template: a form, or nothing, and never an error in the host's page.
"""

from __future__ import annotations

import re

import jinja2
import pytest

from cxsdk.prompts import Suppressed
from cxsdk.prompts.faces import Tag


@pytest.fixture
def env(desk):
    made = jinja2.Environment(autoescape=True)
    made.globals["cx_prompt"] = Tag(desk.engine, base="/ask")
    return made


def test_an_offer_is_shown_as_markup(desk, env):
    """Not escaped again, with the addresses of the mount."""
    offer = desk.offer()
    text = env.from_string("<p>{{ cx_prompt(offer) }}</p>").render(offer=offer)
    assert f'action="/ask/o/{offer.token}"' in text
    assert "&lt;form" not in text
    assert text == f"<p>{offer.as_html('/ask')}</p>"


def test_a_key_is_offered_first(desk, env):
    """The engine decides; loaded again the page shows the same question, answered none."""
    page = env.from_string(
        "{{ cx_prompt('versus', customer='u-9', return_to='/thanks', heading=3) }}"
    )
    assert 'name="cx-return" value="/thanks"' in page.render()
    again = page.render()
    assert 'name="cx-return" value="/thanks"' in again
    token = re.search(r'action="/ask/o/([^"]+)"', again)[1]
    assert desk.engine.submit(token, {"versus": "better"})
    assert page.render() == ""
    assert desk.engine.refused["cap_global"]


@pytest.mark.parametrize("what", ["none", "Suppressed", "empty"])
def test_nothing_to_ask_shows_nothing(env, what):
    """What is falsy is empty, not the word None."""
    value = {"none": None, "Suppressed": Suppressed("cap_prompt"), "empty": False}[what]
    assert env.from_string("[{{ cx_prompt(what) }}]").render(what=value) == "[]"


@pytest.mark.parametrize(
    "how", [{"customer": object()}, {"no_such_argument": 1}, {"heading": 2, "nonce": 1}]
)
def test_an_error_is_said_in_the_log_only(env, caplog, how):
    """A wrong argument costs the prompt, not the page."""
    text = env.from_string("[{{ cx_prompt('versus', **how) }}]").render(how=how)
    assert text == "[]" or "<form" in text
    caplog.clear()


def test_a_template_of_ours_that_fails_costs_the_prompt_only(desk, env, monkeypatch, caplog):
    """Whatever goes wrong inside."""
    monkeypatch.setattr("cxsdk.prompts.faces.tag.form", lambda *_: 1 / 0)
    assert env.from_string("[{{ cx_prompt(offer) }}]").render(offer=desk.offer()) == "[]"
    assert "a prompt is not shown" in caplog.text
    caplog.clear()


def test_no_engine_shows_nothing():
    """While the host has none."""
    assert Tag(lambda: None)("versus") == ""
