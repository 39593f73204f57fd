"""Whose file is it? The shapes of the exports, by the rules by which each platform names folders and files:

Moodle       <name>_<participant>_assignsubmission_file_/..., or that before a file's name; blind: Participant_<number>
Canvas       <name>[_LATE]_<user>_<attachment>_<file>, anonymous: [LATE_]anon_<letters>_<attachment>_<file>
Gradescope   submission_<number>/..., with submission_metadata.yml, which says who and when
ILIAS        <last>_<first>_<login>_<number>/..., files perhaps with the time, or that they are late, before their names
Blackboard   <assignment>_<login>_attempt_<time>_<file>, and a receipt <assignment>_<login>_attempt_<time>.txt
Brightspace  <number>-<number> - <name> - <time>/...
else         folders named after students, however deep, or files named after them
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from course_utils.cli.handin import composed
from course_utils.system.spreadsheet import rows_of

from .archive import UNREADABLE, Entry
from .names import folded, is_junk

MOODLE, CANVAS, GRADESCOPE, ILIAS = "moodle", "canvas", "gradescope", "ilias"
BLACKBOARD, BRIGHTSPACE, PLAIN = "blackboard", "brightspace", ""

_MOODLE = re.compile(r"(?P<name>.*?)[_ ](?P<id>\d+)_assignsubmission_[a-z]+(?:_(?P<file>.*))?", re.S)
_PARTICIPANT = re.compile(r"(?P<name>participant|teilnehmer(?:/?in)?)[ _](?P<id>\d+)", re.I)
_CANVAS = re.compile(r"(?P<name>.*?)_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?P<attachment>\d+)_(?P<file>.+)", re.I | re.S)
_CANVAS_TEXT = re.compile(r"(?P<name>.*?)_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?P<file>(?:text|link)\.html)", re.I | re.S)
_ANONYMOUS = re.compile(
    r"(?:(?P<late>LATE)_)?anon_(?:(?P<late2>LATE)_)?(?P<id>[A-Za-z0-9]+)_(?:(?P<late3>LATE)_)?"
    r"(?:(?P<attachment>\d+)_(?P<file>.+)|(?P<text>(?:text|link)\.html))",
    re.S,
)
_GRADESCOPE = re.compile(r"submission_(\d+)")
_ILIAS = re.compile(r"(?P<last>[^_]+)_(?P<first>[^_]+)_(?P<login>.+)_(?P<id>\d+)")
_ILIAS_LATE = re.compile(r"(?:late submission|versp(?:ä|ae)tete abgabe) - (?P<file>.+)", re.S | re.I)
_ILIAS_TIME = re.compile(r"(?P<time>20\d{12})_(?P<file>.+)", re.S)
_ATTEMPT = re.compile(r"_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)\Z", re.S)
_BRIGHTSPACE_TIME = r"(?:[^\W\d]+\.? \d{1,2}|\d{1,2} [^\W\d]+\.?),? \d{4},? \d{1,2}[-:.]?\d{2} ?(?:[AP]M)?"
_BRIGHTSPACE = [  # with the time first: names hold hyphens, too
    re.compile(rf"(?P<id>\d+)-(?P<folder>\d+) ?- ?(?P<name>.+?){time}(?: ?- ?(?P<file>.+))?", re.S)
    for time in (rf" ?- ?(?P<time>{_BRIGHTSPACE_TIME})", "(?P<time>)")
]
_BRIGHTSPACE_TIMES = ("%b %d %Y %I%M %p", "%B %d %Y %I%M %p", "%d %b %Y %H%M", "%d %B %Y %H%M", "%b %d %Y %H%M")
_NOT_A_PERSON = re.compile(  # folders that people make within what they hand in
    r"(hw|homework|assignment|submissions?|submitted|notebooks?|src|code|work|solutions?|exercises?|abgaben?|aufgaben?|"
    r"(ü|ue)bung(en)?|blatt|unit|week|task|lab|old|new|backup|attempts?|version|v|final|data|runs|models?|files?)"
    r"[ _.\-\d]*",
    re.I,
)
_VERSION = re.compile(r"(?:version|attempt|versuch|submission|abgabe)[ _.#\-]*(\d{1,6})", re.I)
_NOTEBOOKS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".json", ".zip", ".tar.gz", ".tgz", ".tar")


_FILE = PurePosixPath("file")


@dataclass(frozen=True)
class Place:
    """What the place of a file says about it.

    ``id`` is the platform's for the person; ``order`` grows with each handing in, as far as the platform tells;
    ``file`` is the path within what the person handed in. ``time`` is the platform's; ``as_exported`` the full name.
    """

    platform: str
    name: str
    id: str = ""
    file: PurePosixPath = _FILE
    order: tuple[float, ...] = ()
    attachment: str = ""
    late: bool = False
    time: datetime | None = None
    as_exported: str = ""

    @property
    def person(self) -> tuple[str, str, str]:
        """Equal for the files of one person of this export, and different for two."""
        return self.platform, self.id, "" if self.id and self.platform != MOODLE else composed(self.name)


@dataclass
class Found:
    """The files of an export with their places; ``others`` belong to nobody, with the reason."""

    files: list[tuple[Entry, Place]] = field(default_factory=list)
    others: list[tuple[Entry, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_places(entries: list[Entry], unit: str, is_of_unit: Callable[[Entry], bool]) -> Found:
    """Tell whose each file is. Nothing is dropped: each entry is in ``files`` or in ``others``.

    Where files lie together that may be one person's or several people's, ``is_of_unit`` decides.
    """
    found, rest = Found(), []
    metadata = _gradescope_metadata(entries, found)
    authors = _blackboard_authors(entries)
    times = _moodle_times(entries, found)
    for entry in entries:
        if metadata is not None and _is_gradescopes_listing(entry):
            continue
        if times and entry.path in times["listings"]:
            continue
        place = _moodle(entry, times) or _brightspace(entry) or _blackboard(entry, authors)
        if place is None and metadata is not None:
            place = _gradescope(entry, metadata, found)
        if place is None:
            rest.append(entry)
        else:
            found.files.append((entry, place))
    rest = _most(rest, found, _canvas_places)
    rest = _most(rest, found, _ilias_places)
    _plain(rest, found, unit, is_of_unit)
    return found


def empty_folders(folders: Iterable[PurePosixPath], found: Found) -> list[PurePosixPath]:
    """The folders that lie beside those of people, and in which nobody has handed in anything."""
    paths = [entry.path for entry, _ in [*found.files, *found.others]]
    held = {parent for path in paths for parent in path.parents}
    theirs = {entry.path.parts[: -len(place.file.parts)] for entry, place in found.files}
    beside = {root[:-1] for root in theirs if root}
    return sorted(
        folder
        for folder in folders
        if folder.parts and folder not in held and folder.parts[:-1] in beside and not is_junk(folder / "file")
    )


def _most(entries: list[Entry], found: Found, places_of: Any) -> list[Entry]:
    """Take a shape that is told from names alone only where most of the files have it; returns the others."""
    places = places_of(entries)
    if len(places) * 2 < len(entries):
        return entries
    found.files += [(entry, places[entry.path]) for entry in entries if entry.path in places]
    return [entry for entry in entries if entry.path not in places]


def _moodle(entry: Entry, times: dict[str, Any]) -> Place | None:
    parts = entry.path.parts
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        match = _MOODLE.fullmatch(part) or (None if last else _PARTICIPANT.fullmatch(part))
        if not match:
            continue
        rest = match.groupdict().get("file") or ""
        inner = parts[index + 1 :] or (rest or part,)
        time = times.get("by_id", {}).get(match["id"])
        return Place(MOODLE, match["name"].replace("_", " "), match["id"], PurePosixPath(*inner), time=time)
    return None


def _canvas_places(entries: list[Entry]) -> dict[PurePosixPath, Place]:
    places = {}
    for entry in entries:
        name = entry.path.name
        match = _ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name) or _CANVAS_TEXT.fullmatch(name)
        if match is None:
            continue
        given = match.groupdict()
        attachment = given.get("attachment") or ""
        file, suffix = PurePosixPath(given.get("file") or given["text"]), 0
        if again := re.fullmatch(r"(.+)-(\d{1,3})", file.stem, re.S):
            suffix = int(again[2])
        places[entry.path] = Place(
            CANVAS,
            given.get("name") or "anon",
            given["id"],
            file,
            (suffix, int(attachment or 0)),
            attachment,
            any(given.get(late) for late in ("late", "late2", "late3")),
            as_exported=name,
        )
    folders = {path.parent for path in places}
    return places if len(folders) == 1 else {}  # Canvas makes no folders


def _ilias_places(entries: list[Entry]) -> dict[PurePosixPath, Place]:
    places = {}
    levels = zip(*(entry.path.parts[:-1] for entry in entries), strict=False)
    around = sum(1 for _ in itertools.takewhile(lambda parts: len(set(parts)) == 1, levels))
    for entry in entries:
        named = [(i, found) for i, part in enumerate(entry.path.parts[:-1]) if (found := _ILIAS.fullmatch(part))]
        if named:  # a folder around everything may have such a name, too
            index, match = next((one for one in named if one[0] >= around), named[-1])
            inner = PurePosixPath(*entry.path.parts[index + 1 :])
            late = _ILIAS_LATE.fullmatch(unicodedata.normalize("NFC", inner.name))
            inner = inner.with_name(late["file"]) if late else inner
            name = f"{match['first']} {match['last']}"
            places[entry.path] = Place(ILIAS, name, match["id"], inner, late=bool(late))
    # A student may give a file such a name: the platform did it only where all files have it.
    matches = {path: _ILIAS_TIME.fullmatch(place.file.name) for path, place in places.items()}
    stamped = {path: match for path, match in matches.items() if match}
    if len({place.id for place in places.values()}) > 1 and len(stamped) == len(places):
        for path, match in stamped.items():
            time = _local(match["time"], "%Y%m%d%H%M%S")
            places[path] = replace(
                places[path], file=places[path].file.with_name(match["file"]), time=time, order=_order(time)
            )
    return places


def _blackboard(entry: Entry, authors: dict[str, tuple[str, str]]) -> Place | None:
    match = _ATTEMPT.search(entry.path.name)
    if match is None:
        return None
    name, login = authors[entry.path.name[: match.start()]]
    time = _local(match["time"], "%Y-%m-%d-%H-%M-%S")
    file = PurePosixPath(match["file"] or "receipt.txt")
    return Place(BLACKBOARD, name or login, login, file, _order(time), time=time)


def _blackboard_authors(entries: Iterable[Entry]) -> dict[str, tuple[str, str]]:
    """Name and login by what stands before ``_attempt_``. Logins and assignments may both hold underscores: a receipt
    tells where one ends; else the last piece is the login, unless two people would be one by that."""
    heads = {name[: match.start()] for e in entries if (match := _ATTEMPT.search(name := e.path.name))}
    authors = _receipts(entries)
    assignments = {head.removesuffix(login) for head, (_, login) in authors.items()}
    if not assignments:
        shared = "".join(
            same[0] for same in itertools.takewhile(lambda at: len(set(at)) == 1, zip(*heads, strict=False))
        )
        last = Counter(head.rpartition("_")[2] for head in heads)
        if any(count > 1 for count in last.values()):
            assignments = {shared[: shared.rfind("_") + 1]}
    for head in heads - set(authors):
        logins = [head.removeprefix(start) for start in assignments if head.startswith(start)]
        authors[head] = "", min(logins, key=len, default=head.rpartition("_")[2])
    return authors


def _receipts(entries: Iterable[Entry]) -> dict[str, tuple[str, str]]:
    """Name and login by what stands before ``_attempt_``, from Blackboard's receipts: logins may hold underscores."""
    found = {}
    for entry in entries:
        match = _ATTEMPT.search(entry.path.name)
        if match is None or match["file"] or entry.size > 1_000_000:
            continue
        head = entry.path.name[: match.start()]
        try:
            line = entry.read()[:1000].decode("utf-8", "replace").strip().splitlines()[0]
        except (*UNREADABLE, IndexError):
            continue
        said = re.fullmatch(r"[^:]*:\s*(.*?)\s*\(([^()]+)\)\s*", line)
        if said and head.endswith(f"_{said[2]}"):
            found[head] = said[1], said[2]
    return found


