"""
Any JSON over HTTP as a provider: a CRM, a shop, a ticket system.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import SplitResult, quote, urlunsplit

import attrs

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import (
    UNCHANGED,
    ErrorCode,
    Failed,
    Found,
    LookupRequest,
    Results,
    Subject,
)
from cxsdk.lookup.providers._base import INVALID, Provider, is_sound, moment, nest, plain, walk
from cxsdk.lookup.providers._http import HttpCaller, checked_place
from cxsdk.sinks._verdict import Answer

__all__ = ["HttpBatch", "HttpProvider", "Part"]

Part: TypeAlias = str | Mapping[str, str] | tuple[str, Mapping[str, str]] | Callable[[Any], Any]
"""
Where a section stands in a document: a dotted path; a field map, names of the section → dotted
paths; both, a path and the field map of what is there (of each item, where that is a list); or a
function of the document.
"""

_HOLE = "{id}"
_HEADER = re.compile(r"[\x20-\x7e]{1,512}\Z")
_MOST_URL = 8000


@attrs.define(frozen=True)
class HttpBatch:
    """
    How a source is asked about many customers in one POST of JSON.

    Raises:
        ConfigurationError: the URL is wrong.
    """

    url: str

    ids: str | Callable[[list[str]], Any] = "ids"
    """The name under which the body lists the ids, or a function that makes the body of them."""

    items: str | Callable[[Any], Mapping[str, Any]] = ""
    """Dotted path to a list of documents, or to a mapping from id to document; or a function that
    returns such a mapping."""

    id: str = "id"
    """Dotted path to the id in each document of a list."""

    max: int = attrs.field(default=50, validator=attrs.validators.ge(1))

    def __attrs_post_init__(self) -> None:
        checked_place(self.url, "batch.url")

    def body(self, ids: list[str]) -> Any:
        """
        Return what to post.
        """
        return {self.ids: ids} if isinstance(self.ids, str) else self.ids(ids)

    def documents(self, answer: Any) -> Mapping[str, Any]:
        """
        Return id → document.

        Raises:
            TypeError: there is neither a list nor a mapping.
        """
        found = walk(answer, self.items) if isinstance(self.items, str) else self.items(answer)
        if isinstance(found, Mapping):
            return found
        if not isinstance(found, list):
            raise TypeError("expected a list or an object of documents")
        return {str(walk(item, self.id)): item for item in found}


@attrs.define(slots=False, eq=False, repr=False)
class HttpProvider(Provider):
    """
    Gets a JSON document of each customer and finds the sections in it. Safe from any thread; a
    forked child has connections of its own. Blocks until the request's deadline at most.

    404 and 410 mean that there is nothing. What else is not 200 is an error: 401 and 403 ``auth``,
    429 ``rate_limited``, with what ``Retry-After`` says. Redirects are not followed, nothing is
    tried twice, certificates are always checked, and environment variables are not looked at.
    Requests are in no trace and no log of the host.

    Where the source sends an ``ETag`` or ``Last-Modified``, it is asked the next time whether its
    answer is still the same (304), which saves it from sending it again.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    url: str | Mapping[str, str] | None
    """Where ``{id}`` stands for the id, percent-encoded, in path or query. With several spaces a
    mapping from space to such a URL. None where only *batch* is asked. ``user:password@`` becomes
    basic authentication and is shown nowhere."""

    name: str = attrs.field(kw_only=True)
    """A token, unique among the providers of a client."""

    parts: Mapping[str, Part] = attrs.field(kw_only=True, alias="sections")
    """Section → where it stands in the document; see `Part`. What is absent there, or null, is
    absent from the section."""

    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    """Further request headers. Their values are treated as secrets."""

    api_key: str | None = attrs.field(default=None, kw_only=True)
    """Sent as ``Authorization: Bearer …``."""

    auth: tuple[str, str] | None = attrs.field(default=None, kw_only=True)
    """User and password, sent as basic authentication."""

    takes: str = attrs.field(default="raw", kw_only=True)
    """``raw`` for the host's own ids, ``wire`` for ids as events carry them."""

    batch: HttpBatch | None = attrs.field(default=None, kw_only=True)
    """How to ask about several customers at once; of the space ``id``."""

    as_of: str = attrs.field(default="", kw_only=True)
    """Dotted path to when the source last knew the document to be true; empty: now."""

    visibility_lag: float = attrs.field(default=0.0, kw_only=True)
    """Seconds until an event shows in the answers."""

    ca: Path | str | None = attrs.field(default=None, kw_only=True)
    """A file of PEM certificates to trust instead of certifi's."""

    proxy: str | None = attrs.field(default=None, kw_only=True)
    """URL of an HTTP proxy."""

    connect_timeout: float = attrs.field(default=3.0, kw_only=True)
    """Seconds for name lookup, connect and TLS handshake together, where the deadline is later."""

    max_bytes: int = attrs.field(default=2 * 1024 * 1024, kw_only=True)
    """Of an answer; a longer one is an error."""

    def __attrs_post_init__(self) -> None:
        urls = self.url if isinstance(self.url, Mapping) else {"id": self.url}
        if self.url is None and self.batch is None:
            raise ConfigurationError(f"{self.name}.url: expected a URL with {{id}}, or a batch")
        self._settle(self.name, self.parts, self.takes, tuple(urls), self.visibility_lag)
        self._urls = {
            space: _template(url, f"{self.name}.url") for space, url in urls.items() if url
        }
        self._parts = {name: _part(part, self.name, name) for name, part in self.parts.items()}
        self.max_batch = self.batch.max if self.batch is not None else 1
        users = [parts for parts in self._urls.values() if parts.username is not None]
        if len({(parts.username, parts.password) for parts in users}) > 1:
            raise ConfigurationError(f"{self.name}.url: expected one user")
        self._caller = HttpCaller(
            self.name,
            headers=self.headers,
            api_key=self.api_key,
            auth=self.auth,
            user=users[0] if users else None,
            ca=self.ca,
            proxy=self.proxy,
            connect_timeout=self.connect_timeout,
            max_bytes=self.max_bytes,
        )

    __repr__ = Provider.__repr__

    def fetch(self, request: LookupRequest) -> Results:
        """
        Ask the source. Blocks until the deadline at most.

        Raises:
            ProviderError: it does not answer, or not as expected.
        """
        wanted = self._asked(request)
        if self.batch is not None and (len(request.subjects) > 1 or not self._urls):
            return self._fetch_many(self.batch, request, wanted)
        return {
            subject.id: self._fetch_one(subject, request, wanted)
            for subject in request.subjects
            if subject.space in self._urls
        }

    def close(self) -> None:
        """
        Close connections, ending requests of other threads. Idempotent.
        """
        super().close()
        self._caller.close()

    # ---- one

    def _fetch_one(
        self, subject: Subject, request: LookupRequest, wanted: frozenset[str]
    ) -> Mapping[str, Any]:
        url = _filled(self._urls[subject.space], subject.id)
        if url is None:
            return dict.fromkeys(wanted, INVALID)
        asked = _conditions(subject, request, wanted)
        answer = self._caller.ask("GET", url, request.deadline, headers=asked)
        if answer.status == 304 and asked:
            return dict.fromkeys(wanted, UNCHANGED)
        if answer.status in {204, 404, 410}:
            return {}
        return self._found(self._caller.document(answer), wanted, _version(answer))

    def _found(
        self, document: Any, wanted: frozenset[str], version: str | None = None
    ) -> dict[str, Any]:
        """
        Return the sections of a document.
        """
        found: dict[str, Any] = {}
        for section in wanted:
            try:
                value = self._parts[section](document)
                if isinstance(value, (Found, Failed)):
                    found[section] = value
                elif value is not None:
                    as_of = moment(walk(document, self.as_of)) if self.as_of else None
                    found[section] = Found(plain(value), as_of, version)
            except Exception:  # noqa: BLE001 - a document of another form, or a team's function
                words = f"{self.name}: {section} is not where it was expected"
                found[section] = Failed(ErrorCode.PARSE_ERROR, words)
        return found

    # ---- many

    def _fetch_many(
        self, batch: HttpBatch, request: LookupRequest, wanted: frozenset[str]
    ) -> Results:
        mine = [each.id for each in request.subjects if each.space == "id"]
        sound = [each for each in mine if is_sound(each)]
        results: dict[str, Mapping[str, Any]] = {
            each: dict.fromkeys(wanted, INVALID) for each in mine if each not in sound
        }
        if not sound:
            return results
        answer = self._caller.ask("POST", batch.url, request.deadline, body=batch.body(sound))
        if answer.status == 204:
            return results
        document = self._caller.document(answer)
        try:
            documents = batch.documents(document)
        except Exception:  # noqa: BLE001 - a document of another form, or a team's function
            raise ProviderError(
                ErrorCode.PARSE_ERROR, f"{self.name}: the answer holds no documents by id"
            ) from None
        for each in sound:
            if documents.get(each) is not None:
                results[each] = self._found(documents[each], wanted)
        return results


