"""
Which requests are interactions.
"""

from __future__ import annotations

import functools
import logging

import pytest

import cxsdk as cx
from cxsdk.errors import ConfigurationError
from cxsdk.integrations import Rule, as_interaction, stray
from cxsdk.integrations.options import Options, read
from cxsdk.integrations.rule import Rules, touchpoint_of


@pytest.mark.parametrize(
    ("route", "method", "expected"),
    [
        ("/", "GET", "root"),
        ("/orders/<int:order_id>/pay", "POST", "orders.order_id.pay.post"),
        ("/orders/{order_id}", "GET", "orders.order_id"),
        ("/files/{path:path}", "GET", "files.path"),
        (r"^articles/(?P<year>[0-9]{4})/$", "GET", "articles.year"),
        ("/a/b/c/d/e/f", "GET", "a.b.c.d.e_f"),
        ("/2024/Sale-Items.html", "GET", "n2024.sale_items.html"),
        ("/<lang>/<lang>", "DELETE", "lang.lang.delete"),
        ("/ünïcode/{x}", "GET", "n_code.x"),
        ("/chat", "WEBSOCKET", "chat"),
        (r"catalogue/(?P<product_slug>[\w-]*)_(?P<pk>\d+)/$", "GET", "catalogue.product_slug_pk"),
        (r"shop/^in/(?P<slug>[\w-]+(/[\w-]+)*)_(?P<pk>\d+)/$", "GET", "shop.in.slug_pk"),
        (r"^a/(?P<do>set_(me|you))/(\d{4})/(?:p-(?P<page>[()\]]+)/)?\Z", "GET", "a.do.any.page"),
        (r"^feed\.xml$", "GET", "feed.xml"),
        (r"^v[12]/\w+?/(?:en|de)/$", "PUT", "v_any.any.any.put"),
        (r"/<regex('[a-z]+:x'):code>/<path:rest>", "GET", "code.rest"),
        (r"/{year:\d{4}}-{month}/{:x}", "GET", "year_month.any"),
    ],
)
def test_a_touchpoint_is_made_of_the_route(route, method, expected):
    """Parts joined by dots, parameters by name, never a value."""
    assert touchpoint_of(route, method) == expected


@pytest.mark.parametrize(
    "route",
    [
        "/" + "x" * 200,
        "/" + "/".join("abcdefghijkl"),
        "/…/§",
        "/{}",
        "/(<[{",
        "/(?P<a",
        "/[",
        "/\\\\",
        "/a/{b",
        "/<",
        "/" + "(" * 500,
    ],
)
def test_any_route_makes_a_touchpoint_that_the_standard_takes(route):
    """Whatever a route looks like, its touchpoint is a valid one."""
    Rule(touchpoint=touchpoint_of(route, "PATCH"))


def test_the_first_rule_that_fits_decides():
    """Rules are tried in order; one that skips ends the search."""
    rules = Rules(
        [
            Rule(route="/orders/internal/*", skip=True),
            Rule(route="/orders/*", methods="post", stage="order"),
            Rule(view="shop.views.*", touchpoint="shop.visit"),
        ]
    )
    assert rules.find("POST", "/orders/internal/x", None) is None
    assert rules.find("POST", "/orders/new", None)[1][:2] == ("orders.new.post", "order")
    assert rules.find("GET", "/orders/new", None) is None
    assert rules.find("GET", "/home", None, ("home", "shop.views.home"))[1][0] == "shop.visit"
    assert rules.find("HEAD", "/home", None, ("shop.views.home",)) is None


def test_a_route_that_is_an_expression_may_be_written_as_it_is():
    """Its brackets are not those of a pattern."""
    route = r"/catalogue/(?P<slug>[\w-]*)_(?P<pk>\d+)/$"
    assert Rules([Rule(route=route)]).find("GET", route, None)[1][0] == "catalogue.slug_pk"


@pytest.mark.parametrize(
    ("said", "route"),
    [
        (r"/b/<regex('[a-z]+'):key>", r"/b/<regex('[a-z]+'):key>"),
        (r"^orders/(?P<n>[0-9]{4})/$", r"^orders/(?P<n>[0-9]{4})/$"),
        ("/orders/{n:int}", "/orders/{n}"),
        ("/orders/{n}/*", "/orders/{n:int}/pay"),
    ],
)
def test_a_rule_may_have_the_route_as_it_stands_in_the_code(said, route):
    """Regular expressions are no globs, and a converter that the framework leaves out is none."""
    assert Rules([Rule(route=said)]).find("GET", route, None) is not None
    assert Rules([Rule(route=said)]).find("GET", "/other/7", None) is None


def test_a_mark_speaks_before_the_rules():
    """``as_interaction`` wraps nothing, and what wraps the handler keeps the mark."""

    @as_interaction("checkout.pay", stage="order", methods="POST")
    def pay():
        """Pay."""

    @functools.wraps(pay)
    def guarded():
        return pay()

    rules = Rules([Rule(touchpoint="any.thing")])
    for view in (pay, guarded):
        assert rules.find("POST", "/pay", view)[1][:2] == ("checkout.pay", "order")
        assert rules.find("GET", "/pay", view)[1][0] == "any.thing"
    assert Rules([]).find("GET", "/pay", pay) is None


