"""
What an HTTP answer means for a batch: status, headers and body in, `SendResult` out.

Pure, so that the whole table of ``delivery.md`` is tested row by row. Rows that need a second
request (401 with a refresh hook, 406/415, 421) are tried by the sink before it asks here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import msgspec

from cxsdk.typing import Delivered, Hold, Partial, Record, Refused, Retry, SendResult, Split

__all__ = ["RETRY_AFTER_CAP", "Answer", "clean", "ids_of", "retry_after", "verdict"]

RETRY_AFTER_CAP = 900.0
"""Seconds: no destination parks us for longer."""

_TRANSIENT = frozenset({408, 425, 500, 502, 503, 504, 507, 509, *range(520, 531)})
_THROTTLED = frozenset({402, 429})
_AUTH = frozenset({401, 403, 407})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
_DETAIL_CHARS = 512
_EXCERPT = 4 * _DETAIL_CHARS


@attrs.define(frozen=True)
class Answer:
    """
    One HTTP response, as far as it was read.
    """

    status: int

    headers: Sequence[tuple[str, str]] = ()
    """Names in lower case."""

    body: bytes = b""
    """Empty if it was too large or encoded, although nobody asked for that."""

    def header(self, name: str) -> str:
        """
        Return the first value of *name*, or an empty text.
        """
        return next((value for key, value in self.headers if key == name), "")


class _Identified(msgspec.Struct):
    id: str = ""


_identified = msgspec.json.Decoder(_Identified)


def ids_of(records: Sequence[Record]) -> dict[str, int]:
    """
    Return the index of each event id; an event that cannot be read is left out.
    """
    found: dict[str, int] = {}
    for index, record in enumerate(records):
        try:
            found[_identified.decode(record.payload).id] = index
        except msgspec.DecodeError:
            continue
    return found


def clean(text: Any, hide: Callable[[str], str] = str) -> str:
    """
    Return the server's words fit for a log line: one line, at most 512 characters, without
    control characters, with secrets hidden by *hide*.
    """
    return _CONTROL.sub(" ", hide(str(text)))[:_DETAIL_CHARS].strip()


def retry_after(answer: Answer, now: float, cap: float = RETRY_AFTER_CAP) -> float | None:
    """
    Return the seconds that ``Retry-After`` asks for, 0 to *cap*; None if it asks for nothing.

    A date is taken against the response's own ``Date`` (RFC 9110 §10.2.3), so that a wrong clock
    on this side does not matter; against *now* (seconds since 1970) where there is none. Of
    several headers the longest wait counts.
    """
    sent = _moment(answer.header("date"))
    base = now if sent is None else sent
    waits = [
        wait
        for key, value in answer.headers
        if key == "retry-after" and (wait := _wait(value.strip(), base)) is not None
    ]
    return min(max(waits), cap) if waits else None


def _wait(value: str, base: float) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        moment = _moment(value)
        return None if moment is None else max(0.0, moment - base)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _moment(value: str) -> float | None:
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def verdict(
    answer: Answer,
    records: Sequence[Record],
    *,
    conflict: str = "delivered",
    now: Callable[[], float] = lambda: datetime.now(UTC).timestamp(),
    hide: Callable[[str], str] = str,
    unnamed: str = "find",
) -> SendResult:
    """
    Say what *answer* means for *records*.

    Args:
        answer: the response.

        records: what was sent, in the order of the request.

        conflict: what a 409 means: ``delivered`` (it has them already) or ``retry``.

        now: seconds since 1970, for a ``Retry-After`` date without a ``Date``.

        hide: takes secrets out of the server's words.

        unnamed: what to do when some are rejected and only their number is told: ``find`` them by
            sending halves, or ``count`` them.
    """
    status = answer.status
    if 200 <= status < 300:
        return _success(answer, records, hide, unnamed)
    if status == 409 and conflict != "retry":
        return Delivered()
    if status in _TRANSIENT or status in _THROTTLED or status == 409:
        after = retry_after(answer, now())
        return Retry(f"http {status}", after=after, throttled=status in _THROTTLED)
    return _lasting(status, clean(answer.body[:_EXCERPT].decode("utf-8", "replace"), hide))


def _lasting(status: int, words: str) -> SendResult:
    """
    Read a status that time alone does not change.
    """
    if status == 413:
        return Split("http 413")
    if status in {400, 422}:
        return Refused(f"http {status}", words)
    if status in _AUTH:
        return Hold(f"http {status}: {words}"[:200], probe_after=60.0, backoff_to=RETRY_AFTER_CAP)
    return Hold(f"http {status}: {words}"[:200].rstrip(" :"))


def _success(
    answer: Answer, records: Sequence[Record], hide: Callable[[str], str], unnamed: str
) -> SendResult:
    kind = answer.header("content-type").lower()
    start = answer.body[:256].lstrip().lower()
    if "html" in kind or start.startswith((b"<!doctype", b"<html")):
        return Hold(f"http {answer.status}: an HTML page; is this the collector's URL?")
    said = _decoded(answer.body)
    if answer.status == 207:
        found = _per_event(said, records, hide)
        if found is None:
            found = _rejected(said, records, hide, unnamed)
        return found or Hold("http 207: an answer per event was promised, none could be read")
    return _rejected(said, records, hide, unnamed) or Delivered()


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _rejected(
    said: Any, records: Sequence[Record], hide: Callable[[str], str], unnamed: str
) -> SendResult | None:
    """
    Read ``{accepted, duplicate, rejected: [{id, reason}]}`` and OTLP's ``partial_success``.
    """
    if not isinstance(said, Mapping):
        return None
    inner = said.get("partial_success") or said.get("partialSuccess")
    if isinstance(inner, Mapping):
        named = _rejected(inner, records, hide, unnamed)
        return named or _count_only(inner, records, hide, unnamed)
    listed = said.get("rejected")
    if not isinstance(listed, list):
        return None
    places = ids_of(records) if listed else {}
    refused: dict[int, str] = {}
    for item in listed:
        index = _place(item, places, len(records))
        if index is not None:
            refused[index] = _reason(item, hide)
    if refused or not listed:
        return Partial(refused=refused) if refused else Delivered()
    # Some were rejected under names that nobody here knows: delivery finds out which.
    if len(records) == 1:
        return Partial(refused={0: _reason(listed[0], hide)})
    return Refused("rejected", _reason(listed[0], hide))


def _count_only(
    said: Mapping[str, Any], records: Sequence[Record], hide: Callable[[str], str], unnamed: str
) -> SendResult | None:
    """
    Some were rejected and only their number is told: all, or delivery must find out which, or
    (OTLP, which forbids to send a request again) only count them.
    """
    counts = [_number(value) for key, value in said.items() if "reject" in str(key).lower()]
    rejected = max(counts, default=0)
    if rejected <= 0:
        return None
    words = clean(said.get("error_message") or said.get("errorMessage") or "rejected", hide)
    if rejected >= len(records):
        return Partial(refused=dict.fromkeys(range(len(records)), words))
    if unnamed == "count":
        return Partial(unnamed=rejected, words=words)
    return Refused("partial_success", words)


def _per_event(
    said: Any, records: Sequence[Record], hide: Callable[[str], str]
) -> SendResult | None:
    """
    Read a list of ``{id | index, status, reason}``; an event that is not named is sent again.
    """
    listed = said
    if isinstance(said, Mapping):
        listed = next((said[key] for key in ("results", "items", "events") if key in said), None)
    if not isinstance(listed, list) or not listed:
        return None
    places = ids_of(records)
    refused: dict[int, str] = {}
    retry = set(range(len(records)))
    named = False
    for position, item in enumerate(listed):
        whole = len(listed) == len(records)
        index = _place(item, places, len(records), position if whole else None)
        status = _number(item.get("status")) if isinstance(item, Mapping) else 0
        if index is None or status < 100:
            continue
        named = True
        if 200 <= status < 300 or status == 409:
            retry.discard(index)
        elif 400 <= status < 500 and status not in {401, 402, 403, 407, 408, 425, 429}:
            retry.discard(index)
            refused[index] = _reason(item, hide) or f"http {status}"
    return Partial(refused=refused, retry=frozenset(retry)) if named else None


def _place(
    item: Any, places: Mapping[str, int], size: int, otherwise: int | None = None
) -> int | None:
    if isinstance(item, str):
        return places.get(item, otherwise)
    if not isinstance(item, Mapping):
        return None
    name, index = item.get("id"), item.get("index")
    if isinstance(name, str):
        return places.get(name)
    if isinstance(index, int) and not isinstance(index, bool):
        return index if 0 <= index < size else None
    return otherwise


def _reason(item: Any, hide: Callable[[str], str]) -> str:
    if not isinstance(item, Mapping):
        return "rejected"
    for key in ("reason", "error", "message", "detail"):
        value = item.get(key)
        if isinstance(value, Mapping):
            value = value.get("message") or value.get("detail")
        if value:
            return clean(value, hide)
    return "rejected"


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
