"""
The real collector as a process of its own, which also notes how many duplicates came.

``python counting.py PORT DATABASE NOTES`` prints its URL when it answers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cxsdk.collector import create_app, server, store


def main(port: int, database: Path, notes: Path) -> None:
    """Serve until killed."""
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    class Counting(store.Store):
        def add(
            self,
            rows: Sequence[store.Row],
            refused: Sequence[store.Refusal] = (),
            closing: store.Closing | None = None,
        ) -> store.Ingested:
            done = super().add(rows, refused, closing)
            os.write(file, f"{done.accepted} {done.duplicate} {len(refused)}\n".encode())
            return done

    listener, url = server._bind("127.0.0.1", port, None)
    app = create_app(Counting(database))
    server._Server(app, lambda: print(url, flush=True)).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
