"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of genuine data sets beside the checkout; the test is skipped where there is none."""
    if not (SHARED_DATA / "MNIST" / "raw").is_dir():
        pytest.skip("the genuine data sets are not beside this checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from threads, and tests run beside each other."""
    torch.set_num_threads(1)
