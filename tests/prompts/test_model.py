"""
A prompt is checked when it is made: what is wrong is said by prompt and field.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cxsdk.errors import ConfigurationError
from cxsdk.prompts import (
    Choice,
    Echo,
    FollowUp,
    FrequencyCap,
    Prompt,
    Question,
    QuotaRule,
    Sampling,
    ShowIf,
    Trigger,
)
from cxsdk.prompts.rules import rule_from

ONE = [Question(id="q")]
BOTH = [Choice(id="a", label="A"), Choice(id="b", label="B")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"key": "Check Out"}, "key"),
        ({"questions": []}, "questions: expected 1 to 5"),
        ({"questions": ONE * 6}, "questions: expected 1 to 5"),
        ({"questions": ONE * 2}, "each id once"),
        (
            {
                "questions": [
                    Question(
                        id="q", kind="single_choice", text="?", choices=BOTH, allow_other=True
                    ),
                    Question(id="q_other", kind="text", text="?"),
                ]
            },
            "free field",
        ),
        ({"scope": "personal"}, "scope"),
        ({"status": "on"}, "status"),
        ({"channels": []}, "channels"),
        ({"channels": ["tv"]}, "channels"),
        ({"starts_at": datetime(2026, 1, 1)}, "starts_at: expected a time with its zone"),
        ({"offer_ttl": 0}, "offer_ttl"),
        ({"priority": "high"}, "priority"),
        ({"follow_up": [FollowUp(when={"x": 1}, within=1, owner="o")]}, "follow_up.when"),
        ({"locales": {"de": {"titel": "x"}}}, "locales.de"),
        ({"locales": {"de": {"questions": {"x": {}}}}}, "locales.de.questions"),
        ({"locales": {"de": {"questions": {"q": {"txt": ""}}}}}, "locales.de.questions.q"),
        (
            {"questions": [Question(id="q", show_if=ShowIf(question="later", value=1))]},
            r"question 'q': show_if.question: expected an earlier question of \[\], got 'later'",
        ),
        ({"trigger": "checkout.pay"}, r"trigger: expected Trigger\(…\), got 'checkout.pay'"),
        ({"sampling": 0.1}, r"sampling: expected Sampling\(…\), got 0.1"),
        ({"echo": 86_400}, r"echo: expected Echo\(…\), got 86400"),
        ({"questions": ONE[0]}, "questions: expected a list of Question, got Question"),
        (
            {"questions": [{"id": "q"}]},
            "questions: expected a list of Question, got \\({'id': 'q'},",
        ),
        ({"channels": "email"}, "channels: expected a list of str, got 'email'"),
        ({"caps": FrequencyCap()}, "caps: expected a list of FrequencyCap, got FrequencyCap"),
        ({"eligibility": ["tenure"]}, "eligibility: expected rules of cxsdk.prompts.rules, got"),
    ],
)
def test_what_is_wrong_is_named(fields, words):
    """The error names the prompt and the field."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        Prompt(**{"key": "checkout", "questions": ONE, **fields})
    assert "prompt " in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Question(id="Q"), "id"),
        (lambda: Question(id="q", kind="slider"), "kind"),
        (lambda: Question(id="q", kind="text"), "has no wording"),
        (lambda: Question(id="q", kind="single_choice", text="?"), "at least two"),
        (lambda: Question(id="q", kind="nps", choices=BOTH), "none for nps"),
        (lambda: Question(id="q", kind="nps", low=1), "has its own"),
        (lambda: Question(id="q", kind="rating", text="?", low=0, high=20), "11 points"),
        (lambda: Question(id="q", kind="rating", text="?", low=5, high=5), "11 points"),
        (
            lambda: Question(
                id="q",
                kind="single_choice",
                text="?",
                choices=[*BOTH, Choice(id="other", label="")],
            ),
            "none 'other'",
        ),
        (lambda: Question(id="q", kind="text", text="?", max_chars=5000), "max_chars"),
        (lambda: Question(id="q", text="x" * 501), "at most 500 characters, got 501"),
        (lambda: Question(id="q", text=7), "text: expected text, got 7"),
        (lambda: Trigger(cancel_on="problem"), "trigger.cancel_on: expected a list, got 'problem'"),
        (lambda: Question(id="q", show_if=ShowIf(question="a", op="like")), "show_if.op"),
        (lambda: Question(id="q", show_if=ShowIf(question="a", op="at_most", value="3")), "number"),
        (lambda: Trigger(outcome="great"), "trigger.outcome"),
        (lambda: Trigger(count=0), "trigger.count"),
        (lambda: Trigger(where={"a": {"like": 1}}), "trigger.where.a"),
        (lambda: Trigger(delay=-1), "trigger.delay"),
        (lambda: Sampling(rate=10), "sampling.rate"),
        (lambda: Sampling(unit="device"), "sampling.unit"),
        (lambda: FrequencyCap(scope="week"), "caps.scope"),
        (lambda: FrequencyCap(most=0), "caps.most"),
        (lambda: QuotaRule(limit=0), "quotas.limit"),
        (lambda: Echo(after=0), "echo.after"),
        (lambda: FollowUp(when={}, within=1, owner="o"), "follow_up.when"),
        (lambda: FollowUp(when={"q": 1}, within=1, owner=""), "follow_up.owner"),
        (lambda: rule_from("tenure", {}), "expected one of attribute"),
        (lambda: rule_from("segment", {"nam": "x"}), "expected fields of name"),
        (lambda: rule_from("quiet_hours", {"start": "25:00", "end": "7:00"}), "quiet_hours"),
    ],
)
def test_parts_are_checked_too(make, words):
    """Each part names its own field."""
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_the_version_is_of_the_wording():
    """Reworded or translated is another version; asked of others, or more rarely, is not."""
    base = Prompt(key="checkout", questions=ONE)
    same = Prompt(
        key="checkout",
        questions=ONE,
        sampling=Sampling(rate=0.1),
        priority=3,
        ends_at=datetime(2027, 1, 1, tzinfo=UTC),
    )
    worded = Prompt(key="checkout", questions=[Question(id="q", text="How was it?")])
    translated = Prompt(key="checkout", questions=ONE, locales={"de": {"title": "Kasse"}})
    assert base.version == same.version
    assert len({base.version, worded.version, translated.version}) == 3
    assert len(base.version) == 12


