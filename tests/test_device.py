"""Devices, seeds and budgets."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from course_utils.system import device
from course_utils.system.errors import CourseError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("COURSE_DEVICE", "COURSE_BUDGET", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_names_the_device_and_an_argument_overrules_it(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "tpu-of-dreams")
    assert device.get_device("cpu") == torch.device("cpu")
    with pytest.raises(CourseError, match="'tpu-of-dreams' cannot be used here.*COURSE_DEVICE"):
        device.get_device()
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert device.get_device() == torch.device("cpu")


def test_an_empty_setting_is_no_setting(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "")
    monkeypatch.setenv("COURSE_BUDGET", "")
    assert device.get_device().type in ("cpu", "cuda", "mps")
    assert device.budget_name() == "full"


def test_a_device_that_is_not_there_is_one_clear_error():
    with pytest.raises(CourseError, match=r"'cuda:99' cannot be used here \(.+\)\. Use 'cpu'"):
        device.get_device("cuda:99")


def test_a_seed_fixes_python_numpy_and_torch():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    device.seed_everything(3)
    first = draw()
    device.seed_everything(3)
    assert draw() == first
    device.seed_everything(4)
    assert draw() != first


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", True, None])
def test_a_seed_is_a_whole_number_that_numpy_can_take(seed):
    with pytest.raises(ValueError, match="expected a whole number from 0 to 4294967295"):
        device.seed_everything(seed)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 15),
        ({"NBGRADER_EXECUTION": "validate"}, 1),
        ({"NBGRADER_EXECUTION": "autograde"}, 1),
        ({"COURSE_BUDGET": "original"}, 50),
        ({"COURSE_BUDGET": "full", "NBGRADER_EXECUTION": "autograde"}, 15),
    ],
)
def test_the_budget_follows_the_environment(monkeypatch, settings, expected):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert device.budget(quick=1, full=15, original=50) == expected


def test_an_unknown_budget_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "huge")
    with pytest.raises(CourseError, match="COURSE_BUDGET is 'huge'; expected one of quick, full, original"):
        device.budget(quick=1, full=2, original=3)


def test_random_state_is_kept_even_when_the_work_inside_fails():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    device.seed_everything(5)
    expected = draw()
    device.seed_everything(5)
    with pytest.raises(RuntimeError), device.random_state_kept():
        draw()
        raise RuntimeError
    assert draw() == expected


@pytest.mark.parametrize(("threads", "expected"), [(1, "cpu, 1 thread"), (2, "cpu, 2 threads")])
def test_the_cpu_is_described_with_its_threads(monkeypatch, threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert device.describe(torch.device("cpu")) == expected


@pytest.mark.parametrize("given", [None, "active"])
def test_threads_that_wait_sleep_unless_somebody_chose_otherwise(given):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    ask = "import course_utils, os, sys; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    found = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == (given or "passive")
