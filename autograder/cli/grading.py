"""From what was handed in to what students get back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from course_utils.cli.handin import require_graded
from course_utils.system.errors import WrongUsage

from .shared import (
    All,
    Named,
    Units,
    chosen_units,
    graded_units,
    instructor_tree,
    print_exported,
    require_named,
    require_platform,
    use_database,
    warn,
)


def collect(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="The unit, e.g. 02.")],
    source: Annotated[Path, typer.Argument(help="Folder or zip, as the platform exports it.")],
) -> None:
    """Bring in what a learning platform exported.

    Moodle, Canvas, Gradescope, ILIAS, Blackboard, Brightspace, or folders named after students. Writes
    submitted/<student>/<unit>/, and nothing anywhere else. The unit's notebook is told by its content. What is left
    out is listed with the reason; exit code 1 when something went wrong with somebody's submission.

    Example: course collect 02 ~/Downloads/submissions.zip
    """
    from ..collect import collect as collect_from

    tree = instructor_tree(context)
    name = tree.unit(unit)
    require_graded(tree, name)
    result = collect_from(tree, name, source.expanduser())
    print(
        f"{name}: {len(result.students)} submissions in {tree.folder_name('submitted')}/; "
        f"the export holds {result.submissions}, left out: {len(result.without)}."
    )
    for line in result.notes:
        warn(f"note: {line}")
    for line in result.left_out:
        warn(f"left out: {line}")
    if not result.complete:
        raise typer.Exit(1)


def grade(
    context: typer.Context,
    units: Named = None,
    all_units: All = False,
    student: Annotated[str | None, typer.Option(help="Only this student (folder name in submitted/).")] = None,
    marks_only: Annotated[
        bool, typer.Option("--marks-only", help="Run nothing: write out the gradebook again.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", help="Submissions at a time; default: one for each processor.", show_default=False
        ),
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a dask scheduler: its workers grade.")] = None,
    force: Annotated[
        bool, typer.Option("--force/--resume", help="Grade again what has not changed; default: only what has.")
    ] = False,
    db: Annotated[
        str | None, typer.Option(help="URL of the gradebook, e.g. postgresql://me@host/course; also $COURSE_DB.")
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Grade also where student code cannot be isolated: it runs as you.")
    ] = False,
    require: Annotated[
        str | None,
        typer.Option(
            help="Refuse below this level of isolation: namespaces or landlock (course doctor says which there is).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Grade what was handed in.

    Reads submitted/<student>/<unit>/<unit>.ipynb; writes the gradebook, grades.csv and grades.json. Student code
    runs isolated from this machine, several submissions at a time. What has not changed since it was graded is not
    run again; an interrupted run goes on where it stopped.
    Written answers wait for you in formgrader (course lab, menu Nbgrader); after marking them,
    `course grade UNIT --marks-only` brings the marks into grades.csv. Exit code 1 when an automatic score could not
    be decided, or something that was handed in could not be read as the unit's notebook; those are listed.

    Examples: course grade 02; course grade --all; course grade 02 --student ada
    """
    from ..batch import Options, begin
    from ..sandbox.client import require_level

    tree = instructor_tree(context)
    use_database(db)
    options = Options(jobs=jobs, cluster=cluster, force=force, unsafe=unsafe)
    options.workers()
    require_named(units, all_units, "grade")
    if require is not None:
        require_level(require)
    wanted = graded_units(tree, units, all_units)
    if wanted and not marks_only and not cluster:
        begin(options)  # while this process imports nbgrader

    from ..grade import CHANGED, changed_texts, grade_unit
    from ..grades_file import CRASHED, NEEDS_MARKING, TIMED_OUT
    from ..submissions import is_trouble

    rows = []
    for unit in wanted:
        print(f"{unit}:", flush=True)
        rows += grade_unit(
            tree,
            unit,
            student=student,
            run=not marks_only,
            debug=context.obj["debug"],
            progress=lambda line: print(f"  {line}", flush=True),
            options=options,
        )
    print(
        f"{tree.shown(tree.root / 'grades.csv')}: {len(rows)} rows of this run, "
        f"{sum(row.status == NEEDS_MARKING for row in rows)} to be marked by hand."
    )
    for row in rows:
        if row.reason.endswith(CHANGED):
            warn(f"changed after it was marked: {row.student}, {row.unit}, {row.exercise}")
            for line in changed_texts(tree, row):
                print(f"    {line}", file=sys.stderr)
    for row in rows:
        if row.status in (TIMED_OUT, CRASHED) and not row.undecided:
            warn(f"{row.status}: {row.student}, {row.unit}, {row.exercise}: {row.reason}")
    unread = {(row.student, row.unit): row.reason for row in rows if is_trouble(row.unit, (row.status, row.reason))}
    for (name, unit), reason in unread.items():
        warn(f"not graded: {name}, {unit}: {reason}")
    undecided = [row for row in rows if row.undecided]
    for row in undecided:
        warn(f"undecided: {row.student}, {row.unit}, {row.exercise}: {row.reason}")
    if undecided or unread:
        raise typer.Exit(1)


