"""
What the documentation shows runs as it is shown.
"""

from __future__ import annotations

import ast

import pytest

from tests.docs.pages import ours
from tests.docs.runner import run

RUNNABLE = [page for page in ours() if page.python()]


@pytest.mark.parametrize("page", RUNNABLE, ids=repr)
def test_the_python_blocks_of_a_page_run_in_order(page, folder):
    """
    Each block runs after those above it, without an error or a warning.
    """
    run(page, folder)


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
