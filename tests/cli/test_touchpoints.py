"""
``cxsdk touchpoints``: sources and catalogue agree, or not.
"""

from __future__ import annotations

import json
import tomllib

import pytest

SHOP = """
import cxsdk as cx
from cxsdk import Client, record as note

CHAT = "support.chat"


class Desk:
    def __init__(self):
        self.client = Client("desk")

    def answer(self, metrics):
        with self.client.interaction(CHAT, stage="support"):
            metrics.record("not.ours")


@cx.interaction("checkout.pay", stage="order", customer=cx.arg("user"))
async def pay(user):
    note("parcel.handover")


def tell(client: Client):
    client.record(touchpoint="store.visit", stage="evaluate")
"""


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "src"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "shop.py").write_text(SHOP)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "no.py").write_text('import cxsdk\ncxsdk.record("no.no")\n')
    return folder


def test_ls_finds_calls_on_module_names_and_clients(cxsdk, sources):
    """Aliases, imported verbs, clients, annotated parameters, constants of the module."""
    found = cxsdk("touchpoints", "ls", sources, "--json")
    assert found.returncode == 0
    told = {(each["touchpoint"], each["stage"], each["line"]) for each in json.loads(found.stdout)}
    assert told == {
        ("support.chat", "support", 13),
        ("checkout.pay", "order", 17),
        ("parcel.handover", None, 19),
        ("store.visit", "evaluate", 23),
    }


def test_ls_prints_file_and_line(cxsdk, sources):
    """The table says where each one is."""
    found = cxsdk("touchpoints", "ls", sources)
    assert f"{sources}/deep/shop.py:17" in found.stdout
    assert "4 touchpoints in 4 places" in found.stdout


def test_a_name_made_at_run_time_is_flagged(cxsdk, tmp_path):
    """What is no constant cannot be listed: exit code 1."""
    (tmp_path / "a.py").write_text('import cxsdk\ndef f(x):\n    cxsdk.record(f"page.{x}")\n')
    found = cxsdk("touchpoints", "ls", tmp_path / "a.py")
    assert found.returncode == 1
    assert "not a constant" in found.stdout


def test_a_file_that_is_no_python_is_said(cxsdk, tmp_path):
    """A syntax error is named and does not stop the scan."""
    (tmp_path / "a.py").write_text("def f(:\n")
    (tmp_path / "b.py").write_text('import cxsdk\ncxsdk.record("b.b")\n')
    found = cxsdk("touchpoints", "ls", tmp_path)
    assert found.returncode == 1
    assert "a.py: not read" in found.stderr
    assert "b.b" in found.stdout


def test_write_makes_a_catalogue_that_then_agrees(cxsdk, sources, tmp_path):
    """--write creates the file; check is content with it, and so is a second --write."""
    asked = ("touchpoints", "check", sources, "--against", tmp_path / "cx.toml")
    assert cxsdk(*asked).returncode == 2
    assert cxsdk(*asked, "--write").returncode == 0
    assert cxsdk(*asked).returncode == 0
    first = (tmp_path / "cx.toml").read_text()
    assert cxsdk(*asked, "--write").returncode == 0
    assert (tmp_path / "cx.toml").read_text() == first
    made = tomllib.loads(first)["touchpoints"]
    assert made["checkout.pay"] == {"stage": "order", "owner": "", "description": ""}
    assert "stage" not in made["parcel.handover"]


def test_check_names_unknown_missing_and_differing(cxsdk, sources, tmp_path):
    """Each disagreement is one line; exit code 1."""
    (tmp_path / "cx.toml").write_text(
        '[touchpoints."checkout.pay"]\nstage = "bill"\n'
        '[touchpoints."gone.by"]\n[touchpoints."store.visit"]\nstage = "evaluate"\n'
        '[touchpoints."parcel.handover"]\n'
    )
    found = cxsdk("touchpoints", "check", sources, "--against", tmp_path / "cx.toml")
    assert found.returncode == 1
    assert "checkout.pay has stage order, the catalogue says bill" in found.stdout
    assert "support.chat is not in the catalogue" in found.stdout
    assert "gone.by is nowhere in the code" in found.stdout
    assert "3 findings" in found.stdout


def test_write_keeps_what_people_wrote(cxsdk, sources, tmp_path):
    """Comments, owners and entries that nobody uses stay; the stage is corrected."""
    path = tmp_path / "cx.toml"
    path.write_text(
        '# ours\n[touchpoints."checkout.pay"]  # money\nowner = "payments"\nstage = "bill"\n'
        'description = "Pays."\n\n[touchpoints."gone.by"]\nowner = "nobody"'
    )
    found = cxsdk("touchpoints", "check", sources, "--against", path, "--write")
    assert found.returncode == 1  # gone.by
    text = path.read_text()
    assert text.startswith('# ours\n[touchpoints."checkout.pay"]  # money\n')
    made = tomllib.loads(text)["touchpoints"]
    assert made["checkout.pay"] == {"stage": "order", "owner": "payments", "description": "Pays."}
    assert made["gone.by"] == {"owner": "nobody"}
    assert len(made) == 5


def test_a_catalogue_in_another_form_is_not_spoilt(cxsdk, sources, tmp_path):
    """What cannot be edited line by line is left as it is, with a word."""
    path = tmp_path / "cx.toml"
    text = '[touchpoints]\n"checkout.pay" = {stage = "bill"}\n'
    path.write_text(text)
    found = cxsdk("touchpoints", "check", sources, "--against", path, "--write")
    assert found.returncode == 2
    assert "by hand" in found.stderr
    assert path.read_text() == text


def test_two_stages_for_one_touchpoint_are_a_finding(cxsdk, tmp_path):
    """The code disagrees with itself."""
    (tmp_path / "a.py").write_text(
        'import cxsdk\ncxsdk.record("a.b", stage="use")\ncxsdk.record("a.b", stage="order")\n'
    )
    found = cxsdk("touchpoints", "check", tmp_path, "--against", tmp_path / "c.toml", "--write")
    assert found.returncode == 1
    assert "a.b has stage order, but use at" in found.stdout


def test_a_path_that_is_not_there_is_exit_code_2(cxsdk):
    """A typo in a path is no empty list."""
    assert cxsdk("touchpoints", "ls", "nowhere").returncode == 2
