"""
Who is who, and who is forgotten: the part of the cap stores' conformance suite about subjects.
"""

from __future__ import annotations

import time

import pytest

from cxsdk.asking import Cap, CapStore, Due
from cxsdk.testing.conformance._cap_requests import (
    ANN,
    BEN,
    DAY,
    CapStoreUnderTest,
    any_cap,
    ask,
)

__all__ = ["CapStoreSubjects"]

_VISITOR = "a-visitor"


class CapStoreSubjects(CapStoreUnderTest):
    """
    Histories, marks, merging and forgetting.
    """

    def test_1_a_history_begins_with_the_latest(self, store: CapStore) -> None:
        """
        Offers of one subject, the latest first, a hundred at most, of a year at most.
        """
        for number in range(105):
            self.granted(store, ask(f"o-{number}", caps=()))
            store.advance(f"o-{number}", "dismissed")
            self.later(60)
        self.granted(store, ask("o-ben", BEN))
        history = store.history(ANN)
        assert [o.offer_id for o in history.offers] == [f"o-{n}" for n in range(104, 4, -1)]
        assert not history.opted_out
        assert {offer.subject for offer in history.offers} == {ANN}
        assert history.now >= history.offers[0].reserved_at
        self.later(365 * DAY - 60 * 52)
        assert len(store.history(ANN).offers) == pytest.approx(51, abs=3)
        assert store.history("c-nobody").offers == ()

    def test_1_marks_are_kept_as_long_as_asked(self, store: CapStore) -> None:
        """
        The same unique name is entered once, and its first moment stays until its time is over.
        """
        store.mark(ANN, "failure", "i-1", 100.0)
        self.later(50)
        store.mark(ANN, "failure", "i-1", 100.0)
        store.mark(ANN, "failure", "i-2", 100.0)
        store.mark(ANN, "event:p", "i-1", 1000.0)
        history = store.history(ANN)
        first, second = history.marks["failure"]
        assert second - first == pytest.approx(50, abs=5)
        assert second == pytest.approx(history.now, abs=5)
        assert len(history.marks["event:p"]) == 1
        self.later(60)
        assert len(store.history(ANN).marks["failure"]) == 1
        self.later(60)
        assert list(store.history(ANN).marks) == ["event:p"]
        store.mark(ANN, "failure", "i-1", 100.0)
        assert len(store.history(ANN).marks["failure"]) == 1
        assert store.history(BEN).marks == {}

    def test_1_the_latest_hundred_marks_are_kept(self, store: CapStore) -> None:
        """
        Of many marks the oldest go.
        """
        began = time.monotonic()
        for number in range(110):
            store.mark(ANN, "failure", f"i-{number}", 1e6)
            self.later(1)
        history = store.history(ANN)
        moments = history.marks["failure"]
        assert len(moments) == 100
        assert list(moments) == sorted(moments)
        # A store that connects for each call takes its time, which passes for its clock as well.
        took = time.monotonic() - began
        assert history.now - moments[0] == pytest.approx(100, abs=5 + took)

    # ---- 5: two become one

    @pytest.mark.parametrize("asked", [ANN, _VISITOR])
    @pytest.mark.parametrize("spent", [ANN, _VISITOR])
    def test_5_a_clock_holds_for_both(self, store: CapStore, spent: str, asked: str) -> None:
        """
        A visitor who becomes a customer brings their clocks along, and both names find them.
        """
        self.granted(store, ask("o-1", spent))
        self.refused(store, ask("o-2", spent), "in_flight")
        store.merge(_VISITOR, ANN)
        self.refused(store, ask("o-3", asked), "in_flight")
        store.advance("o-1", "dismissed")
        self.refused(store, ask("o-4", asked), "cap_global")
        (found,) = store.history(asked).offers
        assert (found.offer_id, found.subject) == ("o-1", ANN)

    def test_5_merging_joins_what_both_have(self, store: CapStore) -> None:
        """
        Ends, marks, what is due and an opt-out are those of one subject afterwards; quotas count
        on.
        """
        for name, subject in (("o-1", _VISITOR), ("o-2", ANN)):
            self.granted(store, ask(name, subject, quotas=self.quotas(2)))
            store.mark(subject, "failure", name, 1e6)
            store.schedule(Due(f"d-{name}", subject, -1.0, b"r"))
        store.answer("o-1", b"d", complete=True)
        store.merge(_VISITOR, ANN)
        history = store.history(ANN)
        assert {offer.offer_id for offer in history.offers} == {"o-1", "o-2"}
        assert len(history.marks["failure"]) == 2
        assert {(d.due_id, d.subject) for d in store.take_due(_VISITOR)} == {
            ("d-o-1", ANN),
            ("d-o-2", ANN),
        }
        assert store.answer("o-2", b"d", complete=True).outcome == "first"
        gap = any_cap(_VISITOR, after_answer=DAY)
        self.refused(store, ask("o-3", _VISITOR, caps=(gap,)), "cap_global")
        store.opt_out(_VISITOR)
        assert store.history(ANN).opted_out
        self.refused(store, ask("o-4"), "opted_out")

    def test_5_a_reservation_is_released_after_a_merge(self, store: CapStore) -> None:
        """
        What a visitor had reserved is taken back from the customer's clocks too.
        """
        self.granted(store, ask("o-1", _VISITOR, quotas=self.quotas(1), unique="p:i"))
        store.merge(_VISITOR, ANN)
        store.release("o-1")
        assert store.history(ANN).offers == ()
        self.granted(store, ask("o-2", quotas=self.quotas(1), unique="p:i"))

    def test_5_merging_again_changes_nothing(self, store: CapStore) -> None:
        """
        The same merge twice, the other way round, or into itself, is one merge.
        """
        self.granted(store, ask("o-1", _VISITOR))
        for pair in ((_VISITOR, ANN), (_VISITOR, ANN), (ANN, _VISITOR), (ANN, ANN)):
            store.merge(*pair)
        assert len(store.history(ANN).offers) == 1
        assert len(store.history(_VISITOR).offers) == 1
        assert store.forget(ANN) == 1

    def test_5_customers_who_share_a_device_stay_apart(self, store: CapStore) -> None:
        """
        A visitor who was one customer and logs in as another does not make those two one.
        """
        self.granted(store, ask("o-1", _VISITOR))
        store.advance("o-1", "dismissed")
        store.merge(_VISITOR, ANN)
        store.merge(_VISITOR, BEN)
        self.refused(store, ask("o-2"), "cap_global")
        self.granted(store, ask("o-3", BEN))
        store.opt_out(BEN)
        assert store.forget(BEN) == 1
        assert not store.history(ANN).opted_out

    def test_5_a_customer_may_become_another(self, store: CapStore) -> None:
        """
        Two accounts joined into one keep the visitors of both.
        """
        self.granted(store, ask("o-1", _VISITOR))
        store.advance("o-1", "dismissed")
        store.merge(_VISITOR, BEN)
        store.merge(BEN, ANN)
        for number, subject in enumerate((_VISITOR, BEN, ANN)):
            self.refused(store, ask(f"o-x-{number}", subject), "cap_global")

    def test_5_an_opt_out_holds_for_every_name(self, store: CapStore) -> None:
        """
        Also years later, and for who became one that had opted out.
        """
        store.opt_out(ANN)
        store.merge(_VISITOR, ANN)
        self.later(3 * 365 * DAY)
        store.sweep()
        for subject in (ANN, _VISITOR):
            assert store.history(subject).opted_out
            self.refused(store, ask("o-1", subject), "opted_out")

    def test_5_names_are_joined_for_as_long_as_something_is_known(self, store: CapStore) -> None:
        """
        A visitor of long ago finds what the customer they became was asked of late.
        """
        store.merge(_VISITOR, ANN)
        self.granted(store, ask("o-1"))
        store.advance("o-1", "dismissed")
        self.later(300 * DAY)
        self.granted(store, ask("o-2"))
        store.advance("o-2", "dismissed")
        self.later(300 * DAY)
        store.sweep()
        assert [offer.offer_id for offer in store.history(_VISITOR).offers] == ["o-2"]

    # ---- 6: forgotten

    def test_6_nothing_is_left_of_who_is_forgotten(self, store: CapStore) -> None:
        """
        Offers, clocks, marks and what is due are gone, under both names, and nobody else's.
        """
        session = Cap("session", "s-1", "cap_session", within=DAY)
        store.merge(_VISITOR, ANN)
        self.granted(store, ask("o-1", caps=(any_cap(), session), unique="p:o-1"))
        store.advance("o-1", "dismissed")
        self.granted(store, ask("o-2", _VISITOR, caps=()))
        store.advance("o-2", "dismissed")
        store.mark(ANN, "failure", "i-1", 1e6)
        store.schedule(Due("d-1", ANN, -1.0, b"r"))
        self.granted(store, ask("o-ben", BEN))
        store.schedule(Due("d-ben", BEN, -1.0, b"r"))
        assert store.forget(_VISITOR) == 2
        for subject in (ANN, _VISITOR):
            history = store.history(subject)
            assert (history.offers, history.marks, history.opted_out) == ((), {}, False)
        assert (store.find("o-1"), store.find("o-2")) == (None, None)
        assert [due.due_id for due in store.take_due()] == ["d-ben"]
        assert store.counts()["offers"] == {"reserved": 1}
        self.granted(store, ask("o-3", caps=(any_cap(), session), unique="p:o-1"))
        self.granted(store, ask("o-4", _VISITOR))
        assert store.forget("c-nobody") == 0

    def test_6_offers_of_others_leave_a_forgotten_clock(self, store: CapStore) -> None:
        """
        Of an account that is forgotten no clock is left, and its members' offers stay.
        """
        account = Cap("account", "g-1", "cap_account", within=DAY, after_dismissal=DAY)
        self.granted(store, ask("o-1", caps=(any_cap(), account)))
        store.advance("o-1", "dismissed")
        assert store.forget("g-1") == 0
        self.granted(store, ask("o-2", BEN, caps=(account,)))
        self.refused(store, ask("o-3"), "cap_global")
        assert len(store.history(ANN).offers) == 1
        assert store.forget(ANN) == 1

    def test_6_an_opt_out_is_not_forgotten(self, store: CapStore) -> None:
        """
        Who opted out is never asked again, under no name of theirs.
        """
        store.merge(_VISITOR, ANN)
        self.granted(store, ask("o-1"))
        store.opt_out(_VISITOR)
        assert store.forget(ANN) == 1
        for subject in (ANN, _VISITOR):
            assert store.history(subject).opted_out
            self.refused(store, ask("o-2", subject), "opted_out")
        self.later(2 * 365 * DAY)
        store.sweep()
        self.refused(store, ask("o-3"), "opted_out")
