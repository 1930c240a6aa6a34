"""
Events as PostHog's capture endpoint reads them.
"""

import json
import uuid

import pytest

from cxsdk.events.mappings import posthog
from cxsdk.events.mappings._fact import read
from tests.sinks.servers import check_captured

WHO = {"id": "k7", "account_id": "A-1"}
SCALE = {"min": 0, "max": 10, "better": "higher"}


def test_every_event_can_be_captured(golden):
    """Ids, name, time and properties, for the whole corpus."""
    check_captured(posthog.capture(read(golden)))


def test_an_interaction_is_a_custom_event(fact):
    """With the customer as distinct_id and no look-up of the service's own address."""
    data = {
        "customer": WHO,
        "where": {"channel": "web"},
        "value": {"amount": "1", "currency": "JPY"},
    }
    made = posthog.capture(fact("interaction", "completed", data))
    assert (made["event"], made["distinct_id"]) == ("interaction completed", "k7")
    said = made["properties"]
    assert (said["where_channel"], said["value"], said["currency"]) == ("web", 1.0, "JPY")
    assert said["$geoip_disable"] is True
    assert "$process_person_profile" not in said


@pytest.mark.parametrize("name", ["hashed-key", "x" * 200, "019b0001-0000-7000-8000-00000000000Z"])
def test_an_id_that_is_no_uuid_gets_one_that_stays(fact, name):
    """Derived from source and id: the same event, the same uuid; another source, another one."""
    first, again = (posthog.event_uuid(fact("loss", "recorded", {}, id=name)) for _ in "ab")
    assert first == again
    assert uuid.UUID(first).version == 5
    other = json.dumps({"id": name, "source": "urn:service:till"}).encode()
    assert posthog.event_uuid(read(other)) != first


def test_a_uuid_stays_what_it_is(fact):
    """PostHog shows the id that our logs show."""
    made = fact("loss", "recorded", {}, id="019b0001-0000-7000-8000-000000000001")
    assert posthog.event_uuid(made) == made.id


def test_answers_to_a_prompt_are_a_survey_sent(fact):
    """By index and by question, as text; the raw answers with their scale stay beside them."""
    answers = [
        {"question": "recommend", "value": 9, "scale": SCALE},
        {"question": "why", "text": "schnell"},
        {"question": "missing", "values": ["price", "x"]},
        {"question": "later", "skipped": True},
        {"question": "again", "value": True},
    ]
    data = {"customer": WHO, "prompt_id": "nps", "offer_id": "O-1", "answers": answers}
    made = posthog.capture(fact("feedback", "given", {**data, "complete": False}))
    assert made["event"] == "survey sent"
    said = made["properties"]
    found = {name: value for name, value in said.items() if name.startswith("$survey")}
    assert found == {
        "$survey_id": "nps",
        "$survey_submission_id": "O-1",
        "$survey_completed": False,
        "$survey_response": "9",
        "$survey_response_recommend": "9",
        "$survey_response_1": "schnell",
        "$survey_response_why": "schnell",
        "$survey_response_2": ["price", "x"],
        "$survey_response_missing": ["price", "x"],
        "$survey_response_4": "true",
        "$survey_response_again": "true",
        "$survey_questions": [
            {"id": "recommend", "question": "recommend", "response": "9"},
            {"id": "why", "question": "why", "response": "schnell"},
            {"id": "missing", "question": "missing", "response": ["price", "x"]},
            {"id": "later", "question": "later", "response": None},
            {"id": "again", "question": "again", "response": "true"},
        ],
    }
    assert said["$set"] == {"$survey_responded/nps": True}
    assert said["answers"] == answers


def test_an_answer_in_part_and_the_whole_are_one_submission(fact):
    """PostHog counts the latest of one ``$survey_submission_id``; only the last is complete."""
    first = {"question": "recommend", "value": 9, "scale": SCALE}
    data = {"customer": WHO, "prompt_id": "nps", "offer_id": "O-1"}
    part = fact("feedback", "given", {**data, "answers": [first], "complete": False}, id="f-1")
    second = [first, {"question": "why", "text": "schnell"}]
    whole = {**data, "answers": second, "complete": True, "supersedes": "f-1"}
    told = [posthog.capture(one) for one in (part, fact("feedback", "given", whole, id="f-2"))]
    assert {one["properties"]["$survey_submission_id"] for one in told} == {"O-1"}
    assert [one["properties"]["$survey_completed"] for one in told] == [False, True]
    assert told[0]["uuid"] != told[1]["uuid"]


