"""
Finding touchpoints in Python sources by their syntax trees; nothing is imported or run.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

__all__ = ["Use", "scan"]

_VERBS = frozenset({"interaction", "record"})
_MAKERS = frozenset({"Client", "client", "init"})
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


@attrs.define(frozen=True)
class Use:
    """
    One call that names a touchpoint.
    """

    touchpoint: str | None
    """None where it is not known before the program runs."""
    stage: str | None
    verb: str
    path: Path
    line: int
    problem: str = ""

    @property
    def place(self) -> str:
        """
        Return ``file:line``.
        """
        return f"{self.path}:{self.line}"


def scan(paths: Sequence[Path]) -> tuple[list[Use], list[str]]:
    """
    Read all Python files in *paths*; return what they name, sorted, and which could not be read.
    """
    uses: list[Use] = []
    unread: list[str] = []
    for path in dict.fromkeys(_files(paths)):
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            unread.append(f"{path}: not read: {error}")
            continue
        uses.extend(_Names(tree).uses(path))
    return sorted(uses, key=lambda use: (use.touchpoint or "~", str(use.path), use.line)), unread


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(
                name for name in folders if name not in _SKIPPED and not name.startswith(".")
            )
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


class _Names:
    """
    What a module calls ``cxsdk``, its verbs and its clients, and its text constants.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._nodes = list(ast.walk(tree))
        self._modules: set[str] = set()
        self._verbs: dict[str, str] = {}
        self._clients: set[str] = set()
        self._makers: set[str] = set()
        self._texts: dict[str, str] = {}
        for node in self._nodes:
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom) and node.module == "cxsdk" and not node.level:
                self._import_from(node)
        for node in self._nodes:
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                self._assign(node)
            elif isinstance(node, ast.arg) and self._makes(node.annotation):
                self._clients.add(node.arg)
            elif isinstance(node, ast.withitem) and self._is_made(node.context_expr):
                self._clients |= _terminals([node.optional_vars])
        self._constants(tree)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name == "cxsdk" or (alias.name.startswith("cxsdk.") and not alias.asname):
                self._modules.add(alias.asname or "cxsdk")

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name in _VERBS:
                self._verbs[alias.asname or alias.name] = alias.name
            elif alias.name in _MAKERS:
                self._makers.add(alias.asname or alias.name)

    def _makes(self, node: ast.AST | None) -> bool:
        """
        Say whether *node* is ``Client``, ``cx.Client``, ``cx.init``, … by the names seen here.
        """
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value.rpartition(".")[2] == "Client" and bool(self._makers | self._modules)
        if isinstance(node, ast.Name):
            return node.id in self._makers
        return (
            isinstance(node, ast.Attribute)
            and node.attr in _MAKERS
            and isinstance(node.value, ast.Name)
            and node.value.id in self._modules
        )

    def _is_made(self, node: ast.expr | None) -> bool:
        return isinstance(node, ast.Call) and self._makes(node.func)

    def _assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if self._is_made(node.value) or (
            isinstance(node, ast.AnnAssign) and self._makes(node.annotation)
        ):
            self._clients |= _terminals(targets)

    def _constants(self, tree: ast.Module) -> None:
        for node in tree.body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                    self._texts.update(dict.fromkeys(_terminals(targets), node.value.value))

    def uses(self, path: Path) -> Iterator[Use]:
        """
        Yield the calls of this module that name a touchpoint.
        """
        for node in self._nodes:
            verb = self._verb(node.func) if isinstance(node, ast.Call) else None
            if verb is not None and isinstance(node, ast.Call):
                yield self._use(node, verb, path)

    def _verb(self, function: ast.expr) -> str | None:
        if isinstance(function, ast.Name):
            return self._verbs.get(function.id)
        if not isinstance(function, ast.Attribute) or function.attr not in _VERBS:
            return None
        holder = function.value
        if isinstance(holder, ast.Call):
            return function.attr if self._makes(holder.func) else None
        is_ours = isinstance(holder, ast.Name) and holder.id in self._modules
        return function.attr if is_ours or _terminals([holder]) & self._clients else None

    def _use(self, call: ast.Call, verb: str, path: Path) -> Use:
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        touchpoint = self._text(call.args[0] if call.args else named.get("touchpoint"))
        stage_node = named.get("stage")
        stage = self._text(stage_node)
        problem = ""
        if touchpoint is None:
            problem = "the touchpoint is not a constant, so nobody can list it"
        elif stage is None and stage_node is not None and not _is_none(stage_node):
            problem = "the stage is not a constant"
        return Use(touchpoint, stage, verb, path, call.lineno, problem)

    def _text(self, node: ast.expr | None) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        return self._texts.get(node.id) if isinstance(node, ast.Name) else None


def _terminals(nodes: Sequence[ast.expr | None]) -> set[str]:
    """
    Return the last names of targets: ``client`` of ``client`` and of ``self.client``.
    """
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
