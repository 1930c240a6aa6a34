"""
Prompts in TOML: what each field says, and what is said of a slip.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

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
    umux_lite,
)
from cxsdk.prompts import rules as r
from cxsdk.prompts.files import load, read

DAY = 86_400.0

WHOLE = """
[checkout_effort]
title = "Your order"
scope = "transactional"
group = "orders"
channels = ["in_app", "email"]
priority = 5
starts_at = 2026-05-01T00:00:00Z
ends_at = 2026-09-01T00:00:00+02:00
offer_ttl = "30m"
revise_for = "1h"
context_fields = ["item"]
needs_consent = true
needs_locale = true
language = "en"
thank_you = "Thanks."
status = "live"
instrument = "ces"

[[checkout_effort.questions]]
id = "easy"
kind = "ces"
text = "It was easy to order {item}."
low_label = "no"
high_label = "yes"

[[checkout_effort.questions]]
id = "why"
kind = "multi_choice"
text = "What was hard?"
help = "Choose what applies."
required = false
allow_other = true
shuffle = true
max_chars = 500
dimension = "effort"
choices = [{ id = "price", label = "The price" }, { id = "form", label = "The form" }]
show_if = { question = "easy", op = "at_most", value = 4 }

[[checkout_effort.questions]]
id = "stars"
kind = "rating"
text = "Stars?"
low = 1
high = 3

[checkout_effort.trigger]
event = "checkout.pay"
outcome = "success"
where = { "attributes.total" = { gt = 50 }, goal_met = "yes" }
count = 2
within = "90d"
delay = "2h"
cancel_on = ["problem"]

[checkout_effort.sampling]
rate = 0.25
unit = "account"
salt = "s"
wave = "4w"

[[checkout_effort.caps]]
scope = "prompt"
most = 2
within = "60d"
after_dismissal = 5184000
after_answer = "1.5w"

[[checkout_effort.eligibility]]
rule = "tenure_at_least"
seconds = "30d"

[[checkout_effort.eligibility]]
rule = "quiet_hours"
start = 21:00:00
end = "08:00"

[[checkout_effort.eligibility]]
rule = "attribute"
name = "plan"
values = ["gold", 3]

[[checkout_effort.quotas]]
limit = 300
name = "mobile"
where = { "attributes.device" = "phone" }

[checkout_effort.echo]
after = "14d"

[[checkout_effort.follow_up]]
when = { easy = { lt = 3 } }
within = "48h"
owner = "care-team"
kind = "callback"

[checkout_effort.locales.de]
title = "Ihre Bestellung"
thank_you = "Danke."

