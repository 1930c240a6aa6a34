"""
One request of ASGI that is an interaction: its messages are watched, never held back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from cxsdk.instrument.outcome import _FRAMEWORKS
from cxsdk.integrations.visit import Visit, for_one, harmless, is_shared
from cxsdk.scope import current_interaction

if TYPE_CHECKING:
    from cxsdk.integrations.asgi import AsgiFront

__all__ = ["BODIES", "Exchange", "Message", "Receive", "Send", "Talk", "is_control"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_GONE = frozenset({"ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect"})
BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
"""Messages of a response that are of its body."""

_CACHE = b"cache-control"
_NO_CODE = 1005
_ENDS = {1000: "success", 1001: "abandoned", 1006: "abandoned"}
"""What it means that the client closes. Without a code nobody knows: servers say so of a page that
closes without one and of a connection that breaks."""

_OURS = {1000: "success", 1001: "success", _NO_CODE: "success"}
_FAILED = frozenset({1011, 1012, 1013, 1014})
"""An error of ours, a restart, too much to do, a bad gateway (the registry of RFC 6455)."""


class _Watched:
    """
    What requests and conversations have in common.
    """

    __slots__ = ("_front", "_receive", "_scope", "_send", "_visit", "is_gone")

    def __init__(
        self, front: AsgiFront, visit: Visit, scope: Message, receive: Receive, send: Send
    ) -> None:
        self._front = front
        self._visit = visit
        self._scope = scope
        self._receive = receive
        self._send = send
        self.is_gone = False
        """True: the client has left, so that what the application then raises is not its own."""

    def _end(self, error: BaseException | None) -> None:
        visit = self._visit
        made = visit.interaction
        visit.end(error)
        # What runs after the response is no part of it.
        if made is not None and current_interaction.get() is made:
            current_interaction.set(None)

    @harmless
    def _begun(self, message: Message) -> Message:
        """
        Take note of the status; return *message*, which names a visitor who has agreed, and keeps
        caches from giving a form to others.
        """
        visit = self._visit
        if not visit.status:
            self._front.keep(visit, self._scope, message["status"])
        cookie = visit.cookie(secure=self._scope.get("scheme") in {"https", "wss"})
        if cookie is None and not visit.is_private:
            return message
        headers = [*message.get("headers", ())]
        said = _cache_control(headers)
        if cookie is not None and not is_shared(said):
            headers.append((b"set-cookie", cookie.encode()))
        if visit.is_private:
            headers = [each for each in headers if each[0].lower() != _CACHE]
            headers.append((_CACHE, for_one(said).encode("latin-1")))
        return {**message, "headers": headers}


def _cache_control(headers: list[tuple[bytes, bytes]]) -> str:
    return b",".join(value for name, value in headers if name.lower() == _CACHE).decode("latin-1")


class Exchange(_Watched):
    """
    One request and its response, until the last byte has been handed to the server.

    The interaction is abandoned where the client is gone before: the server says so
    (``http.disconnect``, an ``OSError``), the task is cancelled, or the application stops in the
    middle of the body.
    """

    __slots__ = ("is_over",)

    def __init__(
        self, front: AsgiFront, visit: Visit, scope: Message, receive: Receive, send: Send
    ) -> None:
        super().__init__(front, visit, scope, receive, send)
        self.is_over = False

    async def receive(self) -> Message:
        """
        Pass on what the server has.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.is_over:
            self.is_gone = True
        return message

    async def send(self, message: Message) -> None:
        """
        Pass on what the application says.
        """
        kind = message["type"]
        if kind == "http.response.start":
            message = self._begun(message) or message
        elif kind in BODIES and not message.get("more_body", False):
            self.is_over = True
        try:
            await self._send(message)
        except OSError:
            self.is_gone, self.is_over = True, False
            raise
        finally:
            # Also where it is cancelled meanwhile: the server has all of it. Not where a layer
            # between ends a body that its handler was cut off from: why, it raises after that.
            if self.is_over and not self._visit.is_cut:
                self._end(GeneratorExit() if self.is_gone else None)

    def close(self, error: BaseException | None = None) -> None:
        """
        Say that the application has returned, or what it raised. Once.
        """
        visit = self._visit
        if self.is_over and visit.interaction is None:
            return
        if error is not None and not (self.is_gone and _is_departure(error)):
            visit.failed(error)
            self._end(error)
        elif self.is_gone or (visit.status and not self.is_over):
            self._end(GeneratorExit())
        else:
            visit.status = visit.status or 500  # what the server makes of no response at all
            self._end(None)


