"""
What the shop sells, sold, and is asked about. Nothing here knows of cxsdk.
"""

import os
from datetime import date, timedelta

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone


def today():
    """The day; SHOP_TODAY lets two years pass."""
    said = os.environ.get("SHOP_TODAY")
    return date.fromisoformat(said) if said else timezone.localdate()


class Product(models.Model):
    slug = models.SlugField(primary_key=True)
    name = models.CharField(max_length=80)
    note = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    years = models.PositiveSmallIntegerField("years of warranty", default=0)

    def __str__(self):
        return self.name


class Order(models.Model):
    customer = models.ForeignKey(User, models.PROTECT, related_name="orders")
    placed = models.DateField(default=today)
    total = models.DecimalField(max_digits=8, decimal_places=2)
    arrived = models.BooleanField(default=False)

    class Meta:
        ordering = ("-pk",)

    def __str__(self):
        return f"Order {self.pk}"


class Item(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, models.PROTECT)
    warranty_until = models.DateField(null=True)
    is_reminded = models.BooleanField(default=False)

    def __str__(self):
        return f"{self.product} of {self.order}"

    @classmethod
    def of(cls, order, product):
        """Return one more thing of *order*; its warranty begins on the day of that."""
        until = order.placed + timedelta(days=365 * product.years) if product.years else None
        return cls.objects.create(order=order, product=product, warranty_until=until)


class Case(models.Model):
    customer = models.ForeignKey(User, models.PROTECT, related_name="cases")
    order = models.ForeignKey(Order, models.PROTECT, null=True, blank=True)
    subject = models.CharField(max_length=60)
    is_open = models.BooleanField(default=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self):
        return self.subject


class Message(models.Model):
    case = models.ForeignKey(Case, models.CASCADE, related_name="messages")
    is_ours = models.BooleanField(default=False)
    text = models.TextField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self):
        return self.text[:60]
