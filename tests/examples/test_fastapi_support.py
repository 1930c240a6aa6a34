"""
The support desk: served by uvicorn, spoken to over HTTP, read back from the collector.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

ANNA, BEN = {"authorization": "Bearer anna"}, {"authorization": "Bearer ben"}
DESK = {"authorization": "Bearer desk"}
GUARD_S = 30.0


@pytest.fixture
def desk(examples, collector, environ):
    """Start the desk on a free port; end it as a server is ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", "0", "--log-level", "info"],
        cwd=examples / "fastapi_support",
        env=environ
        | {
            "CXSDK_COLLECTOR": collector.url,
            "CXSDK_PROMPT_DEADLINE": "10",  # a busy machine is not what is tested
            "PYTHONDONTWRITEBYTECODE": "1",
            # A checkout that is tested from elsewhere is what is served.
            "PYTHONPATH": os.pathsep.join((str(examples.parent), environ.get("PYTHONPATH", ""))),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if found := re.search(r"running on (http://\S+)", line):
            break
    else:
        raise AssertionError("the desk did not start")
    with httpx.Client(base_url=found[1], timeout=GUARD_S) as client:
        yield client
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=GUARD_S)
    assert process.returncode in {0, -signal.SIGINT, 130}


@pytest.fixture
def bodies(rows):
    """Return the data of a family, in the order of their time."""

    def bodies(family, customer=None):
        found = rows("SELECT body FROM events WHERE family = ? ORDER BY time, n", family)
        every = [json.loads(body)["data"] for (body,) in found]
        return [one for one in every if customer in {None, one["customer"]["id"]}]

    return bodies


def opened(desk, who=ANNA, **said):
    """Open a case; return its number."""
    answer = desk.post("/cases", json={"subject": "Where is it?", **said}, headers=who)
    return answer.json()["case"]


def heard(desk, number, who=ANNA):
    """Listen to a chat until it is closed."""
    with desk.stream("GET", f"/cases/{number}/chat", headers=who) as response:
        return re.findall(r"event: (\w+)\ndata: (.*)\n\n", "".join(response.iter_text()))


def said(desk, number, text, asks=None):
    """Let the agent say something."""
    line = {"text": text, "asks": asks}
    return desk.post(f"/desk/cases/{number}/messages", json=line, headers=DESK).json()


def seen(desk, number):
    """Return what the agent sees of a case."""
    return desk.get(f"/desk/cases/{number}", headers=DESK).json()


@pytest.fixture
def chat(desk, eventually):
    """Talk about a case and close it; return what the agent was told, and what was heard."""

    def chat(number, *lines, solved="yes", who=ANNA):
        with ThreadPoolExecutor(1) as pool:
            hears = pool.submit(heard, desk, number, who)
            assert eventually(lambda: seen(desk, number)["is_here"])
            told = [said(desk, number, *line) for line in lines]
            desk.post(f"/desk/cases/{number}/close", params={"solved": solved}, headers=DESK)
            return told, hears.result(GUARD_S)

    return chat


def test_a_case_from_opening_to_the_answer(desk, chat, bodies, eventually):
    """Opened, talked about, closed, asked about; the answer is about that chat."""
    number = opened(desk, order="A-1")
    before = desk.get(f"/cases/{number}/prompt", headers=ANNA).json()
    told, lines = chat(number, ("Hello Anna!",), ("It comes tomorrow.",))
    assert [one["sent"] for one in told] == [True, True]
    assert lines == [("desk", "Hello Anna!"), ("desk", "It comes tomorrow."), ("closed", "yes")]
    asked = eventually(lambda: desk.get(f"/cases/{number}/prompt", headers=ANNA).json()["ask"])
    assert (before["ask"], [each["id"] for each in asked["questions"]]) == (None, ["effort", "why"])
    answered = desk.post(
        asked["urls"]["answer"], json={"answers": {"effort": 2, "why": "Too slow"}}
    )
    assert answered.json()["outcome"] == "accepted"
    assert eventually(lambda: len(bodies("interaction")) == 2 and bodies("feedback"))
    opening, talk = bodies("interaction", "u-17")
    assert (opening["where"]["touchpoint"], opening["where"]["channel"]) == ("case.open", "api")
    assert (talk["where"]["touchpoint"], talk["where"]["medium"]) == ("case.chat", "chat")
    assert (talk["outcome"], talk["goal_met"]) == ("success", "yes")
    assert talk["performed_by"]["kind"] == "employee"
    (feedback,) = bodies("feedback")
    assert feedback["about"]["interaction_ids"] == [talk["interaction_id"]]
    (callback,) = bodies("commitment")
    assert (callback["kind"], callback["customer"]["id"]) == ("callback", "u-17")


