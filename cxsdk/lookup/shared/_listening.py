"""
The one thread on which a memory hears what other processes changed.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from cxsdk._guard import voice

__all__ = ["Ear", "Listener", "spoken"]

_TURN_S = 0.25
"""How long `close` may have to wait for a thread that hears nothing."""
_BEAT_S = 5.0
"""After so long without a word the connection is tried."""
_FIRST_S, _MOST_S = 0.05, 5.0


class Ear(Protocol):
    """
    A connection that hears a channel. For one thread; anything that it raises ends it.
    """

    def listen(self, seconds: float) -> Sequence[str]:
        """
        Return what was said; empty after *seconds* of silence.
        """

    def beat(self) -> Sequence[str]:
        """
        Raise unless the other side is alive; return what it said meanwhile.
        """

    def close(self) -> None:
        """
        Hang up.
        """


def spoken(message: str, me: str) -> Sequence[str]:
    """
    Return the subjects of a message ``<who> <subject> <subject> …``; none where *me* said it.
    """
    who, *subjects = message.split(" ")
    return () if who == me else subjects


class Listener:
    """
    Hears on a daemon thread ``cxsdk-memory`` until it is closed, connecting again with back-off.

    Args:
        connect: makes an ear, or raises.

        me: what this process begins its messages with.

        heard: see `cxsdk.remembering.SharedMemory.subscribe`.
    """

    def __init__(
        self, connect: Callable[[], Ear], me: str, heard: Callable[[str | None], None]
    ) -> None:
        self._connect = connect
        self._me = me
        self._heard = heard
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cxsdk-memory", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = _FIRST_S
        while not self._ending.is_set():
            ear: Ear | None = None
            began = time.monotonic()
            try:
                ear = self._connect()
                self._tell(None)  # what was said before nobody heard
                self._listen(ear)
            except Exception:  # noqa: BLE001, S110 - drivers raise what they like; connect again
                pass
            finally:
                if ear is not None:
                    with suppress(Exception):
                        ear.close()
            if time.monotonic() - began > _MOST_S:
                pause = _FIRST_S
            if not self._ending.is_set():
                self._ending.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - a pause
                pause = min(_MOST_S, pause * 2)

    def _listen(self, ear: Ear) -> None:
        beaten_at = time.monotonic()
        while not self._ending.is_set():
            said = ear.listen(_TURN_S)
            if not said and time.monotonic() - beaten_at >= _BEAT_S:
                said = ear.beat()
                beaten_at = time.monotonic()
            for message in said:
                for subject in spoken(message, self._me):
                    self._tell(subject)

    def _tell(self, subject: str | None) -> None:
        if self._ending.is_set():
            return
        try:
            self._heard(subject)
        except Exception as error:  # noqa: BLE001 - whoever hears does not end the hearing
            voice.say(
                logging.WARNING,
                "memory_heard",
                "cxsdk: what hears the shared memory failed: %s",
                type(error).__name__,
            )

    def close(self, seconds: float = 2.0) -> None:
        """
        End the thread; wait for it so long at most, unless it is the caller.
        """
        self._ending.set()
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)
