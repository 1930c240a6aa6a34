"""
The extension: what it is made with, and what is said where that is wrong.
"""

from __future__ import annotations

import logging

import flask
import pytest

import cxsdk as cx
from cxsdk.errors import ConfigurationError
from cxsdk.integrations.flask import CX


@pytest.fixture
def clients():
    """Default clients that a test makes are closed behind it."""
    yield
    client = cx.client()
    if client is not None:
        client.close(0)


@pytest.mark.usefixtures("clients")
def test_option_groups_come_from_the_environment_too(app, monkeypatch):
    """``from_prefixed_env`` leaves names in the case of the environment, also within a group."""
    monkeypatch.setenv("FLASK_CXSDK__COLLECTOR", "null:")
    monkeypatch.setenv("FLASK_CXSDK__DELIVERY__LINGER", "0.25")
    app.config.from_prefixed_env()
    CX(app)
    assert cx.client().settings.delivery.linger == 0.25


@pytest.mark.parametrize("wrong", [7, flask.Blueprint("shop", "shop")])
def test_what_is_no_application_is_said(wrong):
    """Where the extension is made, by its name."""
    with pytest.raises(ConfigurationError, match="expected an application of Flask, got"):
        CX(wrong)


@pytest.mark.parametrize("wrong", [7, None, flask.Flask("shop")])
def test_only_what_has_views_can_be_captured(wrong):
    """A mark on a whole application would do nothing; rules are for that."""
    with pytest.raises(ConfigurationError, match="expected a blueprint or a class"):
        CX.capture(wrong, stage="support")


@pytest.mark.usefixtures("clients")
def test_two_applications_of_different_settings_are_told_apart(app, caplog):
    """There is one default client: whoever needs two is told how."""
    CX(app, collector="null:")
    with caplog.at_level(logging.WARNING, "cxsdk"):
        CX(flask.Flask("admin"), collector="null:", service="admin")
    assert "CX(app, client=cx.Client(…))" in caplog.text


def test_a_captured_view_that_serves_nobody_is_named(app, events, caplog):
    """The place alone would be a line of Flask's."""
    CX(app, interactions=[{"route": "/pay"}])
    app.add_url_rule("/pay", "pay", lambda: "")
    app.test_client().get("/pay")
    assert "no_customer at pay, " in caplog.text
    assert list(events) == []