def _brightspace(entry: Entry) -> Place | None:
    parts = entry.path.parts
    for index, part in enumerate(parts):
        match = next(filter(None, (form.fullmatch(part) for form in _BRIGHTSPACE)), None)
        last = index == len(parts) - 1
        if match is None or (last and not match["file"]):
            continue
        inner = parts[index + 1 :] or (match["file"],)
        name = match["name"] if last or not match["file"] else f"{match['name']} - {match['file']}"
        time = None
        words = re.sub(r"[-.,:]", "", match["time"] or "").replace("PM", " PM").replace("AM", " AM")
        for form in _BRIGHTSPACE_TIMES if words else ():
            time = time or _local(" ".join(words.split()), form)
        return Place(BRIGHTSPACE, name, match["id"], PurePosixPath(*inner), _order(time), time=time)
    return None


def _gradescope_metadata(entries: Iterable[Entry], found: Found) -> dict[str, Any] | None:
    """What submission_metadata.yml says by the folder's name; None when this is not Gradescope's."""
    folders = [part for entry in entries for part in entry.path.parts[:-1] if _GRADESCOPE.fullmatch(part)]
    listing = next((entry for entry in entries if _is_gradescopes_listing(entry)), None)
    if not folders:
        return None
    if listing is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(listing.read())
    except (*UNREADABLE, yaml.YAMLError, RecursionError) as error:
        found.notes.append(f"{listing.path.name} cannot be read ({type(error).__name__}): names are not known")
        return {}
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def _is_gradescopes_listing(entry: Entry) -> bool:
    """Gradescope's own, not one that a student has handed in."""
    *folders, name = entry.path.parts
    named = name in ("submission_metadata.yml", "submission_metadata.yaml")
    return named and not any(_GRADESCOPE.fullmatch(folder) for folder in folders)


