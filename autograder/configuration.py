"""What nbgrader_config.py may say. Settings mean for `course` what they mean for nbgrader; what cannot be obeyed, and
what is misspelt, is refused by name before anything is done."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbgrader import exchange, plugins
from nbgrader import preprocessors as nbgrader
from nbgrader.apps import NbGrader
from nbgrader.converters import Assign, Autograde, Feedback, GenerateAssignment, GenerateFeedback, GenerateSolution
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import default
from nbgrader.validator import Validator
from traitlets import HasTraits, TraitError, TraitType, import_item
from traitlets.config import Config, Configurable, LazyConfigValue

from course_utils.system.errors import CourseError
from course_utils.system.stubs import DELIMITERS
from course_utils.system.tree import FOLDERS, MARKER, Tree

from . import preprocessors as ours
from .collect.names import safe_name

Settings = dict[str, list[TraitType[Any, Any]]]  # of a class: of each setting what it may be
STRUCTURE = str(Path("{nbgrader_step}", "{student_id}", "{assignment_id}"))
TAKEN_NAMES = {"build", "data", "dist", "runs", "checks", "terms", "demo"}  # what else lies in a course's folder
# What each list of steps must have, and why.
NEEDED: dict[tuple[str, str], list[tuple[type, str]]] = {
    ("GenerateAssignment", "preprocessors"): [
        (nbgrader.ClearSolutions, "solutions would be published"),
        (nbgrader.ClearOutput, "outputs would be published"),
        (nbgrader.ClearHiddenTests, "hidden tests would be published"),
        (nbgrader.ClearMarkScheme, "mark schemes would be published"),
        (ours.SaveCells, "the gradebook would not follow a release in mid-term"),
    ],
    ("Autograde", "sanitize_preprocessors"): [
        (ours.RepairSubmission, "cells that students changed would count as they are")
    ],
    ("Autograde", "autograde_preprocessors"): [
        (ours.ExecuteSubmission, "submissions would not be run"),
        (ours.RequireVerdict, "whatever a test cell shows would be points"),
        (nbgrader.SaveAutoGrades, "scores would not be kept"),
        (ours.SettleGrades, "blank answers would wait for a marker"),
        (nbgrader.AssignLatePenalties, "who was late would not be told"),
    ],
    ("GenerateFeedback", "preprocessors"): [
        (ours.GetMarks, "the pages would show no points"),
        (ours.LeaveOutRubric, "mark schemes and hidden tests would be shown"),
    ],
}
# Steps that `course grade` has its own way of taking; all others are run as they are.
TAKEN = (
    ours.RepairSubmission,
    ours.ExecuteSubmission,
    nbgrader.CheckCellMetadata,
    nbgrader.AssignLatePenalties,
)


def check(config: Config, root: Path) -> None:
    """Raise CourseError, naming the setting and the mend, for what `course` cannot obey or nothing knows."""
    for fault in _faults(config, root):
        raise CourseError(f"{root / MARKER}: {fault}")
    for name in ("header", "footer"):
        given = config.get("IncludeHeaderFooter", {}).get(name)
        if given:
            path = root / given
            if not path.is_file():
                raise CourseError(f"{root / MARKER}: c.IncludeHeaderFooter.{name} is {given!r}: {path} is no file.")
            config.IncludeHeaderFooter[name] = str(path)  # wherever the command is typed


def _faults(config: Config, root: Path) -> Iterator[str]:
    classes = {name: dict(known) for name, known in _known_settings().items()}
    for (section, name), needed in NEEDED.items():
        for step in steps(config, section, name):
            _learn(classes.setdefault(step.__name__, {}), step)
        yield from _missing(config, section, name, needed)
    yield from _folders(config, root)
    for section, *names in DELIMITERS:
        begin, end = (config.get(section, {}).get(name, "the usual one") for name in names)
        if not all(isinstance(mark, str) and mark.strip() and "\n" not in mark for mark in (begin, end)):
            yield f"c.{section}.{names[0]} and {names[1]} are {begin!r} and {end!r}: each must be words in one line."
    for section in config:
        if section not in classes:
            near = difflib.get_close_matches(section, classes, n=1, cutoff=0.8)
            if near:
                yield f"c.{section} is no part of nbgrader or this course. Did you mean c.{near[0]}?"
            continue
        yield from _unknown(section, config[section], classes[section])


def _folders(config: Config, root: Path) -> Iterator[str]:
    given = config.get("CourseDirectory", {})
    if given.get("directory_structure", STRUCTURE) != STRUCTURE:
        yield (
            f"c.CourseDirectory.directory_structure is {given['directory_structure']!r}, and `course` keeps one folder "
            f"for each step, student and unit: {STRUCTURE!r}. Take the line out."
        )
    names: dict[str, str] = {}
    for step in FOLDERS:
        setting, known = f"{step}_directory", Tree(root).folder_name(step)
        name = given.get(setting, FOLDERS[step])
        if name != known:
            yield (
                f"c.CourseDirectory.{setting} is {name!r}, and {MARKER} of this course does not say so in plain words. "
                f"Write there: c.CourseDirectory.{setting} = {name!r}"
            )
        elif safe_name(name) != name or name in TAKEN_NAMES or name in names:
            why = (
                f"that is {names[name]}" if name in names else "expected the name of a folder in the course's, for this"
            )
            yield f"c.CourseDirectory.{setting} is {name!r}: {why}. Choose another one."
        names[name] = setting


def _missing(config: Config, section: str, name: str, needed: list[tuple[type, str]]) -> Iterator[str]:
    has = steps(config, section, name)
    for step, why in needed:
        if not any(issubclass(given, step) for given in has):
            yield (
                f"c.{section}.{name} lacks {step.__name__}{_whose(step)}: {why}. Keep the steps that are "
                f"there, and add yours with c.{section}.{name}.insert(...)."
            )
    for given in has:
        if section == "Autograde" and issubclass(given, nbgrader.Execute):
            yield f"c.{section}.{name} has {given.__name__}, which runs submissions unprotected. Take it out."


def _whose(step: type) -> str:
    """Of two steps with one name: which is meant."""
    return " of autograder.preprocessors" if step is ours.SaveCells else ""


def _unknown(section: str, given: Any, known: Settings) -> Iterator[str]:
    for name, value in given.items():
        if name in known and not isinstance(value, LazyConfigValue):
            reasons = [_why_not(trait, value) for trait in known[name]]
            if all(reasons):
                yield f"c.{section}.{name} is {value!r}: {reasons[0]}"
        if name in known or isinstance(value, Config):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        yield f"c.{section}.{name} is no setting.{hint}"


def _why_not(trait: TraitType[Any, Any], value: Any) -> str:
    """Why a setting cannot have a value; empty where it can."""
    try:
        trait._validate(HasTraits(), value)
    except TraitError as error:
        said = str(error)
        return f"{said[said.find('expected') :] if 'expected' in said else said}"
    return ""


def _learn(settings: Settings, of: type[Configurable]) -> None:
    for name, trait in of.class_traits(config=True).items():
        if trait not in settings.setdefault(name, []):
            settings[name].append(trait)


@lru_cache(maxsize=1)
def _known_settings() -> dict[str, Settings]:
    """The settings of each class of nbgrader and of this course, by its name, which several may share."""
    found: list[Any] = [*NbGrader().all_configurable_classes(), CourseDirectory, Validator, Assign, Autograde, Feedback]
    found += [GenerateAssignment, GenerateFeedback, GenerateSolution]
    for module in (nbgrader, ours, exchange, default, plugins):
        found += [each for each in vars(module).values() if inspect.isclass(each) and issubclass(each, Configurable)]
    settings: dict[str, Settings] = {}
    for each in (each for of in found for each in of.__mro__ if issubclass(each, Configurable)):
        _learn(settings.setdefault(each.__name__, {}), each)
    return settings


def steps(config: Config, section: str, name: str) -> list[Any]:
    """The steps of a list of the configuration. Raises CourseError for one that cannot be imported."""
    given = config.get(section, {}).get(name, [])
    if isinstance(given, LazyConfigValue):  # nbgrader's own list, changed
        given = given.get_value(getattr(import_item(f"nbgrader.converters.{section}"), name).default())
    found = []
    for step in given:
        try:
            found.append(import_item(step) if isinstance(step, str) else step)
        except (ImportError, ValueError) as error:
            raise CourseError(
                f"{MARKER}: c.{section}.{name} names {step!r}, which cannot be imported ({error})."
            ) from error
    return found


def own_steps(config: Config) -> tuple[list[type], list[type]]:
    """The steps that an instructor added to grading: those before a submission is run, and all that come after it."""
    sanitize = steps(config, "Autograde", "sanitize_preprocessors")
    autograde = steps(config, "Autograde", "autograde_preprocessors")
    at = next(index for index, step in enumerate(autograde) if issubclass(step, ours.ExecuteSubmission))
    before = [step for step in [*sanitize, *autograde[:at]] if step not in TAKEN]
    return before, [step for step in autograde[at:] if not issubclass(step, TAKEN)]


def digest_of(added: list[type], config: Config) -> str:
    """The text and the settings of steps that an instructor added: results hang on them."""
    told = []
    for step in added:
        try:
            text = inspect.getsource(step)
        except (OSError, TypeError):
            text = repr(step)
        told.append([step.__name__, text, json.dumps(config.get(step.__name__, {}), default=str, sort_keys=True)])
    return json.dumps(told)
