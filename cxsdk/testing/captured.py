"""
``capture()``: what the code under test emits, as events, without a collector or a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cxsdk import _default
from cxsdk.client import Client
from cxsdk.events.codec import decode
from cxsdk.events.model import FAMILIES
from cxsdk.pipeline.capture import diversions, strictness
from cxsdk.testing._difference import check, expectation, listed, matches, nearest

if TYPE_CHECKING:
    from cxsdk.events.model import Event

__all__ = ["Captured", "capture"]


class Captured(list["Event"]):
    """
    The captured events, in the order in which they were emitted.

    What is expected of an event is said by keyword: names of the fields of its family and of the
    event itself, `customer` (an id) and `touchpoint` (where the fact took place, or what it is
    about). A mapping is met by a block that has at least what it says, a list item by item, None
    by what is absent; ``**{"where.channel": "web"}`` names a field within a block. A name that the
    family does not have raises.
    """

    def __repr__(self) -> str:
        # Short: pytest shows it beside each test that fails.
        return f"<Captured {[f'{event.family}.{event.action}' for event in self]}>"

    def of(self, family: str, action: str | None = None, /, **expected: Any) -> list[Event]:
        """
        Return the events of *family*, and of *action* if given, that have all that is *expected*.

        Raises:
            ValueError: there is no such family, or it has no such action or field.
        """
        check(family, action, expected)
        return [event for event in self if matches(event, family, action, expected)]

    def one(self, family: str, action: str | None = None, /) -> Event:
        """
        Return the only event of *family*, and of *action* if given.

        Raises:
            AssertionError: there is none, or more than one; says what there is.
        """
        __tracebackhide__ = True
        return self.assert_one(family, action)

    def touchpoints(self) -> list[str]:
        """
        Return the touchpoints of the interactions, in order.
        """
        return [event.data.where.touchpoint for event in self.of("interaction")]

    # ---- assertions ----------------------------------------------------------------------------

    def assert_one(self, family: str, action: str | None = None, /, **expected: Any) -> Event:
        """
        Check that exactly one event is as *expected*, and return it:
        ``assert_one("interaction", touchpoint="checkout.pay", outcome="success")``.

        Raises:
            AssertionError: none is, or several are; with the nearest one field by field, and all
                that was captured.
        """
        __tracebackhide__ = True
        found = self.of(family, action, **expected)
        if len(found) != 1:
            count = len(found) or "none"
            closest = "" if found else nearest(self, family, action, expected)
            raise AssertionError(
                _paragraphs(
                    f"expected one {expectation(family, action, expected)}, got {count}",
                    closest,
                    listed(self),
                )
            )
        return found[0]

    def assert_none(
        self, family: str | None = None, action: str | None = None, /, **expected: Any
    ) -> None:
        """
        Check that no event, or none of *family* and *action*, is as *expected*.

        Raises:
            AssertionError: one is; with all that was captured.
        """
        __tracebackhide__ = True
        families = _having(action, expected) if family is None else [family]
        found = [each for name in families for each in self.of(name, action, **expected)]
        if found:
            kind = expectation(family or "event", action, expected)
            raise AssertionError(
                _paragraphs(f"expected no {kind}, got {len(found)}", "", listed(self))
            )

    def assert_sequence(self, *steps: str | Mapping[str, Any]) -> list[Event]:
        """
        Check that these came in this order, and return them; others may lie between.

        Args:
            steps: ``"feedback"``, ``"commitment.made"``, or a mapping of what is expected with the
                ``family`` in it: ``{"family": "interaction", "touchpoint": "checkout.pay"}``.

        Raises:
            AssertionError: one does not come after those before it; with all that was captured.
        """
        __tracebackhide__ = True
        found: list[Event] = []
        begin = 0
        for number, step in enumerate(steps, 1):
            family, action, expected = _step(step)
            rest = list(enumerate(self[begin:], begin + 1))
            index = next((at for at, e in rest if matches(e, family, action, expected)), 0)
            if not index:
                after = f" after {begin}" if begin else ""
                words = f"step {number}, {expectation(family, action, expected)}: none{after}"
                closest = nearest(self, family, action, expected, begin)
                raise AssertionError(_paragraphs(words, closest, listed(self)))
            found.append(self[index - 1])
            begin = index
        return found


def _step(step: str | Mapping[str, Any]) -> tuple[str, str | None, dict[str, Any]]:
    """
    Return family, action and what else is expected.
    """
    said = {"family": step} if isinstance(step, str) else dict(step)
    family, _, named = str(said.pop("family", "")).partition(".")
    action: str | None = said.pop("action", named) or None
    check(family, action, said)
    return family, action, said


def _having(action: str | None, expected: Mapping[str, Any]) -> list[str]:
    """
    Return the families of which an event could be what is *expected*.

    Raises:
        ValueError: there is none.
    """
    found, wrong = [], []
    for family in FAMILIES:
        try:
            check(family, action, expected)
            found.append(family)
        except ValueError as error:
            wrong.append(error)
    if not found:
        raise wrong[0]
    return found


def _paragraphs(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def compared(left: Captured, right: Sequence[Any]) -> list[str]:
    """
    Return the lines by which pytest shows that *left* is not *right*.
    """
    return [f"{_counted(left)} == {_counted(right)}", *listed(left).splitlines()]


def _counted(events: Sequence[Any]) -> str:
    return f"{len(events) or 'no'} event{'' if len(events) == 1 else 's'}"


@contextmanager
def capture(*, strict: bool = True) -> Iterator[Captured]:
    """
    Divert the events of every client into a list; nothing is spooled or sent.

    Every event is read back with the strict codec, so a captured event is a valid one. Listeners
    hear of it as of one that was kept, so that prompts which wait for an event are asked in tests.

    Args:
        strict: raise what production would only count and log, for the default client and for
            those made in the block; where ``init`` has not run, or that client is closed, one is
            made for the time being.
    """
    captured = Captured()

    def divert(payload: bytes) -> None:
        captured.append(decode(payload, strict=True))

    before = _default.client()
    # A client that an earlier test closed takes nothing any more.
    is_closed = before is not None and before.health().reason == "closed"
    own = Client("test", strict=strict) if before is None or is_closed else None
    if own is not None:
        _default.replace(own)
    client = _default.client()
    inner = client.capture() if client is not None else None
    was_strict = inner is not None and inner.strict
    if inner is not None:
        inner.strict = strict
    diversions.append(divert)
    strictness.append(strict)
    try:
        yield captured
    finally:
        diversions.remove(divert)
        strictness.remove(strict)
        if inner is not None:
            inner.strict = was_strict
        made = _default.client()
        if own is not None:
            own.close()
            # An ``init`` of the code under test may have taken its place meanwhile.
            if made is own:
                _default.replace(before)
        if made is not None and made is not client:
            made._parts.capture.strict = made.settings.strict
