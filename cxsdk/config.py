"""
Settings: what they are, their defaults, and where each value came from.

Arguments win over ``CXSDK_*`` environment variables, those over defaults; the four off switches
(`SWITCHES`) are the other way round, because they are pulled without a deploy.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk import _standin
from cxsdk.errors import ConfigurationError
from cxsdk.options import (
    CaptureOptions,
    ContextOptions,
    DeliveryOptions,
    PrivacyOptions,
    PromptOptions,
    SpoolOptions,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "SETTINGS",
    "SWITCHES",
    "CaptureOptions",
    "ContextOptions",
    "DeliveryOptions",
    "PrivacyOptions",
    "PromptOptions",
    "Setting",
    "Settings",
    "SpoolOptions",
    "resolve",
]


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


def _secrets(text: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in _names(text))


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
    _row("prompts.files", "CXSDK_PROMPTS"),
    _row("prompts.store", "CXSDK_CAP_STORE"),
    _row("prompts.keys", "CXSDK_PROMPT_KEYS", _secrets),
    _row("prompts.deadline", "CXSDK_PROMPT_DEADLINE", float),
    _row("purpose", "CXSDK_PURPOSE"),
    _row("context.memory", "CXSDK_CONTEXT_MEMORY"),
    _row("context.timeout", "CXSDK_CONTEXT_TIMEOUT", float),
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
_URI = re.compile(r"(?=.{3,500}\Z)[A-Za-z][A-Za-z0-9+.\-]*:[!-~]+\Z")
_PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,4}\Z")


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


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
    prompts: PromptOptions = attrs.Factory(PromptOptions)
    context: ContextOptions = attrs.Factory(ContextOptions)
    purpose: str = "support"
    """What customers are looked up for, where a call does not say."""

    said: frozenset[str] = frozenset()
    """Option groups of which anything was said, by an argument or the environment."""

    origins: Mapping[str, str] = attrs.Factory(dict)
    """Where each value that is no default came from: path → ``argument`` or the variable."""

    def __attrs_post_init__(self) -> None:
        for name in ("service", "environment"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _SERVICE.match(value):
                raise ConfigurationError(
                    f"{name}: expected 1 to 80 letters, digits, '.', '_' or '-', got {value!r}"
                )
        if self.version is not None and not _is_short(self.version):
            raise ConfigurationError(
                f"version: expected 1 to 200 printable characters, got {self.version!r:.80}"
            )
        if not isinstance(self.purpose, str) or not _PURPOSE.match(self.purpose):
            raise ConfigurationError(
                f"purpose: expected a lower-case word such as support, got {self.purpose!r:.60}"
            )
        if self.source and not (isinstance(self.source, str) and _URI.match(self.source)):
            raise ConfigurationError(
                "source: expected an absolute URI such as urn:service:shop or"
                f" https://shop.example/api, got {self.source!r:.80}"
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
    "prompts": PromptOptions,
    "context": ContextOptions,
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
    settings = _build(values, origins)
    for settle in _standin.settings:
        settings = settle(settings)
    return settings, warnings


def _take_group(group: str, options: Any, values: dict[str, Any], origins: dict[str, str]) -> None:
    wanted = _GROUPS[group]
    if not isinstance(options, wanted):
        # Its type only: a mapping in its place may hold the key.
        got = type(options).__name__
        raise ConfigurationError(f"{group}: expected cxsdk.{wanted.__name__}(...), got {got}")
    for name in options.said:
        values[f"{group}.{name}"] = getattr(options, name)
        origins[f"{group}.{name}"] = "argument"


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
        if row.path in {"privacy.key", "prompts.keys"}:
            # Going on without would send ids in the clear that somebody meant to protect.
            raise ConfigurationError(f"{row.env}: {error}") from None
        shown = "a secret" if row.name in {"key", "keys", "api_key"} else repr(text)
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
    elif row.name in {"service", "environment", "version", "purpose"}:
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
    said = frozenset(name for name, chosen in groups.items() if chosen)
    return Settings(**flat, **options, said=said, origins=origins)


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
