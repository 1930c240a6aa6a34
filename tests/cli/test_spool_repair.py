"""
``cxsdk spool`` stat, tail, export, requeue, replay, adopt and purge: read only and redacting until
told otherwise, and nothing is lost by a repair.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from cxsdk.cli.spool import _choice, _excerpt
from cxsdk.spool import inspect
from cxsdk.testing.faults import FaultCollector, ok
from tests.cli.conftest import environ
from tests.cli.test_spool import snapshot

REFUSED = """
import os, sys, time
import cxsdk as cx
root, url, poison, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
client = cx.init("shop", collector=url, environment="production",
    spool=cx.SpoolOptions(directory=root, min_free_bytes=0),
    privacy=cx.PrivacyOptions(key=b"0123456789abcdef"))
for number in range(count):
    cx.record("cart.add" if number else poison, customer=f"secret-{number}",
              attributes={"note": "mine"})
client.flush(10)
print(client.stats()["sinks"]["default"]["dead_lettered"], flush=True)
if "stay" in sys.argv:
    sys.stdin.readline()
    client._parts.spool._adoption._scan_at = -1.0  # now, and not within half a minute
    sys.stdin.read()
os._exit(0)
"""

HEIR = """
import sys, time
import cxsdk as cx
client = cx.init("shop", collector=sys.argv[2], environment="production",
    spool=cx.SpoolOptions(directory=sys.argv[1], min_free_bytes=0))
end = time.monotonic() + 60
while not client.stats()["sinks"]["default"]["delivered"] and time.monotonic() < end:
    time.sleep(0.02)
client.close()
"""
"""The next process of the service: emits nothing, ends once it has delivered something."""


def refuse(root, url, *more, count=20):
    """
    Let a process have one event refused for good; return it.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", REFUSED, str(root), url, "poison.event", str(count), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ(),
    )
    assert process.stdout.readline() == b"1\n"
    return process


def no_poison(exchange):
    """
    Refuse events of one touchpoint, in words that quote a customer; accept all others.
    """
    bad = [
        event["id"]
        for event in exchange.request.events
        if event["data"]["where"]["touchpoint"] == "poison.event"
    ]
    new, known = exchange.accept([name for name in exchange.request.ids if name not in bad])
    reason = "no such touchpoint, mail anna@example.com"
    rejected = [{"id": name, "reason": reason} for name in bad]
    body = {"accepted": new, "duplicate": known, "rejected": rejected}
    exchange.reply(202, json.dumps(body).encode())


@pytest.fixture
def picky():
    """
    A collector that refuses events of one touchpoint until ``always`` is another.
    """
    with FaultCollector(no_poison) as made:
        yield made


@pytest.fixture
def refused(picky, tmp_path):
    """
    A spool root with one dead letter of a process that is gone.
    """
    root = tmp_path / "spool"
    refuse(root, picky.url).communicate(timeout=30)
    return root


def dead_in(root):
    return [json.loads(line) for path in root.glob("*/*/*") for line in inspect.dead_letters(path)]


def ids_waiting(root, service="shop"):
    return {
        json.loads(record.payload)["id"]
        for path in root.glob(f"{service}/*/*")
        for record in inspect.records(path, sink="default")
    }


# ---- reading ------------------------------------------------------------------------------


def test_stat_adds_up_and_serves_as_a_probe(cxsdk, leave):
    """Totals over all directories; exit code 1 beyond a limit, naming it."""
    root = leave(30)
    leave(20, environment="test")
    found = json.loads(cxsdk("spool", "stat", "--dir", root, "--json").stdout)
    assert (found["pending"], found["directories"], found["alive"]) == (50, 2, 0)
    assert found["pending_by_sink"] == {"default": 50}
    assert cxsdk("spool", "stat", "--dir", root, "--max-pending", "50").returncode == 0
    beyond = cxsdk("spool", "stat", "--dir", root, "--max-pending", "49", "--max-age", "1h")
    assert beyond.returncode == 1
    assert "50 events wait, 49 allowed" in beyond.stdout


