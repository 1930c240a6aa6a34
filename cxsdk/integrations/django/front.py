"""
What a Django request tells of its customer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.utils.functional import LazyObject

from cxsdk._guard import voice
from cxsdk.errors import ConfigurationError
from cxsdk.integrations import trail
from cxsdk.integrations.django.handler import Handlers
from cxsdk.integrations.django.project import Project, project
from cxsdk.integrations.front import Front
from cxsdk.integrations.visit import Visit, for_one, harmless, is_shared

__all__ = ["DjangoFront", "front"]

_USER = "_auth_user_id"
"""Under which ``django.contrib.auth`` keeps who is logged in."""

_OWN_ID = "_cx_id"
_LONGEST = 256


class DjangoFront(Front):
    """
    One project. Reads the session where a session cookie came, and never begins one; asks for no
    user, so that nothing but the session is queried for our sake. Thread-safe.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project.options)
        self._handlers = Handlers()
        files = (getattr(settings, name, None) or "" for name in ("STATIC_URL", "MEDIA_URL"))
        own = tuple(f"{each}*" for each in files if each.startswith("/") and each != "/")
        self.excludes((*project.options.exclude, *own))

    # ---- who ------------------------------------------------------------------------------

    def login(self, request: Any) -> str | None:
        """
        Return the key of who is logged in; of the user object where the request has one already.
        """
        user = request.__dict__.get("user")
        if user is None or isinstance(user, LazyObject):
            # Loaded earlier in this request; after a login or a logout another one stands above.
            user = request.__dict__.get("_cached_user") or request.__dict__.get("_acached_user")
        if user is not None:
            return str(user.pk) if user.is_authenticated else None
        return self._peek(request, _USER)

    def session_key(self, request: Any) -> str | None:
        """
        Return the session cookie as it came; where that is the session itself and changes with it,
        an id of its own inside.
        """
        cookie: str | None = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if not cookie:
            return None
        session = getattr(request, "session", None)
        if not isinstance(session, SignedCookies):
            return cookie if len(cookie) <= _LONGEST else None
        found = self._peek(request, _OWN_ID)
        if found is None and self._may_write(request, session):
            found = session[_OWN_ID] = secrets.token_urlsafe(16)
        return found

    def _may_write(self, request: Any, session: Any) -> bool:
        """
        Say whether *session* is in use and may get an id. Somebody's is left alone by a page that
        only reads: its cookie may reach the browser after a logout in another tab, and undo that.
        """
        if session.is_empty():
            return False
        is_read = request.method in trail.READS and not session.modified
        return not is_read or self._peek(request, _USER) is None

    def header(self, request: Any, name: str) -> str:
        """
        Return a header.
        """
        said: str = request.META.get(f"HTTP_{name.upper().replace('-', '_')}", "")
        return said

    def held(self, request: Any) -> Mapping[str, Any] | None:
        """
        Return what the session keeps.
        """
        found = self._peek(request, trail.KEY)
        return found if isinstance(found, Mapping) else None

    def _peek(self, request: Any, key: str) -> Any:
        """
        Return a value of the session without marking it as read, which would vary the response.
        """
        session = self._session(request)
        if session is None:
            return None
        before = session.accessed
        try:
            return session.get(key)
        finally:
            session.accessed = before

    def _session(self, request: Any) -> Any:
        """
        Return the session of *request*, where there is one and reading it is allowed here.
        """
        session = getattr(request, "session", None)
        if session is None or _is_loaded(session):
            return session
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        # It would block the event loop, or raise SynchronousOnlyOperation; see `load`.
        return None if _in_a_loop() and not isinstance(session, SignedCookies) else session

    async def load(self, visit: Visit) -> None:
        """
        Load the session for a coroutine, in which it could not be read later.
        """
        session = _unloaded(visit.request)
        if session is None:
            return
        with _unnoticed(session):
            if hasattr(session, "_aget_session"):
                await session._aget_session()
            else:
                await sync_to_async(session._get_session)()

    def load_now(self, visit: Visit) -> None:
        """
        Like `load`, on the thread that is about to run a coroutine to its end.
        """
        session = _unloaded(visit.request)
        if session is not None:
            with _unnoticed(session):
                session._get_session()

    # ---- the way of a request ---------------------------------------------------------------

    @harmless
    def begins(self, visit: Visit, view: Any) -> None:
        """
        Begin an interaction where a rule says so. The admin's pages are those of the staff.
        """
        request = visit.request
        match = request.resolver_match
        if "admin" not in match.app_names:
            visit.began(request.method, *self._handlers.find(request.method, match, view))

    @harmless
    def ends(self, visit: Visit, response: Any) -> None:
        """
        Take note of the response: the interaction ends with it, or with the last byte it streams.
        """
        kept = visit.answered(response.status_code)
        if kept is not None:
            self._keep(visit.request, kept)
        if response.streaming:
            if visit.interaction is not None:
                # Later the session may be out of reach.
                visit.guest.who  # noqa: B018 - asks
            _measure(visit, response)
        else:
            visit.end()
        if visit.naming() is not None and not is_shared(response.get("Cache-Control", "")):
            response.cookies.load(visit.cookie(secure=visit.request.is_secure()) or "")
            visit.is_private = True
        if visit.is_private:
            # A cache, Django's own say, would give it to all who come after.
            response["Cache-Control"] = for_one(response.get("Cache-Control", ""))

    def _keep(self, request: Any, kept: Mapping[str, str]) -> None:
        session = self._session(request)
        if session is None or (request.method in trail.READS and not session.modified):
            return
        with _unnoticed(session):
            if session.is_empty() or session.get(trail.KEY) == kept:
                return
        if _is_loaded(session):
            session[trail.KEY] = kept


