"""
A function over Django's models as a provider. Needs Django, and no extra.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cxsdk import _standin
from cxsdk.errors import ConfigurationError, IntegrationError
from cxsdk.knowing import ErrorCode, Failed
from cxsdk.lookup.providers._base import said
from cxsdk.lookup.providers.call import AsyncCallableProvider, CallableProvider, Function

__all__ = ["DjangoProvider", "tidy"]


class DjangoProvider(CallableProvider):
    """
    A `CallableProvider` whose function reads Django's models. Called on worker threads, each of
    which has connections of its own that no request opens or closes; so they are looked after
    here: before and after each call, those that are broken or older than ``CONN_MAX_AGE`` are
    closed, unless they are in a transaction. Query sets, also lazy ones, are read within the call. An object that does not exist
    (``ObjectDoesNotExist``) is nothing, not a failure.

    Time limits are the database's: set ``connect_timeout`` and ``statement_timeout`` in
    ``DATABASES[…]["OPTIONS"]``.

    Args:
        name: a token, unique among the providers of a client.

        sections: those that the function answers for.

        function: as of `CallableProvider`, and not async.

        more: the other arguments of `CallableProvider`.

    Raises:
        ConfigurationError: an argument is wrong, or the function is async.
        IntegrationError: Django is not installed.
    """

    def __init__(
        self,
        name: str,
        sections: Collection[str],
        function: Function | Mapping[str, Function],
        **more: Any,
    ) -> None:
        try:
            import django.db  # noqa: F401
        except ImportError:
            raise IntegrationError(
                "django is not installed. Install it with: pip install django"
            ) from None
        super().__init__(name, sections, function, **more)
        if isinstance(self, AsyncCallableProvider):
            # Django runs async queries on one thread of asgiref's, which no forked child has.
            raise ConfigurationError(f"{name}.function: expected one that is not async")

    def _call(self, function: Function, identifier: str) -> Any:
        from django.core.exceptions import ObjectDoesNotExist

        tidy()
        try:
            return _read(super()._call(function, identifier))
        except ObjectDoesNotExist:
            return None
        finally:
            tidy()


def tidy() -> None:
    """
    Close connections of this thread that are broken or older than ``CONN_MAX_AGE``.

    As ``close_old_connections`` does, but not in the middle of a transaction, such as that of a
    test which calls a provider by itself.
    """
    from django.db import connections

    close = "close" if _standin.is_djangos() else "close_if_unusable_or_obsolete"
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            getattr(connection, close)()


def _read(told: Any) -> Any:
    # Here, where the connection is: a lazy query set would run wherever it is looked at.
    if not isinstance(told, Mapping):
        return _read_one(told)
    return {name: _read_one(value) for name, value in told.items()}


def _read_one(value: Any) -> Any:
    try:
        return said(value)
    except (TypeError, ValueError, RecursionError):
        return Failed(ErrorCode.PARSE_ERROR, "no plain data: models need values()")