# ---- addresses -------------------------------------------------------------------------------


def _template(url: str, field: str) -> SplitResult:
    if not isinstance(url, str) or _HOLE not in url:
        raise ConfigurationError(f"{field}: expected {_HOLE} where the id belongs")
    parts = checked_place(url, field)
    if _HOLE in parts.netloc or not (_HOLE in parts.path or _HOLE in parts.query):
        raise ConfigurationError(f"{field}: expected {_HOLE} in the path or the query")
    return parts


def _filled(parts: SplitResult, identifier: str) -> str | None:
    """
    Return the URL of an id; None for one that would not stay where it was put.
    """
    if not is_sound(identifier):
        return None
    told = quote(identifier, safe="")
    path = parts.path.replace(_HOLE, told)
    # Dots mean something to servers, encoded or not: "/customers/.." is not a customer.
    if any(step in {".", ".."} for step in path.split("/")) or len(path) > _MOST_URL:
        return None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, path, parts.query.replace(_HOLE, told), ""))


# ---- versions --------------------------------------------------------------------------------


def _version(answer: Answer) -> str | None:
    found = answer.header("etag") or answer.header("last-modified")
    return found if _HEADER.match(found) else None


def _conditions(subject: Subject, request: LookupRequest, wanted: frozenset[str]) -> dict[str, str]:
    """
    Return the header that asks for changes only; none unless all sections are of one version.
    """
    known = {request.versions.get((subject.id, section)) for section in wanted}
    version = known.pop() if len(known) == 1 else None
    if version is None or not _HEADER.match(version):
        return {}
    is_tag = version.startswith(('"', 'W/"'))
    return {"If-None-Match" if is_tag else "If-Modified-Since": version}


# ---- parts -----------------------------------------------------------------------------------


def _part(part: Any, name: str, section: str) -> Callable[[Any], Any]:
    if callable(part):
        return part  # type: ignore[no-any-return]
    path, fields = part if isinstance(part, tuple) and len(part) == 2 else ("", part)
    if isinstance(part, str):
        path, fields = part, {}
    if not isinstance(path, str) or not isinstance(fields, Mapping):
        raise ConfigurationError(
            f"{name}.sections[{section!r}]: expected a path, a field map, (path, field map) or a"
            " function"
        )
    return lambda document: _mapped(walk(document, path), fields)


def _mapped(value: Any, fields: Mapping[str, str]) -> Any:
    if value is None or not fields:
        return value
    if isinstance(value, list):
        return [_mapped(item, fields) for item in value]
    if not isinstance(value, Mapping):
        raise TypeError("expected an object")
    return nest({field: walk(value, path) for field, path in fields.items()})
