"""
Destinations: one file each, found by the scheme of a URL.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cxsdk.errors import ConfigurationError
from cxsdk.typing import Sink

if TYPE_CHECKING:
    from cxsdk.config import Settings

__all__ = ["known_schemes", "open_sink"]

_GROUP = "cxsdk.sinks"

# A table, so that the usual destinations cost no scan of every installed package's metadata.
_BUILT_IN = {
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
}


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
    scheme, colon, _ = target.partition(":")
    if not colon:
        raise ConfigurationError(
            f"collector: expected a URL with one of the schemes {', '.join(known_schemes())}"
        )
    make = _factory(scheme.lower())
    sink = make(target, settings=settings)
    if not isinstance(sink, Sink):
        raise ConfigurationError(f"collector: what handles {scheme}: made no Sink")
    return sink


def known_schemes() -> list[str]:
    """
    Return every scheme that `open_sink` takes, sorted. Scans installed packages (milliseconds).
    """
    from importlib.metadata import entry_points

    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def _factory(scheme: str) -> Callable[..., Any]:
    if scheme in _BUILT_IN:
        module, _, path = _BUILT_IN[scheme].partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return found  # type: ignore[no-any-return]
    from importlib.metadata import entry_points

    for point in entry_points(group=_GROUP, name=scheme):
        try:
            loaded: Callable[..., Any] = point.load()
        except ImportError as error:
            raise _missing(scheme, error) from error
        return loaded
    raise ConfigurationError(
        f"collector: no sink for {scheme!r}; known are {', '.join(known_schemes())}"
    )


def _missing(scheme: str, error: ImportError) -> ImportError:
    """
    Name the extra that brings what *scheme* needs, unless the sink's own error already does.
    """
    from cxsdk.errors import ExtraMissingError

    if isinstance(error, ExtraMissingError):
        return error
    return ExtraMissingError(error.name or scheme, scheme)
