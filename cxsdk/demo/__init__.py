"""
The demo: a small instrumented shop, its customers, and the collector that listens.

Needs the extra ``demo``. ``cxsdk demo`` runs it; the shop is a process of its own with a durable
spool, the customers are threads that talk HTTP, and nothing leaves the loopback interface.
"""

from __future__ import annotations

from cxsdk.errors import ExtraMissingError

try:
    import flask as _flask
    import httpx as _httpx
except ImportError as error:
    raise ExtraMissingError(error.name or "flask", "demo") from error

from cxsdk.demo.reckoning import Reckoning
from cxsdk.demo.show import Show

__all__ = ["Reckoning", "Show"]

del _flask, _httpx
