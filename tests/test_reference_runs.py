"""The stored tables, and the intervals drawn from them."""

from __future__ import annotations

import importlib.util
import math

import pytest
from miniature import CHECKOUT

from course_utils.metrics import reference_runs, scorecard
from course_utils.metrics.reference_runs import ReferenceRuns
from course_utils.system.errors import CourseError

STORED = sorted(path.stem for path in reference_runs.FOLDER.glob("*.csv"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_reference_runs", CHECKOUT / "benchmarks" / "reference_runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(**values) -> ReferenceRuns:
    return ReferenceRuns(
        "x",
        [
            {"model": model, "seed": seed, "mmd": value}
            for model, numbers in values.items()
            for seed, value in enumerate(numbers)
        ],
    )


def test_the_tables_are_there_for_every_unit_of_the_script(script):
    assert sorted(script.UNITS) == STORED


@pytest.mark.parametrize("unit", STORED)
def test_a_stored_table_is_what_the_script_would_make(unit, script):
    """The same models with the same settings, every seed, every number."""
    stored, plan = reference_runs.load(unit), script.UNITS[unit]
    assert stored.settings == {name: recipe.settings() for name, recipe in plan["models"].items()}
    assert {(row["model"], row["seed"]) for row in stored.rows} == {
        (n, s) for n in plan["models"] for s in script.seeds_of(plan)
    }
    assert all(stored.made_with[key] == plan[key] for key in ("epochs", "batch_size", "lr"))
    for row in stored.rows:
        assert scorecard.COLUMNS.keys() <= row.keys()
        assert math.isfinite(row["distortion"]) and row["seconds"] > 0, row


def test_the_band_is_the_prediction_interval_of_one_more_run():
    """t(2) = 4.3027; s = 1; sqrt(1 + 1/3)."""
    band = rows(vae=[1.0, 2.0, 3.0]).band("vae", "mmd")
    assert band == pytest.approx((2.0, 2.0 - 4.968, 2.0 + 4.968), abs=1e-3)
    assert band.holds(-2.9) and not band.holds(7.0)


def test_a_difference_is_paired_by_seed():
    """Both vary with the seed, their difference does not."""
    mean, low, high = rows(a=[1.0, 5.0, 9.0], b=[0.0, 4.0, 8.0]).difference("a", "b", "mmd")
    assert (mean, low, high) == pytest.approx((1.0, 1.0, 1.0))
    mean, low, high = rows(a=[1.0, 2.0, 3.0], b=[0.0, 0.0, 0.0]).difference("a", "b", "mmd")
    assert (mean, high - mean) == pytest.approx((2.0, 4.3027 / math.sqrt(3)), abs=1e-3)


def test_one_seed_or_a_number_without_meaning_has_no_interval():
    assert math.isnan(rows(a=[1.0]).band("a", "mmd").low)
    assert math.isnan(rows(a=[math.nan] * 3).band("a", "mmd").high)


def test_what_is_not_stored_is_told_with_what_is():
    with pytest.raises(CourseError, match="there are a"):
        rows(a=[1.0]).band("vae", "mmd")
    with pytest.raises(CourseError, match="there are model, seed, mmd"):
        rows(a=[1.0]).band("a", "sharpness")
    with pytest.raises(CourseError, match="stored are"):
        reference_runs.load("09_nothing")
