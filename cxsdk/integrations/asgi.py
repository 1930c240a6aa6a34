"""
ASGI: one layer around any application, itself an application.

::

    from cxsdk.integrations.asgi import CX

    app = CX(app, service="shop", interactions=[{"route": "/orders/{id}"}])

Nothing is buffered, no task is started, and requests that nothing is to be said of pass as they
are. Frameworks on Starlette have modules of their own, which know routes and handlers.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from cxsdk import _default
from cxsdk.client import Client
from cxsdk.errors import ConfigurationError, InvalidEventError
from cxsdk.integrations.exchange import (
    Exchange,
    Message,
    Receive,
    Send,
    Talk,
    is_control,
)
from cxsdk.integrations.front import Front, client_of
from cxsdk.integrations.keeper import FRONT, VISIT, Keeper, say_unwritten
from cxsdk.integrations.life import live
from cxsdk.integrations.options import Options, read
from cxsdk.integrations.routes import Leaf, Table, leaf_of
from cxsdk.integrations.session import begin, in_use, key_in, login_in, remember
from cxsdk.integrations.trail import KEY, READS
from cxsdk.integrations.visit import Visit, current_visit, harmless

__all__ = ["CX", "AsgiFront", "Keeper", "Layer", "Seat", "bound", "path_of", "raised"]

App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_JOINTS = {"cookie": b"; ", "baggage": b","}


def path_of(scope: Mapping[str, Any]) -> str:
    """
    Return the path of a request below where the application is mounted.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if not root or not path.startswith(root):
        return path
    rest = path[len(root) :]
    return rest if rest.startswith("/") or not rest else path


def _templates(said: Any) -> list[str]:
    found = [said] if isinstance(said, str) or not isinstance(said, Iterable) else [*said]
    for each in found:
        if not isinstance(each, str) or not each.rpartition(" ")[2].startswith(("/", "*")):
            words = "expected templates such as /orders/{id} or POST /orders"
            raise ConfigurationError(f"routes: {words}, got {each!r:.60}")
    return found


