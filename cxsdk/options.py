"""
Option groups of ``init``: frozen, each value checked where it is said.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, dataclass_transform

import attrs

from cxsdk.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cxsdk.asking import CapStore
    from cxsdk.knowing import ContextProvider, SectionPlan
    from cxsdk.prompts.model import Prompt
    from cxsdk.remembering import SharedMemory

__all__ = [
    "CaptureOptions",
    "ContextOptions",
    "DeliveryOptions",
    "PrivacyOptions",
    "PromptOptions",
    "SpoolOptions",
]

SpoolMode = Literal["mmap", "write", "memory", "off"]
SyncPolicy = Literal["interval", "never"]
NewSinks = Literal["now", "retained"]
T = TypeVar("T")

_SPOOL_MODES = ("mmap", "write", "memory", "off")
_SYNC_POLICIES = ("interval", "never")
_NEW_SINKS = ("now", "retained")
_BASES = ("contract", "legitimate_interest", "consent", "legal_obligation")
_CONSENTS = ("granted", "denied", "unknown")
_DENIED = ("minimal", "drop")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise ConfigurationError(f"{attribute.name}: expected a number above 0, got {value!r}")


def _not_negative(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
        raise ConfigurationError(f"{attribute.name}: expected 0 or more, got {value!r}")


def _rate(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise ConfigurationError(f"{attribute.name}: expected 0 to 1, got {value!r}")


def _one_of(*allowed: str) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            names = ", ".join(allowed)
            raise ConfigurationError(f"{attribute.name}: expected one of {names}, got {value!r}")

    return check


def _callable(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not callable(value):
        kind = type(value).__name__
        raise ConfigurationError(f"{attribute.name}: expected a callable, got {kind}")


def _long_enough(_: Any, __: attrs.Attribute[Any], value: bytes | None) -> None:
    if value is not None and not isinstance(value, bytes):
        raise ConfigurationError(f"key: expected bytes, got {type(value).__name__}")
    if value is not None and len(value) < 16:
        raise ConfigurationError(f"key: expected at least 16 bytes, got {len(value)}")


def _path(value: Any) -> Any:
    # Here and not at the top: pathlib brings 4 ms of imports.
    if value is None:
        return None
    from pathlib import Path

    return Path(value)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
def _group(cls: type[T]) -> type[T]:
    """
    Make an option group that knows, in ``said``, which options its maker named.

    An option that was named wins over the environment also where it equals the default:
    ``redact=True`` means it.
    """
    made: Any = attrs.define(cls, frozen=True, kw_only=True, slots=False)
    plain = made.__init__

    @functools.wraps(plain)
    def init(self: Any, **said: Any) -> None:
        plain(self, **said)
        object.__setattr__(self, "said", frozenset(said))

    made.__init__ = init
    grouped: type[T] = made
    return grouped


_MIB = 1024 * 1024


@_group
class SpoolOptions:
    """
    Where and how accepted events are kept until every sink has them.
    """

    mode: SpoolMode = attrs.field(default="mmap", validator=_one_of(*_SPOOL_MODES))
    """``mmap`` (durable, never gives up the GIL), ``write`` (one system call per event),
    ``memory`` (bounded, dies with the process), ``off`` (nothing is captured)."""

    directory: Path | None = attrs.field(default=None, converter=_path)
    """Root of all spools; None: the platform's user state directory."""

    sync: SyncPolicy = attrs.field(default="interval", validator=_one_of(*_SYNC_POLICIES))
    """``interval``: at most *sync_interval* is lost at a power cut; ``never``: the kernel
    decides. The death of a process loses nothing under either."""

    sync_interval: float = attrs.field(default=1.0, validator=_positive)
    """Seconds between syncs of the active segments."""

    segment_bytes: int = attrs.field(default=256 * 1024, validator=_positive)
    """Size of a lane's first segment; later ones double up to *max_segment_bytes*."""

    max_segment_bytes: int = attrs.field(default=4 * _MIB, validator=_positive)
    """Largest segment."""

    seal_after: float = attrs.field(default=300.0, validator=_positive)
    """Seconds after which a segment that is not empty is sealed, full or not."""

    max_bytes: int = attrs.field(default=256 * _MIB, validator=_positive)
    """Cap of sealed bytes below the root; the oldest interactions go first."""

    new_sinks: NewSinks = attrs.field(default="now", validator=_one_of(*_NEW_SINKS))
    """Where a sink begins whose name is new: with what is accepted from ``now`` on, or with all
    that is ``retained`` of earlier processes, also what other sinks have got of it already."""

    max_age: float = attrs.field(default=72 * 3600.0, validator=_positive)
    """Seconds an event may wait in the spool, counted from when it was spooled."""

    min_free_bytes: int = attrs.field(default=512 * _MIB, validator=_not_negative)
    """Room that is left to others on the file system."""

    dead_letter_bytes: int = attrs.field(default=32 * _MIB, validator=_positive)
    """Cap of dead letters, inside *max_bytes*."""

    dead_letter_age: float = attrs.field(default=30 * 86400.0, validator=_positive)
    """Seconds a dead letter is kept."""

    memory_bytes: int = attrs.field(default=16 * _MIB, validator=_positive)
    """Bound of the memory spool, also of the one that stands in for a failed disk."""

    memory_events: int = attrs.field(default=10_000, validator=_positive)
    """The same bound in events."""

    retry_disk_after: float = attrs.field(default=60.0, validator=_positive)
    """Seconds between attempts to get back to a disk that failed."""


