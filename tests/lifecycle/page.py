"""
The tables of the page about workers and forking.

``LIFECYCLE_REPORT=FILE pytest tests/lifecycle`` measures, ``python -m tests.lifecycle.page FILE``
writes what was measured into the page, and what is claimed of each server beside it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.lifecycle.servers import SERVERS

__all__ = ["PAGE", "claims", "figures", "table"]

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "workers-and-forking.md"
_ARRIVES = {
    "all": "all",
    "idle": "all, of workers that serve nothing as they end; of the others the next start",
    "any": "what its workers could send before one of them had ended; the next start the rest",
    "none": "nothing; the next start delivers",
}
_HOSTS = (
    ("script that returns, raises or is interrupted", "`atexit`", "nothing", "all"),
    ("script, SIGTERM", "nothing", "`cx.drain_on_sigterm()`", "all"),
    ("script, SIGTERM, without that", "nothing", "–", "none"),
    ("`os._exit`, `kill -9`", "nothing", "–", "none"),
    ("`multiprocessing` child: process, pool, executor", "a finalizer", "nothing", "all"),
    ("`Pool.terminate`, `Process.kill`", "nothing", "–", "none"),
    ("Celery prefork", "`worker_process_shutdown`", "[`CX(app)`, or a line](#celery)", "all"),
    ("Celery prefork, without that", "nothing", "–", "none"),
    ("Celery threads, solo, gevent", "`atexit`", "nothing", "all"),
    ("function host", "nothing: it is frozen", "[`cx.flush`](#functions)", "all"),
)
_FIGURES = (
    "accepted",
    "by_itself",
    "lost",
    "twice",
    "resent",
)


def claims() -> str:
    """
    Return the table of what is claimed of each host; the tests hold the servers to it.
    """
    rows = [(each.name, each.at_end, each.needed, each.arrives) for each in SERVERS]
    lines = [
        "| host | what runs at its graceful end | what to add | what arrives by then |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {at_end} | {needed} | {_ARRIVES[arrives]} |"
        for name, at_end, needed, arrives in (*rows, *_HOSTS)
    ]
    return "\n".join(lines)


def figures(lines: list[str]) -> str:
    """
    Return the table of what was measured; lines of one host and trouble are added up.
    """
    sums: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines:
        name, what, outcome = json.loads(line)
        row = sums.setdefault((name, what), dict.fromkeys((*_FIGURES, "seconds"), 0))
        for figure in _FIGURES:
            row[figure] += outcome[figure]
        row["seconds"] = max(row["seconds"], outcome["seconds"])
    out = [
        "| host | what happened | accepted | by its end | lost | twice | sent again | end, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, what), row in sums.items():
        shown = " | ".join(str(int(row[figure])) for figure in _FIGURES)
        took = f"{row['seconds']:.1f}" if row["seconds"] else "–"
        out.append(f"| {name} | {what} | {shown} | {took} |")
    return "\n".join(out)


def table(name: str) -> str:
    """
    Return the table between the marks *name* of the page.
    """
    found = re.search(
        rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end -->", PAGE.read_text("utf-8"), re.DOTALL
    )
    assert found, name
    return found[1]


def main() -> None:
    """
    Write both tables into the page.
    """
    text = PAGE.read_text("utf-8")
    made = {"claims": claims()}
    if len(sys.argv) > 1:
        made["figures"] = figures(Path(sys.argv[1]).read_text().splitlines())
    for name, rows in made.items():
        text = re.sub(
            rf"(<!-- {name} -->\n\n).*?(\n\n<!-- end -->)",
            lambda found, rows=rows: found[1] + rows + found[2],
            text,
            flags=re.DOTALL,
        )
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
