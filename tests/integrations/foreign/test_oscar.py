"""
django-oscar 4.2, a shop on Django that nobody here has written.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integrations.foreign.page import Page
from tests.integrations.foreign.story import told

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parent / "oscar"
PASSWORD = "correct horse battery 9"


@pytest.fixture(scope="module")
def python(environment):
    return environment("oscar", "django,prompts")


@pytest.fixture(scope="module")
def stocked(python, tmp_path_factory):
    """
    Return a folder with the shop's tables and one product.
    """
    folder = tmp_path_factory.mktemp("stocked")
    command = (python, "-W", "ignore::UserWarning", "seed.py")
    environ = {"SHOP_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "shop_settings"}
    subprocess.run(command, cwd=FOLDER, env=environ, check=True)
    return folder


@pytest.fixture
def serve(python, stocked, run, collector, tmp_path):
    """
    Return a function that starts the shop, plain or with cxsdk.
    """

    def serve(settings):
        data = tmp_path / settings
        shutil.copytree(stocked, data)
        environ = {
            "SHOP_FOLDER": str(data),
            "DJANGO_SETTINGS_MODULE": settings,
            "PYTHONPATH": str(FOLDER),
            "CXSDK_COLLECTOR": collector.url,
            "CXSDK_SPOOL_DIR": str(data / "spool"),
        }
        command = (python, "-m", "django", "runserver", "--noreload", "127.0.0.1:{port}")
        return run(FOLDER, command, environ)

    return serve


def walk(base, email="ada@example.org", **cookies):
    """
    A customer looks around, registers, buys, reviews, leaves and comes back.
    """
    with Page(base, "csrfmiddlewaretoken", **cookies) as page:
        page.get("/search/?q=kettle").has("Kettle")
        product = page.find(r'href="(/catalogue/kettle_\d+/)"')
        page.get(product).has("Add to basket")
        page.post(page.find(r'action="(/basket/add/\d+/)"'), quantity="2").has("Kettle")
        page.get("/accounts/login/")
        registration = {
            "registration-email": email,
            "registration-password1": PASSWORD,
            "registration-password2": PASSWORD,
            "registration_submit": "Register",
        }
        page.post("/accounts/login/", **registration).has("Logout")
        page.get("/checkout/")
        page.post(
            "/checkout/shipping-address/",
            first_name="Ada",
            last_name="Lovelace",
            line1="12 St James's Square",
            line4="London",
            postcode="SW1Y 4JH",
            country="GB",
        )
        page.get("/checkout/preview/").has("Place order")
        page.post("/checkout/preview/", action="place_order").has("Your order has been placed")
        order = page.find(r"order number is\s*<strong>(\d+)")
        page.get("/accounts/orders/").has(order)
        page.get(product + "reviews/add/")
        review = {"title": "Fine kettle", "score": "5", "body": "Boils water well."}
        page.post(product + "reviews/add/", **review).has("Thank you")
        page.post("/accounts/logout/")
        page.get("/accounts/login/")
        login = {"login_submit": "Log In", "login-redirect_url": "", "login-username": email}
        page.post("/accounts/login/", **login, **{"login-password": "wrong"})
        page.post("/accounts/login/", **login, **{"login-password": PASSWORD}).has("Logout")
        page.get("/static/oscar/css/styles.css", status=404)
        page.get("/catalogue/nothing_999/", status=404)
        return page.seen


# Of a customer who agreed: what they did, in order, and who they were when they did.
STORY = [
    ("search", "success", "visitor"),
    ("catalogue.product_slug_pk", "success", "visitor"),
    ("basket.add", "success", "visitor"),
    ("catalogue.product_slug_pk", "success", "visitor"),
    ("identified", None, "1"),
    ("account.enter", "success", "1"),
    ("checkout.place_order", "success", "1"),
    ("checkout.thank_you", "success", "1"),
    ("accounts.orders", "success", "1"),
    ("catalogue.product_slug_product_pk.reviews.add", "success", "1"),
    ("catalogue.product_slug_product_pk.reviews.add.post", "success", "1"),
    ("catalogue.product_slug_pk", "success", "1"),
    ("account.leave", "success", "1"),
    ("catalogue", "success", "visitor"),
    ("account.enter", "failure", "visitor"),
    ("identified", None, "1"),
    ("account.enter", "success", "1"),
    ("catalogue.product_slug_pk", "unknown", "1"),  # no such product
]


def test_a_customer_has_a_journey(serve, journey, stored):
    """By settings alone: ordered, with outcomes, the visitor linked, nothing twice, no files."""
    walk(serve("cx_settings"), consent="granted")
    events = journey("1", len(STORY))
    assert told(events) == STORY
    assert sorted(event["id"] for event in stored()) == sorted(event["id"] for event in events)

    names = [event["data"]["customer"].get("anonymous_id") for event in events]
    assert names[:5] == [names[0]] * 5
    assert names[13:16] == [names[13]] * 3
    assert names[0] != names[13]  # who left is nobody's visitor any more
    assert events[14]["data"]["reason"] == "form_again"
    bought = events[6]["data"]["where"]
    assert (bought["stage"], bought["channel"], bought["medium"]) == ("order", "web", "web_page")


def test_who_has_not_agreed_is_only_known_after_registering(serve, journey, stored):
    """No visitor is kept, and what the customer does is."""
    seen = walk(serve("cx_settings"))
    expected = [(n, o, who) for n, o, who in STORY if who == "1"]
    assert told(journey("1", len(expected))) == expected
    assert len(stored()) == len(expected)
    assert not any("cx_visitor" in cookies for *_, cookies, _ in seen)


def test_its_pages_are_what_they_were(serve):
    """Statuses, headers, cookies and bodies of the whole walk, tokens aside."""
    ours = serve("cx_settings")
    plain, same = walk(serve("shop_settings")), walk(ours)
    assert [each[:5] for each in same] == [each[:5] for each in plain]
    for one, other in zip(same, plain, strict=True):
        assert one[5] == other[5]

    agreed = walk(ours, email="grace@example.org", consent="granted")
    assert [sorted({*each[4]} - {"cx_visitor"}) for each in agreed] == [each[4] for each in plain]
    # Named at first sight, let go at the login, and once more after the logout.
    named = [each[:2] for each in agreed if "cx_visitor" in each[4]]
    enters = ("POST", "/accounts/login/")
    assert named == [("GET", "/search/"), enters, ("GET", "/catalogue/"), enters]
