"""nbgrader's exchange, where students write what they like: collecting it and sending feedback back."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

import pytest
from miniature import make_tree
from traitlets.config import Config

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nbgrader has no exchange on Windows")

if sys.platform != "win32":
    from nbgrader.auth import Authenticator
    from nbgrader.exchange import ExchangeFactory

    from autograder.nbgrader_course import NbGraderCourse
    from autograder.submissions import SECRET, TIMESTAMP, carry
    from course_utils.system.tree import Tree

UNIT = "01_double"


class Exchange:
    """A course with an exchange, and what lies in it."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.tree = Tree(Path(shutil.copytree(template, folder / "course")))
        self.inbound = folder / "exchange" / "latent-spaces" / "inbound"
        self.inbound.mkdir(parents=True)
        self.inbound.parents[1].chmod(0o777)
        self.course = NbGraderCourse(self.tree)
        self.course.app.update_config(Config({"Exchange": {"root": str(folder / "exchange")}}))

    def hand_in(self, student: str, content: str, when: str = "2026-01-05 10:00:00.000000 UTC") -> Path:
        folder = self.inbound / f"{student}+{UNIT}+{when}+{os.urandom(4).hex()}"
        folder.mkdir()
        files = {f"{UNIT}.ipynb": content, TIMESTAMP: when, SECRET: f"{student} {when}"}
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder

    def _make(self, kind: str, **settings):
        config = self.course.app.config
        directory = self.course.directory(assignment_id=UNIT)
        factory = ExchangeFactory(config=config)
        plugin = getattr(factory, kind)(coursedir=directory, authenticator=Authenticator(config=config), config=config)
        for name, value in settings.items():
            setattr(plugin, name, value)
        self.log: list[str] = []
        for level in ("info", "warning", "error"):
            setattr(plugin.log, level, lambda text, *values: self.log.append(text % values))
        return plugin

    def collect(self, **settings) -> dict[str, str]:
        """What is in submitted/ after collecting, by student."""
        plugin = self._make("Collect", **settings)
        try:
            plugin.start()
        finally:
            del plugin.log.info, plugin.log.warning, plugin.log.error
        paths = (self.tree.root / "submitted").glob(f"*/{UNIT}/{UNIT}.ipynb")
        return {path.parts[-3]: path.read_text() for path in paths}

    def release_feedback(self) -> list[str]:
        plugin = self._make("ReleaseFeedback")
        try:
            plugin.start()
        finally:
            del plugin.log.info, plugin.log.warning, plugin.log.error
        return sorted(path.read_text() for path in (self.inbound.parent / "feedback").iterdir())


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A course with a gradebook."""
    tree = Tree(make_tree(tmp_path_factory.mktemp("template") / "course"))
    with NbGraderCourse(tree).gradebook():
        pass
    return tree.root


@pytest.fixture
def exchange(tmp_path, template):
    return Exchange(tmp_path, template)


def test_the_newest_of_each_student_is_collected_and_replaced_by_newer_ones_when_told(exchange):
    exchange.hand_in("ada", "first")
    exchange.hand_in("ada", "second", "2026-01-06 10:00:00.000000 UTC")
    exchange.hand_in("bob+b", "his")
    assert exchange.collect() == {"ada": "second", "bob+b": "his"}
    exchange.hand_in("ada", "third", "2026-01-07 10:00:00.000000 UTC")
    assert exchange.collect()["ada"] == "second"
    assert exchange.log[-1] == f"{UNIT}: 0 collected, 2 had already, 0 failed"
    assert exchange.collect(update=True)["ada"] == "third"
    assert exchange.log[-1] == f"{UNIT}: 1 collected, 1 had already, 0 failed"


def test_nothing_is_read_through_a_link_and_nothing_stops_the_others(exchange, tmp_path):
    gradebook = tmp_path / "gradebook"
    gradebook.mkdir()
    (gradebook / "grades").write_text("of everybody")
    eve = exchange.hand_in("eve", "her notebook")
    (eve / "data.txt").symlink_to(gradebook / "grades")
    (eve / "more").symlink_to(gradebook, target_is_directory=True)
    os.mkfifo(eve / "pipe")
    (eve / "own").mkdir()
    (eve / "own" / "helper.py").write_text("mine")
    (exchange.inbound / f"dan+{UNIT}+2026-01-05 10:00:00.000000 UTC+x").symlink_to(gradebook)
    (exchange.inbound / f"fay+{UNIT}+no time at all+x").mkdir()
    (exchange.inbound / f"..+{UNIT}+2026-01-05 10:00:00.000000 UTC+x").mkdir()
    (exchange.inbound / f"+{UNIT}+2026-01-05 10:00:00.000000 UTC+x").mkdir()
    (exchange.inbound / f"gil+{UNIT}+2026-01-05 10:00:00.000000 UTC+x").write_text("a file")
    exchange.hand_in("zoe", "hers")

    assert exchange.collect() == {"eve": "her notebook", "zoe": "hers"}
    submitted = exchange.tree.root / "submitted"
    names = {path.relative_to(submitted / "eve" / UNIT).as_posix() for path in (submitted / "eve").rglob("*.*")}
    assert names == {UNIT, f"{UNIT}.ipynb", TIMESTAMP, SECRET, "own/helper.py"} - {UNIT}
    assert not any("of everybody" in path.read_text() for path in submitted.rglob("*") if path.is_file())
    said = "\n".join(exchange.log)
    assert all(f"Not collected: {who}+" in said for who in ("dan", "fay", "", "gil"))
    assert all(f"Left out: {what} of eve" in said for what in ("data.txt", "pipe"))
    assert (exchange.tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb").stat().st_size > 100, "the source is untouched"


def test_what_cannot_be_taken_leaves_the_earlier_submission(exchange):
    exchange.hand_in("ada", "first")
    exchange.hand_in("bob", "his")
    exchange.collect()
    big = exchange.hand_in("ada", "second", "2026-01-06 10:00:00.000000 UTC")
    (big / "data.bin").write_bytes(bytes(200_000))
    exchange.hand_in("bob", "his second", "2026-01-06 10:00:00.000000 UTC")
    exchange.course.app.update_config(Config({"CourseDirectory": {"max_dir_size": 100}}))
    assert exchange.collect(update=True) == {"ada": "first", "bob": "his second"}
    assert exchange.log[-1] == f"{UNIT}: 1 collected, 0 had already, 1 failed"


def test_a_time_that_cannot_be_read_stops_nobody(exchange):
    exchange.hand_in("ada", "first")
    exchange.hand_in("bob", "his")
    exchange.collect()
    (exchange.tree.root / "submitted" / "ada" / UNIT / TIMESTAMP).write_text("yesterday, I think")
    assert exchange.collect(update=True) == {"ada": "first", "bob": "his"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give folders away")
def test_a_submission_in_somebody_elses_name_is_not_theirs(exchange):
    victim, other = pwd.getpwnam("daemon"), pwd.getpwnam("nobody")
    os.chown(exchange.hand_in("daemon", "true"), victim.pw_uid, victim.pw_gid)
    forged = exchange.hand_in("daemon", "forged", "2026-01-06 10:00:00.000000 UTC")
    os.chown(forged, other.pw_uid, other.pw_gid)
    assert exchange.collect() == {"daemon": "true"}
    assert "it belongs to user" in exchange.log[0]
    assert exchange.collect(update=True, check_owner=False) == {"daemon": "forged"}


def test_feedback_goes_to_those_of_the_exchange_whoever_else_there_is(exchange):
    for student, secret in (
        ("ada", b"her secret"),
        ("Lovelace, Bo", None),
        ("eve", b"\xff not text"),
        ("zoe", b"hers"),
    ):
        folder = exchange.tree.root / "feedback" / student / UNIT
        folder.mkdir(parents=True)
        (folder / f"{UNIT}.html").write_text(f"for {student}")
        (folder / f"{UNIT}.html").chmod(0o600)
        carry({} if secret is None else {SECRET: secret, TIMESTAMP: b"2026-01-05"}, folder)
    assert exchange.release_feedback() == ["for ada", "for eve", "for zoe"]
    assert "No feedback sent: Lovelace, Bo did not hand in through the exchange" in exchange.log
    pages = list((exchange.inbound.parent / "feedback").iterdir())
    assert all(page.stat().st_mode & 0o777 == 0o644 for page in pages), "students must be able to read their page"


def test_the_exchanges_files_of_an_earlier_submission_do_not_stay(tmp_path):
    carry({SECRET: b"s", TIMESTAMP: b"t", "other.txt": b"o"}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([SECRET, TIMESTAMP])
    carry({TIMESTAMP: b"t"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [TIMESTAMP]
