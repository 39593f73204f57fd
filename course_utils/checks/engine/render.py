"""How a Score looks: a box and a table in a notebook, a report in plain text.

The box speaks first: the points, and why some are missing. A law that holds shows no number and no timing, so that the
stored output of a solved exercise never changes. Text keeps the theme's colour; a sign and a word carry the meaning,
the colour of the box only repeats it.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .score import Cause, LawResult, Score

_CELL = "text-align:left;vertical-align:top;padding:0.3em 0.6em;white-space:normal"
_BOX = "text-align:left;border:2px solid {0};background-color:{0}1f;padding:0.4em 0.8em;margin:0.3em 0;max-width:60em"
_GREEN, _RED = "#2e8540", "#c4314b"  # a border at 4.5 : 1 on white and at 3 : 1 on JupyterLab's dark page
_LINK = "background:none;border:0;padding:0;font:inherit;color:inherit;text-decoration:underline;text-align:left"
# Opens a hint under the card of an exercise, or shows the card. Where it is stripped, the words that it stands on stay.
_OPEN = """(() => {
const after = (a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING;
const card = [...document.querySelectorAll('h2, h3, h4')].find(h => [...h.querySelectorAll('code')].some(
  c => c.textContent === this.dataset.exercise));
if (!card) return;
const hints = [...card.parentElement.querySelectorAll('details')].filter(d => after(card, d));
const named = hints.find(d => /maths/i.test(d.querySelector('summary').textContent)) || hints[0];
const shown = this.dataset.hint && named ? named : card;
if (shown !== card) shown.open = true;
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
shown.scrollIntoView({block: 'center', behavior: still ? 'auto' : 'smooth'});
const focused = shown === card ? card : shown.querySelector('summary');
if (shown === card) card.tabIndex = -1;
focused.focus({preventScroll: true});
})()"""
_HALF = "this is what the exercise is for: without it at most half of the points"
_HOLDS, _BROKEN = "\N{CHECK MARK} holds", "\N{BALLOT X} broken"


def _verdict(score: Score) -> str:
    if score.note:
        return str(score.note)
    held = sum(law.passed for law in score.laws)
    if not score.whole and len(score.laws) == 1:
        return f"the law {score.laws[0].id} {'holds' if held else 'is broken'}"
    if score.complete:
        return f"all {held} laws hold"
    return f"{held} of {len(score.laws)} laws hold"


def causes(score: Score) -> list[Cause]:
    """The likely causes, each once: first the one that stands behind most of what the broken laws weigh."""
    weights: dict[Cause, int] = {}
    for law in score.laws:
        if law.cause and not law.passed:
            weights[law.cause] = weights.get(law.cause, 0) + law.weight
    return sorted(weights, key=lambda cause: -weights[cause])  # in the order of the laws where they weigh the same


def as_text(score: Score) -> str:
    """The report as plain text, one law per paragraph."""
    lines = [f"{score.exercise}: {_verdict(score)} ({score!r} of {score.points:g} points)"]
    lines += [f"  {score.remark}"] if score.remark else []
    last = None
    for law in () if score.note else score.laws:
        half = f" ({_HALF})" if law.essential and not law.passed else ""
        lines.append(f"  {_HOLDS if law.passed else _BROKEN}: {law.name}{half}")
        if law.passed:
            continue
        if (law.expected, law.got) == (last and (last.expected, last.got)):
            lines.append("      as above")
        else:
            lines += [f"      expected: {law.expected}", f"      came:     {law.got}".replace("\n", "\n" + " " * 16)]
        if law.cause and law.cause != (last and last.cause):
            lines.append(f"      likely:   {law.cause}")
        if law.seed is not None:
            lines.append(f"      ({_run(law)})")
        last = law
    if score.printed:
        lines += ["  Your code printed:"] + ["      " + line for line in score.printed.splitlines()]
    return "\n".join(lines)


def as_html(score: Score) -> str:
    """What is shown under the test cell: the box, the broken laws, and folded what holds."""
    parts = [_box(score)]
    if not score.note:
        parts += [_broken(score), _folded([law for law in score.laws if law.passed])]
    if score.printed:
        parts.append(f'<p>Your code printed:</p><pre style="text-align:left">{escape(score.printed)}</pre>')
    return f"<div>{''.join(parts)}</div>"


def _box(score: Score) -> str:
    passed = all(law.passed for law in score.laws) and not score.note
    sign = "\N{CHECK MARK}" if passed else "\N{BALLOT X}"
    points, verdict = f"{escape(score.exercise)}: {score!r} of {score.points:g} points", _verdict(score)
    lines = [f"<strong>{sign} {points}.</strong> {escape(verdict[:1].upper() + verdict[1:])}."]
    if score.remark:
        lines.append(f"<strong>Beware.</strong> {_lines(score.remark)}")
    if passed and score.whole:
        lines.append("Go on with what comes below.")
    found = causes(score)
    if found and not score.note:
        lines.append(f"<strong>Likely cause.</strong> {_cause(found[0], score.exercise)}")
        lines += [f"<strong>And.</strong> {_cause(cause, score.exercise)}" for cause in found[1:]]
    elif not passed and not score.note:
        lines.append("What is behind it was not recognised: compare what was expected with what came.")
    if score.capped:
        lines.append("What this exercise is for is missing: the laws that hold earn at most half of the points.")
    return f'<div style="{_BOX.format(_GREEN if passed else _RED)}">{"<br>".join(lines)}</div>'


def _cause(cause: Cause, exercise: str) -> str:
    """A cause; the place that it names in the notebook is a button that goes there."""
    if not re.search(r"\b(hints?|card)\b", cause.where):
        return _lines(str(cause))
    named = re.search(r"card of (\w+)", cause.where)
    name, hint = named[1] if named else exercise, "yes" if re.search(r"\bhints?\b", cause.where) else ""
    button = (
        f'<button type="button" style="{_LINK}" data-exercise="{escape(name)}" data-hint="{hint}" '
        f'onclick="{escape(_OPEN)}">{_lines(cause.where)}.</button>'
    )
    return f"{_lines(cause.sentence)} Look at {button}"


def _broken(score: Score) -> str:
    """The broken laws: first those that the first cause explains."""
    ranked = {cause: rank for rank, cause in enumerate(causes(score))}
    laws = [law for law in score.laws if not law.passed]
    if not laws:
        return ""
    laws.sort(key=lambda law: ranked[law.cause] if law.cause else len(ranked))
    rows, last = [], None
    for law in laws:
        same = last is not None and (law.expected, law.got) == (last.expected, last.got)
        expected, came = ("as above", "as above") if same else (_lines(law.expected), _lines(law.got))
        run = f"<br><small>{escape(_run(law))}</small>" if law.seed is not None else ""
        half = f"<br><strong>{_HALF[0].upper()}{_HALF[1:]}.</strong>" if law.essential else ""
        cells = [f"{_BROKEN}: {escape(law.name)}{half}{run}", expected, came]
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>")
        last = law
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in ("law", "expected", "what came"))
    return (
        f'<table style="border-collapse:collapse;color:inherit;font-size:inherit"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _folded(laws: list[LawResult]) -> str:
    if not laws:
        return ""
    items = "".join(f"<li>{escape(law.name)}</li>" for law in laws)
    count = "1 law holds" if len(laws) == 1 else f"{len(laws)} laws hold"
    return f'<details style="text-align:left"><summary>\N{CHECK MARK} {count}</summary><ul>{items}</ul></details>'


def _run(law: LawResult) -> str:
    """By which a run of a law can be repeated."""
    return f"law {law.id}, seed {law.seed}"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
