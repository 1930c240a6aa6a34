"""
Identity between services of one team: opaque members of W3C Baggage, to named hosts only.

A receiver believes a signature under the team's key, and nothing else; see W3C Baggage, section 3.3,
for the form and the limits of the header.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from cxsdk.errors import CXError
from cxsdk.knowing import ASSURANCES
from cxsdk.pipeline.customers import Customers
from cxsdk.scope import Scope, WireId, current_scope

__all__ = ["MAX_BYTES", "MAX_MEMBERS", "Carrier"]

MAX_BYTES = 8192
MAX_MEMBERS = 64
_HEADER = "baggage"
_SUB, _SID, _CHANNEL, _ASSURANCE, _SIGNATURE = "cx.sub", "cx.sid", "cx.ch", "cx.as", "cx.sig"
_SIGNED = (_SUB, _SID, _CHANNEL, _ASSURANCE)
_OURS = frozenset({*_SIGNED, _SIGNATURE})
_LONGEST = 1024
"""Of one value as it is sent: 200 characters of an id, each percent-encoded."""

_LASTS_S = 300
_SKEW_S = 60
_WIRE = re.compile(r"[0-9a-f]{32}\Z")
_SESSION = re.compile(r"s-[0-9a-f]{24}\Z")
_STAMP = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})\Z")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\Z|[0-9a-f:]+\Z")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\Z")
"""The characters that a value in the header may have: W3C's *baggage-octet*."""