def test_what_is_remembered_of_routes_is_bounded():
    """Handlers made per request do not fill the memory."""
    rules = Rules([Rule()])
    for number in range(5000):
        rules.find("GET", f"/r{number}", None)
    assert len(rules._memo) == 4096


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"interaction": []}, "did you mean 'interactions'"),
        ({"interactions": [{"rout": "/x"}]}, "did you mean 'route'"),
        ({"interactions": ["x"]}, "expected a mapping or a Rule, got str"),
        ({"interactions": [{"stage": "Order!"}]}, "stage"),
        ({"interactions": [{"touchpoint": "/raw/path"}]}, "lower-case words"),
        ({"interactions": [{"channel": "tv"}]}, "channel"),
        ({"interactions": [{"route": 7}]}, "interactions.route"),
        ({"interactions": [{"statuses": 200}]}, "expected statuses with outcomes"),
        ({"interactions": [{"statuses": {"200": "failure"}}]}, "expected statuses with outcomes"),
        ({"interactions": [{"statuses": {200: "failed"}}]}, "statuses: expected one of"),
        ({"interactions": [{"statuses": {200: ("failure", "No!")}}]}, "interactions.statuses"),
        ({"customer": "no.such.function"}, "customer: expected a function or its dotted path"),
        ({"customer": 7}, "customer: expected a function or its dotted path, got int"),
        ({"exclude": ["internal"]}, "exclude: expected paths"),
        ({"baggage": "always"}, "baggage: expected one of"),
        ({"mount": "cx"}, "mount: expected a path"),
        ({"mount": "/"}, "mount: expected a path"),
        ({"mount": 7}, "mount: expected a path such as /cx, got 7"),
        ({"mount": "/cx/<shop>"}, "mount: expected a path"),
        ({"cookie": True}, "cookie: expected a name such as cx_visitor, got True"),
        ({"header": ""}, "header: expected a name such as X-Customer-Id, got ''"),
        ({"exclude": None}, "exclude: expected paths"),
        ({"origins": "localhost:3000"}, "origins: expected pages such as https://app.example.com"),
        ({"origins": ["https://a.at/b"]}, "origins: expected pages"),
        ({"remember": "no"}, "remember: expected True or False, got 'no'"),
        ({"spans": "false"}, "spans: expected True or False, got 'false'"),
        ({"interactions": 7}, "interactions: expected a mapping or a Rule, got int"),
        ({"channel": "tv"}, "channel"),
        ({"spool": {"mod": "memory"}}, "did you mean 'mode'"),
        ({"spool": {"mode": "disk"}}, "mode: expected one of"),
        (["x"], "expected a mapping, got list"),
    ],
)
def test_a_wrong_setting_names_itself_and_what_was_expected(settings, words):
    """Settings are checked where the host starts."""
    with pytest.raises(ConfigurationError, match=words.replace("(", r"\(")):
        read(settings)


def test_settings_are_those_of_init_and_of_the_integration():
    """Groups may be mappings; what the integration takes is not passed to init."""
    options, init = read(
        {"service": "shop", "spool": {"mode": "memory"}, "exclude": "/x", "customer": "os.getcwd"},
        channel="api",
    )
    assert init == {"service": "shop", "spool": cx.SpoolOptions(mode="memory")}
    assert (options.channel, options.exclude, options.customer()) != (None, None, None)
    assert options.exclude == ("/x",)
    assert read(None)[0] == Options()
    assert Options(origins="https://App.example.com/").origins == ("https://app.example.com",)


@cx.interaction("late.mark")
def late():
    """Decorated; its undecorated self was registered before."""


def test_a_route_around_an_undecorated_function_is_said_once(caplog):
    """The wrong order of decorators is explained with the right one."""
    with caplog.at_level(logging.WARNING, "cxsdk"):
        for _ in range(2):
            assert stray.look([("/late", late.__wrapped__), ("/fine", late)]) == ["/late"]
    (record,) = caplog.records
    assert "/late" in record.getMessage()
    assert "next to the def" in record.getMessage()


def test_handlers_that_are_no_functions_are_no_strays():
    """Partials, lambdas, callables and methods of builtins are looked at and left alone."""

    class Handler:
        def __call__(self):
            """Serve."""

    views = [functools.partial(late), lambda: 1, Handler(), Handler, "".join, None]
    assert stray.look([(str(n), view) for n, view in enumerate(views)]) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"methods": 7}, "interactions.methods: expected methods such as POST, got 7"),
        ({"skip": "no"}, "interactions.skip: expected True or False, got 'no'"),
        ({"login": 1}, "interactions.login: expected True or False, got 1"),
        ({"fails": {"Declined": "declined"}}, "interactions.fails: expected exception classes"),
        ({"fails": [KeyError]}, "interactions.fails: expected exception classes with reasons"),
        ({"fails": {KeyError: "Not there"}}, "interactions.fails: expected lower-case words"),
        ({"ignore": "KeyError"}, "interactions.ignore: expected exception classes, got 'KeyError'"),
        ({"classify": "shop.classify"}, "interactions.classify: expected a function"),
    ],
)
def test_a_rule_that_could_never_hold_is_an_error(facts, words):
    """What would be found out when a customer is refused is found out where the host starts."""
    with pytest.raises(ConfigurationError, match=words.replace("(", r"\(")):
        as_interaction("checkout.pay", **facts)


def test_one_exception_class_may_stand_alone():
    """As for ``cx.interaction``."""
    assert Rule(ignore=KeyError).ignore is KeyError
    assert Rule(ignore=[KeyError], fails={ValueError: "wrong"}, methods="post").methods == ("POST",)