class Talk(_Watched):
    """
    One conversation over a websocket, from the handshake until its handler has returned.

    A handler that closes it with 1000 or 1001, and a client that closes it with 1000, have come to
    an end: success. A client that leaves the page (1001) or whose connection breaks (1006) has
    abandoned it. 1011 to 1014 from the handler are failures; all other codes are unknown, and so is
    a handshake that is refused. What the handler said itself stays.
    """

    __slots__ = ("_closed", "_is_open", "_left")

    def __init__(
        self, front: AsgiFront, visit: Visit, scope: Message, receive: Receive, send: Send
    ) -> None:
        super().__init__(front, visit, scope, receive, send)
        self._is_open = False
        self._closed: int | None = None
        self._left: int | None = None

    async def receive(self) -> Message:
        """
        Pass on what the server has.
        """
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and self._closed is None:
            self.is_gone = True
            self._left = message.get("code") or _NO_CODE
        return message

    async def send(self, message: Message) -> None:
        """
        Pass on what the application says.
        """
        kind = message["type"]
        if kind == "websocket.accept":
            self._is_open = True
        elif kind == "websocket.close" and not self._is_open:
            self._visit.answered(403)
        elif kind == "websocket.close" and self._left is None:
            self._closed = message.get("code") or 1000
        elif kind == "websocket.http.response.start":
            message = self._begun(message) or message
        try:
            await self._send(message)
        except OSError:
            self.is_gone = True
            self._left = self._left or 1006
            raise

    def close(self, error: BaseException | None = None) -> None:
        """
        Say that the application has returned, or what it raised. Once.
        """
        if error is not None and not (self.is_gone and _is_departure(error)):
            self._visit.failed(error)
            self._end(error)
            return
        if self._visit.error is not None and is_control(self._visit):
            self._visit.error = None  # the code says it
        if self._is_open and self._ended() == "abandoned":
            self._end(GeneratorExit())
            return
        if not self._is_open and not self._visit.status:
            self._visit.status = 500  # what the server makes of no handshake at all
        self._end(None)

    @harmless
    def _ended(self) -> str:
        """
        Return the outcome that the code of the close means, and write it down.
        """
        if self._left is not None:
            code, outcome = self._left, _ENDS.get(self._left, "unknown")
        else:
            code = _NO_CODE if self._closed is None else self._closed
            outcome = "failure" if code in _FAILED else _OURS.get(code, "unknown")
        made = self._visit.interaction
        if made is not None and outcome in {"failure", "unknown"}:
            if outcome == "failure" or "outcome" not in made._fields:
                made._fields["outcome"] = outcome
            made._fields["_error"] = {"type": str(code)}
        return outcome


def _is_departure(error: BaseException) -> bool:
    """
    Say whether *error* is how frameworks tell a handler that its client is gone, or only those,
    from the tasks of the handler.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(_is_departure(each) for each in error.exceptions)
    return isinstance(error, OSError) or type(error).__name__ in _GONE


def is_control(visit: Visit) -> bool:
    """
    Say whether what a handler raised, or what was raised before it ran, is only how the framework
    says a status: parameters that do not fit, say. Not where the rule has a word of its own on it.
    """
    error, made = visit.error, visit.interaction
    if type(error).__module__.partition(".")[0] not in _FRAMEWORKS:
        return False
    ignore, classify = (None if made is None else made._options) or ((), None)
    fails = (None if made is None else made._fails) or ()
    return classify is None and not isinstance(error, (*fails, *ignore))
