"""
A Flask application for each test, and what a test says of it.
"""

from __future__ import annotations

import flask
import pytest

from cxsdk.testing import capture


@pytest.fixture
def app():
    app = flask.Flask("shop")
    app.secret_key = "test"
    app.testing = True
    return app


@pytest.fixture
def user():
    """Who a header names: the resolver of most tests."""
    return lambda request: request.headers.get("x-user")


@pytest.fixture
def u1():
    return {"x-user": "u1"}


@pytest.fixture
def said():
    """Outcomes with their error types, in order."""

    def said(events):
        return [
            (e.data.outcome, e.data.error.type if e.data.error else "")
            for e in events.of("interaction")
        ]

    return said


@pytest.fixture
def events():
    """What is emitted, as in production: visitors of whom nothing is known raise nothing."""
    with capture(strict=False) as captured:
        yield captured
