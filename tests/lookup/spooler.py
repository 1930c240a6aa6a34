"""
A process that keeps one event of a customer's on disk and cannot deliver it.

Not a test: `tests.lookup.test_forget_everywhere` starts it. Each line of its input is another event,
of somebody else's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cxsdk as cx


def main() -> None:
    """
    Arguments: the spool's root, the customer, the words.
    """
    root, customer, words = sys.argv[1:]
    client = cx.Client(
        "shop",
        collector="http://127.0.0.1:9",
        spool=cx.SpoolOptions(mode="mmap", directory=Path(root)),
        privacy=cx.PrivacyOptions(key=b"k" * 32, redact=False),
        delivery=cx.DeliveryOptions(drain_seconds=0.1),
        context=cx.ContextOptions(),
    )
    assert client.feedback(csat=1, text=words, customer=customer, about=cx.About(touchpoint="a.b"))
    print("ready", flush=True)
    for _ in sys.stdin:
        client.record("shop.look", customer="somebody else")
    client.close(0)


if __name__ == "__main__":
    main()
