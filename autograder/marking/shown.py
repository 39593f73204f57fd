"""What the page shows of what students wrote: HTML that was cleaned, whatever it was before."""

from __future__ import annotations

import html
import re
from difflib import SequenceMatcher
from typing import Any

from nbformat import NotebookNode

from course_utils.cli.handin.evidence import Named
from course_utils.system.stubs import is_blank

from ..beliefs import beliefs_in
from ..reasons import explain_score, plain, score_of
from ..safe_html import clean, in_pieces, is_picture, markdown_to_html
from ..template import TEST, kind_of

LONGEST_SHOWN = 20_000  # characters of an answer that are sent with the others; the rest is asked for
LARGEST_SHOWN = 1_000_000  # characters of its HTML, pictures included
_DATA = r"data:[^)\s\"']*"
_MOST_COMPARED = 1500  # words of a text whose changes are marked


def answer_html(
    source: str, attachments: dict[str, Any] | None = None, verbatim: bool = False, whole: bool = False
) -> str:
    """An answer as HTML, ``verbatim`` as it was written. One that is too long is cut unless the ``whole`` of it is
    asked for."""
    if is_blank(source):
        return "<p><em>nothing was written</em></p>"
    if len(source) > LONGEST_SHOWN and not whole:
        text = re.sub(_DATA, "", source)
        cut = (
            f"these are the first {LONGEST_SHOWN:,} characters" if len(text) > LONGEST_SHOWN else "without its pictures"
        )
        words = f"{len(text.split()):,} words; {cut}. Press o for all."
        return f"<p><em>{words}</em></p>{in_pieces(text[:LONGEST_SHOWN])}"
    if verbatim:
        return in_pieces(source)
    shown = markdown_to_html(source, attachments)
    if len(shown) > LARGEST_SHOWN and not whole:
        size = f"{len(shown) / 1e6:.1f} MB with its pictures; this is its text. Press o for all."
        return f"<p><em>{size}</em></p>{in_pieces(re.sub(_DATA, '', source)[:LONGEST_SHOWN])}"
    return shown if re.sub(r"<(?!img|math)[^>]*>", "", shown).strip() else in_pieces(source)


def differences(before: str, after: str) -> str:
    """The text ``after`` with the words that are not in ``before`` marked, and those that have gone struck through."""
    old, new = (re.findall(r"\s+|[^\s]+", text)[:_MOST_COMPARED] for text in (before, after))
    parts = []
    # what is compared begins at words that are rare: where one word stands a thousand times, trying all takes minutes
    for kind, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes():
        gone, come = html.escape("".join(old[a:b])), html.escape("".join(new[c:d]))
        if kind == "equal":
            parts.append(come)
            continue
        parts += [f"<del>{gone}</del>" if gone.strip() else "", f"<mark>{come}</mark>" if come.strip() else come]
    return f'<div style="white-space:pre-wrap">{"".join(parts)}</div>'


def output_html(output: Any) -> str:
    """One output of a notebook: its HTML cleaned, its picture, or its text."""
    data = output.get("data", {})
    if markup := data.get("text/html"):
        return clean("".join(markup))
    for kind in ("image/png", "image/jpeg"):
        picture = "".join(data.get(kind, "")).replace("\n", "")
        if picture and is_picture(kind, picture):
            alt = html.escape("".join(data.get("text/plain", "figure"))[:500], quote=True)
            return f'<img alt="{alt}" src="data:{kind};base64,{picture}">'
    text = "".join(output.get("text", "") or data.get("text/plain", "") or output.get("evalue", ""))
    return in_pieces(text[:LONGEST_SHOWN])


def evidence_shown(named: list[Named]) -> list[dict[str, Any]]:
    """What was found about each number and figure, for the page."""
    return [
        {
            "text": each.text,
            "status": each.status,
            "places": [
                {"cell": place.cell, "output": place.output, "words": place.words(), "kind": place.kind}
                for place in each.places[:5]
            ],
        }
        for each in named
    ]


def checks_shown(notebook: NotebookNode) -> list[dict[str, str]]:
    """What the checks said about the exercises of a graded notebook."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and kind_of(cell) == TEST:
            score = score_of(cell)
            points = f"{score['earned']:g} of {score['points']:g}" if "earned" in score else ""
            name = str(cell.metadata.nbgrader.grade_id).removeprefix("test_")
            shown.append({"exercise": name, "points": points, "words": plain(explain_score(cell))[:400]})
    return shown


def guesses_shown(notebook: NotebookNode, questions: dict[str, Any]) -> list[dict[str, str]]:
    """What the student guessed before looking, and what came out."""
    shown = []
    for text, (guess, truth) in beliefs_in(notebook, questions).items():
        question = questions[text]
        shown.append(
            {
                "question": text,
                "guess": "no guess" if guess is None else question.words(guess),
                "truth": "" if truth is None else question.words(truth),
                "right": "" if guess is None or truth is None else "yes" if question.is_right(guess, truth) else "no",
            }
        )
    return shown