@pytest.mark.parametrize(
    ("where", "data", "holds"),
    [
        ({}, {}, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {}, False),
        ({"a.b": {"gt": 1}}, {"a": {"b": 2}}, True),
        ({"a.b": {"gt": 1}}, {"a": {"b": "2"}}, False),
        ({"a.b": {"gt": 1}}, {"a": 5}, False),
        ({"a": {"in": [1, 2]}}, {"a": 2}, True),
        ({"a": {"not_in": [1, 2]}}, {"a": 2}, False),
        ({"a": {"exists": True}}, {"a": 0}, True),
        ({"a": {"exists": False}}, {"a": 0}, False),
        ({"a": {"contains": "x"}}, {"a": ["x"]}, True),
        ({"a": {"contains": "x"}}, {"a": 5}, False),
        ({"a": {"gt": 1, "lt": 3}}, {"a": 3}, False),
        ({"a": {"ne": 1}}, {}, True),
    ],
)
def test_triggers_compare_what_can_be_compared(where, data, holds):
    """A filter of another kind than the value does not hold, and raises nothing."""
    assert Trigger(where=where).matches("checkout.pay", data) is holds


@pytest.mark.parametrize(
    ("op", "value", "answers", "holds"),
    [
        ("in", [1, 2], {"a": 2}, True),
        ("in", "x", {"a": ["x", "y"]}, True),
        ("not_in", [1, 2], {"a": 2}, False),
        ("at_most", 6, {"a": 6}, True),
        ("at_least", 6, {"a": 5}, False),
        ("at_least", 6, {"a": "many"}, False),
        ("answered", None, {"a": 0}, True),
        ("answered", None, {}, False),
        ("not_in", [1], {}, False),
    ],
)
def test_conditions(op, value, answers, holds):
    """A question whose condition's question has no answer is not asked."""
    assert ShowIf(question="a", op=op, value=value).holds(answers) is holds


def test_letters_live_longer():
    """A page is answered within half an hour, a mail within a fortnight, unless it says."""
    plain = Prompt(key="a", questions=ONE, channels=["in_app", "email"])
    said = Prompt(key="a", questions=ONE, channels=["email"], offer_ttl=1800.0)
    assert (plain.ttl("in_app"), plain.ttl("email")) == (1800.0, 14 * 86_400.0)
    assert said.ttl("email") == 1800.0


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("pt-BR", "pt_BR"),
        ("pt_br", "pt_BR"),
        ("de-AT-1996", "de-AT"),
        ("de-CH", "de"),
        ("fr", None),
        ("", None),
        ("-", None),
    ],
)
def test_a_language_is_found_however_it_is_spelt(wanted, found):
    """With hyphens or underscores, in any case; the nearest there is."""
    from cxsdk.prompts.deciding import matching_locale

    names = ("pt_BR", "de", "de-AT")
    made = Prompt(key="p", questions=[Question(id="q")], locales={each: {} for each in names})
    assert matching_locale(made, wanted) == found


@pytest.mark.parametrize(
    ("moment", "allows"),
    [
        ("2026-03-29T00:30:00+00:00", False),  # 01:30, an hour before the clocks go forward
        ("2026-03-29T01:30:00+00:00", True),  # 03:30, for half past two there is none
        ("2026-10-25T00:30:00+00:00", False),  # 02:30 in summer time …
        ("2026-10-25T01:30:00+00:00", False),  # … and 02:30 again
        ("2026-10-25T02:30:00+00:00", True),
    ],
)
def test_quiet_hours_are_the_clock_s_on_the_wall(moment, allows):
    """Where a zone changes its clock the hours last shorter or longer, as they do at home."""
    from cxsdk.prompts.rules import Facts, QuietHours

    rule = QuietHours(start="01:00", end="03:00")
    facts = Facts(now=datetime.fromisoformat(moment), tz="Europe/Berlin")
    assert rule.allows(facts) is allows
