"""
Values of arguments: what is wrong with one is said in words.
"""

from __future__ import annotations

import argparse
import math

__all__ = ["above_zero", "port", "share", "whole"]


def above_zero(text: str) -> float:
    """
    Read a finite number above zero.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def share(text: str) -> float:
    """
    Read a share, 0 to 1.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number 0 to 1, got {text!r}")
    return value


def whole(text: str) -> int:
    """
    Read a whole number from one.

    Raises:
        ArgumentTypeError: it is none.
    """
    return _between(text, 1, None)


def port(text: str) -> int:
    """
    Read a port, 0 to 65,535.

    Raises:
        ArgumentTypeError: it is none.
    """
    return _between(text, 0, 65_535)


def _between(text: str, least: int, most: int | None) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        end = f" to {most}" if most is not None else ""
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}{end}, got {text!r}")
    return value
