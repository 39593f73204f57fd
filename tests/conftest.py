"""Fixtures that all tests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from notebook_source import NotebookSource, read

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of genuine data sets beside the checkout; the test is skipped where there is none."""
    if not (SHARED_DATA / "MNIST" / "raw").is_dir():
        pytest.skip("the genuine data sets are not beside this checkout (../shared/data)")
    return SHARED_DATA


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


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from threads, and tests run beside each other."""
    torch.set_num_threads(1)