def _gradescope(entry: Entry, metadata: dict[str, Any], found: Found) -> Place | None:
    for index, part in enumerate(entry.path.parts[:-1]):
        match = _GRADESCOPE.fullmatch(part)
        if match is None:
            continue
        said = metadata.get(part)
        said = {str(k).lstrip(":"): v for k, v in said.items()} if isinstance(said, dict) else {}
        people = said.get("submitters")
        people = [
            {str(k).lstrip(":"): str(v or "").strip() for k, v in person.items()}
            for person in (people if isinstance(people, list) else [])
            if isinstance(person, dict)
        ]
        time = said.get("created_at")
        if isinstance(time, datetime):
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        else:
            time = None
        first = people[0] if people else {}
        if len(people) > 1:
            group = ", ".join(person.get("name", "?") for person in people)
            note = f"{part} is of a group ({group}): collected for the first of them"
            found.notes += [note] if note not in found.notes else []
        known = first.get("sid") or first.get("email") or ""
        name = first.get("name") or known or part
        inner = PurePosixPath(*entry.path.parts[index + 1 :])
        return Place(GRADESCOPE, name, known or match[1], inner, (*_order(time), int(match[1])), match[1], time=time)
    return None


def _moodle_times(entries: Iterable[Entry], found: Found) -> dict[str, Any]:
    """Times of handing in from a grading worksheet that lies beside the folders of the export."""
    by_id: dict[str, datetime] = {}
    listings: set[PurePosixPath] = set()
    for entry in entries if any(_moodle(entry, {}) for entry in entries) else ():
        if entry.path.suffix.lower() != ".csv" or len(entry.path.parts) > 2 or _moodle(entry, {}):
            continue
        try:
            header, *lines = rows_of(entry.read())
        except (*UNREADABLE, csv.Error):
            continue
        rows = [dict(zip(header, line, strict=False)) for line in lines]
        if not rows or not {"Identifier", "Last modified (submission)"} <= set(header):
            continue
        listings.add(entry.path)
        for row in rows:
            number, text = re.sub(r"\D", "", row.get("Identifier", "")), row.get("Last modified (submission)", "")
            if number and (time := moodle_time(text)):
                by_id[number] = time
            elif number and text.strip(" -"):
                found.notes.append(f"{row['Identifier']}: the time {text!r} cannot be read")
    return {"by_id": by_id, "listings": listings} if listings else {}


