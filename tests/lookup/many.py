"""
Many customers through one client: what is held of them, and how much memory that takes.

``python -m tests.lookup.many 1000000`` prints the figures.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import cxsdk as cx
from cxsdk.knowing import LookupRequest
from cxsdk.sinks.null import NullSink

MOST = 10_000
OVERLAY_BYTES = 4 * 2**20


class Everybody:
    """
    A provider that knows whoever is asked about.
    """

    name, sections, max_batch = "crm", frozenset({"plan"}), 1000

    def fetch(self, request: LookupRequest) -> Mapping[str, Any]:
        """
        Answer at once.
        """
        return {one.id: {"plan": "gold"} for one in request.subjects}


def run(count: int) -> dict[str, Any]:
    """
    Record an event of each of *count* customers and look each up; return the largest figures seen.
    """
    client = cx.Client(
        "many",
        collector=NullSink(),
        spool=cx.SpoolOptions(mode="memory"),
        privacy=cx.PrivacyOptions(key=b"k" * 32),
        context=cx.ContextOptions(
            providers=[Everybody()], max_customers=MOST, overlay_bytes=OVERLAY_BYTES
        ),
    )
    held = overlay = known = local = 0
    began = time.perf_counter()
    try:
        for start in range(0, count, 1000):
            names = [f"u{n}" for n in range(start, min(count, start + 1000))]
            for who in names:
                client.record("shop.buy", customer=who)
            for ctx in client.contexts(names, timeout=60).values():
                known += ctx["plan"].value == "gold"
                local += len(ctx["interactions"].get(())) == 1
            stats = client.stats()["context"]
            held = max(held, stats["customers"])
            overlay = max(overlay, stats["overlay"]["bytes"])
        engine = client.knower.engine
        assert engine is not None
        return {
            "customers": count,
            "seconds": round(time.perf_counter() - began, 1),
            "held": held,
            "by_raw": len(engine.people.by_raw),
            "evicted": engine.people.evicted,
            "known": known,
            "local": local,
            "overlay_bytes": overlay,
            "overlay_customers": client.stats()["context"]["overlay"]["customers"],
            "in_flight": len(engine.loads),
            "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    finally:
        client.close(0)


if __name__ == "__main__":
    print(run(int(sys.argv[1])))
