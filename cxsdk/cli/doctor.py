"""
Say what is set and from where, what this machine offers, and what would keep events from
arriving. Reads the environment of this shell: run it where the service runs, with its variables.

Each finding is ok, a note, or a problem; notes and problems come with what to do. Exit code 1
when there is a problem.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator

import attrs

from cxsdk.cli import _asking, _checks, _room, _screen
from cxsdk.cli._checks import Finding
from cxsdk.cli._values import above_zero
from cxsdk.config import SETTINGS, SWITCHES, Setting, Settings, resolve
from cxsdk.errors import ConfigurationError

__all__ = ["configure", "run"]

_SECRET = frozenset({"api_key", "privacy.key", "prompts.keys"})
_NO_NAME = "unnamed"

Check = Callable[[Settings], Iterator[Finding]]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--timeout",
        type=above_zero,
        default=5.0,
        metavar="S",
        help="for the collector (%(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """
    Examine; return 1 when there is a problem, else 0.
    """
    settings, warnings = _settings()
    findings = [*_checks.variables(warnings, dict(os.environ))]
    checks: tuple[Check, ...] = (
        _checks.setup,
        _checks.versions,
        _checks.spool_place,
        _room.room,
        _checks.leftovers,
        _checks.deliveries,
        _asking.prompts,
        _checks.switches,
        lambda settings: _checks.collector(settings, options.timeout),
    )
    for check in checks:
        findings.extend(check(settings))
    if options.json:
        _show_json(settings, findings)
    else:
        _show(settings, findings)
    return 1 if any(each.level == "problem" for each in findings) else 0


def _settings() -> tuple[Settings, list[str]]:
    environ = dict(os.environ)
    fatal = []
    for row in (*SETTINGS, *SWITCHES):
        try:
            resolve({}, _only(environ, row))
        except ConfigurationError as error:
            fatal.append(f"{row.env} stops init: {error}")
            del environ[row.env]
    # The service is often named in init(), which nobody here has called.
    name = None if environ.get("CXSDK_SERVICE") else _NO_NAME
    settings, ignored = resolve({"service": name}, environ)
    return settings, [*fatal, *ignored]


def _only(environ: dict[str, str], row: Setting) -> dict[str, str]:
    named = {"CXSDK_SERVICE": _NO_NAME}
    return {**named, row.env: environ[row.env]} if environ.get(row.env) else named


def _values(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    """
    Yield (setting, value, where from, variable).
    """
    for row in (*SETTINGS, *SWITCHES):
        holder = getattr(settings, row.group) if row.group else settings
        value = getattr(holder, row.name)
        origin = settings.origins.get(row.path, "default")
        if row.path == "service" and origin == "argument":
            value, origin = "(an argument of init)", "not set here"
        elif row.path in _SECRET:
            value = "(set, not shown)" if value else None
        elif row.path in {"collector", "prompts.store"} and value:
            value = _checks.without_credentials(value)
        yield row.path, "-" if value in {None, (), ""} else str(value), origin, row.env


def _show(settings: Settings, findings: list[Finding]) -> None:
    print("Settings as seen from here; an argument of init() wins over all but the last three:")
    _screen.table(("setting", "value", "from", "variable"), list(_values(settings)))
    print()
    for each in findings:
        print(f"{each.level:8}{each.subject}: {each.words}")
        if each.todo:
            print(f"{'':8}→ {each.todo}")
    print()
    print("Why an event may be dropped, all counted in cx.stats()['refused']:")
    _screen.table(("reason", "what it means and what to do"), list(_checks.REASONS.items()))
    print()
    problems = sum(each.level == "problem" for each in findings)
    notes = sum(each.level == "note" for each in findings)
    print(f"{problems} problems, {notes} notes")


def _show_json(settings: Settings, findings: list[Finding]) -> None:
    _screen.show_json(
        {
            "settings": {
                path: {"value": value, "from": origin, "variable": variable}
                for path, value, origin, variable in _values(settings)
            },
            "findings": [attrs.asdict(each) for each in findings],
            "drop_reasons": _checks.REASONS,
        }
    )
