"""
Routes that are registered around an undecorated function of a decorated name: nothing of what they
serve would ever be recorded.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Iterable
from typing import Any

from cxsdk._guard import voice
from cxsdk.integrations.rule import is_decorated

__all__ = ["look"]


def look(routes: Iterable[tuple[str, Any]]) -> list[str]:
    """
    Look at pairs of route and handler; say, once for each, and return those that are strays.
    """
    found = []
    for route, view in routes:
        if is_decorated(view) or not _is_stray(view):
            continue
        place = f"{view.__module__}.{view.__qualname__}"
        found.append(route)
        words = (
            "cxsdk: the route %s was registered before %s was decorated: nothing it serves is"
            " recorded. Let cx.interaction stand below the decorators of the framework, next to the"
            " def"
        )
        voice.say(logging.WARNING, f"stray:{place:.100}", words, route, place)
    return found


def _is_stray(view: Any) -> bool:
    named: Any = sys.modules.get(getattr(view, "__module__", None) or "")
    for part in getattr(view, "__qualname__", "").split("."):
        named = inspect.getattr_static(named, part, None)
    if named is None or named is view or not is_decorated(named):
        return False
    while named is not None and named is not view:
        named = getattr(named, "__wrapped__", None)
    return named is view
