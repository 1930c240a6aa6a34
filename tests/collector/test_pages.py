"""
The pages in a real browser, with JavaScript off: they fit, say what is so, and run nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import cxsdk
from cxsdk import collector as package
from cxsdk.cli import COMMANDS

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202eevil"
WIDTHS = (1280, 390, 360)
CSS = Path(package.__file__).parent / "static" / "collector.css"


def journey_of_anna(facts, now):
    anna, visit = {"id": "anna/4711"}, {"anonymous_id": "visit-7f3a"}
    carrier = {"kind": "partner", "partner_role": "carrier", "org": "dhl"}
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    start = now - timedelta(hours=20)
    return [
        facts.interaction(visit, "search", at=start),
        facts.identity("identified", {**anna, **visit}, at=start + timedelta(minutes=1)),
        {
            **facts.interaction(
                anna,
                at=start + timedelta(minutes=2),
                interaction_id="i-pay",
                outcome="failure",
                goal_met="no",
                wait_ms=8200,
                effort={"attempts": 2},
                consent={"state": "granted"},
                expectations=[
                    {"metric": "pay_seconds", "expected": 3, "actual": 8, "met": "no"},
                    {"metric": "vat_shown", "met": "yes"},
                ],
            ),
            "traceparent": trace,
        },
        facts.problem(anna, detail=HOSTILE, at=start + timedelta(minutes=3)),
        facts.promise(
            "p",
            customer=anna,
            promised_by=carrier,
            due_date=(now - timedelta(days=3)).date().isoformat(),
            where={"tz": "Europe/Vienna"},
            at=start + timedelta(minutes=4),
        ),
        facts.feedback(
            anna, "worse", about={"interaction_ids": ["i-pay"]}, at=start + timedelta(hours=1)
        ),
        facts.score(4, customer=anna, at=start + timedelta(hours=1)),
        facts.reaction(anna, "complain", reason_text=HOSTILE, at=start + timedelta(hours=2)),
        facts.loss(3, at=start, seq=4),
    ]


def asked_of_many(facts, now):
    """
    Offers of two prompts, one with a hostile name, an answer beyond the quota, one asked again.
    """
    at = now - timedelta(hours=2)
    events = [
        facts.prompt(action, f"o-{n}", name, at=at)
        for n in range(40)
        for name in ("checkout_effort", HOSTILE.replace("\u202e", ""))
        for action in ("offered", "shown", "answered" if n % 3 else "dismissed")
    ]
    told = {"instrument": "ces", "least": 1, "most": 7, "prompt_id": "checkout_effort", "at": at}
    told["customer"] = {"id": "anna/4711"}
    first = {"offer_id": "o-1", "feedback_id": "f-1", "over_quota": True, "scope": "transactional"}
    again = {"offer_id": "r-1", "stage": "recall", "echo_of": "f-1"}
    return [
        *events,
        facts.score(6, **told, **first, inclusion_probability=0.1),
        facts.score(3, **told, offer_id="o-2", scope="transactional"),
        facts.score(4, **told, **again),
        facts.prompt("suppressed", reason="x_" + "long_reason_" * 3, at=at),
    ]


@pytest.fixture
def filled(http, facts):
    """
    A client of a collector that knows one customer well and refused a hostile event.
    """
    http.post("/events", json=journey_of_anna(facts, datetime.now(UTC)))
    http.post("/events", json=asked_of_many(facts, datetime.now(UTC)))
    bad = facts.interaction(id=HOSTILE, direction="sideways")
    http.post("/events", json=[bad, facts.interaction(HOSTILE.replace("\u202e", ""))])
    return http


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("overview", "/?range=24h"),
        ("journey", "/customers/anna%2F4711/journey"),
        ("customers", "/customers?q=a"),
        ("touchpoint", "/customers?touchpoint=checkout.pay"),
        ("nobody", "/customers/nobody/journey"),
        ("unknown", "/nothing"),
    ],
)
def test_pages_fit_and_stay_quiet(filled, page, tmp_path, name, path, width):
    """No sideways scrolling, no console error, no CSP violation, with and without JavaScript."""
    url = filled.base_url.join(path)
    still = page(url, width)
    still.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
    live = page(url, width, scripts=True)
    assert live.evaluate("document.documentElement.scrollWidth") <= width
    missing = [str(url)] if name in {"nobody", "unknown"} else []
    assert [text for text in live.complaints if "status of 404" not in text] == missing
    assert [text for text in still.complaints if "status of 404" not in text] == missing
    assert live.evaluate("document.scripts.length") == 0


@pytest.mark.browser
def test_hostile_text_is_shown_as_text(filled, page):
    """Markup and direction overrides of an event appear as they are, isolated, and run nothing."""
    for path in ("/", "/customers", "/customers/anna%2F4711/journey"):
        tab = page(filled.base_url.join(path), scripts=True)
        assert tab.locator("bdi", has_text="<script>alert(1)</script>").count() > 0
        assert tab.locator("img").count() == 0
        assert tab.complaints == []
        outside = tab.evaluate(
            "[...document.querySelectorAll('body *')].some(e => !e.closest('bdi, title, input')"
            " && [...e.childNodes].some(n => n.nodeType === 3 && n.data.includes('\\u202e')))"
        )
        assert outside is False


@pytest.mark.browser
def test_journey_shows_three_lanes_side_by_side_or_one_column(filled, page):
    """Wide: the lanes stand beside each other; narrow: one column, each card names its lane."""
    url = filled.base_url.join("/customers/anna%2F4711/journey")
    tab = page(url, 1280, scripts=True)
    lefts = [
        tab.locator(f".timeline .{lane} article").first.bounding_box()["x"]
        for lane in ("happened", "perceived", "did")
    ]
    assert lefts == sorted(set(lefts))
    phone = page(url, 390, scripts=True)
    lefts = {
        phone.locator(f".timeline .{lane} article").first.bounding_box()["x"]
        for lane in ("happened", "perceived", "did")
    }
    assert len(lefts) == 1
    assert phone.locator(".lane-name").first.is_visible()


@pytest.mark.browser
def test_names_of_touchpoints_keep_their_case(filled, page):
    """A title in words begins with a capital, a touchpoint's name stays as in code."""
    tab = page(filled.base_url.join("/customers/anna%2F4711/journey"), scripts=True)
    case = "e => getComputedStyle(e, '::first-letter').textTransform"
    assert tab.locator("h4.named").first.evaluate(case) == "none"
    assert tab.locator("h4:not(.named)").first.evaluate(case) == "uppercase"
    assert tab.locator("h4.named").first.inner_text() == "search"


