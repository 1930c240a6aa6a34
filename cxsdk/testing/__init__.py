"""
For tests of hosts.

The pytest plugin brings the fixtures ``cx_events`` (`Captured`), ``cx_prompts`` (`Asking`),
``cx_context`` (`Knowing`) and ``cx_clock`` (`FakeClock`). `capture` is the first of them as a
context manager, `FaultCollector` a collector that misbehaves on demand. A sink, processor, spool,
store, provider or integration of one's own is checked by subclassing a suite of
`cxsdk.testing.conformance`.

What is named here is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxsdk.testing.asking import Asking
    from cxsdk.testing.captured import Captured, capture
    from cxsdk.testing.clock import FakeClock
    from cxsdk.testing.faults import FaultCollector
    from cxsdk.testing.knowing import Knowing

__all__ = ["Asking", "Captured", "FakeClock", "FaultCollector", "Knowing", "capture"]

_PLACES = {
    "Asking": "asking",
    "Captured": "captured",
    "FakeClock": "clock",
    "FaultCollector": "faults",
    "Knowing": "knowing",
    "capture": "captured",
}


def __getattr__(name: str) -> Any:
    # The plugin is loaded by every pytest session of an environment: it must cost nothing.
    if name in _PLACES:
        return getattr(import_module(f"cxsdk.testing.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'cxsdk.testing' has no attribute {name!r}")
