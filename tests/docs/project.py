"""
A Django project in which blocks of a page run: an app ``shop`` with people, their tickets and
orders, and the apps of cxsdk, migrated, in SQLite.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_in_django"]

SETTINGS = """
SECRET_KEY = "a key of the tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["cxsdk.integrations.django", "cxsdk.outbox.django", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "project.db"}}
"""

MODELS = """
from django.db import models


class Person(models.Model):
    name = models.TextField()
    email = models.TextField()


class Ticket(models.Model):
    person = models.ForeignKey(Person, models.CASCADE, related_name="tickets")
    subject = models.TextField()
    closed = models.DateTimeField(null=True)


class Order(models.Model):
    person = models.ForeignKey(Person, models.CASCADE, related_name="orders")
    number = models.TextField()
    total = models.DecimalField(max_digits=9, decimal_places=2)
    placed = models.DateTimeField()
"""

BEGIN = """
import datetime, os, warnings
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
warnings.simplefilter("error")
import django
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from shop.models import Person
jo = Person.objects.create(pk=17, name="Jo Miller", email="jo@shop.example")
jo.tickets.create(subject="a broken lid")
for number in (1, 2):
    at = datetime.datetime(2026, 11, number, tzinfo=datetime.UTC)
    jo.orders.create(number=f"A-{number}", total="19.90", placed=at)
"""


def run_in_django(blocks: list[tuple[int, str]], page: str, folder: Path) -> None:
    """
    Run *blocks* (their first lines and texts) one after the other, in a process of their own.
    """
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "models.py").write_text(MODELS, encoding="utf-8")
    (folder / "project_settings.py").write_text(SETTINGS, encoding="utf-8")
    script = BEGIN
    for line, text in blocks:
        source = "\n" * (line - 1) + text  # a traceback shows the line of the page
        script += f"exec(compile({source!r}, {page!r}, 'exec'))\n"
    (folder / "project.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "project.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, *sys.path)))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
