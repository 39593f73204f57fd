"""The instructor's commands, added to ``course`` through the entry-point group ``course.commands``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from course_utils.cli.handin import is_graded, require_graded, safe_text
from course_utils.cli.lab import MORE_CONFIG
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree, chosen_tree, find_tree

if TYPE_CHECKING:
    from .platforms import Exported

LAB_CONFIG = Path(__file__).parent / "lab_config"  # what an instructor's JupyterLab has more: the page of marking


def _complete_units(incomplete: str) -> list[str]:
    """The units of the course around the current folder, for the shell."""
    try:
        return [unit for unit in find_tree().units() if unit.startswith(incomplete)]
    except CourseError:
        return []


Units = Annotated[
    list[str] | None,
    typer.Argument(help="Units, e.g. 01 02; none means all.", show_default=False, autocompletion=_complete_units),
]
All = Annotated[bool, typer.Option("--all", help="All units.")]


def register(app: typer.Typer) -> None:
    """Add the instructor's commands to the ``course`` application."""
    if LAB_CONFIG not in MORE_CONFIG:
        MORE_CONFIG.append(LAB_CONFIG)
    for command in (
        release,
        solutions,
        text,
        collect,
        grade,
        check,
        mark,
        viva,
        feedback,
        report,
        withdraw,
        points,
        demo,
        hub,
    ):
        app.command()(command)
    app.command(name="new-exercise")(new_exercise)
    app.command(name="new")(new_course)
    app.command(name="new-unit")(new_unit)
    app.command(name="check-course")(check_course)
    app.command()(term)
    app.command(name="test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(test)


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
    from .gradable import plain_tests
    from .kit import build_kit
    from .publish import publish_kit, pull_link
    from .release import not_yet, read_sources, release_units, released_units, stale_units

    tree = _instructor_tree(context)
    chosen = _units(tree, units, all_units)
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
    kit = _shown(build_kit(tree), tree)
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
    from .release import workspace
    from .solutions import BUDGETS, solve_unit

    tree = _instructor_tree(context)
    if budget not in BUDGETS:
        raise WrongUsage(f"unknown budget {budget!r}: use {', '.join(BUDGETS)}.")
    with tempfile.TemporaryDirectory(dir=workspace(tree)) as runs:
        for unit in _units(tree, units, all_units):
            print(f"{unit}: running ...", flush=True)
            path, seconds = solve_unit(
                tree, unit, budget=budget, allow_fallback=allow_fallback, debug=context.obj["debug"], runs=Path(runs)
            )
            print(f"{unit}: {_shown(path, tree)}, {path.stat().st_size / 1e6:.2f} MB, {seconds:.0f} s")


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
    from .text import apply_text, write_text

    tree = _instructor_tree(context)
    unit = tree.unit(unit)
    if not apply:
        print(_shown(write_text(tree, unit), tree))
        return
    for change in apply_text(tree, unit) or ["nothing changed"]:
        print(f"{unit}: {change}")


def grade(
    context: typer.Context,
    units: Annotated[list[str] | None, typer.Argument(help="Units, e.g. 02.", show_default=False)] = None,
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
    from .batch import Options, begin
    from .sandbox.client import require_level

    tree = _instructor_tree(context)
    use_database(db)
    options = Options(jobs=jobs, cluster=cluster, force=force, unsafe=unsafe)
    options.workers()
    if not units and not all_units:
        raise WrongUsage("name a unit, or use --all. Example: course grade 02")
    if require is not None:
        require_level(require)
    wanted = _graded(tree, units, all_units)
    if wanted and not marks_only and not cluster:
        begin(options)  # while this process imports nbgrader

    from .grade import CHANGED, changed_texts, grade_unit
    from .grades_file import CRASHED, NEEDS_MARKING, TIMED_OUT
    from .submissions import is_trouble

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
        f"{_shown(tree.root / 'grades.csv', tree)}: {len(rows)} rows of this run, "
        f"{sum(row.status == NEEDS_MARKING for row in rows)} to be marked by hand."
    )
    for row in rows:
        if row.reason.endswith(CHANGED):
            _warn(f"changed after it was marked: {row.student}, {row.unit}, {row.exercise}")
            for line in changed_texts(tree, row):
                print(f"    {line}", file=sys.stderr)
    for row in rows:
        if row.status in (TIMED_OUT, CRASHED) and not row.undecided:
            _warn(f"{row.status}: {row.student}, {row.unit}, {row.exercise}: {row.reason}")
    unread = {(row.student, row.unit): row.reason for row in rows if is_trouble(row.unit, (row.status, row.reason))}
    for (name, unit), reason in unread.items():
        _warn(f"not graded: {name}, {unit}: {reason}")
    undecided = [row for row in rows if row.undecided]
    for row in undecided:
        _warn(f"undecided: {row.student}, {row.unit}, {row.exercise}: {row.reason}")
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
    from .replay import replay

    print(replay(_instructor_tree(context), exercise, file.expanduser(), law=law, seed=seed, unsafe=unsafe))


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
    from .marking.opening import open_marking

    tree = _instructor_tree(context)
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
    from .marking.viva import write_viva

    tree = _instructor_tree(context)
    written = write_viva(tree, tree.unit(unit), student, seed)
    print(f"{len(written)} page{'s' if len(written) != 1 else ''} in {_shown(written[0].parent, tree)}/")


def feedback(
    context: typer.Context,
    units: Annotated[list[str] | None, typer.Argument(help="Units, e.g. 02.", show_default=False)] = None,
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
    from .feedback import feedback_unit
    from .platforms import pack_feedback

    tree = _instructor_tree(context)
    _require_platform("--zip", packed)
    if not units and not all_units:
        raise WrongUsage("name a unit, or use --all. Example: course feedback 02")
    failed = 0
    for unit in _graded(tree, units, all_units):
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
            _print_exported(pack_feedback(tree, unit, packed, pages), packed, tree)
        for name, reason in troubles.items():
            _warn(f"no page: {name}, {unit}: {reason}")
        failed += len(troubles)
    if failed:
        raise typer.Exit(1)


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
    from .collect import collect as collect_from

    tree = _instructor_tree(context)
    name = tree.unit(unit)
    require_graded(tree, name)
    result = collect_from(tree, name, source.expanduser())
    print(
        f"{name}: {len(result.students)} submissions in {tree.folder_name('submitted')}/; "
        f"the export holds {result.submissions}, left out: {len(result.without)}."
    )
    for line in result.notes:
        _warn(f"note: {line}")
    for line in result.left_out:
        _warn(f"left out: {line}")
    if not result.complete:
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
    from .platforms import write_tables
    from .report import write_report

    tree = _instructor_tree(context)
    _require_platform("--csv", platform)
    if like is not None and not platform:
        raise WrongUsage("--like goes with --csv canvas or --csv moodle.")
    chosen = _units(tree, units, all_units)
    path = write_report(tree, tree.root / "report.html", chosen)
    print(f"Report: {_shown(path, tree)}")
    if platform:
        _print_exported(write_tables(tree, platform, chosen, like.expanduser() if like else None), platform, tree)


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
    from .grade import grade_unit
    from .withdraw import FULL, NONE, reinstate
    from .withdraw import withdraw as withdraw_exercise

    tree = _instructor_tree(context)
    name = tree.unit(unit)
    if undo + full + none != 1:
        raise WrongUsage("say --full or --none, or --undo. Example: course withdraw 02 vae_loss --full --why 'A typo.'")
    if undo:
        reinstate(tree, name, exercise, why)
        print(f"{name}: {exercise} counts again.")
    else:
        print(f"{name}: {exercise}: {withdraw_exercise(tree, name, exercise, FULL if full else NONE, why).reason}")
    rows = grade_unit(tree, name, run=False, debug=context.obj["debug"])
    print(f"{_shown(tree.root / 'grades.csv', tree)}: {len(rows)} rows written again.")


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
    from .points import set_points

    tree = _instructor_tree(context)
    name = tree.unit(unit)
    path, places = set_points(tree, name, exercise, worth)
    print(f"{_shown(path, tree)}: {exercise} is worth {worth:g} points ({', '.join(places)}).")
    print(f"Next: course release {name}; course grade {name}")


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
    from .demo import run_demo

    summary = run_demo(_instructor_tree(context), fresh=fresh, progress=lambda line: print(line, flush=True))
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

    from .hub import EXCHANGE, hub_files, write_files

    tree = _instructor_tree(context)
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
    from .new_exercise import new_exercise as write_skeletons

    tree = _instructor_tree(context)
    for path in write_skeletons(tree, tree.unit(unit), name, after):
        print(_shown(path, tree))


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
    from .own_course import new_course as write_course

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
    from .own_course import new_unit as write_unit

    tree = _instructor_tree(context)
    for path in write_unit(tree, name, exercise, with_check=check):
        print(_shown(path, tree))


def check_course(context: typer.Context, units: Units = None, all_units: All = False) -> None:
    """Check that the course can be taught as it stands.

    The release gate; every exercise by its own solution, which must get all points; and an untouched notebook, which
    must not. Writes nothing.

    Example: course check-course
    """
    from .check_course import check_course as find_faults

    tree = _instructor_tree(context)
    chosen = _units(tree, units, all_units)
    faults = find_faults(tree, chosen, progress=lambda line: print(line, flush=True))
    for fault in faults:
        _warn(fault)
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
    from .term import new_term

    tree = _instructor_tree(context)
    if action != "new":
        raise WrongUsage(f"course term {action}: there is only `course term new`.")
    folder, moved = new_term(tree, to.expanduser() if to else None)
    print(f"Moved to {_shown(folder, tree)}: {', '.join(moved)}")
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

    tests/, and cell by cell the executed notebooks in solutions/, by two processes. Further arguments go to pytest;
    what they pick (a file, or -k) is run by one process.

    Examples: course test --quick; course test tests/test_mmd.py -k tiles; course test --kill-matrix --only slerp
    """
    from .run_tests import measure_checks, run_tests

    tree = _instructor_tree(context)
    if not (tree.root / "tests").is_dir():
        raise WrongUsage(f"{tree.root} has no tests/: a course of your own is checked by `course check-course`.")
    if only and not kill_matrix:
        raise WrongUsage("--only goes with --kill-matrix; to run single tests use -k, or name their file.")
    if kill_matrix:
        raise typer.Exit(measure_checks(tree, only or []))
    raise typer.Exit(run_tests(tree, context.args, quick=quick, thorough=thorough))


def use_database(url: str | None) -> None:
    """Make the gradebook at `url` the one that this command uses."""
    if url is None:
        return
    import os

    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from .nbgrader_course import DATABASE

    try:
        make_url(url).get_dialect().import_dbapi()
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        hint = (
            "pip install -c constraints.txt -e '.[cluster]'"
            if url.startswith("postgres")
            else "see sqlalchemy's documentation of database URLs"
        )
        raise WrongUsage(f"--db {url!r} cannot be used ({error}): {hint}.") from None
    os.environ[DATABASE] = url


def _instructor_tree(context: typer.Context) -> Tree:
    from .own_course import refuse_foreign

    tree = chosen_tree(context.obj["root"])
    refuse_foreign(tree)
    if tree.is_kit:
        raise WrongUsage("this is a student kit; grading and releasing need the instructor's checkout.")
    return tree


def _units(tree: Tree, given: list[str] | None, all_units: bool) -> list[str]:
    if given and all_units:
        raise WrongUsage("name units or use --all, not both.")
    units = [tree.unit(name) for name in given] if given else tree.units()
    if not units:
        raise CourseError(f"{tree.source} holds no units.")
    return list(dict.fromkeys(units))


def _graded(tree: Tree, given: list[str] | None, all_units: bool) -> list[str]:
    """As ``_units``; of all units those in which something is graded. One that is named must be graded."""
    chosen = _units(tree, given, all_units)
    for unit in chosen if given else ():
        require_graded(tree, unit)
    return [unit for unit in chosen if is_graded(tree, unit)]


def _require_platform(option: str, platform: str | None) -> None:
    if platform not in (None, "canvas", "moodle"):
        raise WrongUsage(f"{option} {platform!r}: use canvas or moodle.")


def _print_exported(exported: Exported, platform: str, tree: Tree) -> None:
    for path in exported.files:
        print(f"For {platform}: {_shown(path, tree)}")
    for note in exported.notes:
        _warn(f"note: {note}")


def _warn(text: str) -> None:
    """One line on standard error, whatever is in the names and reasons."""
    print(f"course: {' '.join(safe_text(text).split())}", file=sys.stderr)


def _shown(path: Path, tree: Tree) -> str:
    return str(path.relative_to(tree.root)) if path.is_relative_to(tree.root) else str(path)
