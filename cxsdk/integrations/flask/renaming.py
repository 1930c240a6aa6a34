"""
Renaming: when the id that stands for a visitor in a session becomes another one.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from cxsdk.integrations.flask.session import OWNER, VISITOR, held_in
from cxsdk.integrations.visit import is_shared

if TYPE_CHECKING:
    import flask

    from cxsdk.integrations.flask.front import FlaskFront, FlaskVisit

__all__ = ["renamed"]

_AGREED = frozenset({"granted", "not_required"})


def renamed(front: FlaskFront, visit: FlaskVisit, response: flask.Response) -> dict[str, Any]:
    """
    Return what the session is to have from here on beside what is ours in it; mostly nothing.
    """
    owner = _owner(front, visit)
    is_other = owner is not None and owner != held_in(visit.session).get(OWNER, "")
    more = {OWNER: owner} if is_other else {}
    if (visit.is_new and (visit.brought or visit.minted)) or (is_other and not visit.minted):
        return {**more, VISITOR: secrets.token_urlsafe(16)}
    if visit.minted is not None and _is_wanted(front, visit, response):
        return {**more, VISITOR: visit.minted}
    return more


def _owner(front: FlaskFront, visit: FlaskVisit) -> str | None:
    """
    Return what stands in the session for whom it is of by the word of the team's own function, empty
    where it is nobody's; None where that cannot be another one than before.
    """
    is_told = front.options.customer is None or visit.user is not None
    if is_told or not getattr(visit.session, "modified", False):
        return None
    customer, assurance = visit.guest.asked()
    capture = front.source.capture()
    if customer is None or assurance == "claimed" or capture is None:
        return ""
    # A keyed hash: the session may lie in a cookie that its owner can read.
    tag: str = capture.known((customer, None, None, None)).tag.hex()
    return tag


def _is_wanted(front: FlaskFront, visit: FlaskVisit, response: flask.Response) -> bool:
    """
    Say whether the session is to have the id that an event of this request got.
    """
    if not visit.changes_session and is_shared(response.headers.get("Cache-Control", "")):
        # A cache would give the session of this one to all others.
        return False
    guest, capture = visit.guest, front.source.capture()
    if capture is None or guest.who[0] is not None:
        return capture is not None
    said = capture.gate.state_of(guest.consent, capture.known(guest.who))
    # Of others nothing is kept but what they answer.
    return said in _AGREED or (said != "denied" and front.engine() is not None)
