"""
Make the table of the outbox.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """
    ``cxsdk_outbox``, as `cxsdk.outbox.table` describes it for SQLAlchemy.
    """

    initial = True

    dependencies: ClassVar[list[Any]] = []

    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("service", models.CharField(max_length=80)),
                ("environment", models.CharField(max_length=80)),
                ("lane", models.CharField(max_length=8)),
                ("kind", models.SmallIntegerField()),
                ("tag", models.BinaryField(max_length=8)),
                ("payload", models.BinaryField()),
                ("created", models.BigIntegerField()),
            ],
            options={"db_table": "cxsdk_outbox"},
        ),
    ]
