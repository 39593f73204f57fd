"""The ``course`` command. Students' commands are here; packages add more through the entry-point group
``course.commands`` (each entry point is called with the typer application).

Exit codes: 0 complete; 1 the work failed or could not be completed; 2 wrong usage; 130 stopped by Ctrl-C. Modules that
cost time (torch, nbgrader) are imported inside the commands, so that ``course --help`` answers at once.
"""

from __future__ import annotations

import errno
import io
import json
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer

from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree, chosen_tree, find_tree, named_root, tree_at

STOPPED = 130  # exit code after Ctrl-C, as shells have it

app = typer.Typer(
    name="course",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help=(
        "A course on autoencoders and their latent spaces.\n\n"
        "Units are named in full or by number: 02_variational_autoencoders, 02 or 2. Run from anywhere inside the "
        "course folder. Exit codes: 0 complete; 1 the work failed or a score could not be decided; 2 wrong usage."
    ),
)


def _print_version(wanted: bool) -> None:
    """The version, where the code is, and which course a command typed here works on."""
    if not wanted:
        return
    package = Path(__file__).resolve().parents[2]
    try:
        number = version("latent-space-course")
    except PackageNotFoundError:
        number = "of a folder"
    print(f"course {number}, from {package}")
    try:
        tree = find_tree()
        print(f"works here on {tree.root}{' (a student kit)' if tree.is_kit else ''}: {tree.about.title}")
    except CourseError as error:
        print(f"works here on nothing: {error}")
    raise typer.Exit()


@app.callback()
def _options(
    context: typer.Context,
    root: Annotated[Path | None, typer.Option(help="Course folder, if not the current one or above it.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log of nbgrader.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show version and course.")
    ] = False,
) -> None:
    context.obj = {"root": root, "debug": debug}
    named_root.set(tree_at(root).root if root is not None else None)


def current_tree(context: typer.Context) -> Tree:
    """The course tree that this invocation works on: ``--root``, else the one around the current folder."""
    return chosen_tree(context.obj["root"])


@app.command()
def lab(
    context: typer.Context,
    unit: Annotated[str | None, typer.Argument(help="Open this unit's notebook at once.")] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only start the server and print its address.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of the server.", min=1, max=65535)] = None,
) -> None:
    """Open the course in JupyterLab.

    Example: course lab 02
    """
    from .lab import open_lab

    tree = current_tree(context)
    raise typer.Exit(open_lab(tree, tree.unit(unit) if unit else None, browser=not no_browser, port=port))


@app.command()
def doctor(
    context: typer.Context,
    remove_unused: Annotated[
        bool, typer.Option("--remove-unused", help="Remove packages of kits that are gone; asks first.")
    ] = False,
) -> None:
    """Check this machine, and say what to do.

    Looks at Python, device, memory, disk, data sets, kernel, JupyterLab extensions and isolation. Exit
    code 1 when something necessary is missing.
    """
    if remove_unused:
        from .unused import remove_after_asking

        return remove_after_asking()
    from .doctor import diagnose, report

    findings = diagnose(current_tree(context))
    report(findings)
    if any(finding.level == "missing" for finding in findings):
        raise typer.Exit(1)


