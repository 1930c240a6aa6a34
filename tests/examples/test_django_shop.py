"""
The Django example: its own server, a browser, the admin, two years; read back from the collector.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta

import httpx
import pytest

from tests.prompts.cap_servers import free_port

MANAGE = [sys.executable, "manage.py"]
CARD = "4242 4242 4242 4242"


@pytest.fixture
def environ(environ, collector, tmp_path):
    """That of the shop: its database, its collector."""
    return environ | {
        "CXSDK_COLLECTOR": collector.url,
        "CXSDK_PROMPT_DEADLINE": "10",  # a busy machine is not what is tested
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "error::DeprecationWarning:shop",
        "SHOP_DB": str(tmp_path / "shop.db"),
    }


@pytest.fixture
def manage(examples, environ):
    """Run a command of the project; return what it says."""

    def manage(*words):
        done = subprocess.run(
            [*MANAGE, *words],
            cwd=examples / "django_shop",
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return manage


@pytest.fixture
def serve(examples, environ, manage, tmp_path):
    """
    Make the database and start the shop on a free port; return its address.
    """
    running = []

    def serve(**more):
        port = free_port()
        with (tmp_path / f"log-{port}").open("wb") as log:
            process = subprocess.Popen(
                [*MANAGE, "runserver", "--noreload", str(port)],
                cwd=examples / "django_shop",
                env=environ | more,
                stdout=log,
                stderr=log,
            )
        running.append(process)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.closing(socket.socket()) as made:
                if made.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            assert process.poll() is None, (tmp_path / f"log-{port}").read_text()
            time.sleep(0.05)
        raise AssertionError("the shop did not start")

    manage("migrate", "-v", "0")
    manage("seed")
    yield serve
    for process in running:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture
def bodies(rows):
    """The events of a family, in order."""

    def bodies(family):
        found = rows("SELECT body FROM events WHERE family = ? ORDER BY time, n", family)
        return [json.loads(body)["data"] for (body,) in found]

    return bodies


@pytest.fixture
def told(bodies):
    """(touchpoint, outcome) of all interactions, in order."""

    def told():
        return [(one["where"]["touchpoint"], one["outcome"]) for one in bodies("interaction")]

    return told


def two_years_ago():
    """A day on which a warranty of two years begins that ends within a month from now."""
    return (datetime.now().astimezone().date() - timedelta(days=710)).isoformat()


# ---- a browser ----------------------------------------------------------------------------------


@pytest.fixture(params=["desktop", "phone"])
def visit(request, chromium, tmp_path):
    """A browser window; on the phone without JavaScript. ``look`` keeps a picture of each page."""
    is_phone = request.param == "phone"
    size = {"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 900}
    context = chromium.new_context(viewport=size, java_script_enabled=not is_phone)
    page = context.new_page()
    page.set_default_timeout(20_000)
    taken = []

    def look():
        taken.append(tmp_path / "shots" / f"{request.param}-{len(taken) + 1:02}.png")
        page.screenshot(path=taken[-1], full_page=True)
        assert page.locator("main").first.bounding_box()["width"] <= size["width"]

    page.look = look
    yield page
    context.close()


@pytest.mark.browser
def test_a_customer_from_the_first_visit_to_the_reminder(
    visit, serve, manage, eventually, bodies, told
):
    """Agreed, looked, registered, declined, paid, asked, helped in the admin, reminded."""
    shop = serve(SHOP_TODAY=two_years_ago())
    buy(visit, shop)
    answer(visit)
    complain(visit, shop)
    expected = [
        ("products.slug", "success"),
        ("cart.put", "success"),
        ("checkout.pay", "failure"),
        ("checkout.pay", "success"),
        ("support.chat", "success"),
    ]
    assert eventually(lambda: told() == expected), told()
    assert eventually(lambda: len(bodies("feedback")) == 1)
    looked, _, refused, paid, _ = bodies("interaction")
    assert refused["reason"] == "card_declined"
    assert paid["value"] == {"amount": "349.00", "currency": "EUR"}
    (joined,) = bodies("identity")
    assert joined["customer"]["anonymous_id"] == looked["customer"]["anonymous_id"]
    assert bodies("feedback")[0]["about"]["interaction_ids"] == [paid["interaction_id"]]
    # The order that the bank declined was promised to nobody.
    made = [one for one in bodies("commitment") if one.get("kind") in {"delivery", "warranty"}]
    assert [one["kind"] for one in made] == ["delivery", "warranty"]
    assert {one["made_in"] for one in made} == {paid["interaction_id"]}

    assert "anna: has an open problem" in manage("remind")
    agent(visit, shop)
    assert eventually(lambda: told()[5:] == [("support.answer", "success")] * 2), told()
    assert eventually(lambda: len(bodies("problem")) == 2)
    said = manage("remind")
    assert re.search(r"anna, the warranty of your Espresso machine ends on \d{4}-\d\d-\d\d", said)
    assert manage("remind") == ""
    assert told()[7:] == [("warranty.remind", "success")]
    known = {one["customer"]["id"] for one in bodies("interaction")[2:]}
    assert known == {joined["customer"]["id"]}
    promises = {one["commitment_id"]: one["state"] for one in bodies("commitment")}
    ours = {name: state for name, state in promises.items() if name.endswith("-1")}
    assert ours == {"delivery-1": "kept", "warranty-1": "made", "callback-1": "made"}


def buy(visit, shop):
    """From the first page to the thanks."""
    visit.goto(shop)
    visit.look()
    visit.click("text=Yes")
    visit.click("text=Espresso machine")
    visit.look()
    visit.click("text=Add to cart")
    visit.look()
    visit.click("text=Check out")
    visit.click("main >> text=Register")
    visit.look()
    for name, text in (("username", "anna"), ("password1", "secret"), ("password2", "secret")):
        visit.fill(f"[name={name}]", text)
    visit.click("main button")
    visit.fill("[name=card]", "4000 0000 0000 0002")
    visit.click("main button")
    assert "declined" in visit.inner_text("[role=alert]")
    visit.look()
    visit.fill("[name=card]", CARD)
    visit.click("main button")
    assert visit.inner_text("h1") == "Thank you, anna"


def answer(visit):
    """Loaded again, it is the same question, about that purchase."""
    visit.reload()
    visit.look()
    visit.check("input[value='2']")
    visit.locator("[name=why]").fill("Too many fields.")
    visit.get_by_role("button", name="Send").click()
    visit.wait_for_selector("text=/Thank you for telling us|answer has arrived/")
    visit.look()


def complain(visit, shop):
    """It arrived, and something is wrong with it; which order it is, is known."""
    visit.goto(f"{shop}/orders")
    visit.click("text=It has arrived")
    visit.wait_for_selector("text=arrived")
    visit.look()
    visit.click("text=Something is wrong")
    visit.fill("[name=text]", "It makes no steam.")
    visit.click("text=Send")
    visit.wait_for_selector("text=It makes no steam.")
    visit.look()


def agent(visit, shop):
    """The story stands below the chat, in the admin; nobody has to ask for it."""
    visit.context.clear_cookies()
    visit.goto(f"{shop}/admin/shop/case/")
    visit.fill("[name=username]", "agent")
    visit.fill("[name=password]", "agent")
    visit.click("[type=submit]")
    visit.look()
    visit.click("text=It makes no steam.")
    visit.look()
    text = visit.inner_text("main")
    for known in (
        "anna",
        "defect, order 1",
        "warranty until",
        "Paid, failure (card declined)",
        "Looked at a product, success",
        "ces 2 of 7",
        "Order 1 of 2",
    ):
        assert known in text
    assert "Not known" not in text
    assert "overdue" not in text
    visit.fill("[name=text]", "A new one is on its way; we call you.")
    visit.fill("[name=until]", (datetime.now().astimezone().date() + timedelta(days=2)).isoformat())
    visit.click("[name=_continue]")
    assert "we call you." in visit.inner_text("main")
    assert "callback until" in visit.inner_text("main")
    visit.fill("[name=text]", "All is well now.")
    visit.check("[name=solved]")
    visit.click("[name=_save]")
    visit.wait_for_selector("text=was changed successfully")


# ---- without a browser --------------------------------------------------------------------------


def test_one_command_runs_it(copied, environ, tmp_path):
    """Database, collector and shop, by ``python run.py``; both end with it."""
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "run.py", str(port)],
            cwd=copied("django_shop"),
            env=environ,
            stdout=out,
            stderr=out,
        )
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                page = httpx.get(f"http://127.0.0.1:{port}/")
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        assert (page.status_code, "Espresso machine" in page.text) == (200, True)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_the_project_has_nothing_to_complain_of(manage):
    """``manage.py check`` finds nothing, no migration is missing, and doctor sees the settings."""
    manage("migrate", "-v", "0")
    assert "no issues" in manage("check", "--database", "default")
    assert "No changes" in manage("makemigrations", "--check", "--dry-run")
    assert "django-shop" in manage("cx", "doctor", "--timeout", "20")
    assert "0 errors" in manage("cx", "prompts", "check")