def test_tail_shows_the_newest_and_nothing_of_customers(cxsdk, leave):
    """The last few, oldest first, redacted until asked otherwise; nothing is changed."""
    root = leave(30)
    before = snapshot(root)
    found = cxsdk("spool", "tail", "--dir", root, "-n", "5")
    assert len(found.stdout.splitlines()) == 5
    assert "cart.add" in found.stdout
    assert "secret-" not in found.stdout + cxsdk("spool", "tail", "--dir", root, "--json").stdout
    shown = cxsdk("spool", "tail", "--dir", root, "-n", "2", "--show-data").stdout.splitlines()
    assert [json.loads(each)["data"]["customer"]["id"] for each in shown] == [
        "secret-28",
        "secret-29",
    ]
    assert snapshot(root) == before


def test_tail_follows(running, leave):
    """With --follow what comes later is shown too."""
    root = leave(2)
    process = running("spool", "tail", "--dir", root, "--follow", "--show-data")
    assert [json.loads(process.stdout.readline())["data"]["customer"]["id"] for _ in "ab"] == [
        "secret-0",
        "secret-1",
    ]
    leave(1, environment="test")
    assert "secret-0" in process.stdout.readline()


def test_export_is_redacted_or_can_be_replayed(cxsdk, leave, tmp_path, collector, stored):
    """Redacted it has no customer; whole it is what replay takes, in a file of one's own."""
    root = leave(12)
    out = tmp_path / "out.ndjson"
    redacted = cxsdk("spool", "export", "--dir", root)
    assert len(redacted.stdout.splitlines()) == 12
    assert "secret-" not in redacted.stdout
    whole = cxsdk("spool", "export", "--dir", root, "--show-data", "--out", out)
    assert whole.returncode == 0, whole.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    assert cxsdk("replay", out, "--to", collector.url).returncode == 0
    assert len(stored()) == 12
    again = cxsdk("spool", "export", "--dir", root, "--out", out)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_dead_letters_are_shown_with_reason_attempts_and_redacted_words(cxsdk, refused):
    """What the server said helps to repair; what it quotes of a customer is not repeated."""
    shown = cxsdk("spool", "export", "--dir", refused, "--dead").stdout
    letter = json.loads(shown)
    assert letter["reason"] == "refused"
    assert letter["attempts"] >= 1
    assert "no such touchpoint" in letter["detail"]
    assert "anna@example.com" not in shown
    assert letter["event"]["data"]["where"]["touchpoint"] == "poison.event"
    assert letter["event"]["data"]["customer"] == "…"
    assert json.loads(cxsdk("spool", "ls", "--dir", refused, "--json").stdout)[0][
        "dead_letter_reasons"
    ] == {"refused": 1}


# ---- dead letters -------------------------------------------------------------------------


def test_requeued_letters_are_delivered_by_the_next_process(cxsdk, refused, picky):
    """Counted first; then they wait again under their ids, and the next process delivers them."""
    (letter,) = dead_in(refused)
    before = snapshot(refused)
    counted = cxsdk("spool", "requeue", "--dir", refused)
    assert "1 dead letters would wait again" in counted.stdout
    assert snapshot(refused) == before
    assert cxsdk("spool", "requeue", "--dir", refused, "--yes").returncode == 0
    assert dead_in(refused) == []
    assert ids_waiting(refused) == {letter["event"]["id"]}

    picky.always = ok()
    heir = subprocess.run(
        [sys.executable, "-c", HEIR, str(refused), picky.url],
        capture_output=True,
        timeout=90,
        env=environ(),
        check=False,
    )
    assert heir.returncode == 0, heir.stderr
    assert letter["event"]["id"] in picky.ids
    assert ids_waiting(refused) == set()