@app.command()
def data(
    action: Annotated[str, typer.Argument(help="list, fetch, or card.")] = "list",
    name: Annotated[str | None, typer.Argument(help="Data set to fetch or show, e.g. mnist.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="awa2: an archive or folder that you have already.")
    ] = None,
    size: Annotated[int, typer.Option(help="awa2: pixels along a side; 64 or 128.")] = 64,
    fit: Annotated[str, typer.Option(help="awa2: crop (central square) or pad (whole picture).")] = "crop",
    partial: Annotated[bool, typer.Option("--partial", help="awa2: also if classes or photos are missing.")] = False,
) -> None:
    """List the data sets, fetch one, or show what one is like.

    Pictures of your own have a name when they lie in data/NAME/ (a folder for each class) or data/NAME.csv.

    Examples: course data list; course data fetch mnist; course data card mnist
    """
    from .data_command import fetch_data, list_data, show_card

    if action == "list" and name is None:
        list_data()
    elif action == "fetch" and name is not None:
        fetch_data(name, source, size, fit, partial)
    elif action == "card" and name is not None:
        show_card(name)
    else:
        raise typer.BadParameter(
            "use `course data list`, `course data fetch NAME` or `course data card NAME`.", param_hint="ACTION"
        )


@app.command()
def train(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="ae, vae, mmd-ae, mmd-vae, infovae or wasserstein.")] = "vae",
    dataset: Annotated[str, typer.Option(help="A data set, see `course data list`.")] = "mnist",
    latent_dim: Annotated[int, typer.Option(help="Dimensions of the code.", min=1)] = 20,
    hidden_dim: Annotated[int, typer.Option(help="Width of the hidden layer, for 28x28 images.", min=1)] = 400,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    lr: Annotated[float, typer.Option(help="Adam's learning rate.", min=1e-12)] = 1e-3,
    beta: Annotated[float, typer.Option(help="Weight of the rate (vae, infovae); 1 is the ELBO.", min=0.0)] = 1.0,
    weight: Annotated[
        float | None, typer.Option(help="Of the MMD (default 100) or the critic's gap (default 3).", min=0.0)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; default: the best there is.")] = None,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 for mixed precision.")] = "float32",
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", help="On a CUDA device: replay whole steps from a CUDA graph.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: made from the settings.")] = None,
    log: Annotated[str | None, typer.Option(help="Log to tensorboard or wandb as well (no account needed).")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again where a run of this name exists.")] = False,
    likelihood: Annotated[str, typer.Option(help="Of a pixel: bernoulli, or gaussian (other nats).")] = "bernoulli",
    optimizer: Annotated[str, typer.Option(help="adam, adamw, radam, rmsprop or sgd.")] = "adam",
    schedule: Annotated[str, typer.Option(help="Of the learning rate: constant, cosine or linear.")] = "constant",
    validation: Annotated[float, typer.Option(help="Share of the training images to choose the best epoch on.")] = 0.0,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a lower validation loss.", min=1)
    ] = None,
    sampler: Annotated[str, typer.Option(help="Of samples.png: prior, axes, gaussian or mixture.")] = "prior",
    size: Annotated[int | None, typer.Option(help="Pixels along a side, for animals and folders.")] = None,
    seeds: Annotated[int, typer.Option(help="Train so many seeds, from --seed up, and print mean and interval.")] = 1,
    bandwidths: Annotated[
        str | None, typer.Option(help="Of the MMD's kernels, with commas; default: five, around the prior's distance.")
    ] = None,
    biased: Annotated[
        bool, typer.Option("--biased", help="The MMD with self-pairs, as the copied code has it.")
    ] = False,
    start_at_pca: Annotated[
        bool, typer.Option("--start-at-pca", help="Pictures: begin as PCA, which the networks correct (unit 06).")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Trainings at a time; default: one for each core.", min=1)] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a dask scheduler that trains the seeds.")] = None,
) -> None:
    """Train a model from the command line, and keep it in runs/train/.

    The same command goes on where an interrupted training stopped, and ends with the same weights.

    Example, with kernel, batches, epochs and learning rate of the AwA2 experiment: course train --model mmd-ae
    --dataset awa2 --latent-dim 128 --weight 2000 --bandwidths 90.51 --biased --epochs 50 --batch-size 64 --lr 1e-4
    """
    from course_utils.training import PRECISIONS

    from .train import command as train_command

    if precision not in PRECISIONS:
        raise typer.BadParameter(f"{precision!r}; expected one of {', '.join(PRECISIONS)}.", param_hint="--precision")
    _runs_of_the_tree(context)
    try:
        request = train_command.Request(
            train_command.recipe(
                model, latent_dim, hidden_dim, beta, weight, likelihood, bandwidths, biased, start_at_pca
            ),
            dataset,
            epochs,
            batch_size,
            lr,
            seed,
            device,
            precision,
            cuda_graph,
            name,
            log,
            fresh,
            optimizer,
            schedule,
            validation,
            patience,
            sampler,
            size,
        )
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    if seeds != 1 or cluster is not None:
        from .train.seeds import train_seeds

        train_seeds(request, seeds, jobs, cluster)
        return
    print(train_command.describe(train_command.train(request)))


runs_app = typer.Typer(
    help=(
        "List the models that are kept, compare, show, sample and remove them.\n\nA run is named unit/name, or name "
        "where only one unit has it. Examples: course runs; course runs show train/vae-mnist-z20-beta1-seed0"
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runs_app, name="runs")
RunName = Annotated[str, typer.Argument(metavar="RUN", help="unit/name, as `course runs` lists it.")]


@runs_app.callback(invoke_without_command=True)
def _runs(context: typer.Context) -> None:
    _runs_of_the_tree(context)
    if context.invoked_subcommand is None:
        from .runs_command import list_runs

        list_runs()


@runs_app.command("list")
def runs_list() -> None:
    """List every model with its data, epochs and test loss."""
    from .runs_command import list_runs

    list_runs()


@runs_app.command("show")
def runs_show(name: RunName) -> None:
    """Show settings, measures, the path of the weights and the line that loads them."""
    from .runs_command import show

    show(name)


@runs_app.command("compare")
def runs_compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN ...", help="Two or more runs.")],
) -> None:
    """Show the settings in which runs differ, and their measures side by side."""
    from .runs_command import compare

    compare(names)


