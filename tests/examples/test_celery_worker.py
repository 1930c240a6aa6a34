"""
The Celery example: a real worker on a Redis of its own, and a customer who orders.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from cxsdk.pipeline.customers import Customers
from tests.integrations.celery.brokers import is_there, redis
from tests.lifecycle.conftest import missing

WHO = Customers(b"only-for-this-example")


@pytest.fixture
def shop(examples, collector, environ, tmp_path):
    """Start a worker; order as customers."""
    if not importlib.util.find_spec("celery"):
        missing("celery")
    folder = examples / "celery_worker"
    with redis(tmp_path) as broker, (tmp_path / "words.txt").open("wb") as words:
        own = {
            "BROKER": broker,
            "CXSDK_COLLECTOR": collector.url,
            "MAILS": str(tmp_path / "mails.txt"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "2"],
            cwd=folder,
            env=environ | own,
            stdout=words,
            stderr=words,
            start_new_session=True,
        )

        def order(customer):
            return subprocess.run(
                [sys.executable, "shop.py", customer],
                cwd=folder,
                env=environ | own,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout.strip()

        yield order
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(30)
        finally:
            if is_there(worker.pid):
                os.killpg(worker.pid, signal.SIGKILL)


def wire_of(customer):
    return WHO.resolve((customer, None, None, None)).block["id"]


def test_orders_of_two_customers(shop, rows, eventually, tmp_path):
    """Each journey has the checkout, its promise, and what the workers sent to that customer."""
    orders = {shop(customer): customer for customer in ("c-7", "c-8")}

    def journeys():
        found = {order: [] for order in orders}
        for (body,) in rows("SELECT body FROM events ORDER BY time, n"):
            event = json.loads(body)
            data = event["data"]
            if event["type"].startswith("dev.cxsdk.interaction"):
                where, order = data["where"], data["refs"][0]["id"]
                what = (where["touchpoint"], where["channel"], data["direction"], data["outcome"])
            else:
                order = data["commitment_id"].partition("-")[2]
                what = (data["commitment_id"].partition("-")[0], data["state"])
            found[order].append((what, data["customer"]["id"]))
        return {order: sorted(said) for order, said in found.items()}

    def expected(customer):
        said = [
            ("checkout.pay", "web", "inbound", "success"),
            ("confirmation.sent", "mail", "outbound", "success"),
            ("delivery", "kept"),
            ("delivery", "made"),
            ("delivery_notice.sent", "mail", "outbound", "success"),
            ("warranty", "made"),
            ("warranty_reminder.sent", "mail", "outbound", "success"),
        ]
        return [(what, wire_of(customer)) for what in said]

    wanted = {order: expected(customer) for order, customer in orders.items()}
    eventually(lambda: journeys() == wanted)
    assert journeys() == wanted
    lines = (tmp_path / "mails.txt").read_text().splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted([*orders] * 3)


def test_the_files_are_short(examples):
    """An example that does not fit on two screens is not read."""
    for name in ("tasks.py", "shop.py"):
        assert len((examples / "celery_worker" / name).read_text().splitlines()) <= 90


def test_it_uses_public_names_only(examples):
    """``import cxsdk as cx`` and the integration; every name it takes is in ``__all__``."""
    import cxsdk

    for name in ("tasks.py", "shop.py"):
        text = (examples / "celery_worker" / name).read_text()
        imported = set(re.findall(r"^(?:from|import) cxsdk.*$", text, re.MULTILINE))
        assert imported <= {
            "import cxsdk as cx",
            "from cxsdk.integrations.celery import CX",
        }
        assert set(re.findall(r"\bcx\.(\w+)", text)) <= set(cxsdk.__all__)
