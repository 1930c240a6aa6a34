"""
The chat, and the agent's page: whoever answers knows the story, so nobody tells it twice.
"""

from datetime import UTC, date, datetime

import flask
import store
from members import agents_only, members_only

import cxsdk as cx
from cxsdk.integrations.flask import as_interaction

blueprint = flask.Blueprint("support", __name__)
STORY = ("profile", "orders", "problems", "commitments", "interactions", "feedback")


@blueprint.get("/support")
@members_only
def chat():
    customer = flask.g.member["id"]
    cases = [(case, store.messages_of(case["id"])) for case in store.cases_of(customer)]
    return flask.render_template("support.html", cases=cases, orders=store.orders_of(customer))


@blueprint.post("/support")
@members_only
@as_interaction("support.chat", stage="support", channel="contact_center", medium="chat")
def ask():
    form, customer, now = flask.request.form, flask.g.member["id"], cx.current()
    case = store.case(form.get("case"))
    if case is None or case["customer"] != customer:
        order = store.order(form.get("order"))
        mine = order["id"] if order and order["customer"] == customer else None
        case = store.case(store.open_case(customer, mine, form["text"][:60]))
        refs = {"order": mine} if mine else None
        cx.problem("defect", key=f"case-{case['id']}", severity="major", refs=refs)
    now.refs["case"] = case["id"]
    if case["order_id"]:
        now.refs["order"] = case["order_id"]
    store.write(case["id"], flask.g.member["name"], form["text"])
    return flask.redirect("/support", 303)


# ---- the agent's side -------------------------------------------------------------------------


@blueprint.get("/agent")
@agents_only
def queue():
    return flask.render_template("queue.html", cases=store.open_cases())


@blueprint.get("/agent/<key>")
@agents_only
def story(key):
    case = store.case(key) or flask.abort(404)
    known = cx.context(case["customer"], sections=STORY, purpose="support")
    more = {"messages": store.messages_of(key), "now": datetime.now(UTC)}
    return flask.render_template("story.html", case=case, known=known, **more)


@blueprint.post("/agent/<key>")
@agents_only
def answer(key):
    case, form = store.case(key) or flask.abort(404), flask.request.form
    who = {"direction": "outbound", "by": cx.Party(kind="employee")}
    contact = cx.interaction(
        "support.answer", stage="support", channel="contact_center", medium="chat", **who
    )
    with cx.scope(customer=case["customer"]), contact as now:
        now.refs["case"] = key
        store.write(key, "The care team", form["text"])
        if form.get("until"):
            until = date.fromisoformat(form["until"])
            cx.promise("callback", key=f"callback-{key}", due_date=until, refs={"case": key})
        if form.get("solved"):
            now.goal_met = "yes"
            store.do("UPDATE cases SET is_open = 0 WHERE id = ?", key)
            cx.resolved("defect", key=f"case-{key}", severity="major")
    return flask.redirect("/agent" if form.get("solved") else f"/agent/{key}", 303)
