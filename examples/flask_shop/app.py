"""
A shop that knows how its customers fare. Run it with a collector beside: python run.py
"""

import os

import flask
import members
import reminders
import shopping
import store
import support

import cxsdk as cx
from cxsdk.integrations.flask import CX
from cxsdk.lookup import CollectorProvider, provider

COLLECTOR = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")


@provider("shop", sections=("profile", "orders"))
def shop(customer):
    """What the shop's own database knows of a customer; asked from a thread of its own."""
    with app.app_context():
        member = store.member(customer)
        return member and {
            "profile": {"name": member["name"], "created_at": member["since"]},
            "orders": [dict(order) for order in store.orders_of(customer)],
        }


def create_app():
    app = flask.Flask(__name__)
    app.secret_key = os.environ.get("SHOP_SECRET", "only-for-this-example")
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.config["CXSDK"] = {
        "service": "flask-shop",
        "collector": COLLECTOR,
        "tz": "Europe/Vienna",
        # Customers leave the process as pseudonyms.
        "privacy": cx.PrivacyOptions(key=app.secret_key.encode()),
        "customer": members.customer_of,
        "consent": members.consent_of,
        "context": cx.ContextOptions(providers=[shop, CollectorProvider(COLLECTOR)], timeout=2.0),
        "prompts": {"files": f"{app.root_path}/prompts.toml"},
        "returns": ["/thanks/"],
        "interactions": [
            {"view": "shopping.product", "stage": "discover"},
            {"view": "shopping.put", "touchpoint": "cart.put", "stage": "evaluate"},
        ],
    }
    for part in (members, shopping, support):
        app.register_blueprint(part.blueprint)
    app.cli.add_command(reminders.group)
    app.teardown_appcontext(store.close)
    app.jinja_env.filters["money"] = lambda cents: f"€ {cents / 100:,.2f}"
    with app.app_context():
        store.prepare()
    CX(app)
    return app


app = create_app()
