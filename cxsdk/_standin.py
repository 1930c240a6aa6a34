"""
Where a test puts what stands in for parts of clients. Empty outside of tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["engines", "settings"]

settings: list[Callable[[Any], Any]] = []
"""Each gets the `Settings` of a client that is made, and returns those that hold."""

engines: list[Callable[[Any], None]] = []
"""Each is shown every engine, of prompts or of lookups, that is opened."""
