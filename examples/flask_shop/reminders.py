"""
flask --app app shop remind: whose warranty ends soon hears of it from us, once.
"""

import os

import click
import httpx
import store
from flask.cli import AppGroup

import cxsdk as cx

group = AppGroup("shop", help="What the shop does by itself, once a day.")


@group.command()
@click.option("--days", default=30, help="Warranties that end within so many days.")
def remind(days):
    """Remind customers whose warranty ends soon."""
    for promised in ending(days):
        # warranty-<order>-<sku>: the shop's own name of the promise, whoever made it, and when.
        _, order, sku = promised["commitment_id"].split("-")
        found = store.order(order)
        if found is not None:
            write(found, store.PRODUCTS[sku]["name"], promised)
    cx.flush(10)


def ending(days):
    """Ask the collector, which has heard of every promise."""
    collector = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")
    asked = {"what": "ending", "warranty_days": days}
    while asked is not None:
        page = httpx.get(f"{collector}/due.json", params=asked).raise_for_status().json()
        yield from (one for one in page["items"] if one["kind"] == "warranty")
        asked = asked | {"cursor": page["next"]} if page["next"] else None


def write(order, thing, promised):
    key = f"remind-{promised['commitment_id']}"
    if store.one("SELECT 1 FROM messages WHERE case_id = ?", key):
        return
    member = store.member(order["customer"])
    with cx.scope(customer=member["id"], channel="mail", medium="email"):
        # Whoever waits for an answer of ours gets that first.
        if cx.context(sections=("problems",), purpose="support").problems.any():
            click.echo(f"{member['name']}: has an open problem, is not written to")
            return
        text = f"{member['name']}, the warranty of your {thing} ends on {promised['due_at'][:10]}."
        with cx.interaction("warranty.remind", stage="renew", direction="outbound") as contact:
            contact.refs["order"] = order["id"]
            store.write(key, "The shop", text)
            click.echo(f"{text} Is all well with it?")
