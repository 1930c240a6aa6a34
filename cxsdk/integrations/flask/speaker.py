"""
Who says whether requests to an endpoint are interactions: its function, its class, its blueprint.
"""

from __future__ import annotations

from typing import Any

import flask

from cxsdk.integrations.rule import _MARK, is_decorated

__all__ = ["Speakers"]


class Speakers:
    """
    Finds it, once for each endpoint and method. Thread-safe: a race finds it twice.
    """

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._found: dict[tuple[str, str], tuple[Any, tuple[str, ...]]] = {}

    def of(self, endpoint: str, method: str) -> tuple[Any, tuple[str, ...]]:
        """
        Return (what a mark may be on, names for ``Rule.view``); (None, …) for static files and for
        what is ours.
        """
        key = (endpoint, method)
        try:
            return self._found[key]
        except KeyError:
            pass
        found = self._look(endpoint, method)
        if len(self._found) < 4096:
            self._found[key] = found
        return found

    def _look(self, endpoint: str, method: str) -> tuple[Any, tuple[str, ...]]:
        view = self._app.view_functions.get(endpoint)
        blueprint, _, last = endpoint.rpartition(".")
        if view is None or last == "static" or blueprint == "cxsdk":
            return None, ()
        cls = getattr(view, "view_class", None)
        own = view if cls is None else getattr(cls, method.lower(), None) or view
        names = (endpoint, f"{own.__module__}.{getattr(own, '__qualname__', endpoint)}")
        speakers = [own, view, cls, *self._blueprints(blueprint)]
        for each in speakers:
            if is_decorated(each) or hasattr(each, _MARK):
                return each, names
        return own, names

    def _blueprints(self, name: str) -> list[Any]:
        """
        Return the blueprint of *name* and those around it, the innermost first.
        """
        parts = name.split(".") if name else []
        paths = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        return [self._app.blueprints[path] for path in paths if path in self._app.blueprints]
