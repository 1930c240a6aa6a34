"""
A shop as servers run it: ``gunicorn served:app``; Flask-Login, and sessions on disk.

It imports no tests: what is served is what a team would write.
"""

from __future__ import annotations

import os

import flask
import flask_login
import flask_session
from cachelib import FileSystemCache

import cxsdk as cx
from cxsdk.integrations.flask import CX, as_interaction

app = flask.Flask(__name__)
app.secret_key = "served"
app.config |= {
    "CXSDK": {"consent": lambda request: "granted", "cookie": None},
    "SESSION_TYPE": "cachelib",
    "SESSION_CACHELIB": FileSystemCache(os.environ["SESSIONS"], threshold=0),
}
flask_session.Session(app)
login = flask_login.LoginManager(app)
CX(app)


class Member(flask_login.UserMixin):
    def __init__(self, key):
        self.id = key


login.user_loader(Member)


@app.post("/cart")
@as_interaction("cart.fill", stage="evaluate")
def cart():
    flask.session["cart"] = flask.request.form["what"]
    return "in the cart"


@app.post("/in")
def log_in():
    flask_login.login_user(Member(flask.request.form["user"]))
    return flask.redirect("/mine", 303)


@app.get("/mine")
@as_interaction("account.look", stage="use")
@flask_login.login_required
def mine():
    return f"{flask_login.current_user.get_id()} {flask.session.get('cart')} {os.getpid()}"


@app.get("/long")
@as_interaction("account.export", stage="use")
def long():
    def rows():
        for n in range(int(flask.request.args["rows"])):
            cx.current().attributes["rows"] = n + 1
            yield b"%07d\n" % n * 8192

    return flask.Response(flask.stream_with_context(rows()), mimetype="text/csv")


@app.get("/file")
@as_interaction("account.invoice", stage="use")
def file():
    return flask.send_file(__file__)


@app.post("/out")
def log_out():
    flask_login.logout_user()
    return "out"
