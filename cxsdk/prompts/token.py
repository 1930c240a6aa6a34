"""
Offer tokens: what a browser, a letter or a chat holds instead of ids.

A token names an offer and when it ends, signed for one channel and one audience. No personal data
and no answer is inside: signing is not encryption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import attrs

from cxsdk.errors import ConfigurationError, ExtraMissingError

__all__ = ["Seal", "Ticket", "TokenCodec", "TokenFault"]

TokenFault: TypeAlias = Literal["malformed", "forged", "expired", "wrong_channel", "wrong_audience"]

_LETTERS = {"in_app": "i", "email": "e", "link": "l", "chat": "c", "api": "a"}
_CHANNELS = {letter: channel for channel, letter in _LETTERS.items()}
_LONGEST = 512


@attrs.define(frozen=True)
class Ticket:
    """
    What a token says, or why it says nothing.
    """

    offer_id: str = ""
    channel: str = ""
    fault: TokenFault | None = None


def _signing() -> Any:
    try:
        import itsdangerous
    except ImportError as error:
        raise ExtraMissingError("itsdangerous", "prompts") from error
    return itsdangerous


def _checked(keys: Sequence[bytes]) -> list[bytes]:
    if not keys or any(not isinstance(key, bytes) or len(key) < 16 for key in keys):
        raise ConfigurationError("prompts.keys: expected secrets of at least 16 bytes each")
    return list(keys)


def _signer(keys: list[bytes], salt: str) -> Any:
    return _signing().URLSafeSerializer(
        keys,
        salt=salt,
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )


class Seal:
    """
    Signs what a browser carries for us between two requests.

    Args:
        keys: as for `TokenCodec`.

        purpose: what one seal signed, another does not open.
    """

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        self._signer = _signer(_checked(keys), f"cxsdk.{purpose}.v1")
        self._bad = _signing().BadData

    def close(self, body: list[Any]) -> str:
        """
        Return *body* signed, as text for a cookie or a hidden field.
        """
        signed = self._signer.dumps(body)
        return signed if isinstance(signed, str) else str(signed, "ascii")

    def open(self, text: str) -> list[Any] | None:
        """
        Return what was signed, None where it was not by us.
        """
        try:
            body: list[Any] = self._signer.loads(text[: 4 * _LONGEST])
        except self._bad:
            return None
        return body


class TokenCodec:
    """
    Signs and reads tokens with itsdangerous: HMAC-SHA256, a salt per channel, keys in rotation.

    Args:
        keys: secrets of at least 16 bytes, the newest last; it signs, all are accepted.

        audience: who may redeem a token: the service's source and environment.

    Raises:
        ConfigurationError: no key, or one that is too short.
    """

    def __init__(self, keys: Sequence[bytes], audience: str) -> None:
        itsdangerous, secrets = _signing(), _checked(keys)
        self._bad = itsdangerous.BadData
        self._audience = hashlib.sha256(audience.encode()).hexdigest()[:8]
        encoding = itsdangerous.encoding
        self._encode, self._decode = encoding.base64_encode, encoding.base64_decode
        self._signers = {
            letter: _signer(secrets, f"cxsdk.offer.v1.{channel}")
            for channel, letter in _LETTERS.items()
        }

    def sign(self, offer_id: str, channel: str, expires_at: float) -> str:
        """
        Return a token; *expires_at* in seconds since 1970.
        """
        letter = _LETTERS[channel]
        body = [offer_id, int(expires_at), self._audience]
        signed = self._signers[letter].dumps(body)
        return f"{letter}.{signed if isinstance(signed, str) else signed.decode()}"

    def read(self, token: object, now: float, channels: Sequence[str] | None = None) -> Ticket:
        """
        Return what *token* says at *now*, on one of *channels* (None: any). Never raises.
        """
        text = token if isinstance(token, str) and token.isascii() else ""
        letter, _, signed = text.partition(".")
        signer = self._signers.get(letter) if 16 < len(text) <= _LONGEST else None
        if signer is None or not self._is_canonical(signed):
            return Ticket(fault="malformed")
        try:
            body: Any = signer.loads(signed)
        except self._bad:
            return Ticket(fault="forged")
        offer_id, expires_at, audience = body
        channel = _CHANNELS[letter]
        ticket = Ticket(offer_id, channel)
        if audience != self._audience:
            return attrs.evolve(ticket, fault="wrong_audience")
        if channels is not None and channel not in channels:
            return attrs.evolve(ticket, fault="wrong_channel")
        if now > expires_at:
            return attrs.evolve(ticket, fault="expired")
        return ticket

    def _is_canonical(self, signed: str) -> bool:
        # The last character of base64 has bits that say nothing: without this a token would have
        # several spellings.
        parts = signed.lstrip(".").split(".")
        try:
            return all(self._encode(self._decode(part)).decode() == part for part in parts)
        except self._bad:
            return False
