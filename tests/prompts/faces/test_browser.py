"""
The faces in a real browser against a real server: without JavaScript and with it, by keyboard,
narrow, right to left, under a strict policy, and to axe-core without a violation.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.browser

LISTEN = """
window.seen = [];
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective));
for (const name of ["shown", "started", "answered", "dismissed"])
  document.addEventListener(`cx:${name}`, (e) => seen.push([name, e.detail.reason ?? null]));
"""
FOCUSED = "document.activeElement.className"
PROMPT_KEYS = ["versus", "score", "all", "mood"]


def eventually(is_so, what):
    """
    Wait until the server has seen what the browser sent.
    """
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, what
        threading.Event().wait(0.01)


@pytest.fixture
def open_page(chromium):
    """
    Open pages in contexts of their own; a page that breaks its own policy fails the test.
    """

    @contextmanager
    def tabs(url, *, js=True, width=1000, scheme="light", touch=False, **how):
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=js,
            has_touch=touch,
            **how,
        )
        context.set_default_timeout(5000)
        context.add_init_script(LISTEN)
        tab = context.new_page()
        faults = []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on(
            "console",
            lambda message: faults.append(message.text) if "Refused" in message.text else None,
        )
        try:
            tab.goto(url)
            yield tab
            assert faults == []
            assert not js or tab.evaluate("window.violations") == []
        finally:
            context.close()

    return tabs


def send(tab):
    tab.click("button[value=answer]")


def axe(tab):
    """
    Return what axe-core finds, all of its rules, as readable lines.
    """
    from axe_playwright_python.sync_playwright import Axe

    # In the middle of a transition colours are neither the old ones nor the new ones.
    tab.evaluate("Promise.all(document.getAnimations().map(each => each.finished))")
    found = Axe().run(tab).response
    assert len(found["passes"]) > 10
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


# ---- without JavaScript -------------------------------------------------------------------


@pytest.mark.parametrize("where", ["page", "link"])
def test_the_form_works_without_javascript(desk, shop, open_page, where):
    """Errors with the focus on their summary, then an answer, then thanks or back to the shop."""
    offer = desk.offer("all")
    url = shop.page(offer, return_to="/thanks") if where == "page" else shop.link(offer)
    with open_page(url, js=False) as tab:
        tab.check("[value=tea]")
        send(tab)
        eventually(lambda: "cx-summary" in tab.evaluate(FOCUSED), "focus on the summary")
        assert tab.locator(".cx-error").count() == 3
        assert tab.is_checked("[value=tea]")
        tab.click("label:has([value=better])")
        tab.click("label:has([name=score][value='6'])")
        tab.check("[value=friend]")
        tab.fill("textarea", "fine & <b>dandy</b>")
        send(tab)
        wanted = "Back in the shop" if where == "page" else "That helps us. Thank you!"
        tab.locator("h1", has_text=wanted).wait_for()
    answers = {a.question: a for a in desk.events.one("feedback").data.answers}
    assert answers["goods"].values == ("tea",)
    assert answers["score"].value == 6
    assert answers["words"].text == "fine & <b>dandy</b>"


def test_a_link_in_a_letter_shows_its_answer_and_a_button(desk, shop, open_page):
    """One click chooses, a second one sends; a reload afterwards sends nothing."""
    offer = desk.offer("score", channel="email", context={"name": "Anna"})
    link = dict(offer.as_letter(f"{shop.url}/cx").links)["8"]
    with open_page(link, js=False) as tab:
        assert tab.is_checked("[value='8']")
        assert desk.actions() == []
        send(tab)
        tab.locator("h1", has_text="Thank you").wait_for()
        assert tab.url.endswith("?done=1")
        tab.reload()
        tab.go_back()
    assert [event.data.answers[0].value for event in desk.events.of("feedback")] == [8]


@pytest.mark.parametrize(
    ("value", "words"), [("not_now", "All right."), ("never_ask", "not ask you again")]
)
def test_saying_no_needs_no_javascript(desk, shop, open_page, value, words):
    """Two more buttons of the same form."""
    with open_page(shop.link(desk.offer()), js=False) as tab:
        tab.click(f"button[value={value}]")
        tab.locator("h1", has_text=words).wait_for()
    assert desk.events.one("prompt", "dismissed").data.reason == value


# ---- with it ------------------------------------------------------------------------------


def test_the_element_answers_in_place(desk, shop, open_page):
    """No navigation; events for the page, states for the server; the focus is on the thanks."""
    offer = desk.offer("all")
    url = shop.page(offer)
    with open_page(url) as tab:
        root = tab.locator("cx-prompt").get_attribute("id")
        tab.click("label:has([value=better])")
        send(tab)
        tab.locator(".cx-summary").wait_for()
        assert "cx-summary" in tab.evaluate(FOCUSED)
        assert tab.is_checked("[value=better]")
        tab.click("label:has([name=score][value='7'])")
        tab.check("[value=ad]")
        send(tab)
        note = tab.locator(".cx-note")
        note.wait_for()
        assert note.inner_text() == "That helps us. Thank you!"
        assert "cx-note" in tab.evaluate(FOCUSED)
        assert tab.locator("cx-prompt").get_attribute("id") == root
        assert tab.url == url
        assert tab.evaluate("seen") == [["shown", None], ["started", None], ["answered", None]]
    assert desk.actions() == ["prompt.shown", "prompt.started", "feedback.given", "prompt.answered"]


def test_it_is_shown_when_half_of_it_is_seen(desk, shop, open_page):
    """Not when the page is loaded; nothing takes the focus when it appears."""
    offer = desk.offer("versus")
    with open_page(shop.page(offer)) as tab:
        eventually(lambda: desk.state(offer) == "shown", "in view")
    offer = desk.offer("versus")
    url = shop.page(offer)
    with open_page(url + "?tall") as tab:
        tab.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
        assert tab.evaluate("seen") == []
        assert tab.evaluate("document.activeElement.tagName") == "BODY"
        tab.locator("cx-prompt").scroll_into_view_if_needed()
        eventually(lambda: desk.state(offer) == "shown", "scrolled to")


def test_a_form_taller_than_two_windows_is_shown_too(desk, shop, open_page):
    """Half of it never fits into the window, but it fills half of the window."""
    offer = desk.offer("all")
    with open_page(shop.page(offer), width=320) as tab:
        tab.set_viewport_size({"width": 320, "height": 300})
        tab.locator("textarea").scroll_into_view_if_needed()
        eventually(lambda: desk.state(offer) == "shown", "a tall form")


def test_dependent_questions_come_and_go(desk, shop, open_page):
    """By the answer they depend on, also by one that a link chose."""
    offer = desk.offer("score", channel="link", context={"name": "Anna"})
    with open_page(shop.link(offer, "?v=9")) as tab:
        assert not tab.locator("textarea").is_visible()
        tab.click("label:has([value='6'])")
        assert tab.locator("textarea").is_visible()
        tab.click("label:has([value='7'])")
        assert not tab.locator("textarea").is_visible()
    with open_page(shop.link(offer, "?v=2")) as tab:
        assert tab.locator("textarea").is_visible()


def test_other_has_a_field_when_it_is_chosen(desk, shop, open_page):
    """By style alone."""
    for js in (True, False):
        with open_page(shop.page(desk.offer("all")), js=js) as tab:
            assert not tab.locator("[name=goods_other]").is_visible()
            tab.check("[value=other]")
            assert tab.locator("[name=goods_other]").is_visible()


@pytest.mark.parametrize("value", ["not_now", "never_ask"])
def test_dismissing_in_place(desk, shop, open_page, value):
    """The answer of the server, its event and the reason."""
    offer = desk.offer()
    with open_page(shop.page(offer)) as tab:
        tab.click(f"button[value={value}]")
        tab.locator(".cx-note").wait_for()
        assert "cx-note" in tab.evaluate(FOCUSED)
        assert tab.evaluate("seen")[-1] == ["dismissed", value]
    assert desk.events.one("prompt", "dismissed").data.reason == value


def test_a_page_that_closes_it_says_why(desk, shop, open_page):
    """For dialogs and banners of the host's."""
    offer = desk.offer()
    with open_page(shop.page(offer)) as tab:
        tab.evaluate("document.querySelector('cx-prompt').dismiss('escape')")
        assert not tab.locator("cx-prompt").is_visible()
        assert tab.evaluate("seen")[-1] == ["dismissed", "escape"]
        eventually(lambda: desk.state(offer) == "dismissed", "dismissed")
    assert desk.events.one("prompt", "dismissed").data.reason == "escape"


