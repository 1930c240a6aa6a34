"""
List the touchpoints that Python sources name, and compare them with a catalogue.

  cxsdk touchpoints ls src                           touchpoint, stage, file:line
  cxsdk touchpoints check src --against cx.toml      exit code 1 when the two disagree
  cxsdk touchpoints check src --against cx.toml --write

The sources are read, never run. The catalogue says who answers for what:

  [touchpoints."checkout.pay"]
  stage = "order"
  owner = "payments"
  description = "The customer pays the cart."

--write adds what is missing there and corrects stages; it removes nothing, and leaves comments,
owners and descriptions alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cxsdk.cli import _screen
from cxsdk.cli._catalogue import Catalogue
from cxsdk.cli._sources import Use, scan
from cxsdk.errors import ConfigurationError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = commands.add_parser("ls", help="list touchpoints with stage and place")
    check = commands.add_parser("check", help="compare with a catalogue; 1 when they disagree")
    for each in (ls, check):
        each.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or folders")
    ls.add_argument("--json", action="store_true", help="for machines")
    check.add_argument("--against", type=Path, required=True, metavar="TOML", help="the catalogue")
    check.add_argument("--write", action="store_true", help="create or update the catalogue")


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 for findings.

    Raises:
        ConfigurationError: a path does not exist, or the catalogue cannot be read.
    """
    for path in options.paths:
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file or folder")
    uses, unread = scan(options.paths)
    for words in unread:
        _screen.note(words)
    if options.action == "ls":
        return _ls(uses, as_json=options.json) or (1 if unread else 0)
    return _check(uses, options) or (1 if unread else 0)


def _ls(uses: list[Use], *, as_json: bool) -> int:
    if as_json:
        _screen.show_json(
            [
                {
                    "touchpoint": use.touchpoint,
                    "stage": use.stage,
                    "verb": use.verb,
                    "file": str(use.path),
                    "line": use.line,
                    "problem": use.problem,
                }
                for use in uses
            ]
        )
    else:
        rows = [(use.touchpoint or "?", use.stage or "-", use.verb, use.place, use.problem)
                for use in uses]  # fmt: skip
        _screen.table(("touchpoint", "stage", "verb", "place", ""), rows)
        known = {use.touchpoint for use in uses if use.touchpoint}
        print(f"{len(known)} touchpoints in {len(uses)} places")
    return 1 if any(use.problem for use in uses) else 0


def _check(uses: list[Use], options: argparse.Namespace) -> int:
    catalogue = Catalogue.read(options.against, may_be_missing=options.write)
    findings = [f"{use.place}: {use.problem}" for use in uses if use.problem]
    stages: dict[str, Use] = {}
    for use in uses:
        if use.touchpoint is None:
            continue
        first = stages.setdefault(use.touchpoint, use)
        if first.stage is None and use.stage is not None:
            stages[use.touchpoint] = use
        elif use.stage not in {None, first.stage}:
            findings.append(
                f"{use.place}: {use.touchpoint} has stage {use.stage}, but {first.stage} at"
                f" {first.place}"
            )
    in_code = {name: use.stage for name, use in stages.items()}
    if options.write:
        added, corrected = catalogue.update(in_code)
        print(f"{options.against}: {added} added, {corrected} stages corrected")
    findings += _differences(catalogue, stages)
    for words in findings:
        print(words)
    print(f"{len(in_code)} touchpoints in code, {len(catalogue.stages)} in the catalogue,"
          f" {len(findings)} findings")  # fmt: skip
    return 1 if findings else 0


def _differences(catalogue: Catalogue, in_code: dict[str, Use]) -> list[str]:
    findings = []
    for name, use in sorted(in_code.items()):
        if name not in catalogue.stages:
            findings.append(f"{use.place}: {name} is not in the catalogue")
        elif catalogue.stages[name] != use.stage:
            findings.append(
                f"{use.place}: {name} has stage {use.stage or '(none)'}, the catalogue says"
                f" {catalogue.stages[name] or '(none)'}"
            )
    findings += [
        f"{catalogue.path}: {name} is nowhere in the code"
        for name in sorted(catalogue.stages.keys() - in_code.keys())
    ]
    return findings
