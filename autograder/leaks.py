"""The release gate: what must not reach students, found by comparing a released notebook with its source."""

from __future__ import annotations

import re

from nbformat import NotebookNode
from nbgrader import utils

from course_utils.cli.handin.cells import as_released, bare
from course_utils.system.stubs import Stubs, is_blank, names_its_exercise

SOLUTION = ("BEGIN SOLUTION", "END SOLUTION")
MARK_SCHEME = ("BEGIN MARK SCHEME", "END MARK SCHEME")
HIDDEN_TESTS = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
SHORTEST = 12  # characters; shorter lines ("return loss") say nothing by themselves


def find_leaks(source: NotebookNode, release: NotebookNode, stubs: Stubs = Stubs()) -> list[str]:  # noqa: B008
    """What a release gives away or has lost, one sentence each; an empty list means that it may be published.

    ``stubs`` are what the course puts in the place of solutions.
    """
    return [
        *_outputs(release),
        *_marks(release),
        *_solutions(source, release),
        *_confidential_regions(source, release, stubs),
        *_stubs(source, release, stubs),
        *_pictures(source, release),
        *_lost(source, release),
    ]


def region_lines(source: str, marks: tuple[str, str]) -> list[list[str]]:
    """The telling lines of each region between the two marks, stripped; comments and short lines left out."""
    regions = re.findall(rf"{marks[0]}[^\n]*\n(.*?)(?:[^\n]*{marks[1]}|\Z)", source, flags=re.DOTALL)
    return [[line for line in map(str.strip, region.splitlines()) if _tells(line)] for region in regions]


def _words(line: str) -> str:
    """A line without what makes it a comment, a quotation or an item of a list."""
    return line.strip().lstrip("#>*-` \t").rstrip("` \t")


def _tells(line: str) -> bool:
    return len(line) >= SHORTEST and not line.startswith("#")


def _name(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id") or f"cell {cell.get('id', '?')}"


def _outputs(release: NotebookNode) -> list[str]:
    found = [f"{_name(cell)} still has outputs" for cell in release.cells if cell.get("outputs")]
    found += [f"{_name(cell)} still has an execution count" for cell in release.cells if cell.get("execution_count")]
    return found + ([] if "widgets" not in release.metadata else ["the state of widgets is still stored"])


def _marks(release: NotebookNode) -> list[str]:
    marks = SOLUTION + MARK_SCHEME + HIDDEN_TESTS
    return [f"{_name(cell)} contains {mark!r}" for cell in release.cells for mark in marks if mark in cell.source]


def _solutions(source: NotebookNode, release: NotebookNode) -> list[str]:
    """Lines of solutions in the release. A line that provided cells use as well gives nothing away by itself, but a
    whole solution does."""
    provided = {
        _words(line)
        for cell in source.cells
        for line in re.sub(r"(?s)BEGIN SOLUTION.*?END SOLUTION", "", cell.source).splitlines()
    }
    released = {_words(line) for cell in release.cells for line in cell.source.splitlines()}
    found = []
    for cell in source.cells:
        for region in region_lines(cell.source, SOLUTION):
            region = list(map(_words, region))
            telling = [line for line in region if line not in provided and line in released]
            if telling:
                found.append(f"the release contains a line of the solution of {_name(cell)}: {telling[0]}")
            elif region and all(line in released for line in region):
                found.append(f"the release contains the whole solution of {_name(cell)}")
    return found


def _confidential_regions(source: NotebookNode, release: NotebookNode, stubs: Stubs) -> list[str]:
    """Lines of mark schemes, hidden tests and model answers in the release."""
    text = "\n".join(cell.source for cell in release.cells)
    confidential = r"(?s)BEGIN (MARK SCHEME|HIDDEN TESTS).*?END \1"
    given = {line.strip() for cell in source.cells for line in re.sub(confidential, "", cell.source).splitlines()}
    found = []
    for cell in source.cells:
        for marks, what in ((MARK_SCHEME, "mark scheme"), (HIDDEN_TESTS, "hidden test")):
            for region in region_lines(cell.source, marks):
                shown = [line for line in region if line in text and (marks == MARK_SCHEME or line not in given)]
                found += [f"the release contains the {what} of {_name(cell)}: {line}" for line in shown]
        if cell.cell_type == "markdown" and utils.is_solution(cell) and not is_blank(cell.source):
            stays = as_released(cell, stubs).splitlines()
            answer = [line.strip() for line in cell.source.splitlines() if line not in stays]
            lines = [line for line in answer if _tells(line) and line in text]
            found += [f"the release contains the model answer of {_name(cell)}: {line}" for line in lines]
    return found


def _pictures(source: NotebookNode, release: NotebookNode) -> list[str]:
    """Pictures of what is taken out of a text, which would go out all the same."""
    released = {cell.get("id"): cell for cell in release.cells}
    found = []
    for cell in source.cells:
        left = released.get(cell.get("id"), {})
        for picture in left.get("attachments", {}):
            shown = f"attachment:{picture}"
            if shown in cell.source and shown not in left.source:
                found.append(f"{_name(cell)} still has the picture {picture} of what is taken out of its text")
    return found


def _stubs(source: NotebookNode, release: NotebookNode, stubs: Stubs) -> list[str]:
    released = {_name(cell): cell.source for cell in release.cells}
    own = stubs.code != Stubs().code
    found = []
    for cell in source.cells:
        if not utils.is_solution(cell):
            continue
        name, stub = _name(cell), released.get(_name(cell), "")
        expected = as_released(cell, stubs)
        if cell.cell_type == "code" and own and bare(stub) != bare(expected):
            found.append(f"the stub of {name} is not the one of c.ClearSolutions.code_stub")
        if cell.cell_type == "code" and not own and not names_its_exercise(stub, name):
            found.append(f"the stub of {name} does not raise a NotImplementedError that names it")
        if cell.cell_type == "markdown" and not is_blank(stub) and bare(stub) != bare(expected):
            found.append(f"the answer cell {name} is not blank")
    return found


def _lost(source: NotebookNode, release: NotebookNode) -> list[str]:
    """Cell ids and tags are how a submission is matched with its source; a header and a footer may stand around it."""
    ids, released = ([cell.get("id") for cell in notebook.cells] for notebook in (source, release))
    starts = [at for at in range(len(released) - len(ids) + 1) if released[at : at + len(ids)] == ids]
    if not starts:
        return ["the cells of the release do not have the ids of the source, in order"]
    return [
        f"{_name(old)} lost its tags"
        for old, new in zip(source.cells, release.cells[starts[-1] :], strict=False)
        if old.metadata.get("tags", []) != new.metadata.get("tags", [])
    ]
