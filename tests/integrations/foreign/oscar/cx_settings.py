"""
The same settings, and what cxsdk is told: all that there is to it.
"""

from shop_settings import *  # noqa: F403
from shop_settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "cxsdk.integrations.django"]
MIDDLEWARE = [*MIDDLEWARE, "cxsdk.integrations.django.CX"]
CXSDK = {
    "service": "shop",
    "consent": "cx_resolvers.consent",
    "interactions": [
        {"view": "dashboard:*", "skip": True},
        {"view": "search:search", "stage": "discover"},
        {"view": "catalogue:reviews-*", "stage": "use"},
        {"view": "catalogue:*", "stage": "discover"},
        {"view": "basket:add", "touchpoint": "basket.add", "stage": "order"},
        {
            "view": "customer:login",
            "methods": "POST",
            "touchpoint": "account.enter",
            "statuses": {200: ("failure", "form_again")},
        },
        {
            "view": "checkout:preview",
            "methods": "POST",
            "touchpoint": "checkout.place_order",
            "stage": "order",
        },
        {"view": "checkout:thank-you", "stage": "order"},
        {"view": "customer:order*", "stage": "fulfil"},
        {"view": "customer:logout", "touchpoint": "account.leave"},
    ],
}
