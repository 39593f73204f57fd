"""A check says when the cell of its exercise has failed since, so that an earlier version is judged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

GOOD = "def elbo_beta(beta, num_pixels):\n    return beta * num_pixels"
OTHER = GOOD.replace("beta * num", "1.0 * beta * num")
CHECK = "from course_utils import check\n\ncheck.elbo_beta(elbo_beta, points=1)"
SYNTAX = "def elbo_beta(beta, num_pixels)\n    return beta"
RAISES = "import no_such_module_anywhere\n\n" + OTHER
WRAPPED = "import functools\nelbo_beta = functools.wraps(elbo_beta)(lambda *given: OLD(*given))"

# The cells that are run one after the other, and the number of the cell that the last check names, if any.
NOTEBOOKS = {
    "nothing failed": ([GOOD, CHECK], None),
    "written again": ([GOOD, CHECK, OTHER, CHECK], None),
    "no Python": ([GOOD, SYNTAX, CHECK], 2),
    "no Python, checked before": ([GOOD, CHECK, SYNTAX, CHECK], 3),
    "raises": ([GOOD, CHECK, RAISES, CHECK], 3),
    "mended": ([GOOD, SYNTAX, OTHER, CHECK], None),
    "the same again after a failure": ([GOOD, SYNTAX, GOOD, CHECK], None),
    "another cell fails": ([GOOD, CHECK, "1 / 0", CHECK], None),
    "another exercise fails": ([GOOD, CHECK, SYNTAX.replace("elbo_beta", "kl_divergence"), CHECK], None),
    "wrapped": ([GOOD, f"OLD = elbo_beta\n{WRAPPED}", CHECK], None),
    "from a module": (["from operator import mul as elbo_beta", CHECK], None),
    "never defined": ([SYNTAX, CHECK], None),
}
RUN = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell
from course_utils.checks.engine import stale

shell, said = InteractiveShell.instance(), {}
for name, cells in json.load(sys.stdin).items():
    shell.reset()
    stale._failed.clear()
    for cell in cells:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            shell.run_cell(cell, store_history=True)
    said[name] = printed.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What the last cell of each notebook prints."""
    given = json.dumps({name: cells for name, (cells, _) in NOTEBOOKS.items()})
    done = subprocess.run([sys.executable, "-c", RUN], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_only_where_its_cell_has_failed_since_the_check_says_that_an_earlier_version_is_judged(said, name):
    number = NOTEBOOKS[name][1]
    note = f"The cell that defines elbo_beta has failed since (In [{number}]): this is about the version before it."
    assert (note in said[name]) == (number is not None) and ("version before" in said[name]) == (number is not None)
