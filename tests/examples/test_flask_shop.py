"""
The Flask example: two workers, a browser, an agent, two years; read back from the collector.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import httpx
import pytest

import cxsdk
import cxsdk.integrations.flask
import cxsdk.lookup

FLASK = [sys.executable, "-m", "flask", "--app", "app"]
CARD = "4242 4242 4242 4242"


@pytest.fixture
def environ(environ, collector, tmp_path):
    """That of the shop: its database, its collector."""
    return environ | {
        "CXSDK_COLLECTOR": collector.url,
        "CXSDK_PROMPT_DEADLINE": "10",  # a busy machine is not what is tested
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHOP_DB": str(tmp_path / "shop.db"),
    }


@pytest.fixture
def serve(examples, environ):
    """
    Start a worker of the shop on a free port; return its address.
    """
    running = []

    def serve(**more):
        process = subprocess.Popen(
            [*FLASK, "run", "--port", "0"],
            cwd=examples / "flask_shop",
            env=environ | more,
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


@pytest.fixture
def remind(examples, environ):
    """Run the command that is run once a day; return what it says."""

    def remind(*words):
        done = subprocess.run(
            [*FLASK, "shop", "remind", *words],
            cwd=examples / "flask_shop",
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return remind


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
    shots = tmp_path / "shots"
    taken = []

    def look():
        taken.append(shots / f"{request.param}-{len(taken) + 1:02}.png")
        page.screenshot(path=taken[-1], full_page=True)
        wide = page.locator("main").bounding_box()["width"]
        assert wide <= size["width"]

    page.look = look
    yield page
    context.close()


@pytest.mark.browser
def test_a_customer_from_the_first_visit_to_the_reminder(
    visit, serve, remind, eventually, bodies, told
):
    """Agreed, looked, registered, declined, paid, asked on another worker, helped, reminded."""
    first, second = serve(SHOP_TODAY=two_years_ago()), serve(SHOP_TODAY=two_years_ago())
    thanks = buy(visit, first)
    answer(visit, second + thanks)
    complain(visit, second)
    expected = [
        ("products.sku", "success"),
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

    assert "Anna: has an open problem" in remind()
    agent(visit, first)
    assert eventually(lambda: told()[5:] == [("support.answer", "success")] * 2), told()
    assert eventually(lambda: len(bodies("problem")) == 2)
    said = remind()
    assert re.search(r"Anna, the warranty of your Espresso machine ends on \d{4}-\d\d-\d\d", said)
    assert remind() == ""
    assert told()[7:] == [("warranty.remind", "success")]
    known = {one["customer"]["id"] for one in bodies("interaction")[2:]}
    assert known == {joined["customer"]["id"]}


def buy(visit, shop):
    """From the first page to the thanks; return the path of the latter."""
    visit.goto(shop)
    visit.look()
    visit.click("text=Yes")
    visit.click("text=Espresso machine")
    visit.look()
    visit.click("text=Add to cart")
    visit.look()
    visit.click("text=Check out")
    visit.look()
    register = visit.locator("form[action='/register']")
    for name, text in (("name", "Anna"), ("login", "anna"), ("password", "secret")):
        register.locator(f"[name={name}]").fill(text)
    register.locator("button").click()
    visit.fill("[name=card]", "4000 0000 0000 0002")
    visit.click("main button")
    assert "declined" in visit.inner_text("[role=alert]")
    visit.look()
    visit.fill("[name=card]", CARD)
    visit.click("main button")
    assert visit.inner_text("h1") == "Thank you, Anna"
    return visit.url.removeprefix(shop)


def answer(visit, thanks):
    """Rendered by another worker than the one that took the money, and about that purchase."""
    visit.goto(thanks)
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
    visit.look()
    visit.click("text=Something is wrong")
    visit.fill("[name=text]", "It makes no steam.")
    visit.click("text=Send")
    visit.look()


def agent(visit, shop):
    """The story stands beside the chat; nobody has to ask for it."""
    visit.context.clear_cookies()
    visit.goto(f"{shop}/login")
    login = visit.locator("form[action='/login']")
    login.locator("[name=login]").fill("agent")
    login.locator("[name=password]").fill("agent")
    login.locator("button").click()
    visit.goto(f"{shop}/agent")
    visit.look()
    visit.click("text=It makes no steam.")
    visit.look()
    text = visit.inner_text("main")
    for known in (
        "Anna",
        "defect, order",
        "warranty until",
        "card declined",
        "Looked at a product",
    ):
        assert known in text
    assert "of 7" in text
    assert "overdue" not in text
    visit.fill("[name=text]", "A new one is on its way; we call you.")
    visit.fill("[name=until]", (datetime.now().astimezone().date() + timedelta(days=2)).isoformat())
    visit.get_by_role("button", name="Answer", exact=True).click()
    visit.wait_for_selector("text=we call you.")
    visit.fill("[name=text]", "All is well now.")
    visit.click("text=Answer and close")
    assert visit.inner_text("main ul") == "Nobody is waiting."


# ---- without a browser --------------------------------------------------------------------------


def test_of_who_said_no_nothing_is_kept(serve, told, eventually):
    """Until they are a customer, whose orders are."""
    with httpx.Client(base_url=serve(), follow_redirects=True) as visit:
        visit.post("/consent", data={"then": "/"})
        visit.get("/products/kettle")
        visit.post("/cart", data={"sku": "kettle"})
        visit.post("/register", data={"login": "ben", "name": "Ben", "password": "x"})
        assert "Thank you, Ben" in visit.post("/checkout", data={"card": CARD}).text
    assert eventually(told) == [("checkout.pay", "success")]


def test_what_is_another_customers_is_not_shown(serve):
    """Orders, cases and the agent's page are for whom they belong to."""
    shop = serve()
    with httpx.Client(base_url=shop, follow_redirects=True) as visit:
        visit.post("/cart", data={"sku": "beans"})
        visit.post("/register", data={"login": "cleo", "name": "Cleo", "password": "x"})
        order = visit.post("/checkout", data={"card": CARD}).url.path
    with httpx.Client(base_url=shop) as other:
        assert other.get("/agent").status_code == 403
        assert other.get("/orders").status_code == 302
        other.post("/register", data={"login": "dora", "name": "Dora", "password": "x"})
        assert other.get(order).status_code == 404
        assert other.get("/agent").status_code == 403
        assert other.post("/checkout", data={"card": CARD}).status_code == 409
        wrong = other.post("/login", data={"login": "cleo", "password": "y"})
        assert wrong.status_code == 422
        away = other.post(
            "/login", data={"login": "cleo", "password": "x", "then": "//elsewhere.example"}
        )
        assert away.headers["location"] == "/"


