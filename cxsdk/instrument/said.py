"""
What a handler may say about its open interaction; each word is checked when it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cxsdk.errors import CXError, InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.instrument.checks import (
    amount_text,
    check_reason,
    checked,
    milliseconds,
    not_in,
    party_wire,
)

__all__ = ["Said"]

# To themselves, because a value may only equal its text: a `str` enum formats as its name.
_OUTCOMES = {value: value for value in v.OUTCOME.values}
_MOST_ASKED = 20
_GOALS = {value: value for value in v.GOAL_MET.values}


class Said:
    """
    The settable facts of an interaction. A wrong one is counted, said once and left out.
    """

    __slots__ = ()

    _fields: dict[str, Any]
    _refs: dict[str, Any] | None

    if TYPE_CHECKING:

        def _wrong(self, error: Exception) -> None: ...

        def _ask(self, question: str) -> str | None: ...

    @property
    def refs(self) -> dict[str, Any]:
        """
        Things of the host's own this is about: ``i.refs["order"] = "A-1"``. Never redacted.
        """
        if self._refs is None:
            self._refs = {}  # type: ignore[misc]  # a slot of Interaction
        return self._refs

    @refs.setter
    def refs(self, value: Mapping[str, Any]) -> None:
        if isinstance(value, Mapping):
            self._refs = dict(value)  # type: ignore[misc]
        else:
            self._wrong(InvalidEventError("interaction.refs", "a mapping of types to ids"))

    @property
    def outcome(self) -> str | None:
        """
        What the service did: success, partial, failure, abandoned, …; by default from how the
        call ends.
        """
        return self._fields.get("outcome")

    @outcome.setter
    def outcome(self, value: str) -> None:
        try:
            self._fields["outcome"] = _OUTCOMES[value]
        except (KeyError, TypeError):
            self._unlisted("outcome", v.OUTCOME, value)
        except Exception as error:
            self._wrong(error)

    @property
    def goal_met(self) -> str | None:
        """
        Did the customer get what they came for: yes, partly, no, unknown. Not the same as
        outcome, and not the same as what the customer thinks.
        """
        return self._fields.get("goal_met")

    @goal_met.setter
    def goal_met(self, value: str) -> None:
        try:
            self._fields["goal_met"] = _GOALS[value]
        except (KeyError, TypeError):
            self._unlisted("goal_met", v.GOAL_MET, value)
        except Exception as error:
            self._wrong(error)

    @property
    def reason(self) -> str | None:
        """
        Why it ended so, as a token such as ``card_declined``.
        """
        return self._fields.get("reason")

    @reason.setter
    def reason(self, value: str) -> None:
        try:
            check_reason(value)
            self._fields["reason"] = value
        except Exception as error:
            self._wrong(error)

    @property
    def performed_by(self) -> Any:
        """
        Who performed it; ``cx.partner(...)`` for those who act for us.
        """
        return self._fields.get("performed_by")

    @performed_by.setter
    def performed_by(self, value: Any) -> None:
        try:
            self._fields["performed_by"] = party_wire(value)
        except Exception as error:
            self._wrong(error)

    def expect(
        self,
        metric: str | None = None,
        *,
        wait: float | None = None,
        duration: float | None = None,
        expected: float | str | None = None,
        actual: float | str | None = None,
        unit: str | None = None,
        basis: str | None = None,
        commitment: str | None = None,
    ) -> None:
        """
        Say what the customer could expect; it stands beside what was.

        Args:
            metric: name of what is expected, with *expected*, *actual*, *unit*.

            wait: seconds to wait at most; compared with `waited` at the end.

            duration: seconds the call may take; compared with the measured duration.

            basis: ``promise``, ``sla``, ``policy``, ``norm`` or ``customer_stated``.

            commitment: key of the promise behind it.
        """
        for name, seconds in (("wait_ms", wait), ("duration_ms", duration)):
            if seconds is not None:
                try:
                    most = milliseconds(seconds, f"expect.{name}")
                except InvalidEventError as error:
                    self._wrong(error)
                else:
                    self._expectation(name, most, None, "ms", basis, commitment)
        if metric is not None:
            self._expectation(metric, expected, actual, unit, basis, commitment)

    def _expectation(self, *facts: Any) -> None:
        names = ("metric", "expected", "actual", "unit", "basis", "commitment_id")
        given = {n: fact for n, fact in zip(names, facts, strict=True) if fact is not None}
        self._append("expectations", "Expectation", given)

    def asks(self, question: str) -> bool | None:
        """
        Say that the customer is asked for something, such as ``order_number``; return whether
        they were asked for it within 30 days: True, False, or None where nobody can tell.

        To be said before the question is put, so that what was answered once is looked up
        instead. Stands on the event under ``ext.cxsdk.asked``; how many were asked before goes to
        ``effort.questions_repeated``, and where that was to ``memory.repeat_of``. Never blocks;
        about the same question again in this interaction it says the same.

        Args:
            question: a token; of an interaction the first 20 are kept.
        """
        try:
            check_reason(question, "interaction.asks")
        except Exception as error:
            self._wrong(error)
            return None
        asked = self._fields.setdefault("_asked", {})
        if question in asked:
            before = asked[question]
        else:
            before = self._ask(question)
            if len(asked) < _MOST_ASKED:
                asked[question] = before
        return None if before is None else bool(before)

    def effort(self, **counts: int) -> None:
        """
        Say what effort was observed: steps, attempts, transfers, channel_switches,
        questions_repeated; whole numbers.
        """
        self._block("effort", "Effort", counts)

    def waited(self, seconds: float) -> None:
        """
        Say how long the customer waited, in seconds. The service's time is no wait.
        """
        try:
            self._fields["_wait_ms"] = milliseconds(seconds, "interaction.wait_ms")
        except InvalidEventError as error:
            self._wrong(error)

    def value(self, amount: Any, currency: str) -> None:
        """
        Say what was at stake: a Decimal, an int or decimal text, never a float; ISO 4217.
        """
        try:
            text = amount_text(amount, "interaction.value.amount")
        except InvalidEventError as error:
            self._wrong(error)
        else:
            self._block("value", "Money", {"amount": text, "currency": currency})

    # ---- checked writing ------------------------------------------------------------------

    def _unlisted(self, field: str, vocabulary: v.Vocabulary, value: Any) -> None:
        if isinstance(value, str) and value in vocabulary:
            self._fields[field] = str.__str__(value)
            return
        try:
            self._wrong(not_in(field, vocabulary, value))
        except CXError:
            raise
        except Exception as error:
            self._wrong(error)

    def _block(self, field: str, cls: str, values: Mapping[str, Any]) -> None:
        try:
            said = self._fields.get(f"_{field}", {})
            self._fields[f"_{field}"] = checked(cls, f"interaction.{field}", {**said, **values})
        except Exception as error:
            self._wrong(error)

    def _append(self, field: str, cls: str, values: Mapping[str, Any]) -> None:
        try:
            wire = checked(cls, f"interaction.{field}", values)
            self._fields[f"_{field}"] = [*self._fields.get(f"_{field}", ()), wire]
        except Exception as error:
            self._wrong(error)