@pytest.mark.browser
def test_keyboard_reaches_the_page_with_a_visible_focus(filled, page):
    """The first stop skips to the content, and the focus is drawn."""
    tab = page(filled.base_url.join("/"), scripts=True)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Tab")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.browser
def test_search_and_range_work_without_javascript(filled, page):
    """A form and links are all it takes."""
    tab = page(filled.base_url.join("/customers"))
    tab.fill("#q", "visit")
    tab.click("button")
    tab.click("text=visit-7f3a")
    assert tab.locator("h1").inner_text() == "visit-7f3a"
    tab.goto(str(filled.base_url))
    tab.click(".spans a >> nth=3")
    assert "all time" in tab.locator(".sub").inner_text()


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.replace("<wbr>", "")))


def test_journey_says_what_matters(filled):
    """Partner and role, wait, effort, expectations met and not, promise and due, trace, consent."""
    text = text_of(filled.get("/customers/anna%2F4711/journey").text)
    for words in (
        "partner · carrier · dhl",
        "8.2 s",
        "attempts 2",
        "pay seconds: not met (expected 3, actual 8)",
        "vat shown: met",
        "overdue",
        "(Europe/Vienna)",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "consent: granted",
        "worse than expected",
        "visit-7f3a",
    ):
        assert words in text, words


