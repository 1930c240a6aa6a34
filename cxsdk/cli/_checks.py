"""
What ``cxsdk doctor`` looks at: one generator of findings per matter.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs

from cxsdk._version import __version__
from cxsdk.cli import _screen
from cxsdk.config import SETTINGS, SWITCHES, Settings
from cxsdk.errors import CXError
from cxsdk.spool import directory, inspect

__all__ = [
    "DECISIONS",
    "REASONS",
    "Finding",
    "collector",
    "deliveries",
    "leftovers",
    "setup",
    "spool_place",
    "switches",
    "variables",
    "versions",
    "without_credentials",
]

_PACKAGES = ("attrs", "msgspec", "httpx", "tenacity", "opentelemetry-api", "platformdirs")
_EXTRAS = {
    "collector": ("starlette", "uvicorn", "jinja2"),
    "cli": ("rich",),
    "demo": ("flask",),
    "kafka": ("confluent-kafka",),
    "nats": ("nats-py",),
    "sql": ("sqlalchemy",),
    "flask": ("flask",),
    "django": ("django",),
    "starlette": ("starlette",),
    "fastapi": ("fastapi",),
    "celery": ("celery",),
    "requests": ("requests",),
    "prompts": ("itsdangerous", "jinja2"),
    "postgres": ("psycopg",),
    "redis": ("redis",),
    "openfeature": ("openfeature-sdk",),
    "presidio": ("presidio-analyzer",),
}
_SKEW_S = 5.0
_OWN_VARIABLES = frozenset(row.env for row in (*SETTINGS, *SWITCHES))

REASONS: dict[str, str] = {
    "not_initialised": "the verb ran before cx.init in this process; call init where it starts",
    "no_collector": "no collector= in init and no CXSDK_COLLECTOR: nothing is kept",
    "no_customer": "nobody to address: customer= on the call, or cx.scope(customer=… or session=…)",
    "consent": "the customer's consent does not allow it; see privacy.consent and cx.scope(consent=…)",
    "sampled": "CXSDK_INTERACTION_SAMPLE or capture.sample keeps only a share of interactions",
    "invalid": "a fact does not fit the standard; the log names the field, strict=True raises it",
    "customer_is_address": "no key is set and the id looks like an address or a number; set CXSDK_KEY",
    "encode": "an attribute that JSON cannot carry; use plain values",
    "too_large": "larger than capture.max_event_bytes also after shortening; keep attributes small",
    "processor": "a processor of the team's own returned None, or failed (fail closed)",
    "spool_full": "neither disk nor memory had room; look at free space and at the collector",
    "rolled_back": "the host's transaction was rolled back: it was never said; immediate=True does not wait",
    "outbox": "the host's database did not take the row; most often the table is missing",
    "disabled": "CXSDK_DISABLED, or the spool mode is off",
    "closed": "the verb ran after cx.close()",
    "internal": "a mistake of ours; the log has it, please report it",
}
"""Reason of a `Dropped` → what it means and what to do."""


DECISIONS: dict[str, tuple[str, str]] = {
    "throttled": (
        "was told to slow down (429 or 402)",
        "raise the destination's limit, or set delivery.max_events_per_second below it",
    ),
    "budget_empty": (
        "a retry waited longer, for the retry budget was empty",
        "nothing: it spares a destination that is not well",
    ),
    "breaker_opened": (
        "failed so often that only single batches probed for a while",
        "nothing, if it was an outage; else look at last_error in cx.stats()",
    ),
    "splits": (
        "a batch was too large (413) and went in halves; the size that works is remembered",
        "raise the destination's body limit, or lower delivery.max_batch_bytes",
    ),
    "bisections": (
        "a batch was refused (400, 422) and halved to find the events at fault",
        "cxsdk spool export --dead shows what was found, with the destination's words",
    ),
    "buried": (
        "an event was refused for good",
        "repair what the words say, then cxsdk spool requeue",
    ),
    "rejected_unnamed": (
        "an event was rejected by number only, and cannot be named",
        "look at the destination's own log",
    ),
    "holds": (
        "delivery stopped until somebody repairs something",
        "if it goes on now, nothing; the log has the reasons",
    ),
    "sink_errors": (
        "the sink raised or returned what is no result",
        "correct the sink: an exception costs a retry",
    ),
}
"""What delivery decided, by its name in ``stats()`` → what it means, and what to do."""

_REPAIRS = {
    "http 401": "give it its key: api_key= in init, or CXSDK_API_KEY",
    "http 403": "give it a key that may write: api_key= in init, or CXSDK_API_KEY",
    "http 407": "give the proxy its credentials",
    "http 404": "nobody takes events at that path: correct the URL",
    "http 405": "nobody takes events at that path: correct the URL",
    "http 3": "it redirects, and events follow no redirect: use the URL that it points to",
    "tls": "repair the certificate, or name its authority with ca=; it is never left unchecked",
    "refuses too much": "a deploy on either side broke the contract: compare the versions, read its words;"
    " delivery goes on by itself once a probe is taken",
}
"""Beginning of a hold's reason → what to do."""


