"""
ihatemoney 7.2, a Flask application with many users that nobody here has written.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integrations.foreign.page import Page
from tests.integrations.foreign.story import told

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parent / "ihatemoney"
CODE = "correct horse 9"


@pytest.fixture(scope="module")
def python(environment):
    return environment("ihatemoney", "flask,prompts")


@pytest.fixture
def serve(python, run, collector, tmp_path):
    """
    Return a function that starts the application, plain or with cxsdk.
    """

    def serve(module):
        data = tmp_path / module
        data.mkdir()
        command = (
            python,
            "-m",
            "flask",
            "--app",
            f"{module}:app",
            "run",
            "--no-reload",
            "--port",
            "{port}",
        )
        environ = {
            "BUDGET_FOLDER": str(data),
            "CXSDK_COLLECTOR": collector.url,
            "CXSDK_SPOOL_DIR": str(data / "spool"),
        }
        return run(FOLDER, command, environ)

    return serve


def walk(base, project="flat", **cookies):
    """
    A household opens a shared budget, writes a bill, settles it, leaves and comes back.
    """
    with Page(base, "csrf_token", **cookies) as page:
        page.get("/")
        page.get("/create")
        page.post(
            "/create",
            name=project.title(),
            id=project,
            password=CODE,
            contact_email="ada@example.org",
            default_currency="XXX",
        )
        for name in ("Ada", "Grace"):
            page.post(f"/{project}/members/add", name=name, weight="1").has(name)
        page.get(f"/{project}/add")
        ada, grace = re.findall(r'name="payed_for"[^>]*value="(\d+)"', page.answer.text)
        page.post(
            f"/{project}/add",
            date="2026-11-26",
            what="Kettle",
            payer=ada,
            amount="24.90",
            original_currency="XXX",
            payed_for=[ada, grace],
            bill_type="Expense",
            submit="Submit",
        ).has("Kettle")
        page.get("/static/css/main.css")
        page.get("/healthcheck")
        page.get(f"/{project}/settle_bills").has("12.45")
        page.post(f"/{project}/settle", amount="12.45", sender_id=grace, receiver_id=ada)
        page.post("/exit")
        page.get(f"/{project}/")  # → 303 to /authenticate, raised before any view
        page.post("/authenticate", id=project, password="wrong", submit="Get in")
        page.post("/authenticate", id=project, password=CODE, submit="Get in").has("Kettle")
        page.get("/static/nothing.css", status=404)
        return page.seen


# Of a household that agreed: what it did, in order, and who it was when it did.
STORY = [
    ("home.look", "success", "visitor"),
    ("identified", None, "flat"),
    ("budget.open", "success", "flat"),
    ("budget.look", "success", "flat"),
    ("project_id.members.add.post", "success", "flat"),
    ("budget.look", "success", "flat"),
    ("project_id.members.add.post", "success", "flat"),
    ("budget.look", "success", "flat"),
    ("bill.add", "success", "flat"),
    ("budget.look", "success", "flat"),
    ("bill.settle", "success", "flat"),
    ("exit.post", "success", "flat"),
    ("home.look", "success", "visitor"),
    ("budget.look", "deferred", "visitor"),  # not let in: redirected before any view
    ("budget.enter", "failure", "visitor"),
    ("identified", None, "flat"),
    ("budget.enter", "success", "flat"),
    ("budget.look", "success", "flat"),
]


def test_a_household_has_a_journey(serve, journey, stored):
    """By settings alone: ordered, with outcomes, the visitor linked, nothing twice, no files."""
    walk(serve("cx_wsgi"), consent="granted")
    events = journey("flat", len(STORY))
    assert told(events) == STORY
    assert sorted(event["id"] for event in stored()) == sorted(event["id"] for event in events)

    names = [event["data"]["customer"].get("anonymous_id") for event in events]
    before, after = names[0], names[12]
    assert (names[1], names[15]) == (before, after)
    assert before != after  # who left is nobody's visitor any more
    wrong = events[14]["data"]
    assert (wrong["reason"], wrong["where"]["channel"]) == ("wrong_code", "web")


def test_who_has_not_agreed_is_only_known_after_opening_a_budget(serve, journey, stored):
    """No visitor is kept, and what the household does is."""
    seen = walk(serve("cx_wsgi"), project="house")
    expected = [(n, o, "house") for n, o, who in STORY if who == "flat"]
    assert told(journey("house", len(expected))) == expected
    assert len(stored()) == len(expected)
    assert not any("cx_visitor" in cookies for *_, cookies, _ in seen)


def test_its_pages_are_what_they_were(serve):
    """Statuses, headers, cookies and bodies of the whole walk, tokens aside."""
    ours = serve("cx_wsgi")
    plain, same = walk(serve("budget_wsgi")), walk(ours)
    assert [each[:5] for each in same] == [each[:5] for each in plain]
    for one, other in zip(same, plain, strict=True):
        assert one[5] == other[5]

    agreed = walk(ours, project="home", consent="granted")
    assert [each[4] for each in agreed] == [each[4] for each in plain]
    # Its own session names the visitor from the first page on.
    assert not any("cx_visitor" in each[4] for each in agreed)