def test_a_lost_connection_keeps_what_was_written(desk, shop, open_page):
    """A word in the live region, the form as it was, and a second try."""
    offer = desk.offer("versus")
    with open_page(shop.page(offer)) as tab:
        tab.click("label:has([value=worse])")
        tab.context.set_offline(True)
        send(tab)
        status = tab.locator("cx-prompt [role=status]")
        status.get_by_text("That did not work just now").wait_for()
        assert tab.is_checked("[value=worse]")
        tab.context.set_offline(False)
        send(tab)
        tab.locator(".cx-note").wait_for()
    assert desk.events.one("feedback").data.versus_expectation == "worse"


def test_the_live_region_is_there_before_it_speaks(desk, shop, open_page):
    """It is the same element throughout, and speaks where the focus is elsewhere."""
    with open_page(shop.page(desk.offer())) as tab:
        tab.evaluate("window.region = document.querySelector('cx-prompt [role=status]')")
        assert tab.evaluate("region.textContent") == ""
        tab.click("label:has([value=worse])")
        tab.evaluate(
            "document.activeElement.blur(); document.querySelector('cx-prompt form').requestSubmit()"
        )
        tab.locator(".cx-note").wait_for()
        tab.wait_for_function("region.textContent.includes('Thank you')")
        assert tab.evaluate("region.isConnected && document.activeElement === document.body")


