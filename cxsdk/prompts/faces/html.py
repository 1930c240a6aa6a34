"""
An offer as HTML: a complete form that works without JavaScript, and what is said in its place.

Rendered by Jinja2 with autoescape; texts of prompts, customers and hosts are never markup.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk.errors import ExtraMissingError
from cxsdk.prompts.faces.document import document, wording_of
from cxsdk.prompts.offer import Offer
from cxsdk.prompts.wording import chrome, direction_of

if TYPE_CHECKING:
    import jinja2

__all__ = ["Look", "form", "note", "page", "render", "root_id", "static_file"]

STATIC = Path(__file__).parent / "static"


@attrs.define(frozen=True, kw_only=True)
class Look:
    """
    How a fragment is put into its page.
    """

    base: str = "/cx"
    """Where the endpoint is mounted."""

    return_to: str = ""
    """Path to go to after an answer without JavaScript; one that the endpoint allows."""

    heading: int = 2
    """Level of the prompt's title among the headings of the page."""

    assets: bool = True
    """Bring the style sheet and the script along."""

    nonce: str = ""
    """For a host whose Content-Security-Policy goes by nonces."""


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """
    Return a static file and the hash that its address carries.

    Raises:
        OSError: there is no such file.
    """
    body = (STATIC / name).read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


@cache
def _templates() -> jinja2.Environment:
    try:
        import jinja2
    except ImportError as error:
        raise ExtraMissingError("jinja2", "prompts") from error
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = _asset
    return made


def _asset(base: str, name: str) -> str:
    return f"{base}/static/{name}?v={static_file(name)[1]}"


def render(template: str, **values: Any) -> str:
    """
    Return a template of ours, rendered.

    Raises:
        ExtraMissingError: Jinja2 is not installed.
    """
    return _templates().get_template(template).render(**values)


def root_id(offer: Offer) -> str:
    """
    Return the id of the fragment's root: the same for an offer whenever it is rendered.
    """
    return f"cx-{hashlib.blake2b(offer.offer_id.encode(), digest_size=5).hexdigest()}"


def form(
    offer: Offer,
    look: Look,
    *,
    given: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
) -> str:
    """
    Return the form of *offer*.

    Args:
        given: question id → what was chosen or written so far, text or list of texts.

        errors: question id, or ``""`` for the whole, → code, as in `Receipt.errors`.
    """
    shown = document(offer, look.base)
    said = shown["strings"]["errors"]
    faults = {name: said.get(code, said["required"]) for name, code in (errors or {}).items()}
    root = root_id(offer)
    words = wording_of(offer).words
    fields = [_field(each, root, given or {}, faults, words) for each in shown["questions"]]
    # A page must have a heading: without a title it is the first question.
    fields[0]["is_heading"] = look.heading == 1 and "title" not in shown
    return render(
        "form.html",
        **_frame(look, root, shown["locale"], shown["direction"], shown["strings_locale"]),
        doc=shown,
        title=shown.get("title", ""),
        fields=fields,
        faults=[(_target(fields, name), text) for name, text in faults.items()],
        summary=said["summary"],
        failed=said["unavailable"],
    )


def note(offer: Offer | None, look: Look, kind: str, *, locale: str = "en", text: str = "") -> str:
    """
    Return what is said in the form's place.

    Args:
        kind: ``done``, ``already``, ``dismissed``, ``opted_out``, ``gone``, or a code of an error.

        locale: of the reader, where there is no offer.

        text: other words than those of the catalogue.
    """
    if offer is None:
        root, (tag, catalogue) = "cx-none", chrome(locale)
        text = text or _said(catalogue, kind)
    else:
        root, words = root_id(offer), wording_of(offer)
        tag, catalogue = words.language, words.words
        text = words.thank_you if kind == "done" else text or _said(catalogue, kind)
        if kind == "done" and text != catalogue["thank_you"]:
            tag = offer.locale  # the team's own words
    way = direction_of(tag)
    frame = _frame(look, root, tag, way, tag)
    return render("note.html", **frame, kind=kind, text=text)


def page(fragment: str, look: Look, *, title: str, lang: str, way: str) -> str:
    """
    Return a whole page around a fragment, for links and letters.
    """
    from markupsafe import Markup

    return render(
        "page.html",
        fragment=Markup(fragment),  # noqa: S704 - rendered above, with autoescape
        title=title,
        lang=lang,
        way=way,
        base=look.base.rstrip("/"),
    )


def _said(catalogue: Mapping[str, Any], kind: str) -> str:
    found: str = catalogue.get(kind) or catalogue["errors"][kind]
    return found


def _frame(look: Look, root: str, tag: str, way: str, chrome_tag: str) -> dict[str, Any]:
    # Words of the catalogue say so where they are of another language than the questions.
    is_foreign = chrome_tag.partition("-")[0].lower() != tag.partition("-")[0].lower()
    return {
        "root": root,
        "lang": tag,
        "way": way,
        "foreign": (chrome_tag, direction_of(chrome_tag)) if is_foreign else None,
        "base": look.base.rstrip("/"),
        "look": look,
    }


_DRAWN = {"versus_expectation": "words", "emotion": "words", "yes_no_partly": "words"}


def _field(
    question: Mapping[str, Any],
    root: str,
    given: Mapping[str, Any],
    faults: Mapping[str, str],
    words: Mapping[str, Any],
) -> dict[str, Any]:
    name = question["id"]
    own = f"{root}-{name}"
    said = given.get(name, "")
    chosen = [str(each) for each in said] if isinstance(said, (list, tuple)) else [str(said)]
    drawn = _DRAWN.get(question["kind"])
    if drawn is None:
        drawn = {"number": "points", "choice": "list", "choices": "list", "text": "text"}[
            question["type"]
        ]
    if question["kind"] == "thumbs":
        drawn = "words"
    scale = question.get("scale", {})
    ends = (scale.get("low_label", ""), scale.get("high_label", ""))
    is_limited = drawn == "text" and question["max_chars"] < 2000
    limit = words["characters"].replace("{n}", str(question["max_chars"])) if is_limited else ""
    parts = (
        ("help", question.get("help") or limit),
        ("ends", any(ends) and drawn == "points"),
        ("error", faults.get(name)),
    )
    condition = question.get("show_if")
    options = [dict(each, icon="") for each in question.get("options", ())]
    if question["kind"] in {"emotion", "thumbs"}:
        for each in options:
            each["icon"], _, each["label"] = each["label"].rpartition(" ")
    return {
        "help": "",
        "other": None,
        **question,
        "options": options,
        "own": own,
        "drawn": drawn,
        "chosen": chosen,
        "written": chosen[0] if drawn == "text" else "",
        "other_written": str(given.get(f"{name}_other", "")),
        "ends": ends,
        "limit": limit,
        "error": faults.get(name, ""),
        "described": " ".join(f"{own}-{part}" for part, there in parts if there),
        "condition": json.dumps(condition) if condition else "",
        "is_heading": False,
        "is_optional": not question["required"] or condition is not None,
    }


def _target(fields: list[dict[str, Any]], name: str) -> tuple[str, str]:
    """
    Return where a message of the summary leads to, and the question it is about.
    """
    for each in fields:
        if each["id"] == name:
            first = each["own"] if each["drawn"] == "text" else f"{each['own']}-0"
            return first, each["text"]
    return "", ""
