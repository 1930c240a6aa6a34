"""
What the tests of the standard share: validators with format checks, the golden corpus.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

GOLDEN = Path(__file__).parent.parent / "golden"


def complaints(schema: dict[str, Any], value: Any) -> list[str]:
    """
    Return what two independent validators, both with format checks, have against *value*.
    """
    # Without jsonschema[format-nongpl] naive times would pass silently.
    assert "date-time" in jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers
    rust = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    python = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    found = [f"rust: {error.message}" for error in rust.iter_errors(value)]
    return found + [f"python: {error.message}" for error in python.iter_errors(value)]


@pytest.fixture(scope="session")
def check() -> Callable[[dict[str, Any], Any], list[str]]:
    """
    Return the function `complaints`.
    """
    return complaints


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """
    Return a reader of golden events of 1-0-0 by name.
    """

    def read(name: str) -> dict[str, Any]:
        return json.loads((GOLDEN / "1-0-0" / f"{name}.json").read_bytes())

    return read
