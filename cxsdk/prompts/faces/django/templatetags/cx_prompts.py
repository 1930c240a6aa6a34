"""
``{% cx_prompt %}``: the form of an offer, or nothing.
"""

from __future__ import annotations

from typing import Any

from django import template

from cxsdk.prompts.faces.tag import Tag, in_use

__all__ = ["cx_prompt", "register"]

register = template.Library()


@register.simple_tag  # type: ignore[untyped-decorator]
def cx_prompt(what: object = None, **how: Any) -> str:
    """
    Render what `Tag` renders, by the engine of ``use``. An offer that is there needs no engine.
    """
    tag = in_use() or Tag(lambda: None)
    return tag(what, **how)
