"""What the pages for instructors are made of, and the part that says how a class did: points and why they were lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from html import escape

from .grades_file import NEEDS_MARKING, Grade, number
from .reasons import LIKELY_CAUSE

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
       background: #fff; overflow-wrap: break-word; }
table { border-collapse: collapse; margin: 1rem 0 2rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; }
.bar { display: inline-block; height: .8em; background: #0072b2; vertical-align: baseline; }
figure { margin: 1rem 0 2rem; } svg { width: 100%; max-width: 40rem; }
details { margin: .5rem 0; } summary { cursor: pointer; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
.beside > div { min-width: 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: .5rem; font-size: .85em; }
@media (max-width: 48rem) { /* a row becomes a paragraph, each value behind the name of its column */
  table, caption, tbody, tr, td { display: block; }
  thead { display: none; }
  tr { border-bottom: 1px solid #ddd; padding: .4rem 0; }
  td { border: 0; padding: 0; overflow-wrap: anywhere; }
  td[data-label]::before { content: attr(data-label) ": "; font-weight: 600; }
  svg { font-size: 21px; } /* the whole drawing shrinks */
}
"""


def page(title: str, body: str) -> str:
    """A whole page as HTML, self-contained: no script, nothing loaded from elsewhere."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )


def class_sections(grades: list[Grade]) -> list[str]:
    """Progress, points of students, points of exercises, and reasons for lost points."""
    students = len({grade.student for grade in grades})
    waiting = sum(grade.status == NEEDS_MARKING for grade in grades)
    units = len({grade.unit for grade in grades})
    intro = f"{students} students, {units} unit{'s' * (units != 1)}; {waiting} written answers wait to be marked."
    return [f"<p>{intro}</p>", _students(grades), _exercises(grades), _failures(grades)]


def _students(grades: list[Grade]) -> str:
    """Points per student and unit; what waits for marking is said, not counted."""
    units = sorted({grade.unit for grade in grades})
    rows = []
    for student in sorted({grade.student for grade in grades}):
        cells = [escape(student)]
        for unit in units:
            own = [grade for grade in grades if (grade.student, grade.unit) == (student, unit)]
            waiting = sum(grade.max_score for grade in own if grade.status == NEEDS_MARKING)
            earned, most = sum(grade.score or 0 for grade in own), sum(grade.max_score for grade in own)
            text = f"{number(earned)} of {number(most)}"
            cells.append(text + (f" ({number(waiting)} to be marked)" if waiting else ""))
        rows.append(cells)
    return table("Points of each student", ["student", *units], rows)


def _exercises(grades: list[Grade]) -> str:
    """For each exercise how many have all, some or no points, and the mean."""
    rows = []
    by_exercise = defaultdict(list)
    for grade in grades:
        by_exercise[grade.unit, grade.exercise].append(grade)
    for (unit, exercise), own in sorted(by_exercise.items()):
        known = [grade for grade in own if grade.score is not None]
        full = sum(grade.score >= grade.max_score for grade in known)
        none = sum(grade.score == 0 for grade in known)
        share = sum(grade.score for grade in known) / (sum(grade.max_score for grade in known) or 1)
        bar = f'<span class="bar" style="width:{share * 8:.1f}em" aria-hidden="true"></span> {share:.0%}'
        rows.append(
            [
                escape(unit),
                escape(exercise),
                str(full),
                str(len(known) - full - none),
                str(none),
                str(len(own) - len(known)),
                bar if len(known) == len(own) else "",
            ]
        )
    header = ["unit", "exercise", "all points", "some", "none", "not known yet", "mean"]
    return table("Points of each exercise", header, rows)


def _failures(grades: list[Grade]) -> str:
    """Every other reason for lost points, most frequent first."""
    reasons = Counter(
        (grade.exercise, grade.reason)
        for grade in grades
        if grade.reason and LIKELY_CAUSE not in grade.reason and (grade.score is None or grade.score < grade.max_score)
    )
    rows = [
        [str(count), escape(exercise), escape(reason)]
        for (exercise, reason), count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table("Other reasons for lost points", ["students", "exercise", "reason"], rows)


def table(caption: str, header: list[str], rows: list[list[str]]) -> str:
    """A table with cells of HTML; an empty cell shows nothing, also where rows become paragraphs."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, header, row))}</tr>" for row in rows)
    none = "" if rows else "<tr><td>none</td></tr>"
    head = f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{head}<tbody>{body}{none}</tbody></table>"


def _cell(name: str, content: str) -> str:
    return f'<td data-label="{escape(name)}">{content}</td>' if content else "<td></td>"
