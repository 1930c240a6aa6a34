"""
The table of what is covered names tests that exist.
"""

from __future__ import annotations

import re

import pytest

from tests.acceptance.kill import HERE

NAMED = re.findall(r"`(tests/\w+/\w+\.py)(?:::(\w+))?`", (HERE / "README.md").read_text())


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_every_named_test_exists(path, name):
    """A file and a test that the table names are there."""
    text = (HERE.parent.parent / path).read_text()
    assert f"def {name}(" in text if name else text
