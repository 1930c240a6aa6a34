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
def shop(examples, collector, environ):
    """
    The shop on a free port; its address.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "run", "--port", "0"],
        cwd=examples / "flask_shop",
        env=environ | {"CXSDK_COLLECTOR": collector.url, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if found := re.search(r"Running on (http://\S+)", line):
                break
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def bodies(rows, family):
    found = rows("SELECT body FROM events WHERE family = ? ORDER BY time, n", family)
    return [json.loads(body)["data"] for (body,) in found]


def test_a_customer_from_login_to_feedback(shop, rows, eventually):
    """Login, purchase with a promise, declined card, chat, feedback: each is there as it was."""
    with httpx.Client(base_url=shop) as visit:
        assert visit.post("/login", data={"user": "c-7"}).json() == {"hello": "c-7"}
        bought = visit.post("/checkout", data={"amount": "19.90"}).json()
        declined = visit.post("/checkout", data={"amount": "5", "card": "declined"})
        assert declined.status_code == 402
        assert visit.post("/support", data={"waited": "40", "transfers": "1"}).status_code == 200
        said = {"csat": "4", "text": "Schnell 👍", "about": bought["interaction"]}
        assert visit.post("/feedback", data=said).status_code == 201
    assert eventually(lambda: rows("SELECT count(*) FROM events") == [(6,)])
    paid, refused, chat = bodies(rows, "interaction")
    assert (paid["outcome"], paid["goal_met"]) == ("success", "yes")
    assert paid["value"] == {"amount": "19.90", "currency": "EUR"}
    assert (refused["outcome"], refused["reason"]) == ("failure", "card_declined")
    assert (chat["wait_ms"], chat["effort"]) == (40_000, {"transfers": 1})
    (promise,) = bodies(rows, "commitment")
    assert promise["due_date"] == bought["due"]
    assert promise["made_in"] == bought["interaction"]
    (feedback,) = bodies(rows, "feedback")
    assert feedback["about"] == {"interaction_ids": [bought["interaction"]]}
    everyone = [body["customer"]["id"] for body in (paid, refused, chat, promise, feedback)]
    assert everyone == ["c-7"] * 5


def test_a_wrong_feedback_is_told_and_not_kept(shop, rows):
    """Csat 9 is no answer on a scale of 1 to 5: 422, and the shop goes on."""
    with httpx.Client(base_url=shop) as visit:
        visit.post("/login", data={"user": "c-8"})
        answer = visit.post("/feedback", data={"csat": "9"})
        assert (answer.status_code, answer.json()) == (422, {"error": "invalid"})
        assert visit.post("/feedback", data={"csat": "5"}).status_code == 201
    assert rows("SELECT count(*) FROM events WHERE family = 'feedback'")[0][0] <= 1


def test_the_application_is_short(examples):
    """An example that does not fit on two screens is not read."""
    assert len((examples / "flask_shop" / "app.py").read_text().splitlines()) <= 80


def test_it_uses_public_names_only(examples):
    """``import cxsdk as cx``, and every name it takes is in ``__all__``."""
    import cxsdk

    text = (examples / "flask_shop" / "app.py").read_text()
    assert re.findall(r"^(?:from|import) cxsdk.*$", text, re.MULTILINE) == ["import cxsdk as cx"]
    assert set(re.findall(r"\bcx\.(\w+)", text)) <= set(cxsdk.__all__)