def test_nobody_is_asked_twice_and_the_agent_knows_who_it_is(desk, chat, bodies, eventually):
    """The question of the first chat is not put in the second; contacts and promises are seen."""
    first = opened(desk)
    told, _ = chat(first, ("Which order?", "order_number"), solved="no")
    desk.post(f"/desk/cases/{first}/callback", params={"hours": 1}, headers=DESK)
    again = opened(desk)
    (refused,), lines = chat(again, ("Which order?", "order_number"))
    assert (told[0]["asked_before"], refused["sent"]) == (False, False)
    assert lines == [("closed", "yes")]
    view = seen(desk, again)
    assert (view["name"], view["plan"]) == ("Anna Gruber", "gold")
    assert view["promises"] == {f"callback-{first}": "open"}
    assert view["asked_before"] == ["order_number"]
    assert {"where": "case.chat", "outcome": "success"} in view["contacts"]
    assert view["not_known"] == []
    assert eventually(lambda: len(bodies("interaction")) == 4)
    last = bodies("interaction")[-1]
    assert last["effort"]["questions_repeated"] == 1
    assert last["memory"]["repeat_of"] == bodies("interaction")[1]["interaction_id"]


def test_a_customer_who_leaves_the_chat_has_abandoned_it(desk, bodies, eventually):
    """The connection is closed before the case is."""
    number = opened(desk)
    said(desk, number, "Hello?")
    with desk.stream("GET", f"/cases/{number}/chat", headers=ANNA) as response:
        next(response.iter_text())
    assert eventually(lambda: len(bodies("interaction")) == 2)
    assert bodies("interaction")[-1]["outcome"] == "abandoned"
    assert seen(desk, number)["is_here"] is False


def test_a_callback_is_kept_or_broken(desk, bodies, eventually):
    """Each of two customers has their own; a call of ours is an outbound contact."""
    kept, broken = opened(desk), opened(desk, BEN)
    for number, became in ((kept, "kept"), (broken, "broken")):
        desk.post(f"/desk/cases/{number}/callback", headers=DESK)
        desk.post(f"/desk/cases/{number}/callback/{became}", headers=DESK)
    assert eventually(lambda: len(bodies("commitment")) == 4 and len(bodies("interaction")) == 3)
    states = {one["customer"]["id"]: one["state"] for one in bodies("commitment")}
    assert states == {"u-17": "kept", "u-18": "broken"}
    call = next(one for one in bodies("interaction") if one["direction"] == "outbound")
    assert (call["where"]["channel"], call["customer"]["id"]) == ("contact_center", "u-17")


def test_a_problem_of_many_is_made_good_once(desk, bodies, eventually):
    """Also to who never complained; told again, nobody gets a second refund."""
    hit = {"key": "truck-7", "orders": ["A-1", "A-2", "A-3", "A-9"]}
    assert desk.post("/desk/outages", json=hit, headers=DESK).json() == {"hit": 3}
    number = opened(desk)
    assert seen(desk, number)["open_problems"] == ["delivery_failure"]
    assert eventually(lambda: len(bodies("problem")) == 3)
    first = desk.post("/desk/outages/truck-7/make-good", headers=DESK).json()
    assert (first["customers"], first["left"]) == (3, 3)
    assert eventually(lambda: len(bodies("commitment")) == 3)
    again = desk.post("/desk/outages/truck-7/make-good", headers=DESK).json()
    assert (again["left"], again["made_good"]) == (0, 3)
    refunds = {one["customer"]["id"]: one["kind"] for one in bodies("commitment")}
    assert refunds == dict.fromkeys(("u-17", "u-18", "u-19"), "refund")
    assert seen(desk, number)["promises"] == {"truck-7-u-17": "open"}


def test_others_have_no_business_there(desk, bodies):
    """Strangers and other customers see nothing, and customers no desk."""
    number = opened(desk)
    paths = (f"/cases/{number}/chat", f"/cases/{number}/prompt")
    assert [desk.get(path).status_code for path in paths] == [401, 401]
    assert [desk.get(path, headers=BEN).status_code for path in paths] == [404, 404]
    assert desk.get(f"/desk/cases/{number}", headers=ANNA).status_code == 401


def test_the_application_is_compact_and_uses_public_names(examples):
    """An example that does not fit on a few screens is not read."""
    import cxsdk

    for name, most in (("app.py", 120), ("desk.py", 150), ("cases.py", 110)):
        text = (examples / "fastapi_support" / name).read_text()
        assert len(text.splitlines()) <= most
        assert set(re.findall(r"\bcx\.(\w+)", text)) <= set(cxsdk.__all__)
