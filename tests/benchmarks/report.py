"""
The table: medians over repeats, ratios to OpenTelemetry logs and to the best peer, targets.
"""

from __future__ import annotations

import statistics
from typing import Any

from tests.benchmarks.subjects import SUBJECTS

__all__ = ["lost", "markdown", "median"]

Report = dict[str, Any]
_NONE = "-"
_ROWS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("capture p50, sender at rest (µs)", "capture", "p50_us", "{:.1f}", False),
    ("capture p99, sender at rest (µs)", "capture", "p99_us", "{:.0f}", False),
    ("the same p50, each call of a new session (µs)", "strangers", "p50_us", "{:.1f}", False),
    ("capture p50, tight loop (µs)", "loop", "p50_us", "{:.1f}", False),
    ("capture p99, tight loop (µs)", "loop", "p99_us", "{:.0f}", False),
    ("beside a CPU-bound thread, p50 (µs)", "paced", "p50_us", "{:.1f}", False),
    ("beside a CPU-bound thread, p99 (µs)", "paced", "p99_us", "{:.0f}", False),
    ("beside it, calls over 1 ms (%)", "paced", "over_1ms", "{:.2%}", False),
    ("CPU per delivered event (µs)", "throughput", "cpu_us", "{:.1f}", False),
    ("events/s end to end", "throughput", "events_per_s", "{:,.0f}", True),
    ("peak RSS (MB)", "throughput", "rss_mb", "{:.0f}", False),
    ("CPU from start to 200 events delivered (ms)", "throughput", "start_ms", "{:.0f}", False),
    ("import above the interpreter (ms)", "import", "import_ms", "{:.0f}", False),
)


def median(report: Report, name: str, kind: str, field: str) -> float | None:
    """
    Return the median of *field* over the repeats, or None where it was not measured.
    """
    runs = report["results"].get(name, {}).get(kind, [])
    values = [found[field] for found in runs if field in found]
    return statistics.median(values) if values else None


def lost(report: Report, name: str) -> int:
    """
    Return how many events of all runs were emitted but never counted at the sink.
    """
    runs = [found for kind in report["results"][name].values() for found in kind]
    return sum(found["emitted"] - found["counted"] for found in runs if "emitted" in found)


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _best(values: dict[str, float], *, most: bool) -> float | None:
    peers = [value for name, value in values.items() if name != "cxsdk"]
    if not peers:
        return None
    return max(peers) if most else min(peers)


def _ratio(value: float | None, other: float | None) -> str:
    return f"{value / other:.2f}" if value is not None and other else _NONE


def _measured(report: Report) -> list[str]:
    names = list(report["results"])
    rows = []
    for label, kind, field, form, most in _ROWS:
        found = {name: median(report, name, kind, field) for name in names}
        values = {name: value for name, value in found.items() if value is not None}
        if not values:
            continue
        own, best = values.get("cxsdk"), _best(values, most=most)
        cells = [form.format(values[name]) if name in values else _NONE for name in names]
        rows.append([label, *cells, _ratio(own, values.get("otel")), _ratio(own, best)])
    rows.append(["events lost, all runs", *(f"{lost(report, name):,}" for name in names), "", ""])
    header = ["", *(SUBJECTS[name].label for name in names), "cxsdk / OTel", "cxsdk / best peer"]
    return _table(header, rows)


def _verdict(value: float | None, limit: float | None, *, least: bool = False) -> str:
    if value is None or limit is None:
        return "not measured"
    return "met" if (value >= limit if least else value <= limit) else "**missed**"


def _of_best(report: Report, kind: str, field: str, *, most: bool = False) -> float | None:
    values = {name: median(report, name, kind, field) for name in report["results"]}
    own = values.get("cxsdk")
    best = _best({name: value for name, value in values.items() if value}, most=most)
    return own / best if own is not None and best else None


def _of_otel(report: Report, kind: str, field: str) -> float | None:
    own, other = (median(report, name, kind, field) for name in ("cxsdk", "otel"))
    return own / other if own is not None and other else None


