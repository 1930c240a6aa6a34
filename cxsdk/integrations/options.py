"""
What all integrations are told, and how a framework's settings become it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

import attrs

from cxsdk.config import _GROUPS, Settings
from cxsdk.errors import ConfigurationError
from cxsdk.integrations.rule import Rule, _check_flag

__all__ = ["EXCLUDED", "Options", "read", "resolve"]

EXCLUDED = (
    "/health",
    "/healthz",
    "/health/*",
    "/livez",
    "/live",
    "/readyz",
    "/ready",
    "/ping",
    "/metrics",
    "/favicon.ico",
    "/robots.txt",
    "/static/*",
    "/.well-known/*",
    "/__debug__/*",
)
"""Paths that nobody's customer looks at: probes, files, tools."""

_INIT = frozenset(
    {each.name for each in attrs.fields(Settings)} - {"said", "origins", "disabled"}
    | {"processors", "listeners", "outbox", "clock"}
)
_COOKIE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_HEADER = re.compile(r"[A-Za-z0-9_-]+\Z")
_MOUNT = re.compile(r"/[^/<>\s][^<>\s]*\Z")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+\Z")
_NAMES = (
    ("cookie", _COOKIE, "name such as cx_visitor"),
    ("header", _HEADER, "name such as X-Customer-Id"),
    ("mount", _MOUNT, "path such as /cx"),
)
_BAGGAGE = ("signed", "claimed", "ignore")


def resolve(said: Any, name: str) -> Any:
    """
    Return *said*, or what it names where it is a dotted path such as ``shop.cx.customer_of``.

    Raises:
        ConfigurationError: there is nothing of that name.
    """
    if not isinstance(said, str):
        return said
    module, _, attribute = said.replace(":", ".").rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{name}: expected a function or its dotted path, and {said!r} is none: {error}"
        ) from None


def _function(value: Any, name: str) -> Any:
    found = resolve(value, name)
    if found is None:
        return None
    if not callable(found):
        kind = type(found).__name__
        raise ConfigurationError(f"{name}: expected a function or its dotted path, got {kind}")
    if iscoroutinefunction(found) or iscoroutinefunction(found.__call__):
        raise ConfigurationError(
            f"{name}: expected a plain function, which is called when an event needs it; in a"
            " coroutine say cxsdk.integrations.serving(customer)"
        )
    return found


def _rules(said: Iterable[Any]) -> tuple[Rule, ...]:
    rules = []
    for each in said if isinstance(said, Iterable) and not isinstance(said, Mapping) else (said,):
        if isinstance(each, Mapping):
            _check_names(each, {field.name for field in attrs.fields(Rule)}, "interactions")
            rules.append(Rule(**each))
        elif isinstance(each, Rule):
            rules.append(each)
        else:
            kind = type(each).__name__
            raise ConfigurationError(f"interactions: expected a mapping or a Rule, got {kind}")
    return tuple(rules)


def _texts(said: Iterable[str] | str) -> tuple[str, ...]:
    # What is neither is refused with its name, where the others are checked.
    return (said,) if isinstance(said, str) or not isinstance(said, Iterable) else tuple(said)


def _origins(said: Iterable[str] | str) -> tuple[str, ...]:
    # Browsers say them in lower case, and without the slash that is behind them in a bar.
    texts = _texts(said)
    return tuple(e.lower().removesuffix("/") if isinstance(e, str) else e for e in texts)


