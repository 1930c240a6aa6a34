"""
``python -m tests.benchmarks.integrations``: what a request costs with cxsdk, with OpenTelemetry's
instrumentation and with Sentry's, each over the same application without any of them.

Variants take turns within each repeat, each in a fresh process; medians over repeats are printed.
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
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tests.benchmarks.__main__ import ROOT, _environment, sink
from tests.benchmarks.served import FRAMEWORKS, VARIANTS

_PACKAGES = {
    "otel": "opentelemetry-instrumentation-{}",
    "sentry": "sentry-sdk",
}


def _run(framework: str, variant: str, url: str, requests: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.served", "--framework", framework]
    command += ["--variant", variant, "--url", url, "--requests", str(requests)]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(variant: str, runs: list[dict[str, Any]], bare: dict[str, float]) -> list[str]:
    found = [run for run in runs if "error" not in run]
    if not found:
        return [variant, runs[0]["error"], "", "", ""]
    per_second = statistics.median(run["per_second"] for run in found)
    mine = {
        name: statistics.median(run[name] for run in found) for name in ("request_us", "process_us")
    }
    if variant == "bare":
        bare.update(mine)
    added = [f"{mine[name] - bare[name]:.1f}" for name in ("request_us", "process_us")]
    return [variant, f"{per_second:,.0f}", f"{mine['request_us']:.1f}", *added]


def _versions() -> str:
    names = ["cxsdk", "flask", "django", "fastapi", "sentry-sdk"]
    names += [f"opentelemetry-instrumentation-{each}" for each in FRAMEWORKS]
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def main() -> None:
    """
    Run all and print tables in Markdown.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append")
    args = parser.parse_args()
    with sink() as url:
        for framework in args.framework or FRAMEWORKS:
            runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
            for repeat in range(args.repeats):
                order = VARIANTS if repeat % 2 == 0 else VARIANTS[::-1]
                for variant in order:
                    runs[variant].append(_run(framework, variant, url, args.requests))
            bare: dict[str, float] = {}
            print(
                f"\n| {framework} | requests/s | CPU of a request (µs) | added to it | added, all threads |"
            )
            print("| --- | --- | --- | --- | --- |")
            for variant in VARIANTS:
                print("| " + " | ".join(_row(variant, runs[variant], bare)) + " |")
    load = os.getloadavg()[0]
    stamp = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    print(f"\n{stamp}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
    print(_versions())


if __name__ == "__main__":
    main()