@attrs.define(frozen=True)
class Finding:
    """
    One thing that was looked at.
    """

    level: Literal["ok", "note", "problem"]
    subject: str
    words: str
    todo: str = ""
    """What to do about it."""


# ---- settings -----------------------------------------------------------------------------


def variables(warnings: Sequence[str], environ: Mapping[str, str]) -> Iterator[Finding]:
    """
    Look for variables that are ignored: wrong values and unknown names.
    """
    for warning in warnings:
        yield Finding("problem", "setting", warning, "correct the variable, or unset it")
    for name in sorted(environ):
        if name.startswith("CXSDK_") and name not in _OWN_VARIABLES:
            yield Finding("problem", "setting", f"{name} is not known, so it does nothing",
                          "look for a typo; the variables are listed above")  # fmt: skip


def setup(settings: Settings) -> Iterator[Finding]:
    """
    Look at what a team usually decides and may have forgotten.
    """
    if settings.privacy.key is None:
        yield Finding(
            "note",
            "privacy",
            "no key is set here, so customer ids would leave the process as they are",
            "give init privacy=cx.PrivacyOptions(key=…), or set CXSDK_KEY",
        )
    if settings.privacy.basis is None and settings.privacy.consent == "unknown":
        yield Finding(
            "note",
            "consent",
            "no legal basis is named, and consent is unknown where nobody says it",
            "set privacy.basis (CXSDK_BASIS) to contract or legitimate_interest if that holds",
        )


def versions(_: Settings) -> Iterator[Finding]:
    """
    Look at Python, the packages the library stands on, and the extras.
    """
    words = f"cxsdk {__version__}, Python {platform.python_version()} on {platform.system()}"
    found = ", ".join(f"{name} {_version(name) or 'missing'}" for name in _PACKAGES)
    yield Finding("ok", "versions", f"{words}; {found}")
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if _version(name) is None]
        if missing:
            yield Finding("note", f"extra {extra}", f"without {', '.join(missing)}",
                          f"if you want it: pip install 'cxsdk[{extra}]'")  # fmt: skip
        else:
            yield Finding("ok", f"extra {extra}", "installed")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# ---- spool --------------------------------------------------------------------------------


def _root(settings: Settings) -> Path:
    return settings.spool.directory or directory.default_root()


def spool_place(settings: Settings) -> Iterator[Finding]:
    """
    Look at where events would be kept, and how safe that is.
    """
    mode = settings.spool.mode
    if mode in {"memory", "off"}:
        yield Finding("note", "spool", f"mode {mode}: what is not delivered dies with the process",
                      "unset CXSDK_SPOOL_MODE to keep events on disk")  # fmt: skip
        return
    root = _root(settings)
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    kind = directory.file_system(there)
    level = mode if mode == "write" or directory.may_map(kind) else "write"
    where = f"{root} ({kind or 'unknown file system'}), level {level}"
    yield from _permissions(root, there)
    if kind in directory.VOLATILE:
        yield Finding(
            "note",
            "spool",
            f"{where}; it survives the process but not the container or the machine's restart",
            "mount a volume and point CXSDK_SPOOL_DIR at it",
        )
    else:
        yield Finding("ok", "spool", where)
    yield _free_space(settings, there)


