"""
An offer as the body of an e-mail: one link for each answer, which a reader sees once more.

Opening a link records nothing; the page behind it has the answer chosen and a button to send it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.faces.document import document, wording_of
from cxsdk.prompts.faces.html import render
from cxsdk.prompts.offer import Offer

__all__ = ["Letter", "as_letter"]


@attrs.define(frozen=True, kw_only=True)
class Letter:
    """
    What goes into an e-mail; subject, sender and unsubscribing are the host's.
    """

    html: str
    """A fragment without scripts and tables, to be put into the host's own template."""

    text: str
    """The same as plain text, for ``text/plain``."""

    links: tuple[tuple[str, str], ...]
    """(label, address) of each answer to the first question, for a template of the host's."""

    page: str
    """Address of the page with nothing chosen."""


def as_letter(offer: Offer, base: str) -> Letter:
    """
    Return *offer* for an e-mail.

    Args:
        base: address under which the endpoint is mounted, with scheme and host.

    Raises:
        ConfigurationError: *base* has no scheme or host, so that no letter could lead there.
    """
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigurationError(f"base: expected an address with https://, got {base!r:.80}")
    shown = document(offer, base)
    question, page = shown["questions"][0], shown["urls"]["page"]
    words = wording_of(offer).words["letter"]
    links = () if question["type"] in {"text", "choices"} else tuple(_links(question, page))
    until = words["until"].replace("{date}", f"{offer.expires_at:%Y-%m-%d}")
    hint = words["hint"] if links else ""
    ends = question.get("scale", {})
    scale = [
        f"{ends[end]} = {ends[f'{side}_label']}"
        for end, side in (("min", "low"), ("max", "high"))
        if f"{side}_label" in ends
    ]
    html = render(
        "letter.html",
        doc=shown,
        title=shown.get("title", ""),
        help=question.get("help", ""),
        scale=", ".join(scale),
        question=question,
        links=links,
        page=page,
        words=words,
        until=until,
        hint=hint,
    )
    lines = [shown.get("title", ""), question["text"], question.get("help", "")]
    lines += [", ".join(scale), hint]
    lines += [f"{label}: {address}" for label, address in links]
    if not links:
        lines.append(f"{words['open']}: {page}")
    lines.append(until)
    return Letter(
        html=html, text="\n\n".join(line for line in lines if line), links=links, page=page
    )


def _links(question: dict[str, Any], page: str) -> list[tuple[str, str]]:
    return [
        (each["label"], f"{page}?v={quote(str(each['value']), safe='')}")
        for each in question["options"]
    ]
