"""
JSON Schemas of the standard: generated from the models, shipped in the wheel, never fetched.

``python -m cxsdk.events.schema`` rewrites the files of the current versions. A file that was
released never changes: a change of the model needs a new version in `vocabulary.SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from cxsdk.events import vocabulary as v
from cxsdk.events._block import schema
from cxsdk.events.model import FAMILIES

__all__ = ["file_name", "generate", "shipped", "write"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def file_name(family: str, *, strict: bool) -> str:
    """
    Return the file name of the current schema of *family*.
    """
    return f"{family}-{v.SCHEMA_VERSION[family]}.{'strict' if strict else 'lenient'}.json"


def generate(family: str, *, strict: bool) -> dict[str, Any]:
    """
    Return the JSON Schema of an event's ``data``.

    Strict is for producers: unknown fields and unknown enum values are refused. Lenient is for
    consumers: it takes what a later ADDITION may bring.
    """
    cls = FAMILIES[family]
    version = v.SCHEMA_VERSION[family]
    return {
        "$schema": _DRAFT,
        "$id": f"urn:cxsdk:schema:{family}:{version}" + ("" if strict else ":lenient"),
        "title": f"cxsdk {family} {version}",
        "description": (cls.__doc__ or "").strip().split("\n")[0],
        "x-layer": v.LAYERS.get(family, "neutral"),
        "x-actions": list(v.ACTIONS[family]),
        **schema(cls, strict=strict),
    }


def shipped(name: str) -> dict[str, Any]:
    """
    Return a schema file of the wheel by its file name.
    """
    text = resources.files("cxsdk.events").joinpath("schemas", name).read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def write(folder: Path) -> list[Path]:
    """
    Write the current schemas into *folder*; return the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for family in FAMILIES:
        for strict in (True, False):
            path = folder / file_name(family, strict=strict)
            text = json.dumps(generate(family, strict=strict), indent=1, ensure_ascii=False)
            path.write_text(text + "\n", "utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    write(Path(__file__).parent / "schemas")
