"""
CloudEvents over NATS JetStream, structured mode: one message an event, acked by the stream.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.sinks._broker import Address, BrokerSink, attributes, need
from cxsdk.sinks._invisible import quiet
from cxsdk.sinks._outcomes import Outcomes
from cxsdk.typing import Batch, Hold, Refused, Retry, SendResult

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from cxsdk.sinks._nats_link import Link

__all__ = ["NatsSink", "meaning"]

_EXAMPLE = "nats://broker-1:4222,broker-2:4222/subject"
_TYPE = "application/cloudevents+json"
_SUBJECT = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*\Z")
_OPTIONS = frozenset({"stream", "credentials", "ca"})
_IDLE_S = 30.0
_PATIENT = {"probe_after": 60.0, "backoff_to": 900.0}

# Errors of JetStream by number, as its server's errors.json has them.
_TOO_LARGE = 10054
_STREAM_DIFFERS = 10060
_STORE_FAILED = 10077
_SEALED = 10109
_FULL = re.compile(r"maximum (bytes|messages)( per subject)? exceeded|resource", re.IGNORECASE)


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: _Error | None = None


_ack = msgspec.json.Decoder(_Ack)


def meaning(code: int, number: int, words: str, subject: str) -> SendResult:
    """
    Say what a stream's error means for one event.

    Args:
        code: the class of the error, as in HTTP.

        number: JetStream's own number of the error.

        words: its description.

        subject: where the event went, for messages.
    """
    if number == _TOO_LARGE:
        return Refused("too_large", words)
    if number == _STREAM_DIFFERS:
        return Hold(f"nats: {subject!r} belongs to another stream than the one asked for: {words}")
    if number == _STORE_FAILED or _FULL.search(words):
        # A stream that discards new messages, or a server without room: well, and slower.
        return Retry(f"nats: the stream takes no more: {words}", throttled=True)
    if code >= 500:
        return Retry(f"nats: {words}")
    if code == 400 and number != _SEALED:
        return Refused(f"nats {number}", words)
    return Hold(f"nats: {words}")


@attrs.define(slots=False, eq=False, repr=False)
class NatsSink(BrokerSink):
    """
    Publishes to one subject of a JetStream stream. `send` is for one thread at a time; `close`
    for any.

    ``url`` is ``nats://[user:password@ | token@]host:4222[,host2:4222]/subject[?stream=…]``; with
    ``tls://`` the connection is encrypted or not made at all. The connection is made at the first `send` of a process and its event loop runs only while a
    `send` does, on the calling thread; a forked child makes its own.

    Raises:
        ConfigurationError: the URL or another argument is wrong.
        ExtraMissingError: nats-py is not installed.
    """

    token: str | None = attrs.field(default=None, kw_only=True)
    """Where the URL has no credentials."""

    credentials: Path | str | None = attrs.field(default=None, kw_only=True)
    """A ``.creds`` file, read at each connect; needs ``pip install 'nats-py[nkeys]'``."""

    stream: str | None = attrs.field(default=None, kw_only=True)
    """Take acks of this stream only."""

    ca: Path | str | None = attrs.field(default=None, kw_only=True)
    """A file of PEM certificates to trust instead of certifi's."""

    connect_timeout: float = attrs.field(default=3.0, kw_only=True)
    """Seconds for name lookup, connect, TLS and login at one server together, and for a sign of
    life after a pause."""

    max_in_flight: int = attrs.field(default=256, kw_only=True)
    """How many events may wait for their ack at once."""

    def __attrs_post_init__(self) -> None:
        need("nats", "nats-py", "nats")
        address = Address.of(self.url, _EXAMPLE, 4222)
        options = address.options
        unknown = sorted(set(options) - _OPTIONS)
        if unknown or address.scheme not in {"nats", "tls"}:
            what = f"no option {unknown[0]!r}" if unknown else "nats:// or tls://"
            raise ConfigurationError(f"collector: expected {what}, as in {_EXAMPLE}?stream=cx")
        if not _SUBJECT.match(address.path):
            raise ConfigurationError("collector: expected a NATS subject without wildcards")
        if self.max_in_flight < 1:
            raise ConfigurationError(f"max_in_flight: expected 1 or more, got {self.max_in_flight}")
        self._subject = address.path
        self._stream = self.stream or options.get("stream")
        self._credentials = self.credentials or options.get("credentials")
        self._ca = self.ca or options.get("ca")
        if self._credentials is not None:
            need("nkeys", "nkeys", "nats")
        self._login = self._logged_in(address)
        self._turn = 0
        secrets = [self._login[name] for name in ("token", "password") if name in self._login]
        self._begin(address, secrets, in_clear=bool(secrets) and address.scheme == "nats")

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> NatsSink:
        """
        Return a sink for *url*; the API key of *settings* is the token where the URL has no
        credentials.

        Raises:
            ConfigurationError: the URL is wrong.
            ExtraMissingError: nats-py is not installed.
        """
        return cls(url, token=settings.api_key)

    def hurry(self, ends_in: float) -> None:
        """
        Let no `send`, the running one included, last longer than *ends_in* seconds from now.
        """
        super().hurry(ends_in)
        link = self._link
        if link is not None and os.getpid() == self._pid:
            link.end_by(self._until())

    def _interrupt(self) -> None:
        link = self._link
        if link is not None:
            link.stop()

    # ---- one batch -----------------------------------------------------------------------

    def _send(self, batch: Batch) -> SendResult:
        quiet("nats.aio.client")
        if self._link is not None:
            outcomes = self._attempt(self._link, batch, warm=True)
            if outcomes is not None:
                return self._judged(outcomes)
            # The kept connection was gone before it said a word.
            self._drop()
        failure = self._open()
        if failure is not None or self._link is None:
            self._drop()
            return failure or Retry("closed")
        outcomes = self._attempt(self._link, batch, warm=False)
        return self._judged(outcomes or Outcomes(len(batch), self._hide))

    def _attempt(self, link: Link, batch: Batch, *, warm: bool) -> Outcomes | None:
        """
        Publish over *link*; None: it turned out to be gone, and nothing was answered.
        """
        outcomes = Outcomes(len(batch), self._hide)
        try:
            if warm and time.monotonic() - link.used > _IDLE_S:
                link.ping(min(self._until(), self._began + self.connect_timeout))
            link.publish(
                self._subject,
                self._messages(link, batch, outcomes),
                self._until(),
                window=self.max_in_flight,
                sent=outcomes.sent,
                answer=lambda index, msg: self._on_answer(outcomes, index, msg),
            )
        except Exception as error:  # noqa: BLE001 - said as a result
            if not warm or self._closed:
                link.trouble = link.trouble or error
                return outcomes
            return None
        return None if warm and link.lost and outcomes.is_empty and not self._closed else outcomes

    def _messages(
        self, link: Link, batch: Batch, outcomes: Outcomes
    ) -> Iterator[tuple[int, bytes, Mapping[str, str]]]:
        limit = link.max_payload
        for index, record in enumerate(batch.records):
            found = attributes(record)
            headers = {"Content-Type": _TYPE, "Nats-Msg-Id": f"{found.source} {found.id}".strip()}
            if self._stream:
                headers["Nats-Expected-Stream"] = self._stream
            size = link.size(record.payload, headers)
            if size > limit:
                # The server would not refuse it but hang up.
                outcomes.refuse(index, f"too_large: {size} bytes, the server takes {limit}")
            else:
                yield index, record.payload, headers

    def _on_answer(self, outcomes: Outcomes, index: int, msg: Msg) -> bool:
        """
        Heed one answer; False: it is none of a stream's.
        """
        if msg.headers and msg.headers.get("Status") == "503":
            outcomes.fail(index, self._nobody())
            return True
        try:
            said = _ack.decode(msg.data)
        except msgspec.DecodeError:
            return False
        if said.error is None:
            if not said.stream or said.seq < 1:
                return False
            outcomes.took(index)
            return True
        words = outcomes.cut(said.error.description)
        result = meaning(said.error.code, said.error.err_code, words, self._subject)
        if isinstance(result, Refused):
            outcomes.refuse(index, f"{result.reason}: {result.detail}")
        else:
            outcomes.fail(index, result)
        return True

    def _nobody(self) -> Hold:
        return Hold(
            f"nats: no stream takes {self._subject!r}: create one with this subject, "
            "or enable JetStream",
            probe_after=10.0,
        )

    def _judged(self, outcomes: Outcomes) -> SendResult:
        link = self._link
        trouble: SendResult | None = None
        if link is not None:
            if link.trouble is not None:
                trouble = self._meaning(link.trouble, link)
            elif link.lost:
                trouble = Retry("network: the connection was lost")
            if outcomes.open or link.lost or link.trouble is not None:
                # What is still on its way must not be answered into the next batch.
                self._drop()
        return outcomes.verdict(Retry("closed") if self._closed else trouble)

    def _meaning(self, error: Exception, link: Link) -> SendResult:
        """
        Say what *error* of the connection means.
        """
        import nats.errors

        from cxsdk.sinks._nats_link import NotEncryptedError, OutOfTimeError

        if isinstance(error, nats.errors.NoServersError) and link.said is not None:
            error = link.said
        words = self._cut(error)
        if isinstance(error, NotEncryptedError):
            return Hold("tls: the server begins no TLS, and without it nothing is sent")
        if isinstance(error, ssl.SSLError):
            broken = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
            return Retry(f"tls: {words}") if broken else Hold(f"tls: {words}")
        if isinstance(error, (FileNotFoundError, PermissionError)):
            return Hold(f"nats: {words}")  # certificates or credentials of ours
        if isinstance(error, (OutOfTimeError, TimeoutError)):
            return Retry("timeout: no answer in time")
        if re.search(r"authoriz|authentic|permissions|credential", words, re.IGNORECASE):
            return Hold(f"nats: {words}", **_PATIENT)
        return Retry(f"network: {words}")

    # ---- the connection ------------------------------------------------------------------

    def _begin_process(self) -> None:
        super()._begin_process()
        self._link: Link | None = None

    def _open(self) -> SendResult | None:
        """
        Connect to the first server that lets us in; say what is wrong if none does.
        """
        from cxsdk.sinks._nats_link import Link

        failure: SendResult | None = None
        hosts = self._address.hosts
        for turn in range(len(hosts)):
            host, port = hosts[(self._turn + turn) % len(hosts)]
            self._link = link = Link()
            if self._closed:
                return Retry("closed")
            try:
                link.open(
                    f"nats://[{host}]:{port}" if ":" in host else f"nats://{host}:{port}",
                    min(self._until(), time.monotonic() + self.connect_timeout),
                    tls=self._trust(),
                    must_encrypt=self._address.scheme == "tls",
                    login=self._login,
                    timeout=self.connect_timeout,
                )
            except Exception as error:  # noqa: BLE001 - said as a result
                said = self._meaning(error, link)
                failure = said if failure is None or isinstance(said, Retry) else failure
                self._drop()
                continue
            self._turn = (self._turn + turn) % len(hosts)
            return None
        self._turn += 1
        return failure

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.dispose()

    def _trust(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._ca is not None:
            context.load_verify_locations(cafile=self._ca)
        else:
            import certifi

            context.load_verify_locations(cafile=certifi.where())
        return context

    def _logged_in(self, address: Address) -> dict[str, Any]:
        user, password = address.user, address.password
        if self._credentials is not None:
            return {"user_credentials": str(self._credentials)}
        if user is not None and password is not None:
            return {"user": user, "password": password}
        token = user or self.token
        return {"token": token} if token else {}

    def _cut(self, words: object) -> str:
        return super()._cut(str(words).removeprefix("nats: ") or type(words).__name__)
