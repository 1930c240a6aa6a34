"""
The short way: an interaction of the common shape, from its facts to the spool without a draft.

The steps are those of `Capture.interaction`, less what such an event does not need; a test
proves that both ways give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current

from cxsdk._guard import is_ours
from cxsdk.errors import SpoolFullError
from cxsdk.pipeline.customers import Known
from cxsdk.pipeline.encode import traceparent
from cxsdk.pipeline.team import remember
from cxsdk.scope import NOWHERE, Scope
from cxsdk.typing import Dropped, Kind

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture

__all__ = ["ShortWay"]

_BYTES_PER_CHARACTER = 4
_ENVELOPE_BYTES = 8192


class ShortWay:
    """
    Takes interactions of a known customer about whom nothing unusual was said. Thread-safe.

    Args:
        capture: whose settings, counts and spool are used.

        diversions: where events go instead while a test captures.
    """

    def __init__(self, capture: Capture, diversions: list[Any]) -> None:
        self._diversions = diversions
        redactor, encoder = capture._redactor, capture.encoder
        self._capture = capture
        self._encoder = encoder
        self._json = encoder.json
        self._default = capture._default
        self._consents = capture.gate.words
        self._offer = capture._offer
        self._next = capture._next_bulk
        self._most = (capture._most_bytes - _ENVELOPE_BYTES) // _BYTES_PER_CHARACTER
        self._is_clean = (lambda _: False) if redactor is None else redactor.passes

    def take(
        self, contact: Any, known: Known, scope: Scope | None, elapsed: int
    ) -> bool | Dropped | None:
        """
        Capture *contact*, an open interaction that ends now, if it is of the common shape.

        Returns:
            What `Capture.interaction` does; None if that has to be asked: nothing was counted.
        """
        capture = self._capture
        if capture._is_careful or self._consents or capture.processors or not known.is_known:
            return None
        if scope is not None and (scope.consent or scope.purposes or scope.correlation is not None):
            return None
        fields = contact._fields
        rest = fields.get("outcome", "success") + '"'
        if "goal_met" in fields:
            rest += f',"goal_met":"{fields["goal_met"]}"'
        attributes = contact.attributes
        if attributes:
            if not self._is_clean(attributes):
                return None
            try:
                rest = f"{rest}{self._encoder.ext}{self._json(attributes).decode()}}}"
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                if not is_ours(error):
                    raise
                return None
        return self._keep(contact, known, scope, elapsed, rest) if len(rest) < self._most else None

    def _keep(
        self, contact: Any, known: Known, scope: Scope | None, elapsed: int, rest: str
    ) -> bool | Dropped:
        capture, encoder = self._capture, self._encoder
        where = NOWHERE if scope is None else scope.where
        site = contact._site
        maker, place, text = site.memo
        if maker is not encoder or place is not where:
            text = encoder.site(site, where)
        who = known.text or encoder.who(known, None, self._default, None)
        links = known.links
        is_traced = get_current() or (scope is not None and scope.errand is not None)
        if is_traced and (parent := traceparent()) is not None:
            links = f'{links},"traceparent":"{parent}"'
        time_ns = contact._began_ns + elapsed
        try:
            self._offer()
            payload = encoder.write(
                contact._id, time_ns, links, text, who, elapsed // 1_000_000, rest, self._next()
            )
            # Asked for each event: a test may begin to capture, a listener be added.
            if capture._is_plain and not self._diversions:
                kept = capture._append("bulk", payload, Kind.INTERACTION, known.tag)
                if capture.memory is not None:
                    remember(capture.memory, known, payload, capture._ledger, is_contact=True)
                return kept
            draft = contact._draft(known, scope, elapsed, contact._fields)
            return capture._keep(draft, "bulk", payload, Kind.INTERACTION)
        except SpoolFullError:
            draft = contact._draft(known, scope, elapsed, contact._fields)
            return capture._refuse_late(draft, "spool_full")
        except Exception as error:
            draft = contact._draft(known, scope, elapsed, contact._fields)
            return capture._failed(error, draft, late=True)
