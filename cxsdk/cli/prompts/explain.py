"""
Say what each rule says of one customer, here and now; nothing is reserved.

--store is the service's own (sqlite:, postgresql:, redis:), else $CXSDK_CAP_STORE; without one
nobody was ever asked.
--customer is the id as the service says it; $CXSDK_KEY is needed where the service has a key.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from cxsdk.asking import CapStore, History
from cxsdk.cli import _screen
from cxsdk.cli.prompts._choice import chosen, pairs
from cxsdk.config import resolve
from cxsdk.errors import ConfigurationError
from cxsdk.pipeline.customers import Customers
from cxsdk.prompts import deciding
from cxsdk.prompts.cases import NOTHING, Case
from cxsdk.prompts.deciding import Asked, Verdict
from cxsdk.prompts.model import CHANNELS, OUTCOMES, Prompt

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("prompt", metavar="PROMPT", help="its key")
    parser.add_argument("--store", metavar="URL", help="who was asked so far ($CXSDK_CAP_STORE)")
    parser.add_argument("--customer", metavar="ID", help="whom: the raw id")
    parser.add_argument("--anonymous", metavar="ID", help="whom, where only a visit is known")
    parser.add_argument("--account", metavar="ID", help="the customer's account")
    parser.add_argument("--after", metavar="TOUCHPOINT", help="the interaction that is over")
    parser.add_argument("--outcome", choices=OUTCOMES[:-1], default="success", help="of it")
    parser.add_argument("--channel", choices=CHANNELS, help="by default the prompt's first")
    parser.add_argument("--locale", metavar="TAG", default="", help="the reader's language")
    parser.add_argument("--consent", choices=("granted", "denied", "unknown"), default="unknown")
    parser.add_argument("--tz", metavar="ZONE", default="UTC", help="the customer's zone")
    parser.add_argument(
        "--attribute", action="append", default=[], metavar="NAME=VALUE", help="of the customer"
    )
    parser.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> int:
    """
    Explain; return 0.

    Raises:
        ConfigurationError: an argument is wrong.
        InvalidEventError: an id is wrong.
        StoreUnavailableError: the store cannot be asked.
    """
    prompt = chosen(options.path, options.prompt)
    if options.customer is None and options.anonymous is None:
        raise ConfigurationError("say whom: --customer ID or --anonymous ID")
    settings, _ = resolve({"service": "cxsdk-cli"})
    url = options.store or settings.prompts.store
    store = _store(url) if isinstance(url, str) and url else None
    try:
        asked = _asked(options, prompt, Customers(settings.privacy.key))
        history = History(now=asked.now) if store is None else store.history(asked.subject)
    finally:
        if store is not None:
            store.close()
    found = [
        *deciding.cheap_verdicts(prompt, asked),
        *deciding.verdicts(prompt, asked, history),
        *deciding.cap_verdicts(prompt, asked, history),
    ]
    _show(options, prompt, found, has_memory=store is not None)
    return 0


def _store(url: str) -> CapStore:
    try:
        from cxsdk.prompts.stores import open_store
    except ImportError:
        raise ConfigurationError("--store: this version of cxsdk opens no stores") from None
    found: CapStore = open_store(url)
    return found


def _asked(options: argparse.Namespace, prompt: Prompt, customers: Customers) -> Asked:
    who = (options.customer, options.anonymous, options.account, None)
    now = time.time()
    case = NOTHING
    if options.after:
        case = Case(
            interaction_id="explained",
            touchpoint=options.after,
            happened_at=now,
            data={"outcome": options.outcome},
        )
    return Asked(
        known=customers.resolve(who),
        case=case,
        channel=options.channel or prompt.channels[0],
        locale=options.locale,
        now=now,
        consent=options.consent,
        tz=options.tz,
        attributes=pairs(options.attribute, "--attribute"),
    )


def _show(
    options: argparse.Namespace, prompt: Prompt, found: list[Verdict], *, has_memory: bool
) -> None:
    reason = deciding.first_reason(found)
    if options.json:
        verdicts: list[Any] = [
            {"rule": one.rule, "allows": not one.reason, "reason": one.reason or None}
            for one in found
        ]
        told = {"prompt": prompt.key, "asks": not reason, "reason": reason or None}
        _screen.show_json({**told, "rules": verdicts})
        return
    _screen.table(
        ("rule", "says", "reason"),
        [(one.rule, "no" if one.reason else "yes", one.reason) for one in found],
    )
    if not has_memory:
        print("without --store and CXSDK_CAP_STORE nobody was ever asked")
    said = f"would not be asked: {reason}" if reason else "would be asked"
    print(f"{prompt.key} {prompt.version}: {said}")
