"""
The demo's shop: a Flask application instrumented by hand, as a team would do it.

Run as ``python -m cxsdk.demo.shop COLLECTOR LIST``: it says its address on the first line of
stdout, writes the id of every accepted event to LIST, and ends when its stdin is closed.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
from werkzeug.serving import make_server

import cxsdk as cx

__all__ = ["CardDeclinedError", "create_app", "main"]

_DRAIN_S = 15.0
_FORGIVEN_S = 86_400
"""A parcel that is a day late still counts as delivered, late."""

Reply = tuple[dict[str, Any], int]


class CardDeclinedError(Exception):
    """
    The bank said no.
    """


def _said() -> dict[str, Any]:
    """
    Return the request's JSON with its times read.
    """
    said: dict[str, Any] = dict(flask.request.get_json(silent=True) or {})
    if "at" in said:
        said["at"] = datetime.fromisoformat(said["at"])
    if "due_date" in said:
        said["due_date"] = date.fromisoformat(said["due_date"])
    return said


def _done(result: cx.Accepted | cx.Dropped | None = None) -> Reply:
    return ({"id": result.id} if isinstance(result, cx.Accepted) else {}), 200


def create_app() -> flask.Flask:
    """
    Return the shop as a WSGI application; `cxsdk.init` is the caller's business.
    """
    app = flask.Flask("cxsdk_demo_shop")
    app.secret_key = uuid.uuid4().hex
    app.before_request(_open_scope)
    app.teardown_request(_close_scope)
    app.register_error_handler(CardDeclinedError, lambda _: ({"error": "card declined"}, 402))
    app.register_error_handler(ZeroDivisionError, lambda _: ({"error": "sorry"}, 500))
    for rule, method, view in _ROUTES:
        app.add_url_rule(rule, view.__name__, view, methods=[method])
    return app


def _open_scope() -> None:
    if flask.request.path.startswith("/backoffice"):
        # Other systems call here, in nobody's session; each call says whom it is about.
        flask.g.scope = cx.scope()
        flask.g.scope.__enter__()
        return
    session = flask.session
    session.setdefault("sid", uuid.uuid4().hex)
    flask.g.scope = cx.scope(
        customer=session.get("user"),
        session=session["sid"],
        channel="web",
        medium="web_page",
        locale=session.get("locale"),
        consent=session.get("consent"),
        purposes=("analytics",) if session.get("consent") == "granted" else None,
    )
    flask.g.scope.__enter__()


def _close_scope(_: BaseException | None) -> None:
    flask.g.scope.__exit__(None, None, None)


# ---- the shop's front ---------------------------------------------------------------------


def say_consent() -> Reply:
    """
    The banner: what the visitor agrees to.
    """
    flask.session["consent"] = _said()["state"]
    return _done(cx.consent(_said()["state"], purposes=("analytics",)))


def login() -> Reply:
    """
    The visitor turns out to be a customer; what the session did before is theirs.
    """
    said = _said()
    flask.session["user"] = said["user"]
    flask.session["locale"] = said.get("locale", "en")
    return _done(cx.identify(said["user"], assurance="authenticated"))


@cx.interaction("catalogue.search", stage="discover", goal="find")
def search() -> Reply:
    """
    A search; finding nothing is no failure of the call, but nobody got what they came for.
    """
    found = flask.request.args.get("q") != "unicorn"
    cx.current().goal_met = "yes" if found else "no"
    if not found:
        cx.problem("not_found", severity="info", touchpoint="catalogue.search")
    return _done()


@cx.interaction("catalogue.view", stage="evaluate")
def view(product: str) -> Reply:
    """
    A product page.
    """
    cx.current().refs["product"] = product
    return _done()


@cx.interaction("cart.add", stage="evaluate")
def cart() -> Reply:
    """
    Something goes into the cart.
    """
    said = _said()
    cx.current().refs["product"] = said["product"]
    cx.current().attributes["quantity"] = said.get("quantity", 1)
    return _done()


@cx.interaction(
    "checkout.pay", stage="order", goal="buy", fails={CardDeclinedError: "card_declined"}
)
def checkout() -> Reply:
    """
    The customer pays, and is promised a day.
    """
    said = _said()
    now = cx.current()
    now.refs["order"] = said["order"]
    now.value(said["amount"], "EUR")
    now.effort(attempts=said.get("attempt", 1))
    if said.get("card") == "declined":
        now.goal_met = "no"
        raise CardDeclinedError
    now.goal_met = "yes"
    due = datetime.now(UTC).date() + timedelta(days=said.get("days", 3))
    cx.promise("delivery", key=said["order"], due_date=due, refs={"order": said["order"]})
    return _done()


@cx.interaction("account.orders", stage="use", goal="track")
def orders() -> Reply:
    """
    A page with a bug; the customer sees it.
    """
    try:
        return {"pages": 1 // int(flask.request.args.get("per_page", "1"))}, 200
    except ZeroDivisionError as error:
        cx.problem("error", severity="major", error=error, key=f"orders-{uuid.uuid4()}")
        raise


@cx.interaction("support.chat", stage="support", channel="contact_center", medium="chat")
def support() -> Reply:
    """
    A chat with an agent; what the customer told once should not be asked again.
    """
    said = _said()
    now = cx.current()
    now.performed_by = cx.Party(kind="employee", id=said["agent"])
    now.waited(said["wait"])
    now.expect(wait=60, basis="sla")
    now.effort(transfers=said["transfers"], questions_repeated=said["repeated"])
    now.outcome = "success" if said["solved"] else "transferred"
    now.goal_met = "yes" if said["solved"] else "no"
    if not said["solved"]:
        due = datetime.now(UTC) + timedelta(hours=4)
        cx.promise("callback", key=said["case"], due_at=due, by=cx.Party(kind="employee"))
    return _done()


def feedback() -> Reply:
    """
    The customer's own words and numbers, from a form or a mailed survey.
    """
    return _done(cx.feedback(**_said()))


def reaction() -> Reply:
    """
    What the customer did next.
    """
    said = _said()
    return _done(cx.reaction(said.pop("reaction"), **said))


def problem() -> Reply:
    """
    What the browser noticed: a page that was slow to show.
    """
    said = _said()
    return _done(cx.problem(said.pop("problem"), **said))


# ---- the back office: what happened elsewhere, said later ----------------------------------


def past_order() -> Reply:
    """
    An order of an earlier day, from the books.
    """
    said = _said()
    order, who, at = said["order"], said["customer"], said["at"]
    placed = cx.record(
        "checkout.pay",
        stage="order",
        customer=who,
        at=at,
        key=f"placed-{order}",
        outcome="success",
        goal_met="yes",
        channel="web",
        medium="web_page",
        value=(said["amount"], "EUR"),
        refs={"order": order},
    )
    at += timedelta(seconds=1)
    cx.promise("delivery", key=order, due_date=said["due_date"], customer=who, at=at,
               refs={"order": order})  # fmt: skip
    if said.get("warranty"):
        until = (at + timedelta(days=730)).date()
        cx.promise("warranty", key=f"warranty-{order}", due_date=until, customer=who, at=at)
    return _done(placed)


def carrier() -> Reply:
    """
    The carrier's webhook: delivered in time, late, or lost.
    """
    said = _said()
    order, who, at = said["order"], said["customer"], said["at"]
    promise = cx.commitment(order, customer=who)
    lost = said["how"] == "lost"
    happened = cx.record(
        "parcel.handover",
        stage="fulfil",
        customer=who,
        at=at,
        key=f"handover-{order}",
        by=cx.partner("carrier", org=said["org"]),
        channel="field",
        medium="in_person",
        direction="outbound",
        outcome="failure" if lost else "success",
        goal_met="no" if lost else "yes",
        refs={"order": order},
    )
    if lost:
        cx.problem(
            "delivery_failure", severity="blocking", customer=who, at=at, key=f"lost-{order}"
        )
        promise.broken(reason="parcel_lost", at=at)
    elif said["how"] == "late":
        promise.at_risk(reason="carrier_delay", at=at - timedelta(days=2))
        if said["late_by"] <= _FORGIVEN_S:
            promise.kept(at=at, late_by=said["late_by"])
        else:
            promise.broken(reason="carrier_delay", at=at, late_by=said["late_by"])
    else:
        promise.kept(at=at)
    return _done(happened)


def past_chat() -> Reply:
    """
    A chat of an earlier day, from the help desk's records.
    """
    said = _said()
    return _done(
        cx.record(
            "support.chat",
            stage="support",
            customer=said["customer"],
            at=said["at"],
            key=said["case"],
            by=cx.Party(kind="employee", id=said["agent"]),
            channel="contact_center",
            medium="chat",
            outcome="success",
            goal_met="partly",
            wait=said["wait"],
            duration=said["duration"],
        )
    )


def refund() -> Reply:
    """
    The company makes good what was lost.
    """
    said = _said()
    order, who, at = said["order"], said["customer"], said["at"]
    cx.promise("refund", key=f"refund-{order}", customer=who, at=at, value=(said["amount"], "EUR"),
               due_at=at + timedelta(days=2))  # fmt: skip
    done = min(at + timedelta(hours=20), datetime.now(UTC))
    cx.commitment(f"refund-{order}", customer=who).kept(at=done)
    return _done(
        cx.resolved(
            "delivery_failure",
            key=f"lost-{order}",
            severity="blocking",
            resolution="refunded",
            customer=who,
            at=done,
        )
    )


_ROUTES = (
    ("/consent", "POST", say_consent),
    ("/login", "POST", login),
    ("/search", "GET", search),
    ("/products/<product>", "GET", view),
    ("/cart", "POST", cart),
    ("/checkout", "POST", checkout),
    ("/orders", "GET", orders),
    ("/support", "POST", support),
    ("/feedback", "POST", feedback),
    ("/reactions", "POST", reaction),
    ("/problems", "POST", problem),
    ("/backoffice/orders", "POST", past_order),
    ("/backoffice/carrier", "POST", carrier),
    ("/backoffice/chats", "POST", past_chat),
    ("/backoffice/refunds", "POST", refund),
)


class _List:
    """
    The shop's own record of what was accepted, against which the collector is checked.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def __call__(self, event: cx.Event) -> None:
        with self._lock:
            self._file.write(f"{event.source} {event.id} {event.family}\n")


def main(arguments: list[str]) -> int:
    """
    Serve until stdin is closed, then drain; return 0 when nothing is left to deliver.

    Args:
        arguments: the collector's URL, and the file for the ids of accepted events.
    """
    collector, accepted = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the demo, which then ends us
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    cx.init(
        "demo-shop",
        collector=collector,
        environment="demo",
        tz="Europe/Vienna",
        strict=True,
        privacy=cx.PrivacyOptions(basis="contract"),
        listeners=[_List(Path(accepted))],
    )
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    _say(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=_wait_for_the_end, args=(server,), daemon=True).start()
    server.serve_forever()
    server.server_close()
    report = cx.close(_DRAIN_S)
    _say(f"{report.pending} pending, {report.dropped} lost {report.reason}".rstrip())
    return 1 if report.pending or report.dropped else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _wait_for_the_end(server: Any) -> None:
    sys.stdin.buffer.read()
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
