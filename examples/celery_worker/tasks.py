"""
What a shop does when nobody waits: notices, and reminders of warranties. See README.md.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from celery import Celery

import cxsdk as cx
from cxsdk.integrations.celery import CX

TZ = ZoneInfo("Europe/Vienna")
MAILS = Path(os.environ.get("MAILS", "mails.txt"))
app = Celery("tasks", broker=os.environ.get("BROKER", "redis://127.0.0.1:6379/0"))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True)

cx.init(
    service="shop",
    collector=os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180"),
    privacy=cx.PrivacyOptions(key=os.environ.get("SECRET_KEY", "only-for-this-example").encode()),
    tz=TZ.key,
)
CX(app)


class MailServerDownError(Exception):
    """Try again."""


@app.task
@cx.interaction("confirmation.sent", stage="order", channel="mail", medium="email")
def confirm(order):
    """For whom? For the customer of the request that it was sent from."""
    cx.current().refs["order"] = order
    mail(order, "Thank you for your order.")


@app.task(autoretry_for=(MailServerDownError,), default_retry_delay=1, max_retries=5)
@cx.interaction("delivery_notice.sent", stage="fulfil", channel="mail", medium="email")
def delivered(order):
    """The parcel was handed over: the promise of the checkout is kept, and its buyer is told."""
    cx.commitment(f"delivery-{order}").kept()
    cx.promise("warranty", key=f"warranty-{order}", due_date=today() + timedelta(730))
    cx.current().refs["order"] = order
    mail(order, "Your parcel is here.", is_first_time_down=True)


@app.task
def remind_of_warranties(orders):
    """At night, by the beat, for nobody in particular: each reminder is for its own customer."""
    for order, customer in orders.items():
        remind.delay(order, customer)


@app.task
@cx.interaction(
    "warranty_reminder.sent",
    stage="use",
    channel="mail",
    medium="email",
    customer=cx.arg("customer"),
)
def remind(order, customer):
    """The shop's own id of the customer is in the arguments."""
    cx.current().refs["order"] = order
    mail(order, f"Dear {customer}, your warranty ends soon.")


def mail(order, text, *, is_first_time_down=False):
    """Pretend to: a line in a file."""
    tried = MAILS.with_suffix(f".{order}.tried")
    if is_first_time_down and not tried.exists():
        tried.touch()
        raise MailServerDownError
    with MAILS.open("a") as mails:
        mails.write(f"{order}: {text}\n")


def today():
    """The day it is where the shop is."""
    return datetime.now(TZ).date()
