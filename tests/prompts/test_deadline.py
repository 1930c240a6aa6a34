"""
A page waits no longer than it said, whatever hangs behind it.
"""

from __future__ import annotations

import os
import threading
import time

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts.deadline import Deadline


def test_what_is_quick_is_returned_and_what_it_raises_is_raised():
    """As if it had been called here."""
    deadline = Deadline(5.0)
    assert deadline.call(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        deadline.call(lambda: 1 / 0)
    deadline.close()


def test_after_a_miss_nothing_is_asked_for_a_while():
    """One page waits, the next ones do not; after the rest it is tried again."""
    now = [0.0]
    deadline = Deadline(0.05, monotonic=lambda: now[0])
    go = threading.Event()
    calls = []
    with pytest.raises(StoreUnavailableError, match=r"within 0\.05 s"):
        deadline.call(lambda: go.wait(30))
    with pytest.raises(StoreUnavailableError, match="a moment ago"):
        deadline.call(lambda: calls.append(1))
    assert calls == []
    go.set()
    now[0] = 0.6
    assert deadline.call(lambda: "back") == "back"
    deadline.close()


def test_what_comes_too_late_is_undone():
    """A reservation that nobody waits for any more is taken back, once."""
    deadline = Deadline(0.05)
    go, undone = threading.Event(), threading.Event()
    with pytest.raises(StoreUnavailableError):
        deadline.call(lambda: go.wait(30), undone.set)
    assert not undone.is_set()
    go.set()
    assert undone.wait(5)
    deadline.close()


def test_calls_that_never_got_a_thread_are_not_made_later():
    """With all threads stuck a queued call is given up, not run behind everybody's back."""
    now = [0.0]
    deadline = Deadline(0.05, threads=1, monotonic=lambda: now[0])
    go = threading.Event()
    ran = []
    with pytest.raises(StoreUnavailableError):
        deadline.call(lambda: go.wait(30))
    now[0] = 10.0
    with pytest.raises(StoreUnavailableError):
        deadline.call(lambda: ran.append(1))
    go.set()
    now[0] = 20.0
    assert deadline.call(lambda: 7) == 7
    assert ran == []
    deadline.close()


def test_a_forked_child_has_threads_of_its_own():
    """The parent's threads do not exist in the child, and nobody waits for them."""
    deadline = Deadline(5.0)
    assert deadline.call(lambda: 1) == 1
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if deadline.call(lambda: 2) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    deadline.close()


def test_many_at_once_share_few_threads():
    """Forty calls of five milliseconds go through four threads."""
    deadline = Deadline(5.0)
    before = threading.active_count()
    results = []

    def ask(n):
        results.append(deadline.call(lambda: time.sleep(0.005) or n))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(40))
    assert threading.active_count() - before <= 4
    deadline.close()
