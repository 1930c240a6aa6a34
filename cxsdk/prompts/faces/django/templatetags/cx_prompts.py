"""
``{% cx_prompt %}``: the form of an offer, or nothing.
"""

from __future__ import annotations

from typing import Any

from django import template

from cxsdk.prompts import tag
from cxsdk.prompts.faces.tag import in_use

__all__ = ["cx_prompt", "register"]

register = template.Library()


@register.simple_tag  # type: ignore[untyped-decorator]
def cx_prompt(what: object = None, **how: Any) -> str:
    """
    Render what `Tag` renders, by the default client below ``/cx``, unless ``use`` says otherwise.
    """
    return (in_use() or tag())(what, **how)
