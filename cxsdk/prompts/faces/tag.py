"""
``cx_prompt``: what a template calls to ask, or to show nothing. It never spoils the host's page.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cxsdk._guard import voice
from cxsdk.prompts.faces.html import Look, form
from cxsdk.prompts.faces.web import Source, engine_of
from cxsdk.prompts.offer import Offer

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Tag", "in_use", "use"]

_SHOWS = ("return_to", "heading", "assets", "nonce")
_used: list[Tag] = []


class Tag:
    """
    A Jinja2 global, ``env.globals["cx_prompt"] = Tag(engine, base="/cx")``. Thread-safe.

    Args:
        engine: decides, or what returns the one in force.

        base: where the endpoint is mounted.
    """

    def __init__(self, engine: Source, *, base: str = "/cx") -> None:
        self._engine = engine
        self._base = base

    def __call__(self, what: object = None, **how: Any) -> Markup:
        """
        Return the form of an offer, marked as safe, or nothing. Never raises.

        Args:
            what: an `Offer`, which is shown; what is falsy (a `Suppressed`) shows as nothing; the
                key of a prompt is offered first.

            return_to, heading, assets, nonce: as in `Look`.

            how: other arguments go to `Engine.offer`.
        """
        from markupsafe import Markup

        try:
            return Markup(self._render(what, how))  # noqa: S704 - by templates with autoescape
        except Exception as error:  # noqa: BLE001 - a page is worth more than its prompt
            voice.say(logging.ERROR, "prompts:tag", "cxsdk: a prompt is not shown: %r", error)
            return Markup("")

    def _render(self, what: object, how: dict[str, Any]) -> str:
        look = Look(base=self._base, **{name: how.pop(name) for name in _SHOWS if name in how})
        if isinstance(what, str):
            engine = engine_of(self._engine)
            what = engine.offer(what or None, **how) if engine is not None else None
        return form(what, look) if isinstance(what, Offer) else ""


def use(engine: Source, *, base: str = "/cx") -> Tag:
    """
    Say which engine Django's ``{% cx_prompt %}`` asks, and where it is mounted. The last call holds.
    """
    tag = Tag(engine, base=base)
    _used[:] = [tag]
    return tag


def in_use() -> Tag | None:
    """
    Return what `use` made last, None where it was not called.
    """
    return _used[-1] if _used else None
