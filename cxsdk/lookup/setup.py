"""
From settings to an engine: sources, plans, overlay, shared memory, tombstones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cxsdk import _standin
from cxsdk._clock import Clock
from cxsdk.config import Settings
from cxsdk.knowing import LookupRequest
from cxsdk.lookup.asks import Asks
from cxsdk.lookup.engine import Engine
from cxsdk.lookup.flow import JOURNAL
from cxsdk.lookup.knowledge import Knowledge
from cxsdk.lookup.overlay import Overlay
from cxsdk.lookup.people import Key
from cxsdk.lookup.plans import resolve_plans, sources_of
from cxsdk.lookup.recall import Recall
from cxsdk.lookup.sources import Source
from cxsdk.lookup.tombstones import Tombstones
from cxsdk.pipeline.customers import Customers

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture
    from cxsdk.remembering import SharedMemory

__all__ = ["open_engine"]

_WORKERS = 2


def open_engine(settings: Settings, capture: Callable[[], Capture | None], clock: Clock) -> Engine:
    """
    Return the engine that *settings* ask for. Asks no provider and opens no connection.

    Raises:
        ConfigurationError: a provider, a plan or the shared memory is wrong.
        ExtraMissingError: the shared memory's extra is not installed.
    """
    options = settings.context
    sources = sources_of(options.providers, options.workers, clock)
    plans = resolve_plans(sources, options.plans, has_overlay=options.overlay)
    name = _naming(settings)
    shared = _memory(settings)
    recall = _recall(settings, shared, name, capture, clock) if options.overlay else None
    stones = Tombstones(settings, lambda: clock.time_ns() / 1e9)
    customers = Customers(settings.privacy.key)
    knowledge = Knowledge(recall, name, customers, stones, capture, clock)
    reader = None
    if recall is not None and shared is not None:
        reader = Source(_Shared(recall.overlay, knowledge), _WORKERS, clock, is_own=True)
    engine = Engine(settings, sources, plans, knowledge, reader, clock)
    engine.shared_memory = shared
    engine.owns_memory = isinstance(options.memory, str)
    for show in _standin.engines:
        show(engine)
    return engine


def _memory(settings: Settings) -> SharedMemory | None:
    wanted = settings.context.memory
    if not wanted:
        return None
    from cxsdk.lookup.shared import open_memory

    return open_memory(wanted)


def _recall(
    settings: Settings,
    shared: SharedMemory | None,
    name: Callable[[Key], str],
    capture: Callable[[], Capture | None],
    clock: Clock,
) -> Recall:
    def note(what: str) -> None:
        found = capture()
        if found is not None:
            found._ledger.note(what)

    options, asks = settings.context, Asks()
    overlay = Overlay(
        clock,
        keep_s=options.overlay_seconds,
        max_bytes=options.overlay_bytes,
        reducers=options.reducers or None,
        shared=shared,
        name=name,
        note=note,
        asks=asks,
    )
    return Recall(overlay, asks)


def _naming(settings: Settings) -> Callable[[Key], str]:
    """
    Return what names a key to others: a hash under the team's key, where there is one.

    The environment is a part of it: a rehearsal does not remember for production.
    """
    key = hashlib.blake2b(
        b"cxsdk memory\0" + settings.environment.encode(), key=(settings.privacy.key or b"")[:64]
    ).digest()

    def name(of: Key) -> str:
        return hashlib.blake2b("\0".join(of).encode(), key=key, digest_size=20).hexdigest()

    return name


class _Shared:
    """
    The shared memory as a provider: its answer is that the journals are read.
    """

    name = "shared"
    sections = frozenset({JOURNAL})
    takes = "wire"
    spaces = ("id", "anonymous")
    max_batch = 50

    def __init__(self, overlay: Overlay, knowledge: Knowledge) -> None:
        self._overlay = overlay
        self._knowledge = knowledge

    def fetch(self, request: LookupRequest) -> Mapping[str, Mapping[str, Any]]:
        """
        Read the journals of all subjects. Blocks on the memory.

        Raises:
            StoreUnavailableError: it cannot be asked.
        """
        keys: list[Key] = [(one.space, one.id) for one in request.subjects]
        self._overlay.load(keys)
        self._knowledge.learn(keys)
        return {one.id: {JOURNAL: True} for one in request.subjects}