def test_letters_of_a_living_owner_can_be_requeued(cxsdk, tmp_path, picky):
    """The owner adopts them itself; what it buries meanwhile is not lost."""
    root = tmp_path / "spool"
    process = refuse(root, picky.url, "stay")
    (letter,) = dead_in(root)
    picky.always = ok()
    assert cxsdk("spool", "requeue", "--dir", root, "--yes").returncode == 0
    process.stdin.write(b"\n")
    process.stdin.flush()
    end = time.monotonic() + 60
    while letter["event"]["id"] not in picky.ids and time.monotonic() < end:
        time.sleep(0.05)
    process.communicate(timeout=30)
    assert letter["event"]["id"] in picky.ids
    assert dead_in(root) == []


def test_requeue_chooses(cxsdk, refused):
    """--reason, --sink and ages choose; what does not match stays."""
    for chosen in (["--reason", "too_large"], ["--sink", "other"], ["--older-than", "1h"]):
        assert (
            "0 wait again" in cxsdk("spool", "requeue", "--dir", refused, "--yes", *chosen).stdout
        )
    assert len(dead_in(refused)) == 1
    found = cxsdk("spool", "requeue", "--dir", refused, "--yes", "--since", "1h")
    assert "1 wait again" in found.stdout


def test_an_erased_customer_does_not_come_back(cxsdk, refused):
    """A letter of somebody who was erased meanwhile is neither shown nor sent again."""
    (letter,) = dead_in(refused)
    folder = refused / "erased"
    folder.mkdir(mode=0o700)
    (folder / f"{letter['tag']}-a-{time.time_ns()}").touch(mode=0o600)
    assert cxsdk("spool", "export", "--dir", refused, "--dead", "--show-data").stdout == ""
    assert "0 wait again" in cxsdk("spool", "requeue", "--dir", refused, "--yes").stdout


def test_replay_copies(cxsdk, leave, collector, stored):
    """Copies go elsewhere, the spool stays as it is."""
    root = leave(15)
    before = snapshot(root)
    asked = ("spool", "replay", "--dir", root, "--to", collector.url)
    assert "15 events would be copied" in cxsdk(*asked).stdout
    assert stored() == set()
    assert cxsdk(*asked, "--yes").returncode == 0
    assert len(stored()) == 15
    assert snapshot(root) == before


# ---- handing over and erasing -------------------------------------------------------------


def test_an_heir_of_another_name_delivers_what_was_adopted(cxsdk, leave, collector, stored):
    """After a rename of service and collector, what was stranded is delivered."""
    root = leave(9, service="till")
    asked = ("spool", "adopt", "--dir", root, "--to", collector.url, "--into", "shop/production")
    before = snapshot(root)
    assert "9 events would be due" in cxsdk(*asked).stdout
    assert snapshot(root) == before
    done = cxsdk(*asked, "--yes")
    assert done.returncode == 0, done.stdout
    leave(1, url=collector.url)  # the heir starts; it is killed before it delivers its own
    script = (
        "import cxsdk as cx, sys, time\n"
        "client = cx.init('shop', collector=sys.argv[2], environment='production',"
        " spool=cx.SpoolOptions(directory=sys.argv[1], min_free_bytes=0))\n"
        "client.warm_up(); client._parts.spool.maintain(); print(client.flush(20).pending)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, str(root), collector.url],
        capture_output=True, text=True, timeout=60, env=environ(), check=True,
    )  # fmt: skip
    assert out.stdout == "0\n"
    assert len(stored()) == 10


def test_adopt_leaves_the_living_alone(cxsdk, leave):
    """A living owner's directory is not handed over."""
    root = leave(3, service="lives")
    found = cxsdk("spool", "adopt", "--dir", root, "--to", "http://127.0.0.1:9", "--yes")
    assert "0 events are due" in found.stdout
    assert (root / "lives").is_dir()


@pytest.mark.parametrize("mode", ["mmap", "write"])
def test_purge_erases_one_customer_only(cxsdk, leave, mode):
    """Counted first; then that customer's payloads are gone from the disk, all others are there."""
    root = leave(10)
    asked = ("spool", "purge", "--dir", root, "--customer", "secret-3")
    assert "1 events and dead letters would be erased" in cxsdk(*asked).stdout
    assert any(b"secret-3" in data for data in snapshot(root).values())
    found = cxsdk(*asked, "--yes", CXSDK_SPOOL_MODE=mode)
    assert "1 erased" in found.stdout, found.stdout + found.stderr
    assert not any(b"secret-3" in data for data in snapshot(root).values())
    assert len(ids_waiting(root)) == 9
    assert cxsdk("spool", "verify", "--dir", root).returncode == 0