def check(
    context: typer.Context,
    exercise: Annotated[str, typer.Argument(help="The exercise, e.g. kl_divergence.")],
    file: Annotated[Path, typer.Argument(help="A submitted notebook.")],
    law: Annotated[str | None, typer.Option(help="Only this law, by its id; default: all.", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeat the run that has this seed; default: the class's.", show_default=False)
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Also where student code cannot be isolated: it runs as you.")
    ] = False,
) -> None:
    """Judge one exercise of a submission again.

    Repairs the notebook, runs it isolated and prints what the check says; writes nothing. Ids and seeds of laws stand
    in the feedback, below a broken law, and in grades.json.

    Example: course check kl_divergence --law by_hand --seed 123 submitted/ada/02_variational_autoencoders/*.ipynb
    """
    from ..replay import replay

    print(replay(instructor_tree(context), exercise, file.expanduser(), law=law, seed=seed, unsafe=unsafe))


def feedback(
    context: typer.Context,
    units: Named = None,
    all_units: All = False,
    student: Annotated[str | None, typer.Option(help="Only this student.")] = None,
    with_mark_scheme: Annotated[bool, typer.Option("--with-mark-scheme", help="Leave the mark schemes in.")] = False,
    packed: Annotated[
        str | None, typer.Option("--zip", help="Also pack the pages as this platform takes them: canvas or moodle.")
    ] = None,
) -> None:
    """Make the pages that students get back.

    One HTML page for each student of a graded unit, in feedback/<student>/<unit>/. For those whose submissions were
    collected from Moodle or Canvas, --zip writes feedback/<unit>-<platform>.zip.

    Examples: course feedback 02; course feedback 02 --zip moodle
    """
    from ..feedback import feedback_unit
    from ..grade import follow_dates
    from ..platforms import pack_feedback

    tree = instructor_tree(context)
    require_platform("--zip", packed)
    require_named(units, all_units, "feedback")
    failed = 0
    for unit in graded_units(tree, units, all_units):
        follow_dates(tree, unit)
        troubles: dict[str, str] = {}
        pages = feedback_unit(
            tree,
            unit,
            student=student,
            with_mark_scheme=with_mark_scheme,
            debug=context.obj["debug"],
            troubles=troubles,
        )
        print(f"{unit}: {len(pages)} page{'s' if len(pages) != 1 else ''} in feedback/")
        if packed:
            print_exported(pack_feedback(tree, unit, packed, pages), packed, tree)
        for name, reason in troubles.items():
            warn(f"no page: {name}, {unit}: {reason}")
        failed += len(troubles)
    if failed:
        raise typer.Exit(1)


def report(
    context: typer.Context,
    units: Units = None,
    all_units: All = False,
    platform: Annotated[
        str | None, typer.Option("--csv", help="Also write tables that this platform imports: canvas or moodle.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Canvas' exported gradebook or Moodle's worksheet, to take people and numbers from."),
    ] = None,
) -> None:
    """Make the page about a graded class.

    Writes report.html: points, misconceptions by number of students, repairs, failures, what is alike, and how
    submissions were isolated. It names students: keep it to yourself.

    --csv moodle writes the grading worksheet of each unit, --csv canvas one table for the gradebook, both with what
    students are told: marks, and less where a submission was late.

    Examples: course report; course report 02 --csv moodle; course report --csv canvas --like ~/Downloads/grades.csv
    """
    from ..grade import follow_dates
    from ..platforms import write_tables
    from ..report import write_report

    tree = instructor_tree(context)
    require_platform("--csv", platform)
    if like is not None and not platform:
        raise WrongUsage("--like goes with --csv canvas or --csv moodle.")
    chosen = chosen_units(tree, units, all_units)
    path = write_report(tree, tree.root / "report.html", chosen)
    print(f"Report: {tree.shown(path)}")
    if platform:
        for unit in chosen:
            follow_dates(tree, unit)
        print_exported(write_tables(tree, platform, chosen, like.expanduser() if like else None), platform, tree)


def withdraw(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="The unit, e.g. 02.")],
    exercise: Annotated[str, typer.Argument(help="The exercise or question, as in grades.csv.")],
    full: Annotated[bool, typer.Option("--full", help="Everybody who handed in has its points.")] = False,
    none: Annotated[bool, typer.Option("--none", help="It counts for nobody: worth 0 points.")] = False,
    why: Annotated[str, typer.Option(help="The reason; students read it.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Let it count again, as it was.")] = False,
) -> None:
    """Withdraw an exercise in mid-term, or undo that.

    Changes the gradebook and grades.csv at once. Marks, comments and scores are kept, and are there again after --undo.
    The log of changes stands in the report.

    Example: course withdraw 02 kl_divergence --full --why "The check refused a right answer."
    """
    from ..grade import grade_unit
    from ..withdraw import FULL, NONE, reinstate
    from ..withdraw import withdraw as withdraw_exercise

    tree = instructor_tree(context)
    name = tree.unit(unit)
    if undo + full + none != 1:
        raise WrongUsage("say --full or --none, or --undo. Example: course withdraw 02 vae_loss --full --why 'A typo.'")
    if undo:
        reinstate(tree, name, exercise, why)
        print(f"{name}: {exercise} counts again.")
    else:
        print(f"{name}: {exercise}: {withdraw_exercise(tree, name, exercise, FULL if full else NONE, why).reason}")
    rows = grade_unit(tree, name, run=False, debug=context.obj["debug"])
    print(f"{tree.shown(tree.root / 'grades.csv')}: {len(rows)} rows written again.")


def points(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="The unit, e.g. 02.")],
    exercise: Annotated[str, typer.Argument(help="The exercise or question, as in grades.csv.")],
    worth: Annotated[float, typer.Argument(metavar="POINTS", help="What it is to be worth.")],
) -> None:
    """Change what an exercise is worth.

    In every place of the source: the heading, nbgrader's points of the cell, and the call of the check. Then release
    the unit and grade it: scores follow, marks stay.

    Example: course points 02 kl_divergence 6
    """
    from ..points import set_points

    tree = instructor_tree(context)
    name = tree.unit(unit)
    path, places = set_points(tree, name, exercise, worth)
    print(f"{tree.shown(path)}: {exercise} is worth {worth:g} points ({', '.join(places)}).")
    print(f"Next: course release {name}; course grade {name}")
