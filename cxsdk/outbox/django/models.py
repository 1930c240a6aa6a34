"""
The table as a model, for migrations and for a look; rows are written and taken in plain SQL.
"""

from __future__ import annotations

from django.db import models

from cxsdk.outbox.row import TABLE

__all__ = ["OutboxRow"]


class OutboxRow(models.Model):
    """
    One committed event, until the relay has handed it to the spool.
    """

    id = models.CharField(primary_key=True, max_length=36)
    service = models.CharField(max_length=80)
    environment = models.CharField(max_length=80)
    lane = models.CharField(max_length=8)
    kind = models.SmallIntegerField()
    tag = models.BinaryField(max_length=8)
    payload = models.BinaryField()
    created = models.BigIntegerField()

    class Meta:
        """
        Where it lies: in the same table as SQLAlchemy's, so that one relay serves both.
        """

        app_label = "cxsdk_outbox"
        db_table = TABLE

    def __str__(self) -> str:
        return self.id
