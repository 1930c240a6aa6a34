"""
Running the collector, and what survives when it is killed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from cxsdk.collector import Collector, Limits, Store, serve
from cxsdk.errors import ConfigurationError, ExtraMissingError

SERVE = """
import sys
from cxsdk.collector import serve
serve(port=0, path=sys.argv[1], on_ready=lambda url: print(url, flush=True))
"""


@pytest.fixture
def process(tmp_path):
    """
    A collector in a process of its own, and its URL.
    """
    running = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path / "c.db")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield running, running.stdout.readline().strip()
    running.kill()
    running.wait()
    running.stdout.close()


def test_what_was_answered_survives_kill(process, tmp_path, facts):
    """Killed right after each 200, the file holds every event that was accepted."""
    running, url = process
    sent = [facts.interaction(id=f"e{n}") for n in range(300)]
    with httpx.Client(base_url=url, trust_env=False) as client:
        for start in range(0, 300, 50):
            answer = client.post("/events", json=sent[start : start + 50])
            assert answer.json()["accepted"] == 50
        running.send_signal(signal.SIGKILL)
    running.wait()
    store = Store(tmp_path / "c.db")
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM events").fetchone()[0] == 300
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    store.close()


def test_sigterm_ends_it(process):
    """A supervisor's SIGTERM stops the process within its time."""
    running, url = process
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    running.terminate()
    assert running.wait(timeout=20) in {0, -signal.SIGTERM}


def test_command_prints_the_address_and_nothing_of_the_server(tmp_path, facts):
    """With good requests, a bad one and an unknown page stderr stays empty and stdout is ours."""
    running = subprocess.Popen(
        [sys.executable, "-m", "cxsdk", "collector", "--port", "0", "--db", tmp_path / "c.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    url = running.stdout.readline().split()[1]
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.post("/events", json=[facts.interaction()]).json()["accepted"] == 1
        assert client.post("/events", content=b"<").status_code == 415
        assert client.get("/customers/nobody/journey").status_code == 404
        assert client.get("/").status_code == 200
    running.terminate()
    out, err = running.communicate(timeout=20)
    assert err == ""
    assert not re.search("uvicorn|INFO|Started|startup|HTTP/1", out)


def test_refusals_reach_stderr_without_event_data(tmp_path, facts):
    """The command warns of a refused event by its field, never with what stood in it."""
    running = subprocess.Popen(
        [sys.executable, "-m", "cxsdk", "collector", "--port", "0", "--db", tmp_path / "c.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    url = running.stdout.readline().split()[1]
    bad = facts.interaction("secret-customer", direction="secret_word")
    httpx.post(f"{url}/events", json=[bad], trust_env=False)
    running.terminate()
    _, err = running.communicate(timeout=20)
    assert "interaction." in err
    assert "ecret" not in err
    assert len(err.splitlines()) == 1


def test_answers_do_not_wait_for_acknowledgements(collector, facts):
    """Nagle's algorithm is off: twenty answers on one connection take no 40 ms each."""
    with httpx.Client(base_url=collector.url, trust_env=False) as client:
        client.get("/healthz")
        taken = []
        for _ in range(20):
            start = time.perf_counter()
            client.post("/events", json=[facts.interaction()])
            taken.append(time.perf_counter() - start)
    assert min(taken) < 0.03


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_open_to_others_needs_a_key(host):
    """Beyond loopback the collector starts only with a key, and says so."""
    with pytest.raises(ConfigurationError, match="API key"):
        serve(host, 0)


def test_taken_port_is_a_configuration_error(collector):
    """A second collector on the same port is told which."""
    port = int(collector.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=str(port)):
        Collector(port=port)


def test_collector_leaves_no_thread_and_no_folder_behind():
    """After the context its thread has ended and its temporary file is gone; stop may be repeated."""
    before = set(threading.enumerate())
    with Collector() as running:
        path = running.store.path
        assert path.exists()
    running.stop()
    assert not path.parent.exists()
    assert not {thread for thread in set(threading.enumerate()) - before if "cxsdk" in thread.name}


def test_limits_are_checked():
    """A limit of nothing is refused by name."""
    with pytest.raises(ConfigurationError, match=r"Limits\.events"):
        Limits(events=0)


def test_missing_extra_says_what_to_install():
    """Without starlette the import names the command that helps."""
    script = (
        "import sys; sys.modules['starlette'] = None\n"
        "try:\n    import cxsdk.collector\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout
    assert told.startswith(ExtraMissingError.__name__)
    assert "pip install 'cxsdk[collector]'" in told
