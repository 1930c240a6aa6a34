"""
``{% load cx %}{% cx_prompt … %}``: the form of an offer, or nothing.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from cxsdk.integrations.django.project import project
from cxsdk.prompts import default_engine
from cxsdk.prompts.faces.tag import Tag, in_use

__all__ = ["cx_prompt", "register"]

register = template.Library()


_WHICHEVER = object()


@register.simple_tag  # type: ignore[untyped-decorator]
def cx_prompt(what: object = _WHICHEVER, **how: Any) -> str:
    """
    Render what `Tag` renders, without *what* whichever prompt is due: by the engine of the default
    client, with the addresses of the endpoint where ``urls`` are included.
    ``cxsdk.prompts.faces.use`` says both otherwise.
    """
    tag = in_use() or Tag(default_engine, base=_base())
    if what is _WHICHEVER:
        return tag("", **how)
    # A variable that is not there is empty text in a template, and nobody's wish.
    return tag(None if what == "" else what, **how)


def _base() -> str:
    try:
        found: str = reverse("cxsdk:prompts", args=["-"])
    except NoReverseMatch:
        return project().options.mount or "/cx"
    return found.removesuffix("/-")
