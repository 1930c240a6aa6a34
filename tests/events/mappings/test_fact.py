"""
What every mapping reads events with.
"""

import json

import pytest

from cxsdk.errors import DecodeError
from cxsdk.events.mappings._fact import flat, number, read, title, who


def test_an_event_of_a_newer_version_is_read():
    """Unknown attributes, families and fields do not stop it."""
    made = read(b'{"id":"a","type":"dev.cxsdk.mood.swung.v2","future":1,"data":{"new":[1]}}')
    assert (made.family, made.action, made.data) == ("mood", "swung", {"new": [1]})
    assert title(made) == "mood swung"


def test_a_type_of_another_form_is_the_action():
    """Something else than an event of the standard still has a name."""
    made = read(b'{"id":"a","type":"t"}')
    assert (made.family, made.action, title(made)) == ("", "t", "t")


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"id":1}', b'{"id":"a","data":[]}'])
def test_what_is_no_event_is_refused(payload):
    """With an error of ours."""
    with pytest.raises(DecodeError):
        read(payload)


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        (None, (None, None, None)),
        ({"id": "u", "anonymous_id": "a", "account_id": "c"}, ("u", "a", "c")),
        ({"ids": [{"ns": "crm", "id": "7"}, {"ns": "x", "id": "8"}]}, ("crm:7", None, None)),
        ({"id": "u", "ids": [{"ns": "crm", "id": "7"}]}, ("u", None, None)),
    ],
)
def test_whom_an_event_is_about(customer, expected):
    """The id goes first, then the first id of a named space."""
    assert who(customer) == expected


def test_nested_facts_become_flat_names():
    """Objects are joined, lists and ``ext`` stay, what is named is left out."""
    data = {"where": {"channel": "web"}, "ext": {"a.b": {"c": 1}}, "refs": [{"id": 1}], "x": 1}
    assert flat(data, without=frozenset({"x"})) == {
        "where_channel": "web",
        "ext": {"a.b": {"c": 1}},
        "refs": [{"id": 1}],
    }


def test_money_becomes_a_number_or_nothing():
    """Only at the edge to analytics."""
    assert [number(a) for a in ("19.90", "-12000", None, "many")] == [19.9, -12000.0, None, None]


def test_reading_is_the_same_as_the_codec(golden):
    """No event of the corpus is read differently."""
    said = json.loads(golden)
    made = read(golden)
    assert made.data == said["data"]
    assert f".{made.family}.{made.action}.v" in said["type"]
