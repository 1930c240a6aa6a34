"""
The Flask example: served by ``flask run``, visited over HTTP, read back from the collector.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import httpx
import pytest


@pytest.fixture
def serve(examples, collector, environ):
    """
    Start a worker of the shop on a free port; return its address.
    """
    running = []

    def serve():
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", "run", "--port", "0"],
            cwd=examples / "flask_shop",
            env=environ
            | {
                "CXSDK_COLLECTOR": collector.url,
                "CXSDK_PROMPT_DEADLINE": "10",  # a busy machine is not what is tested
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        for line in process.stderr:
            if found := re.search(r"Running on (http://\S+)", line):
                return found[1]
        raise AssertionError("the shop did not start")

    yield serve
    for process in running:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def bodies(rows, family):
    found = rows("SELECT body FROM events WHERE family = ? ORDER BY time, n", family)
    return [json.loads(body)["data"] for (body,) in found]


def form_of(page):
    """Return where the form of a page posts to."""
    return re.search(r'<form[^>]*action="([^"]+)"', page)[1]


def test_a_customer_from_login_to_feedback(serve, rows, eventually):
    """Login, purchase with a promise, the answer to what was asked, declined card, chat."""
    with httpx.Client(base_url=serve()) as visit:
        assert visit.post("/login", data={"user": "c-7"}).json() == {"hello": "c-7"}
        page = visit.post("/checkout", data={"amount": "19.90"}, follow_redirects=True)
        assert "It was easy to pay." in page.text
        answer = visit.post(form_of(page.text), data={"effort": "2", "why": "Zu viele Felder 🙁"})
        assert answer.status_code in {200, 303}
        declined = visit.post("/checkout", data={"amount": "5", "card": "declined"})
        assert declined.status_code == 402
        assert visit.post("/support", data={"waited": "40", "transfers": "1"}).status_code == 200
    expected = {"interaction": 3, "feedback": 1, "commitment": 2, "identity": 1}
    families = "SELECT family, count(*) FROM events WHERE family <> 'prompt' GROUP BY family"
    assert eventually(lambda: dict(rows(families)) == expected)
    paid, refused, chat = bodies(rows, "interaction")
    assert (paid["outcome"], paid["goal_met"]) == ("success", "yes")
    assert paid["value"] == {"amount": "19.90", "currency": "EUR"}
    assert (refused["outcome"], refused["reason"]) == ("failure", "card_declined")
    assert (chat["wait_ms"], chat["effort"]) == (40_000, {"transfers": 1})
    delivery, callback = bodies(rows, "commitment")
    assert (delivery["kind"], delivery["made_in"]) == ("delivery", paid["interaction_id"])
    (feedback,) = bodies(rows, "feedback")
    assert feedback["about"]["interaction_ids"] == [paid["interaction_id"]]
    assert [given.get("value", given.get("text")) for given in feedback["answers"]] == [
        2,
        "Zu viele Felder 🙁",
    ]
    assert (callback["kind"], callback["about"]["event_ids"]) == (
        "callback",
        [feedback["feedback_id"]],
    )
    everyone = [body["customer"]["id"] for body in (paid, refused, chat, delivery, feedback)]
    assert everyone == ["c-7"] * 5


def test_another_worker_asks_after_the_redirect(serve, rows, eventually, collector):
    """POST here, GET and answer there; the answer is in that journey, and nobody asks twice."""
    first, second = serve(), serve()
    with httpx.Client() as visit:
        visit.post(f"{first}/login", data={"user": "c-9"})
        visit.post(f"{first}/checkout", data={"amount": "7"})
        page = visit.get(f"{second}/thanks").text
        assert form_of(visit.get(f"{first}/thanks").text) == form_of(page)  # loaded again
        assert visit.post(f"{second}{form_of(page)}", data={"effort": "6"}).status_code in {
            200,
            303,
        }
        visit.post(f"{first}/checkout", data={"amount": "8"})
        assert "<form" not in visit.get(f"{second}/thanks").text
    found = "SELECT count(*) FROM events WHERE family = 'feedback'"
    assert eventually(lambda: rows(found) == [(1,)])
    journey = httpx.get(f"{collector.url}/customers/c-9/journey").text
    assert "It was easy to pay" in journey or "effort" in journey


def test_the_application_is_short(examples):
    """An example that does not fit on two screens is not read."""
    assert len((examples / "flask_shop" / "app.py").read_text().splitlines()) <= 80


def test_it_uses_public_names_only(examples):
    """``import cxsdk as cx``, and every name it takes is in ``__all__``."""
    import cxsdk

    text = (examples / "flask_shop" / "app.py").read_text()
    assert re.findall(r"^(?:from|import) cxsdk.*$", text, re.MULTILINE) == ["import cxsdk as cx"]
    assert set(re.findall(r"\bcx\.(\w+)", text)) <= set(cxsdk.__all__)
