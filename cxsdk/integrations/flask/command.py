"""
``flask cx``: the ``cxsdk`` command with the settings of the application, and what only it can say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
import flask
from flask.cli import AppGroup, with_appcontext

from cxsdk import _default, cli
from cxsdk.config import SETTINGS
from cxsdk.integrations import stray

if TYPE_CHECKING:
    from cxsdk.client import Client
    from cxsdk.integrations.flask.front import FlaskFront

__all__ = ["group"]

_HANDED_ON = ("doctor", "prompts", "spool", "touchpoints", "context")
_AS_IT_IS = {"ignore_unknown_options": True, "help_option_names": []}


def group() -> AppGroup:
    """
    Return the command group.
    """
    made = AppGroup("cx", help="Customer-experience events of this application.")
    for name in _HANDED_ON:
        made.add_command(_handing_on(name))
    return made


def _handing_on(name: str) -> click.Command:
    @with_appcontext
    def run(words: tuple[str, ...]) -> None:
        app = flask.current_app
        front: FlaskFront = app.extensions["cxsdk"]
        client = front._client or _default.client()
        _say_in_environment(client)
        found = 0
        if name == "doctor" and not words:
            found = _facts(front)
        sys.exit(max(found, cli.main([name, *_completed(name, words, app, client)])))

    arguments = [click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)]
    words = cli.COMMANDS[name]
    return click.Command(
        name, context_settings=_AS_IT_IS, callback=run, params=[*arguments], help=words
    )


def _say_in_environment(client: Client | None) -> None:
    """
    Let the command see what the application's code says: it reads the environment.
    """
    if client is None:
        return
    settings = client.settings
    for row in SETTINGS:
        holder = getattr(settings, row.group) if row.group else settings
        text = _as_text(getattr(holder, row.name))
        if text is not None and settings.origins.get(row.path) == "argument":
            os.environ.setdefault(row.env, text)


def _as_text(value: Any) -> str | None:
    """
    Return *value* as its variable would say it, None where no text does.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, tuple):
        parts = [_as_text(part) for part in value]
        return None if None in parts else ",".join(part or "" for part in parts)
    plain = (str, int, float, Path, ZoneInfo)
    return str(value) if isinstance(value, plain) else None


def _completed(
    name: str, words: tuple[str, ...], app: flask.Flask, client: Client | None
) -> list[str]:
    """
    Return *words* with the path that the application knows, where it was left out.
    """
    said = list(words)
    is_path = len(said) > 1 and (said[1].startswith("-") or Path(said[1]).exists())
    if not said or said[0].startswith("-") or is_path:
        return said
    if name == "touchpoints":
        said.insert(1, app.root_path)
    if name == "prompts" and client is not None and client.settings.prompts.files is not None:
        said.insert(1, str(client.settings.prompts.files))
    return said


def _facts(front: FlaskFront) -> int:
    """
    Say what the integration does in this application; return 1 where routes are strays.
    """
    options = front.options
    click.echo("Flask:")
    for what, words in _wiring(front):
        click.echo(f"  {what:14}{words}")
    captured = list(_captured(front))
    click.echo(f"  {'interactions':14}{len(captured)} of the application's routes")
    for method, route, touchpoint in captured:
        click.echo(f"    {method:7}{route}  {touchpoint}")
    strays = stray.look(front.routes())
    for route in strays:
        click.echo(f"  {'stray':14}{route} was registered before its function was decorated")
        click.echo(f"{'':16}→ let cx.interaction stand below the decorators of Flask")
    click.echo(f"  {'excluded':14}{', '.join(options.exclude) or 'probes and static files'}")
    click.echo()
    return 1 if strays else 0


def _wiring(front: FlaskFront) -> Iterator[tuple[str, str]]:
    options, app = front.options, front.app
    if options.customer is not None:
        own: Any = options.customer
        who = f"{own.__module__}.{getattr(own, '__qualname__', own)}"
    elif getattr(app, "login_manager", None) is not None:
        who = "Flask-Login"
    else:
        who = "user_id in the session"
    kind = type(app.session_interface).__name__
    yield "customer", who
    yield "session", kind if app.secret_key or kind != "SecureCookieSessionInterface" else "none"
    yield "consent", "not known" if options.consent is None else "the team's function"
    yield "prompts", f"at {options.mount}" if "cxsdk" in app.blueprints else "not mounted"


def _captured(front: FlaskFront) -> Iterator[tuple[str, str, str]]:
    for rule in front.app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            view, names = front.speakers.of(rule.endpoint, method)
            found = None if view is None else front.rules.find(method, rule.rule, view, names)
            if found is not None:
                yield method, rule.rule, found[1][0]
