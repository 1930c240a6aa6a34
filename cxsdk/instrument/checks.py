"""
Checks of what a handler says about its interaction, and their wire form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._kind import describe, under

__all__ = [
    "FACTS",
    "amount_text",
    "check_reason",
    "checked",
    "id_text",
    "milliseconds",
    "no_such_fact",
    "not_in",
    "party_wire",
    "refs_wire",
    "settle",
]

FACTS = frozenset(
    # With an underscore what has no setter of its own: an assignment under the plain name was
    # not checked, and is no fact.
    [
        "outcome",
        "goal_met",
        "reason",
        "_error",
        "_asked",
        "_memory",
        "_wait_ms",
        "_effort",
        "_expectations",
        "_value",
        "performed_by",
    ]
)
"""Under what names an open interaction keeps its facts."""


def not_in(name: str, vocabulary: v.Vocabulary, value: Any) -> InvalidEventError:
    """
    Return the error for a value outside of *vocabulary*.
    """
    return InvalidEventError(f"interaction.{name}", vocabulary.expected(), describe(value))


def no_such_fact(name: str) -> InvalidEventError:
    """
    Return the error for a name that is no fact of an interaction.
    """
    if name in v.PERCEPTION_FIELDS:
        return InvalidEventError(
            f"interaction.{name}",
            "no perception field here; what the customer says is cx.feedback(...)",
        )
    return InvalidEventError(
        f"interaction.{name}",
        "outcome, goal_met, reason, customer, performed_by, refs, or"
        f" attributes[{name!r}] for a fact of your own",
    )


def check_reason(value: Any, path: str = "interaction.reason") -> None:
    """
    Raise `InvalidEventError` naming *path* unless *value* is a token.
    """
    from cxsdk.events.model import Interaction as Model
    from cxsdk.events.model import plan

    kind = next(row[2] for row in plan(Model).fields if row[1] == "reason")
    kind.check(value, path)


def party_wire(value: Any) -> dict[str, Any]:
    """
    Return the wire form of a `Party`.
    """
    from cxsdk.events.model import Party, dump

    if not isinstance(value, Party):
        raise InvalidEventError("interaction.performed_by", "cx.partner(...) or cx.Party(...)")
    return dump(value)


def checked(cls: str, path: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the wire form of the block *cls* made from *values*.

    Raises:
        InvalidEventError: a value does not fit the standard; *path* says where it stands.
    """
    from cxsdk.events import model

    made = model.load(getattr(model, cls), dict(values), path, strict=True)
    return model.dump(made)


def refs_wire(refs: Mapping[str, Any], wrong: Callable[[Exception], None]) -> list[dict[str, Any]]:
    """
    Return references as the wire has them: type and id. What does not fit goes to *wrong*.
    """
    out = []
    for name, item in refs.items():
        path = under("interaction.refs", name)
        if item is None:
            continue
        try:
            out.append(checked("Ref", path, {"type": name, "id": id_text(item, path)}))
        except InvalidEventError as error:
            wrong(error)
    return out


def id_text(value: Any, path: str) -> str:
    """
    Return an id of the host's as text; types that are no id are a mistake.

    Raises:
        InvalidEventError: it is empty, or of a type such as bytes, bool or list.
    """
    is_none = value is None or isinstance(value, (bool, float, bytes, dict, list, tuple, set))
    text = "" if is_none else str(value)
    cls: Any = type(value)
    # The text of an object that has none of its own is its address: another one in every process.
    if cls.__str__ is object.__str__ and cls.__repr__ is object.__repr__:
        text = ""
    if not text.strip() or not text.isprintable():
        raise InvalidEventError(path, "an id as text", describe(value))
    return text


def amount_text(amount: Any, path: str) -> str:
    """
    Return an amount of money as decimal text, never with an exponent.

    Raises:
        InvalidEventError: it is no Decimal, int or text.
    """
    if isinstance(amount, bool) or not isinstance(amount, (str, int, Decimal)):
        raise InvalidEventError(
            path, "a Decimal, an int or text such as '19.90' (floats are refused)", describe(amount)
        )
    return f"{amount:f}" if isinstance(amount, Decimal) else str(amount)


def milliseconds(seconds: Any, path: str) -> int:
    """
    Return *seconds* as whole milliseconds.

    Raises:
        InvalidEventError: it is no number of seconds.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        raise InvalidEventError(path, "seconds, 0 or more", type(seconds).__name__)
    return round(seconds * 1000)


def settle(fields: dict[str, Any], duration_ms: int) -> None:
    """
    Put what was beside what was expected, where both are known.
    """
    settled = []
    for expectation in fields["expectations"]:
        found: dict[str, Any] = {}
        most = expectation.get("expected")
        is_measured = expectation["metric"] in {"wait_ms", "duration_ms"}
        # Of what was not said as a number nobody can tell here whether it was met.
        if is_measured and "actual" not in expectation and isinstance(most, (int, float)):
            is_wait = expectation["metric"] == "wait_ms"
            actual = fields.get("wait_ms") if is_wait else duration_ms
            if actual is None:
                found = {"met": "unknown"}
            else:
                met = actual <= most
                found = {"actual": actual, "met": "yes" if met else "no"}
        both = {**expectation, **found}
        settled.append(checked("Expectation", "interaction.expectations", both))
    fields["expectations"] = settled
