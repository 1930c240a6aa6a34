"""
Who logs in is who the visitor was: ``django.contrib.auth`` tells of it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from cxsdk.integrations.visit import Visit, current_visit, harmless

__all__ = ["connected"]


def connected() -> None:
    """
    Hear of logins; again is once.
    """
    from django.contrib.auth.signals import user_logged_in, user_logged_out

    user_logged_in.connect(_logged_in, dispatch_uid="cxsdk.login")
    user_logged_out.connect(_logged_out, dispatch_uid="cxsdk.logout")


def _running() -> Visit | None:
    visit = current_visit.get()
    if visit is None or not isinstance(visit.request, HttpRequest):
        return None
    match = visit.request.resolver_match
    # The staff is no customer.
    return None if match is not None and "admin" in match.app_names else visit


def _logged_in(**_: Any) -> None:
    visit = _running()
    if visit is not None:
        _identify(visit._front, visit)


@harmless
def _identify(front: Any, visit: Visit) -> None:
    # The cookie's session, not the one that the login has just given another key.
    visit.guest.pin()
    customer, assurance = visit.guest.asked()
    if customer is None:
        return
    if visit.guest.was_another(customer) or _is_emptied(visit.request):
        visit.guest.part()
    visit.guest.is_turned = True
    assurance = assurance or "authenticated"
    visit.guest.serve(customer, assurance)
    front.source.identify(customer, assurance=assurance)


def _is_emptied(request: Any) -> bool:
    """
    Say whether the login has thrown the session away that the request brought: it does so with that
    of another user. A visitor's gets another key and keeps what is in it.
    """
    came = settings.SESSION_COOKIE_NAME in request.COOKIES
    session = getattr(request, "session", None)
    return came and session is not None and session.session_key is None


def _logged_out(**_: Any) -> None:
    visit = _running()
    if visit is not None:
        # Found out before the session is emptied: the rest of this request is still theirs.
        visit.guest.who  # noqa: B018 - asks
        visit.guest.is_turned = True
