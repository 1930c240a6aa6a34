"""
The cap store's tables as models, for migrations and for a look; `DjangoCapStore` reads and writes
them in SQL.

They are named as those of `PostgresCapStore` are by default, so that a service without Django may
share them. Times are seconds since 1970.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Index, Q, UniqueConstraint

__all__ = ["Alias", "Clock", "Due", "Mark", "Offer", "OptedOut", "Quota", "Taken"]

_NEEDS: list[Any] = ["supports_partial_indexes"]
"""Of a database that gets the tables: SQLite and PostgreSQL have it, those that the store does not
know have not, and the other parts of the app do without."""


class Offer(models.Model):
    """
    One offer, from its reservation until no rule looks back to it.
    """

    offer_id = models.TextField(primary_key=True)
    prompt = models.TextField()
    subject = models.TextField()
    state = models.TextField()
    record = models.BinaryField()
    reserved_at = models.FloatField()
    expires_at = models.FloatField()
    shown_at = models.FloatField(null=True)
    ended_at = models.FloatField(null=True)
    revision = models.IntegerField()
    digest = models.BinaryField()
    unique_name = models.TextField(null=True)  # noqa: DJ001 - of many without a name none is equal

    class Meta:
        """
        Where it lies, and what finds it.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_offer"
        required_db_features = _NEEDS
        indexes: ClassVar[list[Any]] = [
            Index(fields=["subject", "reserved_at"], name="cxsdk_caps_offer_subject"),
            Index(fields=["unique_name"], name="cxsdk_caps_offer_unique"),
            Index(
                fields=["expires_at"],
                name="cxsdk_caps_offer_open",
                condition=Q(state__in=("reserved", "shown", "started", "partial")),
            ),
            Index(
                fields=["ended_at"],
                name="cxsdk_caps_offer_seen",
                condition=Q(shown_at__isnull=False, ended_at__isnull=False),
            ),
            Index(
                fields=["ended_at"],
                name="cxsdk_caps_offer_unseen",
                condition=Q(shown_at__isnull=True, ended_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.offer_id


class Clock(models.Model):
    """
    One offer on one clock of one subject.
    """

    subject = models.TextField()
    clock = models.TextField()
    offer_id = models.TextField()

    class Meta:
        """
        Where it lies, and what finds it.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_clock"
        required_db_features = _NEEDS
        constraints: ClassVar[list[Any]] = [
            UniqueConstraint(fields=["subject", "clock", "offer_id"], name="cxsdk_caps_clock_once")
        ]
        indexes: ClassVar[list[Any]] = [Index(fields=["offer_id"], name="cxsdk_caps_clock_offer")]

    def __str__(self) -> str:
        return f"{self.clock} {self.offer_id}"


class Quota(models.Model):
    """
    How many answers there were.
    """

    key = models.TextField(primary_key=True)
    answers = models.IntegerField()

    class Meta:
        """
        Where it lies.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_quota"
        required_db_features = _NEEDS

    def __str__(self) -> str:
        return self.key


class Taken(models.Model):
    """
    A place in a quota that a living offer holds.
    """

    key = models.TextField()
    offer_id = models.TextField()
    expires_at = models.FloatField()
    most = models.IntegerField()

    class Meta:
        """
        Where it lies, and what finds it.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_taken"
        required_db_features = _NEEDS
        constraints: ClassVar[list[Any]] = [
            UniqueConstraint(fields=["key", "offer_id"], name="cxsdk_caps_taken_once")
        ]
        indexes: ClassVar[list[Any]] = [
            Index(fields=["key", "expires_at"], name="cxsdk_caps_taken_alive"),
            Index(fields=["offer_id"], name="cxsdk_caps_taken_offer"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.offer_id}"


class Alias(models.Model):
    """
    A subject that became another.
    """

    subject = models.TextField(primary_key=True)
    root = models.TextField()
    seen_at = models.FloatField()

    class Meta:
        """
        Where it lies, and what finds it.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_alias"
        required_db_features = _NEEDS
        indexes: ClassVar[list[Any]] = [
            Index(fields=["root"], name="cxsdk_caps_alias_root"),
            Index(fields=["seen_at"], name="cxsdk_caps_alias_seen"),
        ]

    def __str__(self) -> str:
        return self.subject


class OptedOut(models.Model):
    """
    A subject that is never asked again.
    """

    subject = models.TextField(primary_key=True)

    class Meta:
        """
        Where it lies.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_opted_out"
        required_db_features = _NEEDS

    def __str__(self) -> str:
        return self.subject


class Due(models.Model):
    """
    Something to be done later.
    """

    due_id = models.TextField(primary_key=True)
    subject = models.TextField()
    due_at = models.FloatField()
    record = models.BinaryField()
    topic = models.TextField()

    class Meta:
        """
        Where it lies, and what finds it.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_due"
        required_db_features = _NEEDS
        indexes: ClassVar[list[Any]] = [
            Index(fields=["due_at"], name="cxsdk_caps_due_at"),
            Index(fields=["subject"], name="cxsdk_caps_due_subject"),
        ]

    def __str__(self) -> str:
        return self.due_id


class Mark(models.Model):
    """
    Something that happened to a subject, for rules that look back to it.
    """

    subject = models.TextField()
    topic = models.TextField()
    unique_name = models.TextField()
    moment = models.FloatField()
    until_s = models.FloatField()

    class Meta:
        """
        Where it lies, and what finds it.
        """

        app_label = "cxsdk"
        db_table = "cxsdk_caps_mark"
        required_db_features = _NEEDS
        constraints: ClassVar[list[Any]] = [
            UniqueConstraint(
                fields=["subject", "topic", "unique_name"], name="cxsdk_caps_mark_once"
            )
        ]
        indexes: ClassVar[list[Any]] = [Index(fields=["until_s"], name="cxsdk_caps_mark_until")]

    def __str__(self) -> str:
        return f"{self.topic} {self.unique_name}"
