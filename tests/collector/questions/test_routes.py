"""
The questions over HTTP and as pages, in a real browser with JavaScript off.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from cxsdk.collector.questions.affected import COLUMNS

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
HEBREW = "\u05dc\u05e7\u05d5\u05d7"
LONG = "x" * 190
WIDTHS = (1280, 390, 360)
PATHS = {
    "due": "/due",
    "due-ending": "/due?what=ending&days=3&warranty_days=60",
    "affected": "/affected?problem=defect",
    "affected-all": "/affected?problem=defect&all=1&limit=3",
    "affected-late": "/affected?kind=delivery&outcome=late",
    "affected-begin": "/affected",
    "affected-nobody": "/affected?touchpoint=no.such",
    "silent": "/silent",
    "silent-broken": "/silent?only=broken&kind=delivery",
    "wrong": "/affected?problem=x&since=soon",
}


def trouble(facts, now):
    """
    Customers with names that are hard to show, what they met, and what was promised to them.
    """
    names = ["anna", HOSTILE, HEBREW, LONG, {"anonymous_id": "visit-7"}]
    refund = {"kind": "refund", "due_date": (now + timedelta(days=2)).date().isoformat()}
    for n, who in enumerate(names):
        made = now - timedelta(days=9, hours=n)
        due = (now - timedelta(days=5)).isoformat()
        org = {"kind": "partner", "partner_role": "carrier", "org": "dhl"}
        yield facts.problem(who, "defect", id=f"e{n}", at=made)
        yield facts.promise(f"p{n}", customer=who, due_at=due, at=made, promised_by=org)
        yield facts.promise(f"p{n}", "broken" if n % 2 else "kept", customer=who, at=now)
        yield facts.promise(f"{LONG}{n}", customer=who, due_at=due, at=made)
        yield facts.promise(
            f"w{n}", customer=who, kind="warranty", duty="in_force_until", at=made,
            due_date=(now + timedelta(days=20)).date().isoformat(), where={"tz": "Europe/Vienna"},
        )  # fmt: skip
        yield facts.interaction(who, "repair." + "long_name_" * 6 + "x", outcome="failure", at=made)
    yield facts.promise(
        "good", customer="anna", about={"event_ids": ["e0"]}, where={"tz": "UTC"}, at=now, **refund
    )
    yield facts.reaction(HEBREW, "complain", at=now)
    yield facts.score(1, customer=HOSTILE, at=now)


@pytest.fixture
def filled(http, facts):
    """
    A client of a collector with trouble.
    """
    answer = http.post("/events", json=list(trouble(facts, datetime.now(UTC))))
    assert answer.json()["rejected"] == []
    return http


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PATHS)
def test_pages_fit_and_stay_quiet(filled, page, tmp_path, name, width):
    """No sideways scrolling, no console error, no CSP violation, with and without JavaScript."""
    url = filled.base_url.join(PATHS[name])
    still = page(url, width)
    still.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
    live = page(url, width, scripts=True)
    assert live.evaluate("document.documentElement.scrollWidth") <= width
    missing = [str(url)] if name == "wrong" else []
    for tab in (still, live):
        assert [text for text in tab.complaints if "status of 400" not in text] == missing
    assert live.evaluate("document.scripts.length") == 0


@pytest.mark.browser
@pytest.mark.parametrize("path", ["/due", "/affected?problem=defect", "/silent"])
def test_empty_pages_say_what_to_do(http, page, tmp_path, path):
    """An empty store is no error, at any width."""
    tab = page(http.base_url.join(path), 360)
    tab.screenshot(path=tmp_path / "empty.png", full_page=True)
    assert tab.complaints == []
    assert tab.locator("section.empty h2").count() == 1


@pytest.mark.browser
def test_hostile_and_foreign_names_are_shown_as_text(filled, page):
    """Markup appears as it is, isolated from the text around it, and runs nothing."""
    for path in ("/due", "/affected?problem=defect", "/silent?only=late"):
        tab = page(filled.base_url.join(path), scripts=True)
        assert tab.locator("img").count() == 0
        assert tab.complaints == []
    tab = page(filled.base_url.join("/affected?problem=defect"), scripts=True)
    for name in (HOSTILE, HEBREW, LONG):
        assert tab.locator("bdi", has_text=name).count() > 0


@pytest.mark.browser
def test_forms_and_links_are_all_it_takes(filled, page):
    """From the start page over the form to the next page and to a customer, without JavaScript."""
    tab = page(filled.base_url)
    tab.click("nav >> text=Affected")
    tab.click("text=defect")
    assert "problem=defect" in tab.url
    tab.check("input[name=all]")
    tab.click("text=Find them")
    assert tab.locator("tbody tr").count() == 5
    tab.goto(str(filled.base_url.join("/affected?problem=defect&all=1&limit=3")))
    tab.click("text=Show more")
    assert tab.locator("tbody tr").count() == 2
    tab.click("text=Back to the first")
    assert tab.locator("tbody tr").count() == 3
    tab.click("tbody a >> nth=0")
    assert tab.locator("h1").inner_text() == "anna"


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.replace("<wbr>", "")))


def test_pages_say_what_their_figures_stand_on(filled):
    """Every count with its base, times in UTC once."""
    due = text_of(filled.get("/due").text)
    for words in ("Overdue 5", "Due soon 1", "Ending soon 5", "company", "(Europe/Vienna)"):
        assert words in due, words
    affected = text_of(filled.get("/affected?problem=defect").text)
    for words in (
        "Still to make good 4 of 5 customers who met it, 5 times",
        "Said something 2 of 5: 1 complained, 1 gave feedback",
        "Made good 1 of 5",
        "said nothing, was not asked",
    ):
        assert words in affected, words
    silent = text_of(filled.get("/silent").text)
    for words in (
        "Had a promise kept or broken 5 customers",
        "Failed every time 5 of 5",
        "Have said nothing since 3 of 5; 3 of them were not asked",
    ):
        assert words in silent, words
    for text in (due, affected, silent):
        assert text.count("times in UTC") == 1


def test_answers_come_as_json_and_csv(filled):
    """The same customers; the file names itself; a wrong parameter is 400 with its name."""
    found = filled.get("/affected.json?problem=defect").json()
    answer = filled.get("/affected.csv?problem=defect&limit=1")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="affected.csv"'
    head, *rows = csv.reader(io.StringIO(answer.text, newline=""))
    assert tuple(head) == COLUMNS
    assert [row[1] for row in rows] == [one["customer"]["id"] for one in found["customers"]]
    for path in ("/due.json?days=x", "/affected.json", "/affected.csv", "/silent.json?only=x"):
        answer = filled.get(path)
        assert answer.status_code == 400
        assert ": expected" in answer.json()["error"]
    assert filled.get("/due?days=x").status_code == 400
    assert filled.post("/due.json").status_code == 405


def test_what_went_wrong_most_often_begins_the_page(filled):
    """Problems, failed contacts and broken promises lead to their customers."""
    html = filled.get("/affected").text
    links = re.findall(r'href="(/affected\?[^"]+)"', html)
    assert "/affected?problem=defect" in links
    assert "/affected?kind=delivery&amp;outcome=late" in links
    for link in links:
        found = filled.get(link.replace("/affected?", "/affected.json?").replace("&amp;", "&"))
        assert found.json()["counts"]["customers"] == 5
