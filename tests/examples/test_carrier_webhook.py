"""
The carrier's webhook: a real server and a real collector; the carrier is played by `send.py`'s own
functions, and by the script itself.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

TZ = ZoneInfo("Europe/Vienna")
SECRET = "new-secret"


@pytest.fixture
def send(examples, monkeypatch):
    """Return the module that plays the carrier."""
    monkeypatch.syspath_prepend(str(examples / "carrier_webhook"))
    monkeypatch.setenv("CARRIER_SECRETS", SECRET)
    sys.modules.pop("send", None)
    import send

    yield send
    del sys.modules["send"]


@pytest.fixture
def shop(examples, collector, environ, tmp_path):
    """
    Serve the webhook as its README says; return its address.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"],
        cwd=examples / "carrier_webhook",
        env=environ
        | {
            "CXSDK_COLLECTOR": collector.url,
            "CARRIER_SECRETS": f"{SECRET},old-secret",
            "PARCELS_DB": str(tmp_path / "parcels.db"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stderr:
        if found := re.search(r"running on (http://\S+)", line):
            break
    else:
        raise AssertionError("the webhook did not start")
    yield f"{found[1]}/carrier"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert "Traceback" not in said, said


@pytest.fixture
def carrier(shop, send):
    """
    Return a function that signs and posts a message.
    """
    with httpx.Client() as client:

        def post(told, *, secret=SECRET, sent=None):
            body = told if isinstance(told, bytes) else json.dumps(told).encode()
            return client.post(shop, content=body, headers=send.signature(body, secret, sent))

        yield post


@pytest.fixture
def told(send):
    """
    Return a function that makes a message of so many days from now, at noon in Vienna.
    """
    noon = datetime.now(TZ).replace(hour=12, minute=0, second=0, microsecond=0)

    def make(parcel, status, days=-1.0, **more):
        return send.message(parcel, status, noon + timedelta(days=days), **more)

    return make


@pytest.fixture
def journey(collector, rows, eventually):
    """
    Wait for so many events of a customer; return (families and actions in order, data, promises).
    """

    def read(customer, count):
        find = f"SELECT count(*) FROM events WHERE customer = 'id:{customer}'"
        assert eventually(lambda: rows(find) == [(count,)]), rows(find)
        found = httpx.get(f"{collector.url}/customers/{customer}/journey.json").json()
        data = [event["data"] for event in found["events"]]
        standing = {one["commitment_id"]: one["standing"] for one in found["promises"]}
        return [_name(event) for event in found["events"]], data, standing

    return read


def _name(event):
    *_, family, action, _ = event["type"].split(".")
    return event["data"]["where"]["touchpoint"] if family == "interaction" else action


def day(days):
    return (datetime.now(TZ).date() + timedelta(days=days)).isoformat()


def test_a_parcel_on_its_way_is_the_partners_work_and_the_shops_promise(
    carrier, told, journey, collector
):
    """Three contacts by the carrier on behalf of the shop, and the promise is kept."""
    for minus, status in ((3, "handed_over"), (2, "out_for_delivery"), (1, "delivered")):
        more = {"to": "person"} if status == "delivered" else {}
        answer = carrier(told("JJD0001", status, -minus, **more))
        assert (answer.status_code, answer.json()["known"]) == (200, False)

    names, data, promises = journey("c-1", 5)
    contacts = ["parcel.handed_over", "parcel.out_for_delivery", "parcel.delivered"]
    assert (names[0], [name for name in names if name in contacts]) == ("made", contacts)
    assert "kept" in names
    assert promises == {"order-1": "kept"}
    contacted = [body for body in data if "performed_by" in body]
    for contact in contacted:
        carried_by = {"kind": "partner", "partner_role": "carrier", "org": "dhl"}
        assert (contact["performed_by"], contact["on_behalf_of"]) == (carried_by, "shop")
        assert contact["direction"] == "outbound"
        assert {"type": "parcel", "id": "JJD0001"} in contact["refs"]
    assert [body["where"].get("channel") for body in contacted] == ["unknown", "unknown", "field"]
    assert contacted[2]["where"]["medium"] == "in_person"
    assert data[0]["promised_by"] == {"kind": "company"}

    page = httpx.get(f"{collector.url}/customers/c-1/journey").text
    assert page.count("partner · carrier · dhl") == 3
    assert page.count("on behalf of") == 3


def test_a_message_that_comes_twice_counts_once(carrier, told, journey, rows):
    """The same id is the same event, also where it revises the promise; another story is a 409."""
    late = told("JJD0001", "delayed", eta=day(4))
    answers = [carrier(late) for _ in range(2)]
    assert [answer.json()["known"] for answer in answers] == [False, True]
    other = carrier({**late, "eta": day(9)})
    assert (other.status_code, other.json()["status"]) == (409, 409)

    names, data, promises = journey("c-1", 3)
    assert sorted(names) == ["made", "parcel.delayed", "revised"]
    (revised,) = [body for body in data if body.get("state") == "revised"]
    assert (revised["due_date"], revised["reason"]) == (day(4), "carrier_delay")
    assert promises == {"order-1": "open"}


def test_webhooks_out_of_order_tell_the_same_story(carrier, told, journey):
    """What comes late takes its place by the carrier's time; the later of two delays holds."""
    for days, status, more in (
        (0, "delivered", {}),
        (-5, "handed_over", {}),
        (-3, "delayed", {"eta": day(5)}),
    ):
        carrier(told("JJD0001", status, days - 0.5, **more))
    names, _, promises = journey("c-1", 5)
    # Nobody was told of a delay that we heard of after the parcel was there: nothing is revised.
    assert names[:3] == ["made", "parcel.handed_over", "parcel.delayed"]
    assert (sorted(names[3:]), promises) == (["kept", "parcel.delivered"], {"order-1": "kept"})

    for days, eta in ((-1, 6), (-2, 4)):
        carrier(told("JJD0002", "delayed", days, eta=day(eta)))
    names, data, _ = journey("c-2", 4)
    assert [body["due_date"] for body in data if body.get("state") == "revised"] == [day(6)]


def test_who_was_told_of_a_delay_is_not_let_down(carrier, told, journey, tmp_path, shop):
    """On the day told last it is kept, late by what it is; after that it is broken."""
    import sqlite3

    with sqlite3.connect(tmp_path / "parcels.db") as db:
        db.execute("UPDATE parcels SET promised = ?, told = ?", (day(-4), day(-4)))
    db.close()
    carrier(told("JJD0001", "delayed", -5, eta=day(-2)))
    carrier(told("JJD0001", "delivered", -2))
    carrier(told("JJD0002", "delivered", -2))
    carrier(told("JJD0003", "delayed", -5))

    _, data, promises = journey("c-1", 5)
    (kept,) = [body for body in data if body.get("state") == "kept"]
    assert (kept["lateness_ms"], promises) == (2 * 86_400_000, {"order-1": "kept_late"})
    _, data, promises = journey("c-2", 3)
    (broken,) = [body for body in data if body.get("state") == "broken"]
    assert (broken["reason"], broken["lateness_ms"]) == ("late", 2 * 86_400_000)
    assert promises == {"order-2": "broken"}
    names, _, _ = journey("c-3", 3)
    assert "at_risk" in names


def test_a_lost_parcel_is_a_problem_that_is_made_good(carrier, told, journey, collector):
    """The promise is broken, a refund is promised, and a parcel that is found solves the problem."""
    carrier(told("JJD0003", "lost", -2))
    names, _, promises = journey("c-3", 5)
    assert sorted(names) == ["broken", "encountered", "made", "made", "parcel.lost"]
    assert promises == {"order-3": "broken", "order-3-refund": "open"}
    query = {"problem": "delivery_failure", "all": "1"}
    affected = httpx.get(f"{collector.url}/affected.json", params=query).json()
    assert [one["customer"]["id"] for one in affected["customers"]] == ["c-3"]
    assert (affected["counts"]["left"], affected["counts"]["made_good"]) == (0, 1)

    carrier(told("JJD0003", "delivered", -1, to="locker"))
    names, data, promises = journey("c-3", 7)
    assert {"parcel.delivered", "resolved"} <= set(names)
    assert promises["order-3"] == "broken"
    (found,) = [body["where"] for body in data if body.get("outcome") == "success"]
    assert (found["channel"], found["medium"]) == ("self_service", "machine")
    assert carrier(told("JJD0004", "returned")).status_code == 200
    assert journey("c-4", 3)[2] == {"order-4": "broken"}


def test_only_the_carrier_is_heard(carrier, told, rows, shop, send):
    """Forged, unsigned, old, from the future, signed for another body: 401, and nothing is kept."""
    body = told("JJD0005", "lost")
    now = int(time.time())
    refused = [
        carrier(body, secret="guessed"),
        carrier(body, sent=now - 301),
        carrier(body, sent=now + 310),
        carrier(body, sent=-now),
        httpx.post(shop, json=body),
        httpx.post(shop, json=body, headers=send.signature(b"{}", SECRET)),
    ]
    for header in (
        "",
        "t=1",
        "v1=",
        "t=,v1=",
        "t=²,v1=ü",
        ",,=,=",
        f"t={'9' * 5000},v1=0",
        "t=" * 99,
    ):
        headers = {"X-Carrier-Signature": header.encode("utf-8")}
        refused.append(httpx.post(shop, json=body, headers=headers))
    strange = b'{"id": "x"}'
    for sent in ("9" * 5000, "²", "1e9", " 1", ""):
        signed = {"X-Carrier-Signature": _sign(strange, sent.encode())}
        refused.append(httpx.post(shop, content=strange, headers=signed))
    assert [answer.status_code for answer in refused] == [401] * len(refused)
    for answer in refused:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["title"].startswith("X-Carrier-Signature: expected ")
        assert SECRET not in answer.text

    assert carrier(body).status_code == 200  # and the parcel was not touched by what was refused
    lost = "SELECT count(*) FROM events WHERE customer = 'id:c-5' AND family = 'problem'"
    assert rows(lost) in ([(0,)], [(1,)])


def _sign(body, sent, *secrets):
    import hmac

    made = [
        hmac.new(each, sent + b"." + body, "sha256").hexdigest().encode()
        for each in secrets or (SECRET.encode(),)
    ]
    return b"t=" + sent + b"".join(b", v1=" + each for each in made)


def test_a_secret_is_rotated_without_a_gap(carrier, told, shop):
    """Signed with the new one, the old one, or both at once: heard."""
    assert carrier(told("JJD0006", "handed_over")).status_code == 200
    assert carrier(told("JJD0006", "out_for_delivery"), secret="old-secret").status_code == 200
    body = json.dumps(told("JJD0006", "delivered")).encode()
    signed = _sign(body, b"%d" % time.time(), b"not-yet-ours", SECRET.encode())
    assert httpx.post(shop, content=body, headers={"X-Carrier-Signature": signed}).is_success


def test_what_is_wrong_with_a_message_is_named(carrier, told):
    """The partner's mistakes are 4xx with the field, however strange, deep or long; never a 5xx."""
    good = told("JJD0007", "delivered")
    wrong = [
        (400, b""),
        (400, b"{"),
        (400, b"\xff\xfe"),
        (400, b'{"id": "\xff"}'),
        (422, b"[]"),
        (422, b"7"),
        (422, {}),
        (422, {**good, "id": ""}),
        (422, {**good, "id": 7}),
        (422, {**good, "id": "a" * 65}),
        (422, {**good, "id": "a\n"}),
        (400, {**good, "id": "\ud800"}),
        (422, {**good, "parcel": "'; DROP TABLE parcels; --"}),
        (422, {**good, "status": "eaten"}),
        (422, {**good, "status": None}),
        (422, {**good, "at": "yesterday"}),
        (422, {**good, "at": "2026-01-01T12:00:00"}),
        (422, {**good, "at": "0001-01-01T00:00:00+14:00"}),
        (422, {**good, "at": "9999-12-31T23:59:59-14:00"}),
        (422, told("JJD0007", "delivered", 2)),
        (422, told("JJD0007", "delivered", -40)),
        (422, b'{"at": 1e999}'),
        (400, b'{"at": NaN}'),
        (400, b'{"x":' * 6000),
        (422, b"[" * 20_000),
        (422, b'{"x": ' + b"9" * 6000 + b"}"),
        (422, {**good, "eta": "soon"}),
        (422, {**good, "to": "the dog"}),
        (404, {**good, "parcel": "JJD9999"}),
    ]
    found = [(carrier(body), body) for _, body in wrong]
    assert [(answer.status_code, body) for answer, body in found] == wrong
    for answer, _ in found:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["title"]
    by_field = carrier({**good, "at": "2026-01-01T12:00:00"}).json()["title"]
    assert by_field.endswith("`$.at`")
    assert carrier(good).json() == {"id": good["id"], "known": False}


def test_too_much_is_refused_before_it_is_read(shop):
    """More than 32 KiB is a 413, without a look at the signature."""
    answer = httpx.post(shop, content=b" " * 40_000)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


def test_another_method_or_address_is_a_problem_as_well(shop):
    """405 names what is allowed, 404 is JSON."""
    wrong = httpx.get(shop)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert httpx.post(f"{shop}s").json() == {"status": 404, "title": "Not Found"}


def test_a_carrier_that_hangs_up_or_stalls_is_let_go(shop):
    """A body that does not come is no error of ours, and ends after ten seconds with a 408."""
    host, port = re.match(r"http://([^:]+):(\d+)", shop).groups()
    head = b"POST /carrier HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(head)
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head)
        assert slow.recv(64).startswith(b"HTTP/1.1 408")


def test_the_script_plays_the_carrier(examples, shop, journey):
    """A story, twice, and forged: as the README says."""

    def play(*words):
        return subprocess.run(
            [sys.executable, "-B", "send.py", *words, "--url", shop],
            cwd=examples / "carrier_webhook",
            env={"CARRIER_SECRETS": SECRET, "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    story = play("JJD0008", "handed_over", "delivered", "--to", "person", "--twice")
    assert (story.returncode, story.stdout.count('"known":true')) == (0, 2), story.stderr
    for trick in ("--forge", "--old"):
        refused = play("JJD0008", "lost", trick)
        assert (refused.returncode, refused.stdout[:3]) == (1, "401")
    names, data, promises = journey("c-8", 4)
    assert sorted(names) == ["kept", "made", "parcel.delivered", "parcel.handed_over"]
    contacts = [body["where"]["channel"] for body in data if "performed_by" in body]
    assert contacts == ["unknown", "field"]
    assert promises == {"order-8": "kept"}


def test_restarting_the_shop_promises_nothing_twice(examples, collector, environ, tmp_path, rows):
    """The book is kept over restarts."""
    code = (
        "import cxsdk as cx, parcels\n"
        f"cx.init(service='shop', collector={collector.url!r}, tz='UTC')\n"
        "parcels.open_shop()\n"
        "cx.close(10)\n"
    )
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-B", "-c", code],
            cwd=examples / "carrier_webhook",
            env=environ | {"PARCELS_DB": str(tmp_path / "parcels.db")},
            check=True,
        )
    assert rows("SELECT family, count(*) FROM events GROUP BY family") == [("commitment", 9)]


def test_the_files_are_short(examples):
    """An example that does not fit on two screens is not read."""
    for name in ("app.py", "parcels.py", "send.py"):
        assert len((examples / "carrier_webhook" / name).read_text().splitlines()) <= 120


def test_it_uses_public_names_only(examples):
    """``import cxsdk as cx``, and every name it takes is in ``__all__``."""
    import cxsdk

    for name in ("app.py", "parcels.py"):
        text = (examples / "carrier_webhook" / name).read_text()
        assert re.findall(r"^(?:from|import) cxsdk.*$", text, re.MULTILINE) == [
            "import cxsdk as cx"
        ]
        assert set(re.findall(r"\bcx\.(\w+)", text)) <= set(cxsdk.__all__)
