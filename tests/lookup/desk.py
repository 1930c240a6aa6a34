"""
Another process of a service, told by lines what to do; answers each with one line of JSON.

Not a test: `tests.lookup.test_together` starts it, as a web worker beside the agent's desk.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cxsdk as cx


def _click(order: dict[str, Any]) -> float:
    with cx.interaction(order["touchpoint"], customer=order["customer"]) as i:
        i.refs["order"] = "A-1"
    return time.time()


def _promise(order: dict[str, Any]) -> bool:
    due = datetime.now(UTC) - timedelta(hours=1)
    return bool(cx.promise("callback", key="c-1", customer=order["customer"], due_at=due))


def _warranty(order: dict[str, Any]) -> bool:
    due = datetime.now(UTC) + timedelta(days=order["days"])
    return bool(cx.promise("warranty", key=order["key"], customer=order["customer"], due_at=due))


def _deliver(_: dict[str, Any]) -> int:
    return cx.flush(20).pending


def _deny(order: dict[str, Any]) -> bool:
    return bool(cx.consent("denied", customer=order["customer"], purposes=("support",)))


def _login(order: dict[str, Any]) -> bool:
    with cx.scope(session=order["session"], consent="granted"):
        with cx.interaction("product.view"):
            pass
        return bool(cx.identify(order["customer"]))


def _link(order: dict[str, Any]) -> bool:
    return cx.link(keep=order["customer"], absorb=order["absorb"]).applied


def _forget(order: dict[str, Any]) -> bool:
    return cx.forget(order["customer"]).complete


def _asks(order: dict[str, Any]) -> str:
    with cx.interaction("support.call", customer=order["customer"]) as i:
        i.asks("order_number")
    return i.interaction_id


def _wait(_: dict[str, Any]) -> bool:
    client = cx.client()
    assert client is not None
    client.knower.settle()
    return True


DOES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "asks": _asks,
    "click": _click,
    "deliver": _deliver,
    "deny": _deny,
    "forget": _forget,
    "link": _link,
    "login": _login,
    "promise": _promise,
    "wait": _wait,
    "warranty": _warranty,
}


def main() -> None:
    """
    Read orders until the input ends.
    """
    cx.init(
        "desk",
        collector=sys.argv[2] if len(sys.argv) > 2 else "memory:",
        privacy=cx.PrivacyOptions(key=b"k" * 32),
        context=cx.ContextOptions(memory=sys.argv[1]),
    )
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(DOES[order["do"]](order)), flush=True)
    cx.close(1)


if __name__ == "__main__":
    main()
