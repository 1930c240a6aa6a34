"""
The event standard: models, vocabularies, codec and JSON Schemas.
"""

from __future__ import annotations
