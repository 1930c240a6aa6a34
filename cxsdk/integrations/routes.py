"""
Routes: which of them a path leads to, known before the framework itself looks.

A handler asks ``cx.current()`` for its interaction, so the route must be known when it is called;
frameworks on ASGI find it in their innermost layer. Nothing here changes what they find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Hosted", "Leaf", "Node", "Table", "leaf_of", "leaves", "within"]

_NAMED = re.compile(r"\(\?P<\w+>")
_PARAMETER = re.compile(r"[{<]([^{}<>]*)[}>]|(\*)")
_KINDS = {"int": "-?[0-9]+", "float": r"-?[0-9.]+", "path": ".*", "uuid": "[0-9a-fA-F-]+"}
_KNOWN = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET")
"""Other methods are made up by clients; no table is made for each."""


class Leaf(NamedTuple):
    """
    A route that ends at a handler.
    """

    pattern: str
    """Of the path, without groups that have a name."""

    methods: frozenset[str] | None
    """None: all of them."""

    template: str
    view: Any
    names: tuple[str, ...] = ()


class Hosted(NamedTuple):
    """
    Routes of one host only.
    """

    host: re.Pattern[str]
    nodes: list[Node]


Node: TypeAlias = Leaf | Hosted
_Wants: TypeAlias = Callable[[str, Leaf], bool]


class _Run:
    """
    Neighbouring leaves as one regular expression, in their order.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self._places: dict[int, Leaf] = {}
        place, parts = 1, []
        for leaf in leaves:
            self._places[place] = leaf
            parts.append(f"({leaf.pattern})")
            place += 1 + re.compile(leaf.pattern).groups
        self._pattern = re.compile("|".join(parts))

    def find(self, path: str, _: str) -> Leaf | None:
        found = self._pattern.match(path)
        # The group around an alternative is the last one to be closed.
        return None if found is None else self._places[found.lastindex or 0]


class _Elsewhere:
    """
    Routes of one host: what it does not know, the framework looks for nowhere else.
    """

    def __init__(self, hosted: Hosted, method: str, wants: _Wants) -> None:
        self._host = hosted.host
        self._inner = _steps(hosted.nodes, method, wants)

    def find(self, path: str, host: str) -> Leaf | None:
        if not self._host.match(host):
            return None
        for step in self._inner:
            found: Leaf | None = step.find(path, host)
            if found is not None:
                return found
        return _NOWHERE


_NOWHERE = Leaf("", None, "", None)


def _steps(nodes: Sequence[Node], method: str, wants: _Wants) -> list[Any]:
    """
    Return how to look for the routes of *method*; nothing where none of them is wanted.
    """
    run: list[Leaf] = []
    steps: list[Any] = []
    last = 0
    for node in nodes:
        if isinstance(node, Leaf):
            if node.methods is None or method in node.methods:
                run.append(node)
                # Those behind the last one that is wanted need not be told apart.
                last = len(run) if wants(method, node) else last
            continue
        if run:
            steps.append((run, last))
            run, last = [], 0
        elsewhere = _Elsewhere(node, method, wants)
        steps.append((elsewhere, bool(elsewhere._inner)))
    steps.append((run, last))
    while steps and not steps[-1][1]:
        steps.pop()
    if steps and isinstance(steps[-1][0], list):
        steps[-1] = (steps[-1][0][: steps[-1][1]], 1)
    return [_Run(each) if isinstance(each, list) else each for each, _ in steps]


class Table:
    """
    The routes of an application, looked at in the order of the framework: the first one that fits
    path and method is it. Thread-safe: a race makes the steps of a method twice.

    Args:
        nodes: in their order.

        wants: says whether a method of a leaf is of interest; where none is, nothing is looked for.
    """

    def __init__(self, nodes: Sequence[Node], wants: _Wants) -> None:
        self._nodes = nodes
        self._wants = wants
        self._steps: dict[str, list[Any]] = {}
        self.has_hosts = any(isinstance(node, Hosted) for node in nodes)
        """Whether the host of a request is of interest."""

    def find(self, method: str, path: str, host: str = "") -> Leaf | None:
        """
        Return the route of a request; None: it has none, or none of interest.
        """
        steps = self._steps.get(method)
        if steps is None:
            if method not in _KNOWN:
                return None
            steps = self._steps[method] = _steps(self._nodes, method, self._wants)
        for step in steps:
            found: Leaf | None = step.find(path, host)
            if found is not None:
                return None if found is _NOWHERE else found
        return None


