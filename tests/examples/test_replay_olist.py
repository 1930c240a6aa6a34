"""
The Olist example: a real shop's orders through the SDK into a real collector.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import subprocess
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path

import httpx
import pytest

from cxsdk.collector.questions.routes import answer

DATA = Path(__file__).parents[3] / "shared" / "data"

ORDERS = """\
order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date
o1,k1,delivered,2017-11-01 23:30:00,,,2017-11-10 23:59:59,2017-11-10 00:00:00
o2,k2,delivered,2017-12-01 10:00:00,,,2017-12-11 00:00:01,2017-12-10 00:00:00
o3,k3,shipped,2018-01-01 10:00:00,,,,2018-01-10 00:00:00
"""
CUSTOMERS = """\
customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state
k1,person-1,1,x,SP
k2,person-1,1,x,SP
k3,person-2,1,x,SP
"""
REVIEWS = """\
review_id,order_id,review_score,review_comment_title,review_comment_message,review_creation_date,review_answer_timestamp
r1,o1,5,,"Ótimo,
chegou bem 💛",2017-11-11 00:00:00,2017-11-11 10:00:00
r2,o2,1,Atraso,,2017-12-12 00:00:00,2017-12-12 10:00:00
r3,elsewhere,1,,,2017-12-12 00:00:00,2017-12-12 10:00:00
"""


@pytest.fixture
def replay(examples, collector, environ):
    """
    Run the example over a folder; return what it printed.
    """

    def run(folder, *more):
        found = subprocess.run(
            [sys.executable, examples / "replay_olist" / "replay.py", folder,
             "--to", collector.url, *more],
            capture_output=True,
            text=True,
            env=environ,
            timeout=280,
            check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    return run


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "olist_orders.csv").write_text(ORDERS)
    (folder / "olist_customers.csv").write_text(CUSTOMERS)
    (folder / "olist_order_reviews.csv.gz").write_bytes(gzip.compress(REVIEWS.encode()))
    return folder


def bodies(rows, family, action):
    sql = "SELECT time, body FROM events WHERE family = ? AND action = ? ORDER BY time"
    return [(at, json.loads(body)["data"]) for at, body in rows(sql, family, action)]


def test_the_local_date_decides_whether_a_promise_was_kept(replay, small, rows):
    """One second before midnight in Sao Paulo is kept, one second after it is broken."""
    replay(small)
    ((_, kept),) = bodies(rows, "commitment", "kept")
    ((_, broken),) = bodies(rows, "commitment", "broken")
    assert (kept["commitment_id"], broken["commitment_id"]) == ("delivery-o1", "delivery-o2")
    assert broken["lateness_ms"] == 86_400_000
    made = [body for _, body in bodies(rows, "commitment", "made")]
    assert [body["due_date"] for body in made] == ["2017-11-10", "2017-12-10", "2018-01-10"]
    assert {body["where"]["tz"] for body in made} == {"America/Sao_Paulo"}


def test_times_without_a_zone_are_those_of_sao_paulo(replay, small, rows):
    """23:30 in November, when it was daylight saving time there, is 01:30 UTC on the next day."""
    replay(small, "--limit", "1")
    (first, *_) = bodies(rows, "interaction", "completed")
    assert first[0] == 1_509_586_200_000_000  # 2017-11-02T01:30:00Z


def test_reviews_are_about_the_order_and_of_a_day(replay, small, rows):
    """Stars of five, words, day precision, about both interactions of the order."""
    replay(small)
    happy, late = (body for _, body in bodies(rows, "feedback", "given"))
    assert happy["answers"][0]["value"] == 5
    assert happy["answers"][0]["scale"] == {"min": 1, "max": 5, "better": "higher"}
    assert happy["answers"][1]["text"] == "Ótimo,\nchegou bem 💛"
    assert (happy["time_precision"], happy["solicited"]) == ("day", True)
    interactions = dict(
        rows("SELECT json_extract(body, '$.data.interaction_id'), touchpoint FROM events"
             " WHERE family = 'interaction'")
    )  # fmt: skip
    about = [interactions[name] for name in late["about"]["interaction_ids"]]
    assert about == ["checkout.pay", "parcel.handover"]


def test_a_further_order_is_a_repurchase(replay, small, rows):
    """The second order of the same person is a reaction to the first."""
    replay(small)
    ((_, reaction),) = bodies(rows, "reaction", "observed")
    assert (reaction["reaction"], reaction["customer"]) == ("repurchase", {"id": "person-1"})


def test_a_missing_file_is_said(examples, collector, environ, tmp_path):
    """The folder does not hold the data: one line, exit code 1."""
    found = subprocess.run(
        [sys.executable, examples / "replay_olist" / "replay.py", tmp_path, "--to", collector.url],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert found.returncode == 1
    assert "olist_customers.csv" in found.stderr


# ---- the whole sample ---------------------------------------------------------------------


def read(name):
    with gzip.open(DATA / f"olist_{name}.csv.gz", "rt", encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def counted():
    """
    Count from the files alone: orders late and on time by date, and all stars of each.
    """
    stars = defaultdict(list)
    for row in read("order_reviews"):
        stars[row["order_id"]].append(int(row["review_score"]))
    orders = {"late": 0, "on time": 0}
    given = {"late": [], "on time": []}
    for row in read("orders"):
        if not row["order_delivered_customer_date"]:
            continue
        delivered = date.fromisoformat(row["order_delivered_customer_date"][:10])
        promised = date.fromisoformat(row["order_estimated_delivery_date"][:10])
        went = "late" if delivered > promised else "on time"
        orders[went] += 1
        given[went] += stars[row["order_id"]]
    return orders, {went: sum(all_of) / len(all_of) for went, all_of in given.items()}


def kept_in(rows):
    """
    Read the same from the collector's events, over ids alone.
    """
    ended = dict(
        rows("SELECT json_extract(body, '$.data.commitment_id'), action FROM events"
             " WHERE family = 'commitment' AND action IN ('kept', 'broken')")
    )  # fmt: skip
    went = {name: "on time" if action == "kept" else "late" for name, action in ended.items()}
    given = {"late": [], "on time": []}
    for (body,) in rows("SELECT body FROM events WHERE family = 'feedback'"):
        data = json.loads(body)["data"]
        order = f"delivery-{data['refs'][0]['id']}"
        if order in went:
            given[went[order]].append(data["answers"][0]["value"])
    orders = {key: list(went.values()).count(key) for key in given}
    return orders, {key: sum(all_of) / len(all_of) for key, all_of in given.items()}


@pytest.mark.slow
def test_a_year_of_orders_arrives_once_and_says_what_the_files_say(replay, rows):
    """
    Accepted = stored; a second replay adds nothing; late, on time and stars as counted by hand.
    """
    if not DATA.is_dir():
        pytest.skip(f"the Olist sample is not in {DATA}")
    printed = replay(DATA)
    accepted = sum(int(n) for n in re.findall(r"^ +(\d+) [a-z]+$", printed, re.MULTILINE))
    (stored,) = rows("SELECT count(*), count(DISTINCT id) FROM events")
    assert stored == (accepted, accepted)
    assert accepted > 30_000

    replay(DATA)
    assert rows("SELECT count(*), count(DISTINCT id) FROM events") == [stored]

    orders, means = counted()
    assert kept_in(rows) == (orders, pytest.approx(means))
    for went, mean in means.items():
        assert f"{went}: {mean:.3f} stars" in printed


# ---- who was affected ---------------------------------------------------------------------


@pytest.fixture
def asking_some(tmp_path):
    """
    The sample of a shop that asks two of three customers: in it everyone was asked and answered.
    """
    if not DATA.is_dir():
        pytest.skip(f"the Olist sample is not in {DATA}")
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("orders", "customers"):
        (folder / f"olist_{name}.csv.gz").symlink_to(DATA / f"olist_{name}.csv.gz")
    rows = read("order_reviews")
    with (folder / "olist_order_reviews.csv").open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(row for n, row in enumerate(rows) if n % 3)
    return folder


def late_people():
    """
    Count from the files alone: people with a late parcel; those of them who wrote a review on a
    day after the first promised day that was missed; people with a delivered parcel; those of
    them whose every parcel was late; those of them who wrote no such review.
    """
    person = {row["customer_id"]: row["customer_unique_id"] for row in read("customers")}
    owner, first, on_time, late = {}, {}, set(), set()
    for row in read("orders"):
        who = owner[row["order_id"]] = person[row["customer_id"]]
        if not row["order_delivered_customer_date"]:
            continue
        delivered = row["order_delivered_customer_date"][:10]
        promised = row["order_estimated_delivery_date"][:10]
        if delivered > promised:
            late.add(who)
            first[who] = min(promised, first.get(who, promised))
        else:
            on_time.add(who)
    said = set()
    for n, row in enumerate(read("order_reviews")):
        who = owner.get(row["order_id"])
        if n % 3 and who in late and row["review_creation_date"][:10] > first[who]:
            said.add(who)
    return {
        "late": late,
        "said": said,
        "judged": late | on_time,
        "every_time": late - on_time,
        "silent": late - on_time - said,
    }


@pytest.mark.slow
def test_who_got_a_late_parcel_and_said_nothing(replay, asking_some, collector):
    """`affected` and `silent` say what the files say: who, and how many of how many."""
    replay(asking_some)
    by_hand = late_people()

    late = {"kind": "delivery", "outcome": "broken"}
    file = httpx.get(f"{collector.url}/affected.csv", params=late, timeout=30)
    rows = list(csv.DictReader(io.StringIO(file.text, newline="")))
    assert len(rows) == len(by_hand["late"]) > 100
    assert {row["customer"] for row in rows} == by_hand["late"]
    assert {row["customer"] for row in rows if row["feedback"] == "yes"} == by_hand["said"]
    counts = answer(collector.store, "affected", late)["counts"]
    assert counts["customers"] == counts["left"] == len(by_hand["late"])
    assert counts["gave_feedback"] == counts["said_something"] == len(by_hand["said"])

    quiet = answer(collector.store, "silent", {"limit": "1000"})
    assert {one["customer"]["id"] for one in quiet["customers"]} == by_hand["silent"]
    assert quiet["counts"] == {
        "judged": len(by_hand["judged"]),
        "all_failed": len(by_hand["every_time"]),
        "silent": len(by_hand["silent"]),
        "never_asked": len(by_hand["silent"]),
    }