def test_overview_always_shows_what_a_share_stands_on(filled):
    """Denominators, means with n, what is missing and why."""
    text = text_of(filled.get("/").text)
    for words in (
        "0 of 1 known",
        "0 of 1 who said",
        "4.00 1.0 to 5.0 1\u20135",
        "1 refused, 3 lost",
        "interaction.direction",
        "given up, disk full",
    ):
        assert words in text, words


def test_touchpoints_stand_as_in_code_and_filters(http, facts):
    """The canonical name on the overview, the timeline, a reference to it and a loss record."""
    name = "help_desk.call_back"
    http.post(
        "/events",
        json=[
            facts.interaction("c1", name, interaction_id="i"),
            facts.reaction("c1", about={"interaction_ids": ["i"]}),
            facts.loss(3, touchpoint=name),
        ],
    )
    overview = text_of(http.get("/?range=all").text)
    journey = text_of(http.get("/customers/c1/journey").text)
    assert (overview.count(name), journey.count(name)) == (2, 2)
    assert http.get("/events", params={"touchpoint": name}).json()["events"]


def test_customers_are_people_wherever_they_are_counted(filled):
    """Anna's visit and her login are one customer under two identifiers; the list says which."""
    overview = text_of(filled.get("/?range=all").text)
    assert "2 customers had a contact" in overview
    assert re.search(r"Contacts 3 +2 customers", overview)
    listed = text_of(filled.get("/customers").text)
    assert "2 customers under 3 identifiers" in listed
    assert "anonymous , the same as anna/4711" in listed


def test_rates_of_promises_and_reactions_name_their_base(http, facts):
    """So many of so many, also where nothing ended; a percentage stands in brackets only."""
    http.post(
        "/events",
        json=[
            facts.interaction("c1"),
            facts.interaction("c3"),
            facts.reaction("c1"),
            facts.reaction("c2"),
            facts.promise("p", due_at="2026-05-04T11:00:00Z"),
            facts.promise("p", "kept", lateness_ms=1000),
            facts.promise("q", due_at="2026-05-04T11:00:00Z"),
            facts.promise("q", "broken"),
        ],
    )
    text = text_of(http.get("/?range=all").text)
    half = "1 of 2 (50 %)"
    assert f"kept late {half}" in text
    assert "kept in time 0 of 2 (0 %)" in text
    assert f"broken {half}" in text
    assert "1 of 2 exposed (50 %) + 1 without a contact" in text


@pytest.mark.parametrize("path", ["/", "/customers", "/customers/anna%2F4711/journey"])
def test_zone_of_times_is_said_once(filled, path):
    """Times are in UTC and the page says so once; a due date keeps the zone of its promise."""
    text = text_of(filled.get(path).text)
    assert text.count("times in UTC") == 1
    assert text.count("UTC") == 1
    assert ("(Europe/Vienna)" in text) == (path != "/customers")


def test_pages_name_only_what_exists():
    """Every call and command in the copy is one that this version has."""
    copy = "\n".join(page.read_text() for page in (CSS.parents[1] / "templates").glob("*.html"))
    calls = set(re.findall(r"\bcx\.(\w+)", copy))
    commands = set(re.findall(r"<code>cxsdk (\w+)", copy))
    assert {name for name in calls if not hasattr(cxsdk, name)} == set()
    assert commands <= set(COMMANDS)
    assert calls
    assert not re.search(r"\bsurvey|questionnaire", copy, re.IGNORECASE)


def test_anonymous_visit_leads_to_the_same_journey(filled):
    """The page of the anonymous identifier shows what the known customer did later."""
    text = filled.get("/customers/visit-7f3a/journey?space=anonymous").text
    assert "worse than expected" in text


@pytest.mark.parametrize("path", ["/", "/customers", "/customers?q=x"])
def test_empty_pages_say_what_to_do(http, path):
    """Nothing there yet: the page names the next step."""
    html = http.get(path).text
    assert "cx.init(" in html or "@cx.interaction(" in html or "Show all" in html


def test_empty_range_points_to_what_is_stored(http, facts):
    """Old events only: the page says so and links to all of them."""
    http.post("/events", json=[facts.interaction()])
    html = http.get("/?range=1h").text
    assert "1 event is stored from before" in html
    assert text_of(http.get("/?range=all").text).count("checkout.pay") == 1


