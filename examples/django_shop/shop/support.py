"""
The chat, on the customer's side; the side of whoever answers is in admin.py.
"""

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.shortcuts import redirect, render

import cxsdk as cx
from cxsdk.integrations import as_interaction
from shop.models import Case


@login_required
@as_interaction(
    "support.chat", stage="support", channel="contact_center", medium="chat", methods=["POST"]
)
def chat(request):
    if request.method == "POST":
        ask(request.user, request.POST)
        return redirect("support")
    customer, about = request.user, request.GET.get("order")
    more = {"cases": customer.cases.all(), "orders": customer.orders.all(), "about": about}
    return render(request, "shop/support.html", more)


@transaction.atomic
def ask(customer, said):
    now = cx.current()
    case = customer.cases.filter(pk=said.get("case") or None).first()
    if case is None:
        order = customer.orders.filter(pk=said.get("order") or None).first()
        case = Case.objects.create(customer=customer, order=order, subject=said["text"][:60])
        refs = {"order": str(order.pk)} if order else None
        cx.problem("defect", key=f"case-{case.pk}", severity="major", refs=refs)
    now.refs["case"] = str(case.pk)
    if case.order_id:
        now.refs["order"] = str(case.order_id)
    case.messages.create(text=said["text"])
