"""
Facts that verbs record: from keyword arguments to the wire form of a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cxsdk._clock import to_ns
from cxsdk._ids import Errand, keyed_id, new_id
from cxsdk.errors import InvalidEventError
from cxsdk.events._kind import describe, under
from cxsdk.instrument.checks import amount_text, id_text
from cxsdk.instrument.interaction import Interaction, ambient_customer
from cxsdk.instrument.nothing import NoInteraction
from cxsdk.pipeline.commits import commits
from cxsdk.pipeline.customers import Known
from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.plain import plain
from cxsdk.scope import NOBODY, Scope, Who, current_interaction, current_scope, is_other
from cxsdk.typing import Accepted, Dropped

if TYPE_CHECKING:
    from cxsdk.events.model import Party
    from cxsdk.pipeline.capture import Capture

__all__ = ["Fact", "about_wire", "answers_of", "due_wire", "money_wire", "wire_of"]

SCALES: dict[str, tuple[str, float, float]] = {
    "csat": ("satisfaction", 1, 5),
    "nps": ("loyalty", 0, 10),
    "ces": ("effort", 1, 7),
}
"""Instrument → (dimension, lowest, highest); higher is better in all three."""

IN_FORCE_KINDS = frozenset({"warranty", "price", "availability"})
"""Promises that end instead of being late."""


class Fact:
    """
    One fact on its way from a verb to capture: whom it concerns, when, and under which key.
    """

    def __init__(
        self,
        capture: Capture,
        family: str,
        action: str,
        *,
        customer: Any = None,
        at: datetime | None = None,
        key: str | None = None,
        role: str = "",
        what: Any = "",
        anonymous: str | None = None,
    ) -> None:
        now = capture.time_ns()
        # The same key of two roles (made, kept) is two events.
        self.key = None if key is None else id_text(key, "key")
        self.capture = capture
        self.scope: Scope | None = current_scope.get()
        self.open: Interaction | None = current_interaction.get()
        who = self._who(customer, anonymous)
        self.said = self.scope.consent if self.scope else None
        self.purposes = self.scope.purposes if self.scope else None
        known = capture.known(who)
        self.draft = Draft(
            family,
            action,
            known,
            now if at is None else _moment(at, "at"),
            self._id(known, f"{family}.{action}.{what}")
            if self.key is None
            else keyed_id(capture.settings.source, f"{family}.{role}{self.key}"),
            {},
        )
        self.draft.recorded_ns = now if at is not None else None
        if self.scope is not None:
            self.draft.where = self.scope.where
            self.draft.correlation = self.scope.correlation

    def _id(self, known: Known, kind: str) -> str:
        errand = self.errand
        made = errand and errand.id(self.capture.settings.source, kind, known.key)
        return made or new_id()

    @property
    def errand(self) -> Errand | None:
        """
        Return the task of a queue that this is said in.
        """
        return self.scope.errand if self.scope else None

    def _who(self, customer: Any, anonymous: str | None) -> Who:
        scope = self.scope
        if customer is None:
            customer = ambient_customer(self.open, scope)
        if scope is not None and customer is not None and is_other(customer, scope.who[0]):
            # Another customer than the scope's: none of its ids and no consent of it is theirs.
            self.scope = scope = scope.serving(customer)
        who: Who = NOBODY if scope is None else scope.who
        if anonymous is not None:
            return (customer, anonymous, who[2], who[3])
        if customer is None or who[0] is not None:
            return who
        return (customer, None, None, who[3])

    @property
    def interaction_id(self) -> str | None:
        """
        Return the interaction this happens in: the open one, else the last of this scope.
        """
        if self.open is not None:
            return self.open.interaction_id
        return self.scope.last if self.scope else None

    def put(self, **fields: Any) -> None:
        """
        Set wire fields; None means absent.
        """
        for name, value in fields.items():
            if value is not None:
                self.draft.data[name] = value

    def own(self, attributes: Mapping[str, Any] | None, refs: Mapping[str, Any] | None) -> None:
        """
        Take the team's own attributes and references.
        """
        if attributes is not None:
            self.draft.attributes = dict(_mapping(attributes, "attributes"))
        self.put(
            refs=[
                {"type": name, "id": id_text(item, under("refs", name))}
                for name, item in _mapping(refs or {}, "refs").items()
                if item is not None
            ]
            or None
        )

    def place(self, **where: Any) -> None:
        """
        Set where it took place; the scope completes it.
        """
        given = {name: value for name, value in where.items() if value is not None}
        if given:
            self.draft.data["where"] = given

    def capture_it(self) -> Accepted | Dropped:
        """
        Hand the draft to capture; return `Accepted` or `Dropped`.
        """
        return self.capture.fact(self.draft, self.said, self.purposes)

    def settle(
        self,
        *,
        immediate: bool,
        veto: Callable[[], str] | None = None,
        then: Callable[[Accepted | Dropped], object] | None = None,
    ) -> Accepted | Dropped:
        """
        Like `capture_it`, but where the host is in a transaction that is told of in
        `cxsdk.pipeline.commits`, at its commit.

        Args:
            immediate: True: do not wait.

            veto: asked right before; what it returns drops the event.

            then: gets what became of it.
        """
        if commits and not immediate and self.capture.can_wait:
            for each in commits:
                if each.is_open():
                    # Not at the top: `import cxsdk` does not pay for capture.
                    from cxsdk.pipeline.waiting import WaitingCapture

                    waiting = WaitingCapture(self.capture, each, veto, then)
                    return waiting.fact(self.draft, self.said, self.purposes)
        why = "" if veto is None else veto()
        result = Dropped(why) if why else self.capture_it()
        if then is not None:
            then(result)
        return result


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidEventError(field, "a mapping of names to values", describe(value))
    return value


def _moment(at: Any, field: str) -> int:
    if not isinstance(at, datetime):
        raise InvalidEventError(field, "an aware datetime", type(at).__name__)
    if at.tzinfo is None or at.utcoffset() is None:
        raise InvalidEventError(field, "a datetime with a time zone", "a naive datetime")
    return to_ns(at)


def wire_of(party: Party | None, field: str) -> dict[str, Any] | None:
    """
    Return the wire form of a party.

    Raises:
        InvalidEventError: it is no `Party`.
    """
    if party is None:
        return None
    from cxsdk.events.model import Party, dump

    if not isinstance(party, Party):
        raise InvalidEventError(field, "cx.partner(...) or cx.Party(...)", type(party).__name__)
    return dump(party)


def about_wire(about: Any, fact: Fact, *, needed: bool) -> dict[str, Any] | None:
    """
    Return what a fact refers to.

    Args:
        about: None, an interaction or its id, a list of ids, an `About`, or a mapping of its
            fields. What `current` returns outside of an interaction counts as None.

        fact: gives the open or last interaction as the default.

        needed: True: fall back on the relationship as a whole.

    Raises:
        InvalidEventError: *about* is something else.
    """
    if about is None or isinstance(about, NoInteraction):
        if not needed:
            return None
        current = fact.interaction_id
        return {"interaction_ids": [current]} if current else {"relationship": True}
    if isinstance(about, Interaction):
        about = about.interaction_id or ""
    if isinstance(about, str):
        return {"interaction_ids": [about]}
    if isinstance(about, (list, tuple)):
        return {"interaction_ids": list(about)}
    if isinstance(about, Mapping):
        return dict(about)
    from cxsdk.events.model import About, dump

    if isinstance(about, About):
        return dump(about)
    raise InvalidEventError(
        "about", "an interaction, its id, or cx.About(...)", type(about).__name__
    )


def answers_of(
    numbers: Mapping[str, Any],
    rating: tuple[float, float] | None,
    versus_expectation: str | None,
    text: str | None,
    lang: str | None,
) -> tuple[list[dict[str, Any]], str]:
    """
    Return the answers and the instrument; every number brings its scale.

    Raises:
        InvalidEventError: nothing was answered, or *rating* is no (value, highest).
    """
    answers: list[dict[str, Any]] = []
    instruments: list[str] = []
    if versus_expectation is not None:
        instruments.append("versus_expectation")
        answers.append(
            {
                "question": "versus_expectation",
                "dimension": "expectation",
                "value": versus_expectation,
            }
        )
    for name, (dimension, low, high) in SCALES.items():
        value = numbers.get(name)
        if value is not None:
            instruments.append(name)
            scale = {"min": low, "max": high, "better": "higher"}
            value = _number(value, f"feedback.{name}", f"a number from {low:g} to {high:g}")
            answers.append(
                {"question": name, "dimension": dimension, "value": value, "scale": scale}
            )
    if rating is not None:
        if not isinstance(rating, (tuple, list)) or len(rating) != 2:
            raise InvalidEventError("feedback.rating", "a pair such as (4, 5): value, highest")
        given, highest = (
            _number(n, "feedback.rating", "two numbers, as in (4, 5)") for n in rating
        )
        scale = {"min": min(1, given), "max": highest, "better": "higher"}
        instruments.append("rating")
        answers.append({"question": "rating", "value": given, "scale": scale})
    # A form's empty comment is none, also where it holds a blank.
    if text and not (isinstance(text, str) and text.isspace()):
        answers.append({"question": "comment", "text": text, **({"lang": lang} if lang else {})})
        instruments.append("open_text")
    if not answers:
        raise InvalidEventError(
            "feedback", "one of csat, nps, ces, rating, versus_expectation, text", "nothing"
        )
    return answers, instruments[0]


def _number(value: Any, field: str, expected: str) -> Any:
    # Text is no number, even where it looks like one, and neither is True.
    number = float(value) if isinstance(value, Decimal) else plain(value)
    if type(number) not in {int, float}:
        raise InvalidEventError(field, expected, describe(value))
    return number


def due_wire(
    due_at: datetime | None,
    due_date: date | None,
    window: tuple[datetime, datetime] | None,
    period: str | None,
) -> dict[str, Any]:
    """
    Return the wire fields of when something is due; the model checks that it is one.

    Raises:
        InvalidEventError: a datetime is naive, or a datetime stands where a date belongs.
    """
    from cxsdk._clock import rfc3339_ns

    out: dict[str, Any] = {}
    if due_at is not None:
        out["due_at"] = rfc3339_ns(_moment(due_at, "commitment.due_at"))
    if due_date is not None:
        if isinstance(due_date, datetime) or not isinstance(due_date, date):
            raise InvalidEventError(
                "commitment.due_date", "a date; an instant is due_at", type(due_date).__name__
            )
        out["due_date"] = due_date.isoformat()
    if window is not None:
        if not isinstance(window, (tuple, list)) or len(window) != 2:
            raise InvalidEventError(
                "commitment.window", "a pair of aware datetimes: from, to", describe(window)
            )
        first, last = window
        out["window"] = {
            "from": rfc3339_ns(_moment(first, "commitment.window.from")),
            "to": rfc3339_ns(_moment(last, "commitment.window.to")),
        }
    if period is not None:
        out["period"] = period
    return out


def money_wire(value: tuple[Any, str] | None, field: str) -> dict[str, str] | None:
    """
    Return an amount and its currency.

    Raises:
        InvalidEventError: *value* is no pair, or the amount is a float.
    """
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InvalidEventError(field, "a pair such as ('19.90', 'EUR')", describe(value))
    return {"amount": amount_text(value[0], f"{field}.amount"), "currency": value[1]}
