"""
The default client and the module-level verbs; until ``init`` they do nothing, and say so once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from cxsdk import _current, _fork
from cxsdk._guard import caller, voice
from cxsdk._knower import Knower
from cxsdk._knowing import Knowing
from cxsdk.client import Client
from cxsdk.instrument import Instrument
from cxsdk.outbox.transaction import Transaction
from cxsdk.typing import DeliveryReport, Dropped, Health

if TYPE_CHECKING:
    from cxsdk.events.model import Party
    from cxsdk.lookup.engine import Engine
    from cxsdk.pipeline.capture import Capture

__all__ = [
    "aclose",
    "aflush",
    "client",
    "close",
    "flush",
    "health",
    "init",
    "instrument",
    "lifespan",
    "outbox",
    "partner",
    "stats",
]

_NOTHING = DeliveryReport(delivered=0, pending=0, spooled=0, dropped=0, seconds=0.0)

P = ParamSpec("P")

_client: Client | None = None


class _Default(Instrument, Knowing):
    """
    The verbs of the default client, found at call time: decorators run before ``init``.
    """

    def capture(self) -> Capture | None:
        # `Client.capture`, written out: a call less in every event of every host.
        client = _client
        if client is None:
            return None
        capture = client._capture
        if capture is None or _fork.page[0] == capture.generation:
            return capture
        return client.capture()

    def off(self) -> Dropped:
        if _client is not None:
            return _client.off()
        voice.say(
            logging.WARNING,
            "not_initialised",
            "cxsdk: an event at %s is dropped because cx.init(service=…, collector=…) has not"
            " run in this process",
            caller(),
        )
        return Dropped("not_initialised", "call cx.init(service=…, collector=…) first")

    @property
    def knower(self) -> Knower | None:  # type: ignore[override]  # found at call time
        return None if _client is None else _client.knower

    def lookups(self) -> Engine | None:
        client = _client
        if client is not None:
            return client.knower.engine or client.lookups()
        voice.say(
            logging.WARNING,
            "not_initialised:context",
            "cxsdk: a lookup at %s finds nothing because cx.init(service=…) has not run in this"
            " process",
            caller(),
        )
        return None


instrument = _Default()
_current.find = lambda: _client


def _takes_what(
    _: Callable[P, Client],
) -> Callable[[Callable[..., Client]], Callable[P, Client]]:
    """
    Show editors and type checkers the signature of `Client` for a function that passes it on.
    """

    def keep(function: Callable[..., Client]) -> Callable[P, Client]:
        return cast("Callable[P, Client]", function)

    return keep


@_takes_what(Client)
def init(service: str | None = None, **options: Any) -> Client:
    """
    Set up the default client; call it once, where the application starts.

    Touches no disk and starts no thread. Called again, it closes the client before it with a
    warning. All arguments are those of `Client`.

    Args:
        service: name of the deployable; also ``CXSDK_SERVICE``.

        options: ``collector``, ``environment``, ``version``, ``api_key``, ``tz``, ``strict``,
            ``spool``, ``delivery``, ``privacy``, ``capture``, ``prompts``, ``context``, ``purpose``,
            ``processors``, ``listeners``, ``outbox``.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    global _client
    made = Client(service, **options)
    before, _client = _client, made
    if before is not None:
        if before.health().status != "off":
            voice.say(
                logging.WARNING,
                "init_again",
                "cxsdk: init ran again at %s; the client before it is closed",
                caller(),
            )
        before.close()
    return made


def client() -> Client | None:
    """
    Return the default client, or None before ``init``.
    """
    return _client


def replace(other: Client | None) -> Client | None:
    """
    Make *other* the default client and return the one before it. For tests.
    """
    global _client
    before, _client = _client, other
    return before


def outbox(over: Any = None, *, using: str | None = None) -> Transaction:
    """
    Return the verbs over a transaction of the host's own database: an event said there is a row
    of that transaction, and goes out once it is committed, never if it is rolled back.

    ``with cx.outbox(session) as tx: tx.promise(…)``. The table is made by
    ``cxsdk.outbox.table.create_table``, or by the Django app ``cxsdk.outbox.django``.

    Args:
        over: a SQLAlchemy ``Session`` or ``Connection`` (``with``), or an ``AsyncSession`` or
            ``AsyncConnection`` (``async with``).

        using: alias of a Django database, ``default`` where nothing is given at all.
    """
    return Transaction(instrument) if _client is None else _client.outbox(over, using=using)


def flush(timeout: float = 5.0) -> DeliveryReport:
    """
    Deliver what is waiting; block up to *timeout* seconds. What is left stays spooled.
    """
    return _NOTHING if _client is None else _client.flush(timeout)


async def aflush(timeout: float = 5.0) -> DeliveryReport:  # noqa: ASYNC109
    """
    Like `flush`, without blocking the event loop.
    """
    return _NOTHING if _client is None else await _client.aflush(timeout)


def close(timeout: float = 5.0) -> DeliveryReport:
    """
    Deliver for up to *timeout* seconds, then let go of everything. Idempotent.
    """
    return _NOTHING if _client is None else _client.close(timeout)


async def aclose(timeout: float = 5.0) -> DeliveryReport:  # noqa: ASYNC109
    """
    Like `close`, without blocking the event loop.
    """
    return _NOTHING if _client is None else await _client.aclose(timeout)


def health() -> Health:
    """
    Return ``ok``, ``degraded``, ``holding`` or ``off`` with the reason. Not for readiness.
    """
    return Health("off", "not_initialised") if _client is None else _client.health()


def stats() -> dict[str, Any]:
    """
    Return the ledger, sinks and spool of the default client as plain data.
    """
    return {} if _client is None else _client.stats()


def partner(role: str, *, org: str | None = None, id: str | None = None) -> Party:  # noqa: A002
    """
    Name somebody who acts for us; the company stays accountable.

    Args:
        role: ``carrier``, ``dealer``, ``service_firm``, ``outsourcer``, …

        org: a token for the organisation, such as ``dhl``.

        id: the partner's own agent, opaque.

    Raises:
        InvalidEventError: a value does not fit the standard.
    """
    from cxsdk.events.model import Party

    return Party(kind="partner", partner_role=role, org=org, id=id)


@asynccontextmanager
async def lifespan(_app: Any = None) -> AsyncIterator[None]:
    """
    Drain when an ASGI application ends: ``Starlette(lifespan=cx.lifespan)``.

    Servers end ASGI workers in ways that skip ``atexit``; the lifespan always runs.
    """
    try:
        yield
    finally:
        client = _client
        if client is not None:
            await client.aflush(client.drain_seconds)
