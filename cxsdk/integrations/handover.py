"""
From a framework's own command to ``cxsdk``: what the code of the host says, said to the command.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cxsdk.config import SETTINGS, Settings

__all__ = ["completed", "tell"]


def tell(made: Settings) -> None:
    """
    Put what the host's code says where the command reads it, the environment; what that says
    already stays.
    """
    for row in SETTINGS:
        holder = getattr(made, row.group) if row.group else made
        text = _text(getattr(holder, row.name))
        if text is not None and made.origins.get(row.path) == "argument":
            os.environ.setdefault(row.env, text)


def _text(value: Any) -> str | None:
    """
    Return *value* as its variable would say it; None where no text does, as of a sink.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, tuple):
        texts = [_text(each) for each in value]
        return None if None in texts else ",".join(str(each) for each in texts)
    plain = (str, int, float, os.PathLike, ZoneInfo)
    return str(value) if isinstance(value, plain) else None


def completed(words: list[str], made: Settings | None, sources: Any) -> list[str]:
    """
    Return *words* of the command with the path that the host knows, where it was left out.

    Args:
        sources: folder of the host's code, None where it is not known.
    """
    if len(words) < 2 or words[1].startswith("-"):
        return words
    files = None if made is None else made.prompts.files
    known = {"prompts": files, "touchpoints": sources}.get(words[0])
    is_said = len(words) > 2 and Path(words[2]).exists()
    return words if known is None or is_said else [*words[:2], str(known), *words[2:]]
