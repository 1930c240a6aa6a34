"""
What the endpoint answers, before a server has it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import attrs

__all__ = ["PRIVATE", "Response", "of_html", "of_json"]

PRIVATE = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
    ("X-Content-Type-Options", "nosniff"),
)
"""Headers of everything that has a token in its address."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types cx-prompt"
)


@attrs.define(frozen=True)
class Response:
    """
    An HTTP response. Header values are ASCII; *body* is empty where the status wants it so.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def line(self) -> str:
        """
        Return the status as WSGI wants it, such as ``200 OK``.
        """
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def header(self, name: str) -> str | None:
        """
        Return the value of a header, None where it is not there.
        """
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def plus(self, *headers: tuple[str, str]) -> Response:
        """
        Return the same with more headers.
        """
        return attrs.evolve(self, headers=(*self.headers, *headers))


def of_html(status: int, text: str, *more: tuple[str, str]) -> Response:
    """
    Return a page or a fragment that nobody stores, frames or runs anything foreign in.
    """
    kind = ("Content-Type", "text/html; charset=utf-8")
    policy = ("Content-Security-Policy", _POLICY)
    return Response(status, (kind, *PRIVATE, policy, *more), text.encode("utf-8", "replace"))


def of_json(
    status: int, body: Mapping[str, Any], *more: tuple[str, str], kind: str = "application/json"
) -> Response:
    """
    Return a JSON object that nobody stores.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(
        status, (("Content-Type", kind), *PRIVATE, *more), text.encode("utf-8", "replace")
    )
