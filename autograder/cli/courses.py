"""New exercises, units, courses and terms, and whether they are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from course_utils.system.errors import WrongUsage
from course_utils.system.tree import Tree

from .shared import All, Units, chosen_units, instructor_tree, warn


def new_exercise(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="The unit, e.g. 02.")],
    name: Annotated[str, typer.Argument(help="The function that students write, e.g. log_sum_exp.")],
    after: Annotated[
        str | None, typer.Option(help="Below this exercise; default: below the last one.", show_default=False)
    ] = None,
) -> None:
    """Write the skeletons of a new exercise.

    Its cells in the unit's source, a check with two laws, and a bank with a wrong and a right implementation. They are
    released and checked as they stand; CONTRIBUTING.md says how to go on.

    Example: course new-exercise 01 log_sum_exp
    """
    from ..new_exercise import new_exercise as write_skeletons

    tree = instructor_tree(context)
    for path in write_skeletons(tree, tree.unit(unit), name, after):
        print(tree.shown(path))


def new_course(
    folder: Annotated[Path, typer.Argument(help="A new folder for the course.")],
    units: Annotated[str, typer.Option(help="Units of this course to begin with, in your order, e.g. 02,04.")] = "",
    title: Annotated[str, typer.Option(help="Stands above every notebook and on the students' pages.")] = "",
    language: Annotated[str, typer.Option(help="Of your texts: en, de, fr, he, ...")] = "en",
    logo: Annotated[
        Path | None, typer.Option(help="PNG or JPEG, put above every notebook.", show_default=False)
    ] = None,
    worth: Annotated[
        list[str] | None, typer.Option("--points", help="EXERCISE=POINTS; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Begin a course of your own beside this one.

    Writes course.toml, nbgrader_config.py, notebooks/ with copies of the units that you name, checks/ and a header. All
    commands work in that folder; this course's code does the work. docs/own-course.md goes on from there.

    Example: course new ~/my-course --units 02,04 --title "Generative models" --points kl_divergence=6
    """
    from ..own_course import new_course as write_course

    points = {}
    for given in worth or ():
        name, _, number = given.partition("=")
        try:
            points[name] = float(number)
        except ValueError:
            raise WrongUsage(f"--points {given!r}: expected EXERCISE=POINTS, such as kl_divergence=6.") from None
    folder = folder.expanduser()
    chosen = [unit for unit in units.replace(",", " ").split() if unit]
    write_course(folder, chosen, title=title, language=language, logo=logo, points=points)
    tree = Tree(folder.resolve())
    print(f"{tree.root}: {', '.join(tree.units()) or 'no units yet'}")
    print(f"Next: cd {folder}; course new-unit 10_my_unit my_function; course check-course")


def new_unit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The unit's folder, e.g. 10_my_unit.")],
    exercise: Annotated[str, typer.Argument(help="The function that students write in it, e.g. my_function.")],
    check: Annotated[
        bool, typer.Option("--check", help="Judge it by a check of your own in checks/, not by a plain test.")
    ] = False,
) -> None:
    """Write a unit of your own.

    A notebook with an exercise, a test and a question, which is released and graded as it stands. Edit it in the lab.

    Examples: course new-unit 10_pictures sharpen; course new-unit 11_more blur --check
    """
    from ..own_course import new_unit as write_unit

    tree = instructor_tree(context)
    for path in write_unit(tree, name, exercise, with_check=check):
        print(tree.shown(path))


def check_course(context: typer.Context, units: Units = None, all_units: All = False) -> None:
    """Check that the course can be taught as it stands.

    The release gate; every exercise by its own solution, which must get all points; and an untouched notebook, which
    must not. Writes nothing.

    Example: course check-course
    """
    from ..check_course import check_course as find_faults

    tree = instructor_tree(context)
    chosen = chosen_units(tree, units, all_units)
    faults = find_faults(tree, chosen, progress=lambda line: print(line, flush=True))
    for fault in faults:
        warn(fault)
    if faults:
        raise typer.Exit(1)
    print(f"Ready: {', '.join(chosen)}")


def term(
    context: typer.Context,
    action: Annotated[str, typer.Argument(help="new")],
    to: Annotated[
        Path | None, typer.Option(help="Where the last class goes; default: terms/ and the day.", show_default=False)
    ] = None,
) -> None:
    """Begin a new term.

    Moves away what the last class has left: submissions, grades, feedback, the gradebook, seeds, what was released,
    withdrawn and changed. Notebooks, checks, settings, models and data stay.

    Example: course term new
    """
    from ..term import new_term

    tree = instructor_tree(context)
    if action != "new":
        raise WrongUsage(f"course term {action}: there is only `course term new`.")
    folder, moved = new_term(tree, to.expanduser() if to else None)
    print(f"Moved to {tree.shown(folder)}: {', '.join(moved)}")
    print("Delete that folder when its retention time ends. Next: course release UNIT")


def test(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two minutes: leave out the bank, classes, browsers and executed notebooks.")
    ] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="All generated cases, not the first of them: before a release.")
    ] = False,
    kill_matrix: Annotated[
        bool,
        typer.Option("--kill-matrix", help="Measure the checks on all known answers instead; takes hours, or:"),
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="With --kill-matrix: measure this exercise alone.")
    ] = None,
) -> None:
    """Run all tests.

    tests/, and cell by cell the executed notebooks in solutions/, by three processes. Further arguments go to pytest;
    what they pick (a file, or -k) is run by one process.

    Examples: course test --quick; course test tests/test_mmd.py -k tiles; course test --kill-matrix --only slerp
    """
    from ..run_tests import measure_checks, run_tests

    tree = instructor_tree(context)
    if not (tree.root / "tests").is_dir():
        raise WrongUsage(f"{tree.root} has no tests/: a course of your own is checked by `course check-course`.")
    if only and not kill_matrix:
        raise WrongUsage("--only goes with --kill-matrix; to run single tests use -k, or name their file.")
    if kill_matrix:
        raise typer.Exit(measure_checks(tree, only or []))
    raise typer.Exit(run_tests(tree, context.args, quick=quick, thorough=thorough))
