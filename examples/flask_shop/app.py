"""
A shop in one file that knows how its customers fare. Run it: flask --app app run
"""

import os
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import cxsdk as cx

TZ = ZoneInfo("Europe/Vienna")
app = flask.Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "only-for-this-example")
collector = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")
prompts = cx.PromptOptions(files=f"{app.root_path}/prompts.toml")
cx.init(service="flask-shop", collector=collector, tz=TZ.key, prompts=prompts)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/cx": cx.prompts.wsgi_app()})


class CardDeclinedError(Exception):
    """The bank said no."""


@app.before_request
def serve_somebody():
    """Everything that happens in this request concerns this customer, or this visitor."""
    session = flask.session
    session.setdefault("id", os.urandom(16).hex())
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


@cx.interaction("checkout.pay", stage="order", fails={CardDeclinedError: "card_declined"})
def pay(amount, card):
    order, now = os.urandom(4).hex(), cx.current()
    now.refs["order"] = order
    now.value(amount, "EUR")
    if card == "declined":
        raise CardDeclinedError
    now.goal_met = "yes"
    cx.promise("delivery", key=f"order-{order}", due_date=datetime.now(TZ).date() + timedelta(3))


@app.post("/checkout")
def checkout():
    try:
        pay(flask.request.form["amount"], flask.request.form.get("card"))
    except CardDeclinedError:
        return "The card was declined.", 402
    flask.session["paid"] = cx.prompts.remember()  # for whichever worker renders the next page
    return flask.redirect("/thanks", 303)


@app.get("/thanks")
def thanks():
    offer = cx.prompts.offer("checkout_effort", about=flask.session.get("paid", ""))
    return flask.render_template("thanks.html", question=offer.as_html() if offer else "")


@app.post("/support")
@cx.interaction("support.chat", stage="support", channel="contact_center", medium="chat")
def support():
    cx.current().waited(float(flask.request.form["waited"]))
    cx.current().effort(transfers=int(flask.request.form.get("transfers", 0)))
    return {"interaction": cx.current().interaction_id}
