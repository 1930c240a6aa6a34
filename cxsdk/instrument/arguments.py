"""
Where a decorator finds the customer: ``cx.arg("user_id")``, checked against the signature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from cxsdk.errors import ConfigurationError

__all__ = ["Arg", "arg", "finder"]


class Arg:
    """
    A path into the arguments of a decorated function, such as ``request.user.pk``.
    """

    __slots__ = ("name", "path", "steps")

    def __init__(self, path: str) -> None:
        parts = path.split(".") if isinstance(path, str) else []
        if not parts or not all(part.isidentifier() for part in parts):
            raise ConfigurationError(
                f"cx.arg: expected a parameter name or a dotted path, got {path!r}"
            )
        self.path = path
        self.name, *rest = parts
        self.steps = tuple(rest)

    def __repr__(self) -> str:
        return f"cx.arg({self.path!r})"


def arg(path: str) -> Arg:
    """
    Name a parameter of the decorated function, or a path into it.

    Each step after the first is an attribute, or a key where the value is a mapping. A step
    that is missing at call time means that there is no customer.

    Args:
        path: such as ``user_id`` or ``request.user.pk``.

    Raises:
        ConfigurationError: *path* is no dotted path.
    """
    return Arg(path)


_GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

Finder = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def finder(wanted: Any, function: Callable[..., Any], field: str) -> Finder | None:
    """
    Return what finds *wanted* in the arguments of a call; checked now, at import.

    Args:
        wanted: None, an `Arg`, or a callable that gets the call's arguments.

        function: the decorated function.

        field: what is looked for, for the error.

    Raises:
        ConfigurationError: a plain string was given, or the signature has no such parameter.
    """
    if wanted is None:
        return None
    if isinstance(wanted, Arg):
        return _by_path(wanted, function, field)
    if callable(wanted):
        return lambda args, kwargs: wanted(*args, **kwargs)
    raise ConfigurationError(
        f"{field}={wanted!r} on a decorator could be a literal or the name of a parameter. Say"
        f" {field}=cx.arg('{wanted}') for the parameter; a literal id belongs into"
        f" cx.scope({field}=…)."
    )


def _by_path(wanted: Arg, function: Callable[..., Any], field: str) -> Finder:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        parameters = {}  # type: ignore[assignment]
    name, steps = wanted.name, wanted.steps
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if name not in parameters and not takes_any:
        listed = ", ".join(parameters) or "none"
        raise ConfigurationError(
            f"{field}={wanted!r}: {getattr(function, '__qualname__', function)} has no parameter"
            f" {name!r}; it has: {listed}"
        )
    if name in parameters and parameters[name].kind in _GATHERING:
        raise ConfigurationError(
            f"{field}={wanted!r}: {name!r} gathers other arguments; name one of these, such as"
            " cx.arg('user_id')"
        )
    positional = [
        p.name
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    place = positional.index(name) if name in positional else -1
    default = getattr(parameters.get(name), "default", None)
    if default is inspect.Parameter.empty:
        default = None

    def find(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in kwargs:
            value = kwargs[name]
        elif 0 <= place < len(args):
            value = args[place]
        else:
            value = default
        for step in steps:
            if value is None:
                return None
            is_mapping = isinstance(value, Mapping)
            value = value.get(step) if is_mapping else getattr(value, step, None)
        return value

    return find
