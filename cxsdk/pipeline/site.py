"""
A call site: what is the same for every interaction that one line of the host's code records.

Checked once, when the line is first reached or decorated; its JSON is made once per place.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from cxsdk.errors import InvalidEventError
from cxsdk.events._kind import describe
from cxsdk.scope import NOWHERE, Where

if TYPE_CHECKING:
    from cxsdk.events.model import Party

__all__ = ["Site"]


class Site:
    """
    The fixed facts of a call site. Shared by all threads; only *memo* ever changes.

    Raises:
        InvalidEventError: a fact does not fit the standard.
    """

    __slots__ = ("_outbound", "function", "memo", "place", "touchpoint", "wire")

    def __init__(
        self,
        touchpoint: str,
        *,
        stage: str | None = None,
        where: Where = NOWHERE,
        goal: str | None = None,
        direction: str | None = None,
        performed_by: Party | None = None,
        on_behalf_of: str | None = None,
        function: str | None = None,
    ) -> None:
        from cxsdk.events.model import Customer, Interaction, Party, dump
        from cxsdk.events.model import Where as Place

        if performed_by is not None and not isinstance(performed_by, Party):
            raise InvalidEventError(
                "interaction.performed_by",
                "cx.partner(...) or cx.Party(...)",
                describe(performed_by),
            )
        probe = Interaction(
            interaction_id="probe",
            customer=Customer(id="probe"),
            where=Place(
                channel=where[0] or "unknown",
                medium=where[1] or "unknown",
                touchpoint=touchpoint,
                stage=stage,
                location=where[2],
                locale=where[3],
                tz=where[4],
            ),
            direction=direction or "inbound",
            performed_by=performed_by or Party(kind="automated"),
            on_behalf_of=on_behalf_of,
            goal=goal,
        )
        self._outbound: Site | None = None if direction is None else self
        self.touchpoint = touchpoint
        self.place = where
        self.function = function
        self.memo: tuple[Any, Where, str] = (None, NOWHERE, "")
        """The encoder, the place and the text of the last event: mostly also of the next."""
        self.wire = dump(probe)
        del self.wire["interaction_id"], self.wire["customer"]

    def outbound(self) -> Site:
        """
        Return this site as it is in a task, where nobody came to us: outbound, unless the code
        says a direction. Made once.
        """
        if self._outbound is None:
            made = copy(self)
            made.wire = {**self.wire, "direction": "outbound"}
            made.memo = (None, NOWHERE, "")
            made._outbound = made
            self._outbound = made
        return self._outbound

    def facts(
        self, where: Where, touchpoint: str, service: dict[str, Any], party: Any
    ) -> dict[str, Any]:
        """
        Return the fixed part of ``data`` in wire order, completed from the scope's place.

        Raises:
            InvalidEventError: the scope names a place that does not fit the standard.
        """
        wire = dict(self.wire)
        wire["where"] = self._place(where, touchpoint)
        if party is not None:
            wire["performed_by"] = party
        if self.function:
            service = {**service, "function": self.function}
        return {"service": service, **wire}

    def _place(self, where: Where, touchpoint: str) -> dict[str, Any]:
        from cxsdk.events.model import Where as Place
        from cxsdk.events.model import dump

        channel, medium, location, locale, tz = (
            ours if ours is not None else theirs
            for ours, theirs in zip(self.place, where, strict=True)
        )
        return dump(
            Place(
                channel=channel or "unknown",
                medium=medium or "unknown",
                touchpoint=touchpoint,
                stage=self.wire["where"].get("stage"),
                location=location,
                locale=locale,
                tz=tz,
            )
        )
