"""
From settings to an engine: prompts, store, keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxsdk import _standin
from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.pipeline.customers import Customers
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.rules import NotAfterFailure
from cxsdk.spool import directory

if TYPE_CHECKING:
    from cxsdk.asking import CapStore
    from cxsdk.pipeline.capture import Capture

__all__ = ["needs_watching", "open_cap_store", "open_engine"]

_FOLDER = ".prompts"  # no service can have this name


def open_engine(
    settings: Settings,
    capture: Callable[[], Capture | None],
    clock: Clock,
    attributes: Callable[[Any], Mapping[str, Any]] | None = None,
) -> Engine:
    """
    Return the engine that *settings* ask for. Reads the prompts' files and opens the store.

    Args:
        attributes: customer id → what rules may look at.

    Raises:
        ConfigurationError: a prompt, the store or the keys are wrong.
        ExtraMissingError: ``cxsdk[prompts]`` or the store's extra is not installed.
    """
    options = settings.prompts
    prompts: list[Prompt] = list(options.prompts)
    if options.files is not None:
        from cxsdk.prompts.files import load

        prompts += load(options.files)
    engine = Engine(
        capture,
        prompts,
        open_cap_store(settings),
        keys=_keys(settings),
        audience=f"{settings.source}|{settings.environment}",
        deadline=options.deadline,
        attributes=attributes,
        suppressed_events=options.suppressed_events,
        # One that the team made is the team's to close: a client made after this one has it too.
        owns_store=isinstance(options.store, str),
        clock=clock,
    )
    engine.customers = Customers(settings.privacy.key)
    if options.watch and any(map(needs_watching, prompts)):
        engine.needs_watching = True
    for show in _standin.engines:
        show(engine)
    return engine


def needs_watching(prompt: Prompt) -> bool:
    """
    Say whether *prompt* waits for events, or looks at those of before.
    """
    trigger = prompt.trigger
    guards = any(isinstance(rule, NotAfterFailure) for rule in prompt.eligibility)
    by_letter = bool(trigger.event) and prompt.channels != ("in_app",)
    return bool(trigger.delay or trigger.cancel_on or guards or by_letter)


def open_cap_store(settings: Settings) -> CapStore:
    """
    Return the cap store that *settings* name, or the file beside the spool.

    Raises:
        ConfigurationError: there is no such store.
        ExtraMissingError: its extra is not installed.
    """
    wanted: Any = settings.prompts.store
    from cxsdk.prompts.stores import open_store

    if not isinstance(wanted, str) or wanted not in {"", "sqlite:"}:
        return open_store(wanted)
    if not wanted and settings.spool.mode == "memory":
        return open_store("memory:")
    # A disk that refuses must not keep a host from starting: its store will be unavailable, and
    # nobody is asked.
    with contextlib.suppress(OSError):
        _made(settings)
    return open_store("sqlite:", default_path=_folder(settings) / "caps.db")


def _folder(settings: Settings) -> Path:
    root = settings.spool.directory or directory.default_root()
    return root.joinpath(_FOLDER, settings.service, settings.environment)


def _made(settings: Settings) -> Path:
    root = settings.spool.directory or directory.default_root()
    return directory.ensure(root, _FOLDER, settings.service, settings.environment)


def _keys(settings: Settings) -> tuple[bytes, ...]:
    if settings.prompts.keys:
        return settings.prompts.keys
    if settings.privacy.key is not None:
        return (hashlib.blake2b(b"cxsdk prompts", key=settings.privacy.key[:64]).digest(),)
    if settings.spool.mode == "memory":
        return (os.urandom(32),)
    try:
        return (_kept_key(_made(settings) / "key"),)
    except OSError as error:
        voice.say(
            logging.WARNING,
            "prompts:key",
            "cxsdk: no key for tokens can be kept (%s), so other workers will not know this one's;"
            " set prompts=cx.PromptOptions(keys=…) or CXSDK_PROMPT_KEYS",
            error,
        )
        return (os.urandom(32),)


def _kept_key(path: Path) -> bytes:
    """
    Return the key in a file of the owner's, made if missing: all workers of a host share it.
    """
    fresh = path.with_name(f"key.{os.getpid()}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
        # A link and not a rename: of several workers that make one the first stays.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    key = path.read_bytes()
    if len(key) < 16:
        raise ConfigurationError(f"prompts.keys: {path} is damaged; remove it to have another")
    return key
