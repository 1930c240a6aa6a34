"""
Does anything notice? Each guard of the promise is taken out of a copy of the library, and the tests
named beside it must fail there: ``python -m tests.faults.mutations``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

__all__ = ["MUTATIONS", "Mutation", "is_noticed"]

ROOT = Path(__file__).parents[2]


@attrs.define(frozen=True)
class Mutation:
    """
    One guard: where it stands, what takes its place, which tests know of it.
    """

    name: str
    file: str
    guard: str
    instead: str
    tests: str
    """Arguments of pytest."""


MUTATIONS = (
    Mutation(
        "no checksum is looked at",
        "cxsdk/spool/_record.py",
        "if crc32(data[at + 8 : end]) != crc:",
        "if False:",
        "tests/spool/test_damage.py -k bit_flip",
    ),
    Mutation(
        "the commit word comes before what it commits",
        "cxsdk/spool/segment.py",
        "            self.view[tail + 4 : end] = pack_crc(crc32(body)) + body\n"
        "            self.view[tail : tail + 4] = COMMIT\n        elif",
        "            self.view[tail : tail + 4] = COMMIT\n"
        "            self.view[tail + 4 : end] = pack_crc(crc32(body)) + body\n        elif",
        "tests/spool/test_guards.py -k commit_word",
    ),
    Mutation(
        "the end is published before the record",
        "cxsdk/spool/segment.py",
        "        if self.view is not None:\n            body = pack_head(",
        "        self.mark = (end, count + 1)\n"
        "        if self.view is not None:\n            body = pack_head(",
        "tests/spool/test_interrupts.py -k at_any_place",
    ),
    Mutation(
        "a cursor has one slot",
        "cxsdk/spool/cursor.py",
        "16 * (generation % 2)",
        "0",
        "tests/spool/test_guards.py -k cursor",
    ),
    Mutation(
        "a live owner's lock is not asked for",
        "cxsdk/spool/directory.py",
        "    _disk.lock(home.fd)\n    if _key(",
        "    if _key(",
        "tests/spool/test_owners.py -k live_directory",
    ),
    Mutation(
        "another's directory is adopted",
        "cxsdk/spool/adoption.py",
        "if not same_place or not common or any(theirs[each] != ours[each] for each in common):",
        "if False:",
        "tests/spool/test_owners.py -k strangers",
    ),
    Mutation(
        "nothing is synced",
        "cxsdk/spool/segment.py",
        "            _disk.sync(self.path)\n            self.synced = tail",
        "            self.synced = tail",
        "tests/spool/test_guards.py -k sync",
    ),
    Mutation(
        "a full disk is found out by writing",
        "cxsdk/spool/segment.py",
        "                _disk.fallocate(fd, self.size)\n",
        "                _disk.truncate(fd, self.size)\n",
        "tests/spool/test_guards.py -k sparse",
    ),
    Mutation(
        "a fork by C code goes unnoticed",
        "cxsdk/_fork.py",
        "        made.madvise(_MADV_WIPEONFORK)\n",
        "        pass\n",
        "tests/acceptance/test_fork.py -k by_c_code",
    ),
    Mutation(
        "a redirect is a success",
        "cxsdk/sinks/_verdict.py",
        "if 200 <= status < 300:",
        "if 200 <= status < 400:",
        "tests/sinks/test_verdict.py",
    ),
    Mutation(
        "a login page is a success",
        "cxsdk/sinks/_verdict.py",
        'if "html" in kind or start.startswith((b"<!doctype", b"<html")):',
        "if False:",
        "tests/sinks/test_http_faults.py -k login",
    ),
    Mutation(
        "a refused batch is buried whole",
        "cxsdk/delivery/line.py",
        '            self._decide("bisections", 1)\n'
        "            self.picker.shelf.put(*parcel.halves())\n            return\n",
        "            self._bury([Condemned(each, 'refused', '', 1) for each in parcel.records])\n"
        "            return\n",
        "tests/delivery/test_poison.py -k only_the_poisonous",
    ),
    Mutation(
        "a broken contract is drained into the dead letters",
        "cxsdk/delivery/line.py",
        "            if self._whole_refused >= _WHOLE_BATCHES:",
        "            if False:",
        "tests/delivery/test_poison.py -k three_whole",
    ),
    Mutation(
        "what was asked for is no minimum",
        "cxsdk/delivery/gate.py",
        "            wait = max(wait, asked)\n",
        "",
        "tests/delivery/test_line.py -k retry_after_is_a_minimum",
    ),
    Mutation(
        "a tombstone is not heeded",
        "cxsdk/spool/file.py",
        "            self._tombstones.look,\n",
        "",
        "tests/spool/test_erasure.py",
    ),
)


def is_noticed(mutation: Mutation, *, pass_first: bool = True) -> bool:
    """
    Say whether the tests pass as they are (looked at with *pass_first*) and fail without the guard.

    Raises:
        ValueError: the guard does not stand in its file any more, just once.
        AssertionError: the tests fail anyway, or there are none.
    """
    with tempfile.TemporaryDirectory(prefix="cxsdk-mutant-") as folder:
        copy = Path(folder) / "copy"
        for name in ("cxsdk", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        if pass_first:
            assert _run(copy, mutation.tests) == 0, f"{mutation.name}: its tests fail as it is"
        path = copy / mutation.file
        text = path.read_text("utf-8")
        if text.count(mutation.guard) != 1:
            raise ValueError(
                f"{mutation.name}: the guard stands {text.count(mutation.guard)} times"
            )
        path.write_text(text.replace(mutation.guard, mutation.instead), "utf-8")
        return _run(copy, mutation.tests) == 1


def _run(copy: Path, tests: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    environ = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environ.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        command, cwd=copy, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode


def main() -> int:
    """
    Try all, say which nobody notices; return 1 when there is one.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="part of a name")
    args = parser.parse_args()
    missed = 0
    for mutation in MUTATIONS:
        if args.only and args.only not in mutation.name:
            continue
        noticed = is_noticed(mutation)
        missed += not noticed
        print(f"{'noticed' if noticed else 'MISSED '}  {mutation.name}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
