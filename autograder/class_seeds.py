"""The seed of each unit of a class: the same code gets the same points for everybody, and when it is graded again.

It is drawn when the unit is first graded. Whoever knows it can foresee what the checks will draw, so it stays on this
machine: sandboxes get numbers that follow from it and do not give it away.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from course_utils.system.errors import CourseError
from course_utils.system.whole_file import write_whole

SEEDS = ".grading-seeds.json"


def class_seed(root: Path, unit: str) -> str:
    """The seed of this unit, drawn and kept if there is none yet. Raises CourseError when the file is damaged."""
    with _alone(root):
        seeds = read_seeds(root)
        if unit not in seeds:
            seeds[unit] = secrets.token_hex(32)
            write_whole(root / SEEDS, json.dumps(seeds, indent=1, sort_keys=True) + "\n", mode=0o600)
        return seeds[unit]


def read_seeds(root: Path) -> dict[str, str]:
    """The seeds by unit. Raises CourseError when the file is damaged."""
    path = root / SEEDS
    try:
        seeds = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError):
        seeds = None
    if not isinstance(seeds, dict) or not all(isinstance(seed, str) and seed for seed in seeds.values()):
        raise CourseError(
            f"{SEEDS} is damaged. Put it back from a backup, or delete it: units are then graded with other random "
            "numbers than before, so grade everybody again with --force."
        )
    return seeds


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """No other process draws a seed meanwhile."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows, where nothing is graded
        yield
        return
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
