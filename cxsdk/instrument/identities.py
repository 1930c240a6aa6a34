"""
Identity and consent: who is who, and what they agreed to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
    from cxsdk.remembering import LinkResult

__all__ = ["Identities"]

_HASHED = re.compile(r"s-[0-9a-f]{24}")
"""A session id as it leaves the process."""

_NO_EVENT = frozenset({"same", "other_customer", "too_many"})
"""Why a link is not even told to the collectors."""

_WHY = {
    "same": "they are one customer already, by way of another link",
    "already_linked": "it was linked so before",
    "other_customer": "it was absorbed by another customer; unlink it from that one first",
    "too_many": "fifty ids of one customer are a mistake of somebody's",
    "not_linked": "no such link is known here; collectors are told all the same",
    "waits": "it is applied when the host's transaction commits",
}

_NEVER_SAID = frozenset({"internal", "invalid", "no_customer"})
"""Why a word of consent is none."""


class _Done:
    """
    What the memory made of a link.
    """

    is_asked = False
    why = ""


class Identities(Base):
    """
    ``identify``, ``link``, ``unlink``, ``consent`` and ``emit``.
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
        immediate: bool = False,
    ) -> Result:
        """
        Say that a visitor is this customer (a login, a sign-up).

        Args:
            customer: the host's id.

            anonymous_id: what the visitor was called before; by default the anonymous id of the
                scope's session.

            assurance: ``claimed``, ``authenticated`` or ``verified``.

            traits: names to text, numbers or flags; redacted.

            immediate: as for `promise`.
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

        def then(result: Result) -> None:
            if isinstance(result, Accepted) and capture.memory is not None:
                capture.memory.identified(fact.draft.known, str(customer))

        return fact.settle(immediate=immediate, then=then)

    def link(
        self,
        *,
        keep: Any,
        absorb: Any,
        reason: str | None = None,
        assurance: str | None = None,
        at: datetime | None = None,
        key: str | None = None,
        immediate: bool = False,
    ) -> LinkResult:
        """
        Say that two customer ids are one customer; from now on a lookup of either finds both.

        Never done unasked: two known ids are two customers until somebody says otherwise. Can be
        taken back by `unlink`.

        Args:
            keep: the id that stays.

            absorb: the id whose history belongs to *keep* from now on. One that was absorbed by
                another already is refused: unlink it first.

            reason: a token, such as ``duplicate_account``.

            immediate: as for `promise`.
        """

        def apply(memory: Any, one: Any, other: Any) -> str:
            refusal: str = memory.link(one, other)
            return refusal

        more = {"reason": reason, "assurance": assurance, "at": at, "key": key}
        return self._link("linked", keep, absorb, apply, {**more, "immediate": immediate})

    def unlink(
        self,
        *,
        keep: Any,
        absorb: Any,
        reason: str | None = None,
        at: datetime | None = None,
        key: str | None = None,
        immediate: bool = False,
    ) -> LinkResult:
        """
        Take back a `link`: the two ids are two customers again. What was seen meanwhile stays
        where it is; collectors sort it by the ids that stand on each event.

        Args:
            keep, absorb: as they were linked.

            reason: a token, such as ``wrong_match``.

            immediate: as for `promise`.
        """

        def apply(memory: Any, _: Any, other: Any) -> str:
            return "" if memory.unlink(other) else "not_linked"

        more = {"reason": reason, "at": at, "key": key, "immediate": immediate}
        return self._link("unlinked", keep, absorb, apply, more)

    def _link(
        self,
        op: str,
        keep: Any,
        absorb: Any,
        apply: Callable[[Any, Any, Any], str],
        more: dict[str, Any],
    ) -> LinkResult:
        from cxsdk.remembering import LinkResult

        done = _Done()
        result = self._say_link(op, keep, absorb, apply, more, done)
        if isinstance(result, Accepted) and result.waits:
            return LinkResult(True, "waits", _WHY["waits"], result.id)
        if done.is_asked:
            event = result.id if isinstance(result, Accepted) else ""
            return LinkResult(not done.why, done.why, _WHY.get(done.why, ""), event)
        if isinstance(result, Accepted):
            return LinkResult(True, id=result.id)
        return LinkResult(False, result.reason, result.detail)

    @verb
    def _say_link(
        self,
        capture: Capture,
        op: str,
        keep: Any,
        absorb: Any,
        apply: Callable[[Any, Any, Any], str],
        more: dict[str, Any],
        done: _Done,
    ) -> Result:
        fact = Fact(capture, "identity", op, customer=keep, at=more.get("at"), key=more.get("key"))
        one = capture.known((keep, None, None, None))
        other = capture.known((absorb, None, None, None))
        # By their wire forms: a path gives "42" where a database gives 42.
        if other.tag == one.tag:
            raise InvalidEventError("identity.previous", "another customer than keep", "the same")
        fact.put(
            identity_id=fact.draft.id,
            op=op,
            previous=other.block,
            reason=more.get("reason"),
            assurance=more.get("assurance"),
        )

        def veto() -> str:
            if capture.memory is None:
                return ""
            done.why, done.is_asked = apply(capture.memory, (keep, one), (absorb, other)), True
            return done.why if done.why in _NO_EVENT else ""

        return fact.settle(immediate=more["immediate"], veto=veto)

    @verb
    def _erasure(self, capture: Capture, customer: Any, anonymous: str | None) -> Result:
        fact = Fact(
            capture, "identity", "erasure_requested", customer=customer, anonymous=anonymous
        )
        fact.put(identity_id=fact.draft.id, op="erasure_requested")
        return fact.capture_it()

    def _say_erasure(self, person: Any) -> str:
        is_known = person.space == "id"
        customer, anonymous = (person.raw, None) if is_known else (None, person.raw)
        result = self._erasure(customer, anonymous)
        return result.id if isinstance(result, Accepted) else ""

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
        immediate: bool = False,
    ) -> Result:
        """
        Record what the customer agreed to; it holds for later events of this process.

        A denial also erases, within seconds, undelivered events that consent alone allowed.

        Args:
            state: ``granted``, ``denied``, ``unknown`` or ``pending``.

            purposes: what it was said for, as tokens.

            immediate: as for `promise`. A denial is heeded at once in any case.
        """
        fact = Fact(capture, "identity", "consent_changed", customer=customer, at=at, key=key)
        block: dict[str, Any] = {"state": state}
        if purposes:
            block["purposes"] = list(as_purposes(purposes))
        if policy_version is not None:
            block["policy_version"] = policy_version
        fact.put(identity_id=fact.draft.id, op="consent_changed", consent=block)

        def then(result: Result) -> None:
            if isinstance(result, Accepted) or result.reason not in _NEVER_SAID:
                # A denial holds also where there was no room to record it.
                self._consent_said(capture, fact.draft.known, state)

        result = fact.settle(immediate=immediate, then=then)
        if state == "denied" and isinstance(result, Accepted) and result.waits:
            # A no is heeded at once, a yes only once it is committed.
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
