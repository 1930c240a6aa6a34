"""
Starlette: one line gives an application customers, interactions and prompts.

::

    from cxsdk.integrations.starlette import CX

    app = Starlette(routes=routes)
    CX(app, service="shop", collector="http://127.0.0.1:4180")

Handlers and routes stay as they are. Marks (`as_interaction`) and rules are found by looking at the
routes before the framework does, so that ``cx.current()`` is the interaction in the handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from cxsdk import prompts
from cxsdk.client import Client
from cxsdk.errors import ConfigurationError, IntegrationError
from cxsdk.integrations import stray
from cxsdk.integrations.asgi import App, AsgiFront, Keeper, Layer, Seat, bound, raised
from cxsdk.integrations.exchange import Message
from cxsdk.integrations.floors import need
from cxsdk.integrations.front import client_of
from cxsdk.integrations.options import Options, read
from cxsdk.integrations.routes import Leaf, Node, Table, leaves
from cxsdk.integrations.rule import _MARK, METHODS, Rule
from cxsdk.integrations.visit import current_visit, private
from cxsdk.prompts.faces.tag import Tag

need("starlette")

from starlette.applications import Starlette  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.exceptions import ExceptionMiddleware  # noqa: E402
from starlette.requests import HTTPConnection  # noqa: E402

__all__ = ["CX", "StarletteFront"]

_SEAT = "_cx_seat"


class _Internal:
    """
    Stands for what a framework serves by itself: files, and the pages that document an API.
    """

    def __init__(self) -> None:
        setattr(self, _MARK, Rule(skip=True, methods=(*METHODS, "HEAD", "OPTIONS")))


_INTERNAL = _Internal()


def _is_internal(handler: Any) -> bool:
    if inspect.isroutine(handler):
        return (getattr(handler, "__module__", None) or "").startswith(("fastapi.", "starlette."))
    return any(each.__module__ == "starlette.staticfiles" for each in type(handler).__mro__)


class StarletteFront(AsgiFront):
    """
    The integration of one application of Starlette.

    Args:
        options: see `Options`; functions get an ``HTTPConnection``.

        client: whose events these are; None: the default client.

        app: whose routes are looked at, when the first request comes and when they have changed.
    """

    def __init__(self, options: Options, client: Client | None, app: Starlette) -> None:
        super().__init__(bound(options, HTTPConnection), client)
        self._app = app
        self._watched: list[tuple[Any, int, Any]] = []
        self._found: Table | None = None

    def table(self) -> Table:
        """
        Return the routes as they are now.
        """
        found = self._found
        if found is None or not all(_is_same(*each) for each in self._watched):
            found = self._looked()
        return found

    def _looked(self) -> Table:
        lists: list[Any] = []
        nodes = list(leaves(self._app.routes, lists, self.view))
        table = Table(nodes, self.wants)
        stray.look(
            (leaf.template, leaf.view) for leaf in _flat(nodes) if inspect.isroutine(leaf.view)
        )
        self._watched = [(each, len(each), each[-1] if each else None) for each in lists]
        self._found = table
        return table

    def view(self, route: Any) -> Any:
        """
        Return the handler of *route*, or the application mounted there, whose marks are heeded.
        """
        found = getattr(route, "endpoint", None) or getattr(route, "app", None)
        return _INTERNAL if _is_internal(found) else found

    def _host(self, scope: Message) -> str:
        return self.header(scope, "host").rpartition("@")[2].split(":")[0].lower()


def _is_same(routes: Any, length: int, last: Any) -> bool:
    return len(routes) == length and (not length or routes[-1] is last)


def _flat(nodes: list[Node]) -> list[Leaf]:
    found: list[Leaf] = []
    for node in nodes:
        found += [node] if isinstance(node, Leaf) else _flat(node.nodes)
    return found


class Inner(Keeper):
    """
    The innermost layer: it also sees what the application's own handlers make responses of.
    """

    def __init__(self, app: App) -> None:
        super().__init__(app)
        if isinstance(app, ExceptionMiddleware):
            for handlers in (app._exception_handlers, app._status_handlers):
                for key, handler in handlers.items():
                    handlers[key] = _noting(handler)


def _noting(handler: Any) -> Any:
    """
    Return *handler* of exceptions, which first says what it is given.
    """
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - whether calling it gives a coroutine
    ):

        @wraps(handler)
        async def anoting(request: Any, error: Exception) -> Any:
            raised(error)
            return await handler(request, error)

        return anoting

    @wraps(handler)
    def noting(request: Any, error: Exception) -> Any:
        raised(error)
        return handler(request, error)

    return noting


class _Tag(Tag):
    """
    ``cx_prompt`` below where the application is mounted.
    """

    def _render(self, what: object, how: dict[str, Any]) -> str:
        visit = current_visit.get()
        root = "" if visit is None else visit.request.get("root_path") or ""
        tag = Tag(self._engine, base=root + self._base)
        shown = tag._render(what, how)
        if shown:
            private()
        return shown


class CX:
    """
    cxsdk in an application of Starlette: one layer around it, one inside of its sessions.

    Install it before the application serves, where in the order of other layers does not matter.
    Installed twice it is there once. What was accepted is delivered when the application's lifespan
    ends. Where there are prompts, their endpoint is at ``options.mount``.

    Args:
        app: the application.

        client: whose events these are; None: the default client, made of *settings* where they
            name a service.

        templates: ``Jinja2Templates``, which get ``cx_prompt``.

        settings: those of `Options` and the arguments of ``cx.init``.

    Raises:
        ConfigurationError: *app* is no application of the framework, or a setting is wrong.
        IntegrationError: the application has served requests already.
    """

    kind: ClassVar[type[Any]] = Starlette
    front: ClassVar[Callable[..., StarletteFront]] = StarletteFront
    where: ClassVar[dict[str, str]] = {"channel": "web", "medium": "web_page"}

    def __init__(
        self, app: Any, *, client: Client | None = None, templates: Any = None, **settings: Any
    ) -> None:
        if not isinstance(app, self.kind):
            raise ConfigurationError(
                f"CX: expected an application of {self.kind.__name__}, got {type(app).__name__};"
                " cxsdk.integrations.asgi.CX goes around any other one"
            )
        if templates is not None and not hasattr(templates, "env"):
            kind = type(templates).__name__
            raise ConfigurationError(f"templates: expected Jinja2Templates, got {kind}")
        options, init = read(settings, **self.where)
        if client is not None and init:
            raise ConfigurationError(f"client: expected none, or no {', '.join(sorted(init))}")
        front = type(self).front(options, client, app)
        self.app = app
        self._seat = self._sit(front)
        if client is None and self._seat.front is front:
            client_of(init)
        if templates is not None:
            self.templates(templates)

    def _sit(self, front: StarletteFront) -> Seat:
        seat: Seat | None = getattr(self.app, _SEAT, None)
        if seat is not None:
            if seat.front.is_off:
                seat.take(front)
            return seat
        if self.app.middleware_stack is not None:
            raise IntegrationError("CX(app): the application has begun to serve; install it before")
        seat = Seat(front)
        self.app.add_middleware(Layer, seat=seat)
        self.app.user_middleware.append(Middleware(Inner))
        setattr(self.app, _SEAT, seat)
        return seat

    def templates(self, templates: Any) -> None:
        """
        Give *templates*, ``Jinja2Templates``, the function ``cx_prompt``.
        """
        base = (self._seat.front.options.mount or "/cx").rstrip("/")
        front = self._seat.front
        source = prompts.default_engine if front._client is None else front.engine
        templates.env.globals["cx_prompt"] = _Tag(source, base=base)

    def uninstall(self) -> None:
        """
        Let all requests pass from now on; installing again is possible.
        """
        self._seat.front.is_off = True
