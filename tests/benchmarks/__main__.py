"""
``python -m tests.benchmarks``: cxsdk and its peers, side by side, each run in a fresh process.

Install the peers with the ``bench`` dependency group; one that is missing is reported as missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.report import markdown
from tests.benchmarks.subjects import CORE_IMPORT, SUBJECTS, versions

ROOT = Path(__file__).resolve().parents[2]
Results = dict[str, dict[str, list[dict[str, Any]]]]

EVENTS = {
    "capture": 10_000,
    "strangers": 5000,
    "loop": 10_000,
    "paced": 2500,
    "throughput": 20_000,
}
QUICK = {"capture": 300, "strangers": 300, "loop": 300, "paced": 200, "throughput": 500}
MEASURES = (*EVENTS, "compressed", "import", "backlog")


def _environment() -> dict[str, str]:
    # Without byte code an import is a compilation, which an installed package is spared.
    left_out = ("PYTEST_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return {**kept, "CXSDK_SPOOL_MODE": "mmap", "PYTHONPATH": str(ROOT)}


@contextmanager
def sink() -> Iterator[str]:
    """
    Run the sink in a process of its own; give its URL.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.sink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def measure(subject: str, name: str, url: str, events: int) -> dict[str, Any]:
    """
    Run one worker; return what it found, or ``{"error": …}``.
    """
    urllib.request.urlopen(
        urllib.request.Request(url + "/reset", method="POST"), timeout=10
    ).close()
    command = [sys.executable, "-m", "tests.benchmarks.worker", "--subject", subject]
    command += ["--measure", name, "--url", url, "--events", str(events)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=_environment(),
            timeout=900,
            check=False,
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        return {"error": repr(error)[:300]}
    assert isinstance(found, dict)
    return found


def _import_ms(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=_environment())
    return (time.perf_counter() - begin) * 1e3


def imports(names: list[str], rounds: int) -> dict[str, dict[str, Any]]:
    """
    Time ``import`` above the bare interpreter, in turn; cxsdk also above its core packages.
    """
    codes = {name: SUBJECTS[name].imports for name in names}
    codes |= {"bare": "pass", "core": CORE_IMPORT}
    if "cxsdk" in names:
        codes["above_core"] = f"{CORE_IMPORT}; import cxsdk"
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for turn in range(rounds + 1):
        for name, code in codes.items():
            cost = _import_ms(code)
            if turn:  # the first writes the byte code
                taken[name].append(cost)
    median = {name: statistics.median(costs) for name, costs in taken.items()}
    found = {name: {"import_ms": median[name] - median["bare"]} for name in names}
    if "cxsdk" in names:
        found["cxsdk"]["above_core_ms"] = median["above_core"] - median["core"]
        found["cxsdk"]["core_ms"] = median["core"] - median["bare"]
    return found


def _machine() -> dict[str, Any]:
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line),
        platform.processor(),
    )
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "versions": versions(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def run(
    names: list[str],
    chosen: list[str],
    *,
    quick: bool,
    repeats: int,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """
    Run all measures of all subjects, in alternating order.
    """
    events = QUICK if quick else EVENTS
    results: Results = {name: {} for name in names}
    with sink() as url:
        for turn in range(repeats):
            for kind in (kind for kind in events if kind in chosen):
                for name in names if turn % 2 == 0 else names[::-1]:
                    found = measure(name, kind, url, events[kind])
                    results[name].setdefault(kind, []).append(found)
                    say(f"{turn + 1}/{repeats} {kind} {name}: {found}")
            if "compressed" in chosen and "cxsdk" in names:
                # Peers send plain bodies, and so does cxsdk to this machine: what gzip would cost.
                found = measure("cxsdk", "compressed", url, events["throughput"])
                results["cxsdk"].setdefault("compressed", []).append(found)
                say(f"{turn + 1}/{repeats} compressed cxsdk: {found}")
        if "backlog" in chosen and "cxsdk" in names:
            found = measure("cxsdk", "backlog", url, 10_000 if quick else 1_000_000)
            results["cxsdk"]["backlog"] = [found]
            say(f"backlog cxsdk: {found}")
    if "import" in chosen:
        for name, timed in imports(names, 2 if quick else 11).items():
            results[name]["import"] = [timed]
    return {"machine": _machine(), "quick": quick, "results": results}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few events, one repeat")
    parser.add_argument(
        "--only",
        help=f"subjects and measures, by comma: {', '.join(SUBJECTS)}; {', '.join(MEASURES)}",
    )
    parser.add_argument("--repeats", type=int, help="default 5, or 1 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> None:
    """
    Run, print the table, write the files asked for.
    """
    args = _arguments()
    only = args.only.split(",") if args.only else []
    if unknown := set(only) - {*SUBJECTS, *MEASURES}:
        raise SystemExit(f"--only: unknown {', '.join(sorted(unknown))}")
    installed = versions()
    names = [name for name in SUBJECTS if name in only or not set(only) & set(SUBJECTS)]
    chosen = [kind for kind in MEASURES if kind in only or not set(only) & set(MEASURES)]
    report = run(
        [name for name in names if installed[name]],
        chosen,
        quick=args.quick,
        repeats=args.repeats or (1 if args.quick else 5),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    report["missing"] = [name for name in names if not installed[name]]
    text = markdown(report)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    if args.markdown:
        args.markdown.write_text(text)


if __name__ == "__main__":
    main()
