"""
Where a test puts what stands in for parts of clients. Empty outside of tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["engines", "is_djangos", "settings"]

settings: list[Callable[[Any], Any]] = []
"""Each gets the `Settings` of a client that is made, and returns those that hold."""

engines: list[Callable[[Any], None]] = []
"""Each is shown every engine, of prompts or of lookups, that is opened."""


def is_djangos() -> bool:
    """
    Say whether Django's test environment is set up. Its databases are dropped at the end, which a
    server refuses while anybody is connected: then no connection of ours outlives its use.
    """
    room = sys.modules.get("django.test.utils")
    return hasattr(getattr(room, "_TestState", None), "saved_data")
