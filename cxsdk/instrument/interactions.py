"""
Interactions: what happened between one customer and the company.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from cxsdk.instrument.base import Base, Result, verb
from cxsdk.instrument.bodies import kept_open
from cxsdk.instrument.checks import milliseconds
from cxsdk.instrument.facts import Fact, money_wire, wire_of
from cxsdk.instrument.interaction import Interaction, begun
from cxsdk.instrument.nothing import NOTHING_OPEN, NoInteraction
from cxsdk.scope import current_interaction
from cxsdk.scope import scope as open_scope

if TYPE_CHECKING:
    from cxsdk.events.model import Party
    from cxsdk.pipeline.capture import Capture
    from cxsdk.pipeline.site import Site

__all__ = ["Interactions"]

_MOST_SITES = 4096
Chunks = TypeVar("Chunks", bound=Iterable[Any] | AsyncIterable[Any])


class Further(TypedDict, total=False):
    """
    What `interaction` takes beside touchpoint, stage, channel, goal and customer.
    """

    medium: str | None
    location: str | None
    direction: str | None
    by: Party | None
    on_behalf_of: str | None
    fails: Mapping[type[BaseException], str] | None
    ignore: tuple[type[BaseException], ...]
    classify: Callable[[BaseException], Any] | None


class Interactions(Base):
    """
    ``scope``, ``current``, ``interaction``, ``wrap`` and ``record``.
    """

    def __init__(self) -> None:
        self.sites: dict[tuple[Any, ...], Site] = {}
        """Call sites of the ``with`` form, by what they say."""

    scope = staticmethod(open_scope)

    @staticmethod
    def current() -> Interaction | NoInteraction:
        """
        Return the open interaction; outside of one, an object that takes everything and does
        nothing.
        """
        interaction: Interaction | None = current_interaction.get()
        return NOTHING_OPEN if interaction is None else interaction

    @staticmethod
    def wrap(chunks: Chunks) -> Chunks:
        """
        Keep the open interaction and the scope for a body that is produced after the handler has
        returned: ``return cx.wrap(rows())`` inside of ``with cx.interaction(...)``.

        The interaction ends with the last chunk, and as ``abandoned`` where nobody reads that far.
        Chunks pass as they come, each produced inside of the scope. Where nothing is open,
        *chunks* is returned as it is.

        Args:
            chunks: an iterable or an async iterable; an iterator of the same kind is returned.
        """
        wrapped: Chunks = kept_open(chunks)
        return wrapped

    def interaction(
        self,
        touchpoint: str,
        *,
        stage: str | None = None,
        channel: str | None = None,
        goal: str | None = None,
        customer: Any = None,
        # Gathered for the same reason as in `Scope`: what a call leaves out costs it.
        **further: Unpack[Further],
    ) -> Interaction:
        """
        Record one contact of one customer: a decorator, or ``with`` / ``async with``.

        Decorates functions, coroutines, generators, async generators, methods, class and static
        methods; signature, return value and exception object stay as they are. About 10 µs a
        call; never blocks.

        Args:
            touchpoint: a constant of the code, such as ``checkout.pay``; never an id or a path.

            stage: ``order``, ``use``, ``support``, …

            channel, medium, location: where; else the scope's, else ``unknown``.

            goal: what the customer came for.

            direction: ``inbound`` or ``outbound``; by default the first, in a task of a queue the
                second.

            by: who performed it, `partner` for those who act for us; ``automated`` by default.

            on_behalf_of: the company that stays accountable, where it is not the service's own.

            customer: on a decorator ``cx.arg("user_id")`` or a callable that gets the call's
                arguments; with ``with`` the id itself. Else the scope's.

            fails: exception class → reason; such a call is a ``failure`` for that reason.

            ignore: exception classes that mean that this was no interaction at all.

            classify: gets the exception, returns None, an outcome or (outcome, reason).
        """
        if further:
            return self._special((touchpoint, stage, channel, goal), customer, **further)
        return begun(self, (touchpoint, stage, channel, goal), customer)

    def _special(
        self,
        plain: tuple[Any, ...],
        customer: Any,
        *,
        medium: str | None = None,
        location: str | None = None,
        direction: str | None = None,
        by: Party | None = None,
        on_behalf_of: str | None = None,
        fails: Mapping[type[BaseException], str] | None = None,
        ignore: tuple[type[BaseException], ...] = (),
        classify: Callable[[BaseException], Any] | None = None,
    ) -> Interaction:
        fixed = (*plain, medium, location, direction, by, on_behalf_of)
        options = (ignore, classify) if ignore or classify else None
        return begun(self, fixed, customer, fails, options)

    def site(self, fixed: tuple[Any, ...]) -> Site:
        """
        Return the call site of *fixed*, made and checked at its first use.

        Raises:
            InvalidEventError: a fact does not fit the standard.
        """
        site = self.sites.get(fixed)
        if site is None:
            site = self.new_site(fixed)
            if len(self.sites) < _MOST_SITES:
                self.sites[fixed] = site
        return site

    @staticmethod
    def new_site(fixed: tuple[Any, ...], function: str | None = None) -> Site:
        """
        Make and check a call site.

        Raises:
            InvalidEventError: a fact does not fit the standard.
        """
        from cxsdk.pipeline.site import Site

        touchpoint, stage, channel, goal, *rest = fixed
        medium, location, direction, by, accountable = rest or (None,) * 5
        return Site(
            touchpoint,
            stage=stage,
            where=(channel, medium, location, None, None),
            goal=goal,
            direction=direction,
            performed_by=by,
            on_behalf_of=accountable,
            function=function,
        )

    @verb
    def record(
        self,
        capture: Capture,
        touchpoint: str,
        *,
        customer: Any = None,
        at: datetime | None = None,
        key: str | None = None,
        by: Party | None = None,
        on_behalf_of: str | None = None,
        stage: str | None = None,
        channel: str | None = None,
        medium: str | None = None,
        location: str | None = None,
        direction: str | None = None,
        goal: str | None = None,
        goal_met: str | None = None,
        outcome: str | None = None,
        reason: str | None = None,
        wait: float | None = None,
        duration: float | None = None,
        value: tuple[Any, str] | None = None,
        refs: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        time_precision: str | None = None,
    ) -> Result:
        """
        Record an interaction that had no handler of ours: a carrier's hand-over, a phone call,
        a store visit. What is not said stays absent.

        Args:
            touchpoint: a constant of the code, such as ``parcel.handover``.

            customer: the host's id; else the open interaction's or the scope's.

            at: when it happened, aware; now by default.

            key: the other system's key, text or a number, not empty; the same key is the same
                event, stored once.

            by: who performed it, such as ``cx.partner("carrier", org="dhl")``.

            wait, duration: seconds.

            value: a pair such as ``("19.90", "EUR")``.

            time_precision: ``exact``, ``minute``, ``hour``, ``day``, ``month``, ``unknown``.

        The other arguments are those of `interaction`.
        """
        fact = Fact(
            capture, "interaction", "completed", customer=customer, at=at, key=key, what=touchpoint
        )
        fact.place(
            touchpoint=touchpoint, stage=stage, channel=channel, medium=medium, location=location
        )
        fact.draft.data.setdefault("where", {})
        fact.put(
            interaction_id=fact.draft.id,
            direction=direction or ("outbound" if fact.errand else "inbound"),
            performed_by=wire_of(by, "by") or {"kind": "automated"},
            on_behalf_of=on_behalf_of,
            goal=goal,
            goal_met=goal_met,
            outcome=outcome,
            reason=reason,
            wait_ms=None if wait is None else milliseconds(wait, "interaction.wait"),
            duration_ms=None
            if duration is None
            else milliseconds(duration, "interaction.duration"),
            value=money_wire(value, "value"),
            time_precision=time_precision,
        )
        fact.own(attributes, refs)
        return fact.capture_it()
