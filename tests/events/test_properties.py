"""
What holds for any event at all.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxsdk.errors import CXError, DecodeError, InvalidEventError
from cxsdk.events import schema
from cxsdk.events.codec import decode, encode, from_wire, read_json
from cxsdk.events.families import FAMILIES
from cxsdk.testing import strategies

GOLDEN = [
    json.loads(path.read_bytes())
    for path in sorted((Path(__file__).parent.parent / "golden" / "1-0-0").iterdir())
]
VALIDATORS = {
    (family, strict): jsonschema_rs.Draft202012Validator(
        schema.generate(family, strict=strict), validate_formats=True
    )
    for family in FAMILIES
    for strict in (True, False)
}

NAMES = {family: schema.generate(family, strict=True)["properties"].keys() for family in FAMILIES}

thorough = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """
    Return the path of every value within *value*.
    """
    out = [path] if path else []
    if isinstance(value, dict):
        for name, item in value.items():
            out += _places(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            out += _places(item, (*path, index))
    return out


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """
    Draw a golden event with one value replaced, removed, or added beside it.
    """
    wire = copy.deepcopy(draw(st.sampled_from(GOLDEN)))
    *way, last = draw(st.sampled_from(_places(wire)))
    place: Any = wire
    for step in way:
        place = place[step]
    how = draw(st.sampled_from(["replace", "remove", "add"]))
    if how == "remove":
        del place[last]
    elif how == "add" and isinstance(place, dict):
        place[draw(st.text(max_size=8))] = draw(strategies.json_values())
    else:
        place[last] = draw(strategies.json_values())
    return wire


@pytest.mark.parametrize("family", FAMILIES)
def test_any_event_survives_the_wire(family):
    """Encoded, strictly decoded and encoded again: the same bytes."""

    @thorough
    @given(strategies.events(family))
    def check(event):
        payload = encode(event)
        assert payload == encode(decode(payload, strict=True))

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_schemas_accept_what_the_models_accept(family):
    """Strict and lenient schema have nothing against any event that the models let pass."""

    @thorough
    @given(strategies.events(family))
    def check(event):
        data = read_json(encode(event))["data"]
        faults = [
            error.message
            for strict in (True, False)
            for error in VALIDATORS[family, strict].iter_errors(data)
        ]
        assert faults == []

    check()


@pytest.mark.parametrize("strict", [True, False])
def test_one_wrong_field_gives_an_invalid_event_or_a_valid_one(strict):
    """No mutation of a golden event gets anything but InvalidEventError out of the reader."""

    @settings(thorough, max_examples=120)
    @given(mutants())
    def check(wire):
        try:
            event = from_wire(wire, strict=strict)
        except InvalidEventError:
            return
        payload = encode(event)
        assert payload == encode(decode(payload, strict=True))

    check()


def test_a_mutant_the_models_take_is_one_the_strict_schema_takes():
    """The models are nowhere more lenient than the schema they publish."""

    @settings(thorough, max_examples=120)
    @given(mutants())
    def check(wire):
        try:
            event = from_wire(wire, strict=True)
        except InvalidEventError:
            return
        data = read_json(encode(event))["data"]
        assert VALIDATORS[event.family, True].is_valid(data)

    check()


@thorough
@given(strategies.json_values(max_leaves=20))
def test_arbitrary_json_is_refused_as_ours(value):
    """from_wire lets nothing but InvalidEventError escape."""
    with pytest.raises(InvalidEventError):
        from_wire(value)


@pytest.mark.parametrize("family", FAMILIES)
def test_arbitrary_data_under_a_right_type_is_refused_as_ours(family):
    """Whatever stands in data, only InvalidEventError escapes."""
    envelope = next(wire for wire in GOLDEN if wire["type"].split(".")[-3] == family)

    @thorough
    @given(
        st.dictionaries(
            st.sampled_from(sorted(NAMES[family])), strategies.json_values(), max_size=8
        )
        | strategies.json_values()
    )
    def check(data):
        for strict in (True, False):
            try:
                from_wire({**envelope, "data": data}, strict=strict)
            except InvalidEventError:
                continue

    check()


@thorough
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_bytes_are_refused_as_ours(payload):
    """Decode lets nothing but DecodeError and InvalidEventError escape."""
    with pytest.raises(CXError) as caught:
        decode(payload)
    assert isinstance(caught.value, (DecodeError, InvalidEventError))
