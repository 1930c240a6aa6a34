"""
The oldest version of each package that the integrations are tested with.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from cxsdk.errors import ExtraMissingError, IntegrationError

__all__ = ["FLOORS", "need"]

FLOORS = {
    "celery": (5, 3),
    "django": (4, 2),
    "fastapi": (0, 110),
    "flask": (2, 3),
    "requests": (2, 28),
    "starlette": (0, 37),
}
"""Package, which is also the name of its extra → major and minor version."""


def need(package: str) -> None:
    """
    Look whether *package* is there and not too old.

    Raises:
        ExtraMissingError: it is not installed; the message says what to install.
        IntegrationError: it is older than what the integration is tested with.
    """
    try:
        found = version(package)
    except PackageNotFoundError:
        raise ExtraMissingError(package, package) from None
    floor = FLOORS[package]
    if _numbers(found) < floor:
        wanted = ".".join(map(str, floor))
        raise IntegrationError(
            f"{package} {found} is older than {wanted}. Install a newer one with:"
            f" pip install '{package}>={wanted}'"
        )


def _numbers(text: str) -> tuple[int, ...]:
    # A release candidate counts as what it is a candidate for.
    return tuple(int(each) for each in re.findall(r"(?:^|\.)(\d+)", text)[:2])
