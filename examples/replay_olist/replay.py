"""
Replay a year of a real shop: the Olist orders, their promised days and what customers said.

    python replay.py FOLDER --to http://127.0.0.1:4180

Every event has a key, so a second run sends the same events again and the collector stores nothing
more. Times in the files have no zone; they are read in America/Sao_Paulo.
"""

import argparse
import collections
import csv
import datetime as dt
import gzip
import pathlib
import sys
import zoneinfo

import attrs

import cxsdk as cx

HERE = zoneinfo.ZoneInfo("America/Sao_Paulo")
STARS = 5
FLUSH_EVERY = 2000


def rows(folder, name):
    """
    Yield the rows of a CSV file, zipped or not.
    """
    plain = pathlib.Path(folder, f"olist_{name}.csv")
    zipped = plain.with_suffix(".csv.gz")
    if not plain.exists() and not zipped.exists():
        sys.exit(f"{plain} or {zipped.name}: not there; get the Olist data set from Kaggle")
    opener = open if plain.exists() else gzip.open
    with opener(plain if plain.exists() else zipped, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def moment(text):
    """
    Read a naive time as one of Sao Paulo; None where there is none.
    """
    return dt.datetime.fromisoformat(text).replace(tzinfo=HERE) if text else None


def by_day(event):
    """
    A processor: the files know the day of a review, not the hour.
    """
    if event.family != "feedback":
        return event
    return attrs.evolve(event, data=attrs.evolve(event.data, time_precision="day"))


class Replay:
    """
    Tells the story of each order, and counts.
    """

    def __init__(self, folder):
        people = {
            row["customer_id"]: row["customer_unique_id"] for row in rows(folder, "customers")
        }
        self.reviews = collections.defaultdict(list)
        for row in rows(folder, "order_reviews"):
            self.reviews[row["order_id"]].append(row)
        self.orders = sorted(
            rows(folder, "orders"),
            key=lambda row: (row["order_purchase_timestamp"], row["order_id"]),
        )
        for row in self.orders:
            row["person"] = people[row["customer_id"]]
        self.last_order = {}
        self.counts = collections.Counter()
        self.stars = {"on time": [], "late": []}

    def count(self, what, result):
        """
        Count what was accepted, and what was not, by reason.
        """
        self.counts[what if result else f"not accepted: {result.reason}"] += 1
        return result

    def tell(self, order):
        """
        Placed, promised, delivered, judged.
        """
        name, placed = order["order_id"], moment(order["order_purchase_timestamp"])
        before = self.last_order.get(order["person"])
        with cx.scope(customer=order["person"], tz=HERE.key, channel="web"):
            done = self.count(
                "interaction",
                cx.record("checkout.pay", stage="order", key=f"placed-{name}", at=placed,
                          refs={"order": name}),
            )  # fmt: skip
            about = [done.id] if done else []
            if before:
                self.count("reaction", cx.reaction("repurchase", about=before, at=placed,
                                                   key=f"repurchase-{name}"))  # fmt: skip
            self.last_order[order["person"]] = about
            about = about + self.deliver(order, placed)
            for review in self.reviews[name]:
                self.judge(order, review, about)

    def deliver(self, order, placed):
        """
        The promised day, and whether the carrier kept it; returns the hand-over's id.
        """
        name = order["order_id"]
        due = moment(order["order_estimated_delivery_date"]).date()
        delivered = moment(order["order_delivered_customer_date"])
        promise = cx.commitment(f"delivery-{name}")
        self.count("promise", cx.promise("delivery", key=f"delivery-{name}", due_date=due, at=placed,
                                         refs={"order": name}))  # fmt: skip
        if delivered is None:
            return []
        handed_over = self.count(
            "interaction",
            cx.record("parcel.handover", stage="fulfil", key=f"handover-{name}", at=delivered,
                      by=cx.partner("carrier"), channel="field", medium="in_person",
                      direction="outbound", refs={"order": name}),
        )  # fmt: skip
        days_late = (delivered.date() - due).days
        if days_late > 0:
            self.count("broken", promise.broken(at=delivered, late_by=days_late * 86_400))
        else:
            self.count("kept", promise.kept(at=delivered))
        order["went"] = "late" if days_late > 0 else "on time"
        return [handed_over.id] if handed_over else []

    def judge(self, order, review, about):
        """
        The review: so many stars, perhaps with words.
        """
        stars = int(review["review_score"])
        words = [review["review_comment_title"].strip(), review["review_comment_message"].strip()]
        self.count(
            "feedback",
            cx.feedback(rating=(stars, STARS), text="\n".join(filter(None, words)) or None,
                        lang="pt-BR", about=about, solicited=True,
                        at=moment(review["review_creation_date"]),
                        key=f"review-{review['review_id']}-{order['order_id']}",
                        refs={"order": order["order_id"]}),
        )  # fmt: skip
        if "went" in order:
            self.stars[order["went"]].append(stars)

    def report(self):
        """
        Print what was accepted, and how a kept promise shows in the stars.
        """
        for what, count in sorted(self.counts.items()):
            print(f"{count:7} {what}")
        for went, stars in self.stars.items():
            mean = sum(stars) / len(stars) if stars else float("nan")
            print(f"{went}: {mean:.3f} stars on average of {len(stars)} reviews")


def bar(items, label):
    """
    Yield *items* behind a progress bar where there is a terminal and rich.
    """
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        return items
    return track(items, label, console=Console(stderr=True)) if sys.stderr.isatty() else items


def main():
    """
    Replay; exit code 1 when something was not accepted or not delivered.
    """
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("folder", help="where olist_*.csv or olist_*.csv.gz are")
    parser.add_argument("--to", required=True, metavar="URL", help="the collector")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N orders")
    options = parser.parse_args()
    replay = Replay(options.folder)
    cx.init("olist-replay", collector=options.to, processors=[by_day])
    for done, order in enumerate(bar(replay.orders[: options.limit], "orders"), 1):
        replay.tell(order)
        if done % FLUSH_EVERY == 0:
            cx.flush(60)
    delivery = cx.close(120)
    replay.report()
    print(f"{delivery.pending} events wait in the spool {delivery.reason}".rstrip())
    refused = any(what.startswith("not accepted") for what in replay.counts)
    return 1 if delivery.pending or delivery.dropped or refused else 0


if __name__ == "__main__":
    sys.exit(main())
