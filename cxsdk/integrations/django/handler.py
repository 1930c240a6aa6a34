"""
What handles a request in the eyes of a rule: a function, a method of a class, an action.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getclosurevars, isfunction
from typing import Any

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.urls import get_resolver, get_urlconf
from django.utils.translation import get_language

from cxsdk.integrations.rule import is_decorated, is_marked

__all__ = ["Handlers", "routes"]

_MOST = 4096
_ENCLOSE = frozenset({"ninja", "rest_framework"})
Found = tuple[str, Any, tuple[str, ...]]


class Handlers:
    """
    Finds (route, handler, names) of a request. Thread-safe: the memo is a dict, and a race makes an
    entry twice.
    """

    def __init__(self) -> None:
        self._memo: dict[tuple[str, str, Any], Found] = {}

    def find(self, method: str, match: Any, view: Any) -> Found:
        """
        Return the route with a slash in front, without the prefix of a language; the function that
        carries the marks; and the names by which a rule may call it: its dotted path, the URL's
        name, and that with its namespace.
        """
        key = (method, match.route, view)
        found = self._memo.get(key)
        if found is None:
            found = (f"/{_plain(match.route)}", _marked(method, view), _names(method, match, view))
            if len(self._memo) < _MOST:
                self._memo[key] = found
        return found


def _plain(route: str) -> str:
    used, _ = is_language_prefix_patterns_used(get_urlconf() or settings.ROOT_URLCONF)
    return route.removeprefix(f"{get_language()}/") if used else route


def _marked(method: str, view: Any) -> Any:
    candidates: tuple[Any, ...]
    cls = _class(view)
    if cls is None:
        candidates = (_enclosed(method, view), view)
    else:
        # The actions of a viewset are methods under other names.
        name = (getattr(view, "actions", None) or {}).get(method.lower(), method.lower())
        own = getattr(cls, name, None)
        candidates = (own, _enclosed(method, own), view, cls)
    return next((each for each in candidates if is_decorated(each) or is_marked(each)), view)


def _names(method: str, match: Any, view: Any) -> tuple[str, ...]:
    cls = _class(view) or _enclosed(method, view) or view
    path = f"{cls.__module__}.{getattr(cls, '__qualname__', type(cls).__qualname__)}"
    return tuple({each for each in (path, match.url_name, match.view_name) if each})


def _class(view: Any) -> Any:
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def _enclosed(method: str, wrapper: Any) -> Any:
    """
    Return the host's function that serves *method*, where a framework that is built on Django keeps
    it out of sight: that of ``api_view``, or an operation of django-ninja. None of anything else.
    """
    made_by = (getattr(wrapper, "__module__", None) or "").partition(".")[0]
    if made_by not in _ENCLOSE or not isfunction(wrapper):
        return None
    for held in getclosurevars(wrapper).nonlocals.values():
        if isfunction(held):
            return held
        for each in getattr(held, "operations", ()):
            if method in each.methods:
                return each.view_func
    return None


def routes(resolver: Any = None, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """
    Yield (route, view) of all URLs of the project.
    """
    for each in (get_resolver() if resolver is None else resolver).url_patterns:
        route = f"{prefix}{each.pattern}"
        if hasattr(each, "url_patterns"):
            yield from routes(each, route)
        else:
            yield route, each.callback
