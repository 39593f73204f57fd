"""One submission as a pure function: bytes in, bytes out. Runs in a worker process, on this machine or on another."""

from __future__ import annotations

import base64
import json
import threading
import time

import nbformat
from nbformat import NotebookNode

from autograder.prepare import prepare, record_repairs
from autograder.repair import Repaired, repair
from autograder.sandbox.client import own_address
from autograder.sanitise import Budget, sanitise
from autograder.template import TASK, TEST, Template, is_check, kind_of
from course_utils.checks import CHECKS
from course_utils.cli.handin import made_safe, parse_notebook
from course_utils.system.errors import CourseError

from .settings import RECORD, Settings

EXAMINED, UNREADABLE = "examined", "unreadable"
_one_at_a_time = threading.Lock()  # a dask worker may have several threads, but a process has one standard output


def make_job(
    name: str,
    notebook: bytes,
    files: dict[str, bytes],
    template: Template,
    settings: Settings,
    address: str | None,
    unsafe: bool = False,
    before: Repaired | None = None,
) -> bytes:
    """All that a worker needs. `address`: of a warm process on the worker's machine; None: the worker starts one.
    `before`: what was repaired already."""
    return json.dumps(
        {
            "name": name,
            "notebook": base64.b64encode(notebook).decode(),
            "template": template.to_json(),
            "files": {path: base64.b64encode(data).decode() for path, data in files.items()},
            "settings": settings.to_dict(),
            "address": address,
            "unsafe": unsafe,
            "checks": CHECKS.own,
            "repaired": [before.notes, before.cells, sorted(before.added)] if before else [[], {}, []],
        }
    ).encode()


def examine(job: bytes) -> bytes:
    """Repair, run and judge one submission; the result as JSON: status, reason, notebook.

    What was repaired, the level of isolation and the seconds stand in the notebook's own metadata.
    """
    with _one_at_a_time:
        return _examine(job)


def _examine(job: bytes) -> bytes:
    import torch

    torch.set_num_threads(1)
    started = time.monotonic()
    given = json.loads(job)
    CHECKS.use(given["checks"])
    template = Template.from_json(given["template"])
    try:
        repaired = repair(parse_notebook(base64.b64decode(given["notebook"]), given["name"]), template, given["name"])
    except CourseError as error:
        return json.dumps({"status": UNREADABLE, "reason": str(error), "notebook": ""}).encode()
    notes, cells, added = given["repaired"]
    repaired.notes[:0], repaired.added = notes, repaired.added | set(added)
    repaired.cells = {
        name: [*cells.get(name, []), *repaired.cells.get(name, [])] for name in {**cells, **repaired.cells}
    }
    files = {path: base64.b64decode(data) for path, data in given["files"].items()}
    level = examine_notebook(
        repaired.notebook,
        template,
        given["address"] or own_address(given["unsafe"]),
        Settings.from_dict(given["settings"]),
        files,
        repaired,
    )
    repairs = repaired.notes + [f"{name}: {note}" for name, notes in repaired.cells.items() for note in notes]
    repaired.notebook.metadata[RECORD] = {
        "level": level,
        "repairs": repairs,
        "seconds": round(time.monotonic() - started, 2),
    }
    return json.dumps({"status": EXAMINED, "reason": "", "notebook": nbformat.writes(repaired.notebook)}).encode()


def examine_notebook(
    notebook: NotebookNode,
    template: Template,
    address: str,
    settings: Settings,
    files: dict[str, bytes],
    repaired: Repaired | None = None,
) -> str:
    """Examine a repaired notebook in place and make it safe to look at; returns the level of isolation."""
    from .exam import Exam  # imports torch, which whoever makes jobs does not need

    if repaired is not None:
        record_repairs(notebook, repaired)
    prepare(notebook)
    exam = Exam(notebook, template, address, settings, files)
    exam.run()
    notebook.cells = [made_safe(cell) for cell in notebook.cells]  # what was printed and raised comes from outside, too
    budget = Budget()
    for cell in notebook.cells:
        if kind_of(cell) != TASK:
            sanitise(cell, trusted_outputs=kind_of(cell) == TEST and is_check(cell.source), budget=budget)
    return exam.level
