"""
Choosing one prompt of a path, and values of arguments.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.files import load
from cxsdk.prompts.model import Prompt

__all__ = ["chosen", "pairs"]


def chosen(path: Path, key: str) -> Prompt:
    """
    Return the prompt of this key.

    Raises:
        ConfigurationError: a file is wrong, or there is no such prompt.
    """
    every = {prompt.key: prompt for prompt in load(path)}
    if key not in every:
        near = difflib.get_close_matches(key, every, 1, 0.5)
        said = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(every) or 'none'}"
        raise ConfigurationError(f"{path}: there is no prompt {key!r}; {said}")
    return every[key]


def pairs(words: Iterable[str], argument: str) -> dict[str, Any]:
    """
    Read NAME=VALUE; a number, true, false or a JSON list is one, anything else is text.

    Raises:
        ConfigurationError: there is no ``=``.
    """
    found = {}
    for word in words:
        name, is_there, text = word.partition("=")
        if not is_there or not name:
            raise ConfigurationError(f"{argument}: expected NAME=VALUE, got {word!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found
