"""
cxsdk and its peers behind one face: start, emit one event, finish.

Each at its own defaults, but for queues made large enough that nothing need be dropped. The event
is the same for all: eleven properties in one dict, a customer and a session; cxsdk adds stage,
channel and the customer's goal, and measures the duration.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["CORE_IMPORT", "SUBJECTS", "Subject", "facts", "versions"]

Facts = tuple[str, str, str, str, str, float, int]
Emit = Callable[[Facts], object]
Finish = Callable[[], object]

CORE_IMPORT = "import attrs, msgspec, opentelemetry.trace"
_QUEUE = 2_000_000
_OPEN_SESSIONS = 200


def facts(count: int, *, per_session: float = 5.0, seed: int = 7) -> list[Facts]:
    """
    Return what differs from event to event: customer, session, order, cart, trace, amount, items.

    A session is *per_session* events long on average, among 200 open ones, so the share of calls
    that are the first of a session is the same however many events are measured.
    """
    chance = random.Random(seed)
    people = (f"{seed}-{number}" for number in itertools.count())
    open_sessions = [next(people) for _ in range(_OPEN_SESSIONS)]
    rows: list[Facts] = []
    for _ in range(count):
        place = chance.randrange(_OPEN_SESSIONS)
        name = open_sessions[place]
        if chance.random() < 1 / per_session:
            open_sessions[place] = next(people)
        rows.append(
            (
                f"c-{name}",
                f"s-{name}",
                f"A-{chance.randrange(10**6):06d}",
                f"{chance.getrandbits(32):08x}",
                str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                chance.randrange(10**6) / 100,
                chance.randrange(1, 9),
            )
        )
    return rows


def _properties(fact: Facts) -> dict[str, Any]:
    _, _, order, cart, trace, amount, items = fact
    return {
        "plan": "gold",
        "currency": "EUR",
        "step": "checkout",
        "method": "credit_card",
        "country": "DE",
        "order": order,
        "cart": cart,
        "trace": trace,
        "amount": amount,
        "items": items,
        "express": True,
    }


def cxsdk(
    url: str, directory: Path, *, compress: bool | None = None, **spool: Any
) -> tuple[Emit, Finish]:
    """
    cxsdk: scope, interaction, eleven attributes; redaction on, durable spool.
    """
    import cxsdk as cx
    from cxsdk.sinks.http import HttpSink

    cx.init(
        service="bench",
        collector=HttpSink(url, compress=compress),
        spool=cx.SpoolOptions(directory=directory, **spool),
        privacy=cx.PrivacyOptions(redact=True),
    )

    def emit(fact: Facts) -> None:
        with (
            cx.scope(customer=fact[0], session=fact[1]),
            cx.interaction("checkout.pay", stage="order", channel="web") as i,
        ):
            i.attributes.update(_properties(fact))
            i.goal_met = "yes"

    return emit, lambda: cx.flush(120)


def otel(url: str, directory: Path) -> tuple[Emit, Finish]:
    """
    OpenTelemetry logs: the logs API over the SDK's batch processor and OTLP/HTTP exporter.
    """
    import time

    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=url + "/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=_QUEUE))
    logger = provider.get_logger("bench")

    def emit(fact: Facts) -> None:
        attributes = _properties(fact)
        attributes["enduser.id"] = fact[0]
        attributes["session.id"] = fact[1]
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                event_name="checkout.pay",
                body="checkout.pay",
                attributes=attributes,
            )
        )

    return emit, lambda: provider.force_flush(120_000)


def sentry(url: str, directory: Path) -> tuple[Emit, Finish]:
    """
    Sentry logs.
    """
    import sentry_sdk
    from sentry_sdk._log_batcher import LogBatcher

    LogBatcher.MAX_BEFORE_DROP = _QUEUE
    sentry_sdk.init(
        dsn=url.replace("://", "://key@") + "/1", enable_logs=True, transport_queue_size=_QUEUE
    )
    from sentry_sdk import logger

    def emit(fact: Facts) -> None:
        attributes = _properties(fact)
        attributes["user.id"] = fact[0]
        attributes["session.id"] = fact[1]
        logger.info("checkout.pay", attributes=attributes)

    return emit, lambda: sentry_sdk.flush(120)


def snowplow(url: str, directory: Path) -> tuple[Emit, Finish]:
    """
    Snowplow: a self-describing event through the asynchronous emitter.
    """
    from snowplow_tracker import AsyncEmitter, SelfDescribing, SelfDescribingJson, Subject, Tracker

    host, port = url.removeprefix("http://").split(":")
    emitter = AsyncEmitter(host, protocol="http", port=int(port), buffer_capacity=_QUEUE)
    tracker = Tracker(namespace="bench", emitters=[emitter], app_id="bench")
    schema = "iglu:dev.cxsdk/checkout/jsonschema/1-0-0"

    def emit(fact: Facts) -> None:
        subject = Subject()
        subject.set_user_id(fact[0]).set_domain_session_id(fact[1])
        json = SelfDescribingJson(schema, _properties(fact))
        tracker.track(SelfDescribing(json, event_subject=subject))

    return emit, lambda: tracker.flush(is_async=False)


def mixpanel(url: str, directory: Path) -> tuple[Emit, Finish]:
    """
    Mixpanel: the buffered consumer, which sends in the caller's thread at every fiftieth event.
    """
    from mixpanel import BufferedConsumer, Mixpanel

    consumer = BufferedConsumer(events_url=url + "/track")
    client = Mixpanel("token", consumer=consumer)

    def emit(fact: Facts) -> None:
        properties = _properties(fact)
        properties["session"] = fact[1]
        client.track(fact[0], "checkout.pay", properties)

    return emit, consumer.flush


def posthog(url: str, directory: Path) -> tuple[Emit, Finish]:
    """
    PostHog capture.
    """
    from posthog import Posthog

    client = Posthog("phc_bench", host=url, max_queue_size=_QUEUE)

    def emit(fact: Facts) -> None:
        properties = _properties(fact)
        properties["$session_id"] = fact[1]
        client.capture("checkout.pay", distinct_id=fact[0], properties=properties)

    return emit, client.flush


class Subject:
    """
    One library under measurement: what it is called, how it starts, what a user of it imports.
    """

    def __init__(self, label: str, package: str, start: Callable[..., Any], imports: str) -> None:
        self.label, self.package, self.start, self.imports = label, package, start, imports

    @property
    def version(self) -> str | None:
        """
        The installed version, or None.
        """
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None


SUBJECTS = {
    "cxsdk": Subject("cxsdk (durable)", "cxsdk", cxsdk, "import cxsdk"),
    "otel": Subject(
        "OpenTelemetry logs",
        "opentelemetry-exporter-otlp-proto-http",
        otel,
        "from opentelemetry.sdk._logs import LoggerProvider;"
        "from opentelemetry.sdk._logs.export import BatchLogRecordProcessor;"
        "from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter",
    ),
    "sentry": Subject("Sentry logs", "sentry-sdk", sentry, "import sentry_sdk"),
    "snowplow": Subject("Snowplow", "snowplow-tracker", snowplow, "import snowplow_tracker"),
    "mixpanel": Subject("Mixpanel", "mixpanel", mixpanel, "import mixpanel"),
    "posthog": Subject("PostHog", "posthog", posthog, "import posthog"),
}


def versions() -> dict[str, str | None]:
    """
    Return each subject's installed version; cxsdk's also where only its folder is on the path.
    """
    found = {name: subject.version for name, subject in SUBJECTS.items()}
    if found["cxsdk"] is None:
        from cxsdk._version import __version__

        found["cxsdk"] = __version__
    return found
