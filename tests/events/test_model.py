"""
The classes of the standard: what they take, what they refuse, and how they say it.
"""

from __future__ import annotations

import copy
import pickle
import typing
from datetime import UTC, date, datetime, timedelta, timezone

import attrs
import pytest

from cxsdk.errors import InvalidEventError
from cxsdk.events import model, vocabulary
from cxsdk.events.codec import schema_urn
from cxsdk.events.model import (
    FAMILIES,
    About,
    Answer,
    Commitment,
    Consent,
    Customer,
    Event,
    Feedback,
    Identity,
    Interaction,
    Loss,
    Money,
    Party,
    Problem,
    Prompt,
    Reaction,
    Ref,
    Scale,
    Where,
    Window,
    dump,
    load,
    plan,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WHO = Customer(id="k7f3a9")
SECRET = "My name is Anna Muster, call me on +43 660 1234567"


def _interaction(**fields):
    return Interaction(
        **{
            "interaction_id": "I-1",
            "customer": WHO,
            "where": Where(channel="web", medium="web_page"),
            "direction": "inbound",
            "performed_by": Party(kind="automated"),
            **fields,
        }
    )


def _feedback(**fields):
    return Feedback(
        **{
            "feedback_id": "F-1",
            "customer": WHO,
            "about": About(interaction_ids=("I-1",)),
            "answers": (Answer(question="why", text="good"),),
            "source": "stated",
            "solicited": True,
            **fields,
        }
    )


def _made(**fields):
    return Commitment(
        **{
            "commitment_id": "C-1",
            "customer": WHO,
            "state": "made",
            "kind": "callback",
            "promised_by": Party(kind="company"),
            "duty": "deliver_by",
            "due_at": NOON,
            **fields,
        }
    )


def _event(data=None, **fields):
    data = data or _interaction()
    return Event(
        **{
            "source": "urn:service:shop",
            "type": "dev.cxsdk.interaction.completed.v1",
            "dataschema": schema_urn("interaction"),
            "id": "E-1",
            "subject": "interaction/I-1",
            "time": NOON,
            "data": data,
            **fields,
        }
    )


# ---- refused at construction, naming the field and what was expected -----------------------

REFUSED = {
    "perception in an interaction": (
        lambda: _interaction(rating=5),
        "interaction.rating",
        "feedback",
    ),
    "perception before what is missing": (
        lambda: Interaction(csat=1),
        "interaction.csat",
        "feedback",
    ),
    "outcome in a feedback": (
        lambda: _feedback(outcome="success"),
        "feedback.outcome",
        "interaction",
    ),
    "rating in a feedback is merely unknown": (
        lambda: _feedback(rating=5),
        "feedback.rating",
        "a field of the standard",
    ),
    "missing customer": (
        lambda: _interaction(customer=None),
        "interaction.customer",
        "a Customer",
    ),
    "empty customer": (Customer, "customer", "one of id, anonymous_id"),
    "customer of a kind only": (lambda: Customer(kind="person"), "customer", "one of id"),
    "empty customer id": (lambda: Customer(id=""), "customer.id", "text of 1 to 200"),
    "mass medium": (lambda: Where(channel="tv"), "where.channel", "one addressable customer"),
    "unhashable channel": (lambda: Where(channel=["web"]), "where.channel", "one of"),
    "float money": (
        lambda: Money(amount=19.9, currency="EUR"),
        "money.amount",
        "decimal number as text",
    ),
    "money without currency": (lambda: Money(amount="1"), "money.currency", "ISO 4217"),
    "naive datetime": (
        lambda: _interaction(started_at=datetime(2026, 1, 1)),
        "interaction.started_at",
        "time zone",
    ),
    "text for a datetime": (
        lambda: _interaction(started_at="2026-01-01T00:00:00Z"),
        "interaction.started_at",
        "aware datetime",
    ),
    "time before the year 1000": (
        lambda: _event(time=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))),
        "event.time",
        "1000 and 9999",
    ),
    "number without scale": (
        lambda: Answer(question="q", value=7),
        "answer.scale",
        "min, max, better",
    ),
    "numbers without scale": (
        lambda: Answer(question="q", values=("a", 7)),
        "answer.scale",
        "min, max, better",
    ),
    "number beyond its scale": (
        lambda: Answer(question="q", value=8, scale=Scale(min=1, max=7, better="higher")),
        "answer.value",
        "from 1 to 7",
    ),
    "not a number": (
        lambda: Answer(
            question="q", value=float("nan"), scale=Scale(min=1, max=7, better="higher")
        ),
        "answer.value",
        "finite",
    ),
    "empty answer": (lambda: Answer(question="q"), "answer", "value, values, text, skipped"),
    "scale upside down": (
        lambda: Scale(min=7, max=1, better="higher"),
        "scale.max",
        "above scale.min",
    ),
    "suffix against action": (
        lambda: _event(
            _made(),
            type="dev.cxsdk.commitment.kept.v1",
            dataschema=schema_urn("commitment"),
        ),
        "event.type",
        "'made'",
    ),
    "suffix of another family": (
        lambda: _event(type="dev.cxsdk.interaction.given.v1"),
        "event.type",
        "completed, started",
    ),
    "type against data": (lambda: _event(_feedback()), "event.type", "feedback"),
    "unknown MODEL": (
        lambda: _event(type="dev.cxsdk.interaction.completed.v2"),
        "event.type",
        "MODEL v1",
    ),
    "schema against type": (
        lambda: _event(dataschema=schema_urn("feedback")),
        "event.dataschema",
        "interaction, MODEL 1",
    ),
    "person as subject": (lambda: _event(subject="customer/k7"), "event.subject", "person"),
    "sampled commitment": (
        lambda: _event(
            _made(),
            type="dev.cxsdk.commitment.made.v1",
            dataschema=schema_urn("commitment"),
            sampledrate=10,
        ),
        "event.sampledrate",
        "never sampled",
    ),
    "data of no family": (lambda: _event(Ref(type="a", id="b")), "event.data", "families"),
    "purchase as a reaction": (
        lambda: Reaction(reaction_id="R", reaction="purchase", customer=WHO, evidence="observed"),
        "reaction.reaction",
        "interaction of stage order",
    ),
    "partner without role": (lambda: Party(kind="partner"), "party.partner_role", "carrier"),
    "promise without duty": (lambda: _made(duty=None), "commitment.duty", "when made"),
    "promise without end": (lambda: _made(due_at=None), "commitment.due_at", "due_date, window"),
    "promise with two ends": (lambda: _made(period="P2D"), "commitment.due_at", "one of"),
    "due date without zone": (
        lambda: _made(due_at=None, due_date=date(2026, 11, 24)),
        "commitment.where.tz",
        "zone",
    ),
    "warranty broken by its end": (
        lambda: _made(state="broken", duty="in_force_until"),
        "commitment.state",
        "expired",
    ),
    "parcel that expires": (lambda: _made(state="expired"), "commitment.state", "broken"),
    "window backwards": (
        lambda: Window(from_=NOON, to=NOON - timedelta(seconds=1)),
        "window.to",
        "after",
    ),
    "wrong beginning of a window": (
        lambda: Window(from_="now", to=NOON),
        "window.from",
        "datetime",
    ),
    "loss backwards": (
        lambda: Loss(
            reason="full",
            family="interaction",
            touchpoint="x",
            count=1,
            from_=NOON,
            to=NOON - timedelta(days=1),
        ),
        "loss.to",
        "before",
    ),
    "link to nobody": (
        lambda: Identity(identity_id="L", customer=WHO, op="linked"),
        "identity.previous",
        "when linked",
    ),
    "consent changed to nothing": (
        lambda: Identity(identity_id="L", customer=WHO, op="consent_changed"),
        "identity.consent",
        "state of consent",
    ),
    "suppressed without reason": (
        lambda: Prompt(prompt_id="p", instrument="nps", action="suppressed"),
        "prompt.reason",
        "a reason",
    ),
    "shown without offer": (
        lambda: Prompt(prompt_id="p", instrument="nps", action="shown"),
        "prompt.offer_id",
        "an offer",
    ),
    "answer of a prompt without offer": (
        lambda: _feedback(prompt_id="nps"),
        "feedback.offer_id",
        "prompt_id",
    ),
    "offer without prompt": (
        lambda: _feedback(offer_id="O-1"),
        "feedback.prompt_id",
        "offer_id",
    ),
    "flag as number": (
        lambda: Problem(problem_id="P", problem="error", severity="major", user_visible=1),
        "problem.user_visible",
        "true or false",
    ),
    "whole number as flag": (
        lambda: _interaction(duration_ms=True),
        "interaction.duration_ms",
        "whole number",
    ),
    "block of another kind": (
        lambda: _interaction(performed_by="company"),
        "interaction.performed_by",
        "a Party",
    ),
    "no answers": (lambda: _feedback(answers=()), "feedback.answers", "1 to 100"),
    "nothing at all": (Feedback, "feedback.feedback_id", "text of 1 to 200"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_fact_is_refused_at_construction(name):
    """The error names the field and says what was expected."""
    build, field, words = REFUSED[name]
    with pytest.raises(InvalidEventError) as caught:
        build()
    assert field == caught.value.field
    assert words in caught.value.expected


@pytest.mark.parametrize(
    "build",
    [
        lambda: _interaction(outcome=SECRET),
        lambda: Answer(question=SECRET, text="x"),
        lambda: Customer(id=SECRET * 10),
        lambda: Where(channel=SECRET),
        lambda: _interaction(**{SECRET: 1}),
        lambda: Identity(identity_id="L", customer=WHO, op="identified", traits={SECRET: {"a": 1}}),
        lambda: _interaction(ext={"ns": {SECRET: object()}}),
        lambda: _interaction(ext={SECRET: 1}),
        lambda: Money(amount=SECRET, currency="EUR"),
        lambda: _event(type=SECRET),
        lambda: _event(source=SECRET),
        lambda: _event(subject=SECRET),
        lambda: _event(dataschema=SECRET),
        lambda: _made(state=SECRET),
        lambda: _feedback(source=SECRET),
    ],
)
def test_an_error_never_repeats_free_text(build):
    """What a person may have typed stands in no error."""
    with pytest.raises(InvalidEventError) as caught:
        build()
    assert [word for word in ("Anna", "660", SECRET[:20]) if word in str(caught.value)] == []


# ---- what is taken ------------------------------------------------------------------------


@pytest.mark.parametrize("state", [s for s in vocabulary.ACTIONS["commitment"] if s != "made"])
def test_a_later_step_of_a_promise_needs_only_its_id_and_customer(state):
    """Only what was made says kind, who, duty and until when."""
    step = Commitment(commitment_id="C-1", customer=WHO, state=state)
    assert {"commitment_id": "C-1", "customer": {"id": "k7f3a9"}, "state": state} == dump(step)


@pytest.mark.parametrize(
    "due",
    [
        {"due_at": NOON},
        {"due_date": date(2026, 11, 24), "where": Where(tz="Asia/Tokyo")},
        {"window": Window(from_=NOON, to=NOON)},
        {"period": "P1Y2M10DT2H30M"},
    ],
)
def test_each_way_to_say_until_when_is_taken(due):
    """An instant, a local date with its zone, a window, a period."""
    assert due.keys() <= dump(_made(**{"due_at": None, **due})).keys()


def test_a_warranty_may_expire_and_be_made():
    """What is in force until a time is made and expires."""
    made = _made(duty="in_force_until", kind="warranty", due_at=None, period="P2Y")
    over = _made(state="expired", duty="in_force_until")
    assert (made.state, over.state) == ("made", "expired")


def test_a_problem_may_be_anonymous():
    """A problem needs no customer."""
    problem = Problem(problem_id="P", problem="crash", severity="blocking", user_visible=True)
    assert problem.customer is None


def test_a_purchase_is_an_interaction_of_stage_order():
    """The purchase itself is what happened."""
    bought = _interaction(where=Where(channel="store", stage="order"))
    assert bought.where.stage == "order"


def test_a_short_call_is_a_true_one():
    """Where nobody said, channel and medium are unknown."""
    assert dump(Where()) == {"channel": "unknown", "medium": "unknown"}


def test_words_of_a_team_s_own_are_taken_where_the_vocabulary_is_open():
    """An open vocabulary takes x_ values."""
    assert Where(channel="x_kiosk").channel == "x_kiosk"


def test_what_is_absent_is_left_out():
    """Neither null nor empty lists are written."""
    wire = dump(_interaction(expectations=(), refs=None, goal=None))
    assert wire.keys() == {"where", "direction", "performed_by", "interaction_id", "customer"}


# ---- how instances behave -----------------------------------------------------------------


def test_an_instance_is_frozen():
    """A fact does not change."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        WHO.id = "other"


def test_lists_become_tuples():
    """A list given is not shared with the instance."""
    given = ["I-1"]
    about = About(interaction_ids=given)
    given.append("I-2")
    assert about.interaction_ids == ("I-1",)


def test_equal_facts_are_equal_and_hash_alike():
    """Equality is by value and class."""
    assert (_interaction(), hash(_interaction())) == (_interaction(), hash(_interaction()))
    assert _interaction() != _interaction(goal="pay")
    assert Ref(type="a", id="b") != ("a", "b")


def test_none_for_a_list_is_the_empty_list():
    """Two ways to say absent are equal."""
    assert About(touchpoint="a") == About(touchpoint="a", refs=None)


def test_repr_shows_what_is_there():
    """The repr leaves out what is absent."""
    assert repr(Party(kind="company")) == "Party(kind='company')"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_an_event_can_be_copied_and_pickled(copied):
    """Copies and pickles are equal to the event."""
    event = _event()
    assert event == copied(event)


def test_evolve_checks_again():
    """A changed copy is checked like a new one."""
    assert attrs.evolve(WHO, segment="gold").segment == "gold"
    with pytest.raises(InvalidEventError):
        attrs.evolve(WHO, id="")


def test_an_event_knows_its_family_and_action():
    """The type is taken apart for processors and listeners."""
    event = _event(type="com.acme.shop.interaction.started.v1")
    assert (event.family, event.action) == ("interaction", "started")


def test_an_error_within_says_where_it_stands():
    """The path of a nested field begins with the family."""
    wire = dump(_feedback())
    wire["answers"][0]["scale"] = {"min": 1, "max": 5, "better": "up"}
    with pytest.raises(InvalidEventError) as caught:
        load(Feedback, wire, "feedback", strict=True)
    assert caught.value.field == "feedback.answers[0].scale.better"


# ---- the standard as a whole --------------------------------------------------------------

MUST = {
    "interaction": "interaction_id customer where direction performed_by",
    "problem": "problem_id problem severity user_visible",
    "commitment": "commitment_id customer state",
    "feedback": "feedback_id customer about answers source solicited",
    "reaction": "reaction_id reaction customer evidence",
    "identity": "identity_id customer op",
    "prompt": "prompt_id instrument action",
    "loss": "reason family touchpoint count from to",
}


@pytest.mark.parametrize("family", MUST)
def test_a_family_must_carry_what_the_standard_says(family):
    """Required fields are those of the table of families."""
    required = {name for _, name, _, needed in plan(FAMILIES[family]).fields if needed}
    assert set(MUST[family].split()) == required


def test_there_are_eight_families_with_their_layers():
    """The vocabulary of families, actions and layers is complete."""
    assert list(FAMILIES) == list(vocabulary.ACTIONS) == list(vocabulary.SCHEMA_VERSION)
    assert {"actual", "perception", "reaction"} == set(vocabulary.LAYERS.values())


def test_no_fact_of_what_happened_or_was_done_has_a_perception_field():
    """The layers share no field of what a customer says."""
    apart = [FAMILIES[name] for name in FAMILIES if name != "feedback"]
    shared = {cls.__name__: plan(cls).names & vocabulary.PERCEPTION_FIELDS for cls in apart}
    assert [name for name, fields in shared.items() if fields] == []


def test_no_feedback_has_a_field_of_what_happened():
    """Nor the other way round."""
    names = plan(Feedback).names | plan(Answer).names
    assert not names & vocabulary.ACTUAL_FIELDS


@pytest.mark.parametrize("module", [model, vocabulary])
def test_public_names_are_sorted_and_there(module):
    """``__all__`` is sorted (constants, classes, functions) and true."""
    kinds = {True: 0, False: 1}
    names = module.__all__
    order = sorted(
        names, key=lambda n: (kinds[n.isupper()] if n.isupper() else 1 + n[0].islower(), n)
    )
    assert order == names
    assert [name for name in names if not hasattr(module, name)] == []


def test_data_is_the_union_of_the_families():
    """The type alias names every family."""
    assert set(FAMILIES.values()) == set(typing.get_args(model.Data))


def test_consent_holds_state_ground_and_purposes():
    """Consent is stamped as it was when the fact was captured."""
    consent = Consent(state="granted", basis="consent", purposes=["research"], at=NOON)
    assert dump(consent) == {
        "state": "granted",
        "basis": "consent",
        "purposes": ["research"],
        "at": "2026-11-22T12:00:00.000000Z",
    }
