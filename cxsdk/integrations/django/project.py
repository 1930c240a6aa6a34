"""
What a Django project says of cxsdk in its settings, read once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import attrs
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections

from cxsdk._guard import voice
from cxsdk.errors import ConfigurationError, CXError
from cxsdk.integrations.front import client_of
from cxsdk.integrations.options import Options, read

__all__ = ["Project", "begin", "project"]

_RELOADS = frozenset({"runserver", "runserver_plus"})
_CHILD = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")


def _aliases(said: Any) -> tuple[str, ...]:
    found = (said,) if isinstance(said, str) else said
    if not isinstance(found, (list, tuple, set, frozenset)) or not all(
        isinstance(each, str) for each in found
    ):
        raise ConfigurationError(f"on_commit: expected a list of texts, got {said!r:.60}")
    for each in found:
        if each not in connections:
            there = ", ".join(connections)
            raise ConfigurationError(f"on_commit: DATABASES has no {each!r}; there are {there}")
    return tuple(found)


@attrs.define(frozen=True, kw_only=True)
class Project:
    """
    The settings ``CXSDK``. Beside the names of `Options` and of ``cx.init`` there is

    Args:
        on_commit: whether promises, reactions and identity that are said inside of ``atomic`` wait
            for its commit: True (default), False, or a list of those aliases in ``DATABASES`` whose
            transactions are waited for.
    """

    options: Options = attrs.Factory(Options)
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    """Of ``cx.init``; empty: the project calls it itself, or the environment names the service."""

    on_commit: bool | tuple[str, ...] = True
    fault: CXError | None = None
    """Why they are of no use. Told by a system check, and raised where requests are served."""

    @classmethod
    def read(cls, said: Any) -> Project:
        """
        Return what *said* says. What is wrong is in ``fault``: commands that repair it still run.
        """
        try:
            given = dict(said) if isinstance(said, Mapping) else said
            on_commit: Any = True
            if isinstance(given, dict):
                on_commit = given.pop("on_commit", True)
                if not isinstance(on_commit, bool):
                    on_commit = _aliases(on_commit)
            options, arguments = read(given)
        except CXError as error:
            return cls(fault=error)
        return cls(options=options, arguments=arguments, on_commit=on_commit)


_read: list[tuple[Any, Project]] = []


def project() -> Project:
    """
    Return the settings of this project; the same object as long as they are the same.
    """
    said = getattr(settings, "CXSDK", None)
    if not _read or _read[0][0] is not said:
        _read[:] = [(said, Project.read(said))]
    return _read[0][1]


def begin() -> None:
    """
    Make the client that the settings name; never raises. No disk is touched and no thread begun.
    """
    if _only_reloads(sys.argv, os.environ):
        return
    made = project()
    error = made.fault
    try:
        if error is None:
            client_of(made.arguments)
    except CXError as wrong:
        error = wrong
        _read[:] = [(_read[0][0], attrs.evolve(made, fault=wrong))]
    if error is not None:
        # Also for what serves no requests and runs no checks: a worker, a script.
        voice.say(logging.ERROR, "django:settings", "cxsdk: CXSDK is of no use: %s", error)


def _only_reloads(argv: list[str], environ: Mapping[str, str]) -> bool:
    """
    Say whether this process only watches files, and starts another one that serves.
    """
    return (
        bool(_RELOADS.intersection(argv[1:2]))
        and "--noreload" not in argv
        and not any(environ.get(name) == "true" for name in _CHILD)
    )


def _changed(*, setting: str, **_: Any) -> None:
    # Of tests: django.test.override_settings.
    if setting == "CXSDK":
        _read.clear()
        begin()


setting_changed.connect(_changed, dispatch_uid="cxsdk.project")
