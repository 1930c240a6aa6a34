"""
Cart, checkout, and what the shop promises with an order.
"""

from datetime import timedelta

import flask
import store
from members import members_only

import cxsdk as cx
from cxsdk.integrations.flask import as_interaction

blueprint = flask.Blueprint("shopping", __name__)


class CardDeclinedError(Exception):
    """The bank said no."""


def cart():
    return [sku for sku in flask.session.get("cart", []) if sku in store.PRODUCTS]


@blueprint.app_context_processor
def with_cart():
    skus = cart()
    return {"cart": skus, "total": sum(store.PRODUCTS[sku]["cents"] for sku in skus)}


@blueprint.get("/")
def shelf():
    return flask.render_template("shelf.html", products=store.PRODUCTS)


@blueprint.get("/products/<sku>")
def product(sku):
    found = store.PRODUCTS.get(sku) or flask.abort(404)
    return flask.render_template("product.html", product=found, sku=sku)


@blueprint.post("/cart")
def put():
    flask.session["cart"] = [*cart(), flask.request.form["sku"]]
    return flask.redirect("/cart", 303)


@blueprint.post("/cart/empty")
def empty():
    flask.session["cart"] = []
    return flask.redirect("/cart", 303)


@blueprint.get("/cart")
def look():
    return flask.render_template("cart.html", products=store.PRODUCTS)


@blueprint.get("/checkout")
@members_only
def checkout():
    return flask.render_template("checkout.html")


@blueprint.post("/checkout")
@members_only
@as_interaction("checkout.pay", stage="order", fails={CardDeclinedError: "card_declined"})
def pay():
    skus = cart() or flask.abort(409)
    order, now = store.new_id(), cx.current()
    now.refs["order"] = order
    now.value(f"{with_cart()['total'] / 100:.2f}", "EUR")
    charge(flask.request.form["card"])
    store.place(order, flask.g.member["id"], skus)
    flask.session["cart"] = []
    now.goal_met = "yes"
    promise(order)
    return flask.redirect(f"/thanks/{order}", 303)


def charge(card):
    if card.replace(" ", "").endswith("0002"):
        raise CardDeclinedError


def promise(order):
    """What the customer may rely on from now on, remembered until it is kept or over."""
    refs, today = {"order": order}, store.today()
    cx.promise("delivery", key=f"delivery-{order}", due_date=today + timedelta(3), refs=refs)
    for item in store.items_of(order):
        if item["years"]:
            until = today + timedelta(days=365 * item["years"])
            key = f"warranty-{order}-{item['sku']}"
            cx.promise("warranty", key=key, due_date=until, refs=refs)


@blueprint.app_errorhandler(CardDeclinedError)
def declined(_):
    sorry = "Your bank declined this card. Nothing was charged; please try another one."
    return flask.render_template("checkout.html", sorry=sorry), 402


@blueprint.get("/thanks/<order>")
@members_only
def thanks(order):
    return flask.render_template("thanks.html", order=_own(order), items=store.items_of(order))


@blueprint.get("/orders")
@members_only
def orders():
    found = store.orders_of(flask.g.member["id"])
    return flask.render_template("orders.html", orders=found, items_of=store.items_of)


@blueprint.post("/orders/<order>/arrived")
@members_only
def arrived(order):
    store.do("UPDATE orders SET arrived = 1 WHERE id = ?", _own(order)["id"])
    cx.commitment(f"delivery-{order}").kept()
    return flask.redirect("/orders", 303)


def _own(key):
    found = store.order(key)
    return found if found and found["customer"] == flask.g.member["id"] else flask.abort(404)
