"""
The same settings, and what cxsdk is told: all that there is to it.
"""

from budget_config import *  # noqa: F403

CXSDK = {
    "service": "budget",
    "customer": "cx_resolvers.household",
    "consent": "cx_resolvers.consent",
    "exclude": ["/healthcheck"],
    "interactions": [
        {
            "view": "main.create_project",
            "methods": "POST",
            "touchpoint": "budget.open",
            "stage": "onboard",
            "login": True,
            "statuses": {200: ("failure", "form_again")},
        },
        {
            "view": "main.authenticate",
            "methods": "POST",
            "touchpoint": "budget.enter",
            "stage": "use",
            "login": True,
            "statuses": {200: ("failure", "wrong_code")},
        },
        {"view": "main.add_bill", "methods": "POST", "touchpoint": "bill.add", "stage": "use"},
        {"view": "main.add_settlement_bill", "touchpoint": "bill.settle", "stage": "use"},
        {
            "view": "main.list_bills",
            "touchpoint": "budget.look",
            "stage": "use",
            "statuses": {303: ("deferred", "not_entered")},
        },
        {"view": "main.*", "methods": "POST", "stage": "use"},
        {"view": "main.home", "touchpoint": "home.look", "stage": "discover"},
    ],
}
