"""What students are given: release, solutions, a unit as text, a hub, and the demo."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from course_utils.system.errors import CourseError, WrongUsage

from .shared import All, Units, chosen_units, instructor_tree


def release(
    context: typer.Context,
    units: Units = None,
    all_units: All = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if release/ is not current.")] = False,
    repository: Annotated[
        str | None,
        typer.Option("--git", help="Also publish the kit: one more commit in this repository, a URL or folder."),
    ] = None,
    branch: Annotated[str, typer.Option(help="With --git: the branch.")] = "main",
    early: Annotated[
        bool, typer.Option("--early", help="Also a unit that gives answers of one that is not due yet.")
    ] = False,
) -> None:
    """Make the student version and the student kit.

    Writes release/<unit> and dist/course-student-kit.zip, which holds the units that you have released so far.
    Publishes nothing that contains a solution, a mark scheme or an output, and nothing that cannot be graded. With
    --git, whoever follows that branch with nbgitpuller or git loses nothing by it.

    Examples: course release; course release 02; course release 02 --git https://example.org/course-kit.git
    """
    from ..gradable import plain_tests
    from ..kit import build_kit
    from ..publish import publish_kit, pull_link
    from ..release import not_yet, read_sources, release_units, released_units, stale_units

    tree = instructor_tree(context)
    chosen = chosen_units(tree, units, all_units)
    if check and repository:
        raise WrongUsage("--check changes nothing, so it does not go with --git.")
    if check:
        stale = stale_units(tree, chosen)
        if stale:
            raise CourseError(f"release/ is not current for {', '.join(stale)}. Run `course release`.")
        print(f"release/ is current: {', '.join(chosen)}")
        return
    if not units and not all_units and not early:
        waiting = not_yet(tree, chosen)
        chosen = [unit for unit in chosen if unit not in waiting]
        if waiting:
            print(f"By the calendar not yet: {', '.join(waiting)}")
    release_units(tree, chosen, debug=context.obj["debug"], early=early)
    print(f"Released {', '.join(chosen)} to release/.")
    for unit in chosen:
        if plain := plain_tests(read_sources(tree, unit)):
            print(f"{unit}: {', '.join(plain)} run beside the student's code: less protected than a check.")
    kit = tree.shown(build_kit(tree))
    print(f"Student kit: {kit}, with what was released so far: {', '.join(released_units(tree))}")
    if repository:
        done = publish_kit(tree, repository, branch)
        news = f"commit {done.commit[:10]}; notebooks: {', '.join(done.notebooks) or 'as before'}"
        print(f"{repository}, branch {branch}: {news if done.is_new else 'has this kit already'}.")
        unit = chosen[-1] if chosen[-1] in released_units(tree) else released_units(tree)[-1]
        print(f"nbgitpuller: https://YOUR.HUB/{pull_link(repository, branch, unit)}")


def solutions(
    context: typer.Context,
    units: Units = None,
    all_units: All = False,
    budget: Annotated[str, typer.Option(help="How much to train: quick, full or original.")] = "full",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Accept the embedded digits for MNIST.")
    ] = False,
) -> None:
    """Execute the sources into solutions/.

    Runs each notebook from top to bottom without a time limit and keeps it with its figures. Units of one
    command share their models, so that 07 shows those of the units before it. An error,
    a fallback data set or a file of more than 2 MB fails and leaves the old file in place.

    Examples: course solutions 02; course solutions --budget quick --allow-fallback
    """
    from ..release import workspace
    from ..solutions import BUDGETS, solve_unit

    tree = instructor_tree(context)
    if budget not in BUDGETS:
        raise WrongUsage(f"unknown budget {budget!r}: use {', '.join(BUDGETS)}.")
    with tempfile.TemporaryDirectory(dir=workspace(tree)) as runs:
        for unit in chosen_units(tree, units, all_units):
            print(f"{unit}: running ...", flush=True)
            path, seconds = solve_unit(
                tree, unit, budget=budget, allow_fallback=allow_fallback, debug=context.obj["debug"], runs=Path(runs)
            )
            print(f"{unit}: {tree.shown(path)}, {path.stat().st_size / 1e6:.2f} MB, {seconds:.0f} s")


def text(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="A unit, e.g. 02.")],
    apply: Annotated[bool, typer.Option("--apply", help="Put the edited text back into the notebook.")] = False,
) -> None:
    """Write a unit's source as text, to read and edit.

    Writes build/text/<unit>.py, with a line for each cell that holds its id, tags and nbgrader's metadata. With
    --apply the text goes back into notebooks/<unit>; cells that were not edited stay as they are, byte for byte.

    Examples: course text 02; course text 02 --apply
    """
    from ..text import apply_text, write_text

    tree = instructor_tree(context)
    unit = tree.unit(unit)
    if not apply:
        print(tree.shown(write_text(tree, unit)))
        return
    for change in apply_text(tree, unit) or ["nothing changed"]:
        print(f"{unit}: {change}")


def demo(
    context: typer.Context,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: remove what an earlier demo left in demo/.")
    ] = False,
) -> None:
    """Grade a sample class, end to end.

    Releases the course, grades made-up students, writes feedback and grades: all in demo/. Nothing
    of your own is touched. Ends with the path of a summary page of the class.
    """
    from ..demo import run_demo

    summary = run_demo(instructor_tree(context), fresh=fresh, progress=lambda line: print(line, flush=True))
    print(f"Class summary: {summary}")
    print("To mark its written answers: course --root demo mark")


def hub(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Where to write the files; none means: print them.", show_default=False)
    ] = None,
    instructors: Annotated[
        list[str] | None,
        typer.Option("--instructor", help="Who grades, by name on the hub; may be repeated. Default: you."),
    ] = None,
    exchange: Annotated[
        Path | None,
        typer.Option(
            help="The exchange, a folder that everybody can write to; default: nbgrader's own.", show_default=False
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data sets for everybody.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there and differ.")] = False,
) -> None:
    """Write the settings of a JupyterHub.

    nbgrader's exchange and course id, panels for instructors and students, budget, memory and processors; the hub's own
    configuration loads them. docs/jupyterhub.md says the rest.

    Examples: course hub; course hub /srv/course-hub --instructor ada --data /srv/course-data
    """
    import getpass

    from ..hub import EXCHANGE, hub_files, write_files

    tree = instructor_tree(context)
    place = (folder or Path("/srv/course-hub")).expanduser().resolve()
    exchange = (exchange or EXCHANGE).expanduser().absolute()
    data = data and data.expanduser().absolute()
    files = hub_files(tree, place, instructors or [getpass.getuser()], exchange, data)
    if folder is None:
        for name, content in files.items():
            print(f"# ---- {place / name}\n{content}")
        return
    for name, what in write_files(files, place, overwrite).items():
        print(f"{what}: {place / name}")
    print("Formgrader: https://YOUR.HUB/hub/user-redirect/formgrader/manage_assignments")
    print(f"In the hub's jupyterhub_config.py: load_subconfig({str(place / 'jupyterhub_config.py')!r})")
