"""
A section as a provider knows it, with what this service saw since laid over it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxsdk.lookup.items import Commitment, Consent, ConsentState, Interaction, Problem, Profile
from cxsdk.lookup.overlay import Overlay, overlaid
from cxsdk.testing.clock import FakeClock
from tests.lookup import wires

KEY = ("id", "u1")


class Seen:
    """
    A journal that says what it is told to say.
    """

    def __init__(self, **sections: list[tuple[float, dict[str, Any]]]) -> None:
        self._sections = sections

    def changes(self, section: str) -> tuple[tuple[str, float, dict[str, Any]], ...]:
        noted = self._sections.get(section, [])
        return tuple(
            (f"e{number}", wires.moment(at).timestamp(), data)
            for number, (at, data) in enumerate(noted)
        )


def _contact(name: str, seconds: float, **more: Any) -> dict[str, Any]:
    return {"id": name, "at": wires.text(seconds), **more}


def _journal(*payloads: bytes) -> Any:
    overlay = Overlay(FakeClock())
    for payload in payloads:
        overlay.tap(KEY, payload, b".interaction." in payload)
    return overlay.journal(KEY)


# ---- lists -------------------------------------------------------------------------------------


def test_what_no_provider_knows_stands_among_the_others_as_local() -> None:
    """The newest first, whoever knows it, and marked where only this service does."""
    value = (Interaction(id="b", at=wires.moment(20)), Interaction(id="a", at=wires.moment(10)))
    seen = Seen(
        interactions=[(15, _contact("x", 15, refs={"order": "A"})), (30, _contact("y", 30))]
    )

    found = overlaid("interactions", value, wires.moment(12), 0, seen, 50)

    assert ["y", "b", "x", "a"] == [item.id for item in found]
    assert [True, False, True, False] == [item.local for item in found]
    assert {"order": "A"} == found[2].refs
    with pytest.raises(TypeError):
        found[2].refs["order"] = "B"


def test_a_change_ends_where_the_provider_must_have_seen_it() -> None:
    """Past its moment and the lag, the provider's word stands, also where that is nothing."""
    seen = Seen(interactions=[(100, _contact("x", 100))])

    for as_of, lag, expected in [(99, 0, 1), (100, 0, 0), (129, 30, 1), (130, 30, 0)]:
        found = overlaid("interactions", (), wires.moment(as_of), lag, seen, 50)
        assert expected == len(found), (as_of, lag)
    assert 1 == len(overlaid("interactions", None, None, 0, seen, 50))


def test_fields_are_laid_over_the_item_with_the_same_id() -> None:
    """What the provider alone knows of it stays; what changes makes it local."""
    value = (Commitment(id="C-1", kind="delivery", state="made", promised_by="company"),)
    seen = Seen(
        commitments=[(10, {"id": "C-1", "state": "at_risk"}), (20, {"id": "C-1", "state": "kept"})]
    )

    [found] = overlaid("commitments", value, wires.moment(5), 0, seen, 50)

    assert ("kept", "delivery", "company", True) == (
        found.state,
        found.kind,
        found.promised_by,
        found.local,
    )


def test_an_item_that_the_provider_has_just_so_is_not_local() -> None:
    """What both know is confirmed, whatever the provider's age says."""
    value = (Interaction(id="x", at=wires.moment(10), outcome="success", summary="a note"),)
    seen = Seen(interactions=[(10, _contact("x", 10, outcome="success"))])

    assert value == overlaid("interactions", value, wires.moment(5), 0, seen, 50)


def test_what_another_process_said_later_is_not_undone() -> None:
    """A promise made here and kept elsewhere is kept, as soon as the provider knows."""
    made = {"id": "d", "state": "made", "kind": "delivery", "updated_at": wires.text(10)}
    kept = Commitment(id="d", state="kept", kind="delivery", updated_at=wires.moment(20))
    fresh = Problem(id="p", status="open", updated_at=wires.moment(20))
    over = {"id": "p", "status": "resolved", "updated_at": wires.text(10)}
    seen = Seen(commitments=[(10, made)], problems=[(10, over)])

    assert overlaid("commitments", (kept,), wires.moment(21), 60, seen, 50) == (kept,)
    assert overlaid("problems", (fresh,), wires.moment(21), 60, seen, 50) == (fresh,)
    same = Problem(id="p", status="resolved", updated_at=wires.moment(10))
    assert overlaid("problems", (same,), wires.moment(21), 60, seen, 50) == ()


