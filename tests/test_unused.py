"""Environments in the cache folder that no kit uses: which those are, that they are named, and never removed unasked."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from test_install import make_course

from course_utils.cli import doctor, unused
from course_utils.system import machine
from course_utils.system.environment import KITS, Environment
from course_utils.system.errors import WrongUsage
from course_utils.system.tree import Tree


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_VENV", raising=False)
    monkeypatch.setattr(machine, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def kit_with_packages(root: Path, version: str) -> tuple[Path, Path]:
    """A kit with a list of its own, and the environment that it was started with; (kit, environment)."""
    kit = make_course(root, kit=True)
    (kit / "constraints.txt").write_text(f"iniconfig=={version}\n")
    environment = Environment(kit, is_kit=True)
    (environment.place / "lib").mkdir(parents=True)
    (environment.place / "lib" / "module.py").write_bytes(b"x" * 1000)
    environment._remember()
    return kit, environment.place


def found(cache) -> set[Path]:
    return {each.place for each in unused.unused()}


def test_an_environment_is_unused_when_every_kit_of_it_is_gone_or_has_another_list(cache, tmp_path):
    kit, place = kit_with_packages(tmp_path / "kit", "1")
    second = shutil.copytree(kit, tmp_path / "second")
    Environment(second, is_kit=True)._remember()
    other, others_place = kit_with_packages(tmp_path / "other", "2")
    assert found(cache) == set()
    shutil.rmtree(kit)
    assert found(cache) == set(), "the second kit uses it still"
    (second / "constraints.txt").write_text("iniconfig==3\n")  # a newer kit came into its folder
    assert found(cache) == {place}
    (other / ".venv").mkdir()
    assert found(cache) == {place, others_place}, "a kit that keeps its own packages uses no others"


def test_an_environment_of_before_the_list_belongs_to_the_kit_that_was_linked_last(cache, tmp_path):
    kit, place = kit_with_packages(tmp_path / "kit (ä)", "1")
    (place / KITS).unlink()
    record = place / "lib/python3.11/site-packages/latent_space_course-1.dist-info/direct_url.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"url": kit.as_uri()}))
    assert found(cache) == set()
    shutil.rmtree(kit)
    assert found(cache) == {place}


@pytest.mark.parametrize("content", ["{", "[]", "{}", "[1, null]", '["relative"]'])
def test_a_damaged_list_of_kits_is_an_empty_one(cache, tmp_path, content):
    kit, place = kit_with_packages(tmp_path / "kit", "1")
    (place / KITS).write_text(content)
    assert found(cache) == {place}
    Environment(kit, is_kit=True)._remember()
    assert found(cache) == set()


def test_what_runs_this_and_what_is_no_environment_is_never_listed(cache, tmp_path, monkeypatch):
    kit, place = kit_with_packages(tmp_path / "kit", "1")
    shutil.rmtree(kit)
    for name in ("thesis-py3", "0123456789abcdef.lock", "12345678-py3x"):
        (cache / name).mkdir()
    assert found(cache) == {place}
    monkeypatch.setattr(sys, "prefix", str(place))
    assert found(cache) == set()


def test_doctor_says_how_much_they_hold(cache, tmp_path):
    kit, place = kit_with_packages(tmp_path / "kit", "1")
    assert not list(doctor._unused(Tree(tmp_path)))
    shutil.rmtree(kit)
    (place / "lib" / "large.so").write_bytes(b"")
    with (place / "lib" / "large.so").open("r+b") as file:
        file.truncate(1_500_000_000)  # holds nothing, and says that it does
    (finding,) = doctor._unused(Tree(tmp_path))
    assert finding.level == "note" and f"1.5 GB in {place}" in finding.text and "--remove-unused" in finding.advice


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_removed_without_a_yes(cache, tmp_path, monkeypatch, capsys):
    kit, place = kit_with_packages(tmp_path / "kit", "1")
    used_kit, used_place = kit_with_packages(tmp_path / "used", "2")
    shutil.rmtree(kit)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(WrongUsage, match="in a terminal"):
        unused.remove_after_asking()
    for answer in ("", "n", "yes?"):
        monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
        unused.remove_after_asking()
        assert "Nothing was removed" in capsys.readouterr().out
    assert place.is_dir()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    unused.remove_after_asking()
    assert f"removed: {place}" in capsys.readouterr().out
    assert not place.exists() and used_place.is_dir() and used_kit.is_dir()
    unused.remove_after_asking()
    assert "Nothing to remove" in capsys.readouterr().out
