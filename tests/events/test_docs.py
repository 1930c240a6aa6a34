"""
The reference page, the models and the schemas tell the same.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cxsdk.events import blocks, docs, schema
from cxsdk.events import vocabulary as v
from cxsdk.events.families import FAMILIES
from cxsdk.events.model import plan

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "events.md"


def test_the_page_is_the_one_the_models_generate():
    """Page and models agree."""
    assert docs.page() == PAGE.read_text("utf-8"), "run python -m cxsdk.events.docs"


def test_the_command_writes_the_page(tmp_path):
    """``python -m cxsdk.events.docs`` writes the page where it is told."""
    path = tmp_path / "reference" / "events.md"
    subprocess.run([sys.executable, "-m", "cxsdk.events.docs", str(path)], check=True)
    assert docs.page() == path.read_text("utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_schemas_and_models_have_the_same_fields(family):
    """The shipped schema lists the fields of the model, and requires the same."""
    made = plan(FAMILIES[family])
    shipped = schema.shipped(schema.file_name(family, strict=True))
    assert made.names == shipped["properties"].keys()
    assert {row[1] for row in made.fields if row[3]} == set(shipped["required"])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_shows_family_actions_version_and_fields(family):
    """A reader finds every action and field of a family in its section."""
    section = docs.page().split(f"\n### {family}\n")[1].split("\n### ")[0]
    words = [*v.ACTIONS[family], *plan(FAMILIES[family]).names]
    assert [word for word in words if f"`{word}`" not in section] == []
    assert f"urn:cxsdk:schema:{family}:{v.SCHEMA_VERSION[family]}" in section


@pytest.mark.parametrize("name", blocks.__all__)
def test_every_shared_block_has_a_section(name):
    """A link to a block leads somewhere."""
    assert f"\n### {name}\n" in docs.page()


def test_every_vocabulary_is_listed_with_its_values():
    """Open and closed vocabularies stand on the page."""
    lists = {name: getattr(v, name) for name in v.__all__}
    rows = [
        f"| {name.lower()} | {'open' if words.is_open else 'closed'} | `{'` `'.join(words.values)}` |"
        for name, words in lists.items()
        if isinstance(words, v.Vocabulary)
    ]
    assert len(rows) > 25
    assert [row for row in rows if row not in docs.page()] == []


def test_every_rule_over_several_fields_stands_in_words():
    """A class that checks its fields together says so on the page."""
    classes = [*FAMILIES.values(), *(getattr(blocks, name) for name in blocks.__all__)]
    silent = [
        cls.__name__
        for cls in classes
        if hasattr(cls, "__attrs_post_init__") and not getattr(cls, "_rules", ())
    ]
    assert silent == []
