"""
``cxsdk doctor``: what is set, and what is wrong.
"""

from __future__ import annotations

import json
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cxsdk.cli import _checks
from cxsdk.collector import Collector
from cxsdk.testing.faults import FaultCollector, status


@pytest.fixture
def doctor(cxsdk, tmp_path):
    """
    Run ``cxsdk doctor --json``; return (exit code, settings, findings).
    """

    def examine(**variables):
        found = cxsdk("doctor", "--json", "--timeout", "3",
                      CXSDK_SPOOL_DIR=str(tmp_path / "spool"), **variables)  # fmt: skip
        told = json.loads(found.stdout)
        return found.returncode, told["settings"], told["findings"]

    return examine


def problems(findings):
    return {each["subject"]: each for each in findings if each["level"] == "problem"}


def test_a_sound_place_is_exit_code_0(doctor, collector):
    """Everything in order: no problem, the collector answers, the clocks agree."""
    code, _, findings = doctor(CXSDK_COLLECTOR=collector.url)
    assert (code, problems(findings)) == (0, {})
    words = {each["subject"]: each["words"] for each in findings}
    assert "answers 200" in words["collector"]
    assert "agrees" in words["clock"]
    assert "level" in words["spool"]


def test_it_says_where_each_value_comes_from(doctor):
    """Environment or default, with the variable's name."""
    _, settings, _ = doctor(CXSDK_SERVICE="shop", CXSDK_INTERACTION_SAMPLE="0.5")
    assert settings["service"] == {
        "value": "shop",
        "from": "CXSDK_SERVICE",
        "variable": "CXSDK_SERVICE",
    }
    assert settings["capture.sample"]["from"] == "CXSDK_INTERACTION_SAMPLE"
    assert settings["environment"]["from"] == "default"


def test_secrets_are_not_shown(cxsdk, collector):
    """Neither API key nor key nor credentials in a URL are printed, in any form."""
    for more in ([], ["--json"]):
        found = cxsdk("doctor", *more, CXSDK_API_KEY="hush-hush", CXSDK_KEY="hush-" * 5,
                      CXSDK_COLLECTOR=collector.url.replace("//", "//me:hush@"))  # fmt: skip
        assert "hush" not in found.stdout + found.stderr
        assert "(set, not shown)" in found.stdout


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("CXSDK_KEY", "hush", "16 bytes"),
        ("CXSDK_SPOOL_MAX_AGE", "long", "ignored"),
        ("CXSDK_TZ", "Nowhere/Land", "IANA"),
        ("CXSDK_SERVICE", "my shop", "service"),
        ("CXSDK_COLECTOR", "http://x", "not known"),
    ],
)
def test_wrong_variables_are_problems(doctor, variable, value, word):
    """A wrong value or an unknown name is a problem with what to do."""
    code, _, findings = doctor(**{variable: value})
    found = problems(findings)["setting"]
    assert code == 1
    assert variable in found["words"]
    assert word in found["words"]
    assert "hush" not in found["words"]
    assert found["todo"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "gopher://x", "http://[x"])
def test_a_collector_that_is_not_there_is_a_problem(doctor, url):
    """Nobody answers, or it is no URL at all."""
    code, _, findings = doctor(CXSDK_COLLECTOR=url)
    assert code == 1
    assert problems(findings)["collector"]["todo"]


def test_a_missing_key_is_a_problem(doctor):
    """401 is told apart from silence, and the key's variable is named."""
    with Collector(api_key="right") as locked:
        code, _, findings = doctor(CXSDK_COLLECTOR=locked.url)
        assert code == 1
        assert "CXSDK_API_KEY" in problems(findings)["collector"]["todo"]
        assert doctor(CXSDK_COLLECTOR=locked.url, CXSDK_API_KEY="right")[0] == 0


def test_a_wrong_clock_is_a_problem(doctor):
    """The collector's Date header is an hour off."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(200)
            self.send_header("Date", "Tue, 01 Jan 2019 00:00:00 GMT")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, _, findings = doctor(CXSDK_COLLECTOR=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert code == 1
    assert "ahead of the collector's" in problems(findings)["clock"]["words"]


def test_leftovers_of_other_services_are_a_problem(doctor, leave):
    """What another service left needs somebody; what this one left goes at its next start."""
    leave(3, service="other", environment="test")
    leave(4, service="shop")
    code, _, findings = doctor(CXSDK_SERVICE="shop")
    assert code == 1
    assert "3 events" in problems(findings)["leftovers"]["words"]
    assert (
        "cxsdk spool drain --service other --environment test"
        in (problems(findings)["leftovers"]["todo"])
    )
    notes = [each for each in findings if each["level"] == "note"]
    assert any("4 events" in each["words"] for each in notes)


def test_pulled_switches_are_told(doctor, tmp_path):
    """CXSDK_DISABLED, a sample and the OFF file are told with how to undo them."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "OFF").touch()
    code, _, findings = doctor(CXSDK_DISABLED="1", CXSDK_INTERACTION_SAMPLE="0.1")
    words = " ".join(each["words"] for each in findings if each["subject"] == "switch")
    assert code == 1
    assert "CXSDK_DISABLED" in words
    assert "OFF exists" in words
    assert "10%" in words


def test_a_place_that_cannot_be_a_spool_is_a_problem(cxsdk, tmp_path):
    """A file where the root should be."""
    (tmp_path / "file").touch()
    found = cxsdk("doctor", CXSDK_SPOOL_DIR=str(tmp_path / "file"))
    assert found.returncode == 1
    assert "no directory" in found.stdout


def test_too_little_room_is_a_problem(doctor):
    """Less than what must stay free: events would stay in memory."""
    code, _, findings = doctor(CXSDK_SPOOL_MIN_FREE_BYTES=str(1 << 60))
    assert code == 1
    assert "CXSDK_SPOOL_MIN_FREE_BYTES" in problems(findings)["disk"]["todo"]


def test_the_text_says_why_events_may_be_dropped(cxsdk):
    """The reasons of Dropped stand there with what to do, and notes with an arrow."""
    found = cxsdk("doctor")
    assert "not_initialised" in found.stdout
    assert "no_customer" in found.stdout
    assert "→" in found.stdout


def test_it_touches_nothing(doctor, tmp_path):
    """The spool root is not made by looking for it."""
    doctor()
    assert not (tmp_path / "spool").exists()


def test_a_living_service_on_hold_is_explained(doctor, leave):
    """What a running process says of its sink is read from outside, with what to do."""
    with FaultCollector(status(401)) as strict:
        leave(5, service="lives", url=strict.url, linger=0)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            code, _, findings = doctor(CXSDK_SERVICE="lives")
            if "delivery" in problems(findings):
                break
    assert code == 1
    assert "is on hold: http 401" in problems(findings)["delivery"]["words"]
    assert "5 events wait, none is lost" in problems(findings)["delivery"]["words"]
    assert "CXSDK_API_KEY" in problems(findings)["delivery"]["todo"]


def test_it_knows_every_extra():
    """What may be installed besides is what the package declares."""
    root = Path(__file__).parent.parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(_checks._EXTRAS) == project["optional-dependencies"].keys() - {"all"}