def test_a_resolved_problem_is_no_longer_among_the_problems() -> None:
    """Neither the provider's nor one that this service saw itself; one raised again is."""
    value = (Problem(id="P-1", problem="late"), Problem(id="P-2", problem="broken"))
    journal = _journal(
        wires.problem("e1", "P-1", "resolved", 10),
        wires.problem("e2", "P-3", "raised", 11, problem="lost"),
        wires.problem("e3", "P-3", "resolved", 12),
        wires.problem("e4", "P-4", "raised", 13, problem="wrong"),
        wires.problem("e5", "P-5", "raised", 14, problem="slow", recovered=True),
        wires.problem("e6", "P-6", "resolved", 15),
        wires.problem("e7", "P-6", "raised", 16, problem="again"),
    )

    found = overlaid("problems", value, wires.moment(5), 0, journal, 50)

    assert ["P-6", "P-4", "P-2"] == [item.id for item in found]


def test_there_are_no_more_than_the_limit() -> None:
    """The newest stay, with and without something laid over."""
    value = tuple(Interaction(id=f"i{n}", at=wires.moment(100 - n)) for n in range(5))
    seen = Seen(interactions=[(200, _contact("x", 200))])

    assert ["x", "i0"] == [
        item.id for item in overlaid("interactions", value, wires.moment(150), 0, seen, 2)
    ]
    assert ["i0", "i1"] == [item.id for item in overlaid("interactions", value, None, 0, None, 2)]


def test_what_a_reducer_made_wrong_is_left_out() -> None:
    """A field of another type hides neither the provider's item nor the others."""
    value = (Interaction(id="a", at=wires.moment(10)),)
    seen = Seen(
        interactions=[
            (20, {"id": "a", "outcome": 7}),
            (21, {"outcome": "success"}),
            (22, {"id": "b", "at": "yesterday"}),
        ]
    )

    assert value == overlaid("interactions", value, wires.moment(5), 0, seen, 50)


_names = st.sampled_from(["a", "b", "c", "d"])
_changes = st.lists(
    st.tuples(
        _names,
        st.integers(0, 100),
        st.dictionaries(
            st.sampled_from(["outcome", "stage", "channel"]), st.sampled_from(["x", "y"])
        ),
    ),
    max_size=8,
    unique_by=lambda change: change[1],
)
_values = st.lists(st.tuples(_names, st.one_of(st.none(), st.integers(0, 100))), max_size=4)


def _built(values: list[tuple[str, int | None]]) -> tuple[Interaction, ...]:
    by_id = {
        name: Interaction(id=name, at=None if at is None else wires.moment(at))
        for name, at in values
    }
    return tuple(by_id.values())


@given(_changes, _values, st.one_of(st.none(), st.integers(0, 100)), st.integers(1, 5))
def test_laying_over_twice_is_laying_over_once(
    changes: Any, values: Any, as_of: int | None, limit: int
) -> None:
    """Idempotent, whatever was seen, whatever is known, whatever the limit."""
    ordered = sorted(changes, key=lambda change: change[1])
    seen = Seen(interactions=[(at, _contact(name, at, **data)) for name, at, data in ordered])
    moment = None if as_of is None else wires.moment(as_of)

    once = overlaid("interactions", _built(values), moment, 10, seen, limit)
    twice = overlaid("interactions", once, moment, 10, seen, limit)

    assert once == twice
    assert len(once) <= limit
    assert len({item.id for item in once}) == len(once)


@given(_changes, _values, st.integers(0, 100), st.randoms())
def test_the_order_of_arrival_does_not_matter(
    changes: Any, values: Any, as_of: int, chance: Any
) -> None:
    """Events that come mixed up, or twice, give the same section."""
    payloads = [wires.contact(f"{name}-{at}", at, **data) for name, at, data in changes]
    mixed = [*payloads, *payloads[:2]]
    chance.shuffle(mixed)

    first, second = (
        overlaid("interactions", _built(values), wires.moment(as_of), 0, _journal(*each), 50)
        for each in (payloads, mixed)
    )

    assert first == second


# ---- records and sections of a team's own ------------------------------------------------------


def test_traits_are_laid_over_one_by_one() -> None:
    """A new trait takes no other one away."""
    value = Profile(name="Ada", attributes={"plan": "gold", "city": "Graz"})
    seen = Seen(profile=[(10, {"attributes": {"plan": "blue"}}), (11, {"attributes": {"a": 1}})])

    found = overlaid("profile", value, wires.moment(5), 0, seen, 50)

    assert ("Ada", {"plan": "blue", "city": "Graz", "a": 1}) == (found.name, found.attributes)
    assert value is overlaid("profile", value, wires.moment(11), 0, seen, 50)
    assert {"plan": "blue", "a": 1} == overlaid("profile", None, None, 0, seen, 50).attributes
    assert found == overlaid("profile", found, wires.moment(5), 0, seen, 50)


