"""
From a draft to bytes in the spool: consent, redaction, sampling, caps, the team's processors.
"""

from __future__ import annotations
