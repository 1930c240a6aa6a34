"""
The host: what every process of the acceptance tests is made of. It sees only ``import cxsdk``.

A program of a test begins with ``from host import *``; its arguments come as one JSON object.
``python host.py '{"do": "paced", …}'`` runs the life that the kill loops need.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = [
    "Board",
    "args",
    "client",
    "count",
    "emit",
    "init",
    "json",
    "ledger",
    "os",
    "say",
    "time",
]

args: dict[str, Any] = {}
_ID = 36


class Board:
    """
    Ids of accepted events in a shared mapped file: they outlive the process, whatever kills it.

    Each thread has a row of its own. An id is written first, then counted, so a kill in between
    leaves an event uncounted, never half an id.
    """

    def __init__(self, path: str | Path, rows: int = 4, room: int = 4000) -> None:
        self.path, self.rows, self.room = Path(path), rows, room
        self._row = 8 + room * _ID
        if not self.path.exists():
            self.path.write_bytes(bytes(rows * self._row))
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), rows * self._row)
        self._next = [self._count(row) for row in range(rows)]

    def _count(self, row: int) -> int:
        return int(struct.unpack_from("<Q", self._map, row * self._row)[0])

    def add(self, name: str, row: int = 0) -> None:
        """Remember an id; its verb has returned."""
        number = self._next[row]
        start = row * self._row
        at = start + 8 + number * _ID
        self._map[at : at + _ID] = name.encode()
        self._map[start : start + 8] = struct.pack("<Q", number + 1)
        self._next[row] = number + 1

    def names(self) -> list[list[str]]:
        """Return the ids of each row, in order."""
        found = []
        for row in range(self.rows):
            at = row * self._row + 8
            data = bytes(self._map[at : at + self._count(row) * _ID]).decode()
            found.append([data[n : n + _ID] for n in range(0, len(data), _ID)])
        return found


def init(**more: Any) -> Any:
    """Set up the default client with the durable spool, as the arguments say."""
    import cxsdk as cx

    spool = {
        "mode": "mmap",
        "directory": args["root"],
        "min_free_bytes": 0,
        **args.get("spool", {}),
    }
    options: dict[str, Any] = {
        "service": args.get("service", "shop"),
        "collector": args.get("collector"),
        "environment": args.get("environment"),
        "spool": cx.SpoolOptions(**spool),
        "delivery": cx.DeliveryOptions(**args.get("delivery", {})),
        **more,
    }
    return cx.init(**options)


def emit(number: int, **more: Any) -> Any:
    """Emit one event, an interaction or a feedback in turn; return `Accepted` or `Dropped`."""
    import cxsdk as cx

    customer = more.pop("customer", f"c{number % 50}")
    if number % 2:
        return cx.feedback(csat=4, customer=customer, attributes={"n": number}, **more)
    with cx.interaction("checkout.pay", stage="order", customer=customer) as contact:
        contact.attributes["n"] = number
    return contact.result


def say(**figures: Any) -> None:
    """Tell the test one line of JSON."""
    os.write(1, json.dumps(figures, default=str).encode() + b"\n")


def client() -> Any:
    """Return the default client."""
    import cxsdk as cx

    return cx.client()


def ledger() -> dict[str, Any]:
    """Return what is unaccounted for: all figures are 0 when nothing is."""
    stats = client().stats()
    sinks = {}
    for name, sink in stats["sinks"].items():
        known = sum(sink[each] for each in ("delivered", "in_flight", "spooled", "dead_lettered"))
        sinks[name] = sink["accepted"] + sink["adopted"] - known - sum(sink["dropped"].values())
    refused = sum(stats["refused"].values())
    return {"offered": stats["offered"] - stats["accepted"] - refused, **sinks}


def count(number: int, first: int = 0) -> list[str]:
    """Emit so many events; return the ids of those that were accepted."""
    results = [emit(n) for n in range(first, first + number)]
    return [result.id for result in results if result]


def paced() -> None:
    """Emit at a steady rate from several threads until killed, and note what was accepted."""
    threads, rate = args["threads"], args["rate"]
    board = Board(args["board"], threads)
    keep = _keeper_of_ids()

    def work(row: int) -> None:
        step = threads / rate
        due = time.monotonic()
        number = 0
        while number < board.room:
            name = keep(number, row)
            if name:
                board.add(name, row)
            number += 1
            due += step
            # What a busy machine held up is caught up, so the rate holds on average.
            time.sleep(max(0.0, due - time.monotonic()))

    for row in range(threads):
        threading.Thread(target=work, args=(row,), daemon=True).start()
    say(up=True)
    threading.Event().wait()


def _keeper_of_ids() -> Any:
    if args.get("library", "cxsdk") == "cxsdk":
        init()

        def keep(number: int, row: int) -> str | None:
            result = emit(number)
            return result.id if result else None

        return keep
    import uuid

    # The negative control: a file like any other, whose buffer dies with the process.
    files = [open(f"{args['root']}.{row}.txt", "a") for row in range(args["threads"])]  # noqa: SIM115, PTH123

    def write(number: int, row: int) -> str:
        name = str(uuid.uuid4())
        files[row].write(name + "\n")
        return name

    return write


def deliver() -> None:
    """Deliver all that earlier processes left, then end normally."""
    init()
    end = time.monotonic() + args.get("patience", 60)
    root = Path(args["root"])
    while time.monotonic() < end:
        client().flush(2)
        # Its own directory comes with its first event, and there is none.
        if not list(root.glob("*/*/[0-9a-f]*/manifest.json")):
            break
        time.sleep(0.1)
    say(ledger=ledger(), stats=client().stats())


# A test's program imports this module; its arguments are ours to read.
if len(sys.argv) > 1 and sys.argv[1].startswith("{"):
    args.update(json.loads(sys.argv[1]))

if __name__ == "__main__":
    {"paced": paced, "deliver": deliver}[args["do"]]()
