"""
Sticky sampling: the same people every time, so that whoever comes often is not asked more.
"""

from __future__ import annotations

import hashlib

from cxsdk.prompts.model import Sampling

__all__ = ["is_in"]


def is_in(sampling: Sampling, prompt: str, unit: str, now: float) -> bool:
    """
    Say whether *unit* (an opaque id) is among those whom *prompt* may ask at *now*.

    A hash of salt, wave and unit below the rate: no dice, nothing to remember, and the inclusion
    probability is the rate itself.
    """
    if sampling.rate >= 1:
        return True
    wave = int(now // sampling.wave) if sampling.wave else 0
    text = f"{sampling.salt or prompt}|{wave}|{unit}"
    first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return first < sampling.rate * 2**64
