"""
requests: requests tell the team's other services whom they are about, and nobody else.

::

    import requests
    from cxsdk.integrations.requests import CX

    orders = requests.Session()
    CX(orders)

Hosts are those of ``ContextOptions(carry_to=…)``, by default none.
"""

from __future__ import annotations

import functools
from typing import Any

from cxsdk.client import Client
from cxsdk.errors import ConfigurationError
from cxsdk.integrations._outgoing import address
from cxsdk.integrations.floors import need

need("requests")

import requests  # noqa: E402 - what is missing or too old is said first

__all__ = ["CX", "install", "uninstall"]


class CX:
    """
    Has the requests of one session tell whom they are about, to hosts of the list only; also where
    a redirect leads elsewhere. Done around the session's ``send``, which each hop goes through.
    Installed at once where a session is given; twice is once. Thread-safe.

    Args:
        session: a ``requests.Session``; later by `install`.

        client: of cxsdk, whose list of hosts holds; by default the default one, found at each
            request.

    Raises:
        ConfigurationError: it is no session of requests.
    """

    def __init__(
        self, session: requests.Session | None = None, *, client: Client | None = None
    ) -> None:
        self._client = client
        self._session = session
        self._sending: _Sending | None = None
        if session is not None:
            self.install()

    def install(self, session: requests.Session | None = None) -> CX:
        """
        Begin; idempotent.

        Args:
            session: by default the one before `uninstall`.

        Raises:
            ConfigurationError: it is no session of requests.
        """
        session = self._session if session is None else session
        if not isinstance(session, requests.Session):
            raise ConfigurationError(
                f"session: expected a requests.Session, got {type(session).__name__}"
            )
        self.uninstall()
        self._session = session
        _restore(session)
        self._sending = made = _Sending(session, self._client)
        session.send = made  # type: ignore[method-assign]
        return self

    def uninstall(self) -> None:
        """
        Leave the session as it was; idempotent. What others laid over ours stays, and ours then
        does nothing.
        """
        if self._session is not None:
            _restore(self._session)
        if self._sending is not None:
            self._sending.is_on = False


class _Sending:
    """
    What stands for ``send`` on a session.
    """

    def __init__(self, session: requests.Session, client: Client | None) -> None:
        self._session = session
        self._client = client
        self.is_on = True
        self.before: Any = session.__dict__.get("send")
        functools.update_wrapper(self, session.send)

    def __call__(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        if self.is_on:
            address(self._client, request.url, request.headers)
        # Found at each call: the class may be instrumented, and left alone again, in between.
        inner: Any = self.before or functools.partial(type(self._session).send, self._session)
        response: requests.Response = inner(request, **more)
        return response


def _restore(session: requests.Session) -> None:
    sending = session.__dict__.get("send")
    if isinstance(sending, _Sending):
        if sending.before is None:
            del session.__dict__["send"]
        else:
            session.__dict__["send"] = sending.before


# ---- all sessions of the process ----------------------------------------------------------------

_made: Any = None
"""What stands for ``Session.send``; compared by identity, since wrappers of others may show the
attributes of what they wrap."""

_is_on = False


def install() -> None:
    """
    Have every session of this process do so, those made before and ``requests.get`` included.
    Idempotent.
    """
    global _is_on, _made
    _is_on = True
    if _made is not None:
        return
    inner: Any = requests.Session.send

    @functools.wraps(inner)
    def send(self: Any, request: requests.PreparedRequest, **more: Any) -> Any:
        if _is_on:
            address(None, request.url, request.headers)
        return inner(self, request, **more)

    _made = send
    requests.Session.send = _made  # type: ignore[method-assign]


def uninstall() -> None:
    """
    Leave requests as it was; idempotent. What others laid over ours stays, and ours then does
    nothing.
    """
    global _is_on, _made
    _is_on = False
    ours = _made
    if ours is not None and requests.Session.send is ours:
        requests.Session.send = ours.__wrapped__  # type: ignore[method-assign, attr-defined]
        _made = None