def test_purge_of_a_customer_reaches_the_living(cxsdk, leave):
    """The tombstone makes a living owner erase as well."""
    root = leave(5, service="lives")
    found = cxsdk("spool", "purge", "--dir", root, "--customer", "secret-1", "--yes")
    assert "1 living processes erase theirs" in found.stdout
    end = time.monotonic() + 40
    while any(b"secret-1" in data for data in snapshot(root).values()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(b"secret-1" in data for data in snapshot(root).values())


def test_purge_needs_the_key_that_the_service_has(cxsdk, refused):
    """With the team's key the raw id finds the pseudonym's events."""
    asked = ("spool", "purge", "--dir", refused, "--customer", "secret-0")
    assert "0 events and dead" in cxsdk(*asked).stdout
    key = b"0123456789abcdef"
    found = cxsdk(*asked, "--yes", CXSDK_KEY=key.decode())
    # The dead letter, and the record in the segment that it came from.
    assert "2 erased" in found.stdout, found.stdout + found.stderr
    assert dead_in(refused) == []


def test_purge_removes_what_is_old(cxsdk, leave):
    """Old events of dead processes go, counted; young ones and those of the living stay."""
    root = leave(6)
    leave(4, service="lives")
    asked = ("spool", "purge", "--dir", root, "--older-than")
    assert "0 events" in cxsdk(*asked, "1h").stdout
    before = snapshot(root / "shop")
    assert "6 events that were not delivered would be removed" in cxsdk(*asked, "0s").stdout
    assert snapshot(root / "shop") == before
    found = cxsdk(*asked, "0s", "--yes")
    assert "6 events that were not delivered removed" in found.stdout
    assert "its owner lives" in found.stdout
    assert not list((root / "shop").glob("*/*"))


def test_purge_removes_dead_letters(cxsdk, refused):
    """With --dead only letters go."""
    assert "1 dead letters would be" in cxsdk("spool", "purge", "--dir", refused, "--dead").stdout
    assert len(dead_in(refused)) == 1
    cxsdk("spool", "purge", "--dir", refused, "--dead", "--yes")
    assert dead_in(refused) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what"),
        (["--customer", "x", "--dead"], "takes no --dead"),
        (["--reason", "x"], "go with --dead"),
        (["--older-than", "soon"], "invalid age value"),
        (["--customer", "a@b.example"], "customer.id"),
    ],
)
def test_purge_says_what_is_wrong(cxsdk, tmp_path, arguments, words):
    """A wrong call changes nothing and says why; exit code 2."""
    found = cxsdk("spool", "purge", "--dir", tmp_path, "--yes", *arguments)
    assert words in found.stderr
    assert found.returncode in {1, 2}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15min", 900), ("15m", 900), ("2h", 7200), ("3d", 259_200)]
)
def test_an_age_has_a_unit(text, seconds):
    """Seconds without one."""
    assert _choice.age(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1 week", "nan", "inf"])
def test_no_age(text):
    """Anything else is refused."""
    with pytest.raises(ValueError):
        _choice.age(text)


def test_an_excerpt_has_only_names_that_are_allowed():
    """A field that nobody has thought of is hidden, at any depth."""
    event = {"id": "e", "data": {"outcome": "success", "new": "x", "where": {"touchpoint": "a",
             "secret": {"touchpoint": "b"}}, "answers": [{"value": 1, "text": "no"}]}}  # fmt: skip
    assert _excerpt.excerpt(event)["data"] == {
        "outcome": "success",
        "new": "…",
        "where": {"touchpoint": "a", "secret": "…"},
        "answers": "…",
    }
    assert _excerpt.excerpt(None) == {"unreadable": True}
    assert os.linesep not in _excerpt.line_of({"a": "b\nc"})