[checkout_effort.locales.de.questions.why]
text = "Was war schwierig?"
choices = { price = "Der Preis" }
"""

INLINE = Prompt(
    key="checkout_effort",
    title="Your order",
    scope="transactional",
    group="orders",
    channels=("in_app", "email"),
    priority=5,
    starts_at=datetime(2026, 5, 1, tzinfo=UTC),
    ends_at=datetime.fromisoformat("2026-09-01T00:00:00+02:00"),
    offer_ttl=1800.0,
    revise_for=3600.0,
    context_fields=("item",),
    needs_consent=True,
    needs_locale=True,
    language="en",
    thank_you="Thanks.",
    status="live",
    instrument="ces",
    questions=[
        Question(
            id="easy", kind="ces", text="It was easy to order {item}.", low_label="no",
            high_label="yes",
        ),
        Question(
            id="why", kind="multi_choice", text="What was hard?", help="Choose what applies.",
            required=False, allow_other=True, shuffle=True, max_chars=500, dimension="effort",
            choices=[Choice(id="price", label="The price"), Choice(id="form", label="The form")],
            show_if=ShowIf(question="easy", op="at_most", value=4),
        ),
        Question(id="stars", kind="rating", text="Stars?", low=1, high=3),
    ],
    trigger=Trigger(
        event="checkout.pay",
        outcome="success",
        where={"attributes.total": {"gt": 50}, "goal_met": "yes"},
        count=2,
        within=90 * DAY,
        delay=7200.0,
        cancel_on=("problem",),
    ),
    sampling=Sampling(rate=0.25, unit="account", salt="s", wave=28 * DAY),
    caps=[
        FrequencyCap(
            scope="prompt", most=2, within=60 * DAY, after_dismissal=60 * DAY,
            after_answer=10.5 * DAY,
        )
    ],
    eligibility=[
        r.TenureAtLeast(seconds=30 * DAY),
        r.QuietHours(start=time(21), end=time(8)),
        r.Attribute(name="plan", values=("gold", 3)),
    ],
    quotas=[QuotaRule(limit=300, name="mobile", where={"attributes.device": "phone"})],
    echo=Echo(after=14 * DAY),
    follow_up=[FollowUp(when={"easy": {"lt": 3}}, within=48 * 3600.0, owner="care-team")],
    locales={
        "de": {
            "title": "Ihre Bestellung",
            "thank_you": "Danke.",
            "questions": {"why": {"text": "Was war schwierig?", "choices": {"price": "Der Preis"}}},
        }
    },
)  # fmt: skip


@pytest.fixture
def file(tmp_path):
    """
    Write a file of prompts; return its path.
    """

    def write(text, name="prompts.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def prompt(more="", questions='[[p.questions]]\nid = "q"\n'):
    return f"[p]\n{more}\n{questions}"


def test_a_file_says_all_that_code_can_say(file):
    """Every field of every table, and the same version as the prompt in code."""
    (found,) = load(file(WHOLE))
    assert found == INLINE
    assert found.version == INLINE.version


def test_every_field_of_the_model_can_be_said():
    """A field that the model gets, a file gets too."""
    import attrs

    from cxsdk.prompts import files

    def own(cls):
        return {each.name for each in attrs.fields(cls) if each.init}

    assert set(files._PROMPT) == own(Prompt) - {"key"} | {"template", "product"}
    for cls, readers in (
        (Question, files._QUESTION),
        (Trigger, files._TRIGGER),
        (Sampling, files._SAMPLING),
        (FrequencyCap, files._CAP),
        (FollowUp, files._FOLLOW_UP),
    ):
        assert set(readers) == own(cls)
    told = {name for rule in r.RULES.values() for name in own(rule)}
    assert set(files._RULE) == told - {"code"}


def test_a_file_with_one_question_is_short(file):
    """What is not said is the default."""
    (found,) = load(file('[after_call]\n[[after_call.questions]]\nid = "how"\n'))
    assert found == Prompt(key="after_call", questions=[Question(id="how")])


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("90", 90.0),
        ("0.5", 0.5),
        ('"90s"', 90.0),
        ('"30m"', 1800.0),
        ('"12h"', 43_200.0),
        ('"7d"', 604_800.0),
        ('"2w"', 1_209_600.0),
        ('"1.5h"', 5400.0),
    ],
)
def test_a_duration_is_seconds_or_text(file, said, seconds):
    """A number is seconds; text has a unit."""
    (found,) = load(file(prompt(f"offer_ttl = {said}")))
    assert found.offer_ttl == seconds


def test_a_template_brings_its_questions(file):
    """UMUX-Lite is two questions under its own instrument; more may follow."""
    text = '[p]\ntemplate = "umux_lite"\nproduct = "Shop"\n'
    more = '[[p.questions]]\nid = "why"\nkind = "text"\ntext = "Why?"\n'
    (found,) = load(file(text + more))
    assert found.questions == (
        *umux_lite(product="Shop"),
        Question(id="why", kind="text", text="Why?"),
    )
    assert found.told_instrument == "umux_lite"
    assert load(file('[p]\ntemplate = "umux_lite"\n'))[0].questions == umux_lite()


def test_a_folder_is_all_its_files_by_name(file, tmp_path):
    """Sorted by file, then in the order of the file; other files are not read."""
    file('[c]\n[[c.questions]]\nid = "q"\n[a]\n[[a.questions]]\nid = "q"\n', "1.toml")
    file('[b]\n[[b.questions]]\nid = "q"\n', "0.toml")
    file("not toml", "README.md")
    assert [one.key for one in load(tmp_path)] == ["b", "c", "a"]


def test_a_prompt_of_two_files_is_refused(file, tmp_path):
    """The second is named with the first."""
    first = file(prompt(), "a.toml")
    second = file(prompt(), "b.toml")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{second}: prompt 'p': is in {first} already"


Q = '[[p.questions]]\nid = "q"\n'


SLIPS = [
    (prompt("titel = 'x'"), "field 'titel' is unknown; did you mean 'title'?"),
    (prompt("zzz = 1"), "field 'zzz' is unknown; known: caps, channels, context_fields"),
    (prompt("title = 1"), "title: expected text, got 1"),
    (prompt('channels = "in_app"'), "channels: expected a list, got 'in_app'"),
    (prompt('channels = ["in_app", 2]'), "channels[1]: expected text, got 2"),
    (prompt('channels = ["web"]'), "channels: expected some of ('in_app'"),
    (prompt('needs_consent = "yes"'), "needs_consent: expected true or false, got 'yes'"),
    (prompt("priority = 1.5"), "priority: expected a whole number, got 1.5"),
    (prompt("priority = true"), "priority: expected a whole number, got True"),
    (prompt('offer_ttl = "30 minutes"'), "offer_ttl: expected seconds, or text such as 90s"),
    (prompt("offer_ttl = true"), "offer_ttl: expected seconds"),
    (prompt("offer_ttl = 0"), "offer_ttl: expected seconds, got 0"),
    (prompt("starts_at = 2026-05-01T00:00:00"), "starts_at: expected a time with its zone"),
    (prompt("starts_at = 2026-05-01"), "starts_at: expected a time with its zone"),
    (prompt('scope = "both"'), "scope: expected one of ('transactional', 'relational')"),
    (prompt('template = "umux"'), "template: template 'umux' is unknown; did you mean 'umux_l"),
    (prompt('product = "x"'), "product: expected a template beside it"),
    (prompt("echo = 5"), "echo: expected a table, got 5"),
    (prompt("[p.echo]", Q), "echo: expected its field after"),
    (
        prompt("[p.trigger]\nevnt = 'x'"),
        "trigger: field 'evnt' is unknown; did you mean 'event",
    ),
    (prompt("[p.trigger]\noutcome = 'x'"), "trigger.outcome: expected one of ('success'"),
    (prompt("[p.trigger]\nwhere = { a = { like = 1 } }"), "trigger.where.a: expected one of"),
    (prompt("[p.trigger]\ndelay = '1y'"), "trigger.delay: expected seconds, or text"),
    (prompt("[p.sampling]\nrate = 2"), "sampling.rate: expected 0 to 1, got 2"),
    (prompt("[p.sampling]\nrate = '10%'"), "sampling.rate: expected a number, got '10%'"),
    (prompt("[p.caps]\nmost = 1"), "caps: expected [[caps]], a list of tables"),
    (prompt("", f"{Q}[[p.caps]]\n[[p.caps]]\nmost = 0"), "caps[1].most: expected 1 or more"),
    (prompt("", f"{Q}[[p.caps]]\nscop = 'x'"), "caps[0]: field 'scop' is unknown; did you"),
    (prompt("", f"{Q}[[p.quotas]]\nname = 'a'"), "quotas[0]: expected its field limit"),
    (
        prompt("", f"{Q}[[p.quotas]]\nlimit = 1\nwhere = {{ a = {{ le = 3 }} }}"),
        "quotas[0].where.a: expected one of ('eq'",
    ),
    (
        prompt("", f"{Q}[[p.eligibility]]\nname = 'x'"),
        "eligibility[0]: expected its field rule",
    ),
    (
        prompt("", f"{Q}[[p.eligibility]]\nrule = 'tenure'"),
        "eligibility[0].rule: rule 'tenure' is unknown; did you mean 'tenure_at_least'?",
    ),
    (
        prompt("", f"{Q}[[p.eligibility]]\nrule = 'segment'"),
        "eligibility[0]: expected the field name of segment",
    ),
    (
        prompt("", f"{Q}[[p.eligibility]]\nrule = 'segment'\nnme = 'a'"),
        "eligibility[0]: field 'nme' is unknown; did you mean 'name'?",
    ),
    (
        prompt("", f"{Q}[[p.eligibility]]\nrule = 'quiet_hours'\nstart = 'late'\nend = '8:00'"),
        "eligibility[0].start: expected a time such as 21:00, got 'late'",
    ),
    (
        prompt("", f"{Q}[[p.follow_up]]\nwhen = {{ x = 1 }}\nwithin = 1\nowner = 'o'"),
        "follow_up.when: expected questions of ['q'], got ['x']",
    ),
    (
        prompt("", f"{Q}[[p.follow_up]]\nwhen = {{ q = {{ le = 6 }} }}\nwithin = 1\nowner = 'o'"),
        "follow_up[0].when.q: expected one of ('eq'",
    ),
    (prompt(questions=""), "questions: expected [[questions]] or a template"),
    (prompt("questions = []", ""), "questions: expected 1 to 5, got 0"),
    (prompt(questions="[[p.questions]]\n"), "questions[0]: expected its field id"),
    (prompt(questions=f'{Q}knd = "nps"'), "questions[0]: field 'knd' is unknown; did you mean"),
    (prompt(questions=f'{Q}kind = "stars"'), "question 'q': kind: expected one of versus"),
    (prompt(questions=f'{Q}kind = "text"'), "question 'q': text: expected the question itself"),
    (
        prompt(questions=f'{Q}choices = [{{ id = "a" }}]'),
        "questions[0].choices[0]: expected its field label",
    ),
    (prompt("[p.locales]\ngerman = 1"), "locales.german: expected a language such as de"),
    (
        prompt("[p.locales.de]\ntitel = 'x'"),
        "locales.de: field 'titel' is unknown; did you mean 'title'?",
    ),
    (prompt("[p.locales.de]\ntitle = 1"), "locales.de.title: expected text, got 1"),
    (
        prompt("[p.locales.de.questions.x]\ntext = 'x'"),
        "locales.de.questions: expected some of ['q'], got ['x']",
    ),
    (
        prompt("[p.locales.de.questions.q]\nchoices = { a = 'x' }"),
        "locales.de.questions.q.choices: expected some of [], got 'a'",
    ),
]


@pytest.mark.parametrize(("text", "words"), SLIPS, ids=[words for _, words in SLIPS])
def test_a_slip_names_file_prompt_and_field(file, text, words):
    """One line: where, what was expected, what stands there."""
    path = file(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: prompt 'p': ")
    assert said.removeprefix(f"{path}: prompt 'p': ").startswith(words)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[p]\ntitle = \n", "Invalid value (at line 2, column 9)"),
        ("[p]\n[p]\n", "Cannot declare ('p',) twice (at line 2, column 3)"),
        ("title = 'x'\n", "prompt 'title': expected a table [title] with its fields, got 'x'"),
        ('["A B"]\n[["A B".questions]]\nid = "q"\n', "prompt 'A B': key: expected a-z, 0-9, _"),
    ],
)
def test_what_is_no_file_of_prompts_is_said(file, text, words):
    """The line where TOML breaks off, a value beside the tables, a name that is none."""
    path = file(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {words}")


def test_another_encoding_is_said(tmp_path):
    """TOML is UTF-8."""
    path = tmp_path / "p.toml"
    path.write_bytes("[p]\ntitle = 'schön'\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="expected UTF-8"):
        load(path)


def test_a_path_without_prompts_is_said(tmp_path):
    """No such file; a folder without one."""
    with pytest.raises(ConfigurationError, match="none: cannot be read: No such file"):
        load(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"expected files \*.toml, found none"):
        load(tmp_path)


def test_one_wrong_prompt_hides_no_other(file, tmp_path):
    """`read` gives every prompt and every error."""
    file(f"[bad]\nx = 1\n{Q.replace('p.', 'good.')}", "a.toml")
    file("[", "b.toml")
    file(prompt(), "c.toml")
    found = [(one.path.name, one.key, one.error is None) for one in read(tmp_path)]
    assert found == [
        ("a.toml", "bad", False),
        ("a.toml", "good", True),
        ("b.toml", "", False),
        ("c.toml", "p", True),
    ]


def test_one_wrong_field_hides_no_other(file):
    """A table with several slips is told all of them at once."""
    path = file(
        prompt(
            "titel = 'x'\n[p.trigger]\nevnt = 'a'\ndelay = '2 days'",
            f"{Q}kind = 'cse'\n[[p.caps]]\nscope = 'promt'\n[[p.caps]]\nwithin = '60 days'",
        )
    )
    said = [str(one.error).removeprefix(f"{path}: prompt 'p': ") for one in read(path)]
    assert [words.partition(":")[0] for words in said] == [
        "field 'titel' is unknown; did you mean 'title'?",
        "trigger",
        "trigger.delay",
        "question 'q'",
        "caps[0].scope",
        "caps[1].within",
    ]


def test_the_files_of_the_reference_are_right(tmp_path):
    """What the page shows loads, and it names every field, rule and unit that there is."""
    import re

    from cxsdk.prompts import files

    page = Path(__file__).parents[2] / "docs" / "reference" / "prompt-files.md"
    text = page.read_text("utf-8")
    shown = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    for number, block in enumerate(shown):
        (tmp_path / f"{number}.toml").write_text(block, encoding="utf-8")
    assert [one.key for one in load(tmp_path)] == ["checkout_effort", "loyalty", "usability"]
    tables = (files._QUESTION, files._TRIGGER, files._SAMPLING, files._CAP, files._RULE)
    names = {*files._PROMPT, *(name for table in tables for name in table), *r.RULES}
    prose = re.sub(r"```toml\n.*?```", "", text, flags=re.DOTALL)
    words = set(re.findall(r"[a-z_]+", prose))
    assert names - words == set()
    assert {kind for kind in r.RULES if f"`{kind}`" not in prose} == set()
