"""
Events in the words of others: one file for each, pure functions from a `Fact` to what they take.

What a mapping cannot say is listed on the how-to page of its sink.
"""

from __future__ import annotations

from cxsdk.events.mappings._fact import Fact, read

__all__ = ["Fact", "read"]
