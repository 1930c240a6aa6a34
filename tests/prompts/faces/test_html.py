"""
The form: complete without JavaScript, escaped, labelled, and the same place for its errors.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from cxsdk.prompts.faces.html import root_id
from tests.prompts.faces.conftest import PROMPTS

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{why}{{7*7}}\u202e"


class Tree(HTMLParser):
    """
    Start tags with their attributes, and ids.
    """

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, tag, **wanted):
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and all(attrs.get(key) == value for key, value in wanted.items())
        ]

    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.key)
def test_a_form_is_complete_and_its_references_lead_somewhere(desk, prompt):
    """One id each; every label, description and heading that is named is there."""
    tree = Tree(str(desk.offer(prompt.key).as_html()))
    ids = tree.ids()
    assert len(ids) == len(set(ids))
    for _, attrs in tree.tags:
        for name in ("aria-describedby", "aria-labelledby", "for"):
            assert set((attrs.get(name) or "").split()) <= set(ids)
    (form,) = tree.of("form")
    assert form["method"] == "post"
    values = [attrs["value"] for attrs in tree.of("button", type="submit")]
    assert values == ["answer", "not_now", "never_ask"]
    names = {attrs["name"] for tag in ("input", "textarea") for attrs in tree.of(tag)}
    assert {question.id for question in prompt.questions} <= names


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.key)
def test_markup_is_free_of_inline_code(desk, prompt):
    """Nothing that a strict Content-Security-Policy forbids."""
    offer = desk.offer(prompt.key)
    for text in (str(offer.as_html()), desk.get(offer).body.decode()):
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! type=\"module\" src)", text
        )


def test_choices_are_native_radios_in_a_fieldset(desk):
    """A legend, visible numbers, ends tied to the scale and to the radios at them."""
    offer = desk.offer("score", context={"name": "Anna"})
    text = str(offer.as_html())
    tree = Tree(text)
    own = f"{root_id(offer)}-score"
    (group,) = tree.of("fieldset", role="radiogroup")
    assert group["aria-required"] == "true"
    assert f"{own}-ends" in group["aria-describedby"]
    radios = tree.of("input", type="radio", name="score")
    assert [radio["value"] for radio in radios] == [str(n) for n in range(11)]
    assert radios[0]["aria-describedby"] == f"{own}-low"
    assert radios[10]["aria-describedby"] == f"{own}-high"
    assert all(f"<span>{n}</span>" in text for n in range(11))
    assert not any("checked" in radio for radio in radios)


def test_the_fragment_says_its_language_and_direction(desk):
    """And where the words around the questions are of another language, so do they."""
    arabic = Tree(str(desk.offer("all", locale="ar").as_html()))
    (root,) = arabic.of("cx-prompt")
    assert (root["lang"], root["dir"]) == ("ar", "rtl")
    from cxsdk.prompts import Prompt, Question

    desk.engine.prompts["danish"] = Prompt(
        key="danish",
        scope="relational",
        language="da",
        questions=[Question(id="a", kind="text", text="Hvordan gik det?")],
    )
    danish = Tree(str(desk.offer("danish").as_html()))
    assert danish.of("cx-prompt")[0]["lang"] == "da"
    (actions,) = danish.of("div", **{"class": "cx-actions"})
    assert (actions["lang"], actions["dir"]) == ("en", "ltr")


def test_the_root_id_is_the_same_each_time(desk):
    """What swaps a fragment finds the next one under the same id."""
    offer, other = desk.offer(), desk.offer()
    assert root_id(offer) != root_id(other)
    for text in (str(offer.as_html()), desk.post(offer, {}).body.decode()):
        assert f'<cx-prompt id="{root_id(offer)}"' in text


def test_values_for_texts_are_escaped_after_they_are_filled_in(desk):
    """A customer's name is text, and no placeholder in it is filled in turn."""
    offer = desk.offer("score", context={"name": HOSTILE})
    for text in (
        str(offer.as_html()),
        desk.get(offer).body.decode(),
        offer.as_letter("https://x").html,
    ):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "{why}{{7*7}}" in text
    assert offer.as_text().startswith(HOSTILE)


def test_texts_of_a_prompt_are_text(desk):
    """Labels and questions show their angle brackets."""
    from cxsdk.prompts import Choice, Prompt, Question

    desk.engine.prompts["code"] = Prompt(
        key="code",
        scope="relational",
        title="<b>bold</b>",
        questions=[
            Question(
                id="a",
                kind="single_choice",
                text="Which & why <i>?",
                choices=[Choice(id="x", label="<u>x</u>"), Choice(id="y", label='"y" & co')],
            )
        ],
    )
    text = str(desk.offer("code").as_html())
    assert not re.search(r"<(b|i|u)>", text)
    assert "&lt;u&gt;x&lt;/u&gt;" in text


def test_errors_are_said_in_text_and_what_was_given_stays(desk):
    """A summary that takes the focus leads to each question; nothing has to be typed again."""
    offer = desk.offer("all")
    given = {
        "goods": ["tea", "other"],
        "goods_other": "<i>spoons</i>",
        "words": "a\r\n<b>",
        "score": "9",
    }
    found = desk.post(offer, given)
    text = found.body.decode()
    assert found.status == 422
    tree = Tree(text)
    (summary,) = [attrs for _, attrs in tree.tags if "autofocus" in attrs]
    assert summary["tabindex"] == "-1"
    links = [attrs["href"][1:] for attrs in tree.of("a")]
    assert len(links) == 3
    assert set(links) <= set(tree.ids())
    assert text.count("Please choose or write an answer.") == 4
    assert text.count("Please choose one of the numbers.") == 2
    checked = [attrs["value"] for attrs in tree.of("input") if "checked" in attrs]
    assert checked == ["tea", "other"]
    assert 'value="&lt;i&gt;spoons&lt;/i&gt;"' in text
    assert ">\na\r\n&lt;b&gt;</textarea>" in text
    invalid = [attrs for _, attrs in tree.tags if attrs.get("aria-invalid") == "true"]
    assert len(invalid) == 3
    assert all("-error" in attrs["aria-describedby"] for attrs in invalid)
    assert desk.actions() == ["prompt.shown"]


def test_a_dependent_question_is_shown_and_may_be_left_out(desk):
    """Without JavaScript it stands there as optional; the server hears it only if it was asked."""
    offer = desk.offer("score", context={"name": "Anna"})
    text = str(offer.as_html())
    assert 'data-cx-if="{&#34;question&#34;: &#34;score&#34;' in text
    assert text.count("(optional)") == 1
    assert desk.post(offer, {"score": "9", "why": "not asked"}).status == 303
    (answer,) = desk.events.one("feedback").data.answers
    assert answer.value == 9


def test_assets_are_left_out_or_carry_a_nonce_on_request(desk):
    """For pages that bring them along themselves, or whose policy goes by nonces."""
    offer = desk.offer()
    assert "<script" not in str(offer.as_html(assets=False))
    assert str(offer.as_html(nonce='r"1')).count(' nonce="r&#34;1"') == 2
    assert 'href="https://cdn.example/cx/static/cx-prompt.css?v=' in str(
        offer.as_html("https://cdn.example/cx/")
    )
