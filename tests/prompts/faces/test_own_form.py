"""
A form of the host's own, over JSON: the script that the documentation shows, in a real browser.
"""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, Page

pytestmark = pytest.mark.browser

DRAW = "const draw = (questions, strings, send) => Object.assign(window, { questions, send });"


def test_the_script_of_the_page_fetches_draws_and_answers(desk, shop, chromium):
    """It says that the question was shown, what is wrong with an answer, and sends a right one."""
    blocks = Page(DOCS / "how-to" / "show-a-prompt.md").blocks
    (script,) = (each.text for each in blocks if 'fetch("/question")' in each.text)
    tab = chromium.new_page()
    try:
        tab.goto(f"{shop.url}/thanks")
        with tab.expect_response("**/state") as told:
            tab.evaluate(f"async () => {{ {DRAW}\n{script} }}")
        assert told.value.status == 204
        assert desk.actions() == ["prompt.shown"]
        assert tab.evaluate("questions.map((each) => each.id)") == ["score", "why"]
        wrong = tab.evaluate("send({ score: 11 })")
        assert wrong["errors"][0]["pointer"] == "/answers/score"
        assert wrong["sorry"]
        assert tab.evaluate("send({ score: 8 })")["thanks"]
    finally:
        tab.close()
    assert desk.events.one("feedback").data.answers[0].value == 8


def test_a_fragment_that_is_put_in_later_works_at_once(desk, shop, chromium):
    """Where the module is there already, inserting the HTML of an offer is all."""
    html = str(desk.offer("score").as_html("/cx", assets=False))
    tab = chromium.new_page()
    try:
        tab.goto(f"{shop.url}/thanks")
        tab.add_script_tag(url="/cx/static/cx-prompt.js", type="module")
        tab.evaluate("(html) => document.body.insertAdjacentHTML('beforeend', html)", html)
        tab.click("label:has([name=score][value='9'])")
        tab.click("button[value=answer]")
        tab.locator("cx-prompt", has_text="Thank you").wait_for(timeout=5000)
        assert tab.url == f"{shop.url}/thanks"
    finally:
        tab.close()
    assert desk.events.one("feedback").data.answers[0].value == 9
