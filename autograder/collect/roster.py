"""Who is who: the folder of each person, found again by what the platform gives, in submitted/.roster.json.

One record for each folder: ``name`` (for reading), ``platform`` and ``id`` (the platform's for the person), and in
``units`` what the export of each unit said: ``identifier`` (Moodle's participant, another one in each assignment),
``attachment`` and ``file`` (Canvas' names), ``late``, ``time`` and ``order``; ``left_out``: why nothing was collected.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from course_utils.cli.handin import composed, safe_text
from course_utils.system.tree import Tree
from course_utils.system.whole_file import write_whole

from .names import folded, safe_name
from .shapes import CANVAS, MOODLE, PLAIN, Place

ROSTER = ".roster.json"
_NOBODYS_NAME = re.compile(
    r"participante?|partecipante|deelnemer|teilnehmer\W?(in|innen)?|anon(ymous)?|anonym|student|hidden user", re.I
)
_MANY = 3

Record = dict[str, Any]


def read_roster(tree: Tree) -> dict[str, Record]:
    """What the platforms call each student, by folder, as far as exports told; rosters of before have no ``units``."""
    try:
        content = json.loads((tree.folder("submitted") / ROSTER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {
        folder: {
            **record,
            "name": str(record.get("name") or folder),
            **({"id": str(record["id"])} if record.get("id") else {}),
            "units": {unit: said for unit, said in _dictionary(record.get("units")).items() if isinstance(said, dict)},
        }
        for folder, record in _dictionary(content).items()
        if isinstance(record, dict)
    }


def write_roster(tree: Tree, roster: dict[str, Record]) -> None:
    """Keep the roster. A file that cannot be read as one is put aside first."""
    path = tree.folder("submitted") / ROSTER
    if path.is_file() and path.stat().st_size and not isinstance(_content(path), dict):
        path.replace(path.with_name(f"{ROSTER}.damaged"))
    write_whole(path, json.dumps(roster, indent=1, ensure_ascii=False, sort_keys=True))


def _content(path: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass
class _Known:
    """A record of the roster, and whether somebody of this export has it already."""

    folder: str
    record: Record
    taken: bool = False

    def said(self, unit: str) -> Record:
        return self.record["units"].get(unit, {})


def lasting(place: Place) -> bool:
    """Whether the platform's id of a person is the same in the next unit's export."""
    return bool(place.id) and place.platform != MOODLE and not (place.platform == CANVAS and place.name == "anon")


def find_folders(tree: Tree, unit: str, roster: dict[str, Record], people: list[Place]) -> tuple[list[str], list[str]]:
    """The folder of each of the people of one export, all different, and notes about what the export does not tell."""
    known = [_Known(folder, record) for folder, record in roster.items()]
    submitted = tree.folder("submitted")
    there = {path.name for path in submitted.iterdir()} if submitted.is_dir() else set()
    known += [
        _Known(name, {"name": name, "units": {}})
        for name in sorted(there - set(roster))
        if not name.startswith(".") and (submitted / name).is_dir() and not (submitted / name).is_symlink()
    ]
    names = Counter(composed(place.name) for place in people)
    folders: list[str | None] = [None] * len(people)
    notes: list[str] = []
    for matches in (_in_this_unit, _by_id):  # what is certain comes first
        for index, place in enumerate(people):
            if folders[index] is None and (hit := next((k for k in known if matches(k, place, unit)), None)):
                folders[index], hit.taken = hit.folder, True
    used = {folded(name) for name in there | set(roster)}
    for index, place in enumerate(people):
        if folders[index] is not None:
            continue
        name = composed(place.name)
        nobody = (
            not name or bool(_NOBODYS_NAME.fullmatch(name)) or (bool(place.id) and names[name] >= _MANY == len(people))
        )
        namesakes = [] if nobody else [k for k in known if name in (composed(k.record["name"]), k.folder)]
        fitting = [k for k in namesakes if not k.taken and _may_be(k, place, unit)]
        if len(namesakes) == len(fitting) == names[name] == 1:
            folders[index], fitting[0].taken = fitting[0].folder, True
            continue
        numbered = nobody or bool(namesakes) or names[name] > 1 or folded(safe_name(name)) in used
        folders[index] = _new_folder(place, numbered, used)
        if place.platform == MOODLE and fitting:
            notes.append(f"{folders[index]}: the export does not tell which {name} this is; the folder is new")
    return [folder or "" for folder in folders], notes


def _in_this_unit(known: _Known, place: Place, unit: str) -> bool:
    said = known.said(unit)
    same = bool(place.id) and said.get("platform") == place.platform and said.get("identifier") == place.id
    return same and not known.taken


def _by_id(known: _Known, place: Place, unit: str) -> bool:
    if known.taken or not place.id:
        return False
    record = known.record
    if lasting(place) and record.get("platform") == place.platform:
        return record.get("id") == place.id
    if composed(record["name"]) != composed(place.name):
        return False
    if not record.get("platform"):  # kept by an earlier version, which did not say whose id it is
        return record.get("id") == place.id
    units = record["units"].values()
    return any(said.get("platform") == place.platform and said.get("identifier") == place.id for said in units)


def _may_be(known: _Known, place: Place, unit: str) -> bool:
    """Whether one who has the name can be this person: not if the platform says two ids where one person has one."""
    said = known.said(unit)
    if place.id and said.get("platform") == place.platform and said.get("identifier") not in ("", None, place.id):
        return False
    record = known.record
    other_id = record.get("id", place.id) != place.id
    return not (lasting(place) and other_id and record.get("platform", place.platform) == place.platform)


def _new_folder(place: Place, numbered: bool, used: set[str]) -> str:
    base = safe_name(place.name) or place.platform or "student"
    suffix = safe_name(place.id)[:40]
    name = f"{base} {suffix}" if numbered and suffix else base
    count = 1
    while folded(name) in used:
        count += 1
        name = f"{base} {suffix} ({count})" if suffix else f"{base} ({count})"
    used.add(folded(name))
    return name


def register(roster: dict[str, Record], folder: str, unit: str, place: Place) -> None:
    """Enter who has which folder: before anything is written there, so that an interrupted run finds it again."""
    known = dict(roster.get(folder, {}).get("units", {}))
    who = Place(place.platform, place.name, place.id, attachment=place.attachment, as_exported=place.as_exported)
    remember(roster, folder, unit, who, late=False)  # Canvas takes a page back by its attachment, collected or not
    if unit in known:
        roster[folder]["units"][unit] = known[unit]


def note_left_out(roster: dict[str, Record], folder: str, unit: str, reason: str) -> None:
    """Enter why nothing was collected of somebody who is in the export: grading tells it where there is no notebook."""
    roster[folder]["units"].setdefault(unit, {})["left_out"] = safe_text(reason)


def remember(roster: dict[str, Record], folder: str, unit: str, place: Place, late: bool) -> None:
    """Enter what the export of a unit said about one person."""
    old = roster.get(folder, {"units": {}})
    record = {**old, "name": composed(place.name)}
    if place.platform != PLAIN and (lasting(place) or not old.get("platform") or old["platform"] == place.platform):
        record |= {"platform": place.platform, "id": place.id}
    said = {
        "platform": place.platform,
        "identifier": place.id,
        "attachment": place.attachment,
        "file": place.as_exported,
        "order": list(place.order),
        "late": late,
        "time": place.time.isoformat() if place.time else "",
    }
    record["units"] = {**old["units"], unit: {key: value for key, value in said.items() if value}}
    roster[folder] = record
