"""
The catalogue of touchpoints: a TOML file that people write, and that is edited here line by line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs

from cxsdk.errors import ConfigurationError

__all__ = ["Catalogue"]

_HEAD = re.compile(r"\s*\[")
_STAGE = re.compile(r"\s*stage\s*=")


@attrs.define
class Catalogue:
    """
    Touchpoint → stage, as the file says.
    """

    path: Path
    text: str
    stages: dict[str, str | None]

    @classmethod
    def read(cls, path: Path, *, may_be_missing: bool) -> Catalogue:
        """
        Read a catalogue; where it *may_be_missing*, none is an empty one.

        Raises:
            ConfigurationError: it is missing, no TOML, or not of this shape.
        """
        if may_be_missing and not path.exists():
            return cls(path, "", {})
        try:
            text = path.read_text(encoding="utf-8")
            found = tomllib.loads(text).get("touchpoints", {})
            stages = {name: entry.get("stage") for name, entry in found.items()}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path}: cannot be read: {error}") from error
        except AttributeError as error:
            raise ConfigurationError(
                f'{path}: expected tables such as [touchpoints."checkout.pay"]'
            ) from error
        return cls(path, text, stages)

    def update(self, in_code: Mapping[str, str | None]) -> tuple[int, int]:
        """
        Write what the code says: new touchpoints and other stages; return how many of each.

        Raises:
            ConfigurationError: an entry is written in a form that cannot be edited line by line.
            OSError: the file cannot be written.
        """
        added = corrected = 0
        for name, stage in sorted(in_code.items()):
            if name not in self.stages:
                self._add(name, stage)
                added += 1
            elif self.stages[name] != stage:
                self._correct(name, stage)
                corrected += 1
            self.stages[name] = stage
        self._check(in_code)
        self.path.write_text(self.text, encoding="utf-8")
        return added, corrected

    def _add(self, name: str, stage: str | None) -> None:
        gap = "\n" if self.text else ""
        if self.text and not self.text.endswith("\n"):
            gap = "\n\n"
        said = f"stage = {_quoted(stage)}\n" if stage is not None else ""
        self.text += f'{gap}[touchpoints.{_quoted(name)}]\n{said}owner = ""\ndescription = ""\n'

    def _correct(self, name: str, stage: str | None) -> None:
        lines = self.text.splitlines(keepends=True)
        place = next((n for n, line in enumerate(lines) if self._heads(line, name)), None)
        if place is None:
            raise ConfigurationError(
                f'{self.path}: {name} is not written as [touchpoints."{name}"]; set its stage'
                f" to {stage!r} by hand"
            )
        end = place + 1
        while end < len(lines) and not _HEAD.match(lines[end]):
            end += 1
        body = [line for line in lines[place + 1 : end] if not _STAGE.match(line)]
        said = [f"stage = {_quoted(stage)}\n"] if stage is not None else []
        lines[place + 1 : end] = said + body
        self.text = "".join(lines)

    @staticmethod
    def _heads(line: str, name: str) -> bool:
        head = line.partition("#")[0].strip()
        return head in {
            f'[touchpoints."{name}"]',
            f"[touchpoints.'{name}']",
            f"[touchpoints.{name}]",
        }

    def _check(self, in_code: Mapping[str, str | None]) -> None:
        # A file that people own is not overwritten with something that reads otherwise.
        try:
            entries = tomllib.loads(self.text)["touchpoints"] if in_code else {}
            is_right = all(entries[name].get("stage") == stage for name, stage in in_code.items())
        except (tomllib.TOMLDecodeError, KeyError, AttributeError):
            is_right = False
        if not is_right:
            raise ConfigurationError(f"{self.path}: cannot be edited line by line; do it by hand")


def _quoted(text: str | None) -> str:
    # JSON's escapes are TOML's.
    return json.dumps(text, ensure_ascii=False)
