"""
Settings: what they are, their defaults, and where each value came from.

Arguments win over ``CXSDK_*`` environment variables, those over defaults; the four off switches
(`SWITCHES`) are the other way round, because they are pulled without a deploy.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from cxsdk.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

__all__ = [
    "SETTINGS",
    "SWITCHES",
    "CaptureOptions",
    "DeliveryOptions",
    "PrivacyOptions",
    "Setting",
    "Settings",
    "SpoolOptions",
    "resolve",
]

SpoolMode = Literal["mmap", "write", "memory", "off"]
SyncPolicy = Literal["interval", "never"]

_SPOOL_MODES = ("mmap", "write", "memory", "off")
_SYNC_POLICIES = ("interval", "never")
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


def _path(value: Any) -> Any:
    # Here and not at the top: pathlib brings 4 ms of imports.
    if value is None:
        return None
    from pathlib import Path

    return Path(value)


_MIB = 1024 * 1024


@attrs.define(frozen=True, kw_only=True)
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


@attrs.define(frozen=True, kw_only=True)
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


@attrs.define(frozen=True, kw_only=True)
class PrivacyOptions:
    """
    What may be captured about whom.
    """

    key: bytes | None = attrs.field(default=None, repr=False)
    """Secret under which customer ids become pseudonyms (HMAC-SHA256); at least 16 bytes.
    None: ids pass as they are, and ids that look like addresses are refused."""

    redact: bool = True
    """Replace e-mail addresses, phone, card and account numbers, IP addresses and keys in free
    text and attribute values."""

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

    @key.validator
    def _long_enough(self, _: attrs.Attribute[Any], value: bytes | None) -> None:
        if value is not None and not isinstance(value, bytes):
            raise ConfigurationError(f"key: expected bytes, got {type(value).__name__}")
        if value is not None and len(value) < 16:
            raise ConfigurationError(f"key: expected at least 16 bytes, got {len(value)}")


@attrs.define(frozen=True, kw_only=True)
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


@attrs.define(frozen=True, kw_only=True)
class Setting:
    """
    One row of the settings table: argument, environment variable, and what it does.
    """

    name: str
    group: str
    env: str
    parse: Callable[[str], Any]

    @property
    def path(self) -> str:
        """
        Return ``group.name``, or the name alone for an argument of ``init`` itself.
        """
        return f"{self.group}.{self.name}" if self.group else self.name


def _flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("expected 1 or 0")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _row(path: str, env: str, parse: Callable[[str], Any] = str) -> Setting:
    group, _, name = path.rpartition(".")
    return Setting(name=name, group=group, env=env, parse=parse)


SETTINGS: tuple[Setting, ...] = (
    _row("service", "CXSDK_SERVICE"),
    _row("collector", "CXSDK_COLLECTOR"),
    _row("environment", "CXSDK_ENVIRONMENT"),
    _row("version", "CXSDK_VERSION"),
    _row("api_key", "CXSDK_API_KEY"),
    _row("tz", "CXSDK_TZ"),
    _row("strict", "CXSDK_STRICT", _flag),
    _row("spool.directory", "CXSDK_SPOOL_DIR"),
    _row("spool.sync", "CXSDK_SPOOL_SYNC"),
    _row("spool.max_bytes", "CXSDK_SPOOL_MAX_BYTES", int),
    _row("spool.max_age", "CXSDK_SPOOL_MAX_AGE", float),
    _row("spool.min_free_bytes", "CXSDK_SPOOL_MIN_FREE_BYTES", int),
    _row("delivery.drain_seconds", "CXSDK_DRAIN_SECONDS", float),
    _row("delivery.linger", "CXSDK_LINGER", float),
    _row("privacy.key", "CXSDK_KEY", str.encode),
    _row("privacy.redact", "CXSDK_REDACT", _flag),
    _row("privacy.deny_keys", "CXSDK_DENY_KEYS", _names),
    _row("privacy.basis", "CXSDK_BASIS"),
    _row("privacy.consent", "CXSDK_CONSENT"),
    _row("capture.namespace", "CXSDK_NAMESPACE"),
    _row("capture.type_prefix", "CXSDK_TYPE_PREFIX"),
)
"""Settings that also have an environment variable. Everything else is an argument only."""

SWITCHES: tuple[Setting, ...] = (
    _row("disabled", "CXSDK_DISABLED", _flag),
    _row("spool.mode", "CXSDK_SPOOL_MODE"),
    _row("capture.sample", "CXSDK_INTERACTION_SAMPLE", float),
)
"""Off switches: here the environment wins over arguments. The fourth one is a file named
``OFF`` in the spool root."""

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,4}\Z")


@attrs.define(frozen=True, kw_only=True)
class Settings:
    """
    Everything a client is made from. Immutable; safe to share.
    """

    service: str
    collector: Any = attrs.field(default=None, repr=False)
    """None, a URL, a `Sink`, or a mapping of sink names to URLs or sinks."""

    environment: str = "production"
    version: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    tz: ZoneInfo | None = None
    strict: bool = False
    disabled: bool = False
    source: str = ""
    """Absolute URI of the service; ``urn:service:<service>`` by default."""

    spool: SpoolOptions = attrs.Factory(SpoolOptions)
    delivery: DeliveryOptions = attrs.Factory(DeliveryOptions)
    privacy: PrivacyOptions = attrs.Factory(PrivacyOptions)
    capture: CaptureOptions = attrs.Factory(CaptureOptions)
    origins: Mapping[str, str] = attrs.Factory(dict)
    """Where each value that is no default came from: path → ``argument`` or the variable."""

    def __attrs_post_init__(self) -> None:
        for name in ("service", "environment"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _SERVICE.match(value):
                raise ConfigurationError(
                    f"{name}: expected 1 to 80 letters, digits, '.', '_' or '-', got {value!r}"
                )
        for name in ("namespace", "type_prefix"):
            if not _NAMESPACE.match(getattr(self.capture, name)):
                raise ConfigurationError(
                    f"{name}: expected lower-case words joined by dots,"
                    f" got {getattr(self.capture, name)!r}"
                )


_GROUPS: dict[str, type[Any]] = {
    "spool": SpoolOptions,
    "delivery": DeliveryOptions,
    "privacy": PrivacyOptions,
    "capture": CaptureOptions,
}


def under_pytest() -> bool:
    """
    Say whether this very process runs a pytest session (children it starts do not).
    """
    return "pytest" in sys.modules and "PYTEST_VERSION" in os.environ


def resolve(
    arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> tuple[Settings, list[str]]:
    """
    Make settings from *arguments* of ``init`` and *environ*; also return warnings to be logged.

    A wrong argument raises, since a developer is looking; a wrong environment variable is
    ignored with a warning, since a deployment must not fail over it.

    Raises:
        ConfigurationError: an argument is wrong, or no service is named anywhere.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    warnings: list[str] = []
    for name, value in arguments.items():
        if value is None:
            continue
        if name in _GROUPS:
            _take_group(name, value, values, origins)
        else:
            values[name] = value
            origins[name] = "argument"
    for row in (*SETTINGS, *SWITCHES):
        wins = row in SWITCHES or row.path not in values
        if wins and environ.get(row.env, "") != "":
            _take_env(row, environ[row.env], values, origins, warnings)
    if under_pytest() and "spool.mode" not in values:
        values["spool.mode"] = "memory"
        origins["spool.mode"] = "pytest"
    return _build(values, origins), warnings


