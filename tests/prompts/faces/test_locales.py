"""
Catalogues: complete, of one shape, and placeholders where English has them.
"""

from __future__ import annotations

import json
import re

import pytest

from cxsdk.prompts.question import KINDS
from cxsdk.prompts.wording import _FOLDER, chrome, direction_of

LANGUAGES = sorted(path.stem for path in _FOLDER.glob("*.json"))
ENGLISH = json.loads((_FOLDER / "en.json").read_text("utf-8"))


def leaves(found, path=""):
    """
    Return path → text of everything in a catalogue.
    """
    if isinstance(found, str):
        return {path: found}
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    return {p: text for name, each in pairs for p, text in leaves(each, f"{path}/{name}").items()}


def test_the_languages_are_those_promised():
    """English and ten others."""
    assert LANGUAGES == ["ar", "de", "en", "es", "fr", "he", "it", "ja", "nl", "pl", "pt"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_complete(language):
    """The same keys as English, none empty, with the same placeholders."""
    mine = leaves(json.loads((_FOLDER / f"{language}.json").read_text("utf-8")))
    theirs = leaves(ENGLISH)
    assert mine.keys() == theirs.keys()
    for path, text in mine.items():
        assert text.strip() == text
        assert text
        assert set(re.findall(r"\{\w*\}", text)) == set(re.findall(r"\{\w*\}", theirs[path]))


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_a_catalogue_is_translated(language):
    """Few texts are spelt as in English."""
    mine = leaves(json.loads((_FOLDER / f"{language}.json").read_text("utf-8")))
    theirs = leaves(ENGLISH)
    same = {path for path in mine if mine[path] == theirs[path]}
    assert len(same) <= 4, same


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_of_one_question_can_be_told_apart(language):
    """No two values of a kind have one label, and every kind with fixed values has labels."""
    values = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))["values"]
    for kind, labels in values.items():
        assert len(set(labels.values())) == len(labels), kind
    for name, kind in KINDS.items():
        if kind.values:
            assert set(values[name]) == set(kind.values)


@pytest.mark.parametrize(
    ("tag", "language", "way"),
    [("de-AT", "de", "ltr"), ("ar_EG", "ar", "rtl"), ("he", "he", "rtl"), ("xx", "en", "ltr")],
)
def test_the_best_catalogue_is_found(tag, language, way):
    """BCP 47 lookup, English where there is none; direction by language."""
    assert chrome(tag)[0] == language
    assert direction_of(tag) == way
