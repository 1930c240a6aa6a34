"""
The whole demo: collector, shop and customers, started and ended together.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from cxsdk.collector import Collector
from cxsdk.demo.customers import Customer
from cxsdk.demo.reckoning import Reckoning, accepted_in, stored_in
from cxsdk.errors import CXError

__all__ = ["Show"]

_AT_ONCE = 6
_END_S = 30.0
_GAP_S = 1.5


class Show:
    """
    A context manager around a collector in this process and a shop in another one.

    The shop has a durable spool in a temporary folder, which goes at the end unless *keep*.

    Args:
        port: of the collector; 0 takes a free one.

        seed: another seed, other stories.

        keep: leave the folder with the collector's database and the spool.

    Raises:
        ConfigurationError: the port cannot be used.
        CXError: the shop did not start.
    """

    def __init__(self, *, port: int = 0, seed: int = 1, keep: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cxsdk-demo-"))
        """Where everything is kept while the demo runs."""
        self.stop = threading.Event()
        """Set it, from anywhere, to let no further customer in."""
        self.customers: list[Customer] = []
        """Who has visited the shop, in the order of their numbers."""
        self._port = port
        self._seed = seed
        self._keep = keep
        self._stack = ExitStack()
        self._shop: subprocess.Popen[str] | None = None
        self.last_words = ""
        """What the shop said at its end."""

    def __enter__(self) -> Self:
        try:
            self.collector = self._stack.enter_context(
                Collector(self.folder / "collector.db", port=self._port)
            )
            self.shop_url = self._open_shop()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close_shop()
            self._stack.close()
        finally:
            if not self._keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _open_shop(self) -> str:
        # What the caller's shell says about cxsdk is not meant for this shop.
        environ = {n: value for n, value in os.environ.items() if not n.startswith("CXSDK_")}
        environ |= {
            "CXSDK_SPOOL_MODE": "mmap",
            "CXSDK_SPOOL_DIR": str(self.folder / "spool"),
            "CXSDK_SPOOL_MIN_FREE_BYTES": str(16 * 1024 * 1024),
            "CXSDK_LINGER": "0.2",
        }
        log = self._stack.enter_context((self.folder / "shop.log").open("w"))
        self._shop = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", "cxsdk.demo.shop", self.collector.url, str(self._list)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environ,
        )
        url = self._shop.stdout.readline().strip() if self._shop.stdout else ""
        if not url:
            raise CXError(f"the shop did not start: {self.log()}")
        return url

    @property
    def _list(self) -> Path:
        return self.folder / "accepted.txt"

    def log(self) -> str:
        """
        Return the end of what the shop wrote to stderr.
        """
        return (self.folder / "shop.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    # ---- playing --------------------------------------------------------------------------

    def play(self, count: int, seen: Callable[[int], None] = lambda _: None) -> None:
        """
        Let *count* customers visit, a few at a time; blocks until all have, or `stop` is set.

        Args:
            count: how many.

            seen: called with how many are through.

        Raises:
            CXError: the shop did not answer one of them.
        """
        with ThreadPoolExecutor(_AT_ONCE) as crowd:
            visits = [crowd.submit(self._visit, number) for number in range(count)]
            try:
                for done, visit in enumerate(as_completed(visits), 1):
                    visit.result()
                    seen(done)
            finally:
                crowd.shutdown(cancel_futures=True)
        self.customers.sort(key=lambda customer: customer.id)

    def _visit(self, number: int) -> None:
        if self.stop.is_set():
            return
        customer = Customer(self.shop_url, number, self._seed)
        try:
            customer.live()
        except httpx.HTTPError as error:
            raise CXError(f"the shop stumbled: {error}\n{self.log()}") from error
        self.customers.append(customer)

    def trickle(self) -> None:
        """
        Let further customers visit, one every second and a half, until `stop` is set.

        Raises:
            CXError: the shop did not answer one of them.
        """
        while not self.stop.wait(_GAP_S):
            self._visit(len(self.customers))

    # ---- looking --------------------------------------------------------------------------

    def journey_url(self, customer: Customer) -> str:
        """
        Return the address of one customer's journey.
        """
        return f"{self.collector.url}/customers/{quote(customer.id, safe='')}/journey"

    def worth_seeing(self) -> dict[str, Customer]:
        """
        Return customers whose journeys tell something, by what they tell.
        """
        wanted: dict[str, Callable[[list[str]], bool]] = {
            "a parcel that was lost": lambda past: "lost" in past,
            "a late delivery": lambda past: "late" in past,
            "all went well, twice": lambda past: past == ["kept", "kept"],
        }
        found: dict[str, Customer] = {}
        for words, test in wanted.items():
            for customer in self.customers:
                if test(customer.past) and customer not in found.values():
                    found[words] = customer
                    break
        return found

    def counts(self) -> list[tuple[str, str, int]]:
        """
        Return (family, action, events) as the collector has them now.
        """
        with self.collector.store.reading() as db:
            rows = db.execute(
                "SELECT family, action, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2"
            )
            return [(row[0], row[1], row[2]) for row in rows]

    # ---- ending ---------------------------------------------------------------------------

    def close_shop(self) -> None:
        """
        End the shop, which drains its spool; blocks up to 30 s. May be repeated.
        """
        shop, self._shop = self._shop, None
        if shop is None:
            return
        try:
            self.last_words, _ = shop.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            shop.kill()
            self.last_words, _ = shop.communicate()

    def reckon(self) -> Reckoning:
        """
        Compare what the shop accepted with what the collector has; after `close_shop`.
        """
        with self.collector.store.reading() as db:
            return Reckoning.of(accepted_in(self._list), stored_in(db))