@_group
class DeliveryOptions:
    """
    How batches are made and what happens when they do not arrive.
    """

    max_batch_events: int = attrs.field(default=500, validator=_positive)
    """Events per request, at most."""

    max_batch_bytes: int = attrs.field(default=450_000, validator=_positive)
    """Payload bytes per request, at most (before compression)."""

    linger: float = attrs.field(default=1.0, validator=_not_negative)
    """Seconds an event may wait for company."""

    max_events_per_second: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_positive)
    )
    """Pace to each destination, on average over a batch; also while a backlog drains. None: as
    fast as it takes them."""

    retry_base: float = attrs.field(default=0.5, validator=_positive)
    """Seconds: the n-th wait is drawn from 0 to min(cap, base · 2ⁿ) (full jitter)."""

    retry_cap: float = attrs.field(default=60.0, validator=_positive)
    """Seconds: longest wait in the first *outage_after* seconds of an outage."""

    outage_cap: float = attrs.field(default=300.0, validator=_positive)
    """Seconds: longest wait after that."""

    outage_after: float = attrs.field(default=600.0, validator=_positive)
    """Seconds of outage after which *outage_cap* holds."""

    retry_after_cap: float = attrs.field(default=900.0, validator=_positive)
    """Seconds: a destination's ``Retry-After`` is clamped to this."""

    drain_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_not_negative)
    )
    """Seconds that exit may take to deliver; None: 2, or 10 where the spool dies with the
    container."""


@_group
class PrivacyOptions:
    """
    What may be captured about whom.
    """

    key: bytes | None = attrs.field(default=None, repr=False, validator=_long_enough)
    """Secret under which customer ids become pseudonyms (HMAC-SHA256); at least 16 bytes.
    None: ids pass as they are, and ids that look like addresses are refused."""

    redact: bool = True
    """Replace e-mail addresses, phone, card and account numbers, IP addresses and keys in free
    text and attribute values."""

    redactor: Callable[[str], str] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_callable)
    )
    """The team's own step on free text, after the built-in one: gets the text, returns it with
    more taken out. What it raises withholds the text. `cxsdk.pipeline.presidio` makes one."""

    deny_keys: tuple[str, ...] = ()
    """Attribute names whose values are never stored, beside the built-in list."""

    basis: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(_one_of(*_BASES))
    )
    """Why interactions of a known customer may be captured without consent; stamped on them."""

    consent: str = attrs.field(default="unknown", validator=_one_of(*_CONSENTS))
    """The state assumed where nobody said one."""

    when_denied: str = attrs.field(default="minimal", validator=_one_of(*_DENIED))
    """Interactions of a known customer who said no: ``minimal`` (no attributes, no free text)
    or ``drop``."""


