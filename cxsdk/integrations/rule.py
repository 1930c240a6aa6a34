"""
Which requests are a customer's interactions: most are not, so each is opted into.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from typing import Any, TypeVar

import attrs

from cxsdk.errors import ConfigurationError
from cxsdk.integrations.status import Outcomes, outcomes_of
from cxsdk.integrations.touchpoint import touchpoint_of

__all__ = [
    "METHODS",
    "Rule",
    "Rules",
    "as_interaction",
    "is_decorated",
    "is_marked",
    "touchpoint_of",
]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET")
"""What a rule is about where it does not say; never HEAD and OPTIONS, which nobody sees."""

_MOST = 4096
_CONVERTER = re.compile(r"\{(\w+):[^{}]*\}")
_MARK = "__cx_rule__"
_DECORATED = "__cx_interaction__"
F = TypeVar("F", bound=Callable[..., Any])


def _methods(said: Iterable[str] | str | None) -> tuple[str, ...]:
    if said is None:
        return METHODS
    found = (said,) if isinstance(said, str) or not isinstance(said, Iterable) else tuple(said)
    if not all(isinstance(each, str) for each in found):
        raise ConfigurationError(
            f"interactions.methods: expected methods such as POST, got {said!r}"
        )
    return tuple(each.upper() for each in found)


def _check_flag(value: Any, name: str) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}: expected True or False, got {value!r:.60}")


def _check_errors(fails: Any, ignore: Any, classify: Any) -> None:
    """
    Raise `ConfigurationError` where no exception could ever be one of these.
    """
    from cxsdk.errors import InvalidEventError
    from cxsdk.instrument.checks import check_reason

    if fails is not None and not (isinstance(fails, Mapping) and all(map(_is_error, fails))):
        words = "exception classes with reasons, such as {CardDeclinedError: 'card_declined'}"
        raise ConfigurationError(f"interactions.fails: expected {words}, got {fails!r:.60}")
    try:
        for reason in (fails or {}).values():
            check_reason(reason, "interactions.fails")
    except InvalidEventError as error:
        raise ConfigurationError(str(error)) from None
    some = ignore if isinstance(ignore, (tuple, list, set, frozenset)) else (ignore,)
    if not all(map(_is_error, some)):
        words = f"expected exception classes, got {ignore!r:.60}"
        raise ConfigurationError(f"interactions.ignore: {words}")
    if classify is not None and not callable(classify):
        raise ConfigurationError(
            f"interactions.classify: expected a function, got {classify!r:.60}"
        )


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


@attrs.define(frozen=True, kw_only=True)
class Rule:
    """
    Requests that are interactions, and what is the same of all of them.

    The first rule that fits decides. A handler that is decorated with ``cx.interaction`` speaks for
    itself, and no rule applies to it.

    Args:
        route: the route as the framework writes it, such as ``/orders/<int:order_id>``, where ``*``
            stands for anything.

        view: name of the handler in the framework, where ``*`` stands for anything: an endpoint of
            Flask, the dotted path or the URL name of a Django view, the dotted path of a function.

        methods: of HTTP; all but HEAD and OPTIONS by default.

        skip: True: these are none.

        touchpoint: a constant such as ``checkout.pay``; by default made of the route, see
            `touchpoint_of`.

        statuses: of the response, with what each means where the standard's own reading does not
            hold: an outcome, or (outcome, reason). ``{200: ("failure", "wrong_password")}`` is for a
            form that is shown again.

        login: True: who is served when it ends is who the visitor was, and ``identify`` says so. For
            applications with a login of their own; of that of the framework an integration hears.

        stage, channel, medium, location, goal, direction, by, on_behalf_of, fails, ignore, classify:
            as for ``cx.interaction``.

    Raises:
        ConfigurationError: a value is wrong.
    """

    route: str = "*"
    view: str = "*"
    methods: tuple[str, ...] = attrs.field(default=None, converter=_methods)
    skip: bool = False
    statuses: Outcomes = attrs.field(default=None, converter=outcomes_of, eq=False)
    login: bool = False
    touchpoint: str | None = None
    stage: str | None = None
    channel: str | None = None
    medium: str | None = None
    location: str | None = None
    goal: str | None = None
    direction: str | None = None
    by: Any = None
    on_behalf_of: str | None = None
    fails: Mapping[type[BaseException], str] | None = attrs.field(default=None, eq=False)
    ignore: tuple[type[BaseException], ...] = ()
    classify: Callable[[BaseException], Any] | None = None

    def __attrs_post_init__(self) -> None:
        from cxsdk.errors import InvalidEventError
        from cxsdk.instrument.interactions import Interactions

        for name in ("route", "view"):
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(f"interactions.{name}: expected text such as /orders/*")
        _check_flag(self.skip, "interactions.skip")
        _check_flag(self.login, "interactions.login")
        _check_errors(self.fails, self.ignore, self.classify)
        try:
            # Checked here: a wrong stage stops the start of the host, not a customer.
            Interactions.new_site(self.fixed(self.touchpoint or "probe"))
        except InvalidEventError as error:
            raise ConfigurationError(f"interactions: {error}") from None

    def fits(self, method: str, route: str, names: tuple[str, ...]) -> bool:
        """
        Say whether this rule is about requests of *method* to *route*, handled by one of *names*.
        """
        return (
            method in self.methods
            and _is_like(self.route, route)
            and (self.view == "*" or any(_is_like(self.view, name) for name in names))
        )

    def fixed(self, touchpoint: str) -> tuple[Any, ...]:
        """
        Return the fixed facts of a call site; see `Interactions.site`.
        """
        plain = (touchpoint, self.stage, self.channel, self.goal)
        more = (self.medium, self.location, self.direction, self.by, self.on_behalf_of)
        return (*plain, *more)


def _is_like(glob: str, text: str) -> bool:
    # Frameworks write regular expressions into routes, whose brackets and marks are no globs, and
    # some leave out the converter where they say what a route is.
    return (
        glob == text
        or _pattern(glob).match(text) is not None
        or _pattern(_bare(glob)).match(_bare(text)) is not None
    )


def _bare(route: str) -> str:
    return _CONVERTER.sub(r"{\1}", route) if "{" in route else route


@functools.lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


class Rules:
    """
    Finds the rule of a request. Thread-safe: the memo is a dict, and a race makes an entry twice.

    Args:
        rules: in their order.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = list(rules)
        self._memo: dict[tuple[str, str, Any], tuple[Rule, tuple[Any, ...]] | None] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def add(self, rule: Rule) -> None:
        """
        Add *rule* behind the others.
        """
        self._rules.append(rule)
        self._memo = {}

    def find(
        self, method: str, route: str, view: Any, names: tuple[str, ...] = ()
    ) -> tuple[Rule, tuple[Any, ...]] | None:
        """
        Return the rule of a request with the fixed facts of its call site; None: it is none.

        Args:
            route: the template, never the raw path: what is remembered is bounded by it.

            view: the handler; what `as_interaction` or ``cx.interaction`` made of it is heeded.

            names: what the framework calls the handler, for ``Rule.view``.
        """
        key = (method, route, view)
        try:
            return self._memo[key]
        except (KeyError, TypeError):
            found = self._look(method, route, view, names)
        if len(self._memo) < _MOST:
            try:
                self._memo[key] = found
            except TypeError:  # a handler that cannot be a key
                pass
        return found

    def _look(
        self, method: str, route: str, view: Any, names: tuple[str, ...]
    ) -> tuple[Rule, tuple[Any, ...]] | None:
        if is_decorated(view):
            return None
        own: Rule | None = getattr(view, _MARK, None)
        if own is not None and method in own.methods:
            rule: Rule | None = own
        else:
            rule = next((each for each in self._rules if each.fits(method, route, names)), None)
        if rule is None or rule.skip:
            return None
        return rule, rule.fixed(rule.touchpoint or touchpoint_of(route, method))


def is_decorated(view: Any) -> bool:
    """
    Say whether *view*, or what it wraps, is decorated with ``cx.interaction``.
    """
    return getattr(view, _DECORATED, False) is True


def is_marked(view: Any) -> bool:
    """
    Say whether *view*, or what it wraps, is marked with `as_interaction`.
    """
    return getattr(view, _MARK, None) is not None


def as_interaction(touchpoint: str | None = None, **facts: Any) -> Callable[[F], F]:
    """
    Mark a handler: each of its requests is an interaction, from the first byte to the last one.

    Unlike ``cx.interaction`` it heeds the status of the response, measures what is streamed, and
    stands above or below the decorators of the framework: it wraps nothing. It needs an integration
    to be installed.

    Args:
        touchpoint: as for `Rule`.

        facts: the other arguments of `Rule`.

    Raises:
        ConfigurationError: a value is wrong.
    """
    rule = Rule(touchpoint=touchpoint, **facts)

    def mark(view: F) -> F:
        setattr(view, _MARK, rule)
        return view

    return mark
