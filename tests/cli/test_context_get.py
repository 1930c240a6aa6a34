"""
``cxsdk context get``: what is known of one customer, of a collector, its file or a service.
"""

from __future__ import annotations

import json
import sys

import pytest
from msgspec import json as wire

import cxsdk as cx
from cxsdk import _default
from cxsdk.cli import main
from cxsdk.collector import Collector, Limits, Store
from cxsdk.collector.row import judge
from cxsdk.errors import ConfigurationError
from tests.collector.conftest import Facts

APP = """
import cxsdk as cx
from cxsdk.lookup.providers.call import CallableProvider

def crm(customer):
    return {"profile": {"name": "Anna"}, "problems": None} if customer == "u1" else {}

client = cx.init(
    "shop",
    collector="memory:",
    context=cx.ContextOptions(
        providers=[CallableProvider("crm", ("profile", "problems"), crm)], overlay=False
    ),
)
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    for name in ("CXSDK_KEY", "CXSDK_COLLECTOR", "CXSDK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(params=["http", "file"])
def source(request, tmp_path):
    """
    Arguments that name a collector that heard of a defect, running or as a file.
    """
    path = tmp_path / "collector.db"
    store = Store(path)
    told = [Facts().problem("anna", "defect", id="e1")]
    store.add([judge(wire.encode(event), Limits(), strict=False) for event in told])
    store.close()
    if request.param == "file":
        yield ["--file", str(path)]
        return
    with Collector(path, api_key="k") as running:
        yield ["--collector", running.url, "--key", "k"]


@pytest.fixture
def get(capsys):
    """
    Run ``cxsdk context get …``; return exit code and stdout.
    """

    def run(*words):
        code = main(["context", "get", *map(str, words)])
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def app(tmp_path):
    """
    A module of a service, gone with its client at the end.
    """
    (tmp_path / "service_of_ours.py").write_text(APP, encoding="utf-8")
    yield "service_of_ours"
    sys.modules.pop("service_of_ours", None)
    client = _default.replace(None)
    if client is not None:
        client.close(0)


def test_a_collector_tells_what_it_heard(get, source):
    """Each section with its reason and source; values only where they are asked for."""
    code, out = get("anna", "--sections", "problems,feedback", *source)
    rows = [line.split() for line in out.splitlines()]
    name = "file" if source[0] == "--file" else "collector"
    assert 0 == code
    assert ["section", "known", "reason", "source", "age", "items"] == rows[0]
    assert ["problems", "yes", "resolved", name] == rows[1][:4]
    assert ["feedback", "yes", "resolved", name] == rows[2][:4]
    assert "defect" not in out
    assert "defect" in get("anna", *source, "--show-values")[1]


def test_for_machines_and_for_those_who_ask_why(get, source):
    """JSON has no values unless asked for; --explain has the purpose and the time."""
    code, out = get("anna", "--sections", "problems", "--purpose", "service", "--json", *source)
    said = json.loads(out)
    # Nobody is known to have agreed to that purpose.
    assert (1, "service", "consent_denied") == (
        code,
        said["purpose"],
        said["sections"]["problems"]["reason"],
    )
    assert "value" not in said["sections"]["problems"]
    shown = json.loads(get("anna", "--json", "--show-values", *source)[1])
    assert "defect" == shown["sections"]["problems"]["value"][0]["problem"]
    assert get("anna", "--explain", *source)[1].startswith("purpose support, assurance")


def test_ids_are_hashed_as_a_service_would(get, tmp_path, monkeypatch):
    """With the key of the service the host's id leads to the pseudonym; --wire takes that itself."""
    key = "a secret of the team, long enough"
    with cx.Client("x", collector="null:", privacy=cx.PrivacyOptions(key=key.encode())) as one:
        pseudonym = one.capture().customers.resolve(("anna", None, None, None)).block["id"]
    store = Store(tmp_path / "collector.db")
    told = [Facts().problem(pseudonym, "defect", id="e1")]
    store.add([judge(wire.encode(event), Limits(), strict=False) for event in told])
    store.close()
    monkeypatch.setenv("CXSDK_KEY", key)
    where = ["--file", tmp_path / "collector.db", "--sections", "problems"]
    assert "resolved" in get("anna", *where)[1]
    assert "resolved" in get(pseudonym, "--wire", *where)[1]
    assert "not_found" in get(pseudonym, *where)[1]


@pytest.mark.parametrize("attribute", ["", ":client"])
def test_a_service_is_asked_with_its_own_client(get, app, attribute):
    """The module is imported, and its client or the default one looks up."""
    code, out = get("u1", "--app", app + attribute, "--show-values")
    assert 0 == code
    assert "Anna" in out
    assert 0 == get("u2", "--app", app + attribute)[0]


def test_a_section_that_is_not_known_is_a_finding(get, app):
    """The exit code says that something could not be said."""
    code, out = get("u1", "--app", app, "--sections", "profile,orders")
    assert 1 == code
    assert "unsupported" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["u1"], "say whom to ask"),
        (["u1", "--file", "nowhere.db"], "is not there"),
        (["u1", "--app", "no_such_module_of_ours"], "there is no module"),
        (["u1", "--app", "json:nothing"], "expected module:attribute"),
        (["u1", "--app", "json"], "cx.init did not run"),
        (["u1", "--app", "json", "--collector", "http://127.0.0.1:1"], "not together"),
    ],
)
def test_what_is_asked_wrongly_is_said(words, said, capsys):
    """In words, with exit code 2."""
    assert 2 == main(["context", "get", *words])
    assert said in capsys.readouterr().err
    assert issubclass(ConfigurationError, ValueError)


def test_a_collector_that_is_not_there_is_a_finding(get):
    """Nothing is known, and each section says why."""
    code, out = get("u1", "--collector", "http://127.0.0.1:9", "--sections", "problems", "--json")
    assert (1, "error") == (code, json.loads(out)["sections"]["problems"]["reason"])