class Carrier:
    """
    Puts whom the scope serves into headers, and makes a scope of what came in them. Does no I/O;
    thread-safe.

    Args:
        allow: hosts that may get it: ``orders.internal``, or ``.internal`` for all below that.

        key: the team's secret; None: nothing is signed, and what is received is only claimed.

        environment: a signature of one does not hold in another.

        now: returns seconds since 1970.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str],
        key: bytes | None,
        environment: str,
        now: Callable[[], float],
    ) -> None:
        self._allow = tuple(allow)
        self._has_key = key is not None
        self._customers = Customers(key)
        self._key = hashlib.blake2b(
            b"cxsdk baggage\0" + environment.encode(), key=(key or b"")[:64]
        ).digest()
        self._now = now

    # ---- out ----------------------------------------------------------------------------------

    def outgoing(self, target: str, headers: Any = None) -> dict[str, str]:
        """
        Return the ``baggage`` header for a request to *target*; nothing where that is no host of
        the list, where nobody is served, or where there is no room.

        Args:
            target: a URL, or a host with or without its port.

            headers: of the request, whose own baggage is kept.

        Raises:
            InvalidEventError: an id of the scope is wrong.
        """
        scope = current_scope.get()
        if scope is None or not self._is_allowed(target):
            return {}
        members = self._members(scope)
        if not members:
            return {}
        if self._has_key:
            members[_SIGNATURE] = self._signature(members, int(self._now()))
        kept = [
            part.strip()
            for part in _values(headers).split(",")
            if part.strip() and part.partition("=")[0].strip() not in _OURS
        ]
        if not all(part.isascii() and part.isprintable() for part in kept):
            kept = []  # what is no header is not ours to send
        made = [f"{name}={quote(value, safe='')}" for name, value in members.items()]
        value = ",".join([*kept, *made])
        if len(kept) + len(made) > MAX_MEMBERS or len(value) > MAX_BYTES:
            return {}
        return {_HEADER: value}

    def kept(self, target: str, headers: Any) -> str | None:
        """
        Return what a request to *target* may keep of the baggage that is among its *headers*, which
        may come from a request before it: to a host that is not of the list nothing of ours.
        None: as it is.
        """
        sent = _values(headers)
        parts = [part.strip() for part in sent.split(",") if part.strip()]
        others = [part for part in parts if part.partition("=")[0].strip() not in _OURS]
        if len(others) == len(parts) or self._is_allowed(target):
            return None
        return ",".join(others)

    def _members(self, scope: Scope) -> dict[str, str]:
        known = self._customers.resolve(scope.who)
        members: dict[str, str] = {}
        customer = (known.block or {}).get("id")
        if customer is not None:
            members[_SUB] = customer
        if known.session is not None:
            members[_SID] = known.session
        if scope.where[0] is not None and _is_channel(scope.where[0]):
            members[_CHANNEL] = scope.where[0]
        if customer is not None and scope.assurance in ASSURANCES and self._has_key:
            members[_ASSURANCE] = str(scope.assurance)
        return members

    def _is_allowed(self, target: str) -> bool:
        host = _host(target)
        return host is not None and any(
            host.endswith(one) if one.startswith(".") else host == one for one in self._allow
        )

    def _signature(self, members: Mapping[str, str], stamp: int) -> str:
        # No value has a line break, so no other members make the same text.
        signed = [f"{name}={members[name]}" for name in _SIGNED if name in members]
        text = "\n".join([str(stamp), *signed])
        return f"{stamp}.{hmac.digest(self._key, text.encode(), 'sha256').hex()}"

    # ---- in -----------------------------------------------------------------------------------

    def incoming(self, headers: Any) -> Scope:
        """
        Return a scope of what *headers* say: as sure as the sender was where the signature holds
        and is not old, else ``claimed``. What is not ours, malformed or there twice is left out;
        of nothing a scope that says nothing.

        Args:
            headers: a mapping, pairs (text or bytes), or a WSGI environ.
        """
        sent = dict(_ours(_values(headers)))
        members = {name: sent[name] for name in _SIGNED if name in sent}
        is_sure = self._holds(members, sent.get(_SIGNATURE, ""))
        said: dict[str, Any] = {}
        customer = self._customer(members.get(_SUB, ""))
        if customer is not None:
            said["customer"] = customer
            said["assurance"] = members.get(_ASSURANCE, "authenticated") if is_sure else "claimed"
        if _SESSION.match(members.get(_SID, "")):
            said["session"] = WireId(members[_SID])
        if _is_channel(members.get(_CHANNEL)):
            said["channel"] = members[_CHANNEL]
        return Scope(**said)

    def _holds(self, members: Mapping[str, str], signature: str) -> bool:
        found = _STAMP.match(signature)
        if not self._has_key or found is None:
            return False
        stamp = int(found[1])
        is_right = hmac.compare_digest(self._signature(members, stamp), f"{stamp}.{found[2]}")
        return is_right and -_SKEW_S <= self._now() - stamp <= _LASTS_S

    def _customer(self, text: str) -> Any:
        """
        Return whom *text* stands for, None where it cannot be the id of anybody.
        """
        if self._has_key:
            return WireId(text, self._customers.calls) if _WIRE.match(text) else None
        try:
            # Without a key the wire has the host's own ids.
            self._customers.resolve((text, None, None, None))
        except CXError:
            return None
        return text


def _host(target: str) -> str | None:
    """
    Return the host of a URL or of ``host:port``, in lower case; None where clients may read it
    differently.
    """
    text = target if "://" in target else f"//{target}"
    if not text.isascii() or not text.isprintable() or "\\" in text or " " in text:
        return None
    try:
        host = urlsplit(text).hostname
    except ValueError:
        return None
    host = (host or "").removesuffix(".")
    return host if _HOST.match(host) else None


def _is_channel(said: Any) -> bool:
    from cxsdk.events.vocabulary import CHANNEL

    return isinstance(said, str) and said in CHANNEL


def _values(headers: Any) -> str:
    """
    Return all that *headers* have of baggage as one value.
    """
    if headers is None:
        return ""
    found = []
    try:
        pairs: Iterable[Any] = headers.items() if hasattr(headers, "items") else headers
        for name, value in pairs:
            text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
            if text.lower() in {_HEADER, "http_baggage"}:
                found.append(value.decode("latin-1") if isinstance(value, bytes) else str(value))
    except Exception:  # noqa: BLE001 - a framework's own object, or no headers at all
        return ""
    return ",".join(found)


def _ours(header: str) -> Iterator[tuple[str, str]]:
    """
    Yield our members of a header, decoded; none of one that is too large or there twice.
    """
    if len(header) > MAX_BYTES:
        return
    parts = header.split(",")
    if len(parts) > MAX_MEMBERS:
        return
    found: dict[str, list[str]] = {}
    for part in parts:
        name, is_member, rest = part.partition("=")
        if is_member and name.strip() in _OURS:
            found.setdefault(name.strip(), []).append(rest.partition(";")[0].strip())
    for name, values in found.items():
        value = values[0]
        if len(values) > 1 or len(value) > _LONGEST or not _VALUE.match(value):
            continue
        try:
            text = unquote(value, errors="strict")
        except UnicodeDecodeError:
            continue
        if text.isprintable() and text.strip():
            yield name, text