def _permissions(root: Path, there: Path) -> Iterator[Finding]:
    if not there.is_dir():
        yield Finding("problem", "spool", f"{there} is no directory", "set CXSDK_SPOOL_DIR")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Finding("problem", "spool", f"{there} cannot be written by uid {os.geteuid()}",
                      "give this user the directory, or set CXSDK_SPOOL_DIR")  # fmt: skip
    elif root.exists() and root.stat().st_uid not in {os.geteuid(), 0}:
        yield Finding("problem", "spool", f"{root} belongs to uid {root.stat().st_uid}",
                      "one user, one spool root: chown it, or set CXSDK_SPOOL_DIR")  # fmt: skip


def _free_space(settings: Settings, there: Path) -> Finding:
    about = os.statvfs(there)
    free = about.f_bavail * about.f_frsize
    wanted = settings.spool.min_free_bytes
    words = f"{_screen.size(free)} free, {_screen.size(wanted)} are left to others"
    if free > wanted + settings.spool.max_segment_bytes:
        return Finding("ok", "disk", words)
    todo = "make room, or lower CXSDK_SPOOL_MIN_FREE_BYTES; until then events stay in memory"
    return Finding("problem", "disk", words, todo)


def leftovers(settings: Settings) -> Iterator[Finding]:
    """
    Look for what other processes left in the spool.
    """
    found = list(inspect.spools(_root(settings)))
    alive = sum(each.alive for each in found)
    yield Finding("ok", "processes", f"{alive} with a spool of their own here")
    for each in found:
        place = f"{each.service}/{each.environment}/{each.incarnation}"
        if each.problem:
            yield Finding("problem", "spool", f"{place}: {each.problem}",
                          "cxsdk spool verify says what is damaged")  # fmt: skip
        if each.dead_letters:
            yield Finding(
                "problem",
                "dead letters",
                f"{place}: the collector refused {each.dead_letters} events for good",
                "cxsdk spool ls --json counts the reasons, --show-data shows its words",
            )
        waiting = max(each.pending.values(), default=0)
        if waiting and not each.alive and not each.problem:
            yield _left_behind(settings, each, place, waiting)


def deliveries(settings: Settings) -> Iterator[Finding]:
    """
    Look at what living processes here say of their destinations, and explain it.
    """
    for each in inspect.spools(_root(settings)):
        for name, figures in (each.status or {"sinks": {}})["sinks"].items():
            place = f"{each.service}/{each.environment}: sink {name!r}"
            waiting = each.pending.get(name, 0)
            yield from _delivery(place, figures, waiting)


def _delivery(place: str, figures: Mapping[str, Any], waiting: int) -> Iterator[Finding]:
    seconds = figures.get("next_attempt")
    again = f"tried again in {seconds:.0f} s" if isinstance(seconds, (int, float)) else "waits"
    kept = f"{waiting} events wait, none is lost"
    if figures.get("holding"):
        reason = str(figures["holding"])
        yield Finding("problem", "delivery", f"{place} is on hold: {reason}; {kept}; {again}",
                      _repair(reason))  # fmt: skip
    elif figures.get("breaker", "closed") != "closed":
        yield Finding(
            "problem",
            "delivery",
            f"{place} does not answer ({figures.get('last_error')}); {kept}; {again}",
            "start or reach the destination; what waits is sent by itself then",
        )
    else:
        yield Finding("ok", "delivery", f"{place}: {waiting} events wait")
    decided = figures.get("decisions") or {}
    for what, (words, todo) in DECISIONS.items():
        if decided.get(what):
            yield Finding("note", "delivery", f"{place}: {decided[what]} × {words}", todo)


def _repair(reason: str) -> str:
    for start, todo in _REPAIRS.items():
        if reason.startswith(start):
            return todo
    return "the reason is the destination's own; repair it there, or correct the URL"


