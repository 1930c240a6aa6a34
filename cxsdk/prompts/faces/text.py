"""
An offer as the text of a chat message.
"""

from __future__ import annotations

from cxsdk.prompts.faces.document import document, wording_of
from cxsdk.prompts.offer import Offer

__all__ = ["as_text"]


def as_text(offer: Offer) -> str:
    """
    Return the first question with its answers, for a chat; `Engine.submit_text` takes the reply.
    """
    words = wording_of(offer)
    question = document(offer, "")["questions"][0]
    chat = words.words["chat"]
    lines = [words.title, question["text"], question.get("help", "")]
    scale = question.get("scale")
    if scale is not None and question["kind"] != "thumbs":
        low, high = scale["min"], scale["max"]
        ends = ((low, scale.get("low_label")), (high, scale.get("high_label")))
        lines += [f"{value} = {label}" for value, label in ends if label]
        lines.append(chat["number"].replace("{low}", str(low)).replace("{high}", str(high)))
    elif scale is not None:
        lines.append(" / ".join(each["label"] for each in question["options"]))
    elif question["type"] == "text":
        lines.append(chat["text"])
    else:
        options = [each["label"] for each in question["options"]]
        lines += [f"{number}. {label}" for number, label in enumerate(options, 1)]
        lines.append(chat["choice"])
    return "\n".join(line for line in lines if line)
