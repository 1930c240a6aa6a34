"""
The tables of the host's own apps in Django's default database.
"""

from __future__ import annotations

import logging

import pytest

from cxsdk.testing import capture
from tests.integrations.django.projects import migrated


@pytest.fixture
def host(tmp_path):
    """Users, sessions and the admin in a file of the test's own, as the default database."""
    with migrated(tmp_path / "host.db"):
        yield


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    # Django logs each 4xx and 5xx.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)


@pytest.fixture
def cx_events():
    """Capture events; not strict, as in production: many requests here are nobody's."""
    with capture(strict=False) as events:
        yield events
