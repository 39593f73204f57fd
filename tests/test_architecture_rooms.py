"""docs/architecture.md is true: the imports obey its table of rooms, and what it names exists."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import course_utils

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("course_utils", "autograder")
MOST_ENTRIES = 10
FACADES = ("__init__.py", "check.py")


def _rooms() -> dict[str, set[str]]:
    """Room of course_utils -> the rooms that it may import, as the page says."""
    rows = re.findall(r"^\| `course_utils/(\w+)` \|.*\|(.*)\|$", PAGE, re.MULTILINE)
    names = {name for name, _ in rows}
    return {
        name: names - {name} if "every other room" in allowed else set(re.findall(r"`(\w+)`", allowed))
        for name, allowed in rows
    }


def _imports(path: Path) -> list[tuple[int, str]]:
    """(line, full name) of everything that a module imports, also inside functions and for type checkers."""
    package = path.relative_to(ROOT).parent.parts
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = [*above, *([node.module] if node.module else [])]
            found += [(node.lineno, ".".join([*base, alias.name])) for alias in node.names]
    return found


def _room_of(name: str) -> str | None:
    """The room of course_utils that an imported name leads to."""
    parts = name.split(".")
    if parts[0] != "course_utils" or len(parts) < 2:
        return None
    if parts[1] == "check":
        return "checks"
    return course_utils.HOMES.get(parts[1], parts[1])


def _arrows() -> dict[tuple[str, str], list[str]]:
    """(room, imported room) -> the lines that import it."""
    arrows = defaultdict(list)
    for room in _rooms():
        for path in sorted((ROOT / "course_utils" / room).rglob("*.py")):
            for line, name in _imports(path):
                other = _room_of(name)
                if other not in (None, room):
                    arrows[room, other].append(f"{path.relative_to(ROOT)}:{line}")
    return arrows


def test_the_page_lists_every_room_and_only_rooms():
    folders = {path.name for path in (ROOT / "course_utils").iterdir() if (path / "__init__.py").is_file()}
    assert set(_rooms()) == folders


def test_course_utils_shows_few_entries_and_no_flat_module():
    entries = sorted(path.name for path in (ROOT / "course_utils").iterdir() if path.name != "__pycache__")
    assert len(entries) <= MOST_ENTRIES, entries
    assert [name for name in entries if name.endswith(".py")] == sorted(FACADES)


def test_no_room_imports_one_that_the_page_does_not_allow():
    allowed = _rooms()
    wrong = {
        f"{room} imports {other}": lines for (room, other), lines in _arrows().items() if other not in allowed[room]
    }
    assert not wrong, "\n".join(f"{what}: {', '.join(lines)}" for what, lines in wrong.items())


def test_the_allowed_imports_go_down_a_tower():
    left, floors = _rooms(), []
    while left:
        floor = {room for room, below in left.items() if not below & set(left)}
        assert floor, f"the page allows a circle between {', '.join(sorted(left))}"
        floors.append(floor)
        left = {room: below for room, below in left.items() if room not in floor}
    assert floors[0] == {"system"} and floors[-1] == {"cli"}


@pytest.mark.parametrize(
    ("package", "forbidden"), [("course_utils", {"autograder", "tests"}), ("autograder", {"tests"})]
)
def test_nothing_imports_what_is_above_it(package, forbidden):
    own = {path.stem for path in (ROOT / "tests").iterdir() if not path.name.startswith(("__", "."))}
    forbidden = forbidden | own
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, name in _imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert not wrong, "\n".join(wrong)


def _named() -> list[str]:
    """Paths in the page, some with a function or class: `path`, `path/`, `path.py:name` or `path.py:Class.name`."""
    return sorted(set(re.findall(r"`([\w./-]+/[\w.-]*(?::[\w.]+)?|[\w-]+\.(?:py|toml|txt|md))`", PAGE)))


def test_the_page_names_enough():
    assert len(_named()) > 40, "the pattern no longer finds the paths"
    assert len(PAGE.splitlines()) <= 130


@pytest.mark.parametrize("named", _named())
def test_what_the_page_names_exists(named):
    path, _, name = named.partition(":")
    assert (ROOT / path).exists(), f"docs/architecture.md names {path}, which does not exist"
    if not name:
        return
    scope = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    for part in name.split("."):
        inside = {
            node.name: node.body
            for node in scope
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        assert part in inside, f"docs/architecture.md names {named}, but {path} has no {part}"
        scope = inside[part]


def test_a_law_is_two_hops_from_the_page():
    """architecture.md -> the exercise's file -> the law that refuses a wrong answer."""
    path = "course_utils/checks/exercises/kl_divergence.py"
    assert f"`{path}`" in PAGE
    laws = re.findall(r"^@CHECK\.law\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(laws) >= 5
