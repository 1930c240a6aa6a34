"""
A front: one installed integration, with its options, its rules and its client.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from cxsdk import _default
from cxsdk._guard import voice
from cxsdk.integrations.guest import Guest
from cxsdk.integrations.options import EXCLUDED, Options
from cxsdk.integrations.rule import Rules
from cxsdk.integrations.visit import Visit, harmless
from cxsdk.scope import Scope

if TYPE_CHECKING:
    from cxsdk.client import Client
    from cxsdk.prompts.cases import Case
    from cxsdk.prompts.engine import Engine

__all__ = ["Front", "client_of"]

_SERVICE = "CXSDK_SERVICE"
_made: dict[int, tuple[dict[str, Any], Client]] = {}


def client_of(arguments: Mapping[str, Any]) -> None:
    """
    Make the default client as a framework's settings say; once for the same settings, however many
    applications are made of them. Where they say nothing of ``init``, the host calls that itself, or
    the environment names the service.

    Raises:
        ConfigurationError: an argument of ``init`` is wrong.
    """
    present = _default.client()
    before = _made.get(id(present))
    is_alive = present is not None and present.health().reason != "closed"
    if is_alive and before is not None and before[0] == arguments and before[1] is present:
        return
    if arguments.keys() <= {"listeners"} and (present is not None or _SERVICE not in os.environ):
        # Span attributes alone are no reason for a client.
        return
    is_replaced = is_alive and before is not None and before[1] is present
    _made.clear()
    made = _default.init(**arguments)
    if is_replaced:
        words = (
            "cxsdk: an application of other settings came later, and from here on all events of this"
            " process go by those; where both are to serve, CX(app, client=cx.Client(…)) gives an"
            " application settings of its own"
        )
        voice.say(logging.WARNING, "client_replaced", words)
    _made[id(made)] = (dict(arguments), made)


class Front:
    """
    What an integration is built on: it makes a `Visit` of each request. Subclasses say how their
    framework tells of a request. Thread-safe. An integration guarantees, and
    `IntegrationConformance` tests, that

    1. responses are those of the application alone; one with a form of ours is ``private``;
    2. what a handler raises comes out as the very object, its chain untouched;
    3. handlers keep identity, signature and kind;
    4. installed twice is once;
    5. uninstalling leaves the application as it was;
    6. without a client, or with whatever of ours is broken, requests are served;
    7. a dead or hanging collector costs no request a millisecond at p99;
    8. concurrent requests never see each other's customer, and nothing is left behind;
    9. excluded paths have no scope and are no interactions;
    10. a request is an interaction only where a rule says so, and is one interaction; its touchpoint
        is made of the route's template;
    11. errors and statuses become outcomes as the event standard says;
    12. streams pass as they are produced and are measured to their end; a client that is gone has
        abandoned them;
    13. a header can only claim who the customer is;
    14. the session remembers, signed, the last interaction, and no cookie is set for our sake.

    Args:
        options: see `Options`.

        client: whose events these are; None: the default client, found when it is needed.
    """

    def __init__(self, options: Options, client: Client | None = None) -> None:
        self.options = options
        self.source: Any = _default.instrument if client is None else client
        self._client = client
        self.rules = Rules(options.interactions)
        self.where = (options.channel, options.medium, None, None, None)
        self.is_off = False
        """True: uninstalled; what still calls is let through."""

        self.excludes(options.exclude)

    def excludes(self, more: tuple[str, ...] = ()) -> None:
        """
        Leave out *more* paths, beside those of `EXCLUDED` and the endpoint of prompts.
        """
        mount = self.options.mount
        paths = (*EXCLUDED, *more, *(() if mount is None else (f"{mount.rstrip('/')}/*",)))
        self._exact = frozenset(path for path in paths if "*" not in path)
        self._heads = tuple(
            path[:-1] for path in paths if path.endswith("*") and "*" not in path[:-1]
        )
        globs = [path for path in paths if "*" in path[:-1]]
        self._globs = re.compile("|".join(map(translate, globs))) if globs else None

    def is_excluded(self, path: str) -> bool:
        """
        Say whether requests to *path* are nothing to us.
        """
        return (
            path in self._exact
            or path.startswith(self._heads)
            or (self._globs is not None and self._globs.match(path) is not None)
        )

    @harmless
    def visit(self, request: Any, path: str) -> Visit | None:
        """
        Return the visit of a request; None where it is none: excluded, or uninstalled.
        """
        if self.is_off or self.is_excluded(path):
            return None
        return Visit(self, request)

    # ---- what a request tells ---------------------------------------------------------------

    def customer(self, request: Any) -> Any:
        """
        Return who is served: the team's function, else the login, else what a header claims.
        """
        options = self.options
        found = self.login(request) if options.customer is None else options.customer(request)
        if found is None and options.header is not None:
            claimed = self.header(request, options.header.lower()).strip()
            return (claimed, "claimed") if claimed else None
        return found

    def session(self, request: Any) -> str | None:
        """
        Return the session key: the team's function, else the framework's session.
        """
        own = self.options.session
        found = self.session_key(request) if own is None else own(request)
        return None if found is None else str(found)

    def consent(self, request: Any) -> str | None:
        """
        Return what the team's function says.
        """
        own = self.options.consent
        said: str | None = None if own is None else own(request)
        return said

    def visitor(self, request: Any) -> str | None:
        """
        Return the id in our own cookie, or None.
        """
        found = re.search(
            rf"(?:^|;)\s*{self.options.cookie}=([A-Za-z0-9_-]{{22}})(?:;|\s|$)",
            self.header(request, "cookie"),
        )
        return None if found is None else found[1]

    def may_name(self) -> bool:
        """
        Say whether a visitor who has agreed gets a cookie of our own.
        """
        return self.options.cookie is not None and self.options.consent is not None

    def received(self, request: Any) -> Scope | None:
        """
        Return whom another service says that it serves, where that is to be believed.
        """
        believes = self.options.baggage
        header = "" if believes == "ignore" else self.header(request, "baggage")
        if "cx." not in header:
            return None
        scope: Scope = self.source.received({"baggage": header})
        return None if believes == "signed" and scope.assurance == "claimed" else scope

    # ---- what a session keeps ---------------------------------------------------------------

    def engine(self) -> Engine | None:
        """
        Return the engine of prompts, None where nobody is asked anything.
        """
        client = self._client or _default.client()
        if client is None or "prompts" not in client.settings.said:
            return None
        return client.asker.in_handler()

    def to_keep(self, visit: Visit) -> dict[str, str] | None:
        """
        Return what the session is to keep of *visit*, None where nothing ended in it.
        """
        open_one, guest = visit.interaction, visit.guest
        about: Any = guest.ended_here
        if not self.options.remember or (about is None and open_one is None):
            return None
        engine = self.engine()
        if engine is None:
            return None
        from cxsdk.integrations import trail

        if open_one is not None and open_one._capture is not None:
            about = _as_case(open_one, visit, engine.now())
        return trail.kept(engine, about, guest) if about is not None else None

    def before(self, request: Any, guest: Guest) -> Case | None:
        """
        Return what the session kept of an earlier request.
        """
        if not self.options.remember:
            return None
        held = self.held(request)
        engine = self.engine() if held else None
        if not held or engine is None:
            return None
        from cxsdk.integrations import trail

        return trail.read(engine, held, guest)

    # ---- for subclasses ---------------------------------------------------------------------

    def login(self, request: Any) -> Any:
        """
        Return the host's id of who is logged in, or None.
        """
        return None

    def session_key(self, request: Any) -> Any:
        """
        Return the key of the framework's session as the request brought it, or None: no session is
        begun for our sake.
        """
        return None

    def header(self, request: Any, name: str) -> str:
        """
        Return the header *name*, in lower case, of a request; empty where there is none.
        """
        raise NotImplementedError

    def held(self, request: Any) -> Mapping[str, Any] | None:
        """
        Return what the session has under `trail.KEY`.
        """
        return None


def _as_case(open_one: Any, visit: Visit, now: float) -> Any:
    """
    Return an interaction whose response is on its way as if it were over; None where it was none.
    """
    from cxsdk.instrument.outcome import IGNORED, judge
    from cxsdk.prompts.cases import Case

    fields, status, error = open_one._fields, visit.status, visit.error
    outcome = "failure" if status >= 500 else "unknown" if status >= 400 else "success"
    if error is not None:
        # What the host has made a page of, a declined card say, has failed all the same.
        ignore, classify = open_one._options or ((), None)
        judged = judge(error, open_one._fails, ignore, classify)
        if judged is IGNORED:
            return None
        outcome = judged[0]
    data = {"outcome": outcome if outcome == "failure" else fields.get("outcome", outcome)}
    if "goal_met" in fields:
        data["goal_met"] = fields["goal_met"]
    return Case(
        interaction_id=open_one.interaction_id,
        touchpoint=open_one._site.touchpoint,
        happened_at=now,
        data=data,
    )
