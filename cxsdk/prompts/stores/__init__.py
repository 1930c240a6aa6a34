"""
Cap stores: who was asked what, for all processes of a service. Chosen by URL.
"""

from __future__ import annotations

from cxsdk.prompts.stores.memory import MemoryCapStore

__all__ = ["MemoryCapStore"]
