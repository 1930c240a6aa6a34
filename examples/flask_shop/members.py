"""
Who is here: consent, registration, login.
"""

from functools import wraps

import flask
import store

blueprint = flask.Blueprint("members", __name__)


def customer_of(_request):
    """Whom a request is about: who is logged in, unless that is one of us."""
    member = flask.g.get("member")
    return None if member is None or member["is_agent"] else member["id"]


def consent_of(_request):
    """What the visitor said on the bar at the bottom; nothing yet is not a yes."""
    return flask.session.get("consent", "unknown")


@blueprint.before_app_request
def greet():
    if flask.request.endpoint not in {"static", "cxsdk.prompt"}:
        flask.g.member = store.member(flask.session.get("user_id"))


def members_only(view):
    @wraps(view)
    def guarded(**values):
        if flask.g.member is None:
            return flask.redirect(flask.url_for("members.login", then=flask.request.path))
        return view(**values)

    return guarded


def agents_only(view):
    @wraps(view)
    def guarded(**values):
        if flask.g.member is None or not flask.g.member["is_agent"]:
            flask.abort(403)
        return view(**values)

    return guarded


@blueprint.post("/consent")
def consent():
    flask.session["consent"] = "granted" if flask.request.form.get("yes") else "denied"
    return flask.redirect(_back(flask.request.form.get("then")), 303)


@blueprint.get("/login")
def login():
    return flask.render_template("login.html", then=_back(flask.request.args.get("then")))


@blueprint.post("/login")
def log_in():
    form = flask.request.form
    found = store.knows(form["login"], form["password"])
    return _enter(found and found["id"], "This name and password do not belong together.")


@blueprint.post("/register")
def register():
    form = flask.request.form
    made = store.join(form["login"], form["name"] or form["login"], form["password"])
    return _enter(made, "Somebody has this name already.")


@blueprint.post("/logout")
def log_out():
    flask.session.clear()
    return flask.redirect("/", 303)


def _enter(member, sorry):
    then = _back(flask.request.form.get("then"))
    if member is None:
        return flask.render_template("login.html", then=then, sorry=sorry), 422
    # From here on the visitor is this customer; the integration links the two.
    flask.session["user_id"], flask.g.member = member, store.member(member)
    return flask.redirect(then, 303)


def _back(path):
    return path if path and path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
