"""
A shop in one file that knows how its customers fare. Run it: flask --app app run
"""

import os
import uuid
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import flask

import cxsdk as cx

TZ = ZoneInfo("Europe/Vienna")
app = flask.Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "only-for-this-example")

collector = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")
cx.init(service="flask-shop", collector=collector, tz=TZ.key)


class CardDeclinedError(Exception):
    """The bank said no."""


@app.before_request
def serve_somebody():
    """Everything that happens in this request concerns this customer, or this visitor."""
    session = flask.session
    session.setdefault("id", uuid.uuid4().hex)
    flask.g.scope = cx.scope(customer=session.get("user"), session=session["id"], channel="web")
    flask.g.scope.__enter__()


@app.teardown_request
def served(_error):
    flask.g.scope.__exit__(None, None, None)


@app.post("/login")
def login():
    flask.session["user"] = flask.request.form["user"]
    cx.identify(flask.session["user"], assurance="authenticated")
    return {"hello": flask.session["user"]}


@app.post("/checkout")
@cx.interaction("checkout.pay", stage="order", fails={CardDeclinedError: "card_declined"})
def checkout():
    order, form = uuid.uuid4().hex[:8], flask.request.form
    now = cx.current()
    now.refs["order"] = order
    now.value(form["amount"], "EUR")
    if form.get("card") == "declined":
        raise CardDeclinedError
    now.goal_met = "yes"
    due = datetime.now(TZ).date() + timedelta(days=3)
    cx.promise("delivery", key=f"order-{order}", due_date=due)
    return {"order": order, "due": due.isoformat(), "interaction": now.interaction_id}


@app.errorhandler(CardDeclinedError)
def declined(_error):
    return {"error": "The card was declined."}, 402


@app.post("/support")
@cx.interaction("support.chat", stage="support", channel="contact_center", medium="chat")
def support():
    cx.current().waited(float(flask.request.form["waited"]))
    cx.current().effort(transfers=int(flask.request.form.get("transfers", 0)))
    return {"interaction": cx.current().interaction_id}


@app.post("/feedback")
def feedback():
    form = flask.request.form
    said = cx.feedback(csat=int(form["csat"]), text=form.get("text"), about=form.get("about"))
    return ({"id": said.id}, 201) if said else ({"error": said.reason}, 422)
