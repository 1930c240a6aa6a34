"""
Destinations: one file each, found by the scheme of a URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cxsdk._schemes import Schemes
from cxsdk.errors import ConfigurationError
from cxsdk.typing import Sink

if TYPE_CHECKING:
    from cxsdk.config import Settings

__all__ = ["known_schemes", "open_sink", "open_sinks"]

_schemes = Schemes(
    "collector",
    "sink",
    "cxsdk.sinks",
    {
        "http": "cxsdk.sinks.http:HttpSink.from_url",
        "https": "cxsdk.sinks.http:HttpSink.from_url",
        "otlp+http": "cxsdk.sinks.otlp:OtlpSink.from_url",
        "otlp+https": "cxsdk.sinks.otlp:OtlpSink.from_url",
        "segment+http": "cxsdk.sinks.segment:SegmentSink.from_url",
        "segment+https": "cxsdk.sinks.segment:SegmentSink.from_url",
        "posthog+http": "cxsdk.sinks.posthog:PosthogSink.from_url",
        "posthog+https": "cxsdk.sinks.posthog:PosthogSink.from_url",
        "file": "cxsdk.sinks.file:FileSink.from_url",
        "console": "cxsdk.sinks.console:ConsoleSink.from_url",
        "memory": "cxsdk.sinks.memory:MemorySink.from_url",
        "null": "cxsdk.sinks.null:NullSink.from_url",
        "kafka": "cxsdk.sinks.kafka:KafkaSink.from_url",
        "nats": "cxsdk.sinks.nats:NatsSink.from_url",
        "tls": "cxsdk.sinks.nats:NatsSink.from_url",
    },
)


def open_sink(target: str | Sink, *, settings: Settings) -> Sink:
    """
    Return *target* if it is a sink, or make one from a URL such as ``https://cx.example``.

    Touches no disk and no network; an unknown scheme is looked up among the entry points of the
    group ``cxsdk.sinks``.

    Raises:
        ConfigurationError: nobody knows the scheme, or the URL is wrong.
        ExtraMissingError: the sink needs a package that is not installed.
    """
    if not isinstance(target, str):
        if isinstance(target, Sink):
            return target
        kind = type(target).__name__
        raise ConfigurationError(f"collector: expected a URL or a Sink, got {kind}")
    sink = _schemes.maker(target)(target, settings=settings)
    if not isinstance(sink, Sink):
        raise ConfigurationError(
            f"collector: what handles {target.partition(':')[0]}: made no Sink"
        )
    return sink


def known_schemes() -> list[str]:
    """
    Return every scheme that `open_sink` takes, sorted. Scans installed packages (milliseconds).
    """
    return _schemes.known()


def open_sinks(settings: Settings) -> dict[str, Sink]:
    """
    Return the sinks that ``settings.collector`` names, by their names.

    Raises:
        ConfigurationError: a name or a sink is wrong.
        ExtraMissingError: a sink needs a package that is not installed.
    """
    collector = settings.collector
    if collector is None:
        return {}
    named = collector if isinstance(collector, Mapping) else {"default": collector}
    for name in named:
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigurationError(f"collector: expected names like 'default', got {name!r}")
    return {name: open_sink(to, settings=settings) for name, to in named.items()}
