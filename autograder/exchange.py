"""nbgrader's exchange, where students can write: what `nbgrader collect` takes from it, and to whom feedback goes.

nbgrader_config.py puts these classes in the place of nbgrader's own, for its commands and formgrader alike. nbgrader's
own follow links that a student has laid in the exchange, with the instructor's rights, and one folder that cannot be
read, or one student who handed in by other ways, ends the whole run.
"""

from __future__ import annotations

import datetime
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseFeedback
from nbgrader.utils import notebook_hash

from course_utils.system.whole_file import write_whole

from .gradebook import read_timestamp
from .submissions import SECRET, exchange_files

MOST_FILES = 2000
_IGNORED = {".ipynb_checkpoints", "__pycache__", "runs", "feedback"}


class Collect(ExchangeCollect):
    """Brings the newest submission of each student from the exchange; one that cannot be taken stops no other."""

    src_records: list[dict[str, Any]]  # set by nbgrader's init_src

    def init_src(self) -> None:
        super().init_src()
        self.src_records = [record for record in self.src_records if record["username"] is not None]

    def _path_to_record(self, path: str) -> dict[str, Any]:
        name = os.path.basename(path)
        try:
            record = super()._path_to_record(path)
            problem = self._foreign(record["username"], path)
        except Exception:
            problem = "its name is not one that nbgrader gives"
        if problem:
            self.log.error("Not collected: %s (%s)", name, problem)
            return {"username": None, "filename": name, "timestamp": datetime.datetime.min}
        return record

    def _foreign(self, student: str, path: str) -> str:
        """Why a submission cannot be this student's; empty when nothing speaks against it."""
        if not student or student.startswith("."):
            return "that is no name of a student"
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            return "a link or a file, not a folder"
        try:
            account = pwd.getpwnam(student)
        except KeyError:  # a hub whose users have no accounts on this machine: nothing can be told
            return ""
        if self.check_owner and account.pw_uid != found.st_uid:
            return f"it belongs to user {found.st_uid}, not to {student}; CollectApp.check_owner = False takes it"
        return ""

    def copy_files(self) -> None:
        """Each student's newest; what is in submitted/ is replaced only by what was read whole."""
        course, unit = self.coursedir, self.coursedir.assignment_id
        counted = {"collected": 0, "had already": 0, "failed": 0}
        for record in self.src_records:
            student = record["username"]
            target = Path(course.format_path(course.submitted_directory, student, unit))
            if target.is_dir() and not self._replaces(record["timestamp"], read_timestamp(target)):
                counted["had already"] += 1
                continue
            try:
                files = self._read(Path(self.inbound_path) / record["filename"])
                _lay(files, target)
            except (OSError, ValueError, RecursionError) as error:
                self.log.error("Not collected: %s of %s (%s)", unit, student, error)
                counted["failed"] += 1
            else:
                self.log.info("Collected: %s of %s", unit, student)
                counted["collected"] += 1
        self.log.info("%s: %s", unit, ", ".join(f"{number} {what}" for what, number in counted.items()))

    def _replaces(self, new: datetime.datetime, old: datetime.datetime | None) -> bool:
        return bool((self.update and (old is None or new > old)) or (self.before_duedate and old != new))

    def _read(self, folder: Path) -> dict[str, bytes]:
        """Plain files of a submission. Every name is opened below a folder that is open already, and never through a
        link, so that nothing outside can be read in its place."""
        files: dict[str, bytes] = {}
        left = 1000 * self.coursedir.max_dir_size
        for path, folders, names, descriptor in os.fwalk(folder, onerror=self._unreadable, follow_symlinks=False):
            folders[:] = [name for name in folders if name not in _IGNORED]
            for name in names:
                shown = os.path.relpath(os.path.join(path, name), folder)
                try:
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                    with os.fdopen(os.open(name, flags, dir_fd=descriptor), "rb") as file:
                        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                            raise OSError("not a regular file")
                        files[shown] = file.read(left + 1)
                except OSError as error:
                    self.log.warning("Left out: %s of %s (%s)", shown, folder.name, error.strerror or error)
                    continue
                left -= len(files[shown])
                if left < 0 or len(files) > MOST_FILES:
                    raise ValueError(f"more than {self.coursedir.max_dir_size / 1000:.0f} MB or {MOST_FILES} files")
        return files

    def _unreadable(self, error: OSError) -> None:
        self.log.warning("Left out: %s (%s)", error.filename, error.strerror)


def _lay(files: dict[str, bytes], target: Path) -> None:
    """A folder with these files in the place of the old one, which stays until the new one is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
        if target.exists():
            target.rename(old)
        shutil.move(new, target)


class ReleaseFeedback(ExchangeReleaseFeedback):
    """Lays each page where its student alone finds it; who handed in by other ways is listed, and stops nobody."""

    def copy_files(self) -> None:
        course, excluded = self.coursedir, set(filter(None, (self.coursedir.student_id_exclude or "").split(",")))
        pattern = Path(course.format_path(course.feedback_directory, course.student_id or "*", course.assignment_id))
        for page in sorted(Path(course.root).glob(f"{pattern.relative_to(course.root)}/*.html")):
            student = page.parent.parent.name
            if student in excluded:
                continue
            secret = exchange_files(page.parent).get(SECRET, b"").decode("utf-8", "replace")
            if not secret:
                self.log.warning("No feedback sent: %s did not hand in through the exchange", student)
                continue
            there = Path(self.dest_path) / f"{notebook_hash(secret=secret, notebook_id=page.stem)}.html"
            write_whole(there, page.read_text(encoding="utf-8"))
            there.chmod(0o644)
            self.log.info("Feedback sent: %s of %s", page.stem, student)
