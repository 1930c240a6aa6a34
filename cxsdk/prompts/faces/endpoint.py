"""
One request about an offer and its response, as a function of bytes and an engine.

Opening a link records nothing, whatever opens it: mail scanners open all of them. No cookie is
read or set: the token is the right to answer, and it is good for one offer only.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

import attrs

from cxsdk._guard import voice
from cxsdk.asking import OPEN
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.faces import body as bodies
from cxsdk.prompts.faces import html, origin
from cxsdk.prompts.faces.body import Fault, Said
from cxsdk.prompts.faces.document import SCHEMAS, document, problem, schema, wording_of
from cxsdk.prompts.faces.html import Look
from cxsdk.prompts.faces.response import Response, of_html, of_json
from cxsdk.prompts.offer import Offer, Receipt
from cxsdk.prompts.wording import chrome, direction_of

__all__ = ["respond"]

_CHANNELS = ("in_app", "email", "link", "api")
"""On which an offer may be answered here; a chat has `Engine.submit_text`."""

_METHODS = {
    "page": ("GET", "HEAD", "POST", "OPTIONS"),
    "json": ("GET", "HEAD", "OPTIONS"),
    "state": ("POST", "OPTIONS"),
    "static": ("GET", "HEAD", "OPTIONS"),
}
_RETRY = ("Retry-After", "10")
_DISMISSALS = ("not_now", "never_ask")
_FILES = ("cx-prompt.js", "cx-prompt.css", "cx-page.css")
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_YEAR = "public, max-age=31536000, immutable"


@attrs.define(frozen=True, kw_only=True)
class _Call:
    engine: Engine
    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    origins: Collection[str]
    returns: Collection[str]
    mount: str
    kind: str = ""
    heading: int = 2
    token: str = ""

    @property
    def is_htmx(self) -> bool:
        return self.headers.get("hx-request") == "true"

    @property
    def wants(self) -> str:
        """
        Return what the caller can show: ``json``, a ``fragment`` or a ``page``.
        """
        if self.kind in {"json", "state", "static", ""}:
            return "json"
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return "json"
        is_ours = self.headers.get("x-requested-with") == "cx-prompt"
        return "fragment" if is_ours or self.is_htmx else "page"

    @property
    def look(self) -> Look:
        is_page = self.wants == "page"
        return Look(base=self.mount, heading=1 if is_page else self.heading, assets=False)


def respond(  # noqa: PLR0913 - a request has so many parts
    engine: Engine,
    method: str,
    path: str,
    headers: Mapping[str, str],
    query: str = "",
    body: bytes = b"",
    *,
    origins: Collection[str] = (),
    returns: Collection[str] = (),
    mount: str = "",
) -> Response:
    """
    Return the response to one request. Blocks on the store, and for a moment on the spool.

    Args:
        path: below the mount, decoded: ``/o/<token>``, ``/o/<token>/state``, ``/o/<token>.json``
            or ``/static/<file>``.

        headers: names in lower case.

        query: as it came, without the question mark.

        body: more than 16 KiB is refused.

        origins: pages elsewhere that may post here, such as ``https://app.example.com``.

        returns: paths that a form may lead to after an answer; one that ends with ``/`` stands for
            all below it.

        mount: where the endpoint is mounted, such as ``/cx``.
    """
    kind, token = _parts(path)
    allowed = frozenset(each.lower().rstrip("/") for each in origins)
    call = _Call(
        engine=engine,
        method=method,
        headers=headers,
        query=query,
        body=body,
        origins=allowed,
        returns=returns,
        mount=mount.rstrip("/"),
        kind=kind,
        token=token,
    )
    try:
        found = _routed(call)
    except Fault as fault:
        found = _refused(call, fault)
    except Exception as error:  # noqa: BLE001 - the host's server is not ours to break
        voice.say(
            logging.ERROR, "prompts:http", "cxsdk: a request about an offer failed: %r", error
        )
        found = _failed(call, 503, "unavailable", _RETRY)
    found = found.plus(*_cross_origin(call))
    return attrs.evolve(
        found,
        headers=(*found.headers, *_length(found)),
        body=b"" if method == "HEAD" else found.body,
    )


def _length(found: Response) -> tuple[tuple[str, str], ...]:
    has_none = found.status in {204, 304}
    return () if has_none else (("Content-Length", str(len(found.body))),)


def _parts(path: str) -> tuple[str, str]:
    head, _, rest = path.lstrip("/").partition("/")
    if head == "static" and rest:
        return "static", rest
    kind = "page"
    if rest.endswith("/state"):
        kind, rest = "state", rest.removesuffix("/state")
    elif rest.endswith(".json"):
        kind, rest = "json", rest.removesuffix(".json")
    return (kind, rest) if head == "o" and rest and "/" not in rest else ("", "")


def _routed(call: _Call) -> Response:
    kind = call.kind
    if not kind:
        return _failed(call, 404, "not_found")
    allow = ("Allow", ", ".join(_METHODS[kind]))
    if call.method not in _METHODS[kind]:
        return _failed(call, 405, "method", allow)
    if call.method == "OPTIONS":
        return Response(204, (allow, ("Cache-Control", "no-store")))
    if kind == "static":
        return _static(call)
    if call.method == "POST":
        if not origin.may_post(call.headers, call.origins):
            raise Fault(
                403, "foreign_origin", "This page is of an origin that may not answer here."
            )
        return _moved(call) if kind == "state" else _answered(call)
    return _described(call) if kind == "json" else _shown(call)


def _cross_origin(call: _Call) -> tuple[tuple[str, str], ...]:
    kind = call.kind
    if kind == "static":
        return (("Access-Control-Allow-Origin", "*"),)
    said = call.headers.get("origin", "")
    if not call.origins or not kind:
        return ()
    if said.lower() not in call.origins:
        return (("Vary", "Origin"),)
    return (
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", said),
        ("Access-Control-Allow-Methods", ", ".join(_METHODS[kind])),
        ("Access-Control-Allow-Headers", "content-type, x-requested-with"),
        ("Access-Control-Max-Age", "600"),
    )


# ---- reading ------------------------------------------------------------------------------


def _static(call: _Call) -> Response:
    name = call.token
    ending = name.rpartition(".")[2]
    if name in _FILES:
        content, tag = html.static_file(name)
        kind = _TYPES[ending]
    elif name in {f"{known}.schema.json" for known in SCHEMAS}:
        content, tag = schema(name.partition(".")[0]), "1-0-0"
        kind = "application/schema+json"
    else:
        return _failed(call, 404, "not_found")
    # Under the address that carries its hash a file never changes.
    is_fixed = f"v={tag}" in call.query.split("&")
    headers = (
        ("Content-Type", kind),
        ("ETag", f'"{tag}"'),
        ("Cache-Control", _YEAR if is_fixed else "public, max-age=3600"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
    )
    known = call.headers.get("if-none-match", "")
    if f'"{tag}"' in known:
        return Response(304, headers)
    return Response(200, headers, content)


def _shown(call: _Call) -> Response:
    found = call.engine.find(call.token, _CHANNELS)
    if isinstance(found, Receipt):
        return _closed(call, found)
    done = parse_qs(call.query, keep_blank_values=True).get("done", [""])[0]
    if found.state == "dismissed":
        if not done:
            return _noted(call, 410, "gone", found)
        return _noted(call, 200, "opted_out" if done == "never_ask" else "dismissed", found)
    if found.state == "answered" and done:
        return _noted(call, 200, "done", found)
    if found.state == "answered" and not found.prompt.revise_for:
        return _noted(call, 200, "already", found)
    chosen = bodies.chosen_in(found.prompt, call.query)
    return _page(call, 200, html.form(found, call.look, given=chosen), found)


def _described(call: _Call) -> Response:
    found = call.engine.find(call.token, _CHANNELS)
    if isinstance(found, Receipt):
        return _closed(call, found)
    if found.state == "dismissed":
        return _closed(call, Receipt(outcome="gone"))
    return of_json(200, document(found, call.mount))


# ---- posting ------------------------------------------------------------------------------


def _moved(call: _Call) -> Response:
    step = bodies.step_of(call.headers.get("content-type", ""), call.body)
    nothing = Response(204, (("Cache-Control", "no-store"),))
    if origin.is_prefetch(call.headers):
        return nothing  # nobody has seen it yet
    found = call.engine.find(call.token, _CHANNELS)
    if isinstance(found, Receipt):
        return _closed(call, found)
    if step.state != "dismissed":
        call.engine.advance(call.token, step.state)
        return nothing
    left = _dismiss(call, step.reason or "close")
    return nothing if left in {"dismissed", "answered"} else _closed(call, left)


def _dismiss(call: _Call, reason: str) -> str | Receipt:
    """
    Dismiss an offer; return its state, or a receipt where that is not kept.
    """
    if call.engine.advance(call.token, "dismissed", reason=reason):
        return "dismissed"
    found = call.engine.find(call.token, _CHANNELS)
    if isinstance(found, Receipt):
        return found
    return Receipt(outcome="unavailable") if found.state in OPEN else found.state


def _answered(call: _Call) -> Response:
    # Read before it is looked up: what is too large costs no store anything.
    said = bodies.read(call.headers.get("content-type", ""), call.body)
    if call.wants == "fragment":
        call = attrs.evolve(call, heading=said.heading)
    found = call.engine.find(call.token, _CHANNELS)
    if isinstance(found, Receipt):
        return _closed(call, found)
    if said.action in _DISMISSALS:
        return _dismissed(call, said, found)
    if found.state == "reserved":
        call.engine.advance(call.token, "shown")  # who answers has seen it
    given = bodies.answers_of(found.prompt, said)
    receipt = call.engine.submit(call.token, given, partial=said.is_partial, channels=_CHANNELS)
    if receipt:
        return _thanked(call, said, receipt, found)
    if receipt.outcome == "conflict":
        return _failed(call, 409, "conflict", offer=found)
    is_closed = receipt.outcome not in {"invalid", "unavailable"}
    return _closed(call, receipt) if is_closed else _again(call, said, receipt, found, given)


def _again(
    call: _Call, said: Said, receipt: Receipt, offer: Offer, given: Mapping[str, Any]
) -> Response:
    """
    Say what is wrong, with everything that was said still there.
    """
    status, words = receipt.status, wording_of(offer).words
    more = (_RETRY,) if status == 503 else ()
    if call.wants == "json":
        body = problem(status, receipt.outcome, words["errors"]["summary"], receipt.errors, words)
        return of_json(status, body, *more, kind="application/problem+json")
    back = origin.return_path(said.return_to, call.returns) or ""
    look = attrs.evolve(call.look, return_to=back)
    errors = receipt.errors or {"": "unavailable"}
    return _page(call, status, html.form(offer, look, given=given, errors=errors), offer, *more)


def _thanked(call: _Call, said: Said, receipt: Receipt, offer: Offer) -> Response:
    if call.wants == "json":
        body = {
            "outcome": receipt.outcome,
            "complete": receipt.complete,
            "feedback_id": receipt.feedback_id,
            "thank_you": wording_of(offer).thank_you,
        }
        return of_json(200, body)
    return _left(call, said, "done", offer, "cx:answered")


def _dismissed(call: _Call, said: Said, offer: Offer) -> Response:
    left = _dismiss(call, said.action)
    if isinstance(left, Receipt):
        return _closed(call, left)
    if left == "answered":
        return _noted(call, 200, "already", offer)
    kind = "opted_out" if said.action == "never_ask" else "dismissed"
    return _left(call, said, kind, offer, "cx:dismissed")


def _left(call: _Call, said: Said, kind: str, offer: Offer, event: str) -> Response:
    if call.wants == "fragment":
        more = (("HX-Trigger", event),) if call.is_htmx else ()
        return of_html(200, html.note(offer, call.look, kind), *more)
    back = origin.return_path(said.return_to, call.returns)
    done = "never_ask" if kind == "opted_out" else "1"
    place = back or f"{call.mount}/o/{call.token}?done={done}"
    return of_html(303, "", ("Location", place))


# ---- refusing -----------------------------------------------------------------------------


def _closed(call: _Call, receipt: Receipt | str) -> Response:
    """
    Say that there is nothing to answer. Why a token is no good is counted, not told.
    """
    if isinstance(receipt, Receipt) and receipt.outcome == "unavailable":
        return _failed(call, 503, "unavailable", _RETRY)
    return _failed(call, 410, "gone")


def _refused(call: _Call, fault: Fault) -> Response:
    if call.wants == "page" and call.method == "POST":
        code = "too_long" if fault.code == "too_large" else "unavailable"
        return _noted(call, fault.status, code, None, text=fault.detail)
    return _problem(call, fault.status, fault.code, fault.detail)


def _failed(
    call: _Call,
    status: int,
    code: str,
    *more: tuple[str, str],
    offer: Offer | None = None,
) -> Response:
    if call.wants == "json" or code == "method":
        return _problem(call, status, code, "", *more)
    return _noted(call, status, code, offer, *more)


def _problem(call: _Call, status: int, code: str, detail: str, *more: tuple[str, str]) -> Response:
    _, words = chrome(origin.reader(call.headers.get("accept-language", "")))
    said = detail or words.get(code) or words["errors"].get(code, "")
    body = problem(status, code, said)
    return of_json(status, body, *more, kind="application/problem+json")


def _noted(
    call: _Call,
    status: int,
    kind: str,
    offer: Offer | None,
    *more: tuple[str, str],
    text: str = "",
) -> Response:
    locale = origin.reader(call.headers.get("accept-language", ""))
    said = html.note(offer, call.look, kind, locale=locale, text=text)
    return _page(call, status, said, offer, *more, locale=locale)


def _page(
    call: _Call,
    status: int,
    fragment: str,
    offer: Offer | None,
    *more: tuple[str, str],
    locale: str = "en",
) -> Response:
    if call.wants == "fragment":
        # htmx 2 shows nothing of a response that is an error.
        return of_html(200 if call.is_htmx else status, fragment, *more)
    lang, said = chrome(locale)
    title = said["gone"] if status == 410 else said["errors"]["unavailable"]
    if offer is not None:
        words = wording_of(offer)
        lang, title = offer.locale, words.title or words.text(offer.prompt.questions[0])
    way = direction_of(lang)
    return of_html(status, html.page(fragment, call.look, title=title, lang=lang, way=way), *more)
