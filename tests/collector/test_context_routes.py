"""
The context API over HTTP.
"""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from cxsdk.collector import Collector
from cxsdk.collector.context import SECTIONS
from cxsdk.lookup.items import LISTS


@pytest.fixture
def filled(http, facts):
    """
    A client of a collector that knows two customers.
    """
    http.post("/events", json=[facts.interaction("anna/1"), facts.interaction("ben")])
    return http


def test_several_customers_in_the_order_they_were_asked(filled):
    """Each with its sections as of now; nobody has no sections."""
    before = datetime.now(UTC)
    answer = filled.post(
        "/context",
        json={
            "customers": [{"id": "ben"}, {"id": "nobody", "space": "id"}, {"id": "anna/1"}],
            "sections": ["interactions", "consent"],
            "purpose": "support",
        },
    )
    assert answer.status_code == 200
    ben, nobody, anna = answer.json()["customers"]
    assert (ben["id"], ben["space"], list(ben["sections"])) == (
        *("ben", "id", ["interactions", "consent"]),
    )
    assert nobody == {"id": "nobody", "space": "id", "sections": {}}
    found = anna["sections"]["interactions"]
    assert (len(found["value"]), found["truncated"]) == (1, False)
    assert before <= datetime.fromisoformat(found["as_of"]) <= datetime.now(UTC)


def test_limits_are_of_single_sections(filled, facts):
    """The others keep their default."""
    filled.post("/events", json=[facts.interaction("ben"), facts.score(3, customer="ben")])
    asked = {"customers": [{"id": "ben"}], "limits": {"interactions": 1}}
    (ben,) = filled.post("/context", json=asked).json()["customers"]
    assert list(ben["sections"]) == list(SECTIONS)
    assert len(ben["sections"]["interactions"]["value"]) == 1
    assert ben["sections"]["interactions"]["truncated"] is True
    assert ben["sections"]["feedback"]["truncated"] is False


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"customers": []}, "customers: expected 1 to 50"),
        ({"customers": [{"id": "x"}] * 51}, "customers: expected 1 to 50"),
        ({"customers": [{"id": ""}]}, "customers[0].id: expected 1 to 200 characters"),
        ({"customers": [{"id": "x" * 201}]}, "customers[0].id: expected 1 to 200 characters"),
        (
            {"customers": [{"id": "x", "space": "y" * 201}]},
            "customers[0].space: expected 1 to 200 characters",
        ),
        ({"customers": [{"id": 7}]}, "customers[0].id: Expected `str`, got `int`"),
        ({"customers": [{"id": "x"}], "sections": ["orders"]}, "sections: expected some of "),
        ({"customers": [{"id": "x"}], "limits": {"consent": 3}}, "limits: expected names of lists"),
        (
            {"customers": [{"id": "x"}], "limits": {"feedback": 0}},
            "limits.feedback: expected 1 to 200",
        ),
        (
            {"customers": [{"id": "x"}] * 25, "limits": {"feedback": 101}},
            "limits.feedback: expected 1 to 100 of so many customers",
        ),
        ({"customers": [{"id": "x"}], "purpose": ""}, "purpose: expected 1 to 200 characters"),
        ({"customers": [{"id": "x"}], "who": 1}, "body: Object contains unknown field `who`"),
        ({}, "body: Object missing required field `customers`"),
    ],
)
def test_wrong_question_is_answered_with_the_field(filled, asked, words):
    """400, and the name of what is wrong."""
    answer = filled.post("/context", json=asked)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)


def test_body_must_be_json_and_short(filled):
    """Another type is 415, what is no JSON 400, a long one 413."""
    json_type = {"content-type": "application/json"}

    def status(content, headers=json_type):
        return filled.post("/context", content=content, headers=headers).status_code

    assert status(b"{", {"content-type": "application/x-ndjson"}) == 415
    assert status(b"{") == 400
    assert status(b" " * 64_001) == 413


def test_one_customer_by_address(filled):
    """Sections and limit in the query; the id may hold a slash."""
    answer = filled.get("/customers/anna%2F1/context.json?sections=interactions,profile&limit=5")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["id"], list(found["sections"])) == ("anna/1", ["interactions", "profile"])
    assert filled.get("/customers/ben/context.json?space=anonymous").status_code == 404
    assert filled.get("/customers/nobody/context.json").json() == {
        "error": "customer: nobody is known by this identifier"
    }


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sections=orders", "sections: expected some of"),
        ("limit=0", "limit: expected a whole number from 1 to 200"),
        ("limit=201", "limit: expected a whole number from 1 to 200"),
        ("limit=x", "limit: expected a whole number from 1 to 200"),
        ("section=identity", "section: expected one of limit, sections, space"),
    ],
)
def test_wrong_query_is_answered_with_the_parameter(filled, query, words):
    """400, and the name of what is wrong."""
    answer = filled.get(f"/customers/ben/context.json?{query}")
    assert (answer.status_code, answer.json()["error"].startswith(words)) == (400, True)


def test_what_is_known_already_is_not_sent_again(filled, facts):
    """304 to the ETag, until something new is known of this customer."""
    path = "/customers/ben/context.json"
    etag = filled.get(path).headers["etag"]
    again = filled.get(path, headers={"if-none-match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert filled.get(f"{path}?limit=1&sections=profile").headers["etag"] != etag
    filled.post("/events", json=[facts.interaction("anna/1")])
    assert filled.get(path, headers={"if-none-match": etag}).status_code == 304
    filled.post("/events", json=[facts.interaction("ben")])
    assert filled.get(path, headers={"if-none-match": etag}).status_code == 200


def test_context_is_guarded_like_everything(tmp_path):
    """Without the key 401, from another site 403."""
    with (
        Collector(tmp_path / "c.db", api_key="k") as running,
        httpx.Client(base_url=running.url, trust_env=False) as client,
    ):
        asked = {"customers": [{"id": "x"}]}
        assert client.post("/context", json=asked).status_code == 401
        assert client.get("/customers/x/context.json").status_code == 401
        for path in ("/due", "/due.json", "/affected", "/affected.csv?problem=x", "/silent.json"):
            assert client.get(path).status_code == 401
        key = {"authorization": "Bearer k"}
        assert client.post("/context", json=asked, headers=key).status_code == 200
        elsewhere = {**key, "origin": "https://evil.example"}
        assert client.post("/context", json=asked, headers=elsewhere).status_code == 403


def test_lists_are_what_limits_name():
    """Every section is a record or a list, and the defaults are those of the contract."""
    assert set(SECTIONS) == {*LISTS, "identity", "profile", "consent"}
