"""
The command itself: help, versions, exit codes.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from cxsdk import __version__
from cxsdk.cli import COMMANDS, main


def test_help_lists_every_command_and_the_exit_codes(cxsdk):
    """``--help`` names all commands and says what exit codes mean."""
    found = cxsdk("--help")
    assert found.returncode == 0
    assert all(name in found.stdout for name in COMMANDS)
    assert "exit codes" in found.stdout


def test_help_imports_no_extra():
    """``--help`` imports neither an extra nor an HTTP client nor a command."""
    code = """
import sys
from cxsdk.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"rich", "flask", "starlette", "uvicorn", "jinja2", "httpx", "cxsdk.cli.doctor"}
sys.exit(" ".join(heavy & set(sys.modules)) or 0)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_version_is_that_of_the_library(cxsdk):
    """``--version`` prints the version and nothing else."""
    assert cxsdk("--version").stdout == f"cxsdk {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(cxsdk, name):
    """``COMMAND --help`` works for each command."""
    found = cxsdk(name, "--help")
    assert found.returncode == 0
    assert found.stdout.startswith(f"usage: cxsdk {name}")


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["replay"], ["spool"], ["replay", "-", "--batch", "0"]]
)
def test_wrong_usage_is_exit_code_2(cxsdk, words):
    """What cannot be understood ends with 2 and a usage line."""
    found = cxsdk(*words)
    assert found.returncode == 2
    assert "usage: cxsdk" in found.stderr


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [("collector", "uvicorn", "collector"), ("demo", "flask", "demo")],
)
def test_a_missing_extra_is_one_clear_line(command, package, extra):
    """Without the packages of an extra there is one line with the pip command, and exit code 2."""
    code = f"""
import sys
sys.modules[{package!r}] = None
from cxsdk.cli import main
sys.exit(main([{command!r}]))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert f"pip install 'cxsdk[{extra}]'" in found.stderr


def test_tables_are_plain_without_rich():
    """Without rich, and on a terminal, a table is columns of text."""
    code = """
import sys
sys.modules["rich"] = None
sys.stdout.isatty = sys.stderr.isatty = lambda: True
from cxsdk.cli import _screen
_screen.table(("name", "n"), [("a", 1), ("bb", 20)])
with _screen.progress("work", 2) as bar:
    bar.at(1, "one")
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (found.stdout, found.stderr) == ("name   n\na      1\nbb    20\n", "")


def test_tables_and_bars_are_rich_on_a_terminal():
    """With rich, on a terminal, the same calls draw a table and a bar."""
    code = """
import sys
sys.stdout.isatty = sys.stderr.isatty = lambda: True
from cxsdk.cli import _screen
_screen.table(("name", "n"), [("[a]", 1)])
with _screen.progress("work", 2) as bar:
    bar.at(2, "two")
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0
    assert "[a]" in found.stdout
    assert "two" in found.stderr


def test_a_reader_that_had_enough_is_no_error(tmp_path):
    """``cxsdk … | head -1`` ends quietly."""
    found = subprocess.run(
        f"{sys.executable} -m cxsdk doctor | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr == ""


def test_main_returns_the_code_of_its_command(tmp_path, capsys):
    """`main` may be called from Python and returns what the process would exit with."""
    assert main(["spool", "ls", "--dir", str(tmp_path / "none")]) == 0
    assert "no such folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "-", "--rate", "0"], "--rate: expected a number above 0, got '0'"),
        (["replay", "-", "--rate", "x"], "--rate: expected a number above 0, got 'x'"),
        (["replay", "-", "--batch", "-2"], "--batch: expected a whole number from 1, got '-2'"),
        (["doctor", "--timeout", "0"], "--timeout: expected a number above 0"),
        (["doctor", "--timeout", "nan"], "--timeout: expected a number above 0"),
        (["demo", "--customers", "0"], "--customers: expected a whole number from 1"),
        (["collector", "--port", "65536"], "--port: expected a whole number from 0 to 65535"),
    ],
)
def test_wrong_numbers_are_said_in_words(cxsdk, words, said):
    """The message says what was expected, not the name of a function."""
    found = cxsdk(*words)
    assert found.returncode == 2
    assert said in found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "{}/none", "--dry-run"], "cxsdk replay: {}/none: cannot be read: No such"),
        (["replay", "{}", "--dry-run"], "cxsdk replay: {}: cannot be read: Is a directory"),
        (["collector", "--db", "{}", "--port", "0"], "cxsdk collector: cannot open {}"),
        (["spool", "verify", "--dir", "{}/file"], "cxsdk spool: {}/file: no folder"),
    ],
)
def test_wrong_paths_are_asked_wrongly(cxsdk, tmp_path, words, said):
    """One line with the path and no number of the operating system; exit code 2."""
    (tmp_path / "file").write_text("")
    found = cxsdk(*(word.format(tmp_path) for word in words))
    assert found.returncode == 2
    assert found.stderr.startswith(said.format(tmp_path))
    assert "Errno" not in found.stderr


@pytest.mark.parametrize("action", ["verify", "stat"])
def test_a_root_that_is_not_there_is_said(cxsdk, tmp_path, action):
    """Nothing is spooled is a good answer, and a typing error must be seen all the same."""
    found = cxsdk("spool", action, "--dir", tmp_path / "none")
    assert (found.returncode, found.stderr.strip()) == (
        0,
        f"{tmp_path / 'none'}: no such folder, so nothing is spooled",
    )
