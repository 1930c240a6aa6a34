"""
A database through SQLAlchemy as a provider. Extra ``sql``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk.errors import ConfigurationError, ExtraMissingError, ProviderError
from cxsdk.knowing import ErrorCode, Failed, Found, LookupRequest, Results
from cxsdk.lookup.items import RECORDS
from cxsdk.lookup.providers._base import (
    PerProcess,
    Provider,
    called,
    left,
    moment,
    nest,
    plain,
    sifted,
)
from cxsdk.lookup.providers._bounded import Bounded, Leash

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

__all__ = ["SectionQuery", "SqlProvider"]

_THREADS = 8
_CONNECT_S = "3"
_MOST_ROWS = 10_000
_NAMES = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_TIME_STATES = frozenset({"57014", "55P03"})
"""query_canceled, lock_not_available"""

_SQLITE = {
    5: ErrorCode.DEADLINE_EXCEEDED,  # busy
    6: ErrorCode.DEADLINE_EXCEEDED,  # locked
    9: ErrorCode.DEADLINE_EXCEEDED,  # interrupted
    10: ErrorCode.CONNECTION,  # the disk
    11: ErrorCode.CONNECTION,  # damaged
    14: ErrorCode.CONNECTION,  # cannot be opened
    26: ErrorCode.CONNECTION,  # no database
}


@attrs.define(frozen=True)
class SectionQuery:
    """
    What to ask for a section. It reads; whatever it writes is rolled back or refused.

    Raises:
        ConfigurationError: the query names neither ``:id`` nor ``:ids``.
    """

    query: Any
    """Text, ``text()`` or a ``select()`` with the parameter ``:id``, and so run once for each
    customer, or ``:ids`` (``IN :ids``), once for all of a request. ``:limit``, where it is named,
    is the number of rows wanted; per customer, so of no use beside ``:ids``. Columns are the
    names of the section's fields; a dot in a name nests (``"refs.order"``); NULL is absent."""

    many: bool | None = None
    """True: each row is an item of a list; put the newest first. False: one row is the section.
    None: False for identity, profile and consent, True for all else."""

    key: str = "customer_id"
    """Beside ``:ids``: the column that says whose the row is; no field of the section."""

    as_of: str | None = None
    """A column that says when the row was known to be true; no field of the section. Of several
    rows the latest counts."""

    limit: int = attrs.field(default=50, validator=attrs.validators.ge(1))
    """Items of a list at most, where the request asks for no fewer."""

    names: frozenset[str] = attrs.field(init=False)
    """Parameters of the query."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "names", _names(self.query))
        if not {"id", "ids"} & self.names:
            raise ConfigurationError("query: expected :id or :ids in it")

    def is_many(self, section: str) -> bool:
        """
        Say whether rows are items.
        """
        return section not in RECORDS if self.many is None else self.many

    def statement(self) -> Any:
        """
        Return what to execute.
        """
        import sqlalchemy as sa

        if not isinstance(self.query, (str, sa.TextClause)):
            return self.query
        made = sa.text(self.query) if isinstance(self.query, str) else self.query
        if "ids" in self.names:
            made = made.bindparams(sa.bindparam("ids", expanding=True))
        return made


def _names(query: Any) -> frozenset[str]:
    if isinstance(query, str):
        return frozenset(_NAMES.findall(query))
    try:
        from sqlalchemy.sql import visitors
        from sqlalchemy.sql.elements import BindParameter, ClauseElement, TextClause
    except ImportError:
        raise ExtraMissingError("sqlalchemy", "sql") from None
    if isinstance(query, TextClause):
        return frozenset(_NAMES.findall(query.text))
    if not isinstance(query, ClauseElement):
        raise ConfigurationError("query: expected text or a select()")
    return frozenset(
        each.key for each in visitors.iterate(query) if isinstance(each, BindParameter)
    )


class SqlProvider(Provider):
    """
    Reads customers out of SQLite, PostgreSQL (psycopg) or another database of SQLAlchemy. Safe
    from any thread; a forked child connects anew. Blocks until the request's deadline at most; a
    query that is not done by then is ended, in PostgreSQL also on the server.

    Each fetch is one transaction that is rolled back; in PostgreSQL and SQLite it may only read.
    The pool is the provider's own, so the host's connections are not used up; only that of an
    SQLite database in memory is the host's, for there is no other way in.

    Args:
        source: an ``Engine`` or a URL.

        sections: section → `SectionQuery`.

        name: a token, unique among the providers of a client.

        takes: ``raw`` for the host's own ids, ``wire`` for ids as events carry them.

        id_as: makes of an id what the database compares, such as ``int`` or ``uuid.UUID``; an id
            of which it makes nothing (`ValueError`) is nobody's.

        max_batch: subjects per request.

        visibility_lag: seconds until an event shows in the answers.

    Raises:
        ConfigurationError: an argument is wrong, the engine is asynchronous, or its driver is not
            installed.
        ExtraMissingError: SQLAlchemy is not installed.
    """

    def __init__(
        self,
        source: str | Engine,
        sections: Mapping[str, SectionQuery],
        *,
        name: str = "sql",
        takes: str = "raw",
        id_as: Callable[[str], Any] = str,
        max_batch: int = 50,
        visibility_lag: float = 0.0,
    ) -> None:
        try:
            import sqlalchemy  # noqa: F401
        except ImportError:
            raise ExtraMissingError("sqlalchemy", "sql") from None
        self._settle(name, sections, takes, ("id",), visibility_lag)
        for section, query in sections.items():
            if not isinstance(query, SectionQuery):
                raise ConfigurationError(f"{name}.sections[{section!r}]: expected a SectionQuery")
        self._engine, self._is_own = _own_engine(source, name)
        self._file = _file_of(self._engine)
        if self._file is not None:
            _follow(self._engine, self._file)
        self._queries = dict(sections)
        self._statements = {each: query.statement() for each, query in sections.items()}
        self._id_as = id_as
        self.max_batch = max_batch
        self._engines: PerProcess[Engine] = PerProcess(lambda: self._engine, self._leave)
        self._bounded = Bounded(name, _THREADS)

    def _leave(self, engine: Engine) -> None:
        # Without closing: the connections are the parent's.
        if self._is_own:
            engine.dispose(close=False)

    def fetch(self, request: LookupRequest) -> Results:
        """
        Ask the database. Blocks until the deadline at most.

        Raises:
            ProviderError: it cannot be asked.
        """
        wanted = sorted(self._asked(request))
        left(request, self.name)
        results, told = sifted(request, wanted, self._id_as)
        values = {value: identifier for identifier, value in told.items()}
        if not values or not wanted:
            return results
        engine = self._engines.get()
        found = self._bounded.run(
            lambda leash: self._read(engine, leash, request, wanted, list(values)),
            request.deadline,
        )
        for section, by_value in found.items():
            for value, said in by_value.items():
                if value in values and said is not None:
                    results[values[value]][section] = said
        return results

    # ---- on the thread that may be given up

    def _read(
        self,
        engine: Engine,
        leash: Leash,
        request: LookupRequest,
        wanted: list[str],
        ids: list[Any],
    ) -> dict[str, dict[Any, Any]]:
        from sqlalchemy.exc import SQLAlchemyError

        found: dict[str, dict[Any, Any]] = {}
        if self._file is not None and _identity(self._file) is None:
            # SQLite would make an empty one in its place.
            raise ProviderError(ErrorCode.CONNECTION, f"{self.name}: no such file")
        try:
            with engine.connect() as connection:
                leash.hold(connection.connection.dbapi_connection)
                try:
                    self._begin(connection, left(request, self.name))
                    for section in wanted:
                        found[section] = self._section(connection, section, request, ids)
                finally:
                    leash.let_go()
                    self._end(connection)
        except (SQLAlchemyError, OSError) as error:
            raise self._trouble(error) from None
        return found

    def _begin(self, connection: Connection, seconds: float) -> None:
        kind = connection.dialect.name
        limit = max(1, int(seconds * 1000))
        if kind == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit}")
        elif kind == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {limit}")

    def _end(self, connection: Connection) -> None:
        if connection.dialect.name == "sqlite" and not connection.invalidated:
            connection.exec_driver_sql("PRAGMA query_only = OFF")

    def _section(
        self, connection: Connection, section: str, request: LookupRequest, ids: list[Any]
    ) -> dict[Any, Any]:
        query = self._queries[section]
        most = min(query.limit, request.limits.get(section, query.limit))
        told: dict[str, Any] = {"limit": most + 1} if "limit" in query.names else {}
        found: dict[Any, list[dict[str, Any]]] = {}
        if "ids" in query.names:
            result = connection.execute(self._statements[section], {**told, "ids": ids})
            rows = result.mappings().fetchmany(_MOST_ROWS + 1)
            result.close()
            if len(rows) > _MOST_ROWS:
                words = f"{self.name}: {section}: more than {_MOST_ROWS} rows"
                return dict.fromkeys(ids, Failed(ErrorCode.GENERAL, words))
            for row in rows:
                record = dict(row)
                if query.key not in record:
                    words = f"{self.name}: {section}: no column {query.key}"
                    return dict.fromkeys(ids, Failed(ErrorCode.PARSE_ERROR, words))
                found.setdefault(record.pop(query.key), []).append(record)
        else:
            for each in ids:
                result = connection.execute(self._statements[section], {**told, "id": each})
                found[each] = [dict(row) for row in result.mappings().fetchmany(most + 1)]
                result.close()
        return {each: self._said(section, rows, most) for each, rows in found.items()}

    def _said(self, section: str, rows: list[dict[str, Any]], most: int) -> Any:
        query = self._queries[section]
        moments = [moment(row.pop(query.as_of, None)) for row in rows] if query.as_of else []
        as_of = max((each for each in moments if each is not None), default=None)
        try:
            items = [plain(nest(row)) for row in rows[:most]]
        except (TypeError, ValueError, AttributeError):
            return Failed(ErrorCode.PARSE_ERROR, f"{self.name}: {section}: no plain data")
        if query.is_many(section):
            return Found(items, as_of, None, len(rows) > most) if items else None
        if len(rows) > 1:
            return Failed(ErrorCode.PARSE_ERROR, f"{self.name}: {section}: more than one row")
        return Found(items[0], as_of) if items else None

    def _trouble(self, error: Exception) -> ProviderError:
        # Words of a database quote what it was asked, ids included: only codes are told.
        code, words = code_of(error, getattr(error, "orig", None) or error)
        return ProviderError(code, f"{self.name}: {words}")

    def close(self) -> None:
        """
        Close the connections. Idempotent.
        """
        super().close()
        engine = self._engines.take()
        if engine is not None and self._is_own:
            engine.dispose()


def code_of(error: BaseException, driver: BaseException) -> tuple[ErrorCode, str]:
    """
    Return what an error of a database means, and its names.

    Args:
        driver: the error below it.
    """
    state = str(getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None) or "")
    number = getattr(driver, "sqlite_errorcode", None)
    if number is not None:
        state = getattr(driver, "sqlite_errorname", "")
        code = _SQLITE.get(number & 0xFF, ErrorCode.GENERAL)
    else:
        code = _meaning(error, driver, state)
    return code, f"{called(driver)} {state}".strip()


def _meaning(error: BaseException, driver: BaseException, state: str) -> ErrorCode:
    if state in _TIME_STATES or isinstance(driver, TimeoutError):
        return ErrorCode.DEADLINE_EXCEEDED
    if state.startswith("28") or state == "42501":
        return ErrorCode.AUTH
    if called(error) in {"OperationalError", "InterfaceError"} or isinstance(error, OSError):
        return ErrorCode.CONNECTION
    return ErrorCode.GENERAL


def _own_engine(source: Any, name: str) -> tuple[Engine, bool]:
    """
    Return an engine, and whether its pool is the provider's own.

    Raises:
        ConfigurationError: *source* is none, nor a URL, or its driver is not installed.
    """
    import sqlalchemy as sa
    from sqlalchemy.engine import Engine

    if not isinstance(source, (str, sa.URL)):
        # An AsyncEngine is no Engine.
        engine = getattr(source, "sync_engine", source)
    else:
        engine = _engine_of(source, name)
    if not isinstance(engine, Engine):
        kind = type(source).__name__
        raise ConfigurationError(f"{name}: expected an engine or a URL, got {kind}")
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"{name}: expected an engine that is not asynchronous; for one that is, give a"
            " CallableProvider an async function"
        )
    if engine is not source:
        return engine, True
    if engine.dialect.name == "sqlite" and engine.url.database in {None, "", ":memory:"}:
        return engine, False
    # Of the same making, with a pool of its own.
    return Engine(engine.pool.recreate(), engine.dialect, engine.url), True


def _file_of(engine: Engine) -> str | None:
    """
    Return the path of an SQLite database, None for one in memory, behind a URI or of another kind.
    """
    path = engine.url.database
    is_file = engine.dialect.name == "sqlite" and path not in {None, "", ":memory:"}
    return path if is_file and path is not None and not path.startswith("file:") else None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _follow(engine: Engine, path: str) -> None:
    """
    Have connections given up whose file was removed or replaced: they go on reading the old one,
    and who is new would be nobody.
    """
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError

    def connected(_: Any, record: Any) -> None:
        record.info["cxsdk_file"] = _identity(path)

    def taken(_: Any, record: Any, __: Any) -> None:
        if record.info.get("cxsdk_file") != _identity(path):
            raise DisconnectionError

    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", taken)


def _engine_of(url: Any, name: str) -> Engine:
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    try:
        read = sa.make_url(url)
        # Of libpq; without it a thread may wait for a dead host for minutes.
        is_libpq = read.get_driver_name() in {"psycopg", "psycopg2"}
        if is_libpq and "connect_timeout" not in read.query:
            read = read.update_query_dict({"connect_timeout": _CONNECT_S})
        return sa.create_engine(read, pool_pre_ping=False)
    except SQLAlchemyError:
        raise ConfigurationError(f"{name}: expected the URL of a database") from None
    except ImportError as error:
        raise ConfigurationError(f"{name}: a driver is missing: {error.name}") from None
