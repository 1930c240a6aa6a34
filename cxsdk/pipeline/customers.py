"""
Raw id inside, wire id outside: the one place where a customer's id becomes what others may see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cxsdk.errors import InvalidEventError
from cxsdk.scope import NOBODY, Who, WireId

__all__ = ["ANONYMOUS", "Customers", "Known"]

_MEMO = 8192
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+|\+[\d ().\-/]{6,}|\(?\d+[ ()./\-]+[\d ()./\-]{5,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_JUNK = frozenset({"null", "none", "undefined", "nan", "anonymous", "unknown", "0", "-1", "n/a"})
_SPACES = {"id": "id", "anonymous_id": "anonymous", "account_id": "account"}
_ID_BYTES = 12
_TAG_BYTES = 8
_NO_TAG = bytes(_TAG_BYTES)


class Known:
    """
    A customer as the wire knows them. Shared by all threads; only *text*, a memo, ever changes.
    """

    __slots__ = ("block", "is_known", "key", "links", "partition", "session", "tag", "text")

    def __init__(
        self,
        block: dict[str, str] | None,
        session: str | None,
        partition: str | None,
        tag: bytes,
        *,
        is_known: bool,
    ) -> None:
        self.block = block
        self.key: tuple[str, str] | None = None
        """(space, wire id) under which is remembered what happened to them."""
        if block is not None:
            if "id" in block:
                self.key = ("id", block["id"])
            elif "anonymous_id" in block:
                self.key = ("anonymous", block["anonymous_id"])
        self.session = session
        self.partition = partition
        self.links = "" if partition is None else f',"partitionkey":"{partition}"'
        """What the customer alone adds to the envelope, encoded."""
        self.tag = tag
        self.is_known = is_known
        self.text: str | None = None
        """The encoded customer and session where no consent was said; made by the encoder."""


ANONYMOUS = Known(None, None, None, _NO_TAG, is_known=False)
"""Nobody at all: no id of any kind."""


class Customers:
    """
    Wire forms of customers, made once each and remembered (bounded).

    Thread-safe: the memo is a dict, and a race makes the same value twice.

    Args:
        key: secret of the team, or None to let ids pass as they are.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        # Without a key of the team these hashes still keep a session key, which is a
        # credential, out of every event; it is random, so a plain keyed hash suffices.
        # Here and not at the top: hashlib loads OpenSSL, 5 ms that an import need not cost.
        from hashlib import blake2b

        hash_key = (key or b"cxsdk")[:64]
        # With the label in it the state has its key's block behind it: half of what is to do for
        # a new session.
        self._labelled = {
            label: blake2b(f"{label}\0".encode(), digest_size=_ID_BYTES, key=hash_key)
            for label in ("anonymous", "session")
        }
        self._tagging = blake2b(digest_size=_TAG_BYTES, key=hash_key)
        self.memo: dict[Who, Known] = {NOBODY: ANONYMOUS}
        """For the hot path, which looks here before it calls `resolve`."""
        self.consents: dict[bytes, str] = {}

    def resolve(self, who: Who) -> Known:
        """
        Return the wire form of (customer, anonymous, account, session).

        Raises:
            InvalidEventError: an id is empty, junk, no text, or an address where no key is set.
        """
        try:
            known = self.memo.get(who)
        except TypeError:
            return self._make(who)
        if known is None:
            known = self._make(who)
            if len(self.memo) >= _MEMO:
                self.memo = {NOBODY: ANONYMOUS}
            # True equals 1 and would be taken for that customer.
            if 1 not in who:
                self.memo[who] = known
        return known

    def _make(self, who: Who) -> Known:
        customer, anonymous, account, session = who
        if session is not None and not str(session).strip():
            # An empty cookie is no session: all its visitors would be one.
            session = None
        block: dict[str, str] = {}
        if customer is not None:
            block["id"] = (
                str(customer)  # hashed by the service that it came from
                if type(customer) is WireId
                else self._wire(_clean(customer, "customer.id"), "customer.id", "customer")
            )
        if anonymous is not None:
            block["anonymous_id"] = _opaque(anonymous, "customer.anonymous_id", "an opaque id")
        elif customer is None and session is not None:
            block["anonymous_id"] = "a-" + self._hash("anonymous", str(session))
        if account is not None:
            block["account_id"] = (
                str(account)
                if type(account) is WireId
                else self._wire(
                    _clean(account, "customer.account_id"), "customer.account_id", "account"
                )
            )
        is_known = customer is not None or account is not None
        kind, first = next(iter(block.items()), ("", None))
        return Known(
            block or None,
            self._session(session),
            first if self._key and is_known else None,
            _NO_TAG if first is None else self.tag(first, _SPACES[kind]),
            is_known=is_known,
        )

    def _session(self, session: Any) -> str | None:
        if session is None:
            return None
        return str(session) if type(session) is WireId else self.session(session)

    def calls(self, customer: Any, text: str) -> bool:
        """
        Say whether *text* is what the wire calls *customer*, the host's own id.
        """
        try:
            return (self.resolve((customer, None, None, None)).block or {}).get("id") == text
        except InvalidEventError:
            return False

    def session(self, session: Any) -> str:
        """
        Return the hash that stands for a session key of the host's.
        """
        return "s-" + self._hash("session", str(session))

    def _wire(self, raw: str, field: str, label: str) -> str:
        if self._key is not None:
            import hmac

            message = f"{label}\0{raw}".encode("utf-8", "surrogatepass")
            return hmac.digest(self._key, message, "sha256")[:16].hex()
        return _opaque(raw, field, "an opaque id, or a key in init so that it becomes a pseudonym")

    def block(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the customer block *made* by hand in wire form: no id passes raw where a key is set.

        Raises:
            InvalidEventError: an id is wrong.
        """
        known = self._make((made.get("id"), made.get("anonymous_id"), made.get("account_id"), None))
        block = {**made, **(known.block or {})}
        if made.get("ids"):
            block["ids"] = [
                {
                    **each,
                    "id": self._wire(
                        _clean(each["id"], "customer.ids"), "customer.ids", each["ns"]
                    ),
                }
                for each in made["ids"]
            ]
        return block

    def _hash(self, label: str, value: str) -> str:
        # A copy of the keyed state: half the price of keying it again for every new session.
        state = self._labelled[label].copy()
        state.update(value.encode("utf-8", "surrogatepass"))
        return state.hexdigest()

    def tag(self, wire_id: str, space: str = "id") -> bytes:
        """
        Return the 8 bytes under which the spool finds the events of *wire_id* for erasure.

        A visitor or an account that is called as a customer is has another tag: what one of them
        says of consent, or wants erased, is not the other's.
        """
        state = self._tagging.copy()
        named = wire_id if space == "id" else f"{space}\0{wire_id}"
        state.update(named.encode("utf-8", "surrogatepass"))
        return state.digest()

    def remember_consent(self, known: Known, state: str) -> None:
        """
        Keep what the customer said, for events whose scope says nothing.
        """
        self.consents.pop(known.tag, None)
        if len(self.consents) >= _MEMO:
            # A denial is forgotten last: forgetting it would capture what was refused.
            said = list(self.consents.items())
            oldest = next((tag for tag, word in said if word != "denied"), said[0][0])
            self.consents.pop(oldest, None)
        self.consents[known.tag] = state

    def consent_of(self, known: Known) -> str | None:
        """
        Return what the customer last said in this process, or None.
        """
        return self.consents.get(known.tag) if self.consents else None


def _opaque(value: Any, field: str, expected: str) -> str:
    text = _clean(value, field)
    # What the pattern can begin with, but for "@" further on: most ids are spared it.
    looks_so = "@" in text or text[0] in "+(" or text[0].isdigit()
    if looks_so and _ADDRESS.fullmatch(text) and not _UUID.fullmatch(text):
        got = "what looks like an e-mail address or a phone number"
        raise InvalidEventError(field, expected, got, code="customer_is_address")
    return text


def _clean(value: Any, field: str) -> str:
    if type(value) is not str and (isinstance(value, bool) or not isinstance(value, (str, int))):
        # UUIDs and other id types have one obvious text; anything else is a mistake.
        if type(value).__name__ not in {"UUID", "ObjectId"}:
            raise InvalidEventError(field, "an id as text", type(value).__name__)
        value = str(value)
    text = str(value).strip()
    if not text or len(text) > 200 or not text.isprintable():
        raise InvalidEventError(field, "an id of 1 to 200 printable characters")
    if text.lower() in _JUNK:
        raise InvalidEventError(field, "the id of one customer", "a placeholder")
    return text
