"""
The instrumented Celery application; ``LIFECYCLE_RECIPE=1`` adds the recipe of the page.
"""

from __future__ import annotations

import os
import time

import app
from celery import Celery
from celery.signals import worker_process_shutdown

jobs = Celery("jobs", broker=os.environ["LIFECYCLE_BROKER"])
jobs.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)

if os.environ.get("LIFECYCLE_RECIPE"):

    @worker_process_shutdown.connect
    def drain(**_: object) -> None:
        app.cx.close(2)


@jobs.task
def visit(fact: str, seconds: float = 0.0) -> None:
    """Emit two events, and take some time afterwards."""
    app.visit(fact)
    time.sleep(seconds)
