"""
The demo's customers: each has a past with the shop and visits it now, over HTTP.

Everything a customer does follows from the seed and their number.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from cxsdk.demo.words import HAPPY, SORRY, UPSET

__all__ = ["Customer"]

_CARRIERS = ("dhl", "dpd", "gls", "post_at")
_TIMEOUT_S = 20.0
_PAST_DAYS = (6, 18)
"""Long enough ago that the parcel has come, or has not."""

Moods = {"kept": HAPPY, "late": SORRY, "lost": UPSET}


class Customer:
    """
    One simulated customer; used by one thread.

    Args:
        shop: the shop's address.

        number: who this is.

        seed: another seed, another story.
    """

    def __init__(self, shop: str, number: int, seed: int) -> None:
        self.id = f"c-{1000 + number}"
        self.past: list[str] = []
        """How each earlier order ended: ``kept``, ``late`` or ``lost``."""
        self._number = number
        self._dice = random.Random(f"{seed}/{number}")  # noqa: S311 - a story, no secret
        self._http = httpx.Client(base_url=shop, timeout=_TIMEOUT_S, trust_env=False)

    def live(self) -> None:
        """
        Have a past, then visit the shop; blocks for some tenths of a second.

        Raises:
            httpx.HTTPError: the shop did not answer.
        """
        with self._http:
            for order in range(self._dice.choice((0, 1, 1, 2))):
                self._had_ordered(order)
            self._visit()

    def _post(self, path: str, **said: Any) -> Any:
        response = self._http.post(path, json=said)
        if response.status_code not in {200, 402}:
            response.raise_for_status()
        return response.json()

    # ---- the past -------------------------------------------------------------------------

    def _had_ordered(self, nth: int) -> None:
        """
        An order of the last weeks: placed, promised, delivered or not, and what came of it.
        """
        dice = self._dice
        order = f"o-{1000 + self._number}-{nth}"
        placed = _daytime(dice, dice.uniform(*_PAST_DAYS))
        promised = placed + timedelta(days=3)
        how = dice.choices(("kept", "late", "lost"), (70, 22, 8))[0]
        self.past.append(how)
        self._post(
            "/backoffice/orders",
            order=order,
            customer=self.id,
            at=placed.isoformat(),
            amount=f"{dice.randrange(900, 19_900) / 100:.2f}",
            due_date=promised.date().isoformat(),
            warranty=dice.random() < 0.2,
        )
        late_days = {"kept": -dice.choice((0, 1)), "late": dice.choice((1, 2)), "lost": 2}[how]
        arrived = promised.replace(hour=dice.randrange(9, 18)) + timedelta(days=late_days)
        told = self._post(
            "/backoffice/carrier",
            order=order,
            customer=self.id,
            at=_past(arrived),
            org=dice.choice(_CARRIERS),
            how=how,
            late_by=late_days * 86_400,
        )
        if how == "lost":
            self._complained(order, arrived)
        if dice.random() < 0.75:
            self._was_asked(
                how, told["id"], order, arrived + timedelta(hours=dice.randrange(3, 20))
            )
        self._reacted(how, told["id"], order, arrived + timedelta(days=1, hours=2))

    def _complained(self, order: str, when: datetime) -> None:
        chat = self._post(
            "/backoffice/chats",
            customer=self.id,
            at=_past(when + timedelta(hours=3)),
            case=f"case-{order}",
            agent=f"agent-{self._dice.randrange(1, 6)}",
            wait=self._dice.randrange(120, 900),
            duration=self._dice.randrange(300, 1500),
        )
        self._post(
            "/reactions",
            customer=self.id,
            reaction="complain",
            evidence="declared",
            about=[chat["id"]],
            at=_past(when + timedelta(hours=3)),
            text="Nobody told me that it was lost.",
            key=f"complain-{order}",
        )
        self._post(
            "/backoffice/refunds",
            order=order,
            customer=self.id,
            amount="49.90",
            at=_past(when + timedelta(hours=4)),
        )

    def _was_asked(self, how: str, about: str, order: str, when: datetime) -> None:
        dice = self._dice
        language, text = dice.choice(Moods[how])
        scores = {"kept": (4, 5), "late": (2, 4), "lost": (1, 2)}[how]
        versus = {
            "kept": ("as_expected", "better", "much_better"),
            "late": ("worse", "as_expected"),
            "lost": ("much_worse", "worse"),
        }[how]
        said: dict[str, Any] = {"csat": dice.randint(*scores)}
        if dice.random() < 0.6:
            said["versus_expectation"] = dice.choice(versus)
        if dice.random() < 0.5:
            said["nps"] = {"kept": dice.randint(7, 10), "late": dice.randint(3, 8)}.get(how, 1)
        if dice.random() < 0.6:
            said |= {"text": text, "lang": language}
        self._post(
            "/feedback",
            customer=self.id,
            about=[about],
            solicited=True,
            at=_past(when),
            key=f"survey-{order}",
            **said,
        )

    def _reacted(self, how: str, about: str, order: str, when: datetime) -> None:
        likely = {
            "kept": (("repurchase", 0.35), ("refer", 0.2)),
            "late": (("contact_again", 0.3), ("repurchase", 0.1)),
            "lost": (("cancel", 0.5), ("switch_channel", 0.3)),
        }[how]
        for reaction, share in likely:
            if self._dice.random() < share:
                self._post(
                    "/reactions",
                    customer=self.id,
                    reaction=reaction,
                    about=[about],
                    attribution="rule",
                    at=_past(when),
                    key=f"{reaction}-{order}",
                )

    # ---- now ------------------------------------------------------------------------------

    def _visit(self) -> None:
        dice = self._dice
        consent = dice.choices(("granted", "denied", None), (70, 15, 15))[0]
        if consent is not None:
            self._post("/consent", state=consent)
        # Nobody knows yet who this is: an anonymous visitor until the login.
        self._http.get("/search", params={"q": dice.choice(("lamp", "desk", "chair", "unicorn"))})
        for _ in range(dice.randrange(1, 4)):
            self._http.get(f"/products/p-{dice.randrange(1, 40)}")
        self._post("/login", user=self.id, locale=dice.choice(("de-AT", "en-GB", "fr-FR", "ja-JP")))
        self._post("/cart", product=f"p-{dice.randrange(1, 40)}", quantity=dice.randrange(1, 3))
        if dice.random() < 0.15:
            self._http.get("/orders", params={"per_page": "0"})
        if dice.random() < 0.15:
            self._post("/problems", problem="slow", severity="minor", touchpoint="catalogue.view",
                       detail=f"largest paint after {dice.randrange(4, 12)} s")  # fmt: skip
        if dice.random() < 0.75:
            self._buy()
        if dice.random() < 0.35:
            self._chat()

    def _buy(self) -> None:
        dice = self._dice
        order = {"order": f"o-{1000 + self._number}-now", "days": dice.randrange(2, 6),
                 "amount": f"{dice.randrange(900, 19_900) / 100:.2f}"}  # fmt: skip
        attempt = 1
        if dice.random() < 0.2:
            self._post("/checkout", card="declined", **order)
            attempt = 2
            if dice.random() < 0.4:
                self._post("/feedback", versus_expectation="worse", text="Karte abgelehnt?! 😠",
                           lang="de")  # fmt: skip
                return
        self._post("/checkout", attempt=attempt, **order)
        if dice.random() < 0.3:
            self._post("/feedback", csat=dice.randint(3, 5),
                       versus_expectation=dice.choice(("as_expected", "better")))  # fmt: skip

    def _chat(self) -> None:
        dice = self._dice
        transfers = dice.choice((0, 0, 1, 2))
        self._post(
            "/support",
            agent=f"agent-{dice.randrange(1, 6)}",
            wait=dice.randrange(5, 240),
            transfers=transfers,
            repeated=dice.randint(0, 2) if transfers else 0,
            solved=dice.random() < 0.8 - 0.2 * transfers,
            case=f"case-{self.id}-now",
        )
        if dice.random() < 0.4:
            self._post("/feedback", ces=7 - 2 * transfers, csat=5 - transfers)


def _past(when: datetime) -> str:
    """
    Return *when* as text, but nothing of the future: what would come next has just come.
    """
    return min(when, datetime.now(UTC) - timedelta(minutes=5)).isoformat()


def _daytime(dice: random.Random, days_ago: float) -> datetime:
    """
    Return a time that many days ago when people are awake.
    """
    day = datetime.now(UTC) - timedelta(days=days_ago)
    return day.replace(
        hour=dice.randrange(7, 21), minute=dice.randrange(60), second=0, microsecond=0
    )
