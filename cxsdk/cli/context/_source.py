"""
Where the answers come from: a running collector over HTTP, or the file of one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from cxsdk.errors import ConfigurationError, StoreUnavailableError

__all__ = ["Source", "add_source", "everything", "opened"]

_TIMEOUT_S = 60.0
_BATCH = 500
_PAGE = 1000


class Source(Protocol):
    """
    Answers questions, and takes events.
    """

    def ask(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        """
        Return the answer to the question *name*.
        """

    def csv(self, query: Mapping[str, str]) -> str:
        """
        Return everyone who was affected as CSV.
        """

    def post(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Keep events; return ``accepted``, ``duplicate`` and ``rejected``.
        """


def add_source(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments that say whom to ask.
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--collector", metavar="URL", help="a running collector ($CXSDK_COLLECTOR)")
    where.add_argument("--file", type=Path, metavar="DB", help="the SQLite file of a collector")
    parser.add_argument("--key", metavar="KEY", help="of the collector ($CXSDK_API_KEY)")
    parser.add_argument("--json", action="store_true", help="for machines")


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Source]:
    """
    Lend what the arguments name.

    Raises:
        ConfigurationError: nothing is named, or it is no collector's.
        ExtraMissingError: a file needs the extra ``collector``.
        StoreUnavailableError: it does not answer.
    """
    if options.file is not None:
        with _in_file(options.file) as source:
            yield source
        return
    url = options.collector or os.environ.get("CXSDK_COLLECTOR", "")
    try:
        is_url = urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise ConfigurationError(
            "say whom to ask: --collector http://127.0.0.1:4180 or --file collector.db"
        )
    with _over_http(url, options.key or os.environ.get("CXSDK_API_KEY")) as source:
        yield source


def everything(source: Source, name: str, query: Mapping[str, str], rows: str) -> dict[str, Any]:
    """
    Return the answer with all its *rows*, page after page; the counts are those of the first.
    """
    found = source.ask(name, {**query, "limit": str(_PAGE)})
    cursor = found["next"]
    while cursor:
        more = source.ask(name, {**query, "limit": str(_PAGE), "cursor": cursor})
        found[rows] += more[rows]
        cursor = more["next"]
    found["next"] = None
    return found


# ---- a running collector ------------------------------------------------------------------


@contextmanager
def _over_http(url: str, key: str | None) -> Iterator[Source]:
    import httpx

    parts = urlsplit(url)
    login = (parts.username or "", parts.password or "") if "@" in parts.netloc else None
    headers = {"authorization": f"Bearer {key}"} if key and not login else {}
    # Whoever sends events names their path; the questions stand beside it.
    base = url.rstrip("/").removesuffix("/events")
    client = httpx.Client(
        base_url=base, timeout=_TIMEOUT_S, trust_env=False, auth=login, headers=headers
    )
    with client:
        yield _Http(client)


class _Http:
    def __init__(self, client: Any) -> None:
        self._client = client

    def ask(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = self._said(self._send("GET", f"/{name}.json", params=dict(query)))
        return found

    def csv(self, query: Mapping[str, str]) -> str:
        text: str = self._send("GET", "/affected.csv", params=dict(query)).text
        return text

    def post(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        total: dict[str, Any] = {"accepted": 0, "duplicate": 0, "rejected": []}
        for start in range(0, len(events), _BATCH):
            answer = self._said(
                self._send("POST", "/events", json=list(events[start : start + _BATCH]))
            )
            total["accepted"] += answer["accepted"]
            total["duplicate"] += answer["duplicate"]
            total["rejected"] += answer["rejected"]
        return total

    def _send(self, method: str, path: str, **more: Any) -> Any:
        import httpx

        try:
            response = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise StoreUnavailableError(
                f"the collector does not answer: {type(error).__name__}; start it (cxsdk collector)"
            ) from None
        if response.status_code in {401, 403}:
            raise ConfigurationError("the collector refuses: give it its key, --key")
        if response.status_code == 400:
            raise ConfigurationError(str(self._said(response).get("error", "asked wrongly")))
        if response.status_code != 200:
            raise StoreUnavailableError(
                f"the collector answers {response.status_code} to {path}; is it one of this version?"
            )
        return response

    @staticmethod
    def _said(response: Any) -> dict[str, Any]:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise StoreUnavailableError("what answers there is no collector")
        return found


# ---- the file of one ----------------------------------------------------------------------


@contextmanager
def _in_file(path: Path) -> Iterator[Source]:
    if not path.is_file():
        raise ConfigurationError(f"--file: {path} is not there")
    # As the collector does: it needs its own extra to open its file.
    from cxsdk.collector import Store

    with contextlib.closing(Store(path)) as store:
        yield _File(store)


class _File:
    def __init__(self, store: Any) -> None:
        self._store = store

    def ask(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        from cxsdk.collector.queries import QueryError
        from cxsdk.collector.questions.routes import answer

        try:
            return answer(self._store, name, query)
        except QueryError as error:
            raise ConfigurationError(str(error)) from None

    def csv(self, query: Mapping[str, str]) -> str:
        from cxsdk.collector.questions.affected import as_csv

        return as_csv(everything(self, "affected", query, "customers"))

    def post(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        from cxsdk.collector import Limits
        from cxsdk.collector.row import Refusal, judge

        found = [judge(json.dumps(one).encode(), Limits(), strict=False) for one in events]
        bad = [one for one in found if isinstance(one, Refusal)]
        done = self._store.add([one for one in found if not isinstance(one, Refusal)], bad)
        rejected = [{"id": one.id, "reason": one.reason} for one in bad]
        return {"accepted": done.accepted, "duplicate": done.duplicate, "rejected": rejected}
