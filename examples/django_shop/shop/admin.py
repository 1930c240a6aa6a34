"""
The desk: whoever answers a case sees the customer's story beside it, so nobody tells it twice.
"""

from django import forms
from django.contrib import admin
from django.utils import timezone

import cxsdk as cx
from shop.models import Case, Item, Order, Product

SECTIONS = ("profile", "orders", "problems", "commitments", "interactions", "feedback")
WORDS = {
    "products.slug": "Looked at a product",
    "cart.put": "Filled the cart",
    "checkout.pay": "Paid",
    "support.chat": "Wrote to us",
    "support.answer": "We answered",
    "warranty.remind": "We wrote of the warranty",
}

admin.site.site_header = "Crema, behind the counter"
admin.site.register(Product, list_display=["name", "price", "years"])


def story(known):
    """Titles with their lines; None where it is not known at the moment, which is not "none"."""
    return {
        "Open problems": lines(known.problems, problem),
        "What we promised": lines(known.commitments, promise),
        "What happened": lines(known.interactions, contact),
        "How it was for them": lines(known.feedback, opinion),
        "Orders": lines(known["orders"], order),
    }


def lines(section, say):
    return [say(one) for one in section.value[:6]] if section.known else None


def problem(one):
    return f"{one.problem}, order {one.refs.get('order', 'unknown')}: {one.severity}"


def promise(one):
    due = one.due_date or one.due_at.date()
    return f"{one.kind} until {due}: {one.standing(timezone.now()).replace('_', ' ')}"


def contact(one):
    why = f" ({one.reason.replace('_', ' ')})" if one.reason else ""
    at = timezone.localtime(one.at)
    return f"{at:%d %b, %H:%M}: {WORDS.get(one.touchpoint, one.touchpoint)}, {one.outcome}{why}"


def opinion(one):
    words = f": “{one.comment}”" if one.comment else ""
    return f"{one.instrument} {one.score:g} of {one.score_max:g}{words}"


def order(one):
    return f"Order {one['id']} of {one['placed']}{', arrived' if one['arrived'] else ''}"


class ItemInline(admin.TabularInline):
    model = Item
    extra = 0


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("pk", "customer", "placed", "total", "arrived")
    inlines = (ItemInline,)


class Answer(forms.ModelForm):
    text = forms.CharField(label="Your answer", widget=forms.Textarea(attrs={"rows": 3}))
    until = forms.DateField(
        label="We call back until", required=False, widget=forms.DateInput({"type": "date"})
    )
    solved = forms.BooleanField(label="Solved", required=False)

    class Meta:
        model = Case
        fields = ()


@admin.register(Case)
class CaseAdmin(admin.ModelAdmin):
    list_display = ("subject", "customer", "order", "is_open")
    list_filter = ("is_open",)
    form = Answer
    change_form_template = "admin/case.html"

    def has_add_permission(self, request):
        return False

    def change_view(self, request, object_id, form_url="", extra_context=None):
        case, more = self.get_object(request, object_id), {}
        if case is not None:
            known = cx.context(str(case.customer_id), sections=SECTIONS, purpose="support")
            profile = known.profile.get(None)
            more = {"name": profile.name if profile else "A customer", "story": story(known)}
        return super().change_view(request, object_id, form_url, more)

    def save_model(self, request, obj, form, change):
        # In the admin's own transaction: a callback is promised when the answer is committed.
        said, key = form.cleaned_data, str(obj.pk)
        who = {"direction": "outbound", "by": cx.Party(kind="employee")}
        where = {"stage": "support", "channel": "contact_center", "medium": "chat"}
        with (
            cx.scope(customer=str(obj.customer_id)),
            cx.interaction("support.answer", **where, **who) as now,
        ):
            now.refs["case"] = key
            obj.messages.create(is_ours=True, text=said["text"])
            if said["until"]:
                promised = {"due_date": said["until"], "refs": {"case": key}}
                cx.promise("callback", key=f"callback-{key}", **promised)
            if said["solved"]:
                now.goal_met = "yes"
                obj.is_open = False
                cx.resolved("defect", key=f"case-{key}", severity="major")
            obj.save()
