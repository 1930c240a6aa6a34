"""
A small project for real servers, in SQLite, with nothing but what they need.
"""

import os

SECRET_KEY = "a key of the tests"
ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = os.environ.get("SHOP_DEBUG") == "1"
ROOT_URLCONF = os.environ.get("SHOP_URLS", "shop_urls")
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SHOP_DB"],
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {"timeout": 20},
    }
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "cxsdk.integrations.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cxsdk.integrations.django.CX",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CXSDK = {
    "service": "django-shop",
    "collector": os.environ["SHOP_COLLECTOR"],
    "privacy": {"key": b"a key of the tests", "consent": "granted"},
    "delivery": {"linger": 0.05},
    "interactions": [{"route": "/basket"}, {"route": "/stream"}, {"route": "/orders/<int:order>"}],
}