def _take_group(group: str, options: Any, values: dict[str, Any], origins: dict[str, str]) -> None:
    wanted = _GROUPS[group]
    if not isinstance(options, wanted):
        # Its type only: a mapping in its place may hold the key.
        got = type(options).__name__
        raise ConfigurationError(f"{group}: expected cxsdk.{wanted.__name__}(...), got {got}")
    for field in attrs.fields(wanted):
        value = getattr(options, field.name)
        if value != field.default:
            values[f"{group}.{field.name}"] = value
            origins[f"{group}.{field.name}"] = "argument"


def _take_env(
    row: Setting,
    text: str,
    values: dict[str, Any],
    origins: dict[str, str],
    warnings: list[str],
) -> None:
    try:
        value = row.parse(text)
        _check(row, value)
    except (ValueError, TypeError) as error:
        if row.path == "privacy.key":
            # Going on without would send ids in the clear that somebody meant to protect.
            raise ConfigurationError(f"{row.env}: {error}") from None
        shown = "a secret" if row.name in {"key", "api_key"} else repr(text)
        warnings.append(f"{row.env}={shown} is ignored: {error}")
        return
    values[row.path] = value
    origins[row.path] = row.env


def _check(row: Setting, value: Any) -> None:
    """
    Let the validators of *row*'s own group decide.
    """
    if row.name == "tz":
        _zone(value)
    elif row.group:
        group = {row.group: _GROUPS[row.group](**{row.name: value})}
        Settings(service="check", **group)
    elif row.name in {"service", "environment"}:
        Settings(**{"service": "check", row.name: value})


def _build(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    groups: dict[str, dict[str, Any]] = {name: {} for name in _GROUPS}
    flat: dict[str, Any] = {}
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        if group:
            groups[group][name] = value
        else:
            flat[name] = value
    if not flat.get("service"):
        raise ConfigurationError(
            "service: expected a name, such as init(service='shop') or CXSDK_SERVICE=shop"
        )
    flat["tz"] = _zone(flat.get("tz"))
    flat.setdefault("source", f"urn:service:{flat['service']}")
    options = {name: _GROUPS[name](**chosen) for name, chosen in groups.items()}
    return Settings(**flat, **options, origins=origins)


def _zone(tz: Any) -> ZoneInfo | None:
    if tz is None:
        return None
    from zoneinfo import ZoneInfo

    if isinstance(tz, ZoneInfo):
        return tz
    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"tz: expected an IANA zone such as 'Europe/Vienna', got {tz!r}"
        ) from error
