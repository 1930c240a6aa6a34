"""
The gates of the standard: what was released stays, and old and new read each other.
"""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cxsdk.errors import InvalidEventError
from cxsdk.events import schema
from cxsdk.events import vocabulary as v
from cxsdk.events.codec import decode, encode, from_wire
from cxsdk.events.families import FAMILIES

GOLDEN = Path(__file__).parent.parent / "golden"
SCHEMAS = Path(schema.__file__).parent / "schemas"
RELEASED = json.loads((GOLDEN / "released.json").read_text("utf-8"))
REFUSED = json.loads((GOLDEN / "refused.json").read_text("utf-8"))
CORPUS = sorted(GOLDEN.glob("*/*.json"))


def _family(wire: dict[str, Any]) -> str:
    return wire["type"].split(".")[-3]


def _model(version: str) -> str:
    return version.partition("-")[0]


def _newest(wire: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    return schema.shipped(schema.file_name(_family(wire), strict=strict))


def _wrong(case: dict[str, Any]) -> dict[str, Any]:
    """
    Apply a case of refused.json to the golden event it begins with.
    """
    wire = json.loads((GOLDEN / "1-0-0" / f"{case['base']}.json").read_bytes())
    for path in case["remove"]:
        place, name = _place(wire, path)
        del place[name]
    for path, value in case["set"].items():
        place, name = _place(wire, path)
        place[name] = value
    return wire


def _place(wire: Any, path: str) -> tuple[Any, Any]:
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for step in way:
        wire = wire[step]
    return wire, last


# ---- schema files -------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_a_released_schema_file_is_byte_identical(name):
    """A schema file that was released has the bytes it was released with."""
    assert hashlib.sha256((SCHEMAS / name).read_bytes()).hexdigest() == RELEASED[name]


def test_every_shipped_schema_file_is_on_record():
    """A schema file cannot be shipped without being put under the gate."""
    assert sorted(RELEASED) == sorted(path.name for path in SCHEMAS.iterdir())


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_version_changes_if_and_only_if_the_file_does(family, strict, tmp_path):
    """What the models generate is what is shipped under the current version."""
    schema.write(tmp_path)
    name = schema.file_name(family, strict=strict)
    assert (SCHEMAS / name).read_bytes() == (tmp_path / name).read_bytes(), (
        f"{family}: the models changed; raise SCHEMA_VERSION, write the schemas and add their"
        " hashes to tests/golden/released.json"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_version_has_a_strict_and_a_lenient_file_that_differ(family):
    """Producers and consumers have a schema each, and the two are not the same."""
    strict = schema.generate(family, strict=True)
    lenient = schema.generate(family, strict=False)
    assert (strict["$id"] + ":lenient", False) == (lenient["$id"], strict == lenient)


def test_a_new_version_would_be_noticed(monkeypatch, tmp_path):
    """The gate can fail: a field added to a model without a new version changes the file."""
    cls = FAMILIES["loss"]
    from cxsdk.events import _block
    from cxsdk.events.kinds import Flag

    made = _block._plans[cls]
    grown = made._replace(fields=(*made.fields, ("is_new", "is_new", Flag(), False)))
    monkeypatch.setitem(_block._plans, cls, grown)
    schema.write(tmp_path)
    name = schema.file_name("loss", strict=True)
    assert (SCHEMAS / name).read_bytes() != (tmp_path / name).read_bytes()


# ---- the golden corpus --------------------------------------------------------------------


def test_the_corpus_has_a_minimal_and_a_full_event_of_each_action():
    """No action of the vocabulary is without golden events."""
    have = {path.stem for path in (GOLDEN / "1-0-0").iterdir()}
    want = {
        f"{family}.{action}.{size}"
        for family, actions in v.ACTIONS.items()
        for action in actions
        for size in ("minimal", "full")
    }
    assert set() == want - have


def test_full_events_hold_every_field_of_their_family():
    """A full golden event leaves out only what excludes another field."""
    from cxsdk.events.model import plan

    seen: dict[str, set[str]] = {family: set() for family in FAMILIES}
    for path in CORPUS:
        wire = json.loads(path.read_bytes())
        seen[_family(wire)] |= wire["data"].keys()
    assert {family: set(plan(cls).names) for family, cls in FAMILIES.items()} == seen


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_is_read_strictly_and_written_again_byte_for_byte(path):
    """Every golden event of every version decodes strictly and encodes to its own bytes."""
    payload = path.read_bytes()
    assert payload == encode(decode(payload, strict=True))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_passes_the_newest_schemas_of_its_model(path, check):
    """History stays valid: strict and lenient, with format checks, in two validators."""
    wire = json.loads(path.read_bytes())
    strict = check(_newest(wire, strict=True), wire["data"])
    assert strict + check(_newest(wire, strict=False), wire["data"]) == []


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_passes_every_older_lenient_schema(path, check):
    """A consumer that never updated goes on reading, within its MODEL."""
    wire = json.loads(path.read_bytes())
    family, model = _family(wire), _model(path.parent.name)
    older = [
        name
        for name in RELEASED
        if name.startswith(f"{family}-{model}-") and name.endswith("lenient.json")
    ]
    assert older
    assert [fault for name in older for fault in check(schema.shipped(name), wire["data"])] == []


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_golden_event_names_the_version_of_its_folder(path):
    """The folder of a golden event is the version in its dataschema."""
    assert path.parent.name == json.loads(path.read_bytes())["dataschema"].rpartition(":")[2]


# ---- what is refused ----------------------------------------------------------------------


def test_there_are_enough_negative_cases():
    """The refusals stay on record."""
    assert len(REFUSED) >= 25
    assert len(REFUSED) == len({case["name"] for case in REFUSED})


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_a_negative_case_is_refused_by_the_models_naming_the_field(case):
    """The codec in strict mode names the field that is wrong."""
    with pytest.raises(InvalidEventError) as caught:
        from_wire(_wrong(case), strict=True)
    assert case["field"] == caught.value.field


@pytest.mark.parametrize(
    "case", [case for case in REFUSED if case["lenient"]], ids=lambda case: case["name"]
)
def test_a_negative_case_is_refused_by_a_lenient_reader_too(case):
    """Leniency is for what a later ADDITION may bring, not for what is wrong."""
    with pytest.raises(InvalidEventError) as caught:
        from_wire(_wrong(case), strict=False)
    assert case.get("lenient_field", case["field"]) == caught.value.field


@pytest.mark.parametrize(
    "case", [case for case in REFUSED if case["strict_schema"]], ids=lambda case: case["name"]
)
def test_a_negative_case_is_refused_by_the_strict_schema(case, check):
    """Where JSON Schema can say it, both validators refuse it too."""
    wire = _wrong(case)
    found = {fault.partition(":")[0] for fault in check(_newest(wire, strict=True), wire["data"])}
    assert {"rust", "python"} == found


@pytest.mark.parametrize(
    "case",
    [case for case in REFUSED if case["strict_schema"] and case["lenient"]],
    ids=lambda case: case["name"],
)
def test_a_negative_case_is_refused_by_the_lenient_schema(case, check):
    """A consumer with a schema and without this library refuses the same."""
    wire = _wrong(case)
    found = {fault.partition(":")[0] for fault in check(_newest(wire, strict=False), wire["data"])}
    assert {"rust", "python"} == found


@pytest.mark.parametrize("base", sorted({case["base"] for case in REFUSED}))
def test_the_event_a_negative_case_begins_with_is_right(base):
    """A case is refused for what it changes, not for what it began with."""
    decode((GOLDEN / "1-0-0" / f"{base}.json").read_bytes(), strict=True)


# ---- drift --------------------------------------------------------------------------------


def _next_version(family: str, *, strict: bool) -> dict[str, Any]:
    grown = copy.deepcopy(schema.generate(family, strict=strict))
    grown["properties"]["weather"] = {"type": "string"}
    return grown


@pytest.mark.parametrize("family", FAMILIES)
def test_an_optional_field_of_tomorrow_passes_today_s_lenient_schema_only(family, check):
    """Adding an optional field: old lenient accepts, old strict refuses, new strict accepts."""
    action = v.ACTIONS[family][0]
    wire = json.loads((GOLDEN / "1-0-0" / f"{family}.{action}.full.json").read_bytes())
    wire["data"]["weather"] = "rain"
    outcome = (
        check(schema.generate(family, strict=False), wire["data"]),
        bool(check(schema.generate(family, strict=True), wire["data"])),
        check(_next_version(family, strict=True), wire["data"]),
    )
    assert outcome == ([], True, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_optional_field_of_tomorrow_is_dropped_by_the_lenient_reader(family):
    """Today's library reads tomorrow's event; strictly it refuses the field by name."""
    action = v.ACTIONS[family][0]
    payload = (GOLDEN / "1-0-0" / f"{family}.{action}.full.json").read_bytes()
    wire = json.loads(payload)
    wire["data"]["weather"] = "rain"
    wire["dataschema"] = wire["dataschema"].replace("1-0-0", "1-0-1")
    read = from_wire(wire)
    assert decode(payload).data == read.data
    with pytest.raises(InvalidEventError) as caught:
        from_wire(wire, strict=True)
    assert f"{family}.weather" == caught.value.field


def test_an_enum_value_of_tomorrow_passes_today_s_lenient_schema_only(golden, check):
    """An open vocabulary grows with an ADDITION: old lenient accepts, old strict refuses."""
    wire = golden("interaction.completed.full")
    wire["data"]["where"]["channel"] = "hologram"
    found = (
        check(schema.generate("interaction", strict=False), wire["data"]),
        bool(check(schema.generate("interaction", strict=True), wire["data"])),
        from_wire(wire).data.where.channel,
    )
    assert found == ([], True, "unknown")


def test_an_enum_value_of_tomorrow_without_unknown_is_read_as_x_unknown(golden):
    """Where a vocabulary has no word for unknown, the reader takes x_unknown."""
    wire = golden("problem.encountered.full")
    wire["data"]["severity"] = "apocalyptic"
    assert from_wire(wire).data.severity == "x_unknown"


def test_a_value_beyond_a_closed_vocabulary_is_refused_by_every_reader(golden, check):
    """A closed vocabulary changes with MODEL only."""
    wire = golden("interaction.completed.full")
    wire["data"]["direction"] = "sideways"
    assert check(schema.generate("interaction", strict=False), wire["data"])
    with pytest.raises(InvalidEventError, match=r"direction.*inbound, outbound"):
        from_wire(wire)
