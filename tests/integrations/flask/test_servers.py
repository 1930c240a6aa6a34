"""
Under the servers that run Flask: a customer walks through, over HTTP, to the collector.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from cxsdk.collector import Collector

HERE = Path(__file__).parent
PYTHON = sys.executable
GUNICORN = f"{PYTHON} -m gunicorn served:app --bind 127.0.0.1:0 --log-level info -w 2 -k"
SERVERS = {
    "werkzeug, threads": f"{PYTHON} -m flask --app served run --port 0 --with-threads",
    "gunicorn sync": f"{GUNICORN} sync",
    "gunicorn gthread": f"{GUNICORN} gthread --threads 8",
    "gunicorn gevent": f"{GUNICORN} gevent",
}


def is_here(name):
    needed = {"gevent": "gevent", "gunicorn": "gunicorn"}
    words = [package for word, package in needed.items() if word in name]
    return all(importlib.util.find_spec(word) for word in words)


@pytest.fixture(params=SERVERS)
def served(request, tmp_path):
    """The address of the shop under one of the servers, and its collector."""
    if not is_here(request.param):
        if os.environ.get("CXSDK_REQUIRE_SERVICES"):
            pytest.fail(f"{request.param} is not installed")
        pytest.skip(f"{request.param} is not installed")
    with Collector() as collector:
        environ = {n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")}
        environ |= {
            "CXSDK_COLLECTOR": collector.url,
            "CXSDK_LINGER": "0.05",
            "CXSDK_SPOOL_DIR": str(tmp_path / "spool"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SESSIONS": str(tmp_path / "sessions"),
        }
        with subprocess.Popen(
            SERVERS[request.param].split(),
            cwd=HERE,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield address_of(process), collector
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)


def address_of(process):
    for line in process.stderr:
        if found := re.search(r"(?:Running on|Listening at:) (http://[\d.:]+)", line):
            return found[1]
    raise AssertionError("the server did not start")


def arrived(collector, count):
    """The events, in the order of their time, once there are so many of them."""
    end = time.monotonic() + 30
    while True:
        with collector.store.reading() as db:
            rows = db.execute("SELECT family, body FROM events ORDER BY time, n").fetchall()
        if len(rows) >= count or time.monotonic() > end:
            return [(family, json.loads(body)["data"]) for family, body in rows]
        time.sleep(0.02)


def test_a_customer_walks_through(served):
    """Cart, login, account, a download left half-way, a file: one journey, whoever served it."""
    address, collector = served
    with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
        browser.post("/cart", data={"what": "a book"})
        assert browser.post("/in", data={"user": "7"}).text.startswith("7 a book ")
        assert len(browser.get("/long?rows=3").content) == 3 * 8 * 8192
        with browser.stream("GET", "/long?rows=100000") as reply:
            next(reply.iter_raw())
        assert browser.get("/file").content == (HERE / "served.py").read_bytes()
        browser.post("/out")
        browser.cookies.clear()
        browser.get("/mine")
    found = arrived(collector, 6)
    contacts = [data for family, data in found if family == "interaction"]
    said = [(c["where"]["touchpoint"], c["outcome"], c["customer"].get("id")) for c in contacts]
    assert sorted(said, key=str) == sorted(
        [
            ("cart.fill", "success", None),
            ("account.look", "success", "7"),
            ("account.export", "success", "7"),
            ("account.export", "abandoned", "7"),
            ("account.invoice", "success", "7"),
        ],
        key=str,
    )
    whole = next(c for c in contacts if c.get("outcome") == "success" and "ext" in c)
    assert [ext["rows"] for ext in whole["ext"].values()] == [3]
    (login,) = [data for family, data in found if family == "identity"]
    assert (login["customer"]["id"], login["assurance"]) == ("7", "authenticated")
    cart = next(c for c in contacts if c["where"]["touchpoint"] == "cart.fill")
    assert login["customer"]["anonymous_id"] == cart["customer"]["anonymous_id"]