def moodle_time(text: str) -> datetime | None:
    """A time as Moodle writes it in English, e.g. ``Saturday, 31 January 2026, 11:59 PM``, in this machine's zone."""
    for form in ("%A, %d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M", "%d %B %Y, %I:%M %p", "%Y-%m-%d %H:%M:%S"):
        if time := _local(" ".join(text.split()), form):
            return time
    return None


def _local(text: str, form: str) -> datetime | None:
    """A time without a zone is taken for this machine's: platforms write that of their site."""
    try:
        return datetime.strptime(text, form).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _order(time: datetime | None) -> tuple[float, ...]:
    return (time.timestamp() if time else 0.0,)


def _plain(entries: list[Entry], found: Found, unit: str, is_of_unit: Callable[[Entry], bool]) -> None:
    """Folders named after students, however deep, or files named after them."""
    work = [entry.path for entry in entries if entry.path.name.lower().endswith(_NOTEBOOKS)]

    def named_after_students(paths: list[PurePosixPath]) -> bool:
        if len(paths) < 2 or _one_persons([folded(_stem(path.name)) for path in paths], unit):
            return False
        return sum(is_of_unit(entry) for entry in entries if entry.path in paths) > 1

    roots = _student_folders(work, unit, named_after_students)
    platforms = bool(found.files)  # a platform's own export, with something beside what was handed in
    for entry in entries:
        parts = entry.path.parts
        root = next((parts[:n] for n in range(len(parts) - 1, 0, -1) if parts[:n] in roots), None)
        if root is not None:
            inner = PurePosixPath(*parts[len(root) :])
            found.files.append((entry, Place(PLAIN, _name_of(root, roots), file=inner, order=_version(inner))))
        elif entry.path not in work and (platforms or (len(parts) == 1 and roots)):
            if _plainly_of_the_platform(entry, found):
                continue
            found.others.append((entry, "it lies beside the submissions"))
        elif entry.path in work or len(parts) == 1:
            found.files.append((entry, Place(PLAIN, _stem(parts[-1]), file=PurePosixPath(parts[-1]))))
        else:
            # Nobody's by the places of the notebooks: a folder that holds none, or what lies beside the students'.
            depth = min((len(root) for root in roots), default=1)
            beside = any(root[: len(parts) - 1] == parts[:-1] for root in roots)
            if beside:
                found.others.append((entry, "no student can be told from its place"))
            else:
                root = parts[: min(depth, len(parts) - 1)]
                found.files.append((entry, Place(PLAIN, root[-1], file=PurePosixPath(*parts[len(root) :]))))


