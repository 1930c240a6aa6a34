"""
"Give me the record of u1, fresh for 60 s", as caching libraries say it: each in its own idiom.

A *get* takes a customer and returns the record, None for nobody, or raises what the loader raised.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

__all__ = ["PACKAGES", "RECORD", "TASKS", "THREADS", "AGet", "Get", "versions"]

Get: TypeAlias = Callable[[str], Any]
AGet: TypeAlias = Callable[[str], Awaitable[Any]]

RECORD = {"name": "Ada", "locale": "en-GB", "attributes": {"plan": "gold"}}
PACKAGES = ("cachetools", "cachebox", "dogpile.cache", "async-lru", "aiocache", "cashews")
_MOST = 10_000
_TTL = 60


def versions() -> dict[str, str]:
    """
    Return package → version, of those that are installed.
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cachetools(load: Get) -> Get:
    import cachetools

    return cachetools.cached(cachetools.TTLCache(_MOST, _TTL), lock=threading.Lock())(load)


def _cachetools_condition(load: Get) -> Get:
    import cachetools

    cache: Any = cachetools.TTLCache(_MOST, _TTL)
    return cachetools.cached(cache, condition=threading.Condition())(load)


def _dogpile(load: Get) -> Get:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=_TTL)
    return lambda customer: region.get_or_create(customer, load, creator_args=((customer,), {}))


def _cachebox(load: Any) -> Any:
    import cachebox

    return cachebox.cached(cachebox.TTLCache(_MOST, _TTL))(load)


def _async_lru(load: AGet) -> AGet:
    from async_lru import alru_cache

    return alru_cache(maxsize=_MOST, ttl=_TTL)(load)


def _aiocache(load: AGet) -> AGet:
    import aiocache

    return aiocache.cached(ttl=_TTL, key_builder=lambda _, customer: customer)(load)


def _aiocache_stampede(load: AGet) -> AGet:
    import aiocache

    return aiocache.cached_stampede(ttl=_TTL, key_builder=lambda _, customer: customer)(load)


def _cashews(load: AGet, **said: Any) -> AGet:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=_MOST)
    return cache(ttl=_TTL, key="record:{customer}", **said)(load)


def _cashews_lock(load: AGet) -> AGet:
    return _cashews(load, lock=True)


THREADS: dict[str, tuple[str, Callable[[Get], Get]]] = {
    "cachetools, lock": ("cachetools", _cachetools),
    "cachetools, condition": ("cachetools", _cachetools_condition),
    "cachebox": ("cachebox", _cachebox),
    "dogpile.cache": ("dogpile.cache", _dogpile),
}
"""Label → package and what makes a get of a loader."""

TASKS: dict[str, tuple[str, Callable[[AGet], AGet]]] = {
    "async-lru": ("async-lru", _async_lru),
    "aiocache": ("aiocache", _aiocache),
    "aiocache, cached_stampede": ("aiocache", _aiocache_stampede),
    "cashews": ("cashews", _cashews),
    "cashews, lock": ("cashews", _cashews_lock),
    "cachebox, async": ("cachebox", _cachebox),
}
