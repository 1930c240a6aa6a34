"""
Applications whose tasks run in threads of a real worker here, or at once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os

import pytest

import cxsdk as cx

if not importlib.util.find_spec("celery") and not os.environ.get("CXSDK_REQUIRE_SERVICES"):
    collect_ignore_glob = ["test_*.py"]

KEY = b"a secret of the team, long enough"


@pytest.fixture
def client():
    """A default client with a key."""
    made = cx.init("jobs", collector="memory:", privacy=cx.PrivacyOptions(key=KEY))
    yield made
    made.close()


@pytest.fixture
def make_app():
    """Make applications with a broker in memory; leave them as they were."""
    from celery import Celery

    from cxsdk.integrations.celery import CX

    made = []

    def make(name="shop", *, installed=True, **options):
        app = Celery(name, broker=f"memory://{name}", backend="cache+memory://")
        app.conf.update(
            broker_connection_retry_on_startup=True,
            broker_transport_options={"polling_interval": 0.01},
            task_ignore_result=False,
            task_default_queue=f"queue-{id(app)}",
        )
        # By default all applications of a process share their tasks.
        app.task = functools.partial(app.task, shared=False)
        made.append((app, CX(app, **options) if installed else None))
        return app

    yield make
    for app, installed in made:
        if installed is not None:
            installed.uninstall()
        app.close()


@pytest.fixture
def app(make_app):
    """One of them."""
    return make_app()


@pytest.fixture
def working(monkeypatch):
    """Run a worker for a block, in threads of this process."""
    import kombu
    from celery.contrib.testing.worker import start_worker

    # A worker looks whether it should end when this returns: by itself after two seconds.
    drain = kombu.Connection.drain_events
    monkeypatch.setattr(
        kombu.Connection, "drain_events", lambda self, **_: drain(self, timeout=0.05)
    )

    @contextlib.contextmanager
    def working(app, pool="solo", concurrency=1):
        options = {"pool": pool, "concurrency": concurrency, "shutdown_timeout": 20}
        root = logging.getLogger()
        before = root.level, root.handlers[:]
        try:
            with start_worker(app, perform_ping_check=False, **options):
                yield
        finally:
            # A worker sets up logging for the whole process.
            root.setLevel(before[0])
            root.handlers[:] = before[1]

    return working
