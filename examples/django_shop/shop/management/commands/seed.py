"""
manage.py seed: what is sold, and the agent who answers. Run it as often as you like.
"""

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from shop.models import Product

PRODUCTS = {
    "espresso": ("Espresso machine", "Nine bars.", "349.00", 2),
    "grinder": ("Coffee grinder", "Steel burrs.", "129.00", 2),
    "kettle": ("Kettle", "Holds its temperature.", "59.00", 1),
    "beans": ("Beans, 1 kg", "Roasted this week.", "24.00", 0),
}


class Command(BaseCommand):
    help = "Fill the shelf, and let an agent in (agent, agent)."

    def handle(self, **_):
        for slug, (name, note, price, years) in PRODUCTS.items():
            told = {"name": name, "note": note, "price": price, "years": years}
            Product.objects.update_or_create(slug=slug, defaults=told)
        if not User.objects.filter(username="agent").exists():
            User.objects.create_superuser("agent", password="agent")
