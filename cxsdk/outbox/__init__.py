"""
The outbox: events written in the host's own database transaction, handed to the spool after it.

A row stands or falls with the host's change. Once it is committed, a relay moves it to the spool,
from where it goes the way of every event. Nothing in here imports SQLAlchemy or Django before a
host brings a session, an engine or an alias of its own.
"""

from __future__ import annotations

__all__: list[str] = []
