"""
Hostile input: refused with a clear status, or kept and shown as the text that it is.
"""

from __future__ import annotations

import json
import random

import pytest

from tests.prompts.faces.conftest import FORM

JSON = "application/json"
TEXTS = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "formula": "=cmd|'/C calc'!A0",
    "emoji": "👩‍👩‍👧‍👦 très bien 🏳️‍🌈",
    "override": "abc\u202egnp.exe\u2066",
    "arabic": "مرحبا بالعالم",
    "template": "{{7*7}} ${7*7} {name} %s %(x)s",
    "sql": "'; DROP TABLE offers; --",
    "header": "a\r\nSet-Cookie: a=b",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_kept_as_text_and_shown_as_text(desk, name):
    """By form and by JSON: what is recorded is what was written, and a page shows it escaped."""
    text = TEXTS[name]
    for send in ("form", "json"):
        offer = desk.offer("score", context={"name": "Anna"})
        if send == "form":
            wrong = desk.post(offer, {"score": "99", "why": text})
            assert wrong.status == 422
            assert b"<script>alert" not in wrong.body
            assert b"<img src" not in wrong.body
            assert desk.post(offer, {"score": "1", "why": text}).status == 303
        else:
            body = json.dumps({"answers": {"score": 1, "why": text}}).encode()
            assert (
                desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body).status == 200
            )
    for event in desk.events.of("feedback"):
        assert event.data.answers[1].text == text.replace("\r\n", "\n")


def test_control_characters_are_left_out(desk):
    """What no terminal or spreadsheet should get; line breaks stay."""
    offer = desk.offer("score", context={"name": "Anna"})
    assert desk.post(offer, {"score": "1", "why": "a\x00b\x1b[31mc\r\nd\x7f"}).status == 303
    assert desk.events.one("feedback").data.answers[1].text == "ab[31mc\nd"


@pytest.mark.parametrize(
    "body",
    [
        b"versus=%zz&versus2=%",
        b"%FF%FE=%C3%28",
        b"\xff\xfe\x00&&&===",
        b"versus",
        b"=better",
        b"versus=better&unknown=1",
        b"versus=better&versus=worse",
        b"versus=much_better%00",
        b"versus=<b>",
        b"versus[]=better",
        b"versus=8",
        b"",
    ],
    ids=repr,
)
def test_a_broken_form_comes_back(desk, body):
    """422 and nothing kept: broken encoding, unknown and double fields, values there are not."""
    offer = desk.offer()
    found = desk.call("POST", f"/o/{offer.token}", {"content-type": FORM}, body)
    assert found.status == 422
    assert not desk.events.of("feedback")
    assert desk.state(offer) == "shown"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"answers":[]}',
        b'{"answers":{"versus":{"a":1}}}',
        b'{"answers":{"versus":[["better"]]}}',
        b'{"answers":{},"partial":"yes"}',
        b'{"answers":{},"customer":"u-17"}',
        b'{"answers":{"versus":"\\ud800"}}',
        b'{"answers":{"versus":1e999}}',
        b'{"answers":{"versus":"\xff"}}',
        b"[" * 16_000,
        b'{"answers":' + b"[" * 8000 + b"]" * 8000 + b"}",
        b'{"answers":' + b'{"a":' * 2500 + b"1" + b"}" * 2500 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_broken_json_is_refused(desk, body):
    """400 as a problem: depth, kinds, names that a browser has no business to send."""
    offer = desk.offer()
    found = desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body)
    assert (found.status, json.loads(found.body)["code"]) == (400, "malformed")
    assert desk.state(offer) == "reserved"


@pytest.mark.parametrize("kind", [FORM, JSON])
@pytest.mark.parametrize("path", ["", "/state"])
def test_a_body_of_a_megabyte_is_refused(desk, kind, path):
    """413, before it is read as anything; 16 KiB are looked at."""
    offer = desk.offer()
    headers = {"content-type": kind}
    big = desk.call("POST", f"/o/{offer.token}{path}", headers, b"a=" + b"x" * 1_000_000)
    assert big.status == 413
    just = desk.call("POST", f"/o/{offer.token}{path}", headers, b"x" * 16_385)
    assert just.status == 413
    assert desk.call("POST", f"/o/{offer.token}{path}", headers, b"x" * 16_384).status in {400, 422}
    assert not desk.events.of("feedback")


def test_hundreds_of_fields_are_refused(desk):
    """64 at most, in a form and in JSON."""
    offer = desk.offer()
    many = {f"f{n}": "1" for n in range(500)}
    assert desk.post(offer, many).status == 400
    body = json.dumps({"answers": many}).encode()
    assert desk.call("POST", f"/o/{offer.token}", {"content-type": JSON}, body).status == 422
    assert not desk.events.of("feedback")


def test_a_text_longer_than_asked_for_comes_back_whole(desk):
    """422; what was typed is still there to be shortened."""
    offer = desk.offer("score", context={"name": "Anna"})
    found = desk.post(offer, {"score": "1", "why": "ä" * 501})
    assert found.status == 422
    assert "ä" * 501 in found.body.decode()
    assert "This is too long" in found.body.decode()
    assert desk.post(offer, {"score": "1", "why": "ä" * 500}).status == 303


def test_no_mutation_of_a_token_is_accepted(desk):
    """Changed, cut, doubled and foreign tokens: all closed, nothing recorded."""
    offer = desk.offer()
    dice = random.Random(4)
    alphabet = "abcXYZ019-_.=/%\x00é"
    for _ in range(2000):
        letters = list(offer.token)
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(letters))
            action = dice.randrange(3)
            if action == 0:
                letters[place] = dice.choice(alphabet)
            elif action == 1:
                del letters[place]
            else:
                letters.insert(place, dice.choice(alphabet))
        token = "".join(letters)
        if token == offer.token:
            continue
        found = desk.call("POST", f"/o/{token}", {"content-type": FORM}, b"versus=better")
        assert found.status in {404, 410}, token
    assert desk.state(offer) == "reserved"
    assert desk.actions() == []


def test_a_question_named_like_a_field_of_ours_is_no_such_field(desk):
    """Names of questions have no hyphen, ours do."""
    from cxsdk.prompts import Prompt, Question

    desk.engine.prompts["odd"] = Prompt(
        key="odd",
        scope="relational",
        questions=[
            Question(id=name, kind="nps", required=False)
            for name in ("action", "method", "submit", "v")
        ],
    )
    offer = desk.offer("odd")
    assert desk.post(offer, {"action": "1", "method": "2", "submit": "3", "v": "4"}).status == 303
    answers = desk.events.one("feedback").data.answers
    assert [answer.value for answer in answers] == [1, 2, 3, 4]
