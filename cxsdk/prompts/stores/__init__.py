"""
Cap stores: who was asked what, for all processes of a service. Chosen by URL.
"""

from __future__ import annotations

from typing import Any

from cxsdk._schemes import Schemes
from cxsdk.asking import CapStore
from cxsdk.errors import ConfigurationError
from cxsdk.prompts.stores.memory import MemoryCapStore

__all__ = ["MemoryCapStore", "known_schemes", "open_store"]

_schemes = Schemes(
    "prompts",
    "cap store",
    "cxsdk.cap_stores",
    {
        "sqlite": "cxsdk.prompts.stores.sqlite:SqliteCapStore.from_url",
        "postgresql": "cxsdk.prompts.stores.postgres:PostgresCapStore.from_url",
        "postgres": "cxsdk.prompts.stores.postgres:PostgresCapStore.from_url",
        "redis": "cxsdk.prompts.stores.redis:RedisCapStore.from_url",
        "rediss": "cxsdk.prompts.stores.redis:RedisCapStore.from_url",
        "django": "cxsdk.integrations.django.caps:DjangoCapStore.from_url",
        "memory": "cxsdk.prompts.stores.memory:MemoryCapStore.from_url",
    },
)


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
    made = _schemes.maker(target)(target, **options)
    if not _is_store(made):
        raise ConfigurationError(
            f"prompts: what handles {target.partition(':')[0]}: made no CapStore"
        )
    store: CapStore = made
    return store


def known_schemes() -> list[str]:
    """
    Return every scheme that `open_store` takes, sorted. Scans installed packages (milliseconds).
    """
    return _schemes.known()


def _is_store(made: Any) -> bool:
    methods = [name for name in vars(CapStore) if not name.startswith("_")]
    return all(callable(getattr(made, name, None)) for name in methods)