def test_a_page_whose_policy_forbids_it_still_has_a_form(desk, shop, open_page):
    """Where Trusted Types allow no policy of ours, the form is posted as without JavaScript."""
    shop.policy += " nothing-of-ours"
    shop.policy = shop.policy.replace(
        "trusted-types cx-prompt nothing-of-ours", "trusted-types 'none'"
    )
    offer = desk.offer()
    with open_page(shop.page(offer, return_to="/thanks")) as tab:
        tab.evaluate("window.violations.length = 0")
        tab.click("label:has([value=worse])")
        send(tab)
        tab.locator("h1", has_text="Back in the shop").wait_for()
    assert desk.events.one("feedback")


def test_a_question_may_be_called_like_a_property_of_a_form(desk, shop, open_page):
    """``action``, ``method`` and ``submit`` are names of fields like others."""
    from cxsdk.prompts import Prompt, Question

    names = ("action", "method", "submit", "dataset", "focus")
    desk.engine.prompts["odd"] = Prompt(
        key="odd",
        scope="relational",
        questions=[Question(id=name, kind="csat", required=name == "submit") for name in names],
    )
    with open_page(shop.page(desk.offer("odd"))) as tab:
        send(tab)
        tab.locator(".cx-summary").wait_for()
        for name in names:
            tab.click(f"label:has([name={name}][value='4'])")
        send(tab)
        tab.locator(".cx-note").wait_for()
    assert len(desk.events.one("feedback").data.answers) == 5


# ---- for everybody ------------------------------------------------------------------------


@pytest.mark.parametrize("js", [True, False], ids=["js", "nojs"])
def test_the_keyboard_is_enough(desk, shop, open_page, js):
    """Tab reaches each question once, arrows choose and send nothing, Enter on the button sends."""
    with open_page(shop.page(desk.offer("all")), js=js) as tab:
        press = tab.keyboard.press
        name = "document.activeElement.name"
        press("Tab")  # the link of the page
        press("Tab")
        assert tab.evaluate(name) == "versus"
        press("Space")
        press("ArrowRight")
        assert tab.is_checked("[value=worse]")
        for wanted in ("score", "goods"):
            press("Tab")
            assert tab.evaluate(name) == wanted
            press("Space")
        for _ in range(3):
            press("Tab")
            assert tab.evaluate(name) == "goods"
        press("Tab")
        assert tab.evaluate(name) == "how"
        press("ArrowDown")
        press("Tab")
        assert tab.evaluate(name) == "words"
        tab.keyboard.type("by keyboard")
        assert tab.locator("cx-prompt form").count() == 1
        press("Tab")
        assert tab.evaluate("document.activeElement.value") == "answer"
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(outline.removesuffix("px")) >= 2
        press("Enter")
        tab.locator(".cx-note").wait_for()
    answers = {a.question: a for a in desk.events.one("feedback").data.answers}
    assert (answers["versus"].value, answers["goods"].values) == ("worse", ("books",))
    assert answers["words"].text == "by keyboard"


