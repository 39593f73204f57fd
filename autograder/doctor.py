"""What `course doctor` tells instructors: how far student code would be isolated on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from course_utils.cli.doctor import NOTE, OK, Finding
from course_utils.system.tree import Tree

from .sandbox.client import probe
from .sandbox.isolation import LANDLOCK, NAMESPACES

_WORDS = {
    NAMESPACES: "namespaces: student code is isolated",
    LANDLOCK: "Landlock: student code is isolated, with less (docs/grading.md says what)",
}


def isolation(tree: Tree) -> Iterator[Finding]:
    """Tries it, in the same way as grading does."""
    level = probe()
    if level in _WORDS:
        yield Finding("isolation", OK, _WORDS[level])
        return
    advice = (
        "`course grade` refuses here. Grade on Linux, in a virtual machine, or in a container started with "
        "--security-opt seccomp=unconfined; on Windows in WSL 2."
    )
    yield Finding("isolation", NOTE, f"none on this {sys.platform}: student code would run as you", advice)
