"""
Identity and consent: who is who, and what they agreed to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cxsdk._clock import to_ns
from cxsdk.errors import InvalidEventError
from cxsdk.instrument.base import Base, Result, verb
from cxsdk.instrument.facts import Fact
from cxsdk.scope import as_purposes
from cxsdk.typing import Accepted

if TYPE_CHECKING:
    from cxsdk.events.model import Event
    from cxsdk.pipeline.capture import Capture
    from cxsdk.pipeline.customers import Known

__all__ = ["Identities"]

_HASHED = re.compile(r"s-[0-9a-f]{24}")
"""A session id as it leaves the process."""

_NEVER_SAID = frozenset({"internal", "invalid", "no_customer"})
"""Why a word of consent is none."""


class Identities(Base):
    """
    ``identify``, ``link``, ``consent`` and ``emit``.
    """

    @verb
    def identify(
        self,
        capture: Capture,
        customer: Any,
        *,
        anonymous_id: str | None = None,
        assurance: str | None = None,
        traits: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> Result:
        """
        Say that a visitor is this customer (a login, a sign-up).

        Args:
            customer: the host's id.

            anonymous_id: what the visitor was called before; by default the anonymous id of the
                scope's session.

            assurance: ``claimed``, ``authenticated`` or ``verified``.

            traits: names to text, numbers or flags; redacted.
        """
        fact = Fact(
            capture,
            "identity",
            "identified",
            customer=customer,
            anonymous=anonymous_id or _anonymous(capture),
            at=at,
            key=key,
        )
        fact.put(
            identity_id=fact.draft.id,
            op="identified",
            assurance=assurance,
            traits=dict(traits) if traits else None,
        )
        return fact.capture_it()

    @verb
    def link(
        self,
        capture: Capture,
        *,
        keep: Any,
        absorb: Any,
        reason: str | None = None,
        assurance: str | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> Result:
        """
        Say that two customer ids are one customer.

        Args:
            keep: the id that stays.

            absorb: the id whose history belongs to *keep* from now on.

            reason: a token, such as ``duplicate_account``.
        """
        fact = Fact(capture, "identity", "linked", customer=keep, at=at, key=key)
        previous = capture.known((absorb, None, None, None))
        # By their wire forms: a path gives "42" where a database gives 42.
        if previous.tag == capture.known((keep, None, None, None)).tag:
            raise InvalidEventError("identity.previous", "another customer than keep", "the same")
        fact.put(
            identity_id=fact.draft.id,
            op="linked",
            previous=previous.block,
            reason=reason,
            assurance=assurance,
        )
        return fact.capture_it()

    @verb
    def consent(
        self,
        capture: Capture,
        state: str,
        *,
        customer: Any = None,
        purposes: tuple[str, ...] = (),
        policy_version: str | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> Result:
        """
        Record what the customer agreed to; it holds for later events of this process.

        A denial also erases, within seconds, undelivered events that consent alone allowed.

        Args:
            state: ``granted``, ``denied``, ``unknown`` or ``pending``.

            purposes: what it was said for, as tokens.
        """
        fact = Fact(capture, "identity", "consent_changed", customer=customer, at=at, key=key)
        block: dict[str, Any] = {"state": state}
        if purposes:
            block["purposes"] = list(as_purposes(purposes))
        if policy_version is not None:
            block["policy_version"] = policy_version
        fact.put(identity_id=fact.draft.id, op="consent_changed", consent=block)
        result = fact.capture_it()
        if isinstance(result, Accepted) or result.reason not in _NEVER_SAID:
            # A denial holds also where there was no room to record it.
            self._consent_said(capture, fact.draft.known, state)
        return result

    def _consent_said(self, capture: Capture, known: Known, state: str) -> None:
        capture.customers.remember_consent(known, state)
        if state == "denied":
            capture.withdraw(known.tag)

    @verb
    def emit(self, capture: Capture, event: Event) -> Result:
        """
        Record an `Event` made by hand; consent, redaction and the other steps apply as always.

        Its customer and session ids are what the host has, and leave as others do; its id, time
        and source stay as they are. Of the scope it takes the place only, and the consent where
        it says none itself.
        """
        from cxsdk.events.model import Event as Model
        from cxsdk.events.model import dump

        if not isinstance(event, Model):
            raise InvalidEventError("emit", "a cxsdk.events.model.Event", type(event).__name__)
        data = dump(event.data)
        customer = data.get("customer") or {}
        session = data.get("session_id")
        if session is not None and not _HASHED.fullmatch(session):
            del data["session_id"]
        else:
            session = None
        who = (*(customer.get(name) for name in ("id", "anonymous_id", "account_id")), session)
        fact = Fact(capture, event.family, event.action, customer=who[0], at=event.time)
        fact.draft.known = capture.known(who)
        for name in ("customer", "previous"):
            if data.get(name):
                data[name] = capture.customers.block(data[name])
        state = (data.get("consent") or {}).get("state")
        if event.family != "identity":
            fact.said = state or fact.said
        fact.draft.data.update(data)
        fact.draft.id = event.id
        fact.draft.envelope = {
            name: value
            for name, value in dump(event).items()
            if name not in {"data", "partitionkey"}
        }
        fact.draft.time_ns = to_ns(event.time)
        result = fact.capture_it()
        if event.action == "consent_changed" and state is not None:
            self._consent_said(capture, fact.draft.known, state)
        return result


def _anonymous(capture: Capture) -> str | None:
    """
    Return the anonymous id that the scope's session had so far, or None.
    """
    from cxsdk.scope import current_scope

    scope = current_scope.get()
    if scope is None:
        return None
    if scope.who[1] is not None:
        return str(scope.who[1])
    if scope.who[3] is None:
        return None
    block = capture.known((None, None, None, scope.who[3])).block or {}
    return block.get("anonymous_id")
