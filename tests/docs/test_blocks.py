"""
What the documentation shows runs as it is shown.
"""

from __future__ import annotations

import ast

import pytest

from tests.docs.pages import Page, ours
from tests.docs.runner import run

RUNNABLE = [page for page in ours() if page.python()]


@pytest.mark.parametrize("page", RUNNABLE, ids=repr)
def test_the_python_blocks_of_a_page_run_in_order(page, folder):
    """
    Each block runs after those above it, without an error, a warning or an event refused.
    """
    refused = run(page, folder).get("refused", {})
    assert set(refused) == page.refuses


@pytest.mark.parametrize("page", ours(), ids=repr)
def test_a_block_that_does_not_run_says_why(page):
    """
    ``no-run`` comes with a reason in the fence, and the block is still valid Python.
    """
    for block in page.blocks:
        if block.language == "python" and "no-run" in block.flags:
            assert len(block.flags) > 1, f"{page.name}:{block.line} gives no reason"
            ast.parse(block.text)


@pytest.mark.parametrize("page", ours(), ids=repr)
def test_every_block_names_its_language(page):
    """
    A fence without a language would be neither run nor coloured.
    """
    assert [b.line for b in page.blocks if not b.language] == []


def test_few_blocks_are_not_run():
    """
    Nearly all Python on the pages is executed.
    """
    blocks = [b for page in ours() for b in page.blocks if b.language == "python"]
    left_out = [b for b in blocks if "no-run" in b.flags]
    assert len(blocks) > 40
    assert len(left_out) <= len(blocks) // 20


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("capture", "import cxsdk as cx\nassert cx.client() is None"),
        ("capture", "import warnings\nwarnings.warn('old')"),
        (
            "collector",
            "from urllib.request import urlopen\nurlopen('http://127.0.0.1:4180/nothing')",
        ),
        ("pytest", "def test_it():\n    assert False"),
    ],
)
def test_the_runner_can_fail(mode, code, folder, monkeypatch):
    """
    A page whose block is wrong, or warns, is found out, with the line of the page.
    """
    monkeypatch.setattr("tests.docs.pages.ROOT", folder)
    path = folder / "page.md"
    path.write_text(f"<!-- docs: {mode} -->\n\n# Page\n\n```python\n{code}\n```\n", "utf-8")
    with pytest.raises((Exception, AssertionError)) as caught:
        run(Page(path), folder)
    if mode != "pytest":
        lines = [frame.lineno + 1 for frame in caught.traceback if "page.md" in str(frame.path)]
        assert lines[0] == 7


def test_the_runner_sees_a_refused_event(folder, monkeypatch):
    """
    What a page says without effect is found out.
    """
    monkeypatch.setattr("tests.docs.pages.ROOT", folder)
    path = folder / "page.md"
    said = 'with cx.scope(session="s"):\n    cx.record("a.b")'
    path.write_text(f"```python\nimport cxsdk as cx\n\n{said}\n```\n", "utf-8")
    assert run(Page(path), folder)["refused"] == {"consent": 1}
