"""
Django's models as a source.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cxsdk.errors import IntegrationError
from cxsdk.lookup import DjangoProvider

CASES = Path(__file__).with_name("django_cases.py")


def test_over_real_models():
    """The whole suite and more, in a process whose Django is its own."""
    command = [sys.executable, "-m", "pytest", str(CASES), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_without_django_the_command_that_installs_it_is_named(monkeypatch):
    """At construction, not at the first fetch."""
    monkeypatch.setitem(sys.modules, "django.db", None)
    with pytest.raises(IntegrationError, match="pip install django"):
        DjangoProvider("shop", ("profile",), lambda _: None)
