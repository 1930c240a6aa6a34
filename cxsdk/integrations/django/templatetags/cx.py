"""
``{% load cx %}{% cx_prompt … %}``: the form of an offer, or nothing.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from cxsdk.integrations.django.project import project
from cxsdk.integrations.visit import private
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
    ``cxsdk.prompts.faces.use`` says both otherwise. A response with a form is ``private``: the right
    to answer is in it.
    """
    tag = in_use() or Tag(default_engine, base=_base())
    # A variable that is not there is empty text in a template, and nobody's wish.
    wanted = "" if what is _WHICHEVER else None if what == "" else what
    shown = tag(wanted, **how)
    if shown:
        private()
    return shown


def _base() -> str:
    try:
        found: str = reverse("cxsdk:prompts", args=["-"])
    except NoReverseMatch:
        return project().options.mount or "/cx"
    return found.removesuffix("/-")