@runs_app.command("remove")
def runs_remove(name: RunName, yes: Annotated[bool, typer.Option("--yes", help="Really remove it.")] = False) -> None:
    """Remove a model with its record, pictures and checkpoint."""
    from .runs_command import remove

    remove(name, sure=yes)


@runs_app.command("sample")
def runs_sample(
    name: RunName,
    sampler: Annotated[str, typer.Option(help="prior, axes, gaussian or mixture.")] = "prior",
    num: Annotated[int, typer.Option(help="Images.", min=1)] = 64,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .png or .npy file.")] = None,
) -> None:
    """Draw codes, decode them, and write the images."""
    from .runs_command import sample

    sample(name, sampler, num, seed, output)


def _runs_of_the_tree(context: typer.Context) -> None:
    """Runs are those of the course that this invocation works on, unless $COURSE_RUNS says otherwise."""
    import os

    if "COURSE_RUNS" not in os.environ:
        os.environ["COURSE_RUNS"] = str(current_tree(context).root / "runs")


@app.command()
def submit(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="The unit to hand in, e.g. 02.")],
    notebook: Annotated[Path | None, typer.Option(help="The notebook, if not at its usual place.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the zip; default: current.")] = None,
) -> None:
    """Check a notebook and pack it to hand in.

    Writes <unit>-submission.zip into the current folder, and says what is still unfinished.

    Example: course submit 02
    """
    from .submit import submit_unit

    tree = current_tree(context)
    submit_unit(tree, tree.unit(unit), notebook=notebook, folder=output or Path.cwd())


@app.command()
def update(
    context: typer.Context,
    kit: Annotated[Path, typer.Argument(help="The new kit: its zip, or the folder that it was unpacked to.")],
) -> None:
    """Bring a newer student kit into this one.

    New units and repairs come in; a notebook that you changed stays as it is, and the new version is put beside it.
    Models, guesses and answers are kept.

    Example: course update course-student-kit.zip
    """
    from .update import update_kit

    update_kit(current_tree(context), kit)


def load_plugins() -> None:
    """Add the commands of other packages, such as the autograder's, to the application."""
    for entry_point in sorted(entry_points(group="course.commands"), key=lambda each: each.name):
        try:
            register = entry_point.load()
        except ImportError:  # a student kit installed over an instructor's checkout: its commands are of other code
            continue
        register(app)


def explain(error: BaseException) -> str:
    """One line that says what went wrong and what to do, whatever the error."""
    if isinstance(error, CourseError):
        return str(error)
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            return "the disk is full, nothing was replaced. Free some space, then run this again."
        where = f"{error.filename}: " if getattr(error, "filename", None) else ""
        return f"{where}{error.strerror or error}. Check the path, its permissions and the network, then try again."
    if isinstance(error, json.JSONDecodeError):
        return f"a file is not valid JSON ({error}). Restore it from a copy, then run this again."
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name!r} is not installed. Run ./course (or `pip install -e .`) to install it."
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} (run `course --debug ...` for the details)"


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the console script ``course``."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    load_plugins()
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors become one line on stderr."""
    try:
        result = app(root_first(arguments), prog_name="course", standalone_mode=False)
        if result == STOPPED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        print("course: stopped; what was complete is kept.", file=sys.stderr)
        return STOPPED
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error, from whichever command-line library typer builds on
            return _usage_error(error)
        if isinstance(error, BrokenPipeError):
            return 1
        if "--debug" in arguments:
            raise
        print(f"course: {' '.join(explain(error).split())}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    finally:
        named_root.set(None)


def root_first(arguments: list[str]) -> list[str]:
    """``--root FOLDER`` may stand anywhere; it is an option of the command ``course`` itself."""
    before, after = list(arguments), []
    if "--" in before:
        at = before.index("--")
        before, after = before[:at], before[at:]
    for at, given in enumerate(before):
        if given.startswith("--root="):
            return [given, *before[:at], *before[at + 1 :], *after]
        if given == "--root" and at + 1 < len(before):
            return [*before[at : at + 2], *before[:at], *before[at + 2 :], *after]
    return [*before, *after]


def _usage_error(error: Any) -> int:
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message)
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "course"
    if "No such command" in message and context is not None:
        message += f" Commands: {', '.join(sorted(context.command.list_commands(context)))}."
    print(f"course: {' '.join(message.split())} Try `{path} --help`.", file=sys.stderr)
    return getattr(error, "exit_code", 2)


if __name__ == "__main__":
    main()
