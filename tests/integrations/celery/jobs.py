"""
The application that the workers of these tests run: notices to customers, which may be cut short.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

import cxsdk as cx
from cxsdk.integrations.celery import CX

cx.init()

_BROKER = os.environ["JOBS_BROKER"]
_OF_REDIS = {
    "visibility_timeout": float(os.environ.get("JOBS_VISIBLE_S", "3600")),
    # How often it looks for messages whose worker is gone: by default once in 100 seconds.
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
}
jobs = Celery("jobs", broker=_BROKER)
jobs.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ["JOBS_QUEUE"],
    broker_transport_options=_OF_REDIS if _BROKER.startswith("redis") else {},
)
CX(jobs)
NOTES = Path(os.environ["JOBS_NOTES"])


@jobs.task(bind=True, max_retries=1)
def notify(self, order: str, ends: str = "returns") -> None:
    """Tell somebody of their order, and note who did; the first time it may end otherwise."""
    send(order)
    cx.promise("delivery", period="P2D", refs={"order": order})
    cx.reaction("renew", refs={"order": order})
    with (NOTES / f"{order}.txt").open("a") as notes:
        notes.write(f"{os.getpid()} {self.request.id} {self.request.retries}\n")
    is_first = len((NOTES / f"{order}.txt").read_text().splitlines()) == 1
    if is_first and ends == "hangs":
        time.sleep(120)
    if is_first and ends == "retries":
        raise self.retry(countdown=0)


@cx.interaction("notice.sent", channel="mail")
def send(order: str) -> None:
    """Send the notice."""
    cx.current().refs["order"] = order
