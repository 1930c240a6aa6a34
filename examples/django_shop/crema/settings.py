"""
The project. What is cxsdk's: an app, a layer, and CXSDK.
"""

import os
from pathlib import Path

from shop import knowledge

from cxsdk.lookup import CollectorProvider

BASE = Path(__file__).parent.parent
COLLECTOR = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")
SECRET_KEY = os.environ.get("SHOP_SECRET", "only-for-this-example")
DEBUG = "SHOP_SECRET" not in os.environ
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "crema.urls"

INSTALLED_APPS = [
    "shop",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "cxsdk.integrations.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "cxsdk.integrations.django.CX",
]
CXSDK = {
    "service": "django-shop",
    "collector": COLLECTOR,
    "tz": "Europe/Vienna",
    # Customers leave the process as pseudonyms.
    "privacy": {"key": SECRET_KEY.encode()},
    "consent": "shop.members.consent_of",
    # What is asked, and who was asked already: in the shop's own database.
    "prompts": {"files": BASE / "prompts.toml", "store": "django:"},
    "returns": ["/thanks/"],
    # What is known of a customer: by the shop's models, and by all that happened.
    "context": {"providers": [knowledge.shop, CollectorProvider(COLLECTOR)], "timeout": 2.0},
    "interactions": [
        {"view": "product", "stage": "discover"},
        {"view": "put", "touchpoint": "cart.put", "stage": "evaluate"},
    ],
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DB", BASE / "shop.db"),
        "OPTIONS": {"timeout": 10},
    }
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "shop.shopping.with_cart",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "Europe/Vienna"
USE_TZ = True
STATIC_URL = "/static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
