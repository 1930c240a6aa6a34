"""
Events, told in a line each.
"""

from __future__ import annotations

__all__ = ["told"]


def told(events):
    """
    Return (touchpoint or action, outcome, who) of each event.
    """
    found = []
    for event in events:
        data = event["data"]
        *_, family, action, _ = event["type"].split(".")
        name = data["where"]["touchpoint"] if family == "interaction" else action
        found.append((name, data.get("outcome"), data["customer"].get("id", "visitor")))
    return found
