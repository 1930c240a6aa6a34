"""
Other Pythons of this machine, with what the library needs; made once and kept in pytest's cache.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

__all__ = ["VERSIONS", "interpreter"]

VERSIONS = ("3.11", "3.12", "3.13")
_ROOT = Path(__file__).parent.parent.parent


def interpreter(version: str, folder: Path) -> str | None:
    """
    Return a Python of *version* that can import the library, or None where there is none.

    The first time it installs the packages into an environment below *folder*, which takes some
    seconds.
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    bare = _find(version)
    if bare is None:
        return None
    home = folder / version
    python = home / "bin" / "python"
    done = home / "done"
    with (folder / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of another file may be here at the same time
        if not done.exists():
            _make(bare, home)
            done.touch()
    return str(python)


def _make(bare: str, home: Path) -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    subprocess.run([bare, "-m", "venv", "--clear", str(home)], check=True)
    packages = [name for name in project["dependencies"] if "win32" not in name]
    install = [str(home / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*install, *packages], check=True)


def _find(version: str) -> str | None:
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(kept[-1]) if kept else shutil.which(f"python{version}")