def _flatness(report: Report) -> float | None:
    runs = report["results"].get("cxsdk", {}).get("backlog", [])
    costs = [at["p50_us"] for at in runs[0].get("at", {}).values()] if runs else []
    # The first thousand calls of a process are its slowest: not the measure of flatness.
    return costs[-1] / min(costs[:-1]) if len(costs) > 1 else None


def _targets(report: Report) -> list[str]:
    rows: list[tuple[str, float | None, float, str, bool]] = [
        ("capture p50 ÷ OTel logs (sender at rest)", _of_otel(report, "capture", "p50_us"), 0.65, "≤ 0.65", False),
        ("the same, long aim", _of_otel(report, "capture", "p50_us"), 0.33, "≤ 0.33", False),
        ("beside a CPU-bound thread p99 (ms)", _ms(report), 1.0, "≤ 1 ms", False),
        ("CPU per event ÷ best peer", _of_best(report, "throughput", "cpu_us"), 0.25, "≤ 0.25", False),
        ("events/s ÷ best peer", _of_best(report, "throughput", "events_per_s", most=True), 4.0, "≥ 4", True),
        ("import above the three core packages (ms)", median(report, "cxsdk", "import", "above_core_ms"), 40.0, "≤ 40 ms", False),
        ("p50 at most spooled ÷ least before it", _flatness(report), 1.3, "flat (≤ 1.3)", False),
    ]  # fmt: skip
    cells = [
        [
            label,
            wanted,
            _NONE if value is None else f"{value:.2f}",
            _verdict(value, limit, least=least),
        ]
        for label, value, limit, wanted, least in rows
    ]
    return _table(["target", "wanted", "found", ""], cells)


def _ms(report: Report) -> float | None:
    found = median(report, "cxsdk", "paced", "p99_us")
    return None if found is None else found / 1e3


def _backlog(report: Report) -> list[str]:
    runs = report["results"].get("cxsdk", {}).get("backlog", [])
    if not runs or "at" not in runs[0]:
        return []
    rows = [
        [f"{int(mark):,}", f"{at['p50_us']:.1f}", f"{at['p99_us']:.0f}", f"{at['rss_mb']:.0f}"]
        for mark, at in runs[0]["at"].items()
    ]
    table = _table(["spooled, collector away", "p50 (µs)", "p99 (µs)", "resident (MB)"], rows)
    kept = f"kept {runs[0]['counted']:,} of {runs[0]['emitted']:,}, level {runs[0]['level']}"
    return ["", *table, "", kept]


def _compressed(report: Report) -> list[str]:
    cost, rate = (
        median(report, "cxsdk", "compressed", name) for name in ("cpu_us", "events_per_s")
    )
    if cost is None or rate is None:
        return []
    return ["", f"with gzip, as to another host: {cost:.1f} µs CPU per event, {rate:,.0f} events/s"]


def _errors(report: Report) -> list[str]:
    found = [
        f"- {name} {kind}: {run['error']}"
        for name, kinds in report["results"].items()
        for kind, runs in kinds.items()
        for run in runs
        if "error" in run
    ]
    return ["", "Failed runs:", *found] if found else []


def markdown(report: Report) -> str:
    """
    Write the whole report as Markdown.
    """
    machine = report["machine"]
    known = ", ".join(
        f"{name} {version}" for name, version in machine["versions"].items() if version
    )
    core = f"Python {machine['python']}, {machine['cpu']}, {machine['cores']} cores"
    about = [
        f"{machine['when']}, {core}, load {machine['load']:.1f} at the end, {machine['system']}",
        f"{known}{'; quick run, figures mean little' if report['quick'] else ''}",
    ]
    missing = [f"missing: {', '.join(report['missing'])}"] if report.get("missing") else []
    lines = [
        *_measured(report),
        "",
        *_targets(report),
        *_compressed(report),
        *_backlog(report),
        *_errors(report),
    ]
    return "\n".join([*lines, "", *about, *missing, ""])