@pytest.mark.parametrize("more", [{}, {"feedback_id": "f-1"}], ids=["unanswered", "in part"])
def test_a_dismissal_says_whether_something_was_answered(fact, more):
    """PostHog leaves dismissals after an answer in part out of its rates."""
    data = {"prompt_id": "nps", "offer_id": "O-1", "action": "dismissed", "customer": WHO, **more}
    said = posthog.capture(fact("prompt", "dismissed", data))["properties"]
    assert said["$survey_partially_completed"] is bool(more)
    assert said["$set"] == {"$survey_dismissed/nps": True}


def test_a_survey_says_its_language_and_nobody_is_no_person(fact):
    """The locale that was shown; without a customer nothing is noted with a person."""
    data = {"prompt_id": "nps", "offer_id": "O-1", "action": "dismissed"}
    data["where"] = {"channel": "web", "locale": "de-AT"}
    said = posthog.capture(fact("prompt", "dismissed", data))["properties"]
    assert said["$survey_language"] == "de-AT"
    assert "$set" not in said
    shown = {**data, "action": "shown", "customer": WHO}
    assert "$set" not in posthog.capture(fact("prompt", "shown", shown))["properties"]


def test_feedback_without_a_prompt_is_no_survey(fact):
    """A survey event without a survey would be wrong."""
    answers = [{"question": "stars", "value": 4.0, "scale": SCALE}]
    made = posthog.capture(fact("feedback", "given", {"customer": WHO, "answers": answers}))
    assert made["event"] == "feedback given"
    assert made["properties"]["answers"] == answers
    assert not [name for name in made["properties"] if name.startswith("$survey")]


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("shown", "survey shown"),
        ("dismissed", "survey dismissed"),
        ("answered", "prompt answered"),
        ("suppressed", "prompt suppressed"),
        ("lapsed", "prompt lapsed"),
    ],
)
def test_the_life_of_a_prompt(fact, action, name):
    """Shown and dismissed are PostHog's; `answered` is not sent twice, the feedback says it."""
    data = {"prompt_id": "nps", "offer_id": "O-1", "action": action, "customer": WHO}
    made = fact("prompt", action, data)
    captured = posthog.capture(made)
    assert captured["event"] == name
    assert posthog.is_survey(made) == name.startswith("survey")
    assert captured["properties"].get("$survey_id") == ("nps" if "survey" in name else None)


@pytest.mark.parametrize(
    ("op", "more", "name", "special"),
    [
        ("identified", {"traits": {"plan": "gold"}}, "$set", {"$set": {"plan": "gold"}}),
        (
            "identified",
            {"customer": {"id": "k7", "anonymous_id": "s"}},
            "$identify",
            {"$set": {}, "$anon_distinct_id": "s"},
        ),
        (
            "linked",
            {"previous": {"anonymous_id": "s"}},
            "$identify",
            {"$set": {}, "$anon_distinct_id": "s"},
        ),
        (
            "linked",
            {"previous": {"id": "old"}},
            "$create_alias",
            {"distinct_id": "k7", "alias": "old"},
        ),
        ("unlinked", {"previous": {"id": "old"}}, "identity unlinked", {"previous_id": "old"}),
        ("erasure_requested", {}, "identity erasure requested", {}),
    ],
)
def test_identity(fact, op, more, name, special):
    """Traits with ``$set``, anonymous ids with ``$identify``, user ids with ``$create_alias``."""
    made = posthog.capture(fact("identity", op, {"op": op, "customer": WHO, **more}))
    assert (made["event"], made["distinct_id"]) == (name, "k7")
    marked = ("$set", "$anon", "alias", "distinct_id", "previous")
    found = {key: item for key, item in made["properties"].items() if key.startswith(marked)}
    assert found == special


@pytest.mark.parametrize(
    ("customer", "distinct_id"),
    [(None, "urn:service:shop"), ({"account_id": "A-1"}, "account:A-1")],
)
def test_nobody_gets_no_profile(fact, customer, distinct_id):
    """What is about no person makes no person."""
    data = {"problem": "error"} | ({"customer": customer} if customer else {})
    made = posthog.capture(fact("problem", "encountered", data))
    assert made["distinct_id"] == distinct_id
    assert made["properties"]["$process_person_profile"] is False