class AsgiFront(Front):
    """
    The integration of one application; requests are scopes of ASGI.

    Args:
        options: see `Options`.

        client: whose events these are; None: the default client.

        routes: templates of paths, or templates → handlers; see `CX`.

    Raises:
        ConfigurationError: a function of *options* is a coroutine function, *client* is no client, or
            *routes* are none.
    """

    def __init__(
        self, options: Options, client: Client | None = None, routes: Iterable[str] = ()
    ) -> None:
        if client is not None and not isinstance(client, Client):
            raise ConfigurationError(f"client: expected a cxsdk.Client, got {client!r:.60}")
        super().__init__(options, client)
        self._table = Table([*self._leaves(routes)], self.wants)

    def _leaves(self, routes: Iterable[str]) -> Iterable[Leaf]:
        rules = self.options.interactions
        templates = [rule.route for rule in rules if "*" not in rule.route]
        # Without a touchpoint or a template nothing would bound what they are called.
        globs = [rule.route for rule in rules if "*" in rule.route and rule.touchpoint]
        views = routes if isinstance(routes, Mapping) else {}
        said = dict.fromkeys([*_templates(routes), *templates, *globs])
        return [leaf_of(each, views.get(each)) for each in said]

    def wants(self, method: str, leaf: Leaf) -> bool:
        """
        Say whether requests to a route are interactions.
        """
        return self.rules.find(method, leaf.template, leaf.view, leaf.names) is not None

    def table(self) -> Table:
        """
        Return the routes as they are now.
        """
        return self._table

    @harmless
    def begin(self, visit: Visit, scope: Message, method: str, path: str) -> None:
        """
        Begin the interaction of a request, where it is one.
        """
        table = self.table()
        leaf = table.find(method, path, self._host(scope) if table.has_hosts else "")
        if leaf is not None:
            visit.began(method, leaf.template, leaf.view, leaf.names)

    def _host(self, scope: Message) -> str:
        return ""

    def is_watching(self) -> bool:
        """
        Say whether a response is of interest also where it is of no interaction: for a cookie, because
        what a handler records itself is to be remembered, or a form is in it.
        """
        return self.may_name() or self.has_prompts()

    def has_prompts(self) -> bool:
        """
        Say whether anybody is asked anything.
        """
        client = self._client or _default.client()
        return client is not None and "prompts" in client.settings.said

    # ---- what a request tells ---------------------------------------------------------------

    def header(self, request: Any, name: str) -> str:
        """
        Return a header of a scope, whose names are in lower case; the first one, or all of those
        that HTTP/2 or a proxy may send in parts.
        """
        wanted = name.encode("latin-1")
        found = [value for each, value in request["headers"] if each == wanted]
        joint = _JOINTS.get(name)
        said: bytes = b"".join(found[:1]) if joint is None else joint.join(found)
        return said.decode("latin-1")

    def login(self, request: Any) -> Any:
        """
        Return who an authentication layer has put into ``scope["user"]``, or where there is none,
        ``scope["session"]["user_id"]``.
        """
        user = request.get("user")
        if user is None:
            return login_in(request.get("session"))
        if getattr(user, "is_authenticated", True) is not True:
            return None
        if isinstance(user, (str, int)):
            return user
        for name in ("identity", "id", "username"):
            try:
                found = getattr(user, name, None)
            except NotImplementedError:  # Starlette's BaseUser
                continue
            if found is not None:
                return found
        return None

    def session_key(self, request: Any) -> Any:
        """
        Return the id that a session has of us: sessions in cookies have no key. It gets one where
        it is in use already, while the response has not begun.
        """
        session = request.get("session")
        if not in_use(session):
            return None
        visit = current_visit.get()
        if visit is None or visit.status:
            return key_in(session)
        # Who agreed before there was a session is the same visitor.
        return key_in(session) or begin(session, self.visitor(request) if self.may_name() else None)

    def held(self, request: Any) -> Mapping[str, Any] | None:
        """
        Return what ``scope["session"]`` has of us.
        """
        session = request.get("session")
        found = session.get(KEY) if isinstance(session, Mapping) else None
        return found if isinstance(found, Mapping) else None

    @harmless
    def keep(self, visit: Visit, scope: Message, status: int) -> None:
        """
        Take note of the status, and keep the last interaction in a session that is in use.
        """
        if visit.error is not None and status < 500 and is_control(visit):
            visit.error = None
        if visit.interaction is not None:
            visit.guest.who  # noqa: B018 - found out while a session or a cookie can be written
        kept = visit.answered(status)
        session = scope.get("session")
        if scope.get("method") in READS and not getattr(session, "modified", True):
            kept = None
        try:
            remember(session, kept, self.whose(visit))
        except Exception as error:  # noqa: BLE001 - the host's session may be broken
            say_unwritten(error)

    def whose(self, visit: Visit) -> str | None:
        """
        Return what stands for the customer in a session, None where nobody is known for sure.
        """
        guest, capture = visit.guest, self.source.capture()
        who = guest._who
        if who is None or who[0] is None or guest._claim == "claimed" or capture is None:
            return None
        try:
            # A keyed hash: the session may lie in a cookie that its owner can read.
            whose: str = capture.known((who[0], None, None, None)).tag.hex()
        except InvalidEventError:
            return None  # refused by name where an event needs it
        return whose


class Seat:
    """
    Where a front sits: a framework's layers are made once, and its front may be another later.
    """

    __slots__ = ("endpoint", "front")

    def __init__(self, front: AsgiFront) -> None:
        self.take(front)

    def take(self, front: AsgiFront) -> None:
        """
        Let *front* sit here from now on.
        """
        self.front = front
        mount = front.options.mount
        self.endpoint: tuple[str, App] | None = None
        if mount is not None:
            from cxsdk.prompts.faces.web import asgi_app

            options = front.options
            app = asgi_app(front.engine, origins=options.origins, returns=options.returns)
            self.endpoint = (mount.rstrip("/") + "/", app)


