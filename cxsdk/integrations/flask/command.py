"""
``flask cx``: the ``cxsdk`` command with the settings of the application, and what only it can say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import flask
from flask.cli import AppGroup, with_appcontext

from cxsdk import _default, cli
from cxsdk.integrations import stray
from cxsdk.integrations.handover import completed, tell
from cxsdk.integrations.rule import is_marked

if TYPE_CHECKING:
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
        made = None if client is None else client.settings
        if made is not None:
            tell(made)
        found = 0
        if name == "doctor" and not words:
            found = _facts(front)
        sys.exit(max(found, cli.main(completed([name, *words], made, app.root_path))))

    arguments = [click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)]
    words = cli.COMMANDS[name]
    return click.Command(
        name, context_settings=_AS_IT_IS, callback=run, params=[*arguments], help=words
    )


def _facts(front: FlaskFront) -> int:
    """
    Say what the integration does in this application; return 1 where a mark is without effect.
    """
    options = front.options
    click.echo("Flask:")
    for what, words in _wiring(front):
        click.echo(f"  {what:14}{words}")
    captured = list(_captured(front))
    click.echo(f"  {'interactions':14}{len(captured)} of the application's routes")
    for method, route, touchpoint in captured:
        click.echo(f"    {method:7}{route}  {touchpoint}")
    hidden = sorted(_hidden(front))
    for route, touchpoint in hidden:
        click.echo(
            f"  {'left out':14}{route} is an excluded path, so {touchpoint} is no interaction"
        )
        click.echo(f"{'':16}→ let it have another path")
    strays = stray.look(front.routes())
    for route in strays:
        click.echo(f"  {'stray':14}{route} was registered before its function was decorated")
        click.echo(f"{'':16}→ let cx.interaction stand below the decorators of Flask")
    click.echo(f"  {'excluded':14}{', '.join(options.exclude) or 'probes and static files'}")
    click.echo()
    return 1 if strays or hidden else 0


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
    return (found[:3] for found in _ruled(front) if not front.is_excluded(found[1]))


def _hidden(front: FlaskFront) -> set[tuple[str, str]]:
    """
    Return routes that are marked, but left out by their path.
    """
    found = [each for each in _ruled(front) if front.is_excluded(each[1])]
    return {(route, name) for _, route, name, view in found if is_marked(view)}


def _ruled(front: FlaskFront) -> Iterator[tuple[str, str, str, Any]]:
    for rule in front.app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            view, names = front.speakers.of(rule.endpoint, method)
            found = None if view is None else front.rules.find(method, rule.rule, view, names)
            if found is not None:
                yield method, rule.rule, found[1][0], view
