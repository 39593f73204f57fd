"""The student kit as a branch of a git repository, for whoever follows it with nbgitpuller or git.

Each release is one more commit on what was published before; nothing is rewritten. A unit that was published once stays
there, so that pulling never takes away what a student works on. Notebooks are not merged line by line (`ATTRIBUTES`):
one that a student has changed stays theirs as a whole, one that nobody has changed is renewed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils.system.errors import CourseError
from course_utils.system.kit_update import COURSE, merged_kit
from course_utils.system.tree import KIT_MARKER, MARKER, Tree

from .kit import EXECUTABLE, kit_files

# No line ends are changed: kit.json has a digest of every file. "-merge": where both sides changed a notebook, git
# keeps one of them whole, with nbgitpuller's -Xours the student's; merged line by line it might not be JSON any more.
ATTRIBUTES = b"* -text\n*.ipynb -merge\nkit.json -merge\n"
IGNORED = b"runs/\ndata/\n.venv/\n.update/\n.ipynb_checkpoints/\n__pycache__/\n*-submission.zip\n"
OWN = {".gitattributes": ATTRIBUTES, ".gitignore": IGNORED}


@dataclass(frozen=True)
class Published:
    """What a publication did: the branch's commit, whether it is new, and the notebooks that it brought or renewed."""

    commit: str
    is_new: bool
    notebooks: list[str]


def publish_kit(tree: Tree, repository: str, branch: str) -> Published:
    """Add the student kit of ``tree`` to a branch of ``repository`` (a URL or folder), as one commit.

    Raises CourseError when the repository cannot be reached or written to, when the branch holds something else than
    the kit, or when the repository holds this course's private history as well. Then nothing was published.
    """
    files = kit_files(tree) | OWN
    with tempfile.TemporaryDirectory() as scratch:
        git = _Git(Path(scratch))
        git.run("init", "--quiet", "--bare", failure="git does not work here")
        remote = git.remote_heads(repository)
        _refuse_private(tree, repository, remote)
        ref = f"refs/heads/{branch}"
        if subprocess.run(["git", "check-ref-format", ref], capture_output=True).returncode:
            raise CourseError(f"{branch!r} is no name of a branch. Example: --branch kit")
        removed: list[str] = []
        if ref in remote:
            git.run("fetch", "--quiet", repository, f"{ref}:{ref}", failure=f"{repository} cannot be read")
            before = _kit_there(git, repository, branch)
            merged = merged_kit(before, json.loads(files[KIT_MARKER]))
            files[KIT_MARKER] = (json.dumps(merged, indent=1) + "\n").encode()
            removed = sorted(before.get("files", {}).keys() - merged["files"].keys())
        commit, changed = _commit(git, ref, files, removed, is_first=ref not in remote)
        if changed:
            git.run("push", "--quiet", repository, f"{ref}:{ref}", failure=f"{repository} cannot be written to")
    return Published(commit, bool(changed), [name for name in changed if name.endswith(".ipynb")])


def pull_link(repository: str, branch: str, unit: str) -> str:
    """What follows a hub's address in a link that brings the branch to a student and opens a unit's notebook. Students
    read by https and with no password: an address for ssh, or with a password in it, is turned into that."""
    repository = re.sub(r"^(ssh://)?[\w.+-]+@([\w.-]+)[:/](?!/)", r"https://\2/", repository)
    repository = re.sub(r"^(https?://)[^/@]*@", r"\1", repository)
    name = PurePosixPath(urllib.parse.urlsplit(repository).path).name.removesuffix(".git")
    query = {"repo": repository, "branch": branch, "urlpath": f"lab/tree/{name}/notebooks/{unit}/{unit}.ipynb"}
    return "hub/user-redirect/git-pull?" + urllib.parse.urlencode(query)


def _kit_there(git: _Git, repository: str, branch: str) -> dict[str, Any]:
    """kit.json of the branch that was fetched."""
    found = git.call("show", f"refs/heads/{branch}:{KIT_MARKER}")
    try:
        kit = json.loads(found.stdout)
        if kit["course"] == COURSE and isinstance(kit["units"], dict):
            return kit
    except (ValueError, KeyError, TypeError):
        pass
    raise CourseError(
        f"branch {branch} of {repository} holds something else than this course's student kit. Name an empty "
        "repository, or another branch with --branch."
    )


