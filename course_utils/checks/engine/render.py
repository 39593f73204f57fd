"""How a Score looks: a table in a notebook, a report in plain text.

A law that holds shows no number and no timing, so that the stored output of a solved exercise never changes.
Colours are left to the theme; a symbol and a word carry the meaning.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .score import LawResult, Score

_CELL = "text-align:left;vertical-align:top;padding:0.3em 0.6em;white-space:normal"
_HOLDS, _BROKEN = "\N{CHECK MARK} holds", "\N{BALLOT X} broken"


def headline(score: Score) -> str:
    if score.note:
        return f"{score.exercise}: {score.note}"
    held = sum(law.passed for law in score.laws)
    if not score.whole and len(score.laws) == 1:
        return f"{score.exercise}: the law {score.laws[0].id} {'holds' if held else 'is broken'}"
    if score.complete:
        return f"{score.exercise}: all {held} laws hold"
    return f"{score.exercise}: {held} of {len(score.laws)} laws hold"


def as_text(score: Score) -> str:
    """The report as plain text, one law per paragraph."""
    lines = [f"{headline(score)} ({score!r} of {score.points:g} points)"]
    last = None
    for law in () if score.note else score.laws:
        lines.append(f"  {_HOLDS if law.passed else _BROKEN}: {law.name}")
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
    """The table shown under the test cell."""
    parts = [f"<div><p><strong>{escape(headline(score))}</strong>: {score!r} of {score.points:g} points</p>"]
    if not score.note:
        parts.append(_table(score))
    if score.printed:
        parts.append(f'<p>Your code printed:</p><pre style="text-align:left">{escape(score.printed)}</pre>')
    return "".join(parts) + "</div>"


def _table(score: Score) -> str:
    broken_ones = not score.complete
    columns = ["law", "result"] + (["expected", "what came, and the likely cause"] if broken_ones else [])
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in columns)
    rows, last = [], None
    for law in score.laws:
        cells = [escape(law.name), _HOLDS if law.passed else f"<strong>{_BROKEN}</strong>"]
        if broken_ones:
            cells += ["", ""] if law.passed else _failure_cells(law, last)
        last = last if law.passed else law
        cells[1] = f'<span style="white-space:nowrap">{cells[1]}</span>'
        if not law.passed and law.seed is not None:
            cells[1] += f"<br><small>{escape(_run(law))}</small>"
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>")
    return (
        f'<table style="border-collapse:collapse;color:inherit;font-size:inherit"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _failure_cells(law: LawResult, last: LawResult | None) -> list[str]:
    """What was expected, and what came with its likely cause; what the row before said is not said again."""
    same = last is not None and (law.expected, law.got) == (last.expected, last.got)
    expected, came = ("as above", "as above") if same else (_lines(law.expected), _lines(law.got))
    if law.cause and (last is None or law.cause != last.cause):
        came += f"<br><strong>Likely cause:</strong> {_lines(str(law.cause))}"
    elif law.cause and not same:
        came += "<br><em>Same likely cause as above.</em>"
    return [expected, came]


def _run(law: LawResult) -> str:
    """By which a run of a law can be repeated."""
    return f"law {law.id}, seed {law.seed}"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
