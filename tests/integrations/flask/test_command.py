"""
``flask cx``: the command with what the application's code says.
"""

from __future__ import annotations

import flask
import pytest

import cxsdk as cx
from cxsdk.config import SETTINGS
from cxsdk.integrations.flask import CX, as_interaction

TOML = """
[effort]
scope = "transactional"

[[effort.questions]]
id = "easy"
kind = "ces"
"""


@pytest.fixture
def run(app, tmp_path, monkeypatch, capfd):
    """Run words of ``flask cx``; return the exit code and what was said."""
    monkeypatch.setenv("CXSDK_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.delenv("CXSDK_REQUIRE_SERVICES", raising=False)  # no setting, the doctor would say
    # What the command puts into the environment does not outlast the test.
    for row in SETTINGS:
        if row.env != "CXSDK_SPOOL_DIR":
            monkeypatch.setenv(row.env, "")
            monkeypatch.delenv(row.env)
    (tmp_path / "prompts.toml").write_text(TOML)
    app.config["CXSDK"] = {
        "collector": "null:",
        "exclude": ["/internal/*"],
        "prompts": {"files": str(tmp_path / "prompts.toml"), "store": "memory:"},
    }

    def run(*words):
        capfd.readouterr()
        made = app.test_cli_runner(catch_exceptions=False).invoke(args=["cx", *words])
        return made.exit_code, made.output

    yield run
    client = cx.client()
    if client is not None:
        client.close(0)


def test_doctor_says_which_marked_routes_are_left_out(app, run):
    """A mark below an excluded path does nothing, which nobody would see from the code."""
    app.add_url_rule("/live", "live", as_interaction("live.show")(lambda: ""))
    app.add_url_rule("/internal/pay", "pay", as_interaction("pay.own")(lambda: ""))
    app.add_url_rule("/health", "health", lambda: "")
    CX(app, interactions=[{"view": "health"}])
    code, text = run("doctor")
    assert "0 of the application's routes" in text
    assert "/live is an excluded path, so live.show is no interaction" in text
    assert "/internal/pay is an excluded path" in text
    assert "/health is" not in text
    assert code == 1


def test_doctor_says_what_is_captured_and_who_is_asked(app, run):
    """Routes with their touchpoints, where the customer comes from, the settings of the code."""
    app.add_url_rule("/pay/<int:order>", view_func=as_interaction(stage="order")(lambda order: ""))
    app.add_url_rule("/quiet", view_func=lambda: "", endpoint="quiet")
    CX(app)
    code, text = run("doctor")
    assert "GET    /pay/<int:order>  pay.order" in text
    assert "/quiet" not in text
    assert "user_id in the session" in text
    assert "at /cx" in text
    assert "null:" in text
    assert code == 0


def test_the_command_knows_what_the_code_says(app, run, monkeypatch):
    """Also what is no plain text: zones, keys; what is set outside wins, and secrets are not shown."""
    monkeypatch.setenv("CXSDK_PURPOSE", "contract")
    app.config["CXSDK"] |= {
        "tz": "Europe/Vienna",
        "purpose": "support",
        "privacy": {"key": b"a-key-of-the-team", "deny_keys": ("token", "pin")},
    }
    CX(app)
    code, text = run("doctor")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    assert (rows["tz"][0], rows["privacy.deny_keys"][:2]) == (
        "Europe/Vienna",
        ["('token',", "'pin')"],
    )
    assert (code, rows["purpose"][0]) == (0, "contract")
    assert "a-key-of-the-team" not in text
    assert rows["privacy.key"][0] != "-"


def test_doctor_finds_strays(app, run, monkeypatch):
    """They are a problem: exit code 1."""

    @app.get("/stray")
    def stray():
        return "x"

    monkeypatch.setitem(globals(), "stray", cx.interaction("stray.seen")(stray))
    globals()["stray"].__qualname__ = stray.__qualname__ = "stray"
    CX(app)
    code, text = run("doctor")
    assert (code, "/stray was registered before" in text) == (1, True)


def test_prompts_need_no_path(app, run):
    """That of the application is meant; another may be named."""
    CX(app)
    code, text = run("prompts", "check")
    assert (code, "effort" in text) == (0, True)
    code, text = run("prompts", "preview", "effort")
    assert (code, "easy" in text.lower()) == (0, True)
    assert run("prompts", "check", "--help")[0] == 0


def test_spool_and_touchpoints_are_those_of_the_application(app, run, tmp_path):
    """The spool is where the settings say, the sources where the application's are."""
    (tmp_path / "shop.py").write_text('import cxsdk as cx\n\ncx.record("shop.seen")\n')
    app.root_path = str(tmp_path)
    CX(app)
    code, text = run("touchpoints", "ls")
    assert (code, "shop.seen" in text) == (0, True)
    assert run("spool", "ls")[0] == 0


def test_a_second_extension_adds_no_second_group(app):
    """Commands are added once."""
    CX(app)
    CX(app).uninstall()
    CX(app)
    assert list(app.cli.commands) == ["cx"]
    other = flask.Flask("other")
    other.cli.add_command(app.cli.commands["cx"])
    CX(other)
    assert other.cli.commands == app.cli.commands
