"""
The script and the style sheet: small, cacheable and plain.
"""

from __future__ import annotations

import gzip
import re

import pytest

from cxsdk.prompts.faces.html import STATIC, static_file

BUDGETS = {"cx-prompt.js": 3 * 1024, "cx-prompt.css": 2 * 1024, "cx-page.css": 512}


@pytest.mark.parametrize(("name", "most"), BUDGETS.items(), ids=BUDGETS)
def test_a_static_file_keeps_to_its_budget(name, most):
    """Bytes after gzip: 3 KB of script, 2 KB of style."""
    assert len(gzip.compress((STATIC / name).read_bytes(), 9, mtime=0)) <= most


def test_every_static_file_has_a_budget():
    """None is added without one."""
    assert {path.name for path in STATIC.iterdir()} == set(BUDGETS)


def test_the_script_is_plain():
    """No dependency, no evaluation, no markup put in but the server's own."""
    text = (STATIC / "cx-prompt.js").read_text()
    assert not re.search(
        r"\bimport\b|\beval\b|new Function|innerHTML|document\.write|\.style\b", text
    )


def test_the_style_sheet_is_logical():
    """Nothing says left or right, so that right-to-left needs no second sheet."""
    text = (STATIC / "cx-prompt.css").read_text()
    assert not re.search(r"(?<![-\w])(left|right|margin-left|padding-right)\b", text)
    for wanted in ("prefers-reduced-motion", "forced-colors", ":focus-visible", "light-dark("):
        assert wanted in text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cx-prompt.js", "text/javascript; charset=utf-8"),
        ("cx-prompt.css", "text/css; charset=utf-8"),
        ("cx-page.css", "text/css; charset=utf-8"),
    ],
)
def test_static_files_are_served_with_type_and_caching(desk, name, kind):
    """For a year under the address that carries the hash, else for an hour; 304 where known."""
    body, tag = static_file(name)
    found = desk.call("GET", f"/static/{name}", query=f"v={tag}")
    assert (found.status, found.body, found.header("content-type")) == (200, body, kind)
    assert "immutable" in found.header("cache-control")
    assert found.header("x-content-type-options") == "nosniff"
    later = desk.call("GET", f"/static/{name}", query="v=old")
    assert later.header("cache-control") == "public, max-age=3600"
    known = desk.call("GET", f"/static/{name}", {"if-none-match": f'"{tag}"'})
    assert (known.status, known.body, known.header("content-length")) == (304, b"", None)
    head = desk.call("HEAD", f"/static/{name}")
    assert (head.body, head.header("content-length")) == (b"", str(len(body)))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../html.py",
        "../../engine.py",
        "cx-prompt.js/",
        "cx-prompt.js%00",
        "/etc/passwd",
        "x.css",
    ],
)
def test_nothing_else_is_served(desk, name):
    """No path leads out of the folder."""
    assert desk.call("GET", f"/static/{name}").status == 404