def test_older_events_are_a_link_away(http, facts):
    """A long journey is cut at 200 events and goes on behind a link, to the first event."""
    for start in (0, 100, 200):
        http.post("/events", json=[facts.interaction(id=f"{start + n}") for n in range(100)])
    html = http.get("/customers/c1/journey").text
    older = re.search(r'href="\?(cursor=[^"]+)"', html)[1]
    assert html.count("<li class=") == 200
    assert http.get(f"/customers/c1/journey?{older}").text.count("<li class=") == 100


def test_null_fields_are_absent_to_the_page(http, facts):
    """An event with nulls, which lenient reading takes as absent, shows like one without."""
    event = facts.interaction("nils")
    event["data"] |= {"effort": None, "memory": None, "consent": None, "refs": None, "error": None}
    event["data"]["where"]["touchpoint"] = None
    assert http.post("/events", json=[event]).json()["accepted"] == 1
    assert http.get("/customers/nils/journey").status_code == 200


def test_pages_need_no_inline_style_or_script(filled):
    """What the CSP forbids is not in the markup either."""
    for path in ("/", "/customers", "/customers/anna%2F4711/journey"):
        html = filled.get(path).text
        assert not re.search(r"<(script|style)|\sstyle=|\son[a-z]+=[\"']", html)