def _refuse_private(tree: Tree, repository: str, remote: dict[str, str]) -> None:
    """Refuse a repository with a branch that is a course with its solutions, as far as this checkout knows it."""
    for ref, commit in remote.items():
        known = [
            subprocess.run(
                ["git", "-C", str(tree.root), "cat-file", "-e", f"{commit}:{name}"], capture_output=True
            ).returncode
            for name in (MARKER, KIT_MARKER)
        ]
        if known[0] == 0 and known[1] != 0:
            raise CourseError(
                f"{repository} holds this course with its solutions, too (branch {ref.removeprefix('refs/heads/')}), "
                "and students who can read one branch can read them all. Name a repository of its own."
            )


def _commit(git: _Git, ref: str, files: dict[str, bytes], removed: list[str], is_first: bool) -> tuple[str, list[str]]:
    """One commit on top of ``ref`` with these files; returns it, and the files that it changes (none: no commit)."""
    kit = json.loads(files[KIT_MARKER])
    message = f"Student kit {kit['version']}: {', '.join(sorted(kit['units']))}\n".encode()
    ident = git.run("var", "GIT_COMMITTER_IDENT", failure="git does not know who you are").strip()
    stream = f"commit {ref}\ncommitter {ident}\ndata {len(message)}\n".encode() + message
    stream += b"" if is_first else f"from {ref}^0\n".encode()
    stream += b"".join(f"D {name}\n".encode() for name in removed)
    for name, content in sorted(files.items()):
        mode = "100755" if name in EXECUTABLE else "100644"
        stream += f"M {mode} inline {name}\ndata {len(content)}\n".encode() + content + b"\n"
    before = "" if is_first else git.run("rev-parse", ref, failure="the branch cannot be read").strip()
    git.run("fast-import", "--quiet", stdin=stream, failure="the kit could not be committed")
    commit = git.run("rev-parse", ref, failure="the kit could not be committed").strip()
    command = ["diff-tree", "-r", "-z", "--name-only", *([before] if before else ["--root", "--no-commit-id"]), commit]
    changed = git.run(*command, failure="the kit could not be compared").split("\0")
    changed = [name for name in changed if name]
    return (commit, changed) if changed else (before, [])


class _Git:
    """git in a scratch repository, as the user that the machine knows, or else as "course"."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_INDEX")}
        self._environment |= {"GIT_DIR": str(folder), "LC_ALL": "C"}
        for key, value in (("name", "course"), ("email", "course@localhost")):
            if not self._config(f"user.{key}"):
                for role in ("AUTHOR", "COMMITTER"):
                    self._environment.setdefault(f"GIT_{role}_{key.upper()}", value)

    def _config(self, key: str) -> str:
        return self.call("config", "--get", key).stdout.decode().strip()

    def call(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run git; what it asks for (a password) it asks on the terminal."""
        try:
            return subprocess.run(["git", *arguments], input=stdin, capture_output=True, env=self._environment)
        except FileNotFoundError:
            raise CourseError("git is needed to publish the kit and was not found. Install git.") from None

    def run(self, *arguments: str, failure: str, stdin: bytes = b"") -> str:
        """The output of git; raises CourseError with what went wrong in one line."""
        done = self.call(*arguments, stdin=stdin)
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        said = done.stderr.decode("utf-8", "replace")
        if "[rejected]" in said or "non-fast-forward" in said:
            raise CourseError("somebody else published to that branch meanwhile. Run this again.")
        lines = [line.strip() for line in said.splitlines() if line.startswith(("fatal:", "error:", "remote:"))]
        cause = (
            (lines or said.splitlines() or ["git gave no reason"])[0].removeprefix("fatal: ").removeprefix("error: ")
        )
        raise CourseError(f"{failure}: {cause}")

    def remote_heads(self, repository: str) -> dict[str, str]:
        """The branches of a repository, with their commits."""
        listed = self.run("ls-remote", "--heads", "--", repository, failure=f"{repository} cannot be read")
        return {ref: commit for commit, ref in (line.split("\t") for line in listed.splitlines())}