def _purpose(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or len(value) > 40 or not value.isidentifier():
        raise ConfigurationError(f"purpose: expected a word such as prompts, got {value!r:.60}")


def _keys(value: Any) -> Any:
    return (value,) if isinstance(value, (bytes, str)) else tuple(value)


def _prompts(value: Any) -> Any:
    # Told by what they have: importing the room of prompts is for those who ask.
    is_one = isinstance(value, str) or not hasattr(value, "__iter__")
    found = (value,) if is_one else tuple(value)
    if is_one or not all(hasattr(each, "questions") for each in found):
        raise ConfigurationError(
            f"prompts: expected a list of Prompt, got {value!r:.80}; files= takes a path"
        )
    return found


def _secrets(_: Any, __: attrs.Attribute[Any], value: tuple[bytes, ...]) -> None:
    for key in value:
        if not isinstance(key, bytes):
            raise ConfigurationError(f"keys: expected bytes, got {type(key).__name__}")
    if any(len(key) < 16 for key in value):
        raise ConfigurationError("keys: expected secrets of at least 16 bytes each")


@_group
class PromptOptions:
    """
    Which prompts there are, and who remembers whom they were shown to.
    """

    files: Path | None = attrs.field(default=None, converter=_path)
    """A TOML file or a folder of them."""

    prompts: Sequence[Prompt] = attrs.field(default=(), converter=_prompts)
    """Prompts made in code, beside those of *files*."""

    store: str | CapStore = ""
    """``sqlite:///path``, ``postgresql://…``, ``redis://…``, ``django:alias``, ``memory:`` or a
    `CapStore`; empty: an SQLite file beside the spool."""

    keys: tuple[bytes, ...] = attrs.field(
        default=(), repr=False, converter=_keys, validator=_secrets
    )
    """Secrets that sign tokens, the newest last, at least 16 bytes each; one may stand alone.
    Empty: one made from ``privacy.key``, or a file beside the spool. In the variable they are
    separated by commas."""

    deadline: float = attrs.field(default=0.05, validator=_positive)
    """Seconds that a page waits for a decision, at most; then nobody is asked."""

    attributes: Callable[[Any], Mapping[str, Any]] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_callable)
    )
    """The host's id of a customer → attributes that eligibility rules look at. Called where a rule
    needs it, on a thread of the engine's, within *deadline*. None: what context knows, where
    ``init(context=…)`` is set."""

    purpose: str = attrs.field(default="prompts", validator=_purpose)
    """What customers are looked up for where *attributes* is not set and there is context: rules
    then look at what it knows. Needs consent, unless ``context.without_consent`` names it."""

    watch: bool = True
    """Look at live events where a prompt needs it: letters, delays, failures, ``cancel_on``."""

    suppressed_events: bool = False
    """Record each refusal as a ``prompt.suppressed`` event, not only as a count."""


def _providers(value: Any) -> Any:
    found = (value,) if hasattr(value, "fetch") else tuple(value)
    for each in found:
        if not callable(getattr(each, "fetch", None)):
            raise ConfigurationError(
                f"providers: expected context providers, got {type(each).__name__}; a function"
                " becomes one by CallableProvider(name, sections, function)"
            )
    return found


