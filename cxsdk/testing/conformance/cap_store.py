"""
What every `CapStore` must do: tests for each numbered guarantee of the Protocol.

Subclass it in a test module::

    class TestMyStore(CapStoreConformance):
        secrets = ("s3cret",)

        @pytest.fixture(autouse=True)
        def _place(self, tmp_path):
            self.path = tmp_path / "caps"

        def make_store(self):
            return MyStore(self.path, password="s3cret", time_s=self.clock)
"""

from __future__ import annotations

from typing import Any

import pytest

from cxsdk.asking import LATE_S, Cap, CapStore, Due, OfferState
from cxsdk.testing.conformance._cap_races import CapStoreRaces
from cxsdk.testing.conformance._cap_requests import ANN, BEN, DAY, GAP, any_cap, ask
from cxsdk.testing.conformance._cap_subjects import CapStoreSubjects

__all__ = ["CapStoreConformance"]

_YEAR = 365 * DAY


class CapStoreConformance(CapStoreRaces, CapStoreSubjects):
    """
    Tests of guarantees 1 to 9, with races between processes.
    """

    # ---- 1: all rules, in one step

    def test_1_a_reservation_is_what_was_asked_for(self, store: CapStore) -> None:
        """
        What was reserved is found as it was given, with the store's times.
        """
        record = bytes(range(256))
        self.granted(store, ask("o-1", record=record, prompt="checkout"))
        found = store.find("o-1")
        assert found is not None
        assert (found.offer_id, found.prompt, found.subject) == ("o-1", "checkout", ANN)
        assert (found.state, found.revision, found.record) == ("reserved", 0, record)
        assert (found.shown_at, found.ended_at) == (None, None)
        assert found.expires_at - found.reserved_at == pytest.approx(600)
        assert 0 <= found.now - found.reserved_at < 5
        assert store.find("o-2") is None

    def test_1_the_first_rule_that_refuses_gives_the_reason(self, store: CapStore) -> None:
        """
        Opted out, in flight, already asked, the caps in their order, then the quotas.
        """
        full = self.quotas(1)
        self.granted(store, ask("o-1", caps=(), quotas=full, unique="p:i"))
        other: dict[str, Any] = {"caps": (any_cap(BEN),), "quotas": full}
        self.refused(store, ask("o-2", caps=(any_cap(),), quotas=full, unique="p:i"), "in_flight")
        self.refused(store, ask("o-3", BEN, unique="p:i", **other), "already_asked")
        self.refused(store, ask("o-4", BEN, **other), "quota_full")
        both = (any_cap(BEN, most=0, within=1.0), Cap("b", BEN, "cap_b", most=0, within=1.0))
        self.refused(store, ask("o-5", BEN, caps=both, quotas=full), "cap_global")
        self.refused(store, ask("o-6", BEN, caps=both[::-1], quotas=full), "cap_b")
        store.opt_out(ANN)
        self.refused(store, ask("o-7", unique="p:i"), "opted_out")

    @pytest.mark.parametrize("most", [1, 3])
    def test_1_a_cap_lets_so_many_through(self, store: CapStore, most: int) -> None:
        """
        Within its time a clock has at most *most* offers, and `Denied.retry_in` says until when.
        """
        caps = (any_cap(most=most, within=GAP),)
        for number in range(most):
            self.granted(store, ask(f"o-{number}", caps=caps))
            store.advance(f"o-{number}", "dismissed")
            self.later(3600)
        denied = self.refused(store, ask("o-x", caps=caps), "cap_global")
        assert denied.retry_in == pytest.approx(GAP - most * 3600, abs=10)
        self.later(GAP - most * 3600 - 60)
        self.refused(store, ask("o-y", caps=caps), "cap_global")
        self.later(120)
        self.granted(store, ask("o-z", caps=caps))

    def test_1_an_offer_is_entered_on_every_clock(self, store: CapStore) -> None:
        """
        A cap that checks nothing is entered all the same, for others to find; one that is not
        named is not.
        """
        self.granted(store, ask("o-1", caps=(Cap("group:g", ANN, "cap_group"),)))
        store.advance("o-1", "dismissed")
        group = (Cap("group:g", ANN, "cap_group", within=GAP),)
        self.refused(store, ask("o-2", caps=group), "cap_group")
        self.granted(store, ask("o-3"))

    @pytest.mark.parametrize(
        ("end", "rule"), [("dismissed", "after_dismissal"), ("answered", "after_answer")]
    )
    def test_1_a_gap_begins_with_the_end(self, store: CapStore, end: str, rule: str) -> None:
        """
        After a dismissal or an answer, counted from that moment, nobody is asked for a while; the
        other end does not count.
        """
        gaps: dict[str, Any] = {"after_dismissal": GAP, "after_answer": GAP, rule: 0.0}
        only: dict[str, Any] = {rule: GAP}
        cap, other = any_cap(ANN, **only), any_cap(ANN, **gaps)
        self.granted(store, ask("o-1", caps=(cap,), expires_in=5 * DAY))
        store.advance("o-1", "shown")
        self.later(4 * DAY)
        if end == "dismissed":
            assert store.advance("o-1", "dismissed")
        else:
            assert store.answer("o-1", b"d", complete=True).outcome == "first"
        self.later(6 * DAY)
        denied = self.refused(store, ask("o-2", caps=(cap,)), "cap_global")
        assert denied.retry_in == pytest.approx(DAY, abs=10)
        self.granted(store, ask("o-3", caps=(other,)))
        store.release("o-3")
        self.later(DAY + 60)
        self.granted(store, ask("o-4", caps=(cap,)))

    def test_1_a_clock_may_be_shared(self, store: CapStore) -> None:
        """
        Of two customers of one account, the second is refused for the account's sake.
        """
        account = Cap("account", "g-1", "cap_account", within=GAP)
        self.granted(store, ask("o-1", caps=(any_cap(), account)))
        self.refused(store, ask("o-2", BEN, caps=(any_cap(BEN), account)), "cap_account")
        self.granted(store, ask("o-3", BEN))

    def test_1_who_was_refused_spent_nothing(self, store: CapStore) -> None:
        """
        A request that one rule refuses is entered on no clock and in no quota.
        """
        self.granted(store, ask("o-1", caps=(), quotas=self.quotas(1)))
        session = Cap("session", "s-1", "cap_session", within=DAY)
        asked = ask("o-2", BEN, caps=(any_cap(BEN), session), quotas=self.quotas(1), unique="p:i")
        self.refused(store, asked, "quota_full")
        assert store.find("o-2") is None
        assert store.history(BEN).offers == ()
        store.release("o-1")
        self.granted(store, asked)

    def test_1_a_quota_counts_answers_and_the_living(self, store: CapStore) -> None:
        """
        Dismissed, revoked and lapsed offers give their place back; answered ones keep it.
        """
        names = [f"c-{number}" for number in range(4)]
        for name in names:
            self.granted(store, ask(f"o-{name}", name, quotas=self.quotas(4)))
        self.refused(store, ask("o-5", BEN, quotas=self.quotas(4)), "quota_full")
        store.answer("o-c-0", b"d", complete=True)
        store.advance("o-c-1", "shown")
        store.advance("o-c-1", "dismissed")
        store.advance("o-c-2", "revoked")
        self.later(601)
        for number in range(3):
            self.granted(store, ask(f"o-b-{number}", f"c-b-{number}", quotas=self.quotas(4)))
        self.refused(store, ask("o-6", BEN, quotas=self.quotas(4)), "quota_full")
        assert store.counts()["answers"] == {"p:all": 1}

    def test_1_an_answer_counts_for_good(self, store: CapStore) -> None:
        """
        A year later, and after the customer was forgotten, the quota is still full.
        """
        self.granted(store, ask("o-1", quotas=self.quotas(1)))
        store.answer("o-1", b"d", complete=True)
        store.forget(ANN)
        self.refused(store, ask("o-2", BEN, quotas=self.quotas(1)), "quota_full")
        self.later(_YEAR + 2 * DAY)
        store.sweep()
        self.refused(store, ask("o-3", BEN, quotas=self.quotas(1)), "quota_full")

    # ---- 2: unseen costs nothing

    def test_2_an_offer_that_lapsed_unseen_costs_nothing(self, store: CapStore) -> None:
        """
        Not shown before its end: no cap, no quota, no unique name, nothing in flight.
        """
        asked: dict[str, Any] = {"quotas": self.quotas(1), "unique": "p:i"}
        self.granted(store, ask("o-1", **asked))
        self.later(601)
        found = store.find("o-1")
        assert found is not None
        assert found.state == "lapsed"
        self.granted(store, ask("o-2", **asked))

    def test_2_an_offer_that_was_shown_costs(self, store: CapStore) -> None:
        """
        Shown and then over: its clocks keep it, its quota does not.
        """
        self.granted(store, ask("o-1", quotas=self.quotas(1), unique="p:i"))
        store.advance("o-1", "shown")
        self.later(601)
        self.refused(store, ask("o-2"), "cap_global")
        self.refused(store, ask("o-3", BEN, unique="p:i"), "already_asked")
        self.granted(store, ask("o-4", BEN, quotas=self.quotas(1)))

    def test_2_a_reservation_may_be_taken_back(self, store: CapStore) -> None:
        """
        Released, it has never been; one that was shown stays, an unknown one is no matter.
        """
        asked: dict[str, Any] = {"quotas": self.quotas(1), "unique": "p:i"}
        self.granted(store, ask("o-1", **asked))
        store.release("o-1")
        store.release("o-nothing")
        assert store.find("o-1") is None
        assert store.history(ANN).offers == ()
        self.granted(store, ask("o-2", **asked))
        store.advance("o-2", "shown")
        store.release("o-2")
        found = store.find("o-2")
        assert found is not None
        assert found.state == "shown"

    def test_2_a_sweep_ends_what_is_over(self, store: CapStore) -> None:
        """
        Each offer is returned once, as it was before; ended ones and living ones are left alone.
        """
        for name in ("c-1", "c-2", "c-3"):
            self.granted(store, ask(f"o-{name}", name))
        store.advance("o-c-2", "shown")
        store.answer("o-c-3", b"d", complete=True)
        self.later(601)
        self.granted(store, ask("o-live"))
        ended = {offer.offer_id: offer for offer in store.sweep()}
        assert {name: offer.state for name, offer in ended.items()} == {
            "o-c-1": "reserved",
            "o-c-2": "shown",
        }
        assert ended["o-c-1"].record == b"\x00record\xff"
        assert store.sweep() == []
        assert store.counts()["offers"] == {"lapsed": 2, "answered": 1, "reserved": 1}
        (lapsed,) = store.history("c-2").offers
        assert (lapsed.state, lapsed.ended_at is None) == ("lapsed", False)

    def test_2_a_sweep_drops_what_no_rule_can_look_at(self, store: CapStore) -> None:
        """
        What was seen is kept for a year after its end, what was not for a day.
        """
        for name in ("c-1", "c-2"):
            self.granted(store, ask(f"o-{name}", name))
        store.advance("o-c-1", "shown")
        self.later(601)
        store.sweep()
        self.later(2 * DAY)
        store.sweep()
        assert store.find("o-c-1") is not None
        assert store.find("o-c-2") is None
        self.later(_YEAR)
        store.sweep()
        assert store.find("o-c-1") is None
        assert store.counts()["offers"] == {}
        self.granted(store, ask("o-new", "c-1"))

    # ---- 3: one conditional update

    @pytest.mark.parametrize(
        ("steps", "moved"),
        [
            (("shown", "started", "partial", "dismissed"), (True, True, True, True)),
            (("started", "shown", "started"), (True, False, False)),
            (("partial", "started"), (True, False)),
            (("shown", "shown"), (True, False)),
            (("dismissed", "shown", "dismissed"), (True, False, False)),
            (("revoked", "shown", "dismissed"), (True, False, False)),
            (("reserved", "lapsed", "answered"), (False, False, False)),
        ],
    )
    def test_3_an_offer_moves_forward_only(
        self, store: CapStore, steps: tuple[OfferState, ...], moved: tuple[bool, ...]
    ) -> None:
        """
        Each step is taken once and never back, and whoever took it gets the offer after it.
        """
        self.granted(store, ask("o-1"))
        for step, is_moved in zip(steps, moved, strict=True):
            offer = store.advance("o-1", step)
            assert (offer is not None) == is_moved
            if offer is not None:
                assert offer.state == step
                assert (offer.ended_at is not None) == (step in {"dismissed", "revoked"})
                assert (offer.shown_at is not None) == (steps[0] != "revoked")

    def test_3_what_is_over_does_not_move(self, store: CapStore) -> None:
        """
        Neither an expired offer nor an unknown one takes a step or an answer.
        """
        self.granted(store, ask("o-1"))
        self.later(601)
        for name in ("o-1", "o-nothing"):
            assert store.advance(name, "shown") is None
            answered = store.answer(name, b"d", complete=True)
            assert (answered.outcome, answered.revision) == ("gone", 0)

    def test_3_an_answer_is_the_first_or_the_same(self, store: CapStore) -> None:
        """
        The first answer holds, the same again is the same, another one is a conflict; also after
        the offer's time.
        """
        self.granted(store, ask("o-1"))
        first = store.answer("o-1", b"a" * 32, complete=True)
        assert (first.outcome, first.revision, first.over_quota) == ("first", 1, False)
        assert first.offer is not None
        assert (first.offer.state, first.offer.revision) == ("answered", 1)
        assert first.offer.shown_at == first.offer.ended_at == pytest.approx(first.offer.now)
        for _ in range(2):
            same = store.answer("o-1", b"a" * 32, complete=True)
            other = store.answer("o-1", b"b", complete=True)
            assert (same.outcome, same.revision) == ("same", 1)
            assert (other.outcome, other.revision) == ("conflict", 1)
            assert other.offer is not None
            assert other.offer.record == b"\x00record\xff"
            self.later(601)
        assert store.advance("o-1", "dismissed") is None

    def test_3_an_answer_may_be_revised_for_a_while(self, store: CapStore) -> None:
        """
        Within *revise_for* seconds after the first complete answer another takes its place; the
        moment of the first stays.
        """
        self.granted(store, ask("o-1", quotas=self.quotas(1)))
        first = store.answer("o-1", b"a", complete=True, revise_for=60.0)
        self.later(50)
        second = store.answer("o-1", b"b", complete=True, revise_for=60.0)
        assert (second.outcome, second.revision, second.over_quota) == ("revised", 2, False)
        assert first.offer is not None
        assert second.offer is not None
        assert second.offer.ended_at == pytest.approx(first.offer.ended_at)
        assert store.counts()["answers"] == {"p:all": 1}
        self.later(11)
        assert store.answer("o-1", b"c", complete=True, revise_for=60.0).outcome == "conflict"
        assert store.answer("o-1", b"b", complete=True, revise_for=60.0).outcome == "same"

    def test_3_an_answer_may_come_in_parts(self, store: CapStore) -> None:
        """
        A partial answer is revised by the next, and completed by the same one.
        """
        self.granted(store, ask("o-1"))
        outcomes = [
            store.answer("o-1", digest, complete=complete).outcome
            for digest, complete in ((b"a", False), (b"a", False), (b"b", False), (b"b", True))
        ]
        assert outcomes == ["first", "same", "revised", "revised"]
        found = store.find("o-1")
        assert found is not None
        assert (found.state, found.revision) == ("answered", 3)

    def test_3_a_part_takes_nothing_from_a_whole_answer(self, store: CapStore) -> None:
        """
        One that was sent before and comes after is a conflict, also while revising is allowed.
        """
        self.granted(store, ask("o-1"))
        store.answer("o-1", b"a", complete=True, revise_for=60.0)
        late = store.answer("o-1", b"b", complete=False, revise_for=60.0)
        assert (late.outcome, late.revision) == ("conflict", 1)
        found = store.find("o-1")
        assert found is not None
        assert (found.state, found.revision) == ("answered", 1)

    def test_3_a_dismissed_offer_takes_no_answer(self, store: CapStore) -> None:
        """
        Whichever came first holds.
        """
        self.granted(store, ask("o-1"))
        store.advance("o-1", "dismissed")
        assert store.answer("o-1", b"d", complete=True).outcome == "gone"

    def test_3_an_answer_over_the_quota_is_kept_and_said(self, store: CapStore) -> None:
        """
        A limit that was lowered meanwhile loses no answer.
        """
        self.granted(store, ask("o-1", quotas=self.quotas(1)))
        self.granted(store, ask("o-2", BEN, quotas=self.quotas(2)))
        assert not store.answer("o-2", b"d", complete=True).over_quota
        late = store.answer("o-1", b"d", complete=True)
        assert (late.outcome, late.over_quota) == ("first", True)
        assert store.counts()["answers"] == {"p:all": 2}

    def test_3_what_is_due_comes_when_it_is(self, store: CapStore) -> None:
        """
        Scheduled once under its id, taken once, not before its time, cancelled by topic.
        """
        assert store.schedule(Due("d-1", ANN, 60.0, b"\x00one\xff", "p"))
        assert not store.schedule(Due("d-1", ANN, -60.0, b"two", "p"))
        assert store.schedule(Due("d-2", ANN, 30.0, b"two", "q"))
        assert store.schedule(Due("d-3", BEN, 30.0, b"three", "q"))
        assert store.counts()["due"] == 3
        assert store.take_due() == []
        self.later(61)
        assert store.cancel(ANN, "q") == 1
        assert store.cancel(ANN, "q") == 0
        (mine,) = store.take_due(ANN)
        assert (mine.due_id, mine.subject, mine.record, mine.topic) == (
            "d-1",
            ANN,
            b"\x00one\xff",
            "p",
        )
        assert mine.in_s == pytest.approx(-1, abs=5)
        assert [due.due_id for due in store.take_due()] == ["d-3"]
        assert store.schedule(mine)
        assert store.cancel(ANN) == 1

    def test_3_what_is_due_is_taken_by_topic(self, store: CapStore) -> None:
        """
        Of the topics that are named and of no other, however many others wait in front of them.
        """
        for number in range(30):
            assert store.schedule(Due(f"d-{number:02}", ANN, number, b"r", "pqr"[number % 3]))
        self.later(60)
        assert store.take_due(None, 50, []) == []
        assert store.take_due(ANN, 50, ["x"]) == []
        taken = [due.due_id for due in store.take_due(None, 4, ["q", "x"])]
        assert taken == ["d-01", "d-04", "d-07", "d-10"]
        assert [due.due_id for due in store.take_due(ANN, 1, ["r", "q"])] == ["d-02"]
        assert [due.due_id for due in store.take_due(BEN, 50, ["p"])] == []
        assert len(store.take_due(ANN, 50, ["p", "q", "r"])) == 25
        assert store.counts()["due"] == 0

    def test_3_what_nobody_took_is_dropped(self, store: CapStore) -> None:
        """
        A week after its time, by the sweep; what is later than that is of no use.
        """
        for name, seconds in (("d-1", 0.0), ("d-2", DAY)):
            assert store.schedule(Due(name, ANN, seconds, b"r", "p"))
        self.later(LATE_S + 60)
        store.sweep()
        assert [due.due_id for due in store.take_due()] == ["d-2"]

    # ---- 9

    def test_9_nothing_secret_is_shown(self, store: CapStore) -> None:
        """
        Neither credentials nor a record are in ``repr()``.
        """
        self.granted(store, ask("o-1", record=b"a customer's words"))
        for secret in (*self.secrets, "a customer's words"):
            assert secret not in repr(store)

    def test_9_close_is_idempotent(self, store: CapStore) -> None:
        """
        Closed twice is closed once.
        """
        self.granted(store, ask("o-1"))
        store.close()
        store.close()
