"""
manage.py remind: whose warranty ends soon hears of it from us, once.
"""

from datetime import timedelta

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

import cxsdk as cx
from shop.models import Item


class Command(BaseCommand):
    help = "Remind customers whose warranty ends soon; run it once a day."

    def add_arguments(self, parser):
        parser.add_argument("--days", type=int, default=30)

    def handle(self, *, days, **_):
        today = timezone.localdate()
        soon = (today, today + timedelta(days=days))
        for item in Item.objects.filter(warranty_until__range=soon, is_reminded=False):
            customer = item.order.customer
            with cx.scope(customer=str(customer.pk), channel="mail", medium="email"):
                problems = cx.context(sections=("problems",), purpose="support").problems
                if problems.any() is None:
                    self.stdout.write(f"{customer}: not known whether all is well; tomorrow again")
                elif problems.any():
                    # Whoever waits for an answer of ours gets that first.
                    self.stdout.write(f"{customer}: has an open problem, is not written to")
                else:
                    self.remind(item, customer)
        cx.flush(10)

    @transaction.atomic
    def remind(self, item, customer):
        item.is_reminded = True
        item.save()
        with cx.interaction("warranty.remind", stage="renew", direction="outbound") as contact:
            contact.refs["order"] = str(item.order_id)
            # Here a mail would be sent.
            text = f"{customer}, the warranty of your {item.product} ends on {item.warranty_until}."
            self.stdout.write(f"{text} Is all well with it?")
