"""
Make the tables of the cap store.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """
    The tables, as `PostgresCapStore` makes them by default but for surrogate keys.
    """

    initial = True

    dependencies: ClassVar[list[Any]] = []

    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="OptedOut",
            fields=[
                ("subject", models.TextField(primary_key=True, serialize=False)),
            ],
            options={
                "db_table": "cxsdk_caps_opted_out",
                "required_db_features": ["supports_partial_indexes"],
            },
        ),
        migrations.CreateModel(
            name="Quota",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("answers", models.IntegerField()),
            ],
            options={
                "db_table": "cxsdk_caps_quota",
                "required_db_features": ["supports_partial_indexes"],
            },
        ),
        migrations.CreateModel(
            name="Alias",
            fields=[
                ("subject", models.TextField(primary_key=True, serialize=False)),
                ("root", models.TextField()),
                ("seen_at", models.FloatField()),
            ],
            options={
                "db_table": "cxsdk_caps_alias",
                "required_db_features": ["supports_partial_indexes"],
                "indexes": [
                    models.Index(fields=["root"], name="cxsdk_caps_alias_root"),
                    models.Index(fields=["seen_at"], name="cxsdk_caps_alias_seen"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Clock",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("subject", models.TextField()),
                ("clock", models.TextField()),
                ("offer_id", models.TextField()),
            ],
            options={
                "db_table": "cxsdk_caps_clock",
                "required_db_features": ["supports_partial_indexes"],
                "indexes": [models.Index(fields=["offer_id"], name="cxsdk_caps_clock_offer")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subject", "clock", "offer_id"), name="cxsdk_caps_clock_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Due",
            fields=[
                ("due_id", models.TextField(primary_key=True, serialize=False)),
                ("subject", models.TextField()),
                ("due_at", models.FloatField()),
                ("record", models.BinaryField()),
                ("topic", models.TextField()),
            ],
            options={
                "db_table": "cxsdk_caps_due",
                "required_db_features": ["supports_partial_indexes"],
                "indexes": [
                    models.Index(fields=["due_at"], name="cxsdk_caps_due_at"),
                    models.Index(fields=["subject"], name="cxsdk_caps_due_subject"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Mark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("subject", models.TextField()),
                ("topic", models.TextField()),
                ("unique_name", models.TextField()),
                ("moment", models.FloatField()),
                ("until_s", models.FloatField()),
            ],
            options={
                "db_table": "cxsdk_caps_mark",
                "required_db_features": ["supports_partial_indexes"],
                "indexes": [models.Index(fields=["until_s"], name="cxsdk_caps_mark_until")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subject", "topic", "unique_name"), name="cxsdk_caps_mark_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Offer",
            fields=[
                ("offer_id", models.TextField(primary_key=True, serialize=False)),
                ("prompt", models.TextField()),
                ("subject", models.TextField()),
                ("state", models.TextField()),
                ("record", models.BinaryField()),
                ("reserved_at", models.FloatField()),
                ("expires_at", models.FloatField()),
                ("shown_at", models.FloatField(null=True)),
                ("ended_at", models.FloatField(null=True)),
                ("revision", models.IntegerField()),
                ("digest", models.BinaryField()),
                ("unique_name", models.TextField(null=True)),
            ],
            options={
                "db_table": "cxsdk_caps_offer",
                "required_db_features": ["supports_partial_indexes"],
                "indexes": [
                    models.Index(
                        fields=["subject", "reserved_at"], name="cxsdk_caps_offer_subject"
                    ),
                    models.Index(fields=["unique_name"], name="cxsdk_caps_offer_unique"),
                    models.Index(
                        condition=models.Q(
                            ("state__in", ("reserved", "shown", "started", "partial"))
                        ),
                        fields=["expires_at"],
                        name="cxsdk_caps_offer_open",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("ended_at__isnull", False), ("shown_at__isnull", False)
                        ),
                        fields=["ended_at"],
                        name="cxsdk_caps_offer_seen",
                    ),
                    models.Index(
                        condition=models.Q(("ended_at__isnull", False), ("shown_at__isnull", True)),
                        fields=["ended_at"],
                        name="cxsdk_caps_offer_unseen",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Taken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.TextField()),
                ("offer_id", models.TextField()),
                ("expires_at", models.FloatField()),
                ("most", models.IntegerField()),
            ],
            options={
                "db_table": "cxsdk_caps_taken",
                "required_db_features": ["supports_partial_indexes"],
                "indexes": [
                    models.Index(fields=["key", "expires_at"], name="cxsdk_caps_taken_alive"),
                    models.Index(fields=["offer_id"], name="cxsdk_caps_taken_offer"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("key", "offer_id"), name="cxsdk_caps_taken_once"
                    )
                ],
            },
        ),
    ]
