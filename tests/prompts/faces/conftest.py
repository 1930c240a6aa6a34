"""
Prompts to show, an engine that offers them, and a shop that mounts the endpoint.
"""

from __future__ import annotations

import itertools
import threading
from urllib.parse import urlencode

import pytest

from cxsdk import _default
from cxsdk.prompts import Choice, Prompt, Question, ShowIf
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.faces import respond
from cxsdk.prompts.stores import MemoryCapStore
from cxsdk.testing import capture

KEYS = [b"a key that is for tests only"]
FORM = "application/x-www-form-urlencoded"

VERSUS = Prompt(
    key="versus", scope="relational", questions=[Question(id="versus")], channels=("in_app", "link")
)
SCORE = Prompt(
    key="score",
    scope="relational",
    title="{name}, a word about your order",
    context_fields=("name",),
    channels=("in_app", "email", "link", "chat"),
    questions=[
        Question(id="score", kind="nps"),
        Question(
            id="why",
            kind="text",
            text="What is the main reason?",
            required=False,
            max_chars=500,
            show_if=ShowIf(question="score", op="at_most", value=6),
        ),
    ],
    locales={
        "de": {
            "title": "{name}, ein Wort zu Ihrer Bestellung",
            "questions": {"why": {"text": "Warum?"}},
        }
    },
)
ALL = Prompt(
    key="all",
    scope="relational",
    title="Your visit",
    thank_you="That helps us. Thank you!",
    questions=[
        Question(id="versus"),
        Question(id="score", kind="ces"),
        Question(
            id="goods",
            kind="multi_choice",
            text="What did you look at?",
            help="As many as you like.",
            required=False,
            choices=[
                Choice(id="books", label="Books"),
                Choice(id="tea", label="Tea"),
                Choice(id="maps", label="Maps"),
            ],
            allow_other=True,
        ),
        Question(
            id="how",
            kind="single_choice",
            text="How did you find us?",
            choices=[
                Choice(id="friend", label="A friend told me"),
                Choice(id="search", label="A search engine"),
                Choice(id="ad", label="An advertisement"),
            ],
            shuffle=True,
        ),
        Question(id="words", kind="text", text="Anything else?", required=False, max_chars=120),
    ],
    locales={
        "ar": {
            "title": "زيارتك",
            "questions": {
                "goods": {
                    "text": "ماذا تصفحت؟",
                    "help": "يمكنك اختيار أكثر من إجابة.",
                    "choices": {"books": "كتب", "tea": "شاي", "maps": "خرائط"},
                },
                "how": {
                    "text": "كيف وجدتنا؟",
                    "choices": {"friend": "أخبرني صديق", "search": "محرك بحث", "ad": "إعلان"},
                },
                "words": {"text": "هل من شيء آخر؟"},
            },
        }
    },
)
MOOD = Prompt(
    key="mood",
    scope="relational",
    questions=[
        Question(id="mood", kind="emotion"),
        Question(id="goal", kind="yes_no_partly", required=False),
        Question(id="thumb", kind="thumbs", required=False),
        Question(id="stars", kind="rating", text="The packaging", low=0, high=10, required=False),
    ],
    revise_for=3600.0,
)
PROMPTS = [VERSUS, SCORE, ALL, MOOD]


class Desk:
    """
    An engine over a memory store, with offers to customers of their own.
    """

    def __init__(self, events, **how):
        self.events = events
        self.store = MemoryCapStore()
        self.count = itertools.count(1)
        client = _default.client()
        self.engine = Engine(
            client.capture, PROMPTS, self.store, keys=KEYS, audience="shop", deadline=10, **how
        )

    def offer(self, key="versus", **how):
        how.setdefault("customer", f"u-{next(self.count)}")
        found = self.engine.offer(key, **how)
        assert found, found
        return found

    def state(self, offer):
        return self.store.find(offer.offer_id).state

    def actions(self):
        """
        Return what was recorded after the offers, in order.
        """
        found = [f"{event.family}.{event.action}" for event in self.events]
        return [each for each in found if each != "prompt.offered"]

    def call(self, method, path, headers=None, body=b"", query="", **how):
        return respond(self.engine, method, path, headers or {}, query, body, **how)

    def get(self, offer, query="", headers=None, **how):
        return self.call("GET", f"/o/{offer.token}", headers, query=query, **how)

    def post(self, offer, fields, headers=None, path="", **how):
        body = urlencode(fields, doseq=True).encode()
        kind = {"content-type": FORM, "host": "shop.example", **(headers or {})}
        return self.call("POST", f"/o/{offer.token}{path}", kind, body, **how)


@pytest.fixture
def events():
    """
    What is recorded; each event is read back strictly.
    """
    with capture(strict=False) as found:
        yield found


@pytest.fixture
def desk(events):
    """
    An engine with the prompts of these tests.
    """
    made = Desk(events)
    yield made
    made.engine.close()


class Shop:
    """
    A shop with a page that asks, on a free port; the endpoint is mounted below ``/cx``.
    """

    def __init__(self, desk):
        from flask import Flask, render_template_string, request
        from markupsafe import Markup
        from werkzeug.middleware.dispatcher import DispatcherMiddleware
        from werkzeug.serving import make_server

        from cxsdk.prompts.faces import Tag, wsgi_app

        self.desk = desk
        self.policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types cx-prompt"
        self.shown = {}
        app = Flask("shop")
        app.jinja_env.globals["cx_prompt"] = Tag(desk.engine, base="/cx")

        @app.get("/page/<name>")
        def page(name):
            offer, how = self.shown[name]
            tall = "<br>" * 200 if "tall" in request.args else ""
            text = render_template_string(PAGE, offer=offer, how=how, tall=Markup(tall))
            return text, 200, {"Content-Security-Policy": self.policy}

        @app.get("/thanks")
        def thanks():
            return "<!doctype html><html lang=en><title>Thanks</title><h1>Back in the shop</h1>"

        @app.get("/question")
        def question():
            return desk.offer("score").as_json("/cx")

        @app.get("/favicon.ico")
        def icon():
            return "", 204

        both = DispatcherMiddleware(app, {"/cx": wsgi_app(desk.engine, returns=("/thanks",))})
        self.server = make_server("127.0.0.1", 0, both, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def page(self, offer, **how):
        """
        Return the address of a page that shows *offer*.
        """
        name = f"p{len(self.shown)}"
        self.shown[name] = (offer, how)
        return f"{self.url}/page/{name}"

    def link(self, offer, query=""):
        return f"{self.url}/cx/o/{offer.token}{query}"

    def close(self):
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Order</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>Your order is on its way</h1><p><a href="/thanks">All orders</a></p>
{{ tall }}{{ cx_prompt(offer, **how) }}
</main></body></html>"""


@pytest.fixture
def shop(desk):
    """
    A running shop.
    """
    made = Shop(desk)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_hidden_failure(caplog):
    """
    What a face swallows for the host's sake is a failure here, unless the test looks at it.
    """
    yield
    hidden = [r.getMessage() for r in caplog.records if "failed:" in r.msg or "not shown" in r.msg]
    assert hidden == []
