"""
OpenTelemetry logs over HTTP: each event becomes a log record with a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlunsplit

import attrs
import msgspec

from cxsdk._guard import voice
from cxsdk._version import __version__
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.events.mappings import otlp, otlp_wire, read
from cxsdk.sinks._endpoint import checked_url
from cxsdk.sinks._mapped import MappedDestination, Part, plain_url
from cxsdk.sinks._verdict import Answer, clean
from cxsdk.typing import Record, SendResult

__all__ = ["OtlpSink"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_PROTOBUF = "application/x-protobuf"


@attrs.define(slots=False, eq=False, repr=False)
class OtlpSink(MappedDestination):
    """
    Sends OTLP/HTTP logs to an OpenTelemetry Collector or whatever else takes them. `send` is for
    one thread at a time; `close` for any.

    Raises:
        ConfigurationError: the URL, a header or another argument is wrong.
    """

    protocol: ClassVar[str] = "otlp"
    default_path: ClassVar[str] = "/v1/logs"
    max_event_bytes: ClassVar[int] = 20 * 1024 * 1024
    max_batch_bytes: ClassVar[int] = 20 * 1024 * 1024

    encoding: str = attrs.field(default="json", kw_only=True)
    """``json`` or ``protobuf``. Both need nothing but the core."""

    identities: bool = attrs.field(default=False, kw_only=True)
    """True: ``identity`` events say who is who. By default ``previous``, ``traits`` and the other
    ids of a customer stay behind, because logs are read by many."""

    on_partial: str = attrs.field(default="count", kw_only=True)
    """What to do when some records of a request were rejected and only their number is told:
    ``count`` sends nothing again, as OTLP demands, and counts so many as dropped
    (``rejected_unnamed``); ``find`` sends halves until the rejected ones are found, for
    destinations that store by ``cloudevents.event_id``."""

    def __attrs_post_init__(self) -> None:
        if self.encoding not in {"json", "protobuf"}:
            raise ConfigurationError(f"encoding: expected json or protobuf, got {self.encoding!r}")
        if self.on_partial not in {"count", "find"}:
            raise ConfigurationError(f"on_partial: expected count or find, got {self.on_partial!r}")
        super().__attrs_post_init__()
        self._unnamed = self.on_partial

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> OtlpSink:
        """
        Return a sink for ``otlp+http://host:4318`` or ``otlp+https://host``, with the API key of
        *settings* as a bearer token. ``?encoding=protobuf`` chooses the encoding.

        Raises:
            ConfigurationError: the URL is wrong.
        """
        parts = checked_url(plain_url(url, cls.protocol))
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        encoding = dict(pairs).get("encoding", "json")
        rest = [pair for pair in pairs if pair[0] != "encoding"]
        if rest != pairs:
            parts = parts._replace(query=urlencode(rest))
        plain = urlunsplit(parts)
        key = None if parts.username is not None else settings.api_key
        return cls(plain, api_key=key, encoding=encoding)

    def _map(self, payload: bytes) -> Part:
        fact = read(payload)
        record = otlp.log_record(fact, identities=self.identities)
        group = _encode(otlp.resource(fact))
        if self.encoding == "json":
            return Part(_encode(record), group)
        return Part(otlp_wire.log_record(record), group)

    def _join(self, parts: Sequence[Part]) -> bytes:
        groups: dict[bytes, list[bytes]] = {}
        for part in parts:
            groups.setdefault(part.group, []).append(part.body)
        scope = {"name": "cxsdk", "version": __version__}
        if self.encoding == "json":
            said = _encode(scope)
            return (
                b'{"resourceLogs":['
                + b",".join(
                    b'{"resource":%b,"scopeLogs":[{"scope":%b,"logRecords":[%b]}]}'
                    % (group, said, b",".join(records))
                    for group, records in groups.items()
                )
                + b"]}"
            )
        return otlp_wire.request(
            (_decode(group), scope, records) for group, records in groups.items()
        )

    def _kind(self) -> str:
        return "application/json" if self.encoding == "json" else _PROTOBUF

    def _more(self) -> Mapping[str, str]:
        return {"Accept": self._kind()}

    def _meaning(self, answer: Answer, records: Sequence[Record]) -> SendResult:
        answer = _in_json(answer)
        if 200 <= answer.status < 300:
            self._warn(answer)
        return super()._meaning(answer, records)

    def _warn(self, answer: Answer) -> None:
        """
        Pass on what a collector says although, or because, it took the request.
        """
        said = _partial_success(answer)
        words = clean(said.get("errorMessage") or said.get("error_message") or "", self._hide)
        if words:
            voice.say(30, f"otlp:{self._place}", "%s says: %s", self, words)


def _partial_success(answer: Answer) -> Mapping[str, Any]:
    try:
        said = _decode(answer.body) if answer.body else None
    except (msgspec.DecodeError, RecursionError):
        return {}
    inner = said.get("partialSuccess") if isinstance(said, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _in_json(answer: Answer) -> Answer:
    """
    Turn a Protobuf answer into what `verdict` reads; any other is left alone.
    """
    if not answer.header("content-type").lower().startswith(_PROTOBUF):
        return answer
    try:
        if not 200 <= answer.status < 300:
            return attrs.evolve(answer, body=otlp_wire.read_status(answer.body).encode())
        found = otlp_wire.read_answer(answer.body)
    except ValueError:
        return attrs.evolve(answer, body=b"")
    if found is None:
        return attrs.evolve(answer, body=b"")
    rejected, words = found
    body = {"partialSuccess": {"rejectedLogRecords": rejected, "errorMessage": words}}
    return attrs.evolve(answer, body=_encode(body))