@pytest.mark.parametrize("locale", ["en", "ar", "de"])
@pytest.mark.parametrize("key", PROMPT_KEYS)
def test_it_fits_320_pixels(desk, shop, open_page, key, locale):
    """No scrolling sideways, and nothing to press is smaller than 24 pixels; most are 44 high."""
    for url in (
        shop.link(desk.offer(key, locale=locale)),
        shop.page(desk.offer(key, locale=locale)),
    ):
        with open_page(url, width=320) as tab:
            send(tab)
            tab.locator(".cx-summary, .cx-note").wait_for()
            wide = "document.documentElement.scrollWidth"
            assert tab.evaluate(wide) <= 320
            sizes = tab.evaluate(
                "[...document.querySelectorAll('.cx-option, .cx-button, textarea')]"
                ".filter((e) => e.checkVisibility())"
                ".map((e) => e.getBoundingClientRect()).map((r) => [r.width, r.height])"
            )
            assert sizes
            assert all(width >= 24 and height >= 43.5 for width, height in sizes)


def test_right_to_left(desk, shop, open_page):
    """The scale begins at the right, and the low end stands there too."""
    with open_page(shop.link(desk.offer("all", locale="ar"))) as tab:
        left = "(e) => e.getBoundingClientRect().left"
        first = tab.locator("[name=score]").first.evaluate(left)
        last = tab.locator("[name=score]").last.evaluate(left)
        assert first > last
        low, high = tab.locator(".cx-ends span").all()
        assert low.evaluate(left) > high.evaluate(left)
        assert (
            tab.evaluate("getComputedStyle(document.querySelector('cx-prompt')).direction") == "rtl"
        )
        assert axe(tab) == []


def test_motion_is_reduced_where_it_is_wished(desk, shop, open_page):
    """No transition at all."""
    moves = "getComputedStyle(document.querySelector('.cx-option span')).transitionDuration"
    url = shop.link(desk.offer())
    with open_page(url) as tab:
        assert "0.12s" in tab.evaluate(moves)
    with open_page(url, reduced_motion="reduce") as tab:
        assert set(tab.evaluate(moves).split(", ")) == {"0s"}


def test_forced_colours_show_what_is_chosen(desk, shop, open_page):
    """A chosen number differs from the others by more than a colour of ours."""
    colour = "(e) => getComputedStyle(e).backgroundColor"
    with open_page(shop.link(desk.offer("score"), "?v=8"), forced_colors="active") as tab:
        chosen = tab.locator("[value='8'] + span").evaluate(colour)
        other = tab.locator("[value='7'] + span").evaluate(colour)
        assert chosen != other
        assert (
            tab.locator("[value='8'] + span").evaluate("(e) => getComputedStyle(e).fontWeight")
            == "600"
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("key", PROMPT_KEYS)
def test_axe_finds_nothing(desk, shop, open_page, key, scheme):
    """All rules of axe-core, contrast included: form, chosen answers, errors, thanks."""
    offer = desk.offer(key, context={"name": "Anna"})
    with open_page(shop.link(offer), scheme=scheme) as tab:
        send(tab)
        tab.locator(".cx-summary").wait_for()
        assert axe(tab) == []
        for group in tab.locator("fieldset").all():
            group.locator("label").first.click()
        assert axe(tab) == []
        send(tab)
        tab.locator(".cx-note").wait_for()
        assert axe(tab) == []


def test_axe_finds_nothing_in_the_page_of_a_host(desk, shop, open_page):
    """The fragment among a page's own headings, and the page that says it is over."""
    with open_page(shop.page(desk.offer("all"))) as tab:
        assert axe(tab) == []
    with open_page(f"{shop.url}/cx/o/nothing") as tab:
        assert axe(tab) == []


def test_a_host_without_dark_pages_has_no_dark_prompt(desk, shop, open_page):
    """The page's own color-scheme decides, not the system's."""
    paper = "getComputedStyle(document.querySelector('cx-prompt')).backgroundColor"
    with open_page(shop.page(desk.offer()), scheme="dark") as tab:
        assert tab.evaluate(paper) == "rgb(255, 255, 255)"
    with open_page(shop.link(desk.offer()), scheme="dark") as tab:
        assert tab.evaluate(paper) == "rgb(26, 31, 42)"


def test_a_theme_is_a_handful_of_properties(desk, shop, open_page):
    """``--cx-*`` set anywhere above reach it."""
    with open_page(shop.page(desk.offer())) as tab:
        tab.evaluate("document.body.style.setProperty('--cx-accent', 'rgb(0, 90, 60)')")
        colour = "getComputedStyle(document.querySelector('.cx-send')).backgroundColor"
        assert tab.evaluate(colour) == "rgb(0, 90, 60)"
