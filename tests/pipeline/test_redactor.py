"""
A team's own step of redaction, and Presidio as one.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

import cxsdk as cx
from cxsdk import testing
from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.pipeline.presidio import presidio


def said(redactor, text="Jane wrote to jane@example.com"):
    """Return what is kept of a comment."""
    client = cx.Client("shop", collector="memory:", privacy=cx.PrivacyOptions(redactor=redactor))
    with testing.capture() as captured:
        client.feedback(csat=4, text=text, customer="c1")
    client.close()
    (event,) = list(captured)
    return event.data.answers[-1].text


def test_it_comes_after_the_built_in_one():
    """It sees no address any more, and what it takes out stays out."""
    seen = []

    def redactor(text):
        seen.append(text)
        return text.replace("Jane", "[name]")

    assert said(redactor) == "[name] wrote to [email]"
    assert seen == ["Jane wrote to [email]"]


@pytest.mark.parametrize("redactor", [lambda _: 1 / 0, lambda _: None, lambda _: b"bytes"])
def test_what_it_cannot_read_is_withheld(redactor):
    """A redactor that fails costs the words, never the score, and never lets them through."""
    assert said(redactor) == "[withheld]"


def test_it_must_be_callable():
    """Said where the options are made."""
    with pytest.raises(ConfigurationError, match="redactor"):
        cx.PrivacyOptions(redactor="presidio")


class Analyzer:
    """Finds what it is told to; the part of Presidio's engine that is used."""

    def __init__(self, *found):
        self.found = found
        self.asked = []

    def analyze(self, *, text, language, entities):
        self.asked.append((text, language, entities))
        return [
            SimpleNamespace(start=s, end=e, entity_type=kind, score=score)
            for s, e, kind, score in self.found
        ]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], "Jane lives in Linz"),
        ([(0, 4, "PERSON", 0.9)], "[person] lives in Linz"),
        ([(14, 18, "LOCATION", 0.8), (0, 4, "PERSON", 0.9)], "[person] lives in [location]"),
        ([(0, 4, "PERSON", 0.3)], "Jane lives in Linz"),
        ([(0, 10, "PERSON", 0.9), (5, 18, "LOCATION", 0.9)], "[person]"),
        ([(5, 10, "URL", 0.9), (5, 18, "EMAIL", 0.9), (9, 12, "ORG", 0.9)], "Jane [email]"),
    ],
)
def test_presidio_takes_out_what_it_is_sure_of(found, kept):
    """Spans become their kind; of those that overlap the first one stands for all."""
    analyzer = Analyzer(*found)
    assert presidio("en", entities=["PERSON"], analyzer=analyzer)("Jane lives in Linz") == kept
    assert analyzer.asked == [("Jane lives in Linz", "en", ["PERSON"])]


def test_without_presidio_the_error_says_how_to_get_it(monkeypatch):
    """The install command is in it."""
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(ExtraMissingError, match=r"cxsdk\[presidio\]"):
        presidio()
