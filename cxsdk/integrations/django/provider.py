"""
Django's models as a context provider: query sets that say which section they are.

For what no query set says there is `DjangoProvider`, which calls a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from cxsdk.errors import ConfigurationError, ExtraMissingError, ProviderError
from cxsdk.knowing import ErrorCode, Failed, Found, LookupRequest, Results
from cxsdk.lookup.items import RECORDS
from cxsdk.lookup.providers._base import (
    Provider,
    called,
    left,
    moment,
    nest,
    plain,
    sifted,
)
from cxsdk.lookup.providers.django import DjangoProvider, tidy
from cxsdk.lookup.providers.sql import code_of

try:
    from django.core.exceptions import FieldError, SynchronousOnlyOperation, ValidationError
    from django.db import Error, connections, transaction
except ImportError:
    raise ExtraMissingError("django", "django") from None

__all__ = ["DjangoProvider", "OrmProvider", "OrmSection"]

_LIMITS = (
    "SELECT set_config('transaction_read_only', 'on', true),"
    " set_config('statement_timeout', %s, true)"
)
_NOBODYS = (ValueError, TypeError, OverflowError, ValidationError)
"""What Django says of an id that the column could never hold."""


def _fields(value: Any) -> Mapping[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {name: name for name in value}


@attrs.define(frozen=True)
class OrmSection:
    """
    What a section is made of. The query set is not changed, and of a row only *fields* leave the
    database.

    Raises:
        ConfigurationError: there are no fields, or the query set is cut already.
    """

    queryset: Any
    """A query set, a manager, or a function without arguments that returns one, called at each
    fetch: for what depends on the time, or on models that are not loaded yet. In the order that
    items are to have, the newest first. Its database is what ``using`` or a router says."""

    customer: str = attrs.field(kw_only=True)
    """Field whose value is the customer's id, as in ``filter``: ``"pk"``, ``"user_id"``,
    ``"user__email"``. A row counts only if its value, as text, is exactly the id."""

    fields: Mapping[str, Any] = attrs.field(kw_only=True, converter=_fields)
    """The section's field → the model's, as in ``values_list``: ``"total"``, ``"card__kind"``, an
    annotation's name or an expression; or names alone, where both are called the same. A dot in
    a section's field nests (``"refs.order"``); None is absent."""

    many: bool | None = attrs.field(default=None, kw_only=True)
    """True: each row is an item of a list. False: one row is the section. None: False for
    identity, profile and consent, True for all else."""

    as_of: str | None = attrs.field(default=None, kw_only=True)
    """A field that says when the row was known to be true. Of several rows the latest counts."""

    limit: int = attrs.field(default=50, kw_only=True, validator=attrs.validators.ge(1))
    """Items of a list at most, where the request asks for no fewer."""

    def __attrs_post_init__(self) -> None:
        if not self.fields:
            raise ConfigurationError("fields: expected some: what is not named does not leave")
        if getattr(getattr(self.queryset, "query", None), "is_sliced", False):
            raise ConfigurationError("queryset: expected one that is not cut; see limit")

    def rows(self) -> Any:
        """
        Return a query set of tuples: the customer, *as_of* where it is named, the fields.
        """
        found = self.queryset() if _is_function(self.queryset) else self.queryset.all()
        moments = (self.as_of,) if self.as_of else ()
        return found.values_list(self.customer, *moments, *self.fields.values())

    def is_many(self, section: str) -> bool:
        """
        Say whether rows are items.
        """
        return section not in RECORDS if self.many is None else self.many


def _is_function(queryset: Any) -> bool:
    # Managers can be called too, of related objects at least.
    return callable(queryset) and not hasattr(queryset, "all")


