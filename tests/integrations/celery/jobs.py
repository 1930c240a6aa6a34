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
    is_first = begins(self.request, order)
    if is_first and ends == "hangs":
        time.sleep(120)
    if is_first and ends == "retries":
        raise self.retry(countdown=0)


@jobs.task(bind=True)
@cx.interaction("call.made", channel="contact_center")
def call(self, order: str) -> None:
    """Call somebody about their order; the first time nobody answers for long."""
    cx.current().refs["order"] = order
    if begins(self.request, order):
        time.sleep(120)


def begins(request, order: str) -> bool:
    """Note who works on an order; say whether that is the first time."""
    path = NOTES / f"{order}.txt"
    with path.open("a") as notes:
        notes.write(f"{os.getpid()} {request.id} {request.retries}\n")
    return len(path.read_text().splitlines()) == 1


@cx.interaction("notice.sent", channel="mail")
def send(order: str) -> None:
    """Send the notice."""
    cx.current().refs["order"] = order
