"""
For tests of hosts: capture events, run a faulty collector, check a sink of one's own.
"""

from __future__ import annotations

from cxsdk.testing.capture import Captured, capture

__all__ = ["Captured", "capture"]
