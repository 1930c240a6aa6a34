"""
The offer: one prompt for one customer about one thing, decided before anything is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import attrs
import msgspec

from cxsdk.asking import OPEN, OfferState
from cxsdk.pipeline.customers import Known
from cxsdk.prompts.model import Prompt

if TYPE_CHECKING:
    from markupsafe import Markup

    from cxsdk.prompts.faces.letter import Letter

__all__ = ["Bound", "Offer", "Receipt", "Suppressed", "Whom"]


class Whom(TypedDict, total=False):
    """
    Whom `Engine.offer` asks, about what and where; what is not said is the scope's.
    """

    about: Any
    customer: Any
    anonymous: str | None
    account: Any
    session: str | None
    channel: str
    locale: str | None
    context: Mapping[str, Any] | None
    attributes: Mapping[str, Any] | None


class Bound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What an offer is bound to. Kept by the store; never leaves the server.
    """

    prompt: str
    version: str
    channel: str
    customer: dict[str, str] | None = None
    """The customer as the wire knows them."""

    session: str | None = None
    partition: str | None = None
    tag: bytes = b""
    is_known: bool = False
    consent: str | None = None
    interaction_id: str = ""
    touchpoint: str = ""
    outcome: str = ""
    happened_at: float = 0.0
    """When the interaction was over, seconds since 1970."""

    traceparent: str = ""
    locale: str = "en"
    stage: Literal["experience", "recall"] = "experience"
    echo_of: str = ""
    probability: float = 1.0
    trigger: str = ""
    context: dict[str, str] = {}
    tz: str = "UTC"
    wording: dict[str, Any] | None = None
    """What its reader is shown, see `shown`."""

    @property
    def known(self) -> Known:
        """
        Return the customer as capture takes one.
        """
        return Known(
            self.customer,
            self.session,
            self.partition,
            self.tag or bytes(8),
            is_known=self.is_known,
        )


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Bound).decode


def pack(bound: Bound) -> bytes:
    """
    Return the bytes that a store keeps.
    """
    return _encode(bound)


def unpack(record: bytes) -> Bound:
    """
    Return what a store kept.

    Raises:
        msgspec.DecodeError: it is damaged.
    """
    return _decode(record)


@attrs.define(frozen=True, kw_only=True)
class Offer:
    """
    May be shown, once. Truthy. A browser gets the token and the texts, nothing else.
    """

    token: str = attrs.field(repr=False)
    offer_id: str
    prompt: Prompt = attrs.field(repr=False)
    channel: str
    locale: str
    expires_at: datetime
    state: OfferState = "reserved"
    stage: Literal["experience", "recall"] = "experience"
    context: Mapping[str, str] = attrs.field(factory=dict)
    """Values that texts show as ``{name}``; of the prompt's ``context_fields`` only."""

    is_new: bool = True
    """False: it was offered before and is still open; the page is loaded again."""

    bound: Bound | None = attrs.field(default=None, repr=False, eq=False)
    """What it is bound to; no face shows it."""

    @property
    def is_open(self) -> bool:
        """
        Say whether it still waited for an answer when it was read.
        """
        return self.state in OPEN

    @property
    def version(self) -> str:
        """
        Return the version of the wording.
        """
        return self.prompt.version

    def as_json(self, base: str = "/cx") -> dict[str, Any]:
        """
        Return a JSON object for whoever draws the form; *base* is where the endpoint is mounted.
        """
        from cxsdk.prompts.faces.document import document

        return document(self, base)

    def as_html(self, base: str = "/cx", **look: Any) -> Markup:
        """
        Return the form, marked as safe for Jinja2 and Django.

        Args:
            base: where the endpoint is mounted.

            look: ``return_to``, ``heading``, ``assets``, ``nonce``, see `faces.html.Look`.

        Raises:
            ExtraMissingError: Jinja2 is not installed.
        """
        from cxsdk.prompts.faces.html import Look, form

        text = form(self, Look(base=base, **look))
        from markupsafe import Markup

        return Markup(text)  # noqa: S704 - rendered with autoescape

    def as_text(self) -> str:
        """
        Return the first question for a chat; `Engine.submit_text` takes the reply.
        """
        from cxsdk.prompts.faces.text import as_text

        return as_text(self)

    def as_letter(self, base: str) -> Letter:
        """
        Return the body of an e-mail; *base* with scheme and host.

        Raises:
            ConfigurationError: *base* is no address that a letter could lead to.

            ExtraMissingError: Jinja2 is not installed.
        """
        from cxsdk.prompts.faces.letter import as_letter

        return as_letter(self, base)


@attrs.define(frozen=True)
class Suppressed:
    """
    Nobody is asked, and why. Falsy.
    """

    reason: str
    """A stable code, see the reference of reasons."""

    prompt: str = ""
    retry_in: float | None = None
    """Seconds after which this reason would not hold, where that is known."""

    def __bool__(self) -> bool:
        return False


@attrs.define(frozen=True, kw_only=True)
class Receipt:
    """
    What became of an answer.
    """

    outcome: Literal[
        "accepted", "same", "revised", "invalid", "conflict", "gone", "forbidden", "unavailable"
    ]
    """``invalid``: see *errors*. ``conflict``: it was answered otherwise. ``gone``: too late, or no
    such offer. ``forbidden``: the token is not for this. ``unavailable``: try again."""

    errors: Mapping[str, str] = attrs.field(factory=dict)
    """Question id (or ``""`` for the whole) → code of what is wrong: ``required``, ``choice``,
    ``number``, ``too_long``, ``unknown_question``, ``text``."""

    feedback_id: str = ""
    offer: Offer | None = None
    complete: bool = False

    @property
    def status(self) -> int:
        """
        Return the HTTP status that says it.
        """
        codes = {"invalid": 422, "conflict": 409, "gone": 410, "forbidden": 403, "unavailable": 503}
        return codes.get(self.outcome, 200)

    def __bool__(self) -> bool:
        return self.status == 200


def at(seconds: float) -> datetime:
    """
    Return the moment of *seconds* since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC)
