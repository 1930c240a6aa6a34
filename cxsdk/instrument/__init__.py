"""
The verbs, over anything that can capture: the same for a `Client` and for the module.
"""

from __future__ import annotations

from cxsdk.instrument.arguments import arg
from cxsdk.instrument.base import Result
from cxsdk.instrument.identities import Identities
from cxsdk.instrument.interaction import Interaction
from cxsdk.instrument.interactions import Interactions
from cxsdk.instrument.perceptions import Perceptions
from cxsdk.instrument.promises import CommitmentHandle, Promises

__all__ = ["CommitmentHandle", "Instrument", "Interaction", "Result", "arg"]


class Instrument(Interactions, Perceptions, Promises, Identities):
    """
    Everything a host says about a customer. Safe from any thread and any event loop.

    No verb touches the network, blocks or raises (strict mode aside): each returns `Accepted`
    or a falsy `Dropped` with its reason.
    """
