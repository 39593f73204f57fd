"""``course.toml``: what a course of an instructor's own says about itself. A kit has the same in ``kit.json``."""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from .errors import CourseError

NAME = "course.toml"
KIT = "kit.json"


@dataclass(frozen=True)
class Dates:
    """When a unit is released and due, in this machine's time; None: no such day."""

    release: datetime | None = None
    due: datetime | None = None


@dataclass(frozen=True)
class OwnData:
    """The data set that notebooks load where they ask for none by name."""

    name: str = ""
    size: int | None = None  # pixels along a side
    grey: bool | None = None


@dataclass(frozen=True)
class CourseFile:
    """A course's settings; those of the course of the checkout where there is no ``course.toml``."""

    title: str = "Autoencoders and their latent spaces"
    id: str = ""  # names the course in gradebooks and kits; empty: the course of the checkout
    language: str = "en"
    units: tuple[str, ...] = ()  # in the order in which students do them; folders that are not listed follow
    answer_stub: str = ""  # what stands in the place of an answer; empty: the usual text
    code_stub: str = ""  # of a solution; @EXERCISE@ becomes the exercise's name
    dataset: OwnData = OwnData()
    calendar: dict[str, Dates] = field(default_factory=dict)  # by unit


def read(root: Path) -> CourseFile:
    """The settings of the course in ``root``. Raises CourseError that names what cannot be meant."""
    path = root / NAME
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return _of_kit(root)
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}). Correct it.") from error
    return parse(content, path)


def parse(content: dict[str, Any], path: Path) -> CourseFile:
    """Settings from what a TOML file says."""
    _known(content, CourseFile, "", path)
    found: dict[str, Any] = {}
    for name in ("title", "id", "language", "answer_stub", "code_stub"):
        if name in content:
            found[name] = _typed(content[name], str, name, path)
    if "units" in content:
        units = _typed(content["units"], list, "units", path)
        found["units"] = tuple(_typed(unit, str, "units", path) for unit in units)
        if len(set(units)) < len(units):
            raise CourseError(f"{path}: units names one twice. Name each once.")
    if "dataset" in content:
        table = _typed(content["dataset"], dict, "dataset", path)
        _known(table, OwnData, "dataset.", path)
        kinds: dict[str, type] = {"name": str, "size": int, "grey": bool}
        found["dataset"] = OwnData(**{key: _typed(value, kinds[key], key, path) for key, value in table.items()})
    calendar = _typed(content.get("calendar", {}), dict, "calendar", path)
    found["calendar"] = {unit: _dates(table, unit, path) for unit, table in calendar.items()}
    return CourseFile(**found)


def _dates(table: Any, unit: str, path: Path) -> Dates:
    _known(_typed(table, dict, f"calendar.{unit}", path), Dates, f"calendar.{unit}.", path)
    days = {key: _moment(value, key == "due", f"calendar.{unit}.{key}", path) for key, value in table.items()}
    if {"release", "due"} <= set(days) and days["due"] <= days["release"]:
        raise CourseError(f"{path}: {unit} is due before it is released. Correct the calendar.")
    return Dates(**days)


def _moment(value: Any, ends_the_day: bool, name: str, path: Path) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(23, 59) if ends_the_day else time())
    if not isinstance(value, datetime):
        raise CourseError(f"{path}: {name} is {value!r}; expected a day, 2027-04-26, or a time, 2027-04-26T18:00:00.")
    return value.astimezone()


def _known(table: dict[str, Any], of: type, before: str, path: Path) -> None:
    known = [each.name for each in fields(of)]
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {before}{near[0]}?" if near else f"There are {', '.join(known)}."
            raise CourseError(f"{path}: {before}{name} is no setting. {hint}")


def _typed(value: Any, kind: type, name: str, path: Path) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
        raise CourseError(f"{path}: {name} is {value!r}; expected {words[kind]}.")
    return value


def for_kit(course: CourseFile) -> dict[str, Any]:
    """What a kit's kit.json says of the course, under ``about``."""
    about = {key: value for key, value in asdict(course).items() if key in ("title", "id", "language")}
    dataset = {key: value for key, value in asdict(course.dataset).items() if value not in (None, "")}
    return about | {"units": list(course.units), "dataset": dataset}


def _of_kit(root: Path) -> CourseFile:
    try:
        about = json.loads((root / KIT).read_text(encoding="utf-8"))["about"]
        return parse(about, root / KIT)
    except (OSError, ValueError, KeyError, TypeError):
        return CourseFile()
