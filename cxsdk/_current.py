"""
Where the default client is found by rooms that are below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["client", "find"]

find: Callable[[], Any] = lambda: None  # noqa: E731 - `_default` puts its own here
"""Returns the default client, or None before ``init``."""


def client() -> Any:
    """
    Return the default client, or None before ``init``.
    """
    return find()