class OrmProvider(Provider):
    """
    Reads customers out of Django's models. Safe from any thread; after a fork as Django is.

    It is called on worker threads of the client's, also in an asynchronous host. Each has
    connections of its own; those that are broken or older than ``CONN_MAX_AGE`` are closed before
    and after each fetch, unless they are in a transaction. What the host has not committed is not
    seen. In PostgreSQL a query may only read and is ended on the server at the deadline. In another
    database it runs to its end, and nowhere has Django a limit for a server that accepts and never
    answers: set ``connect_timeout`` in ``OPTIONS``. The lookup itself is never late.

    Args:
        sections: section → `OrmSection`.

        name: a token, unique among the providers of a client.

        takes: ``raw`` for the host's own ids, ``wire`` for ids as events carry them.

        id_as: makes of an id what *customer* holds, such as ``lambda id: id.removeprefix("u-")``;
            an id of which it makes nothing (`ValueError`) is nobody's.

        max_batch: subjects per request; each takes a query for each section.

        visibility_lag: seconds until an event shows in the answers.

    Raises:
        ConfigurationError: an argument is wrong, or a field is not the model's.
        ExtraMissingError: Django is not installed (when this module is imported).
    """

    def __init__(
        self,
        sections: Mapping[str, OrmSection],
        *,
        name: str = "django",
        takes: str = "raw",
        id_as: Callable[[str], Any] = str,
        max_batch: int = 50,
        visibility_lag: float = 0.0,
    ) -> None:
        self._settle(name, sections, takes, ("id",), visibility_lag)
        for section, said in sections.items():
            if not isinstance(said, OrmSection):
                raise ConfigurationError(f"{name}.sections[{section!r}]: expected an OrmSection")
            if _is_function(said.queryset):
                continue  # its models may not be there yet
            try:
                said.rows()
            except FieldError as error:
                raise ConfigurationError(f"{name}.sections[{section!r}]: {error}") from None
        self._said = dict(sections)
        self._id_as = id_as
        self.max_batch = max_batch

    def fetch(self, request: LookupRequest) -> Results:
        """
        Ask the database. Blocks; see the class for how long.

        Raises:
            ProviderError: it cannot be asked.
        """
        wanted = sorted(self._asked(request))
        left(request, self.name)
        results, values = sifted(request, wanted, self._id_as)
        if not values:
            return results
        tidy()
        try:
            for section in wanted:
                for identifier, found in self._section(section, request, values).items():
                    if found is not None:
                        results[identifier][section] = found
        finally:
            tidy()
        return results

    # ---- a section

    def _section(
        self, section: str, request: LookupRequest, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            return self._read(section, request, values)
        except (Error, OSError) as error:
            # Words of a database quote what it was asked, ids included: only codes are told.
            code, words = code_of(error, error.__cause__ or error)
            if code == ErrorCode.GENERAL:
                return dict.fromkeys(values, self._failed(section, code, words))
            raise ProviderError(code, f"{self.name}: {words}") from None
        except (FieldError, SynchronousOnlyOperation) as error:
            return dict.fromkeys(values, self._failed(section, ErrorCode.GENERAL, called(error)))

    def _failed(self, section: str, code: ErrorCode, words: str) -> Failed:
        return Failed(code, f"{self.name}: {section}: {words}")

    def _read(
        self, section: str, request: LookupRequest, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        said = self._said[section]
        most = min(said.limit, request.limits.get(section, said.limit))
        rows = said.rows()
        found: dict[str, Any] = {}
        with _limited(rows.db, left(request, self.name)):
            for identifier, value in values.items():
                try:
                    mine = rows.filter(**{said.customer: value})[: most + 1]
                except _NOBODYS:
                    continue
                # 1_7 and 17 are one number, A and a one text to some collations: not one customer.
                own = [row for row in _told(mine) if str(row[0]) == str(value)]
                found[identifier] = self._answer(section, own, most)
        return found

    def _answer(self, section: str, rows: Iterable[tuple[Any, ...]], most: int) -> Any:
        said = self._said[section]
        names = [*(("",) if said.as_of else ()), *said.fields]
        records = [dict(zip(names, row[1:], strict=True)) for row in rows]
        moments = [moment(record.pop("", None)) for record in records]
        as_of = max((each for each in moments if each is not None), default=None)
        try:
            items = [plain(nest(record)) for record in records[:most]]
        except (TypeError, ValueError, AttributeError):
            return self._failed(section, ErrorCode.PARSE_ERROR, "no plain data")
        if said.is_many(section):
            return Found(items, as_of, None, len(records) > most) if items else None
        if len(records) > 1:
            return self._failed(section, ErrorCode.PARSE_ERROR, "more than one row")
        return Found(items[0], as_of) if items else None


def _told(rows: Any) -> list[Any]:
    try:
        return list(rows)
    except OverflowError:  # of SQLite's driver, about an id in more digits than a column has
        return []


@contextmanager
def _limited(alias: str, seconds: float) -> Iterator[None]:
    """
    Have queries only read, and ended after *seconds*, where the database can do so.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        # In a transaction of the host's on this thread a limit would outlive the question.
        yield
        return
    with transaction.atomic(using=alias):
        with connection.cursor() as cursor:
            cursor.execute(_LIMITS, [str(max(1, int(seconds * 1000)))])
        yield