# ---- of templates -------------------------------------------------------------------------------


def leaf_of(said: str, view: Any = None) -> Leaf:
    """
    Return the leaf of a template such as ``/orders/{id}``, ``/files/{name:path}`` or ``/a/*``, with
    or without a method before it.
    """
    method, _, template = said.rpartition(" ")
    methods = frozenset([method.upper()]) if method else None
    parts, end = [], 0
    for found in _PARAMETER.finditer(template):
        parts.append(re.escape(template[end : found.start()]))
        end = found.end()
        words = (found[1] or "").split(":")
        kind = next((_KINDS[word] for word in words if word in _KINDS and len(words) > 1), "[^/]+")
        parts.append(".*" if found[2] else f"(?:{kind})")
    pattern = "".join(parts) + re.escape(template[end:])
    name = f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', '')}"
    return Leaf(f"{pattern}\\Z", methods, template, view, () if view is None else (name,))


# ---- of Starlette, and of what is built on it ---------------------------------------------------


def leaves(
    routes: Iterable[Any], watched: list[Any], view: Callable[[Any], Any], prefix: str = ""
) -> Iterator[Node]:
    """
    Yield the routes of Starlette as nodes, those of mounted applications and routers among them.

    Args:
        watched: gets the lists that routes are added to.

        view: gives the handler of a route.

        prefix: of the template; patterns are put together by `within`.
    """
    watched.append(routes)
    for route in _included(routes, watched):
        if hasattr(route, "host_regex"):
            inner = list(leaves(route.routes, watched, view, prefix))
            yield Hosted(route.host_regex, inner)
        elif getattr(route, "path_regex", None) is None:
            continue  # a kind of route that nobody but its author knows
        elif getattr(route, "endpoint", None) is None:
            yield from _mounted(route, watched, view, prefix)
        else:
            yield _leaf(route, view, prefix)


def _included(routes: Iterable[Any], watched: list[Any]) -> Iterator[Any]:
    """
    Yield *routes*, and in place of a router that FastAPI looks into later what is in it.
    """
    for route in routes:
        if not hasattr(route, "effective_route_contexts"):
            yield route
            continue
        _watch(route, watched)
        for each in route.effective_route_contexts():
            yield getattr(each, "starlette_route", None) or each


def _watch(included: Any, watched: list[Any]) -> None:
    own = getattr(included.original_router, "routes", [])
    watched.append(own)
    for each in own:
        if hasattr(each, "effective_route_contexts"):
            _watch(each, watched)


def _leaf(route: Any, view: Callable[[Any], Any], prefix: str) -> Leaf:
    # A route of websockets has no methods, and neither has a class that has them itself.
    kind = type(getattr(route, "original_route", route))
    is_talk = any(each.__name__ == "WebSocketRoute" for each in kind.__mro__)
    methods = getattr(route, "methods", None)
    some = frozenset(["WEBSOCKET"]) if is_talk else frozenset(methods or _KNOWN[:-1])
    endpoint = route.endpoint
    name = f"{getattr(endpoint, '__module__', '')}.{getattr(endpoint, '__qualname__', '')}"
    names = (name, getattr(route, "name", None) or name)
    template = prefix + (getattr(route, "path_format", None) or route.path)
    return Leaf(_plain(route.path_regex.pattern), some, template, view(route), names)


def _mounted(
    mount: Any, watched: list[Any], view: Callable[[Any], Any], prefix: str
) -> Iterator[Node]:
    head = _plain(mount.path_regex.pattern).removesuffix("$").removesuffix("/(?:.*)")
    template = prefix + mount.path
    inner = getattr(mount, "routes", None) or []
    if inner:
        yield from (within(head, node) for node in leaves(inner, watched, view, template))
    # What it does not know, the framework looks for nowhere else.
    name = getattr(mount, "name", None)
    whole = None if inner else view(mount)
    yield Leaf(f"{head}/.*", None, f"{template}/{{path}}", whole, (name,) if name else ())


def within(head: str, node: Node) -> Node:
    """
    Return *node* below the path that *head* is the pattern of.
    """
    if isinstance(node, Leaf):
        return node._replace(pattern=head + node.pattern)
    return Hosted(node.host, [within(head, each) for each in node.nodes])


def _plain(pattern: str) -> str:
    return _NAMED.sub("(?:", pattern).removeprefix("^")
