"""
Events are CloudEvents 1.0: by the rules of the specification, and to the official package.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.formats.json import JSONFormat
from hypothesis import HealthCheck, given, settings

from cxsdk.events.codec import decode, encode, read_json
from cxsdk.testing import strategies

CORPUS = sorted((Path(__file__).parent.parent / "golden").glob("*/*.json"))
ENVELOPE = json.loads(Path(__file__).with_name("cloudevents.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_obeys_the_rules_of_cloudevents(path, check):
    """Attributes, their names, types and formats are those of the specification."""
    assert check(ENVELOPE, json.loads(path.read_bytes())) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", ""),
        ("source", "not a uri  x"),
        ("specversion", "0.3"),
        ("type", "a\nb"),
        ("time", "2026-11-22T09:14:05"),
        ("dataschema", "relative/schema"),
        ("averylongextensionname", "x"),
        ("under_score", "x"),
        ("extension", {"nested": True}),
        ("sampledrate", 2**40),
    ],
)
def test_the_rules_can_be_broken(name, value, check, golden):
    """The fixture refuses what the specification refuses."""
    wire = golden("interaction.completed.minimal")
    wire[name] = value
    assert check(ENVELOPE, wire)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_cloudevents_package_reads_and_writes_a_golden_event(path):
    """Through the package's JSON format and back nothing is lost."""
    payload = path.read_bytes()
    theirs = JSONFormat().write(JSONFormat().read(None, payload))
    assert payload == encode(decode(theirs, strict=True))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_travels_over_http_in_structured_mode(path):
    """The package's HTTP binding carries the event unchanged."""
    payload = path.read_bytes()
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, payload)
    sent = to_structured_event(from_http_event(message))
    assert payload == encode(decode(sent.body, strict=True))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_travels_over_http_in_binary_mode(path):
    """In binary mode the data stays what it was; integer extensions become text."""
    theirs = JSONFormat().read(None, path.read_bytes())
    sent = to_binary_event(copy.deepcopy(theirs))
    assert read_json(path.read_bytes())["data"] == read_json(sent.body)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.events())
def test_the_cloudevents_package_carries_any_valid_event(event):
    """Through the package and back, the same bytes."""
    payload = encode(event)
    theirs = JSONFormat().write(JSONFormat().read(None, payload))
    assert payload == encode(decode(theirs, strict=True))


def test_an_extension_that_a_hop_added_does_no_harm(golden):
    """CloudEvents lets a hop add attributes; strict reading goes on, and drops them."""
    wire = golden("interaction.completed.minimal")
    wire["rawtime"] = "2026"
    payload = json.dumps(wire)
    assert decode(payload, strict=True) == decode(payload)