def test_one_command_runs_it(copied, environ, tmp_path):
    """The shop and a collector beside it, and both are gone with it."""
    with subprocess.Popen(
        [sys.executable, "run.py", "--port", "0"],
        cwd=copied("flask_shop"),
        env=environ | {"XDG_STATE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        found = (re.search(r"Running on (http://\S+)", line) for line in process.stdout)
        address = next(each[1] for each in found if each)
        assert "Coffee at home" in httpx.get(address).text
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    with pytest.raises(httpx.TransportError):
        httpx.get(address)


def test_the_application_is_short(examples):
    """An example that is long is not read."""
    lines = {
        path.name: len(path.read_text().splitlines())
        for path in (examples / "flask_shop").glob("*.py")
    }
    assert lines["app.py"] <= 80
    assert max(lines.values()) <= 150


def test_it_uses_public_names_only(examples):
    """``import cxsdk as cx`` and two rooms, and every name it takes is in ``__all__``."""
    text = "".join(path.read_text() for path in (examples / "flask_shop").glob("*.py"))
    rooms = {
        "cxsdk.integrations.flask": cxsdk.integrations.flask,
        "cxsdk.lookup": cxsdk.lookup,
    }
    for line in re.findall(r"^(?:from|import) cxsdk.*$", text, re.MULTILINE):
        if line != "import cxsdk as cx":
            _, room, _, names = line.split(maxsplit=3)
            assert set(names.split(", ")) <= set(rooms[room].__all__)
    assert set(re.findall(r"\bcx\.(\w+)", text)) <= set(cxsdk.__all__)
