"""Written answers and oral questions."""

from __future__ import annotations

from typing import Annotated

import typer

from .shared import instructor_tree, use_database


def mark(
    context: typer.Context,
    unit: Annotated[str | None, typer.Argument(help="A unit, e.g. 02; none means all.", show_default=False)] = None,
    question: Annotated[
        str | None, typer.Option(help="Begin with this question, e.g. q_beta_zero.", show_default=False)
    ] = None,
    marker: Annotated[str | None, typer.Option(help="Your name in the log; default: your account's.")] = None,
    of: Annotated[int, typer.Option(help="How many share the work: each marks a part, a sample is marked twice.")] = 1,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    port: Annotated[int | None, typer.Option(help="Port of the server.", show_default=False)] = None,
    db: Annotated[str | None, typer.Option(help="URL of the gradebook; also $COURSE_DB.", show_default=False)] = None,
) -> None:
    """Mark written answers, by keyboard.

    Opens a page of your own Jupyter server: one question at a time over all students, alike answers together, the mark
    scheme's items under the keys 1 to 9. Marks go into the gradebook and grades.csv when they are made; who marked what
    stands in a log beside them.

    Examples: course mark 02; course mark 02 --question q_beta_zero; course mark --marker ada --of 2
    """
    from ..marking.opening import open_marking

    tree = instructor_tree(context)
    use_database(db)
    chosen = tree.unit(unit) if unit else None
    raise typer.Exit(open_marking(tree, chosen, question, marker, of, browser, port))


def viva(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="A unit, e.g. 02.")],
    student: Annotated[str | None, typer.Option(help="Only this student.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same questions.")] = 0,
) -> None:
    """Write oral questions for each student.

    One page each in viva/<unit>/: four or five questions from the student's own numbers, guesses, broken laws and code,
    with the answer that is expected. For the examiner; print it, or keep it on a tablet.

    Examples: course viva 02; course viva 02 --student ada --seed 7
    """
    from ..marking.viva import write_viva

    tree = instructor_tree(context)
    written = write_viva(tree, tree.unit(unit), student, seed)
    print(f"{len(written)} page{'s' if len(written) != 1 else ''} in {tree.shown(written[0].parent)}/")
