"""
Every fault against cxsdk, its peers and a hand-written control: ``python -m tests.faults``.

Takes about a quarter of an hour; ``--only`` and ``--subjects`` choose. ``--markdown FILE`` writes
the table. Exit code 1 when cxsdk lost something, or when the control lost nothing at all.
"""

from __future__ import annotations

import argparse
import datetime as dt
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.subjects import SUBJECTS, versions
from tests.faults.rows import ONLY_DURABLE, ROWS, Outcome, play

_LABELS = {
    **{name: subject.label for name, subject in SUBJECTS.items()},
    "control": "a list by hand",
}
_LABELS["cxsdk"] = "cxsdk"
_OVER_S = 74.0


def main() -> int:
    """
    Play what is asked for, print and write the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--subjects", nargs="+", choices=_LABELS, default=list(_LABELS))
    parser.add_argument("--at-once", type=int, default=3, help="cells at the same time (3)")
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    there = {name for name, version in versions().items() if version} | {"control"}
    names = [name for name in args.subjects if name in there]
    cells = [
        (row, name)
        for row in args.only
        for name in names
        if name == "cxsdk" or row not in ONLY_DURABLE
    ]
    results: dict[tuple[str, str], Outcome] = {}
    with ThreadPoolExecutor(args.at_once) as pool:
        for cell, outcome in zip(cells, pool.map(lambda cell: play(*cell), cells), strict=True):
            results[cell] = outcome
            print(f"{cell[0]:<12} {cell[1]:<9} {_cell(outcome)}", file=sys.stderr, flush=True)
    text = table(results, args.only, names)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n")
    ours = sum(outcome.lost for (_, name), outcome in results.items() if name == "cxsdk")
    control = [outcome.lost for (_, name), outcome in results.items() if name == "control"]
    return 1 if ours or (control and not any(control)) else 0


def _cell(outcome: Outcome) -> str:
    exits = "killed" if outcome.exit_s is None else f"{outcome.exit_s:.1f} s"
    if outcome.exit_s is not None and outcome.exit_s > _OVER_S:
        exits = f"> {_OVER_S:.0f} s"
    words = f"{outcome.accepted:,} / {outcome.delivered:,} / **{outcome.lost:,}**"
    words += f" / {outcome.duplicates:,}; {outcome.blocked_ms:.0f} ms; {exits}"
    return f"{words} ({outcome.remark})" if outcome.remark else words


def table(results: dict[tuple[str, str], Outcome], rows: list[str], names: list[str]) -> str:
    """
    Return the results as Markdown: a line per fault, a column per library.
    """
    lines = ["| fault | " + " | ".join(_LABELS[name] for name in names) + " |"]
    lines.append("| --- |" + " --- |" * len(names))
    for row in rows:
        cells = [_cell(results[row, name]) if (row, name) in results else "–" for name in names]
        lines.append(f"| {(ROWS[row].__doc__ or row).strip()} | " + " | ".join(cells) + " |")
    found = {name: version for name, version in versions().items() if version and name in names}
    lines += [
        "",
        "Each cell: accepted / delivered / **lost** / duplicates; longest single call; exit.",
        "",
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}; "
        + ", ".join(f"{name} {version}" for name, version in found.items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
