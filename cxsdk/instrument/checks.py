"""
Checks of what a handler says about its interaction, and their wire form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._kind import describe

__all__ = [
    "FACTS",
    "check_reason",
    "checked",
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


def check_reason(value: Any) -> None:
    """
    Raise `InvalidEventError` unless *value* is a token.
    """
    from cxsdk.events.model import Interaction as Model
    from cxsdk.events.model import plan

    kind = next(row[2] for row in plan(Model).fields if row[1] == "reason")
    kind.check(value, "interaction.reason")


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


def refs_wire(refs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return references as the wire has them: type and id.
    """
    return [
        checked("Ref", f"interaction.refs.{name}", {"type": name, "id": str(item)})
        for name, item in refs.items()
    ]


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
        if expectation["metric"] in {"wait_ms", "duration_ms"} and "actual" not in expectation:
            is_wait = expectation["metric"] == "wait_ms"
            actual = fields.get("wait_ms") if is_wait else duration_ms
            if actual is None:
                found = {"met": "unknown"}
            else:
                met = actual <= expectation["expected"]
                found = {"actual": actual, "met": "yes" if met else "no"}
        both = {**expectation, **found}
        settled.append(checked("Expectation", "interaction.expectations", both))
    fields["expectations"] = settled
