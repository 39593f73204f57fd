"""Format, lint and types are clean; the same three commands run before each commit (.pre-commit-config.yaml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("command", (["ruff", "check"], ["ruff", "format", "--check"]), ids=" ".join)
def test_form_is_clean(command):
    judge(command)


def test_types_are_clean():
    judge(["mypy"])


def judge(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}{done.stderr[-2000:]}"


def test_the_same_commands_run_before_a_commit():
    import yaml

    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"], "nothing is fetched"
    entries = {hook["entry"].removeprefix("python -m ") for repo in hooks for hook in repo["hooks"]}
    assert {"ruff check", "ruff format", "mypy"} <= entries


def test_nothing_is_excused_wholesale():
    """A line that a tool must not judge names the rule and the reason."""
    blanket = ("# type: ignore\n", "# noqa\n", "# fmt: skip", "# fmt: off")
    found = [
        f"{path.relative_to(ROOT)}: {mark.strip()}"
        for folder in ("course_utils", "autograder", "benchmarks", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for mark in blanket
        if mark in path.read_text(encoding="utf-8")
    ]
    assert not found, "\n".join(found)
