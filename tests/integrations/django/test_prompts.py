"""
The tag and the endpoint of prompts.
"""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import transaction
from django.http import HttpResponse
from django.template import Context, Template
from django.urls import clear_url_caches, include, path, re_path

import cxsdk as cx
from cxsdk.integrations import as_interaction
from cxsdk.prompts import Prompt, Question
from cxsdk.prompts.faces import tag, use
from tests.integrations.django.projects import CX, SESSIONS, SIGNED, Project
from tests.prompts.faces.conftest import Desk


@pytest.fixture
def desk(cx_events):
    made = Desk(cx_events)
    yield made
    made.engine.close()
    tag._used.clear()


@pytest.fixture
def page():
    return Template("{% load cx %}<p>{% cx_prompt what customer=who return_to='/thanks' %}</p>")


def test_the_tag_shows_an_offer_or_nothing(desk, page):
    """Offered by its key; loaded again it is the same question; nothing to ask is nothing."""
    assert page.render(Context({"what": "versus", "who": "u-0"})) == "<p></p>"  # no such prompt
    use(desk.engine, base="/cx")
    for _ in range(2):
        text = page.render(Context({"what": "versus", "who": "u-1"}))
        assert '<form class="cx-body' in text
        assert 'name="cx-return" value="/thanks"' in text
    for nothing in ({"what": None}, {"what": ""}, {}):
        assert page.render(Context({"who": "u-2", **nothing})) == "<p></p>"


def test_without_a_key_it_is_whichever_is_due(desk):
    """The engine chooses."""
    use(desk.engine, base="/cx")
    page = Template("{% load cx %}[{% cx_prompt customer='u-3' %}]")
    assert '<form class="cx-body' in page.render(Context())


def test_an_offer_of_the_views_is_not_escaped(desk):
    """It is markup, and safe."""
    offer = desk.offer("all")
    shown = Template("{% load cx %}{% cx_prompt offer %}").render(Context({"offer": offer}))
    assert "&lt;" not in shown
    assert "<fieldset" in shown


def test_the_endpoint_is_where_its_route_is(desk):
    """Behind a proxy that takes a part of the path away, too; CSRF checks do not stop an answer."""
    from cxsdk.integrations.django.views import view

    offer = desk.offer("all")
    made = Project(
        "wsgi",
        [
            path("cx/<path:path>", view(desk.engine, returns=["/thanks"])),
            re_path(r"^behind(?P<path>/.*)$", view(desk.engine, mount="/shop/cx")),
        ],
        SESSION_ENGINE=SIGNED,
    )
    made.layers.insert(0, "django.middleware.csrf.CsrfViewMiddleware")
    assert f'action="/cx/o/{offer.token}"' in made.ask(f"/cx/o/{offer.token}").text
    assert f'action="/shop/cx/o/{offer.token}"' in made.ask(f"/behind/o/{offer.token}").text
    done = made.ask(
        f"/cx/o/{offer.token}",
        method="POST",
        headers={"host": "localhost"},
        body=b"versus=better&score=6&how=ad&cx-return=/thanks",
    )
    headers = dict(done.headers)
    assert (done.status, headers["Location"], done.cookie) == (303, "/thanks", "")
    assert headers["Cache-Control"] == "no-store"
    assert desk.events.one("feedback").data.versus_expectation == "better"
    big = made.ask(f"/cx/o/{offer.token}", method="POST", body=b"x" * 100_000)
    assert big.status == 413


def test_the_endpoint_is_no_interaction_and_in_no_transaction(desk, host):
    """Whatever rules and ``ATOMIC_REQUESTS`` say."""
    from cxsdk.integrations.django.views import view

    made = view(desk.engine)
    assert made._non_atomic_requests == {"default"}
    project = Project(
        "wsgi", [path("ask/<path:path>", made)], layers=[CX], CXSDK={"interactions": [{}]}
    )
    offer = desk.offer("versus")
    assert project.ask(f"/ask/o/{offer.token}", method="POST", body=b"versus=better").status == 303
    assert desk.events.of("interaction") == []
    assert not transaction.get_connection().in_atomic_block


PROMPT = Prompt(key="effort", questions=[Question(id="easy", kind="ces")])
ASKING = cx.PromptOptions(prompts=[PROMPT], store="memory:", keys=(b"only a key of the tests",))


@as_interaction("checkout.pay")
def pay(request):
    request.session["order"] = 7
    return HttpResponse(status=303, headers={"location": "/thanks"})


def thanks(request):
    text = "{% load cx %}[{% cx_prompt 'effort' %}]"
    return HttpResponse(Template(text).render(Context()))


def test_from_a_payment_to_its_answer(cx_events):
    """The page after the redirect asks about the payment; the answer is about it."""
    cx.init("shop", collector="null:", prompts=ASKING, strict=False)
    urls = [
        path("pay", pay),
        path("thanks", thanks),
        path("questions/", include("cxsdk.integrations.django.urls")),
    ]
    made = Project("wsgi", urls, layers=[SESSIONS, CX], SESSION_ENGINE=SIGNED)
    made.settings["CXSDK"] = {"customer": lambda request: "u-1"}
    made.settings["ROOT_URLCONF"] = made.urls
    made.ask("/pay", method="POST")
    cookie = made.ask("/pay", method="POST").cookie.strip()
    text = made.ask("/thanks", headers={"cookie": cookie}).text
    assert 'action="/questions/o/' in text
    action = text.partition('action="')[2].partition('"')[0]
    assert made.ask(action, method="POST", body=b"easy=6").status == 303
    paid = cx_events.of("interaction")[1].data.interaction_id
    assert cx_events.one("feedback").data.about.interaction_ids == (paid,)
    clear_url_caches()


def test_a_page_that_only_reads_writes_no_session(cx_events):
    """A slow page of another tab would bring back what was there when it began: a login, a cart."""
    cx.init("shop", collector="null:", prompts=ASKING, strict=False)
    urls = [path("pay", pay), path("read", as_interaction("page.read")(thanks))]
    made = Project("wsgi", urls, layers=[SESSIONS, CX], SESSION_ENGINE=SIGNED)
    made.settings["CXSDK"] = {"customer": lambda request: "u-1"}
    cookie = made.ask("/pay", method="POST").cookie.strip()
    cookie = made.ask("/read", headers={"cookie": cookie}).cookie.strip()
    assert cookie.startswith("sessionid=")  # its visitor has got an id, once
    assert made.ask("/read", headers={"cookie": cookie}).cookie == ""
    assert len(cx_events.of("interaction")) == 3
    clear_url_caches()


def test_a_page_that_asks_is_nobody_elses(cx_events):
    """The right to answer is in it: neither Django's cache nor one between keeps it."""
    cache.clear()
    cx.init("shop", collector="null:", prompts=ASKING, strict=False)

    def asks(request):
        with cx.interaction("checkout.pay"):
            pass
        return thanks(request)

    layers = "UpdateCacheMiddleware", "FetchFromCacheMiddleware"
    first, last = (f"django.middleware.cache.{each}" for each in layers)
    made = Project("wsgi", [path("asks", asks)], layers=[first, SESSIONS, CX, last])
    made.settings["CXSDK"] = {"customer": lambda request: request.headers["x-user"]}
    one, two = (made.ask("/asks", headers={"x-user": user}) for user in ("u-1", "u-2"))
    assert [each.text.count("<form") for each in (one, two)] == [1, 1]
    assert one.text != two.text
    assert "private" in dict(one.headers)["Cache-Control"]
