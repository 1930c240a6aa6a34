"""
Whom a task of a queue is for: a header that goes with it through the team's own broker.

Unlike a request it may wait for days, so the signature has no end; it holds for that one task.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from cxsdk.errors import CXError
from cxsdk.events.vocabulary import CONSENT_STATE
from cxsdk.knowing import ASSURANCES
from cxsdk.pipeline.customers import Customers
from cxsdk.scope import Scope, WireId, current_scope

__all__ = ["MAX_BYTES", "Passport", "Stamp"]

MAX_BYTES = 8192
_LONGEST = 200
_MOST_PURPOSES = 50
_UNSIGNED = "-"
_FORM = re.compile(r"(-|[0-9a-f]{64})\.(\{.*\})\Z", re.DOTALL)
_WIRE = re.compile(r"[0-9a-f]{32}\Z")
_SESSION = re.compile(r"s-[0-9a-f]{24}\Z")
_ID = re.compile(r"[0-9a-f-]{36}\Z")


@attrs.define(frozen=True)
class Stamp:
    """
    What came with a task.
    """

    scope: Scope
    sent: str | None
    """An id made when the task was sent; the same whenever it is handed out again."""


class Passport:
    """
    Writes whom the scope serves into a header, and makes a scope of what came in one. Does no I/O;
    thread-safe.

    Args:
        key: the team's secret; None: nothing is signed, and what is received is only claimed.

        environment: a signature of one does not hold in another.
    """

    def __init__(self, *, key: bytes | None, environment: str) -> None:
        self._has_key = key is not None
        self._customers = Customers(key)
        self._key = hashlib.blake2b(
            b"cxsdk passport\0" + environment.encode(), key=(key or b"")[:64]
        ).digest()

    # ---- out ----------------------------------------------------------------------------------

    def issue(self, task: str, sent: str, last: str | None = None) -> str:
        """
        Return the header for *task*.

        Args:
            task: names this one task, as the receiver will; the signature holds for no other.

            sent: a new id.

            last: id of the interaction that the task follows from.

        Raises:
            InvalidEventError: an id of the scope is wrong.
        """
        scope = current_scope.get()
        said = {"sent": sent} if scope is None else {"sent": sent, **self._said(scope), "in": last}
        body = json.dumps({name: each for name, each in said.items() if each is not None})
        if len(body) > MAX_BYTES:
            body = json.dumps({"sent": sent})
        return f"{self._signature(task, body) if self._has_key else _UNSIGNED}.{body}"

    def _said(self, scope: Scope) -> dict[str, Any]:
        known = self._customers.resolve(scope.who)
        block = known.block or {}
        _, _, _, locale, tz = scope.where
        return {
            "sub": block.get("id"),
            "anon": block.get("anonymous_id"),
            "acc": block.get("account_id"),
            "sid": known.session,
            "as": scope.assurance if self._has_key else None,
            "con": scope.consent,
            "pur": None if scope.purposes is None else list(scope.purposes),
            "cor": scope.correlation,
            "loc": locale,
            "tz": tz,
        }

    def _signature(self, task: str, body: str) -> str:
        return hmac.digest(self._key, f"{len(task)}:{task}{body}".encode(), "sha256").hex()

    # ---- in -----------------------------------------------------------------------------------

    def read(self, task: str, header: Any) -> Stamp:
        """
        Return what came with *task*: as sure as the sender was where the signature holds, else
        ``claimed``. What is malformed is left out; of nothing a scope that says nothing.

        Of consent that nobody signed only a denial is heard, unless there is no key to sign with.
        """
        is_text = isinstance(header, str) and len(header) < 2 * MAX_BYTES
        found = _FORM.match(header) if is_text else None
        if found is None:
            return Stamp(Scope(), None)
        try:
            body = json.loads(found[2])
        except (ValueError, RecursionError):
            return Stamp(Scope(), None)
        is_sure = self._has_key and hmac.compare_digest(self._signature(task, found[2]), found[1])
        scope = Scope(**self._who(body, is_sure=is_sure), **self._further(body, is_sure=is_sure))
        scope.last = _text(body, "in", _ID)
        return Stamp(scope, _text(body, "sent", _ID))

    def _who(self, body: Mapping[str, Any], *, is_sure: bool) -> dict[str, Any]:
        said: dict[str, Any] = {
            "customer": self._id(body, "sub", 0),
            "anonymous": self._own(_text(body, "anon"), 1),
            "account": self._id(body, "acc", 2),
        }
        session = _text(body, "sid", _SESSION)
        if session is not None:
            said["session"] = WireId(session)
        if said["customer"] is not None:
            sure = body.get("as") if body.get("as") in ASSURANCES else "authenticated"
            said["assurance"] = sure if is_sure else "claimed"
        return said

    def _id(self, body: Mapping[str, Any], name: str, place: int) -> Any:
        if not self._has_key:
            # Without a key the wire has the host's own ids.
            return self._own(_text(body, name), place)
        text = _text(body, name, _WIRE)
        if text is None:
            return None
        return WireId(text, self._customers.calls) if place == 0 else WireId(text)

    def _own(self, text: str | None, place: int) -> str | None:
        try:
            self._customers.resolve(tuple(text if n == place else None for n in range(4)))  # type: ignore[arg-type]
        except CXError:
            return None
        return text

    def _further(self, body: Mapping[str, Any], *, is_sure: bool) -> dict[str, Any]:
        said: dict[str, Any] = {}
        consent, purposes = body.get("con"), body.get("pur")
        is_heard = is_sure or not self._has_key or consent == "denied"
        if is_heard and isinstance(consent, str) and consent in CONSENT_STATE:
            said["consent"] = consent
            if isinstance(purposes, list) and len(purposes) <= _MOST_PURPOSES:
                said["purposes"] = tuple(each for each in purposes if _fits("purposes", each))
        for field, name in (("correlation", "cor"), ("locale", "loc"), ("tz", "tz")):
            text = _text(body, name)
            if text is not None and _fits(field, text):
                said[field] = text
        return said


def _text(body: Mapping[str, Any], name: str, form: re.Pattern[str] | None = None) -> str | None:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
        return None
    return value if form is None or form.match(value) else None


def _fits(field: str, text: Any) -> bool:
    """
    Say whether events take *text* there: one that does not would have all of them refused.
    """
    from cxsdk.events.codec import kind_of
    from cxsdk.events.model import Consent, Where

    try:
        if field == "correlation":
            kind_of("correlationid").check(text, field)
        elif field == "purposes":
            Consent(state="unknown", purposes=(text,))
        else:
            Where(channel="unknown", medium="unknown", **{field: text})
    except CXError:
        return False
    return True