def _left_behind(settings: Settings, found: inspect.Found, place: str, waiting: int) -> Finding:
    words = f"{place}: {waiting} events of a process that is gone"
    if (found.service, found.environment) == (settings.service, settings.environment):
        return Finding("note", "leftovers", words, "the service's next start delivers them")
    todo = (
        f"they go when {found.service} starts again in {found.environment} with the same collector,"
        f" or with: cxsdk spool drain --service {found.service}"
        f" --environment {found.environment} --to URL"
    )
    return Finding("problem", "leftovers", words, todo)


def switches(settings: Settings) -> Iterator[Finding]:
    """
    Look at the off switches.
    """
    if settings.disabled:
        yield Finding("problem", "switch", "CXSDK_DISABLED is set: nothing is captured", "unset it")
    off = _root(settings) / "OFF"
    if off.exists():
        yield Finding("problem", "switch", f"{off} exists: delivery is switched off here",
                      f"rm {off}")  # fmt: skip
    if settings.capture.sample < 1:
        yield Finding("note", "switch", f"only {settings.capture.sample:.0%} of interactions are kept",
                      "unset CXSDK_INTERACTION_SAMPLE")  # fmt: skip


# ---- collector ----------------------------------------------------------------------------


def without_credentials(target: Any) -> str:
    """
    Return a collector's URL without user, password and query; other things by their type.
    """
    if not isinstance(target, str):
        return type(target).__name__
    try:
        parts = urlsplit(target)
    except ValueError:
        return "(no URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def collector(settings: Settings, timeout: float) -> Iterator[Finding]:
    """
    Ask the collector for an answer; compare its clock with ours. Blocks up to *timeout* seconds
    for each of its waits.
    """
    target = settings.collector
    if target is None:
        yield Finding(
            "note",
            "collector",
            "CXSDK_COLLECTOR is not set here; without collector= in init nothing is kept",
            "set it to try the connection from here",
        )
        return
    shown = without_credentials(target)
    from cxsdk.sinks import open_sink

    try:
        sink = open_sink(target, settings=settings)
    except (CXError, ValueError) as error:
        yield Finding("problem", "collector", str(error), "correct CXSDK_COLLECTOR")
        return
    if not shown.startswith("http"):
        words = f"{shown} takes no CloudEvents over HTTP: not tried from here"
        yield Finding("ok", "collector", words)
        return
    # The sink knows the path that events go to; GET asks there without leaving anything.
    yield from _ask(target, sink.fingerprint, settings.api_key, timeout)


def _ask(target: str, place: str, api_key: str | None, timeout: float) -> Iterator[Finding]:
    import httpx

    parts = urlsplit(target)
    login = (parts.username or "", parts.password or "") if "@" in parts.netloc else None
    headers = {"authorization": f"Bearer {api_key}"} if api_key and not login else {}
    try:
        with httpx.Client(timeout=timeout, trust_env=False, auth=login, headers=headers) as client:
            began = time.monotonic()
            with client.stream("GET", place) as response:
                elapsed = time.monotonic() - began
    except httpx.HTTPError as error:
        yield Finding("problem", "collector", f"{place} does not answer: {error or type(error).__name__}",
                      "start it (cxsdk collector), or correct CXSDK_COLLECTOR; events wait in the spool")  # fmt: skip
        return
    yield _answered(place, response.status_code, elapsed)
    yield from _skew(response.headers.get("date"))


def _answered(place: str, status: int, elapsed: float) -> Finding:
    words = f"{place} answers {status} in {elapsed * 1000:.0f} ms"
    if status in {401, 403, 407}:
        return Finding("problem", "collector", words, "give it its key: CXSDK_API_KEY")
    if 300 <= status < 400 or status in {404, 410}:
        return Finding("problem", "collector", words,
                       "nobody takes events there: correct the URL")  # fmt: skip
    if status >= 500:
        return Finding("problem", "collector", words, "it is not well; events wait in the spool")
    return Finding("ok", "collector", words)


def _skew(date: str | None) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return
    # The header is cut to whole seconds: on average half of one is missing.
    skew = time.time() - theirs - 0.5
    words = (
        f"this clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the collector's"
    )
    if abs(skew) > _SKEW_S:
        yield Finding("problem", "clock", words, "run NTP on both; times of events come from here")
    else:
        yield Finding("ok", "clock", "agrees with the collector's to a few seconds")
