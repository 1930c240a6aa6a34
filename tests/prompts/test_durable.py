"""
An answer that was acknowledged outlives the process, and so does that its customer was asked.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request

import pytest

from cxsdk.testing.faults import FaultCollector
from tests.acceptance.kill import environment

HOST = """
import json, sys, threading
from wsgiref.simple_server import make_server, WSGIRequestHandler

import cxsdk as cx
from cxsdk.prompts import Prompt, Question

given = json.loads(sys.argv[1])
cx.init(
    service="shop",
    collector=given["collector"],
    spool=cx.SpoolOptions(directory=given["root"], min_free_bytes=0),
    prompts=cx.PromptOptions(
        prompts=[Prompt(key="checkout_effort", questions=[Question(id="effort", kind="ces")])],
        deadline=5.0,
    ),
)


def say(**facts):
    print(json.dumps(facts), flush=True)


def ask(customer):
    with cx.scope(customer=customer):
        with cx.interaction("checkout.pay"):
            pass
        return cx.prompts.offer("checkout_effort")


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def serve():
    server = make_server("127.0.0.1", 0, cx.prompts.wsgi_app(), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


"""

FIRST = """
say(port=serve(), tokens=[ask(f"c{n}").token for n in range(20)])
sys.stdin.read()
"""

SECOND = """
say(reasons=[ask(f"c{n}").reason for n in range(20)], fresh=bool(ask("somebody else")))
report = cx.flush(20)
say(pending=report.pending)
cx.close()
"""


@pytest.fixture
def start(tmp_path):
    """Start a host with a program of its own; it is killed at the end."""
    running = []

    def start(program, **given):
        path = tmp_path / f"host{len(running)}.py"
        path.write_text(HOST + textwrap.dedent(program))
        given = {"root": str(tmp_path / "root"), **given}
        process = subprocess.Popen(
            [sys.executable, str(path), json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def answer(port, token, value):
    """Post an answer as a form's script does; return the status."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/o/{token}",
        data=json.dumps({"answers": {"effort": value}}).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status


@pytest.mark.slow
def test_an_answer_survives_kill_9_right_after_the_response(start):
    """
    Twenty answers over HTTP while no collector listens, then kill -9: all arrive, and nobody who
    was asked is asked again.
    """
    with FaultCollector() as collector:
        collector.stop()
        first = start(FIRST, collector=collector.url)
        said = json.loads(first.stdout.readline())
        for number, token in enumerate(said["tokens"]):
            assert answer(said["port"], token, 1 + number % 7) == 200
        first.send_signal(signal.SIGKILL)
        assert first.wait(10) == -signal.SIGKILL
        with pytest.raises(urllib.error.URLError):
            answer(said["port"], said["tokens"][0], 1)

        collector.start()
        second = start(SECOND, collector=collector.url)
        asked = json.loads(second.stdout.readline())
        assert asked["reasons"] == ["cap_global"] * 20
        assert asked["fresh"]
        assert json.loads(second.stdout.readline()) == {"pending": 0}
        assert second.wait(20) == 0
        events = [event for r in collector.requests for event in json.loads(r.wire_bytes)]
    given = [event for event in events if ".feedback.given." in event["type"]]
    assert len(given) == 20
    assert {event["data"]["customer"]["id"] for event in given} == {f"c{n}" for n in range(20)}