def brightness(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_has_contrast_in_both_schemes(scheme):
    """Every pair of text and ground reaches 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    block = re.findall(r":root \{(.*?)\}", CSS.read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    pairs = [(text, ground) for text in ("ink", "quiet", "accent") for ground in ("paper", "card")]
    pairs += [(tone, f"{tone}-soft") for tone in ("good", "bad", "mixed")]
    pairs += [("ink", "accent-soft"), ("card", "accent"), ("bad", "card")]
    poor = {}
    for text, ground in pairs:
        light, dark = sorted((brightness(colours[text]), brightness(colours[ground])))[::-1]
        if (light + 0.05) / (dark + 0.05) < 4.5:
            poor[text, ground] = (light + 0.05) / (dark + 0.05)
    assert poor == {}


def test_a_page_of_hostile_events_is_served(http, facts):
    """Ids with slashes, quotes, markup and other scripts lead to their own page and back."""
    for name in ("a/b?c#d", "\"'><b>", "Łukasz", "journey.json", "50%"):
        assert http.post("/events", json=[facts.interaction(name)]).json()["accepted"] == 1
    html = http.get("/customers").text
    links = re.findall(r'href="(/customers/[^"]+/journey)"', html)
    assert len(links) == 5
    assert {http.get(link).status_code for link in links} == {200}


@pytest.mark.browser
def test_key_holder_sees_the_page_in_a_browser(tmp_path, chromium, facts):
    """With a key the browser's own password prompt is enough for page and style sheet."""
    with package.Collector(tmp_path / "x.db", api_key="k") as running:
        auth = {"authorization": "Bearer k"}
        httpx.post(
            f"{running.url}/events", json=[facts.interaction()], headers=auth, trust_env=False
        )
        context = chromium.new_context(http_credentials={"username": "me", "password": "k"})
        tab = context.new_page()
        tab.goto(f"{running.url}/?range=all")
        assert tab.locator("h1").inner_text() == "Overview"
        assert tab.evaluate("getComputedStyle(document.body).margin") == "0px"
        context.close()


def test_times_stand_in_utc_whatever_zone_they_came_in(http, facts):
    """A sender with an offset of its own does not shift the timeline."""
    event = {**facts.interaction(), "time": "2026-05-04T01:30:00+05:00"}
    http.post("/events", json=[event])
    page = http.get("/customers/c1/journey").text
    assert ">20:30</time>" in page
    assert "Sunday, 3 May 2026" in page


def test_promises_stand_by_urgency_and_are_not_endless(http, facts):
    """What is overdue comes first, what ended last; of very many the most urgent are shown."""
    now = datetime.now(UTC)
    late = (now - timedelta(days=1)).isoformat()
    soon = (now + timedelta(days=1)).isoformat()
    every = [facts.promise(f"kept-{n}", due_at=soon, at=now) for n in range(30)]
    every += [facts.promise(f"kept-{n}", "kept", at=now) for n in range(30)]
    every += [
        facts.promise("soon", due_at=soon, at=now),
        facts.promise("late", due_at=late, at=now),
    ]
    http.post("/events", json=every)
    page = http.get("/customers/c1/journey").text
    section = page[page.index('id="promises"') : page.index('id="timeline"')]
    names = re.findall(r"<code><bdi>(.*?)</bdi>", section)
    assert names[:2] == ["late", "soon"]
    assert len(names) == 12
    assert "of 32" in section
    assert len(http.get("/customers/c1/journey.json").json()["promises"]) == 32
    anchor = re.search(r'href="#(e\d+)"><code><bdi>late<', section)[1]
    assert f'id="{anchor}"' in page


def test_consent_is_said_where_it_changes(http, facts):
    """On every card it would hide the change."""
    states = ["unknown", "unknown", "granted", "granted", "unknown"]
    http.post("/events", json=[facts.interaction(consent={"state": state}) for state in states])
    page = http.get("/customers/c1/journey").text
    assert re.findall(r"<bdi>consent</bdi> <bdi>(\w+)</bdi>", page) == [
        "unknown",
        "granted",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("query", "who"),
    [
        ("touchpoint=checkout.pay", ["c2", "c1"]),
        ("touchpoint=search", ["c1"]),
        ("problem=slow", ["c3"]),
        ("problem=none", []),
    ],
)
def test_everyone_behind_a_row_of_the_overview_can_be_found(http, facts, query, who):
    """A touchpoint leads to who was there, a problem to whom it hit, the latest first."""
    now = datetime.now(UTC)
    http.post(
        "/events",
        json=[
            facts.interaction("c1", at=now - timedelta(minutes=2)),
            facts.interaction("c1", "search", at=now),
            facts.interaction("c2", at=now - timedelta(minutes=1)),
            facts.interaction("c3", action="started", at=now),
            facts.problem("c3", "slow", at=now),
            facts.problem(None, "slow", at=now, anonymous=True),
        ],
    )
    page = http.get(f"/customers?{query}").text
    assert re.findall(r'href="/customers/(\w+)/journey"', page) == who
    if who:
        assert f'href="/customers?{query}"' in http.get("/").text


def test_long_words_of_customers_are_folded(http, facts):
    """A text of pages is folded to its beginning, and all of it is there."""
    text = "It never worked. " * 100
    http.post("/events", json=[facts.feedback(answers=[{"question": "why", "text": text.strip()}])])
    page = http.get("/customers/c1/journey").text
    assert "<details><summary>" in page
    assert text.strip() in page


def test_journey_of_an_anonymous_visit_links_to_its_own_json(http, facts):
    """An identifier of another space is looked for in that space."""
    http.post("/events", json=[facts.interaction({"anonymous_id": "same"}), facts.reaction("same")])
    page = http.get("/customers/same/journey?space=anonymous").text
    link = re.search(r'href="([^"]*journey\.json[^"]*)"', page)[1]
    assert http.get(link).json()["customer"]["space"] == "anonymous"


def test_a_period_is_said_with_the_day_it_ends(http, facts):
    """Two years of warranty end on a day that nobody should have to work out."""
    http.post("/events", json=[facts.promise("w", duty="in_force_until", period="P2Y")])
    page = http.get("/customers/c1/journey").text
    assert "in force until <bdi>2028-05-04 10:00 UTC (P2Y)</bdi>" in page


@pytest.mark.browser
def test_paper_is_white_whatever_the_screen(filled, page):
    """Printed from a dark screen, text is black on white and navigation stays away."""
    tab = page(filled.base_url.join("/"), scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    colours = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    body = tab.locator("body")
    assert body.evaluate(colours) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    assert not tab.locator(".spans").is_visible()