def _measure(visit: Visit, response: Any) -> None:
    """
    Let *visit* end with the last byte of *response*.
    """
    if getattr(response, "file_to_stream", None) is not None:
        # The server may send it in its own way, and closes it when that is done.
        response._resource_closers.append(visit.end)
        return
    wrap = visit.abody if response.is_async else visit.body
    response.streaming_content = wrap(response.streaming_content)
    response._resource_closers.append(lambda: visit.end(GeneratorExit()))


def _is_loaded(session: Any) -> bool:
    return hasattr(session, "_session_cache")


def _unloaded(request: Any) -> Any:
    """
    Return the session of *request* where it would have to be fetched from somewhere, else None.
    """
    session = getattr(request, "session", None)
    if session is None or _is_loaded(session) or isinstance(session, SignedCookies):
        return None
    return session if settings.SESSION_COOKIE_NAME in request.COOKIES else None


@contextmanager
def _unnoticed(session: Any) -> Iterator[None]:
    """
    Read *session* without marking it as read; a broken store is the host's, and breaks nothing.
    """
    before = session.accessed
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the host's session store may be broken
        words = "cxsdk: who a request serves is not known: %s in the session store"
        voice.say(logging.WARNING, "django:session", words, type(error).__name__)
    finally:
        session.accessed = before


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_made: list[tuple[Project, DjangoFront]] = []


def front() -> DjangoFront:
    """
    Return the front of this project; the same for the same settings.

    Raises:
        CXError: ``CXSDK`` is wrong.
        ConfigurationError: the app is not in ``INSTALLED_APPS``.
    """
    if not apps.is_installed("cxsdk.integrations.django"):
        raise ConfigurationError(
            "CX is in MIDDLEWARE, and its app is not in INSTALLED_APPS: add"
            " 'cxsdk.integrations.django'"
        )
    said = project()
    if said.fault is not None:
        raise said.fault
    if not _made or _made[0][0] is not said or _made[0][1].is_off:
        _made[:] = [(said, DjangoFront(said))]
    return _made[0][1]
