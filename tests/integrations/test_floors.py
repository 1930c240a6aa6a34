"""
The oldest versions, said in one place and tested there.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cxsdk.errors import ExtraMissingError, IntegrationError
from cxsdk.integrations import floors

ROOT = Path(__file__).parents[2]


def _pinned(text):
    found = re.findall(r"^([a-z]+)(?:\[[a-z,]+\])?[=>]=(\d+)\.(\d+)", text, re.MULTILINE)
    return {name: (int(major), int(minor)) for name, major, minor in found}


def test_what_is_tested_is_what_is_said():
    """The pins of the oldest environment are the floors."""
    assert _pinned((ROOT / ".ci" / "oldest.txt").read_text()) == floors.FLOORS


def test_the_extras_ask_for_the_same():
    """Nobody installs an extra and gets a version that the integration refuses."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {name: _pinned("\n".join(extras[name]))[name] for name in floors.FLOORS} == floors.FLOORS


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(floors.FLOORS, "no-such-package", (1, 0))
    with pytest.raises(ExtraMissingError, match=r"pip install 'cxsdk\[no-such-package\]'"):
        floors.need("no-such-package")


@pytest.mark.parametrize("found", ["2.2.9", "1.99", "2.2rc1"])
def test_a_package_that_is_too_old_is_refused(monkeypatch, found):
    """The message says which version is wanted."""
    monkeypatch.setattr(floors, "version", lambda _: found)
    with pytest.raises(IntegrationError, match=r"older than 2\.3"):
        floors.need("flask")


@pytest.mark.parametrize("found", ["2.3", "2.3.0rc1", "3.1.3", "10.0"])
def test_newer_ones_are_taken(monkeypatch, found):
    """Also those of two digits."""
    monkeypatch.setattr(floors, "version", lambda _: found)
    assert floors.need("flask") is None
