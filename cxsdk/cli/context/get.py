"""
Show what is known of one customer, section by section: the reason, the source, the age.

  cxsdk context get u-4711 --collector http://127.0.0.1:4180
  cxsdk context get u-4711 --app shop.main          the module in which cx.init runs

Values are shown with --show-values only. With a collector or its file the customer is hashed as a
service would where $CXSDK_KEY is set; --wire says that it is the id as events carry it already.
The exit code is 1 where a section is not known.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxsdk.cli import _screen
from cxsdk.cli._values import above_zero
from cxsdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cxsdk.client import Client
    from cxsdk.knowing import LookupRequest
    from cxsdk.lookup.context import CustomerContext
    from cxsdk.lookup.section import Section

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("customer", metavar="CUSTOMER", help="the id of the customer")
    parser.add_argument(
        "--app", metavar="MODULE[:NAME]", help="use the client of this module of your service"
    )
    parser.add_argument("--sections", metavar="A,B", help="names; by default all that there are")
    parser.add_argument("--purpose", metavar="WORD", help="by default the client's, else support")
    parser.add_argument(
        "--timeout", type=above_zero, default=5.0, metavar="S", help="seconds to wait (5)"
    )
    parser.add_argument("--anonymous", action="store_true", help="CUSTOMER is a visitor's id")
    parser.add_argument("--wire", action="store_true", help="CUSTOMER is as events carry it")
    parser.add_argument("--explain", action="store_true", help="also what went wrong, and how long")
    parser.add_argument("--show-values", action="store_true", help="also what is known: personal")


def run(options: argparse.Namespace) -> int:
    """
    Show; return 0, or 1 where a section is not known.

    Raises:
        ConfigurationError: an argument is wrong, or there is no client in that module.
        ExtraMissingError: a file needs the extra ``collector``.
    """
    names = None if options.sections is None else tuple(options.sections.split(","))
    who, anonymous = (None, options.customer) if options.anonymous else (options.customer, None)
    if options.wire and who is not None:
        from cxsdk.scope import WireId

        who = WireId(who)
    with _client(options) as client:
        ctx = client.context(
            who,
            anonymous=anonymous,
            sections=names,
            purpose=options.purpose,
            timeout=options.timeout,
        )
    _show(ctx, options)
    return 1 if ctx.partial else 0


# ---- whose client -------------------------------------------------------------------------


@contextmanager
def _client(options: argparse.Namespace) -> Iterator[Client]:
    if options.app is not None:
        if options.collector is not None or options.file is not None:
            raise ConfigurationError("--app: not together with --collector or --file")
        yield _of_app(options.app)
        return
    with contextlib.ExitStack() as stack:
        from cxsdk.client import Client
        from cxsdk.config import ContextOptions, SpoolOptions

        provider = _collector(options) if options.file is None else _file(options.file, stack)
        context = ContextOptions(
            providers=(provider,), overlay=False, provider_timeout=options.timeout
        )
        client = Client(
            "cxsdk-context",
            collector="null:",
            spool=SpoolOptions(mode="memory"),
            context=context,
        )
        yield stack.enter_context(client)


def _of_app(said: str) -> Client:
    """
    Return the client that a module of the team's makes.

    Raises:
        ConfigurationError: the module is not there, or makes none.
    """
    from cxsdk import _default
    from cxsdk.client import Client

    name, _, attribute = said.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(name)
        for step in filter(None, attribute.split(".")):
            found = getattr(found, step)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"--app: there is no module {error.name}") from None
    except (AttributeError, ValueError):
        raise ConfigurationError(f"--app: expected module:attribute, got {said!r:.80}") from None
    client = found if isinstance(found, Client) else _default.client()
    if client is None:
        raise ConfigurationError(f"--app: cx.init did not run when {name} was imported")
    return client


def _collector(options: argparse.Namespace) -> Any:
    from cxsdk.lookup.providers.collector import CollectorProvider

    url = options.collector or os.environ.get("CXSDK_COLLECTOR", "")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            "say whom to ask: --collector http://127.0.0.1:4180, --file collector.db or --app shop"
        )
    key = options.key or os.environ.get("CXSDK_API_KEY")
    # Whoever sends events names their path; the questions stand beside it.
    return CollectorProvider(url.rstrip("/").removesuffix("/events"), api_key=key)


def _file(path: Path, stack: contextlib.ExitStack) -> Any:
    if not path.is_file():
        raise ConfigurationError(f"--file: {path} is not there")
    from cxsdk.collector import Store

    return _FileProvider(stack.enter_context(contextlib.closing(Store(path))))


class _FileProvider:
    """
    The file of a collector as a provider.
    """

    name = "file"
    takes = "wire"
    spaces = ("id", "anonymous")

    def __init__(self, store: Any) -> None:
        from cxsdk.collector.context import SECTIONS

        self.sections = frozenset(SECTIONS)
        self._store = store

    def fetch(self, request: LookupRequest) -> Mapping[str, Mapping[str, Any]]:
        """
        Read the file.
        """
        from cxsdk.collector.context import Wanted, read_context
        from cxsdk.knowing import Found

        now = self._store.now()
        wanted = Wanted(tuple(sorted(request.sections & self.sections)))
        found: dict[str, Mapping[str, Any]] = {}
        with self._store.reading() as db:
            for one in request.subjects:
                read = read_context(db, one.id, one.space, wanted, now)
                said = {} if read is None else read.as_json(now)
                found[one.id] = {
                    name: Found(part["value"], _moment(part.get("as_of")))
                    for name, part in said.items()
                    if part["value"] is not None
                }
        return found


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


# ---- showing ------------------------------------------------------------------------------


def _show(ctx: CustomerContext, options: argparse.Namespace) -> None:
    sections = {name: ctx[name] for name in ctx}
    if options.json:
        _screen.show_json(
            {
                "purpose": ctx.purpose,
                "assurance": ctx.assurance,
                "sections": {
                    name: _as_json(one, with_value=options.show_values)
                    for name, one in sections.items()
                },
            }
        )
        return
    if options.explain:
        print(ctx.explain())
    else:
        _screen.table(
            ("section", "known", "reason", "source", "age", "items"),
            [
                (
                    name,
                    "yes" if one.known else "no",
                    one.reason.value,
                    one.source,
                    "" if one.age is None else f"{max(0.0, one.age):.0f} s",
                    _count(one.value),
                )
                for name, one in sections.items()
            ],
        )
    if options.show_values:
        _screen.show_json({name: _value(one) for name, one in sections.items()})


def _as_json(section: Section[Any], *, with_value: bool) -> dict[str, Any]:
    said = {
        "known": section.known,
        "reason": section.reason.value,
        "source": section.source,
        "age": section.age,
        "stale": section.stale,
        "truncated": section.truncated,
        "error_code": section.error_code,
        "error_message": section.error_message,
        "items": _count(section.value),
    }
    return {**said, "value": _value(section)} if with_value else said


def _value(section: Section[Any]) -> Any:
    from cxsdk.lookup.holding import as_wire

    return as_wire(section)["value"]


def _count(value: Any) -> int | str:
    return len(value) if isinstance(value, tuple) else ""
