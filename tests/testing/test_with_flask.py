"""
The kit with a real application: a Flask shop, made before the fixtures, after them or in a factory.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import flask
import pytest

import cxsdk as cx
from cxsdk.integrations.flask import CX, as_interaction
from cxsdk.prompts import Prompt, Question, Trigger
from cxsdk.testing import Asking, Captured, FakeClock, Knowing

EFFORT = Prompt(
    key="effort",
    trigger=Trigger(event="checkout.pay", outcome="success"),
    questions=[Question(id="easy", kind="ces")],
)


def create_app(**settings: Any) -> flask.Flask:
    """
    Return a shop whose customer is in the session.
    """
    app = flask.Flask("shop")
    app.secret_key = "a secret of this test"
    app.config["CXSDK"] = settings
    CX(app)

    @app.post("/login/<who>")
    def login(who: str) -> str:
        flask.session["user_id"] = who
        return "in"

    @app.post("/pay")
    @as_interaction("checkout.pay", stage="order")
    def pay() -> Any:
        return flask.redirect("/thanks", 303)

    @app.get("/thanks")
    def thanks() -> dict[str, Any]:
        known = cx.context(sections=("profile",)).profile
        return {"asked": bool(cx.prompts.offer("effort")), "name": known.get({}).name}

    return app


@pytest.mark.parametrize("settings", [{}, {"service": "shop", "collector": "null:"}])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_shop_is_bought_in_asked_and_known(
    settings: dict[str, Any], is_first: bool, request: pytest.FixtureRequest
) -> None:
    """By its own pages, whether it brings a client or not, and whenever it is made."""
    app = create_app(**settings) if is_first else None
    events: Captured = request.getfixturevalue("cx_events")
    asking: Asking = request.getfixturevalue("cx_prompts")
    knowing: Knowing = request.getfixturevalue("cx_context")
    clock: FakeClock = request.getfixturevalue("cx_clock")
    browser = (app or create_app(**settings)).test_client()
    asking.use(EFFORT)
    knowing.knows("u-17", profile={"name": "Anna"})

    browser.post("/login/u-17")
    page = browser.post("/pay", follow_redirects=True).get_json()
    assert {"asked": True, "name": "Anna"} == page
    paid = events.assert_one(
        "interaction", touchpoint="checkout.pay", customer="u-17", where={"stage": "order"}
    )
    assert clock.now == paid.time
    asking.answer("effort", {"easy": 6}, customer="u-17")
    events.assert_one("feedback", about={"interaction_ids": [paid.data.interaction_id]})

    clock.advance(timedelta(days=1))
    assert not browser.post("/pay", follow_redirects=True).get_json()["asked"]
    clock.advance(timedelta(days=31))
    assert browser.post("/pay", follow_redirects=True).get_json()["asked"]
