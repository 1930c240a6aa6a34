"""
Shared memories: what the processes of a service remember together. Chosen by URL.
"""

from __future__ import annotations

from typing import Any

from cxsdk._schemes import Schemes
from cxsdk.errors import ConfigurationError
from cxsdk.lookup.shared.memory import InProcessMemory
from cxsdk.remembering import SharedMemory

__all__ = ["InProcessMemory", "known_schemes", "open_memory"]

_schemes = Schemes(
    "context memory",
    "shared memory",
    "cxsdk.memories",
    {
        "memory": "cxsdk.lookup.shared.memory:InProcessMemory.from_url",
        "redis": "cxsdk.lookup.shared.redis:RedisMemory.from_url",
        "rediss": "cxsdk.lookup.shared.redis:RedisMemory.from_url",
        "unix": "cxsdk.lookup.shared.redis:RedisMemory.from_url",
        "sqlite": "cxsdk.lookup.shared.sql:SqlMemory.from_url",
        "postgresql": "cxsdk.lookup.shared.sql:SqlMemory.from_url",
        "postgres": "cxsdk.lookup.shared.sql:SqlMemory.from_url",
    },
)


def open_memory(target: str | SharedMemory, **options: Any) -> SharedMemory:
    """
    Return *target* if it is a shared memory, or make one from a URL such as ``redis://host``.

    Touches no disk and no network; an unknown scheme is looked up among the entry points of the
    group ``cxsdk.memories``.

    Args:
        options: for what makes the memory, which takes of them what it knows: *timeout* (seconds
            that a call waits at most), *most* (things kept per subject and shelf), *namespace*
            (what the keys of a Redis begin with).

    Raises:
        ConfigurationError: nobody knows the scheme, or the URL is wrong.
        ExtraMissingError: the memory needs a package that is not installed.
    """
    if not isinstance(target, str):
        if _is_memory(target):
            return target
        kind = type(target).__name__
        raise ConfigurationError(f"context memory: expected a URL or a SharedMemory, got {kind}")
    made = _schemes.maker(target)(target, **options)
    if not _is_memory(made):
        raise ConfigurationError(
            f"context memory: what handles {target.partition(':')[0]}: made no SharedMemory"
        )
    memory: SharedMemory = made
    return memory


def known_schemes() -> list[str]:
    """
    Return every scheme that `open_memory` takes, sorted. Scans installed packages (milliseconds).
    """
    return _schemes.known()


def _is_memory(made: Any) -> bool:
    methods = [name for name in vars(SharedMemory) if not name.startswith("_")]
    return all(callable(getattr(made, name, None)) for name in methods)
