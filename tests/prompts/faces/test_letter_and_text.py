"""
Letters and chat: an answer is one link, or one line.
"""

from __future__ import annotations

import re

import attrs
import pytest

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.wording import Wording


def test_a_letter_has_a_link_for_each_answer(desk):
    """As HTML without script or table, as plain text, and as a list for a template of the host's."""
    offer = desk.offer("score", channel="email", context={"name": "Anna"})
    letter = offer.as_letter("https://shop.example/cx/")
    page = f"https://shop.example/cx/o/{offer.token}"
    assert letter.page == page
    assert letter.links == tuple((str(n), f"{page}?v={n}") for n in range(11))
    assert re.findall(r'href="([^"]+)"', letter.html) == [address for _, address in letter.links]
    assert not re.search(r"<(script|table|img|link)|\son[a-z]+=", letter.html)
    for text in (letter.html, letter.text):
        assert "Anna, a word about your order" in text
        assert "0 = Not at all likely, 10 = Extremely likely" in text
        assert f"{offer.expires_at:%Y-%m-%d}" in text
    assert f"\n8: {page}?v=8\n" in letter.text


def test_a_letter_in_another_language_says_so(desk):
    """Words, language and links of its own answers."""
    offer = desk.offer("versus", channel="link", locale="en")
    assert offer.as_letter("https://x").links[0][1].endswith("?v=much_worse")
    german = desk.offer("score", channel="email", locale="de", context={"name": "Anna"})
    assert '<div lang="de" dir="ltr">' in german.as_letter("https://x").html
    assert "Sie können bis" in german.as_letter("https://x").text


@pytest.mark.parametrize(
    "base", ["/cx", "", "shop.example/cx", "javascript:alert(1)", "ftp://x/cx"]
)
def test_a_letter_leads_to_an_address_with_scheme_and_host(desk, base):
    """A path would lead nowhere from a mailbox."""
    with pytest.raises(ConfigurationError, match="base: expected an address"):
        desk.offer().as_letter(base)


def test_a_text_question_has_one_link(desk):
    """There is nothing to choose beforehand."""
    from cxsdk.prompts import Prompt, Question

    desk.engine.prompts["why"] = Prompt(
        key="why", scope="relational", questions=[Question(id="why", kind="text", text="Why?")]
    )
    letter = desk.offer("why").as_letter("https://x/cx")
    assert letter.links == ()
    assert f'href="{letter.page}"' in letter.html
    assert f"Answer now: {letter.page}" in letter.text


@pytest.mark.parametrize(
    ("key", "reply", "value"),
    [("versus", "5", "much_better"), ("versus", "much worse", "much_worse"), ("score", " 8 ", 8)],
)
def test_a_chat_shows_the_question_and_takes_the_reply(desk, key, reply, value):
    """What the text asks for is what `submit_text` takes."""
    desk.engine.prompts[key] = attrs.evolve(desk.engine.prompts[key], channels=("chat",))
    offer = desk.offer(key, channel="chat", context={"name": "Anna"})
    words = Wording(offer.prompt, "en", offer.context)
    text = offer.as_text()
    assert words.text(offer.prompt.questions[0]) in text
    assert "5. Much better" in text or "a number from 0 to 10" in text
    assert desk.engine.submit_text(offer.token, reply)
    assert desk.events.one("feedback").data.answers[0].value == value


def test_a_chat_shows_thumbs_and_texts(desk):
    """Each kind of question says how it is replied to."""
    from cxsdk.prompts import Prompt, Question

    for kind, text in (("thumbs", "Good?"), ("text", "Why?")):
        desk.engine.prompts[kind] = Prompt(
            key=kind,
            scope="relational",
            channels=("chat",),
            questions=[Question(id="a", kind=kind, text=text)],
        )
    assert desk.offer("thumbs", channel="chat").as_text() == "Good?\n👎 No / 👍 Yes"
    assert desk.offer("text", channel="chat").as_text().endswith("Please reply in your own words.")