class Layer:
    """
    The layer around an application. Safe for any number of requests at a time.

    Args:
        app: what is around.

        seat: whose front it asks.
    """

    def __init__(self, app: App, seat: Seat) -> None:
        self.app = app
        self.seat = seat

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """
        Serve one request, one conversation, or the life of the application.
        """
        front = self.seat.front
        kind = scope["type"]
        if kind == "lifespan" and not front.is_off:
            await live(self.app, scope, receive, send, front._client)
            return
        if kind not in {"http", "websocket"} or self._is_seen(front, scope):
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        endpoint = self.seat.endpoint
        if endpoint is not None and path.startswith(endpoint[0]) and self._answers(kind):
            await _respond(endpoint, scope, receive, send)
            return
        visit = front.visit(scope, path)
        if visit is None:
            await self.app(scope, receive, send)
            return
        scope[FRONT] = front
        with visit:
            front.begin(visit, scope, scope["method"] if kind == "http" else "WEBSOCKET", path)
            if visit.interaction is None and not front.is_watching():
                scope[VISIT] = None
                await self.app(scope, receive, send)
                return
            scope[VISIT] = visit
            watched = (Exchange if kind == "http" else Talk)(front, visit, scope, receive, send)
            try:
                await self.app(scope, watched.receive, watched.send)
            except BaseException as error:
                watched.close(error)
                raise
            watched.close()

    def _is_seen(self, front: AsgiFront, scope: Message) -> bool:
        """
        Say whether a request is visited already: by us, or by an application around, as an
        interaction of it. What is none there may be one of an application that is mounted in it.
        """
        if FRONT not in scope:
            return False
        visit = scope.get(VISIT)
        return scope[FRONT] is front or (visit is not None and visit.interaction is not None)

    def _answers(self, kind: str) -> bool:
        front = self.seat.front
        return kind == "http" and not front.is_off and front.has_prompts()


async def _respond(endpoint: tuple[str, App], scope: Message, receive: Receive, send: Send) -> None:
    """
    Let the endpoint of prompts answer, as if it were mounted.
    """
    head, app = endpoint
    root = f"{scope.get('root_path') or ''}{head[:-1]}"
    path = root + path_of(scope)[len(head) - 1 :]
    await app({**scope, "root_path": root, "path": path}, receive, send)


class CX(Layer):
    """
    cxsdk around an ASGI application, and an ASGI application itself.

    The lifespan is passed on, also to an application that has none, and what was accepted is
    delivered at its end. A layer around a layer is one.

    Args:
        app: an ASGI 3 application.

        client: whose events these are; None: the default client.

        routes: templates of the application's paths, such as ``/orders/{id}`` or ``POST /orders``,
            where rules have a ``*``: the touchpoint is made of the template, never of the path. A
            mapping of templates to handlers, so that the marks of these are heeded, too.

        settings: those of `Options` and the arguments of ``cx.init``. Functions get the scope.

    Raises:
        ConfigurationError: *app* cannot be called, or a setting is not known or wrong.
    """

    def __init__(
        self,
        app: App,
        *,
        client: Client | None = None,
        routes: Iterable[str] = (),
        **settings: Any,
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"CX: expected an ASGI application, got {app!r:.60}")
        options, init = read(settings, channel="unknown", medium="unknown")
        if client is not None and init:
            raise ConfigurationError(f"client: expected none, or no {', '.join(sorted(init))}")
        front = AsgiFront(options, client, routes)
        if client is None:
            client_of(init)
        super().__init__(app, Seat(front))

    def uninstall(self) -> None:
        """
        Let all pass from now on.
        """
        self.seat.front.is_off = True


def raised(error: BaseException) -> None:
    """
    Say what the handler of the running request raised, where the framework makes a response of it
    before we see it: from its hook for exceptions.

    It is the outcome, as if it had come out; of the framework's own exceptions the status is.
    """
    visit = current_visit.get()
    if visit is not None:
        visit.failed(error)


def bound(options: Options, request_of: Callable[[Any], Any]) -> Options:
    """
    Return *options* whose functions get what *request_of* makes of a scope.
    """

    def given(function: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        if function is None or inspect.iscoroutinefunction(function):
            return function
        return lambda scope: function(request_of(scope))

    return attrs.evolve(
        options,
        customer=given(options.customer),
        session=given(options.session),
        consent=given(options.consent),
    )
