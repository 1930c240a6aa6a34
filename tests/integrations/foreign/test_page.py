"""
The how-to page shows the settings that are tested.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "how-to" / "instrument-by-configuration.md"


@pytest.mark.parametrize(
    "name", ["oscar/cx_settings.py", "ihatemoney/cx_config.py", "ihatemoney/cx_wsgi.py"]
)
def test_the_page_shows_what_is_run(name):
    """Each file stands on the page as it is, but for its docstring."""
    shown = (HERE / name).read_text("utf-8").split('"""\n\n', 1)[1]
    assert f"\n{shown}```" in PAGE.read_text("utf-8")
