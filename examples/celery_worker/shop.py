"""
Stands in for the web service: one customer orders. Run it: python shop.py c-7
"""

import os
import sys
from datetime import timedelta

import tasks

import cxsdk as cx


@cx.interaction("checkout.pay", stage="order")
def checkout():
    """Take an order, promise a day, and leave the rest to the workers."""
    order = os.urandom(4).hex()
    cx.current().refs["order"] = order
    cx.current().goal_met = "yes"
    cx.promise("delivery", key=f"delivery-{order}", due_date=tasks.today() + timedelta(3))
    tasks.confirm.delay(order)
    tasks.delivered.apply_async((order,), countdown=1)
    return order


def main(customer):
    """Serve a request of *customer*, as an integration for a web framework would."""
    with cx.scope(customer=customer, session=os.urandom(16).hex(), channel="web"):
        order = checkout()
    # What the beat does at night, about everybody whose warranty ends.
    tasks.remind_of_warranties.delay({order: customer})
    cx.flush()
    print(order)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "c-7")
