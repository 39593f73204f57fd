"""The check says when it judges a version that the student believes to have replaced, and when a cell has taken a name
that the notebook needs."""

from __future__ import annotations

import IPython
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from course_utils import check
from course_utils.system.notebook import older_version, taken_names

RIGHT = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def shell(monkeypatch):
    """A shell of IPython's that is nobody else's and writes no history."""
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    return shell


def remark(shell, *cells, name="double"):
    for cell in cells:
        shell.run_cell(cell, store_history=True)
    return older_version(shell.user_ns.get("double"), name)


@pytest.mark.parametrize(
    "failed",
    [
        "def double(x)\n    return 3 * x\n",
        "def double(x):\n   return 3 * x\n     y\n",
        "import no_such_module\n\ndef double(x):\n    return 3 * x\n",
        "@missing\ndef double(x):\n    return 3 * x\n",
    ],
    ids=["syntax", "indentation", "import above", "decorator"],
)
def test_the_cell_that_should_have_replaced_it_failed(shell, failed, capsys):
    assert "has failed since (In [2]): this is about the version before it" in remark(shell, RIGHT, failed)
    assert remark(shell, "x = 1", RIGHT) == ""  # run again: nothing to say


@pytest.mark.parametrize(
    "cells",
    [
        (RIGHT,),
        (RIGHT, RIGHT),
        ("def double(x):\n    return 3 * x\n", RIGHT, "raise ValueError"),
        (RIGHT, "class Other:\n    def double(self):\n        raise ValueError\n"),
        (RIGHT, "def double_all(x):\n    return missing(\n"),
        (RIGHT, "double = abs"),
        ("double = lambda x: 2 * x", "1 / 0"),
        (RIGHT, "import functools\nold = double\ndouble = functools.wraps(old)(lambda x: old(x))"),
        ("import functools\n@functools.cache\ndef double(x):\n    return 2 * x\n",),
        ("import functools\nold = lambda f: functools.wraps(f)(lambda x: f(x))\n@old\ndef double(x):\n    return x\n",),
    ],
)
def test_what_was_run_last_needs_no_remark(shell, cells, capsys):
    assert remark(shell, *cells) == ""


def test_nothing_is_said_where_nobody_can_know(shell):
    assert older_version(abs, "abs") == older_version(None, "double") == older_version("text", "double") == ""
    shell.run_cell(RIGHT, store_history=True)
    namespace = {}
    exec("def double(x):\n    return x\n", namespace)
    assert older_version(namespace["double"], "double") == ""


def test_outside_of_ipython_nothing_is_said(monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert older_version(older_version, "older_version") == taken_names() == ""


@pytest.mark.parametrize(
    ("cells", "taken"),
    [
        (["from course_utils import metrics", "from sklearn import metrics"], ["metrics"]),
        (["from course_utils import (metrics,\n    plots)", "metrics = plots = 3"], ["metrics", "plots"]),
        (["from course_utils import metrics as m", "import numpy as m"], ["m"]),
        (["from course_utils import metrics, mmd", "%matplotlib inline", "1 +"], []),
        (["from course_utils import metrics", "from sklearn import metrics", "from course_utils import metrics"], []),
        (["from course_utils import metrics", "from sklearn import metrics as own", "device = models = data = 1"], []),
        (["from course_utils import metrics", "del metrics"], []),
    ],
)
def test_a_name_of_the_course_that_a_cell_took_is_said(shell, cells, taken, capsys):
    for cell in cells:
        shell.run_cell(cell, store_history=True)
    said = taken_names()
    assert bool(said) == bool(taken) and all(f"`{name}`" in said for name in taken), said
    assert str(check.interpolate(None).remark) == said