def _is_named(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _check_paths(name: str, paths: tuple[Any, ...]) -> None:
    for path in paths:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ConfigurationError(f"{name}: expected paths such as /internal/*, got {path!r}")


@attrs.define(frozen=True, kw_only=True)
class Options:
    """
    What an integration does beside what its client does.

    Args:
        customer: gets the framework's request; returns the host's id of the customer, a pair of id
            and assurance, or None. A function or its dotted path; by default whoever is logged in.
            Called when an event first needs it, and again while it gives None.

        session: gets the request; returns the session key, of which only hashes leave the process,
            or None. By default the framework's session.

        consent: gets the request; returns ``granted``, ``denied``, ``unknown`` or None.

        cookie: name of a cookie of our own, set for visitors without a session who have agreed:
            where *consent* says ``granted``, and never otherwise. None: not even then.

        header: name of a header that names the customer, such as ``X-Customer-Id``. It can only
            claim: assurance is ``claimed``. Not read by default.

        baggage: whether to believe another service of the team that says whom it serves:
            ``signed`` by the team's key (default), also what is only ``claimed``, or ``ignore``.

        interactions: rules; a mapping stands for a `Rule`.

        exclude: further paths that are nothing to us, where a ``*`` at the end stands for anything;
            the probes, files and tools of `EXCLUDED` always are.

        channel, medium: where customers are who come this way.

        mount: path under which the endpoint of prompts is mounted; None: it is not.

        returns: paths that a form may lead to after an answer; one that ends with ``/`` stands for
            all below it.

        origins: pages elsewhere that may post answers, such as ``https://app.example.com``.

        remember: keep the last interaction, signed, in the session, so that the page after a
            redirect asks about the right thing; where there are prompts and a session. A request
            that only reads, and whose handler leaves the session as it is, does not write it.

        spans: put what interactions say on the active span; see `SpanAttributes`, which is a
            listener of ``cx.init`` where the host calls that itself.

    Raises:
        ConfigurationError: a value is wrong.
    """

    customer: Callable[[Any], Any] | None = None
    session: Callable[[Any], Any] | None = None
    consent: Callable[[Any], Any] | None = None
    cookie: str | None = "cx_visitor"
    header: str | None = None
    baggage: str = "signed"
    interactions: tuple[Rule, ...] = attrs.field(default=(), converter=_rules)
    exclude: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    channel: str = "web"
    medium: str = "web_page"
    mount: str | None = "/cx"
    returns: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    origins: tuple[str, ...] = attrs.field(default=(), converter=_origins)
    remember: bool = True
    spans: bool = False

    def __attrs_post_init__(self) -> None:
        for name in ("customer", "session", "consent"):
            object.__setattr__(self, name, _function(getattr(self, name), name))
        _check_paths("exclude", self.exclude)
        _check_paths("returns", self.returns)
        _check_flag(self.remember, "remember")
        _check_flag(self.spans, "spans")
        if self.baggage not in _BAGGAGE:
            words = ", ".join(_BAGGAGE)
            raise ConfigurationError(f"baggage: expected one of {words}, got {self.baggage!r}")
        for name, pattern, words in _NAMES:
            value = getattr(self, name)
            if value is not None and not _is_named(value, pattern):
                raise ConfigurationError(f"{name}: expected a {words}, got {value!r}")
        for origin in self.origins:
            if not _is_named(origin, _ORIGIN):
                words = "expected pages such as https://app.example.com"
                raise ConfigurationError(f"origins: {words}, got {origin!r}")
        Rule(channel=self.channel, medium=self.medium)  # checks them


def read(said: Mapping[str, Any] | None, **defaults: Any) -> tuple[Options, dict[str, Any]]:
    """
    Return (options of the integration, arguments of ``cx.init``) of a framework's settings.

    Names are in lower case; an option group may be a mapping.

    Args:
        defaults: of the integration, where the settings do not say.

    Raises:
        ConfigurationError: a name is not known, or a value is wrong.
    """
    if said is not None and not isinstance(said, Mapping):
        raise ConfigurationError(f"CXSDK: expected a mapping, got {type(said).__name__}")
    given = dict(said or {})
    own = {field.name for field in attrs.fields(Options)}
    _check_names(given, own | _INIT, "CXSDK")
    mine = {name: value for name, value in given.items() if name in own}
    init = {name: _group(name, value) for name, value in given.items() if name not in own}
    options = Options(**{**defaults, **mine})
    if options.spans:
        from cxsdk.integrations.otel import SpanAttributes

        init["listeners"] = (*init.get("listeners", ()), SpanAttributes())
    return options, init


def _group(name: str, value: Any) -> Any:
    group = _GROUPS.get(name)
    if group is None or not isinstance(value, Mapping):
        return value
    _check_names(value, {field.name for field in attrs.fields(group)}, f"CXSDK[{name!r}]")
    return group(**value)


def _check_names(given: Mapping[str, Any], known: set[str] | frozenset[str], where: str) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(str(name).lower(), known, n=1, cutoff=0.6)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else f"; there are {', '.join(sorted(known))}"
            )
            raise ConfigurationError(f"{where}: there is no setting {name!r}{hint}")
