"""
From settings to an engine: what is wrong is said at ``init``, what a disk refuses is survived.
"""

from __future__ import annotations

import inspect
import os
import stat

import pytest

import cxsdk as cx
from cxsdk import _default
from cxsdk.cli._asking import prompts as looked_at
from cxsdk.config import resolve
from cxsdk.errors import ConfigurationError
from cxsdk.prompts import Prompt, Question, Trigger
from cxsdk.prompts.offer import Whom
from cxsdk.prompts.reserving import asked_of
from cxsdk.prompts.setup import open_engine

ONE = [Prompt(key="loyalty", scope="relational", questions=[Question(id="q")])]


def spool(folder):
    return cx.SpoolOptions(mode="mmap", directory=folder, min_free_bytes=0)


def test_workers_of_a_host_share_store_and_key(tmp_path):
    """Without any setting a second client reads the token of the first, and asks nobody again."""
    options = cx.PromptOptions(prompts=ONE, deadline=5.0)
    made = [
        cx.Client("shop", collector="memory:", spool=spool(tmp_path), prompts=options)
        for _ in range(2)
    ]
    first, second = made
    with first.scope(customer="c1"):
        offer = first.prompts.offer("loyalty")
    assert second.prompts.submit(offer.token, {"q": "better"}).outcome == "accepted"
    with second.scope(customer="c1"):
        assert second.prompts.offer("loyalty").reason == "cap_global"
    folder = tmp_path / ".prompts" / "shop" / "production"
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for client in made:
        client.close()


def test_what_is_wrong_is_said_at_init(tmp_path):
    """A slip in a file stops the start, with file, prompt and field."""
    path = tmp_path / "prompts.toml"
    path.write_text('[loyalty]\nscope = "personal"\n[[loyalty.questions]]\nid = "q"\n')
    with pytest.raises(ConfigurationError, match=r"prompts\.toml.*loyalty.*scope"):
        cx.Client("shop", collector="memory:", prompts=cx.PromptOptions(files=path))


def test_a_disk_that_refuses_keeps_nobody_from_starting(tmp_path, caplog):
    """No place for the store: the service starts, nobody is asked, and the log says why."""
    (tmp_path / "root").write_text("no folder")
    options = cx.PromptOptions(prompts=ONE, deadline=5.0)
    client = cx.Client("shop", collector="memory:", spool=spool(tmp_path / "root"), prompts=options)
    with client.scope(customer="c1"):
        assert client.prompts.offer("loyalty").reason == "store_unavailable"
    assert "PromptOptions(keys=" in caplog.text
    assert "Not a directory" in caplog.text
    assert "No such file" not in caplog.text
    client.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": ONE[0]}, r"prompts: expected a list of Prompt, got Prompt\("),
        ({"prompts": "prompts.toml"}, "got 'prompts.toml'; files= takes a path"),
        ({"prompts": [{"key": "a"}]}, "prompts: expected a list of Prompt"),
        ({"keys": "a secret of more than 16"}, "keys: expected bytes, got str"),
        ({"keys": [b"short"]}, "keys: expected secrets of at least 16 bytes"),
    ],
)
def test_options_name_what_they_expected(options, words):
    """A prompt that stands alone, a path in the wrong place, a secret as text."""
    with pytest.raises(ConfigurationError, match=words):
        cx.PromptOptions(**options)


def test_tokens_are_signed_under_what_the_team_has(tmp_path):
    """Its own keys, else one derived from the privacy key: no file is made."""
    key = b"a privacy key of the team"
    client = cx.Client(
        "shop",
        collector="memory:",
        spool=spool(tmp_path),
        privacy=cx.PrivacyOptions(key=key),
        prompts=cx.PromptOptions(prompts=ONE, store="memory:"),
    )
    with client.scope(customer="c1"):
        offer = client.prompts.offer("loyalty")
    assert not (tmp_path / ".prompts").exists()
    other = cx.Client(
        "shop",
        collector="memory:",
        privacy=cx.PrivacyOptions(key=key),
        prompts=cx.PromptOptions(prompts=ONE, store=client.prompts.store),
    )
    assert other.prompts.submit(offer.token, {"q": "worse"}).outcome == "accepted"
    for each in (client, other):
        each.close()


def test_disabled_reads_no_file(monkeypatch):
    """CXSDK_DISABLED=1: prompts are not even read."""
    monkeypatch.setenv("CXSDK_DISABLED", "1")
    client = cx.Client("shop", prompts=cx.PromptOptions(files="/nowhere"))
    assert client.stats()["prompts"] == {}


