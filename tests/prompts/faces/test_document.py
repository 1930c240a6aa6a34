"""
An offer as JSON: it fits its published schema, and an answer that fits is taken.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import jsonschema
import pytest

from cxsdk.prompts.faces.document import SCHEMAS, problem, schema
from tests.prompts.faces.conftest import PROMPTS


def checker(name):
    found = json.loads(schema(name))
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(
        found, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@pytest.mark.parametrize("locale", ["en", "de", "ar"])
@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.key)
def test_an_offer_fits_the_published_schema(desk, prompt, locale):
    """Every prompt in every language, as Python and as it is served."""
    offer = desk.offer(prompt.key, locale=locale)
    checker("offer").validate(offer.as_json("/cx"))
    served = desk.call("GET", f"/o/{offer.token}.json", mount="/cx")
    shown, said = json.loads(served.body), json.loads(json.dumps(offer.as_json("/cx")))
    # The store's clock decides, and is read a moment later than ours.
    ends = [datetime.fromisoformat(each.pop("expires_at")) for each in (shown, said)]
    assert abs(ends[0] - ends[1]) <= timedelta(seconds=1)
    assert shown == said


def test_a_document_holds_texts_and_a_token_and_no_id(desk):
    """What a browser gets says nothing about the customer, the prompt's key or the interaction."""
    offer = desk.offer("score", customer="u-secret-17", context={"name": "Anna"})
    text = json.dumps(offer.as_json())
    assert offer.token in text
    assert "u-secret-17" not in text
    assert offer.offer_id not in text
    assert '"Anna, a word about your order"' in text


def test_texts_are_in_the_language_of_the_reader(desk):
    """Question, chrome and direction follow the offer's locale."""
    german = desk.offer("score", locale="de-AT", context={"name": "Anna"}).as_json()
    assert (german["locale"], german["direction"]) == ("de", "ltr")
    assert german["questions"][1]["text"] == "Warum?"
    assert german["strings"]["submit"] == "Senden"
    arabic = desk.offer("all", locale="ar").as_json()
    assert (arabic["locale"], arabic["direction"]) == ("ar", "rtl")


def test_conditions_scales_and_options_are_told(desk):
    """A headless form can branch, label its ends and draw its choices."""
    shown = desk.offer("score").as_json()
    score, why = shown["questions"]
    assert score["scale"] == {
        "min": 0,
        "max": 10,
        "low_label": "Not at all likely",
        "high_label": "Extremely likely",
    }
    assert [each["value"] for each in score["options"]] == list(range(11))
    assert why["show_if"] == {"question": "score", "op": "at_most", "value": 6}
    goods = desk.offer("all").as_json()["questions"][2]
    assert goods["options"][-1] == {"value": "other", "label": "Something else"}
    assert goods["other"]["name"] == "goods_other"


def test_shuffled_choices_keep_their_order_for_one_offer(desk):
    """JSON, form and a reload show the same order; another offer may have another."""
    offers = [desk.offer("all") for _ in range(12)]
    orders = set()
    for offer in offers:
        order = [each["value"] for each in offer.as_json()["questions"][3]["options"]]
        assert order == [each["value"] for each in offer.as_json()["questions"][3]["options"]]
        html = str(offer.as_html())
        places = [html.index(f'value="{value}"') for value in order]
        assert places == sorted(places)
        orders.add(tuple(order))
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({"score": 8}, 200),
        ({"score": "8"}, 200),
        ({"score": 3, "why": "slow"}, 200),
        ({"score": 8, "why": None}, 200),
        ({}, 422),
        ({"score": 11}, 422),
        ({"score": ["8"]}, 422),
    ],
)
def test_an_answer_body_fits_its_schema(desk, answers, status):
    """What the schema allows is read; what does not fit its question is a problem that fits too."""
    offer = desk.offer("score")
    checker("answer").validate({"answers": answers})
    found = desk.call(
        "POST",
        f"/o/{offer.token}",
        {"content-type": "application/json"},
        json.dumps({"answers": answers}).encode(),
    )
    assert found.status == status
    if status == 422:
        assert found.header("content-type") == "application/problem+json"
        checker("problem").validate(json.loads(found.body))


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 413, 415, 422, 503])
def test_every_problem_fits_its_schema(status):
    """RFC 9457: type, title, status; errors point into the body."""
    codes = {
        400: "malformed",
        403: "foreign_origin",
        404: "not_found",
        405: "method",
        409: "conflict",
        410: "gone",
        413: "too_large",
        415: "media_type",
        422: "invalid",
        503: "unavailable",
    }
    made = problem(status, codes[status], "Why.", {"score": "required", "": "unknown_question"})
    checker("problem").validate(made)
    assert made["errors"][0]["pointer"] == "/answers/score"


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_served(desk, name):
    """Beside the static files, for any origin."""
    found = desk.call("GET", f"/static/{name}.schema.json")
    assert (found.status, found.header("content-type")) == (200, "application/schema+json")
    assert found.body == schema(name)
    assert found.header("access-control-allow-origin") == "*"
