"""
The spool: what was accepted is kept here until every sink has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cxsdk._clock import Clock
from cxsdk.config import SpoolOptions
from cxsdk.spool.file import FileSpool
from cxsdk.spool.memory import MemorySpool
from cxsdk.typing import Shed

__all__ = ["FileSpool", "MemorySpool", "open_spool"]


def _ignore(*_: object) -> None:
    pass


def open_spool(
    options: SpoolOptions,
    *,
    service: str,
    environment: str,
    fingerprints: Mapping[str, str],
    clock: Clock,
    on_shed: Callable[[Shed], None] = _ignore,
    note: Callable[[str, int], None] = _ignore,
    on_pressure: Callable[[], None] = _ignore,
    on_switch: Callable[[bool], None] = _ignore,
) -> FileSpool | MemorySpool:
    """
    Make the spool that *options* ask for. Touches no disk and starts no thread.

    Args:
        options: where and how; mode ``off`` is the caller's business and taken as ``memory``.

        service: name of the service, a directory below the root.

        environment: its environment, the next directory.

        fingerprints: sink name → a mark of its destination that stays over restarts.

        clock: time.

        on_shed: called outside all locks with events that were given up. It may append.

        note: called with the name and count of things worth a look.

        on_pressure: called outside all locks once 500 records or 256 KiB came to a lane since
            the last lease, then not again until the next one.

        on_switch: called by `maintain` when a file named ``OFF`` came to the root (True) or
            went away.
    """
    if options.mode in {"memory", "off"}:
        return MemorySpool(
            options,
            clock,
            tuple(fingerprints),
            on_shed=on_shed,
            note=note,
            on_pressure=on_pressure,
        )
    return FileSpool(
        options,
        clock,
        fingerprints,
        service=service,
        environment=environment,
        on_shed=on_shed,
        note=note,
        on_pressure=on_pressure,
        on_switch=on_switch,
    )
