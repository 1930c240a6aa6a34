"""
What every `ContextProvider` must do: tests for each numbered guarantee of the Protocol.

Subclass it in a test module::

    class TestMyProvider(ContextProviderConformance):
        secrets = ("s3cret",)
        values = {"profile": {"name": "Ann"}, "orders": [{"id": "A-1"}]}

        @pytest.fixture(autouse=True)
        def _source(self, tmp_path):
            self.source = MySource(tmp_path)

        def make_provider(self):
            return MyProvider(self.source.url, password="s3cret")

        def put(self, identifier, section, value):
            self.source.save(identifier, section, value)
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from cxsdk.errors import ProviderError
from cxsdk.knowing import UNCHANGED, ContextProvider, Failed, Found
from cxsdk.testing.conformance._context_means import (
    ANN,
    BEN,
    ENOUGH_S,
    SLACK_S,
    ContextProviderUnderTest,
    gathered,
    in_child,
    in_threads,
    is_async,
    value,
)

__all__ = ["ContextProviderConformance"]


class ContextProviderConformance(ContextProviderUnderTest):
    """
    Tests of guarantees 1 to 8.
    """

    # ---- 1

    def test_1_it_says_who_it_is(self, provider: ContextProvider) -> None:
        """
        Name, sections and the optional attributes are of the types that the seam names.
        """
        assert isinstance(provider, ContextProvider)
        assert isinstance(provider.name, str)
        assert provider.sections >= frozenset(self.values)
        assert getattr(provider, "takes", "raw") in {"raw", "wire"}
        assert self.space in getattr(provider, "spaces", ("id",))
        assert getattr(provider, "max_batch", 1) >= 1
        assert getattr(provider, "visibility_lag", 0) >= 0

    def test_1_it_answers_each_section_in_plain_data(self, provider: ContextProvider) -> None:
        """
        What the source knows comes as JSON could say it, with moments that have a zone.
        """
        self.fill(ANN)
        answer = self.fetch(provider, ANN)[ANN]
        assert self.plain(answer) == self.expected(ANN)
        for said in answer.values():
            assert json.loads(json.dumps(value(said))) == value(said)
            if isinstance(said, Found) and said.as_of is not None:
                assert isinstance(said.as_of, datetime)
                assert said.as_of.tzinfo is not None

    def test_1_one_section_may_be_asked_for(self, provider: ContextProvider) -> None:
        """
        A section alone is what it is among others.
        """
        self.fill(ANN)
        for section in self.values:
            answer = self.fetch(provider, ANN, sections=frozenset({section}))[ANN]
            assert self.plain(answer)[section] == self.of(ANN, section)

    def test_1_an_answer_does_not_change_afterwards(self, provider: ContextProvider) -> None:
        """
        Neither by what the source learns later, nor does the reader change the next answer.
        """
        self.fill(ANN)
        first = self.fetch(provider, ANN)[ANN]
        before = copy.deepcopy(self.plain(first))
        for section in self.values:
            self.put(ANN, section, self.of(BEN, section))
        second = self.plain(self.fetch(provider, ANN)[ANN])
        assert self.plain(first) == before
        assert second == self.expected(BEN)
        for mine in second.values():
            with contextlib.suppress(AttributeError, TypeError):
                mine.clear()
        assert self.plain(self.fetch(provider, ANN)[ANN]) == self.expected(BEN)

    def test_1_what_is_known_already_still_holds(self, provider: ContextProvider) -> None:
        """
        Given the versions of an answer, the next one is `UNCHANGED` or the same once more, and
        another one after a change.
        """
        self.fill(ANN)
        first = self.fetch(provider, ANN)[ANN]
        versions = {
            (ANN, name): said.version
            for name, said in first.items()
            if isinstance(said, Found) and said.version is not None
        }
        second = self.fetch(provider, ANN, versions=versions)[ANN]
        for name, said in second.items():
            assert said is UNCHANGED or value(said) == value(first[name])
        for section in self.values:
            self.put(ANN, section, self.of(BEN, section))
        assert self.plain(self.fetch(provider, ANN, versions=versions)[ANN]) == self.expected(BEN)

    # ---- 2

    def test_2_what_does_not_exist_is_absent(self, provider: ContextProvider) -> None:
        """
        About somebody unknown there is nothing, and no failure.
        """
        assert self.plain(self.fetch(provider, "c-9999").get("c-9999", {})) == {}

    def test_2_a_section_that_is_not_there_is_absent(self, provider: ContextProvider) -> None:
        """
        Of somebody of whom one section is known, the others are absent.
        """
        if not self.knows:
            pytest.skip("a provider that knows nothing")
        section = next(iter(self.values))
        self.put(ANN, section, self.of(ANN, section))
        found = self.plain(self.fetch(provider, ANN)[ANN])
        assert found == {section: self.of(ANN, section)}

    def test_2_an_outage_is_never_nothing(self, loop: asyncio.Runner) -> None:
        """
        A source that refuses is said to have failed: an error, or `Failed` for each section.
        """
        for dead in self.make_dead():
            self.refused(dead, ANN, seconds=ENOUGH_S)
            self.close(dead)

    # ---- 3

    def test_3_it_is_back_by_about_the_deadline(self, loop: asyncio.Runner) -> None:
        """
        A source that hangs or refuses costs the time that was given, and says so.
        """
        for stuck in (*self.make_hanging(), *self.make_dead()):
            for _ in range(3):
                began = time.monotonic()
                self.refused(stuck, ANN, seconds=0.25)
                assert time.monotonic() - began < 0.25 + SLACK_S
            self.close(stuck)

    def test_3_without_time_it_does_not_wait(self, loop: asyncio.Runner) -> None:
        """
        A deadline that is past is no reason to wait for a source that hangs.
        """
        for stuck in self.make_hanging():
            began = time.monotonic()
            self.refused(stuck, ANN, seconds=-1.0)
            assert time.monotonic() - began < SLACK_S
            self.close(stuck)

    # ---- 4

    def test_4_many_at_a_time(self, provider: ContextProvider) -> None:
        """
        Of many threads or tasks each gets the answer to its own question.
        """
        names = [f"c-{number}" for number in range(3000, 3008)]
        self.fill(*names)
        if is_async(provider):
            requests = [self.request(name) for name in names * 4]
            answers = self._loop.run(gathered(provider, requests))
        else:
            answers = in_threads([partial(self.fetch, provider, name) for name in names * 4])
        for name, answer in zip(names * 4, answers, strict=True):
            assert self.plain(answer[name]) == self.expected(name)

    # ---- 5

    def test_5_only_about_those_asked(self, provider: ContextProvider) -> None:
        """
        Of several known, only who was asked about is answered for.
        """
        self.fill(ANN, BEN)
        answer = self.fetch(provider, BEN)
        assert set(answer) == {BEN}
        assert self.plain(answer[BEN]) == self.expected(BEN)

    def test_5_each_of_a_batch_gets_their_own(self, provider: ContextProvider) -> None:
        """
        As many as `max_batch` allows, known and unknown ones mixed, in any order.
        """
        most = min(getattr(provider, "max_batch", 1), 6)
        names = [f"c-{number}" for number in range(4000, 4000 + most)]
        self.fill(*names[::2])
        answers = self.fetch(provider, *reversed(names))
        assert set(answers) <= set(names)
        for name in names[::2]:
            assert self.plain(answers[name]) == self.expected(name)
        for name in names[1::2]:
            assert self.plain(answers.get(name, {})) == {}

    def test_5_an_id_leads_to_nobody_else(self, provider: ContextProvider) -> None:
        """
        Whatever an id is made of, it is an id: it finds nothing, or is refused.
        """
        if self.knows:
            self.fill(ANN)
        for identifier in self.hostile:
            answers: Mapping[str, Mapping[str, Any]] = {}
            with contextlib.suppress(ProviderError):
                answers = self.fetch(provider, identifier)
            assert set(answers) <= {identifier}
            for said in answers.get(identifier, {}).values():
                assert said is None or isinstance(said, Failed)

    # ---- 6

    def test_6_a_closed_one_says_so(self, loop: asyncio.Runner) -> None:
        """
        Closed twice is closed once, used or not, and a later fetch raises.
        """
        for is_used in (False, True):
            made = self.make_provider()
            if is_used:
                self.fetch(made, ANN)
            self.close(made)
            self.close(made)
            with pytest.raises(ProviderError):
                self.fetch(made, ANN)

    # ---- 7

    def test_7_a_forked_child_may_use_it(self, provider: ContextProvider) -> None:
        """
        Children that were forked after its use answer as the parent does, which does so on.
        """
        if self.knows:
            self.fill(ANN)
        expected = self.expected(ANN) if self.knows else {}
        assert self.plain(self.fetch(provider, ANN).get(ANN, {})) == expected
        for _ in range(2):
            found = in_child(lambda: self._in_own_loop(provider))
            assert found == expected
            assert self.plain(self.fetch(provider, ANN).get(ANN, {})) == expected

    def _in_own_loop(self, provider: ContextProvider) -> dict[str, Any]:
        with asyncio.Runner() as self._loop:
            found = self.plain(self.fetch(provider, ANN).get(ANN, {}))
            self.close(provider)
        return found

    # ---- 8

    def test_8_nothing_secret_is_shown(self, provider: ContextProvider) -> None:
        """
        Neither credentials, nor ids, nor values are in ``repr()`` or in errors.
        """
        if self.knows:
            self.fill(ANN)
        shown = [repr(provider)]
        for identifier in (ANN, *self.hostile[3:]):
            with contextlib.suppress(ProviderError):
                said = self.fetch(provider, identifier).get(identifier, {})
                shown += [each.message for each in said.values() if isinstance(each, Failed)]
        for stuck in (*self.make_dead(), *self.make_hanging()):
            shown.append(repr(stuck))
            try:
                said = self.fetch(stuck, ANN, seconds=0.2).get(ANN, {})
                shown += [each.message for each in said.values() if isinstance(each, Failed)]
            except Exception as error:  # noqa: BLE001 - whatever it raises is shown somewhere
                shown += [str(error), repr(error)]
            self.close(stuck)
        for text in shown:
            for secret in (*self.secrets, ANN):
                assert secret not in text
