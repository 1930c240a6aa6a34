"""
The extension, as Flask's own are: made with an application, or before there is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import flask

from cxsdk import _default
from cxsdk.errors import ConfigurationError
from cxsdk.integrations.flask import prompts
from cxsdk.integrations.flask.command import group
from cxsdk.integrations.flask.front import FlaskFront
from cxsdk.integrations.flask.layer import Layer
from cxsdk.integrations.front import client_of
from cxsdk.integrations.options import read
from cxsdk.integrations.rule import as_interaction

if TYPE_CHECKING:
    from cxsdk.client import Client

__all__ = ["CX"]

B = TypeVar("B")
_named: list[tuple[dict[str, Any], str]] = []


class CX:
    """
    Customers, sessions, interactions and prompts of Flask applications.

    Installing touches no disk and starts no thread. Where *client* is not given, the default
    client is made of the settings, once for the same settings.

    Args:
        app: the application; without one, call `init_app`.

        client: whose events these are; by default the default client's.

        settings: names of `Options` and of ``cx.init``; they win over ``app.config["CXSDK"]``.

    Raises:
        ConfigurationError: a setting is wrong.
        IntegrationError: the application has begun to serve requests.
    """

    def __init__(
        self, app: flask.Flask | None = None, *, client: Client | None = None, **settings: Any
    ) -> None:
        self._client = client
        self._settings = settings
        self._fronts: list[FlaskFront] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """
        Install on *app*; on one that has it already, nothing happens.

        Raises:
            ConfigurationError: a setting is wrong.
            IntegrationError: the application has begun to serve requests.
        """
        if not isinstance(app, flask.Flask):
            kind = type(app).__name__
            raise ConfigurationError(f"CX: expected an application of Flask, got {kind}")
        before = app.extensions.get("cxsdk")
        if before is not None and not before.is_off:
            return
        options, init = read({**_settings_of(app), **self._settings})
        if options.spans and (self._client is not None or _is_settled(init)):
            # Whoever makes the client says its listeners; ours are marked by ourselves.
            init.pop("listeners", None)
        if self._client is None:
            _make_client(app, init)
        elif init:
            names = ", ".join(sorted(init))
            raise ConfigurationError(f"CX: {names}: these are settings of the client that is given")
        front = FlaskFront(app, options, self._client)
        prompts.mount(app, front)
        front.hook()
        front.layer = layer = Layer(front, app.wsgi_app)
        app.wsgi_app = layer  # type: ignore[method-assign]
        app.extensions["cxsdk"] = front
        self._fronts.append(front)
        if "cx" not in app.cli.commands:
            app.cli.add_command(group())

    def uninstall(self, app: flask.Flask | None = None) -> None:
        """
        Take it away from *app*, or from all applications; the client stays. Idempotent.
        """
        for front in [each for each in self._fronts if app in {None, each.app}]:
            self._fronts.remove(front)
            front.unhook()

    @staticmethod
    def capture(blueprint: B, **facts: Any) -> B:
        """
        Mark a blueprint: each request to its views is an interaction. A view's own mark, or
        ``cx.interaction``, goes first; ``as_interaction(skip=True)`` leaves a view out.

        Args:
            blueprint: or a class of views.

            facts: as for `Rule`.

        Returns:
            *blueprint*.

        Raises:
            ConfigurationError: a value is wrong.
        """
        if isinstance(blueprint, flask.Flask) or not (
            callable(blueprint) or isinstance(blueprint, flask.Blueprint)
        ):
            kind = type(blueprint).__name__
            raise ConfigurationError(
                f"CX.capture: expected a blueprint or a class of views, got {kind}; for a whole"
                " application there are rules, in the setting interactions"
            )
        as_interaction(**facts)(blueprint)  # type: ignore[type-var]  # no call, only a mark
        return blueprint


def _settings_of(app: flask.Flask) -> dict[str, Any]:
    said = app.config.get("CXSDK") or {}
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"CXSDK: expected a mapping, got {type(said).__name__}")
    # What comes of the environment, ``FLASK_CXSDK__DELIVERY__LINGER``, is in upper case.
    return {name: _lowered(value) for name, value in _lowered(said).items()}


def _lowered(value: Any) -> Any:
    """
    Return a mapping with its names in lower case, and what is none as it is.
    """
    if not isinstance(value, Mapping):
        return value
    return {str(name).lower(): each for name, each in value.items()}


def _is_settled(init: dict[str, Any]) -> bool:
    return _default.client() is not None and init.keys() == {"listeners"}


def _make_client(app: flask.Flask, init: dict[str, Any]) -> None:
    if not init and _default.client() is not None:
        return
    if "service" in init or os.environ.get("CXSDK_SERVICE"):
        client_of(init)
        return
    # Several applications of the same settings are one service, that of the first one.
    name = next((name for said, name in _named if said == init), None)
    if name is None or _default.client() is None:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", app.name).strip("-") or "flask"
        _named[:] = [(dict(init), name)]
    client_of({**init, "service": name})
