"""
CloudEvents over Kafka, structured mode: one message an event, acked by its delivery report.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.sinks._broker import Address, BrokerSink, attributes, need, pin, unpin
from cxsdk.sinks._invisible import quiet
from cxsdk.sinks._outcomes import Outcomes
from cxsdk.typing import Batch, Hold, Refused, Retry, SendResult, Split

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

__all__ = ["KafkaSink", "meaning"]

_EXAMPLE = "kafka://broker-1:9092,broker-2:9092/topic"
_HEADERS: list[tuple[str, str | bytes | None]] = [("content-type", b"application/cloudevents+json")]
_LOGGER = "cxsdk.librdkafka"
_SLICE_S = 0.1
_PURGE_S = 1.0
_DESTROY_S = 0.2
_STUMBLES = 2
"""One broken connection is what an idle one looks like; librdkafka makes another at once."""

_DEFAULTS: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    # Our own deadline ends a send, by a purge: its reports tell what was never sent from what
    # may have arrived, which a message timeout of librdkafka does not.
    "message.timeout.ms": 0,
    "reconnect.backoff.max.ms": 1000,
    # As the Java client: one key, one partition, whoever wrote it.
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "log_level": 3,
}
_OURS = frozenset({"bootstrap.servers", "metadata.broker.list", "acks", "request.required.acks"})
_SECRET = ("password", "secret", "token", "ssl.key", "sasl.username", "jaas", "oauthbearer.config")

# Errors by librdkafka's names; those that begin with _ are its own, the others a broker's.
_HOLD = frozenset(
    {
        "CLUSTER_AUTHORIZATION_FAILED",
        "ILLEGAL_SASL_STATE",
        "INVALID_REQUIRED_ACKS",
        "POLICY_VIOLATION",
        "SASL_AUTHENTICATION_FAILED",
        "SECURITY_DISABLED",
        "TOPIC_AUTHORIZATION_FAILED",
        "TOPIC_EXCEPTION",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "UNSUPPORTED_COMPRESSION_TYPE",
        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        "UNSUPPORTED_SASL_MECHANISM",
        "UNSUPPORTED_VERSION",
        "_AUTHENTICATION",
        "_INVALID_ARG",
        "_NOT_IMPLEMENTED",
        "_SSL",
        "_UNSUPPORTED_FEATURE",
    }
)
_UNKNOWN_TOPIC = frozenset(
    {
        "UNKNOWN_TOPIC_ID",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
    }
)
_TOO_LARGE = frozenset({"INVALID_MSG_SIZE", "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})
_BAD = frozenset({"INVALID_MSG", "INVALID_RECORD", "INVALID_TIMESTAMP"})
_UNSENT = frozenset({"_PURGE_QUEUE", "_QUEUE_FULL"})
_SILENT = frozenset({"_MSG_TIMED_OUT", "_PURGE_INFLIGHT"})
_NOT_KEPT = frozenset({"LEADER_NOT_AVAILABLE", "NOT_ENOUGH_REPLICAS", "NOT_LEADER_FOR_PARTITION"})
_NETWORK = frozenset({"_RESOLVE", "_TRANSPORT"})


def meaning(name: str, words: str, topic: str) -> SendResult:
    """
    Say what an error of librdkafka means for a batch of the events that it hit.

    Args:
        name: as ``KafkaError.name()`` has it.

        words: what librdkafka or the broker says, without secrets.

        topic: where the events go, for messages.
    """
    if name in _UNKNOWN_TOPIC:
        said = f"kafka: topic {topic!r} is unknown: create it, or let the broker do so ({words})"
        return Hold(said, probe_after=10.0)
    if name in _HOLD:
        patient = "AUTH" in name or "SASL" in name
        said = f"kafka: {name}: {words}"
        return Hold(said, probe_after=60.0, backoff_to=900.0) if patient else Hold(said)
    if name in _TOO_LARGE:
        return Split(words)
    if name in _BAD:
        return Refused(name, words)
    if name in _UNSENT or name in _SILENT:
        return Retry("timeout: no delivery report in time", uncertain=name in _SILENT)
    return Retry(f"kafka: {words}", uncertain=name not in _NOT_KEPT)


@attrs.define(slots=False, eq=False, repr=False)
class KafkaSink(BrokerSink):
    """
    Produces to one topic. `send` is for one thread at a time; `close` for any.

    ``url`` is ``kafka://[user:password@]host:9092[,host2:9092]/topic[?property=value…]``; with a
    user, SASL over TLS is the default. The producer of librdkafka, and with it its threads, is
    made at the first `send` of a process; a forked child makes its own. Between two sends no
    event is in it.

    Raises:
        ConfigurationError: the URL or a property is wrong.
        ExtraMissingError: confluent-kafka is not installed.
    """

    properties: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)
    """Properties of librdkafka, such as ``ssl.ca.location``; they win over those of the URL."""

    api_key: str | None = attrs.field(default=None, kw_only=True)
    """The SASL password, where there is a user name and no other password."""

    def __attrs_post_init__(self) -> None:
        need("confluent_kafka", "confluent-kafka", "kafka")
        address = Address.of(self.url, _EXAMPLE, 9092)
        if address.scheme != "kafka":
            raise ConfigurationError(f"collector: expected {_EXAMPLE}")
        self._topic = address.path
        self._conf = self._configured(address)
        secrets = [
            str(value)
            for name, value in self._conf.items()
            if any(word in name for word in _SECRET)
        ]
        in_clear = self._conf.get("security.protocol") == "sasl_plaintext"
        self._begin(address, secrets, in_clear=in_clear)

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> KafkaSink:
        """
        Return a sink for *url*; the API key of *settings* is the SASL password, if one is needed.

        Raises:
            ConfigurationError: the URL is wrong.
            ExtraMissingError: confluent-kafka is not installed.
        """
        return cls(url, api_key=settings.api_key)

    # ---- the producer --------------------------------------------------------------------

    def _begin_process(self) -> None:
        super()._begin_process()
        self._producer: Producer | None = None
        self._trouble: SendResult | None = None
        self._stumbles = 0
        self._said = ""
        self._down = self._proven = False

    def _ready(self) -> Producer:
        if self._producer is None:
            from confluent_kafka import Producer

            quiet(_LOGGER)
            made = Producer({**self._conf, "error_cb": self._on_error}, logger=_logger())
            pin(made)
            self._producer = made
        return self._producer

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        proven, self._proven = self._proven and not self._down, False
        release = functools.partial(_destroy, [producer])
        del producer
        if proven:
            release()
            return
        # Perhaps a name lookup hangs, and librdkafka waits for its thread.
        thread = threading.Thread(target=release, name="cxsdk-kafka-close", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the interpreter goes down, and the producer with it
        thread.join(_DESTROY_S)

    # ---- one batch -----------------------------------------------------------------------

    def _send(self, batch: Batch) -> SendResult:
        producer = self._ready()
        producer.poll(0)  # what librdkafka had to say since the last send is not about this one
        self._trouble, self._stumbles = None, 0
        outcomes = Outcomes(len(batch), self._hide)
        self._produce(producer, batch, outcomes)
        while outcomes.open and self._may_wait():
            producer.poll(min(_SLICE_S, self._left()))
        if outcomes.open:
            self._purge(producer, outcomes)
        if outcomes.delivered:
            self._down, self._proven = False, True
        return outcomes.verdict(Retry("closed") if self._closed else self._trouble)

    def _produce(self, producer: Producer, batch: Batch, outcomes: Outcomes) -> None:
        from confluent_kafka import KafkaException

        for index, record in enumerate(batch.records):
            found = attributes(record)
            key = (found.partitionkey or found.id).encode()
            report = functools.partial(self._on_report, outcomes, index)
            outcomes.sent(index)
            try:
                while not self._took(producer, record.payload, key, report):
                    if not self._may_wait():
                        self._fail(outcomes, index, "_QUEUE_FULL", "")
                        break
                    producer.poll(min(_SLICE_S, self._left()))
            except KafkaException as error:
                self._on_refusal(outcomes, index, error.args[0])

    def _took(self, producer: Producer, payload: bytes, key: bytes, report: Any) -> bool:
        """
        Hand one message to librdkafka; say whether its queue had room.
        """
        try:
            producer.produce(self._topic, payload, key, headers=_HEADERS, on_delivery=report)
        except BufferError:
            return False
        return True

    def _on_report(
        self, outcomes: Outcomes, index: int, error: KafkaError | None, _message: Any
    ) -> None:
        if error is None:
            outcomes.took(index)
        else:
            self._fail(outcomes, index, error.name(), error.str())

    def _on_refusal(self, outcomes: Outcomes, index: int, error: KafkaError) -> None:
        if error.name() in _TOO_LARGE:
            outcomes.refuse(index, f"too_large: {error.str()}")
            return
        self._fail(outcomes, index, error.name(), error.str())
        if error.fatal() or error.name() == "_FATAL":
            self._on_error(error)

    def _fail(self, outcomes: Outcomes, index: int, name: str, words: str) -> None:
        outcomes.fail(index, meaning(name, outcomes.cut(words), self._topic))

    def _may_wait(self) -> bool:
        return self._trouble is None and not self._closed and self._left() > 0

    def _left(self) -> float:
        return max(0.0, self._until() - time.monotonic())

    def _purge(self, producer: Producer, outcomes: Outcomes) -> None:
        """
        Take back what has no report, and learn whether it had left this process.
        """
        producer.purge()
        until = time.monotonic() + _PURGE_S
        while outcomes.open and time.monotonic() < until:
            producer.poll(_SLICE_S)
        if outcomes.in_doubt:
            # Its sequence numbers have a hole by now. Another one begins with its own.
            self._drop()

    def _on_error(self, error: KafkaError) -> None:
        """
        Heed what librdkafka says about its connections; called by `poll`, on our thread.
        """
        name, words = error.name(), self._cut(error.str())
        if error.fatal() or name == "_FATAL":
            self._trouble = Retry(f"kafka: the producer gave up: {words}", uncertain=True)
            self._drop()
        elif name in _HOLD:
            self._trouble = meaning(name, words, self._topic)
        elif name == "_ALL_BROKERS_DOWN":
            self._down = True
        elif name in _NETWORK:
            self._stumbles += 1
            self._said = words
        if self._down and self._stumbles >= _STUMBLES and self._trouble is None:
            self._trouble = Retry(f"network: {self._said}")

    def _failure(self, error: Exception) -> SendResult:
        from confluent_kafka import KafkaException

        if isinstance(error, KafkaException):
            # Nothing but making a producer raises here, and only for its properties.
            return Hold(f"kafka: {self._cut(error.args[0].str())}")
        return super()._failure(error)

    # ---- properties ----------------------------------------------------------------------

    def _configured(self, address: Address) -> dict[str, Any]:
        given = {**address.options, **self.properties}
        for name in given:
            if name in _OURS:
                raise ConfigurationError(f"properties: {name!r} cannot be set")
        propagation = int(self.timeout * 500)
        conf = {
            **_DEFAULTS,
            "client.id": "cxsdk",
            "topic.metadata.propagation.max.ms": propagation,
            "socket.timeout.ms": max(1000, int(self.timeout * 1000)),
        }
        if address.user is not None:
            conf["security.protocol"] = "sasl_ssl"
            conf["sasl.username"] = address.user
            if address.password is not None:
                conf["sasl.password"] = address.password
        conf.update(given)
        if "sasl.username" in conf:
            conf.setdefault("sasl.mechanism", conf.pop("sasl.mechanisms", "PLAIN"))
            if self.api_key:
                conf.setdefault("sasl.password", self.api_key)
        if "security.protocol" in conf:
            conf["security.protocol"] = str(conf["security.protocol"]).lower()
        return {**conf, "bootstrap.servers": address.servers}


def _logger() -> logging.Logger:
    return logging.getLogger(_LOGGER)


def _destroy(holder: list[Producer]) -> None:
    """
    Give back the last reference, and with it the producer and its threads.
    """
    unpin(holder.pop())
