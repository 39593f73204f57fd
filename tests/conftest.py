"""Fixtures that all tests share, the marks of the slow ones, and which worker runs what."""

from __future__ import annotations

import functools
import math
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lanes
import pytest
from notebook_source import NotebookSource, read

# Small tensors gain nothing from threads, and tests run beside each other. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
THREADS: dict[str, int] = {}  # of torch, when it was first there
DATA = os.environ.get("COURSE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background of a shell, which children inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the slow tests their marks; beside another worker, the longest come first."""
    for item in items:
        mark = lanes.mark_of(item.nodeid)
        if mark:
            item.add_marker(mark)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: lanes.turn_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """One group at a time goes to whichever worker is free, in the order of the items."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lanes.group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of genuine data sets: $COURSE_DATA, or ../shared/data beside the checkout; skips where none is."""
    if not (Path(DATA) / "MNIST" / "raw").is_dir():
        pytest.skip(f"the genuine data sets are not in {DATA} (set COURSE_DATA)")
    return Path(DATA)


@pytest.fixture(scope="session", autouse=True)
def alembic_is_asked_once() -> Iterator[None]:
    """nbgrader asks a process of its own, for two seconds, which version of the tables is its newest, at each database
    that it makes; the answer is the same for all."""
    import nbgrader.api

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nbgrader.api, "get_alembic_version", functools.cache(nbgrader.api.get_alembic_version))
        yield


@pytest.fixture(autouse=True)
def torch_keeps_its_threads() -> Iterator[None]:
    """A test that leaves torch more threads makes those after it several times dearer."""
    yield
    if "torch" in sys.modules:
        threads = sys.modules["torch"].get_num_threads()
        assert THREADS.setdefault("first", threads) == threads


@pytest.fixture(autouse=True)
def no_interrupt_just_before() -> None:
    """Tests interrupt trainings faster after one another than a person means to end them all."""
    if (epochs := sys.modules.get("course_utils.training.epochs")) is not None:
        epochs._interrupts[0] = -math.inf


@pytest.fixture(autouse=True)
def no_course_is_named() -> None:
    """The ``--root`` of a command that a test ran is no matter of the next one."""
    if (tree := sys.modules.get("course_utils.system.tree")) is not None:
        tree.named_root.set(None)


@pytest.fixture(autouse=True)
def nothing_unfinished() -> None:
    """What a test has interrupted is no matter of the next one's figures."""
    if (unfinished := sys.modules.get("course_utils.system.unfinished")) is not None:
        unfinished._FOUND.clear()


@pytest.fixture(scope="module")
def notebook(request: pytest.FixtureRequest) -> NotebookSource:
    """The source of the unit that the module of tests names in ``UNIT``."""
    return read(request.module.UNIT)


@pytest.fixture(scope="module")
def space(notebook: NotebookSource) -> dict:
    """What is defined in that unit without its experiments."""
    return notebook.space


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can reach; pytest's own folders are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="course-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def course(monkeypatch, capsys):
    """Run one command line on a tree; gives exit code, stdout and stderr."""
    from course_utils.cli import app as cli

    if not any(command.name == "test" for command in cli.app.registered_commands):
        cli.load_plugins()

    def run(tree, *arguments):
        monkeypatch.chdir(tree.root.parent)
        code = cli.run(["--root", str(tree.root), *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
