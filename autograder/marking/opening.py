"""``course mark``: the instructor's own Jupyter server, opened on the page of marking."""

from __future__ import annotations

from urllib.parse import urlencode

from course_utils.cli.lab import lab_options, serve
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

from .desk import Desk
from .server import PLACE


def open_marking(
    tree: Tree,
    unit: str | None,
    question: str | None,
    marker: str | None,
    of: int,
    browser: bool = True,
    port: int | None = None,
) -> int:
    """Say what waits, and run the server until it is stopped; returns the exit code.

    Raises CourseError where nothing is graded, WrongUsage where a question is not there.
    """
    desk = Desk(tree)
    try:
        found = [each for each in desk.units() if unit in (None, each["unit"])]
    finally:
        desk.close()
    if not found:
        which = f" of {unit}" if unit else ""
        raise CourseError(
            f"the gradebook has no written answers{which}. Run `course grade {(unit or 'UNIT')[:2]}` first."
        )
    if not 1 <= of <= 50 or (marker is not None and not marker.strip()):
        raise WrongUsage("--of is how many share the work, 1 to 50; --marker is your name.")
    known = {each["question"] for one in found for each in one["questions"]}
    if question is not None and question not in known:
        raise WrongUsage(f"there is no written question {question!r}. There are: {', '.join(sorted(known))}.")
    if question is not None:
        unit = next(one["unit"] for one in found if question in {each["question"] for each in one["questions"]})
    for one in found:
        for each in one["questions"]:
            left = each["answers"] - each["marked"]
            print(f"{one['unit']}  {each['question']}: {each['answers']} answers, {left} to mark")
    asked = {"unit": unit, "question": question, "marker": marker, "of": of if of > 1 else None}
    text = urlencode({name: value for name, value in asked.items() if value})
    page = f"/{PLACE}{'?' + text if text else ''}"
    return serve(tree, lab_options(tree, None, browser, port, page))
