"""
The front of one Flask application: what happens when a request arrives, fails and leaves.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import flask
from flask import got_request_exception

from cxsdk._guard import voice
from cxsdk.integrations import stray
from cxsdk.integrations.flask.renaming import renamed
from cxsdk.integrations.flask.session import (
    VISITOR,
    contexts,
    fit,
    held_in,
    in_use,
    keep,
    login_in,
    opened,
    peek,
)
from cxsdk.integrations.flask.span import mark
from cxsdk.integrations.flask.speaker import Speakers
from cxsdk.integrations.front import Front
from cxsdk.integrations.options import Options
from cxsdk.integrations.trail import KEY, READS
from cxsdk.integrations.visit import Visit, for_one, harmless, is_shared

if TYPE_CHECKING:
    from cxsdk.client import Client
    from cxsdk.integrations.flask.layer import Layer

__all__ = ["VISIT", "FlaskFront", "FlaskVisit"]

VISIT = "cxsdk.visit"
"""Where the visit is in the environment of its request."""

_MOST = 4096


class FlaskVisit(Visit):
    """
    A visit, with what Flask knows of it.
    """

    __slots__ = ("brought", "is_answered", "is_new", "is_streamed", "minted", "session", "user")

    def __init__(self, front: FlaskFront, environ: Any) -> None:
        super().__init__(front, environ)
        self.session: Any = None
        self.brought: str | None = None
        """The session key as the request brought it."""

        self.minted: str | None = None
        """A key for a session that had none; to be kept."""

        self.user: str | int | None = None
        """Who the session said was logged in when the request came."""

        self.is_new = False
        """True: somebody logged in or out, and the session is another one from here on."""

        self.is_streamed = False
        self.is_answered = False

    @property
    def changes_session(self) -> bool:
        """
        Say whether the request is one that changes its session, for all we know.
        """
        return self.request.method not in READS or getattr(self.session, "modified", True)

    @property
    def is_untouched(self) -> bool:
        """
        Say whether nobody was asked for and nothing happened, which is so of most requests.
        """
        guest = self.guest
        is_quiet = self.interaction is None and guest._who is None and guest._done is None
        return is_quiet and self.user is None and not self.is_streamed


class FlaskFront(Front):
    """
    What ``app.extensions["cxsdk"]`` is. Thread-safe.

    Args:
        app: the application.

        options, client: as for `Front`.
    """

    def __init__(self, app: flask.Flask, options: Options, client: Client | None = None) -> None:
        super().__init__(options, client)
        self.app = app
        self.speakers = Speakers(app)
        self.layer: Layer | None = None
        self._handle: Any = None
        self._key = "user_id"
        """Where the session has who is logged in."""

        self._is_looked = False
        self._plain: set[tuple[str, str, str]] = set()
        """(route, endpoint, method) of requests that are no interactions."""
        if app.static_url_path:
            self.excludes((*options.exclude, f"{app.static_url_path}/*"))

    def visit(self, request: Any, path: str) -> FlaskVisit | None:
        """
        Return the visit of a request; None where it is none: excluded, or uninstalled.
        """
        if self.is_off or self.is_excluded(path):
            return None
        return FlaskVisit(self, request)

    # ---- installing -------------------------------------------------------------------------

    def hook(self) -> None:
        """
        Take part in what the application does.
        """
        app = self.app
        # Before all that the host does before a request, whichever of us was there first.
        app.url_value_preprocessors.setdefault(None, []).insert(0, self.arrive)
        # Those that come later run earlier: the last word on the response, and on the session.
        app.after_request_funcs.setdefault(None, []).insert(0, self.leave)
        got_request_exception.connect(self._unhandled, app)
        original = app.handle_user_exception

        def handle_user_exception(*args: Any) -> Any:
            self._raised(args[-1])
            return original(*args)

        self._handle = handle_user_exception
        app.handle_user_exception = self._handle  # type: ignore[method-assign]

    def unhook(self) -> None:
        """
        Take part no more.
        """
        app = self.app
        self.is_off = True
        # Lists of their own: a request that runs now goes through those that were.
        before, after = app.url_value_preprocessors, app.after_request_funcs
        before[None] = [each for each in before[None] if each != self.arrive]
        after[None] = [each for each in after[None] if each != self.leave]
        got_request_exception.disconnect(self._unhandled, app)
        if vars(app).get("handle_user_exception") is self._handle:
            del app.handle_user_exception
        layer = self.layer
        # Where others have wrapped it since, it lets everything through.
        if layer is not None and app.wsgi_app is layer:
            app.wsgi_app = layer.app  # type: ignore[method-assign]

    # ---- a request --------------------------------------------------------------------------

    def arrive(self, endpoint: str | None, values: Any) -> None:
        """
        Begin, once the route is known and before anything of the host's runs.
        """
        request = contexts.get().request
        visit = request.environ.get(VISIT)
        if visit is not None and visit._front is self:
            self._arrived(visit, request)

    @harmless
    def _arrived(self, visit: FlaskVisit, request: flask.Request) -> None:
        if not self._is_looked:
            self._look()
        visit.request = visit.guest._request = request
        self._open(visit)
        rule = request.url_rule
        if rule is not None and (rule.rule, rule.endpoint, request.method) not in self._plain:
            self._begin(visit, rule, request.method)

    def _open(self, visit: FlaskVisit) -> None:
        visit.session = session = opened()
        try:
            if session:
                # Peeked at: what the host does not read of its session leaves no trace.
                own = held_in(session).get(VISITOR)
                visit.brought = own if isinstance(own, str) and own else self._sid(visit)
                visit.user = login_in(session, self._key)
        except Exception as error:  # noqa: BLE001 - a store of the host's may be down
            visit.session = None
            # No more than the kind: a store says which key it was asked for.
            words = "cxsdk: a session cannot be read, so its requests are nobody's: %s"
            voice.say(logging.WARNING, "flask:session", words, type(error).__name__)

    def _begin(self, visit: FlaskVisit, rule: Any, method: str) -> None:
        view, names = self.speakers.of(rule.endpoint, method)
        if view is not None and self.rules.find(method, rule.rule, view, names) is not None:
            visit.began(method, rule.rule, view, names)
        elif len(self._plain) < _MOST:
            self._plain.add((rule.rule, rule.endpoint, method))

    def leave(self, response: flask.Response) -> flask.Response:
        """
        Take note of the response, and keep in the session what is to be kept.
        """
        request = contexts.get().request
        visit = request.environ.get(VISIT)
        if visit is not None and visit._front is self:
            self._left(visit, response)
        return response

    @harmless
    def _left(self, visit: FlaskVisit, response: flask.Response) -> None:
        session = visit.session
        # What has failed is over; Flask makes a stream of its own pages for errors.
        visit.is_streamed = (
            visit.error is None and response.is_streamed and not response.direct_passthrough
        )
        if not session and visit.is_untouched:
            visit.is_answered = True
            return
        if visit.is_private:
            response.headers["Cache-Control"] = for_one(response.headers.get("Cache-Control", ""))
        if session is not None and login_in(session, self._key) != visit.user:
            self._changed(visit)
        if visit.interaction is not None or visit.is_streamed:
            self._ask(visit)
        # A span of Flask's own instrumentation begins after us.
        visit.seen_from_inside()
        more = self._kept(visit, response)
        visit.is_new = visit.is_new or visit.guest.is_turned
        if self.options.spans and visit.interaction is not None:
            # A span of Flask's own instrumentation ends before the last byte.
            mark(visit)
        more |= renamed(self, visit, response)
        if session is not None and (more or session):
            keep(session, more)
            fit(session, self.app)
        cookie = visit.cookie(secure=visit.request.is_secure)
        if cookie is not None and not is_shared(response.headers.get("Cache-Control", "")):
            response.headers.add("Set-Cookie", cookie)
        elif visit.is_new and self._named(visit) is not None:
            response.delete_cookie(self.options.cookie or "")
        visit.is_answered = True

    def _kept(self, visit: FlaskVisit, response: flask.Response) -> dict[str, Any]:
        kept = visit.answered(response.status_code)
        return dict(kept or ()) if visit.changes_session else {}

    def _raised(self, error: BaseException) -> None:
        request = flask.request
        visit = request.environ.get(VISIT) if request else None
        if visit is not None and visit._front is self and visit.error is None:
            self._failed(visit, error)

    @harmless
    def _failed(self, visit: FlaskVisit, error: BaseException) -> None:
        visit.failed(error)
        visit.seen_from_inside()
        if visit.interaction is not None:
            self._ask(visit)

    def _ask(self, visit: FlaskVisit) -> None:
        # Later, Flask's context is gone, and the team's functions could not look.
        _ = visit.guest.who, visit.guest.consent

    def _unhandled(self, sender: Any, exception: BaseException, **_: Any) -> None:
        self._raised(exception)

    @harmless
    def _look(self) -> None:
        """
        Look, at the first request, at what is complete only then.
        """
        try:
            # First: another request may come meanwhile, and who it is must be known.
            if getattr(self.app, "login_manager", None) is not None:
                self._key = "_user_id"
                self._hear()
            csrf, own = self.app.extensions.get("csrf"), self.app.blueprints.get("cxsdk")
            if csrf is not None and own is not None:
                # A token in the address is the right to answer; no cookie is read.
                csrf.exempt(own)
            stray.look(self.routes())
        finally:
            self._is_looked = True

    def _hear(self) -> None:
        import flask_login

        flask_login.user_logged_in.connect(self._logged, self.app)
        flask_login.user_logged_out.connect(self._logged, self.app)

    def routes(self) -> list[tuple[str, Any]]:
        """
        Return pairs of route and handler.
        """
        views = self.app.view_functions
        rules = self.app.url_map.iter_rules()
        return [(rule.rule, views[rule.endpoint]) for rule in rules if rule.endpoint in views]

    # ---- login and logout -------------------------------------------------------------------

    def _logged(self, sender: Any, **_: Any) -> None:
        visit = flask.request.environ.get(VISIT) if flask.request else None
        if visit is not None and visit._front is self and visit.session is not None:
            self._changed(visit)

    @harmless
    def _changed(self, visit: FlaskVisit) -> None:
        """
        Somebody logged in, or out.
        """
        before, visit.user = visit.user, login_in(visit.session, self._key)
        visit.is_new = True
        guest = visit.guest
        if visit.user is None:
            # What is left of this request is still of the customer who was; what the team's own
            # function makes of that id nobody knows any more.
            is_known = guest._who is not None and guest._who[0] is not None
            if not is_known and self.options.customer is None:
                guest.serve(before)
            return
        guest.pin()
        customer, assurance = guest.asked()
        if customer is not None:
            assurance = assurance or "authenticated"
            guest.serve(customer, assurance)
            self.source.identify(customer, assurance=assurance)

    # ---- what a request tells ---------------------------------------------------------------

    def customer(self, request: Any) -> Any:
        """
        Return who is served; nobody before Flask has the request, and after it let go of it.
        """
        if self.options.customer is not None and not _is_running(request):
            return None
        return super().customer(request)

    def consent(self, request: Any) -> str | None:
        """
        Return what the team's function says, while Flask has the request.
        """
        return super().consent(request) if _is_running(request) else None

    def session(self, request: Any) -> str | None:
        """
        Return the session key.
        """
        if self.options.session is not None and not _is_running(request):
            return None
        return super().session(request)

    def login(self, request: Any) -> Any:
        """
        Return who Flask-Login has loaded, else who the session says is logged in.
        """
        visit = _visit_of(request)
        if visit is None:
            return None
        manager = getattr(self.app, "login_manager", None)
        if manager is not None and _is_running(request):
            user = flask.g.get("_login_user")
            if user is not None:
                return getattr(user, manager.id_attribute)() if user.is_authenticated else None
        return login_in(visit.session, self._key)

    def session_key(self, request: Any) -> str | None:
        """
        Return the key as the request brought it, else one for a session that is in use without.
        """
        visit = _visit_of(request)
        if visit is None:
            return None
        is_lacking = visit.brought is None and visit.minted is None
        if is_lacking and not visit.is_answered and in_use(visit.session):
            visit.brought = self._sid(visit)
            if visit.brought is None:
                # Who agreed before there was a session is the same visitor.
                visit.minted = self._named(visit) or secrets.token_urlsafe(16)
        return visit.brought or visit.minted

    def _sid(self, visit: FlaskVisit) -> str | None:
        sid = getattr(visit.session, "sid", None)
        is_key = isinstance(sid, str) and sid and in_use(visit.session)
        return sid if is_key and self._named(visit) is None else None

    def _named(self, visit: FlaskVisit) -> str | None:
        return self.visitor(visit.request) if self.may_name() else None

    def header(self, request: Any, name: str) -> str:
        """
        Return a header, empty where there is none.
        """
        environ = request if isinstance(request, dict) else request.environ
        found: str = environ.get(f"HTTP_{name.upper().replace('-', '_')}", "")
        return found

    def held(self, request: Any) -> Mapping[str, Any] | None:
        """
        Return what the session has of ours.
        """
        visit = _visit_of(request)
        return None if visit is None else peek(visit.session, KEY)


def _visit_of(request: Any) -> FlaskVisit | None:
    # Before Flask has it, a request is no more than its environment.
    return None if isinstance(request, dict) else request.environ.get(VISIT)


def _is_running(request: Any) -> bool:
    return (
        flask.has_request_context() and flask.request._get_current_object() is request  # type: ignore[attr-defined]
    )
