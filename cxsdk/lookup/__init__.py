"""
Knowing the customer: lookup, cache, overlay, identity.

Providers are imported when they are named, so that nobody pays for those not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxsdk.lookup.providers.call import CallableProvider, provider
    from cxsdk.lookup.providers.collector import CollectorProvider
    from cxsdk.lookup.providers.django import DjangoProvider
    from cxsdk.lookup.providers.http import HttpBatch, HttpProvider
    from cxsdk.lookup.providers.memory import InMemoryProvider
    from cxsdk.lookup.providers.nothing import NoOpProvider
    from cxsdk.lookup.providers.redis import RedisProvider, RedisSection
    from cxsdk.lookup.providers.sql import SectionQuery, SqlProvider

__all__ = [
    "CallableProvider",
    "CollectorProvider",
    "DjangoProvider",
    "HttpBatch",
    "HttpProvider",
    "InMemoryProvider",
    "NoOpProvider",
    "RedisProvider",
    "RedisSection",
    "SectionQuery",
    "SqlProvider",
    "provider",
]

_PLACES = {
    "CallableProvider": "call",
    "CollectorProvider": "collector",
    "DjangoProvider": "django",
    "HttpBatch": "http",
    "HttpProvider": "http",
    "InMemoryProvider": "memory",
    "NoOpProvider": "nothing",
    "RedisProvider": "redis",
    "RedisSection": "redis",
    "SectionQuery": "sql",
    "SqlProvider": "sql",
    "provider": "call",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"cxsdk.lookup.providers.{_PLACES[name]}"), name)
