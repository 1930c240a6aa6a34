"""
What the shop's own database knows of a customer, as query sets.
"""

from cxsdk.integrations.django.provider import OrmProvider, OrmSection


def people():
    # Asked for at the first question: settings come before models.
    from django.contrib.auth.models import User

    return User.objects.all()


def orders():
    from shop.models import Order

    return Order.objects.all()


shop = OrmProvider(
    {
        "profile": OrmSection(
            people, customer="pk", fields={"name": "username", "created_at": "date_joined"}
        ),
        "orders": OrmSection(
            orders,
            customer="customer_id",
            fields={"id": "pk", "placed": "placed", "total": "total", "arrived": "arrived"},
        ),
    },
    name="shop",
)
