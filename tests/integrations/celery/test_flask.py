"""
A task that a Flask view sends is for whoever the request serves.
"""

from __future__ import annotations

import flask

import cxsdk as cx
from cxsdk.integrations import flask as flask_integration
from cxsdk.pipeline.customers import Customers
from cxsdk.scope import current_scope
from tests.integrations.celery.conftest import KEY

WHO = Customers(KEY)


def test_a_task_of_a_request_is_for_its_customer(app, client, working):
    """Found at login, carried by the task; the request's own place is not the task's."""

    @app.task
    def who():
        scope = current_scope.get()
        known = WHO.resolve(scope.who)
        return known.block, scope.where[0], scope.last

    web = flask.Flask("web")
    web.secret_key = "secret"
    flask_integration.CX(web)

    @web.post("/login/<user>")
    def login(user):
        flask.session["user_id"] = user
        return ""

    @web.get("/order")
    @cx.interaction("order.place", stage="order")
    def order():
        return {"told": who.delay().get(timeout=20, interval=0.02)}

    with working(app), web.test_client() as browser:
        assert browser.post("/login/kunde-1").status_code == 200
        block, channel, last = browser.get("/order").get_json()["told"]
    assert block == {"id": WHO.resolve(("kunde-1", None, None, None)).block["id"]}
    assert channel is None
    assert last is not None
