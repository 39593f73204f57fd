"""What a student should read stays open and short; what only draws, tabulates or asks is folded under a line that says
what it does."""

from __future__ import annotations

from statistics import median

import nbformat
import pytest

from tests.notebook_source import CHECKOUT

UNITS = sorted(path.name[:2] for path in (CHECKOUT / "notebooks").iterdir() if path.is_dir())
MOST_LINES, WIDEST = 12, 100


@pytest.fixture(params=[("notebooks", unit) for unit in UNITS] + [("release", unit) for unit in UNITS], ids="/".join)
def cells(request):
    folder, unit = request.param
    (path,) = (CHECKOUT / folder).glob(f"{unit}_*/*.ipynb")
    return [
        c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and "nbgrader" not in c.metadata
    ]


def test_an_open_cell_is_short_and_a_folded_one_says_what_it_does(cells):
    lengths = []
    for cell in cells:
        lines = cell.source.splitlines()
        if "raise NotImplementedError" in cell.source:
            continue  # the student's to write
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            assert lines[0].startswith("# ") and len(lines[0]) <= WIDEST, f"{cell.id}: {lines[0]}"
            lengths.append(0)
        else:
            assert len(lines) <= MOST_LINES, f"{cell.id} shows {len(lines)} lines"
            assert max(map(len, lines)) <= WIDEST, f"{cell.id} is {max(map(len, lines))} columns wide"
            lengths.append(len(lines))
    assert median(lengths) <= 6


def test_a_question_is_read_once(cells):
    asking = [cell for cell in cells if "predict" in cell.metadata.get("tags", [])]
    assert asking and all(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in asking)
