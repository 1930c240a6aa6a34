"""
Conformance suites: subclass one in your tests to check a sink, spool, processor, cap store, shared
memory, context provider or integration of your own.

Each numbered guarantee of a Protocol in `cxsdk.typing`, `cxsdk.asking`, `cxsdk.remembering` or
`cxsdk.knowing`, and of `cxsdk.integrations.front.Front`, has a test of the same number.
"""

from __future__ import annotations

from cxsdk.testing.conformance.cap_store import CapStoreConformance
from cxsdk.testing.conformance.context_provider import ContextProviderConformance
from cxsdk.testing.conformance.integration import IntegrationConformance
from cxsdk.testing.conformance.processor import ProcessorConformance
from cxsdk.testing.conformance.shared_memory import SharedMemoryConformance
from cxsdk.testing.conformance.sink import SinkConformance
from cxsdk.testing.conformance.spool import SpoolConformance

__all__ = [
    "CapStoreConformance",
    "ContextProviderConformance",
    "IntegrationConformance",
    "ProcessorConformance",
    "SharedMemoryConformance",
    "SinkConformance",
    "SpoolConformance",
]
