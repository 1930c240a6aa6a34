"""
From the spool to the sinks: workers, policy, breaker, retry budget, keeper.
"""

from __future__ import annotations

from cxsdk.delivery.delivery import Delivery

__all__ = ["Delivery"]
