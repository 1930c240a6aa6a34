"""
Integrations: frameworks that tell by themselves who is served, where, and how it ended.

One module for each framework, imported by its user; `Rule` and `as_interaction` say which
requests are a customer's interactions, `serving` says who the customer of a request is.
"""

from __future__ import annotations

from cxsdk.integrations.rule import Rule, as_interaction
from cxsdk.integrations.visit import serving

__all__ = ["Rule", "as_interaction", "serving"]