def _version(path: PurePosixPath) -> tuple[float, ...]:
    """Which handing in a file belongs to, where folders such as ``Version 2`` count them; () where none does."""
    numbers = [float(match[1]) for part in path.parts[:-1] if (match := _VERSION.fullmatch(part))]
    return tuple(numbers[:1])


def _plainly_of_the_platform(entry: Entry, found: Found) -> bool:
    """Brightspace's own list of what it exports."""
    return entry.path.name == "index.html" and any(place.platform == BRIGHTSPACE for _, place in found.files)


def _name_of(root: tuple[str, ...], roots: set[tuple[str, ...]]) -> str:
    """The folder's name; with those above it where another student's folder has the same."""
    same = [other for other in roots if folded(other[-1]) == folded(root[-1])]
    return root[-1] if len(same) == 1 else " ".join(root)


def _stem(name: str) -> str:
    for ending in sorted(_NOTEBOOKS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return PurePosixPath(name).stem


def _student_folders(
    work: list[PurePosixPath], unit: str, named_after_students: Callable[[list[PurePosixPath]], bool]
) -> set[tuple[str, ...]]:
    """The folders that stand for one student each, given the places of the files that may be notebooks."""
    direct: Counter[tuple[str, ...]] = Counter(path.parts[:-1] for path in work)
    below: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for folder in direct:
        for depth in range(len(folder)):
            below[folder[:depth]].add(folder[: depth + 1])

    def is_part(folder: tuple[str, ...]) -> bool:
        """A folder within somebody's work, by its name."""
        name = folded(folder[-1])
        number = unit[:2] if unit[:2].isdecimal() else unit
        return (
            name.startswith(folded(number) + "_")
            or name in (folded(unit), folded(number))
            or bool(_NOT_A_PERSON.fullmatch(folder[-1]))
        )

    def own(folder: tuple[str, ...]) -> bool:
        return bool(direct[folder]) or any(is_part(child) for child in below[folder])

    def descend(level: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
        students = {folder for folder in level if own(folder)}
        groups = [folder for folder in level if folder not in students]
        if len(level) == 1 and groups:  # a folder around everything
            return descend(sorted(below[level[0]]))
        if not students and groups and len({child[-1] for g in groups for child in below[g]}) > 1:
            pass
        else:
            single = {folder for folder in groups if len(below[folder]) == 1}
            students |= single
            groups = [folder for folder in groups if folder not in single]
        for folder in groups:
            students |= descend(sorted(below[folder]))
        return students

    top = sorted(below[()])
    if len(top) == 1 and not direct[()]:
        only = top[0]
        if (
            direct[only]
            and not below[only]
            and named_after_students([path for path in work if path.parent.parts == only])
        ):
            return set()  # files named after students, in a folder around them
        if is_part(only) and not direct[only]:
            return descend(sorted(below[only]))
    return descend(top) if top else set()


_COPY = re.compile(
    r"([ _\-.()\d]|copy|kopie|old|alt|backup|final|new|neu|draft|entwurf|done|fertig|submit(ted)?|submission|abgabe|"
    r"solutions?|l(ö|oe)sung|fixed|corrected|test|v(ersion)?)*",
    re.I,
)


def _one_persons(stems: list[str], unit: str) -> bool:
    """Whether files in one folder look like one person's: copies of each other, or named after what they are."""
    return any(
        (stem.startswith(folded(unit)) and _COPY.fullmatch(stem[len(folded(unit)) :]))
        or _NOT_A_PERSON.fullmatch(stem)
        or any(stem != other and stem.startswith(other) and _COPY.fullmatch(stem[len(other) :]) for other in stems)
        for stem in stems
    )
