"""The environment's settings: checked in one place, each value that exists named where another is given."""

from __future__ import annotations

import pytest

from course_utils.system import settings
from course_utils.system.errors import CourseError


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("COURSE_BUDGET", "nonsense", "expected one of quick, full, original"),
        ("COURSE_BUDGET", "Full", "expected one of quick, full, original"),
        ("COURSE_DATASET", "cifar", "expected one of auto, digits, mnist"),
        ("COURSE_DEVICE", "abacus", "cannot be used here"),
        ("COURSE_DATA", "/nowhere/at/all", "not a folder"),
        ("COURSE_DATA", "~/nowhere", "not a folder"),
        ("COURSE_RUNS", __file__, "not a folder"),
        ("COURSE_RUNS", "~nobody-of-this-name", "no such home folder"),
    ],
)
def test_nonsense_is_refused_naming_what_there_is(monkeypatch, variable, value, said):
    for name in settings.CHECKS:
        monkeypatch.delenv(name, raising=False)
    settings.check()
    monkeypatch.setenv(variable, value)
    with pytest.raises(CourseError, match=said):
        settings.check()


def test_empty_is_unset_and_the_home_folder_is_meant_by_its_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in settings.CHECKS:
        monkeypatch.setenv(name, "")
    settings.check()
    monkeypatch.setenv("COURSE_DATA", "~")
    assert settings.folder("COURSE_DATA") == tmp_path
    settings.check()


def test_the_data_sets_named_are_those_there_are():
    from course_utils import datasets

    assert ("auto", *datasets.NAMES) == settings.DATASETS
