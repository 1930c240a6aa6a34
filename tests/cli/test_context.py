"""
``cxsdk context``: whom to turn to, asked of a running collector or of its file.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import json as wire

from cxsdk.cli import main
from cxsdk.cli.context._goodwill import commitments
from cxsdk.cli.context._words import customer
from cxsdk.collector import Collector, Limits, Store
from cxsdk.collector.row import judge
from cxsdk.errors import ConfigurationError
from tests.collector.conftest import Facts

NOW = datetime.now(UTC)


def story():
    """
    Two customers met a defect, one of them twice; one promise is overdue, one broke silently.
    """
    facts = Facts()
    ago = {n: NOW - timedelta(days=n) for n in range(10)}
    return [
        facts.problem("anna", "defect", at=ago[4], id="e1"),
        facts.problem("anna", "defect", at=ago[3], id="e2"),
        facts.problem({"anonymous_id": "visit"}, "defect", at=ago[5], id="e3"),
        facts.promise("late", customer="ben", due_at=ago[2].isoformat(), at=ago[4]),
        facts.promise("broken", customer="carl", due_at=ago[2].isoformat(), at=ago[4]),
        facts.promise("broken", "broken", customer="carl", at=ago[1]),
    ]


@pytest.fixture(params=["http", "file"])
def source(request, tmp_path):
    """
    Arguments that name a collector with the story, running or as a file.
    """
    path = tmp_path / "collector.db"
    store = Store(path)
    store.add([judge(wire.encode(event), Limits(), strict=False) for event in story()])
    store.close()
    if request.param == "file":
        yield ["--file", str(path)]
        return
    with Collector(path, api_key="k") as running:
        yield ["--collector", running.url, "--key", "k"]


@pytest.fixture
def context(capsys):
    """
    Run ``cxsdk context …``; return exit code, stdout, stderr.
    """

    def run(*words):
        code = main(["context", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_due_lists_and_counts(context, source):
    """A table and a line; the same as JSON."""
    code, out, _ = context("due", *source)
    assert code == 0
    assert out.splitlines()[0].split() == ["until", "stands", "kind", "promise", "customer"]
    assert out.splitlines()[1].split()[2:] == ["overdue", "delivery", "late", "ben"]
    assert out.splitlines()[-1] == (
        "1 overdue, 0 due within 7 days, 0 in force that end within 30 days"
    )
    code, out, _ = context("due", *source, "--json", "--what", "due")
    assert (code, json.loads(out)["items"]) == (0, [])


def test_silent_lists_and_counts(context, source):
    """A table and a line with what it stands on."""
    code, out, _ = context("silent", *source)
    assert code == 0
    assert out.splitlines()[1].split()[0] == "carl"
    assert out.splitlines()[-1] == (
        "1 silent of 1 whom every promise failed, of 1 customers with a promise kept or broken;"
        " 1 of the silent were not asked"
    )
    assert json.loads(context("silent", *source, "--json")[1])["counts"]["judged"] == 1


def test_affected_lists_counts_and_exports(context, source):
    """A table that names the space of a visit, JSON, CSV."""
    code, out, _ = context("affected", *source, "--problem", "defect")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["anna", "anonymous:visit"]
    assert out.splitlines()[-1].startswith("2 to make good of 2 customers who met it (3 times")
    found = json.loads(context("affected", *source, "--problem", "defect", "--json")[1])
    _, out, _ = context("affected", *source, "--problem", "defect", "--csv")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["customer"] for row in rows] == [c["customer"]["id"] for c in found["customers"]]


def test_a_terminal_gets_no_control_characters():
    """Whatever answers there, an id turns no text and moves no cursor."""
    assert customer({"space": "id", "id": "a\u202eb\x1b[2J"}) == "a?b?[2J"


def test_make_good_shows_first_and_writes_once(context, source):
    """Nothing without --yes; then one commitment each, about what they met; then nobody is left."""
    make_good = ["affected", *source, "--problem", "defect", "--make-good", "refund"]
    make_good += ["--due-days", "7", "--tz", "Europe/Vienna"]
    code, out, _ = context(*make_good)
    assert code == 0
    assert "would promise a refund by " in out
    assert "to 2 customers; nothing is written yet" in out
    assert "2 to make good" in context("affected", *source, "--problem", "defect")[1]

    code, out, _ = context(*make_good, "--yes")
    assert (code, out.splitlines()[-1].rpartition(": ")[2]) == (0, "2 new, 0 known already")
    code, out, _ = context(*make_good, "--yes")
    assert (code, out.splitlines()[-1]) == (0, "nobody is left to promise anything to")

    due = json.loads(context("due", *source, "--days", "8", "--what", "due", "--json")[1])
    assert sorted(one["customer"]["id"] for one in due["items"]) == ["anna", "visit"]
    assert {one["kind"] for one in due["items"]} == {"refund"}


def test_two_who_make_it_good_at_once_promise_once(context, source, tmp_path):
    """What was worked out before the other wrote has the same ids, and is known already."""
    asked = ["affected", *source, "--problem", "defect", "--json"]
    customers = json.loads(context(*asked)[1])["customers"]
    first = commitments(customers, "refund", due=None, due_days=7, tz="UTC")
    later = commitments(
        customers, "refund", due=None, due_days=7, tz="UTC", now=NOW + timedelta(hours=1)
    )
    assert [one["id"] for one in first] == [one["id"] for one in later]
    names = [one["data"]["commitment_id"] for one in first]
    assert names == [one["data"]["commitment_id"] for one in later]
    assert not any("anna" in name for name in names)
    assert first[0]["data"]["about"]["event_ids"] == ["e1", "e2"]
    other = commitments(customers, "repair", due=None, due_days=7, tz="UTC")
    assert {one["id"] for one in first} & {one["id"] for one in other} == set()


def test_day_is_read_in_its_zone():
    """Seven days from today, where it is another day already."""
    customers = [
        {"customer": {"space": "crm", "id": "7"}, "about": {"event_ids": ["e"], "refs": []}}
    ]
    late = datetime(2026, 5, 4, 23, 30, tzinfo=UTC)
    (one,) = commitments(customers, "warranty", due=None, due_days=7, tz="Europe/Vienna", now=late)
    assert one["data"]["due_date"] == "2026-05-12"
    assert one["data"]["duty"] == "in_force_until"
    assert one["data"]["customer"] == {"ids": [{"ns": "crm", "id": "7"}]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--make-good", "refund"], "--make-good: say until when"),
        (["--due-days", "7"], "--due, --due-days and --yes: expected with --make-good"),
        (["--yes"], "--due, --due-days and --yes: expected with --make-good"),
        (["--make-good", "refund", "--due-days", "7", "--all"], "--make-good: expected without"),
        (["--make-good", "a thing", "--due-days", "7"], "--make-good: commitment.kind: expected"),
        (["--make-good", "refund", "--due", "soon"], "--due: expected a day"),
        (["--make-good", "refund", "--due", "2020-01-01"], "--due: expected a day that is not"),
        (["--make-good", "refund", "--due-days", "7", "--tz", "Mars/X"], "--tz: expected an IANA"),
        (["--since", "soon"], "since: expected a day"),
    ],
)
def test_wrong_arguments_are_exit_code_2(context, source, words, said):
    """The argument is named, and nothing is written."""
    code, out, err = context("affected", *source, "--problem", "defect", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"cxsdk context: {said}")


def test_whom_to_ask_must_be_said(context, tmp_path, monkeypatch):
    """No URL, a file that is not there, a wrong key, nobody who answers."""
    monkeypatch.delenv("CXSDK_COLLECTOR", raising=False)
    assert context("due")[0] == 2
    assert context("due", "--collector", "collector.db")[0] == 2
    code, _, err = context("due", "--file", tmp_path / "no.db")
    assert code == 2
    assert "is not there" in err
    assert not (tmp_path / "no.db").exists()
    with Collector(tmp_path / "c.db", api_key="k") as running:
        code, _, err = context("due", "--collector", running.url)
        assert code == 2
        assert "give it its key" in err
        monkeypatch.setenv("CXSDK_COLLECTOR", f"{running.url}/events")
        monkeypatch.setenv("CXSDK_API_KEY", "k")
        assert context("due")[0] == 0
    code, _, err = context("due")
    assert code == 1
    assert "does not answer" in err


def test_what_is_refused_is_said():
    """A day of the wrong form names the argument, before anything is asked."""
    with pytest.raises(ConfigurationError, match=r"^--due: "):
        commitments([], "refund", due="4 May", due_days=None, tz="UTC")
