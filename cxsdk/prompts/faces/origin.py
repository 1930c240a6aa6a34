"""
Who may post here, and where a form may lead: never to a foreign place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import quote, urlsplit

__all__ = ["is_prefetch", "may_post", "reader", "return_path"]

_LONGEST = 512


def may_post(headers: Mapping[str, str], origins: Collection[str]) -> bool:
    """
    Say whether the page that posts is one of this host or of *origins*.
    """
    said = headers.get("origin", "").lower()
    if said and said in origins:
        return True
    site = headers.get("sec-fetch-site", "")
    if site:
        return site in {"same-origin", "none"}
    # Without Sec-Fetch-Site: no browser, an old one, or no TLS. There a page whose referrer policy
    # is no-referrer, as ours has, posts its form as from "null"; its token is what protects it.
    if said in {"", "null"}:
        return True
    return urlsplit(said).netloc == headers.get("host", "").lower()


def is_prefetch(headers: Mapping[str, str]) -> bool:
    """
    Say whether a browser fetches this before anybody wants to see it.
    """
    said = (headers.get("sec-purpose", ""), headers.get("purpose", ""), headers.get("x-moz", ""))
    return any("prefetch" in each.lower() or "prerender" in each.lower() for each in said)


def return_path(wanted: str, allowed: Collection[str]) -> str | None:
    """
    Return the path to go to after an answer, None where that is not allowed.

    Args:
        allowed: paths, or beginnings of paths that end with ``/``.
    """
    if not wanted.startswith("/") or wanted.startswith("//") or len(wanted) > _LONGEST:
        return None
    path = wanted.partition("#")[0].partition("?")[0]
    if any(c <= " " or c in "\\\x7f" for c in wanted) or ".." in path or "//" in path:
        return None
    is_allowed = any(
        path == each or (each[-1:] == "/" and path.startswith(each)) for each in allowed
    )
    return quote(wanted, safe="/?#&=%+:;,@!$'()*~") if is_allowed else None


def reader(accept_language: str) -> str:
    """
    Return the language that a reader likes best, as ``Accept-Language`` says (RFC 9110, 12.5.4).
    """
    found = []
    for place, part in enumerate(accept_language[:_LONGEST].split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            found.append((-float(weight or 1), place, tag.strip()))
        except ValueError:
            continue
    return min(found)[2] if found else "en"
