"""
What an event costs through each sink, end to end: ``python -m tests.benchmarks.sinks``.

Every sink gets the same events from a process of its own, durable spool and redaction on; HTTP
destinations count marks in a process of their own, brokers acknowledge. NATS needs ``nats-server``;
Kafka is librdkafka's built-in cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sinks.brokers import MockKafka, NatsServer

ROOT = Path(__file__).parents[2]
_HTTP = {
    "http": "http://localhost:{port}/events",
    "otlp, JSON": "otlp+http://localhost:{port}",
    "otlp, Protobuf": "otlp+http://localhost:{port}?encoding=protobuf",
    "segment": "segment+http://key@localhost:{port}",
    "posthog": "posthog+http://localhost:{port}",
}
_EVENTS = 20_000


def _measure(url: str, events: int, directory: str) -> dict[str, Any]:
    """
    Emit and flush in this process; return events delivered, events/s and CPU an event.
    """
    import cxsdk as cx
    from tests.benchmarks.subjects import _properties, facts

    client = cx.init(
        service="bench",
        collector=url,
        api_key="phc_bench" if url.startswith("posthog") else None,
        spool=cx.SpoolOptions(directory=Path(directory), min_free_bytes=0),
    )
    rows = [(*row[:2], f"ev-{n:06d}", *row[3:]) for n, row in enumerate(facts(events))]
    began, cpu = time.monotonic(), time.process_time()
    for row in rows:
        with cx.scope(customer=row[0], session=row[1]), cx.interaction("checkout.pay") as i:
            i.attributes.update(_properties(row))
    cx.flush(120)
    seconds, used = time.monotonic() - began, time.process_time() - cpu
    delivered = client.stats()["sinks"]["default"]["delivered"]
    return {
        "delivered": delivered,
        "events_per_s": delivered / seconds,
        "cpu_us": used / max(1, delivered) * 1e6,
    }


@contextlib.contextmanager
def _http(form: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.faults.sink"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield form.format(port=process.stdout.readline().strip())
        counted, _ = process.communicate()
        print(f"  counted at the sink: {counted.strip()}", file=sys.stderr)


@contextlib.contextmanager
def _nats() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as store, NatsServer(Path(store)) as server:
        server.add_stream("cx", "cx.>")
        yield f"{server.url}/cx.events"


@contextlib.contextmanager
def _kafka() -> Iterator[str]:
    with contextlib.closing(MockKafka()) as cluster:
        yield f"kafka://{cluster.servers}/cx"


def main() -> None:
    """
    Measure all, print a table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=_EVENTS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_measure(args.one, args.events, args.directory)), flush=True)
        return
    print("| sink | events/s | CPU per event (µs) | delivered |")
    print("| --- | --- | --- | --- |")
    for name, place in _places():
        with place as url, tempfile.TemporaryDirectory(prefix="cxsdk-bench-") as folder:
            command = [sys.executable, "-m", "tests.benchmarks.sinks", "--one", url]
            command += ["--events", str(args.events), "--directory", folder]
            out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found = json.loads(out.stdout.splitlines()[-1])
            row = f"| {name} | {found['events_per_s']:,.0f} | {found['cpu_us']:.1f}"
            print(f"{row} | {found['delivered']:,} |", flush=True)


def _places() -> Iterator[tuple[str, Any]]:
    for name, form in _HTTP.items():
        yield name, _http(form)
    if shutil.which("nats-server"):
        yield "nats", _nats()
    yield "kafka, built-in cluster", _kafka()
    with tempfile.TemporaryDirectory() as folder:
        yield "file", contextlib.nullcontext(f"file:{folder}/events.ndjson")
    yield "null", contextlib.nullcontext("null:")


if __name__ == "__main__":
    main()