def _plans(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    for name, plan in value.items():
        if not hasattr(plan, "negative_ttl"):
            raise ConfigurationError(f"plans[{name!r:.40}]: expected a SectionPlan")


def _hosts(value: Any) -> Any:
    found = (value,) if isinstance(value, str) else tuple(value)
    for each in found:
        # An entry that matches nothing, or everything, is a mistake that nobody would see.
        plain = str(each).removeprefix(".")
        letters = plain.replace(".", "").replace("-", "").replace("_", "")
        if not isinstance(each, str) or not (letters.isascii() and letters.isalnum()):
            raise ConfigurationError(
                "carry_to: expected hosts such as orders.internal, or .internal for all below it,"
                f" without scheme, port and path, got {each!r:.60}"
            )
    return tuple(each.lower().removesuffix(".") for each in found)


def _words(value: Any) -> Any:
    return tuple(sorted({value} if isinstance(value, str) else set(value)))


@_group
class ContextOptions:
    """
    Where what is known of customers comes from, and how long anybody waits for it.
    """

    providers: Sequence[ContextProvider] = attrs.field(default=(), converter=_providers)
    """Asked in this order, unless a plan says otherwise."""

    plans: Mapping[str, SectionPlan] = attrs.field(factory=dict, validator=_plans)
    """Section → how it is looked up; a section without one has the default plan."""

    timeout: float = attrs.field(default=0.05, validator=_positive)
    """Seconds that a lookup takes at most, unless the call says otherwise."""

    provider_timeout: float = attrs.field(default=1.0, validator=_positive)
    """Seconds that a provider has; what comes after a lookup's end still fills the cache."""

    workers: int = attrs.field(default=8, validator=_positive)
    """Threads of each provider that is not async, at most; begun when needed."""

    max_customers: int = attrs.field(default=10_000, validator=_positive)
    """Customers held in memory; those not asked about for longest go first."""

    memory: str | SharedMemory = ""
    """``redis://…``, ``postgresql://…``, ``sqlite:///path`` or a `SharedMemory`: what one process
    saw is known in the others. Empty: each knows what it saw itself."""

    overlay: bool = True
    """Lay what this service just saw over what providers say."""

    overlay_seconds: float = attrs.field(default=1800.0, validator=_positive)
    """For how long."""

    overlay_bytes: int = attrs.field(default=16 * _MIB, validator=_positive)
    """Memory of it, at most; the customers seen longest ago go first."""

    reducers: Mapping[str, Callable[[Mapping[str, Any]], Any]] = attrs.field(factory=dict)
    """Event type or family → what its events mean for sections, before the built-in ones; see
    `cxsdk.lookup.reducers`."""

    without_consent: tuple[str, ...] = attrs.field(
        default=("contract", "support"), converter=_words
    )
    """Purposes that need no consent; here only a denial of that very purpose withholds anything.
    For every other one consent must be known to be granted."""

    carry_to: tuple[str, ...] = attrs.field(default=(), converter=_hosts)
    """Hosts that `carry` names the customer to, by pseudonym: ``orders.internal``, or ``.internal``
    for all below it. Every other host gets nothing."""

    suppress_for: float = attrs.field(default=90 * 86400.0, validator=_positive)
    """Seconds after `forget` in which events about the customer are dropped."""


@_group
class CaptureOptions:
    """
    What is captured, and how large it may be.
    """

    sample: float = attrs.field(default=1.0, validator=_rate)
    """Share of interactions kept, whole sessions at a time; rounded to one in N. Nothing else
    is ever sampled."""

    max_event_bytes: int = attrs.field(default=32_000, validator=_positive)
    """Largest event; free text is shortened first, then the event is refused."""

    max_touchpoints: int = attrs.field(default=500, validator=_positive)
    """Distinct touchpoints of a process; further ones become ``x_overflow``."""

    namespace: str = "app"
    """Attributes stand on the wire under ``ext.<namespace>``."""

    type_prefix: str = "dev.cxsdk"
    """First part of every event type."""

    started: bool = False
    """Also emit ``interaction.started``; doubles the volume."""
