"""
Presidio as a team's own step of redaction: names and places, which patterns do not find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cxsdk.errors import ExtraMissingError

__all__ = ["presidio"]


def presidio(
    language: str = "en",
    *,
    entities: Sequence[str] | None = None,
    least_score: float = 0.5,
    analyzer: Any = None,
) -> Callable[[str], str]:
    """
    Return a redactor for ``PrivacyOptions(redactor=…)`` that asks Microsoft Presidio.

    Made once, where the application starts: it loads a language model (seconds, hundreds of MB).
    It costs milliseconds a text, on the thread that says the fact.

    Args:
        language: of the texts, ISO 639-1; the analyzer must have a model for it.

        entities: Presidio's names of what is taken out, such as ``PERSON``; None: all it finds.

        least_score: what it is less sure of stays.

        analyzer: a ``presidio_analyzer.AnalyzerEngine`` of the team's; None: one as Presidio makes
            it, with its model installed.

    Raises:
        ExtraMissingError: ``cxsdk[presidio]`` is not installed and no *analyzer* is given.
    """
    if analyzer is None:
        try:
            from presidio_analyzer import AnalyzerEngine
        except ImportError as error:
            raise ExtraMissingError("presidio-analyzer", "presidio") from error
        analyzer = AnalyzerEngine(supported_languages=[language])
    wanted = None if entities is None else list(entities)

    def redact(text: str) -> str:
        found = analyzer.analyze(text=text, language=language, entities=wanted)
        sure = sorted(
            (each.start, -each.end, str(each.entity_type).lower())
            for each in found
            if each.score >= least_score
        )
        parts, done = [], 0
        for start, minus_end, kind in sure:
            # Of those that overlap, such as a host inside of an address, the first one stands.
            if start >= done:
                parts += [text[done:start], f"[{kind}]"]
            done = max(done, -minus_end)
        return "".join((*parts, text[done:]))

    return redact
