"""
Cart, checkout, and what the shop promises with an order.
"""

from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

import cxsdk as cx
from cxsdk.integrations import as_interaction
from shop.models import Item, Order, Product


class CardDeclinedError(Exception):
    """The bank said no."""


def with_cart(request):
    """For templates: what is in the cart, and what it costs."""
    products = Product.objects.in_bulk(request.session.get("cart", []))
    cart = [products[slug] for slug in request.session.get("cart", []) if slug in products]
    return {"cart": cart, "total": sum(product.price for product in cart)}


def shelf(request):
    return render(request, "shop/shelf.html", {"products": Product.objects.order_by("-price")})


def product(request, slug):
    return render(request, "shop/product.html", {"product": get_object_or_404(Product, pk=slug)})


@require_POST
def put(request):
    request.session["cart"] = [*request.session.get("cart", []), request.POST["slug"]]
    return redirect("cart")


@require_POST
def empty(request):
    request.session["cart"] = []
    return redirect("cart")


def look(request):
    return render(request, "shop/cart.html")


@login_required
@as_interaction("checkout.pay", stage="order", methods=["POST"])
def checkout(request):
    return pay(request) if request.method == "POST" else render(request, "shop/checkout.html")


def pay(request):
    cart, now = with_cart(request), cx.current()
    if not cart["cart"]:
        return redirect("cart")
    now.value(cart["total"], "EUR")
    try:
        # Order, promises and payment are all or nothing: what is said in here is said when it is
        # committed, and was never said if the bank says no.
        with transaction.atomic():
            order = Order.objects.create(customer=request.user, total=cart["total"])
            promise(order, [Item.of(order, product) for product in cart["cart"]])
            charge(request.POST["card"])
    except CardDeclinedError:
        now.outcome, now.reason = "failure", "card_declined"
        sorry = "Your bank declined this card. Nothing was charged; please try another one."
        return render(request, "shop/checkout.html", {"sorry": sorry}, status=402)
    now.refs["order"] = str(order.pk)
    now.goal_met = "yes"
    request.session["cart"] = []
    return redirect("thanks", order.pk)


def charge(card):
    if card.replace(" ", "").endswith("0002"):
        raise CardDeclinedError


def promise(order, items):
    """What the customer may rely on from now on, remembered until it is kept or over."""
    refs = {"order": str(order.pk)}
    due = order.placed + timedelta(days=3)
    cx.promise("delivery", key=f"delivery-{order.pk}", due_date=due, refs=refs)
    for item in items:
        if item.warranty_until:
            key = f"warranty-{item.pk}"
            cx.promise("warranty", key=key, due_date=item.warranty_until, refs=refs)


@login_required
def thanks(request, pk):
    return render(request, "shop/thanks.html", {"order": own(request, pk)})


@login_required
def orders(request):
    return render(request, "shop/orders.html", {"orders": request.user.orders.all()})


@login_required
@require_POST
def arrived(request, pk):
    order = own(request, pk)
    with transaction.atomic():
        order.arrived = True
        order.save()
        cx.commitment(f"delivery-{order.pk}").kept()
    return redirect("orders")


def own(request, pk):
    return get_object_or_404(request.user.orders, pk=pk)