def test_a_store_for_all_stops_nobody_who_asks_nothing(monkeypatch):
    """CXSDK_CAP_STORE of a whole company: it is opened, and its extra needed, by who has prompts."""
    monkeypatch.setenv("CXSDK_CAP_STORE", "carrier-pigeon:")
    client = cx.Client("shop", collector="memory:")
    assert client.stats()["prompts"] == {}
    client.close()
    with pytest.raises(ConfigurationError, match="known are django, memory"):
        cx.Client("shop", collector="memory:", prompts=cx.PromptOptions(prompts=ONE))


@pytest.mark.parametrize(
    ("environ", "level", "words"),
    [
        ({"CXSDK_CAP_STORE": "memory:"}, "ok", "knows 0 offers"),
        ({"CXSDK_CAP_STORE": "sqlite:"}, "ok", "knows 0 offers"),
        ({"CXSDK_CAP_STORE": "carrier-pigeon:"}, "problem", "known are django, memory"),
        ({"CXSDK_CAP_STORE": "redis://u:s3cret@127.0.0.1:1/0"}, "problem", "nobody is asked"),
        ({"CXSDK_PROMPTS": "/nowhere.toml"}, "problem", "nowhere"),
    ],
)
def test_the_doctor_looks_at_prompts(environ, level, words, tmp_path):
    """Files that cannot be read and stores that do not answer are problems; no secret is shown."""
    given = {"CXSDK_SERVICE": "shop", "CXSDK_SPOOL_DIR": str(tmp_path), **environ}
    settings, _ = resolve({}, given)
    found = list(looked_at(settings))
    assert [each.level for each in found] == [level]
    assert words in found[0].words
    assert "s3cret" not in repr(found)


def test_no_prompts_no_findings():
    """Who asks nothing hears nothing of it."""
    settings, _ = resolve({"service": "shop"}, {})
    assert list(looked_at(settings)) == []


def test_a_key_file_that_was_damaged_is_said(tmp_path):
    """Too short to be a key: what to do is in the error."""
    settings, _ = resolve({"service": "shop", "spool": spool(tmp_path)}, dict(os.environ))
    folder = tmp_path / ".prompts" / "shop" / "production"
    folder.mkdir(parents=True)
    (folder / "key").write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="is damaged; remove it"):
        open_engine(settings, lambda: None, None)


@pytest.mark.parametrize(
    ("key", "is_hidden"), [(b"a privacy key of the team", True), (None, False)]
)
def test_a_host_finds_whom_to_write(key, is_hidden):
    """`known_as` says a customer as `run_due` does, with a key and without one."""
    prompt = Prompt(
        key="delivery",
        channels=["email"],
        trigger=Trigger(event="parcel.handover"),
        questions=[Question(id="q")],
    )
    client = cx.Client(
        "shop",
        collector="memory:",
        privacy=cx.PrivacyOptions(key=key),
        prompts=cx.PromptOptions(prompts=[prompt], store="memory:", deadline=5.0),
    )
    before = _default.replace(client)
    try:
        cx.record("parcel.handover", customer="u-17")
        written = []
        assert cx.prompts.run_due(lambda offer, customer: written.append(customer)) == 1
        assert [cx.prompts.known_as("u-17")] == written
        assert ("u-17" not in str(written)) is is_hidden
    finally:
        _default.replace(before)
        client.close()
    assert cx.prompts.known_as("u-17") == {}


def test_an_offer_says_whether_it_waits(tmp_path):
    """`find` gives a page that is loaded again what it showed, until it was answered."""
    options = cx.PromptOptions(prompts=ONE, store="memory:", deadline=5.0)
    client = cx.Client("shop", collector="memory:", spool=spool(tmp_path), prompts=options)
    offer = client.prompts.offer("loyalty", customer="c1")
    assert offer.is_open
    assert client.prompts.find(offer.token).is_open
    client.prompts.submit(offer.token, {"q": "better"})
    assert not client.prompts.find(offer.token).is_open
    client.close()


def test_the_names_that_offer_takes_are_typed():
    """An editor completes, and a type checker refuses, what the engine takes and what not."""
    taken = inspect.signature(asked_of).parameters.values()
    names = {each.name for each in taken if each.kind is each.KEYWORD_ONLY}
    assert Whom.__annotations__.keys() == names | {"about", "context"}


def test_warming_up_opens_the_store(tmp_path):
    """Before the first page asks, the file is there; a store that cannot be opened raises nothing."""
    options = cx.PromptOptions(prompts=ONE)
    client = cx.Client("shop", collector="memory:", spool=spool(tmp_path), prompts=options)
    file = tmp_path / ".prompts" / "shop" / "production" / "caps.db"
    assert not file.exists()
    client.warm_up()
    assert file.exists()
    client.close()
    away = cx.PromptOptions(prompts=ONE, store="redis://127.0.0.1:1/0")
    other = cx.Client("shop", collector="memory:", prompts=away)
    other.warm_up()
    other.close()
