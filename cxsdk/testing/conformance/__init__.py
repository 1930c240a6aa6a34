"""
Conformance suites: subclass one in your tests to check a sink, spool, processor or cap store of
your own.

Each numbered guarantee of a Protocol in `cxsdk.typing` or `cxsdk.asking` has a test of the same
number.
"""

from __future__ import annotations

from cxsdk.testing.conformance.cap_store import CapStoreConformance
from cxsdk.testing.conformance.processor import ProcessorConformance
from cxsdk.testing.conformance.sink import SinkConformance
from cxsdk.testing.conformance.spool import SpoolConformance

__all__ = ["CapStoreConformance", "ProcessorConformance", "SinkConformance", "SpoolConformance"]
