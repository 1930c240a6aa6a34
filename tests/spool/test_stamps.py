"""
What all processes of a host would say is said by one of them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time

import pytest

from cxsdk._guard import Voice
from cxsdk.spool import _disk
from cxsdk.spool.stamps import Stamps


def _ask(root, start, answers):
    start.wait()
    answers.put(Stamps(root, "shop", "test").first("hold:default"))


def test_one_of_many_processes_speaks(tmp_path):
    """Twelve processes that ask in the same moment: one may."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    asking = [context.Process(target=_ask, args=(tmp_path, start, answers)) for _ in range(12)]
    for process in asking:
        process.start()
    start.set()
    found = [answers.get(timeout=30) for _ in asking]
    for process in asking:
        process.join()
    assert sum(found) == 1


def test_another_reason_service_or_environment_is_another_matter(tmp_path):
    """Only the very same words of the very same service are the same."""
    assert Stamps(tmp_path, "shop", "test").first("hold:a")
    assert not Stamps(tmp_path, "shop", "test").first("hold:a")
    assert Stamps(tmp_path, "shop", "test").first("hold:b")
    assert Stamps(tmp_path, "cart", "test").first("hold:a")
    assert Stamps(tmp_path, "shop", "live").first("hold:a")


@pytest.mark.parametrize(("age", "speaks"), [(10, False), (3590, False), (3700, True), (-99, True)])
def test_it_is_said_again_after_an_hour(tmp_path, age, speaks):
    """A stamp holds for an hour; one from the future, by a clock that was set back, does not."""
    stamps = Stamps(tmp_path, "shop", "test")
    assert stamps.first("outage:default")
    (stamp,) = (tmp_path / ".said").iterdir()
    os.utime(stamp, (time.time() - age,) * 2)
    assert stamps.first("outage:default") is speaks
    assert stamps.first("outage:default") is False


def test_old_stamps_do_not_pile_up(tmp_path):
    """Beyond some hundred, those that hold no more are removed."""
    stamps = Stamps(tmp_path, "shop", "test")
    for number in range(300):
        stamps.first(f"hold:{number}")
    for stamp in (tmp_path / ".said").iterdir():
        os.utime(stamp, (0, 0))
    stamps.first("hold:new")
    assert len(list((tmp_path / ".said").iterdir())) == 1


@pytest.mark.parametrize("call", ["create", "pwrite", "fstat", "mkdir"])
def test_rather_twice_than_never(tmp_path, monkeypatch, call):
    """A disk that refuses silences nobody."""

    def refuse(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(_disk, call, refuse)
    assert Stamps(tmp_path, "shop", "test").first("hold:a")


def test_a_silenced_voice_counts_as_heard(caplog):
    """Where another process speaks, this one asks once an hour and not at every event."""
    asked = []

    def among(reason):
        asked.append(reason)
        return False

    now = [0.0]
    voice = Voice(lambda: now[0])
    with caplog.at_level(logging.INFO, "cxsdk"):
        said = [voice.say(logging.WARNING, "r", "words", among=among) for _ in range(3)]
        now[0] = 3601.0
        voice.say(logging.WARNING, "r", "words", among=among)
    assert said == [False] * 3
    assert asked == ["r", "r"]
    assert not caplog.records


def test_two_spools_of_a_root_speak_once(bench):
    """What a sink's trouble is, one of the processes that share a root says."""
    one, other = bench.open(), bench.open()
    assert one.speaks("hold:default")
    assert not other.speaks("hold:default")
