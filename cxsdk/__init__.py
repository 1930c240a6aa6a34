"""
cxsdk: emit what happened to a customer, ask how it was, know whom you serve.

::

    import cxsdk as cx

    cx.init(service="shop", collector="http://127.0.0.1:4180")


    @cx.interaction("checkout.pay", stage="order", customer=cx.arg("user_id"))
    def pay(user_id, cart): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxsdk._default import (
    aclose,
    aflush,
    client,
    close,
    flush,
    health,
    init,
    instrument,
    lifespan,
    outbox,
    partner,
    stats,
)
from cxsdk._exit import drain_on_sigterm
from cxsdk._version import __version__
from cxsdk.client import Client
from cxsdk.config import (
    CaptureOptions,
    ContextOptions,
    DeliveryOptions,
    PrivacyOptions,
    PromptOptions,
    SpoolOptions,
)
from cxsdk.errors import ConfigurationError, CXError, InvalidEventError
from cxsdk.instrument import arg
from cxsdk.scope import scope
from cxsdk.typing import Accepted, DeliveryReport, Dropped, Health

if TYPE_CHECKING:
    from cxsdk import prompts
    from cxsdk.events.model import About, Event, Party
    from cxsdk.knowing import SectionPlan

interaction = instrument.interaction
current = instrument.current
record = instrument.record
wrap = instrument.wrap
feedback = instrument.feedback
reaction = instrument.reaction
problem = instrument.problem
resolved = instrument.resolved
promise = instrument.promise
commitment = instrument.commitment
identify = instrument.identify
link = instrument.link
consent = instrument.consent
emit = instrument.emit
unlink = instrument.unlink
context = instrument.context
acontext = instrument.acontext
contexts = instrument.contexts
acontexts = instrument.acontexts
peek = instrument.peek
prefetch = instrument.prefetch
invalidate = instrument.invalidate
forget = instrument.forget
aforget = instrument.aforget
carry = instrument.carry
received = instrument.received
export = instrument.export
aexport = instrument.aexport

_MODELS = frozenset({"About", "Event", "Party"})

__all__ = [
    "About",
    "Accepted",
    "CXError",
    "CaptureOptions",
    "Client",
    "ConfigurationError",
    "ContextOptions",
    "DeliveryOptions",
    "DeliveryReport",
    "Dropped",
    "Event",
    "Health",
    "InvalidEventError",
    "Party",
    "PrivacyOptions",
    "PromptOptions",
    "SectionPlan",
    "SpoolOptions",
    "__version__",
    "aclose",
    "acontext",
    "acontexts",
    "aexport",
    "aflush",
    "aforget",
    "arg",
    "carry",
    "client",
    "close",
    "commitment",
    "consent",
    "context",
    "contexts",
    "current",
    "drain_on_sigterm",
    "emit",
    "export",
    "feedback",
    "flush",
    "forget",
    "health",
    "identify",
    "init",
    "interaction",
    "invalidate",
    "lifespan",
    "link",
    "outbox",
    "partner",
    "peek",
    "prefetch",
    "problem",
    "promise",
    "prompts",
    "reaction",
    "received",
    "record",
    "resolved",
    "scope",
    "stats",
    "unlink",
    "wrap",
]


def __getattr__(name: str) -> Any:
    # The models cost 20 ms to import; a host that never names them does not pay for them here.
    if name in _MODELS:
        from cxsdk.events import model

        return getattr(model, name)
    if name == "SectionPlan":
        from cxsdk.knowing import SectionPlan

        return SectionPlan
    if name == "prompts":
        import importlib

        return importlib.import_module("cxsdk.prompts")
    raise AttributeError(f"module 'cxsdk' has no attribute {name!r}")
