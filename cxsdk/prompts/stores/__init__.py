"""
Cap stores: who was asked what, for all processes of a service. Chosen by URL.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from cxsdk.asking import CapStore
from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.prompts.stores.memory import MemoryCapStore

__all__ = ["MemoryCapStore", "known_schemes", "open_store"]

_GROUP = "cxsdk.cap_stores"

# A table, so that the usual stores cost no scan of every installed package's metadata.
_BUILT_IN = {
    "sqlite": "cxsdk.prompts.stores.sqlite:SqliteCapStore.from_url",
    "postgresql": "cxsdk.prompts.stores.postgres:PostgresCapStore.from_url",
    "postgres": "cxsdk.prompts.stores.postgres:PostgresCapStore.from_url",
    "redis": "cxsdk.prompts.stores.redis:RedisCapStore.from_url",
    "rediss": "cxsdk.prompts.stores.redis:RedisCapStore.from_url",
    "memory": "cxsdk.prompts.stores.memory:MemoryCapStore.from_url",
}


def open_store(target: str | CapStore, **options: Any) -> CapStore:
    """
    Return *target* if it is a cap store, or make one from a URL such as ``sqlite:///path``.

    Touches no disk and no network; an unknown scheme is looked up among the entry points of the
    group ``cxsdk.cap_stores``.

    Args:
        options: for what makes the store, which takes of them what it knows: *timeout* (seconds
            that a call waits at most), *namespace* (whose caps, where several share a server),
            *default_path* (of the file where ``sqlite:`` names none).

    Raises:
        ConfigurationError: nobody knows the scheme, or the URL is wrong.
        ExtraMissingError: the store needs a package that is not installed.
    """
    if not isinstance(target, str):
        if _is_store(target):
            return target
        kind = type(target).__name__
        raise ConfigurationError(f"prompts: expected a URL or a CapStore, got {kind}")
    scheme, colon, _ = target.partition(":")
    if not colon:
        raise ConfigurationError(
            f"prompts: expected a URL with one of the schemes {', '.join(known_schemes())}"
        )
    made = _factory(scheme.lower())(target, **options)
    if not _is_store(made):
        raise ConfigurationError(f"prompts: what handles {scheme}: made no CapStore")
    store: CapStore = made
    return store


def known_schemes() -> list[str]:
    """
    Return every scheme that `open_store` takes, sorted. Scans installed packages (milliseconds).
    """
    from importlib.metadata import entry_points

    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def _is_store(made: Any) -> bool:
    methods = [name for name in vars(CapStore) if not name.startswith("_")]
    return all(callable(getattr(made, name, None)) for name in methods)


def _factory(scheme: str) -> Callable[..., Any]:
    if scheme in _BUILT_IN:
        module, _, path = _BUILT_IN[scheme].partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return found  # type: ignore[no-any-return]
    from importlib.metadata import entry_points

    for point in entry_points(group=_GROUP, name=scheme):
        try:
            loaded: Callable[..., Any] = point.load()
        except ExtraMissingError:
            raise
        except ImportError as error:
            raise ExtraMissingError(error.name or scheme, scheme) from error
        return loaded
    # What stands before the colon may be a part of a secret, where a URL was not meant.
    shown = scheme if scheme.isidentifier() and len(scheme) <= 20 else "this"
    raise ConfigurationError(
        f"prompts: no cap store for {shown!r}; known are {', '.join(known_schemes())}"
    )
