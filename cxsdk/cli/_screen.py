"""
Tables and progress: with ``rich`` on a terminal, in plain text everywhere else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["Progress", "age", "note", "progress", "show_json", "size", "table"]

_EVERY_S = 5.0


def note(text: str) -> None:
    """
    Say something beside the result, on stderr.
    """
    print(text, file=sys.stderr)


def show_json(value: Any) -> None:
    """
    Print *value* as indented JSON.
    """
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def size(count: float) -> str:
    """
    Return a number of bytes in the unit that fits.
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def age(since_ns: int) -> str:
    """
    Return how long ago a moment (nanoseconds since 1970; 0: none) was, in the unit that fits.
    """
    if not since_ns:
        return "-"
    seconds = max(0.0, time.time() - since_ns / 1e9)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """
    Print *rows* under *columns*; numbers stand on the right.
    """
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    numeric = [
        all(isinstance(row[index], (int, float)) for row in rows) for index in range(len(columns))
    ]
    if sys.stdout.isatty() and _has_rich():
        _rich_table(columns, texts, numeric)
    else:
        _plain_table(columns, texts, numeric)


def _has_rich() -> bool:
    try:
        import rich.table
    except ImportError:
        return False
    return bool(rich.table)


def _rich_table(columns: Sequence[str], rows: list[list[str]], numeric: list[bool]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=SIMPLE, pad_edge=False)
    for name, is_number in zip(columns, numeric, strict=True):
        made.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(escape, row))
    Console().print(made)


def _plain_table(columns: Sequence[str], rows: list[list[str]], numeric: list[bool]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in [list(columns), *rows]:
        cells = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numeric, strict=True)
        ]
        print("  ".join(cells).rstrip())


class Progress:
    """
    How far something is. This one writes a line now and then; for one thread.

    Args:
        label: what is going on.

        total: what there is to do, in any unit; None where nobody knows.

        stream: where lines go.
    """

    def __init__(self, label: str, total: float | None, stream: TextIO) -> None:
        self._label = label
        self._total = total
        self._stream = stream
        self._next = time.monotonic() + _EVERY_S

    def at(self, done: float, remark: str = "") -> None:
        """
        Say how much is done, in the unit of the total, and a word on it.
        """
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            share = f" {done / self._total:.0%}" if self._total else ""
            print(f"{self._label}{share} {remark}".rstrip(), file=self._stream, flush=True)


class _Bar(Progress):
    """
    The same as a bar.
    """

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task

    def at(self, done: float, remark: str = "") -> None:
        """
        Move the bar.
        """
        self._bar.update(self._task, completed=done, remark=remark)


@contextmanager
def progress(label: str, total: float | None) -> Iterator[Progress]:
    """
    Show how far something is, on stderr: a bar on a terminal, else a line every five seconds.
    """
    if not (sys.stderr.isatty() and _has_rich()):
        yield Progress(label, total, sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[remark]}"),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(label, total=total, remark=""))