def test_sections_of_a_team_are_laid_over_as_plain_data() -> None:
    """Lists join by id, mappings by key, anything else stays as the provider said it."""
    seen = Seen(orders=[(10, {"id": "A", "state": "paid"}), (11, {"id": "C", "state": "new"})])
    value = ({"id": "A", "total": 5}, {"id": "B"}, "?")

    found = overlaid("orders", value, wires.moment(5), 0, seen, 3)
    assert ({"id": "C", "state": "new"}, {"id": "A", "total": 5, "state": "paid"}, {"id": "B"}) == (
        found
    )
    assert 2 == len(overlaid("orders", None, None, 0, seen, 50))

    seen = Seen(loyalty=[(10, {"points": 7})])
    assert {"points": 7, "tier": 1} == overlaid(
        "loyalty", {"points": 5, "tier": 1}, None, 0, seen, 50
    )
    assert {"points": 7} == overlaid("loyalty", None, None, 0, seen, 50)
    assert "gold" == overlaid("loyalty", "gold", None, 0, seen, 50)


# ---- consent -----------------------------------------------------------------------------------


def _granted(*purposes: str) -> Consent:
    return Consent(
        state="granted", purposes={name: ConsentState(state="granted") for name in purposes}
    )


def test_a_refusal_holds_at_once_and_whatever_the_age_of_the_answer() -> None:
    """A provider that was asked before it was told cannot lift it."""
    journal = _journal(wires.consent("e1", "denied", 10, "marketing"))
    for as_of in (5, 500):
        found = overlaid("consent", _granted("marketing"), wires.moment(as_of), 0, journal, 50)
        assert ("denied", "granted") == (found.of("marketing"), found.of("support"))


def test_a_refusal_in_general_refuses_every_purpose() -> None:
    """Unless a purpose was named since; then the provider's word for it decides."""
    journal = _journal(wires.consent("e1", "denied", 10))
    found = overlaid("consent", _granted("marketing"), wires.moment(5), 0, journal, 50)
    assert ("denied", "denied") == (found.of("marketing"), found.of("anything"))

    journal = _journal(
        wires.consent("e0", "granted", 9, "research"),
        wires.consent("e1", "denied", 10),
        wires.consent("e2", "granted", 11, "marketing"),
    )
    found = overlaid("consent", _granted("marketing", "research"), wires.moment(5), 0, journal, 50)
    assert ("granted", "denied") == (found.of("marketing"), found.of("research"))


def test_a_grant_waits_for_the_store_of_record() -> None:
    """Where the provider has something more restrictive, that stands; else the grant does."""
    journal = _journal(wires.consent("e1", "granted", 10, "marketing"))
    refused = Consent(purposes={"marketing": ConsentState(state="denied")})

    assert "denied" == overlaid("consent", refused, wires.moment(5), 0, journal, 50).of("marketing")
    assert "granted" == overlaid("consent", None, None, 0, journal, 50).of("marketing")
    assert "granted" == overlaid("consent", Consent(), wires.moment(5), 0, journal, 50).of(
        "marketing"
    )
    assert "unknown" == overlaid("consent", Consent(), wires.moment(10), 0, journal, 50).of(
        "marketing"
    )


def test_who_refused_and_then_agreed_has_agreed() -> None:
    """The last word of the customer counts, also where its event is in the provider's answer."""
    journal = _journal(
        wires.consent("e1", "denied", 10, "marketing"),
        wires.consent("e2", "granted", 20, "marketing"),
    )
    for as_of in (5, 15, 25):
        found = overlaid("consent", _granted("marketing"), wires.moment(as_of), 0, journal, 50)
        assert "granted" == found.of("marketing")


_words = st.lists(
    st.tuples(
        st.sampled_from(["granted", "denied", "withdrawn", "pending"]),
        st.sampled_from([(), ("marketing",), ("research", "marketing")]),
    ),
    max_size=5,
)


@given(_words, st.sampled_from(["granted", "denied", "unknown"]), st.integers(0, 100))
def test_laying_over_never_gives_more_than_the_provider_did(
    words: Any, state: str, as_of: int
) -> None:
    """Most restrictive wins, and again gives the same."""
    journal = _journal(
        *(wires.consent(f"e{n}", word, 10 * n, *names) for n, (word, names) in enumerate(words))
    )
    value = Consent(state=state, purposes={"marketing": ConsentState(state=state)})

    once = overlaid("consent", value, wires.moment(as_of), 0, journal, 50)

    rank = {"denied": 0, "withdrawn": 0, "pending": 1, "unknown": 2, "granted": 3}
    assert rank[once.of("marketing")] <= rank[state]
    assert once == overlaid("consent", once, wires.moment(as_of), 0, journal, 50)
