"""``course update``: a newer kit comes into the folder of the older one, and nothing that was changed is touched."""

from __future__ import annotations

from pathlib import Path

from course_utils.system import kit_update
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

from . import welcome


def update_kit(tree: Tree, source: Path) -> None:
    """Bring the kit in ``source``, a zip or an unpacked folder, into the student kit ``tree``, and say what was done.

    Raises WrongUsage outside a student kit, CourseError when ``source`` is no kit of this course.
    """
    if not tree.is_kit:
        raise WrongUsage("this is the instructor's checkout, not a student kit. Use git to update it.")
    if (tree.root / ".git").exists():
        raise WrongUsage(
            "this kit came by git and is renewed by git: click the course's link again, or run `git pull`."
        )
    if source.expanduser().resolve() == tree.root:
        raise WrongUsage("that is this kit itself. Name the new one, a zip or a folder.")
    try:
        kit_update.keep(tree.root)
        done = kit_update.update(tree.root, source.expanduser())
    except kit_update.UpdateError as error:
        raise CourseError(str(error)) from None
    for line in done or ["nothing in notebooks/ had to change."]:
        print(line)
    print("The kit is up to date. What you wrote, trained and guessed is as it was.")


def after_saving(model: dict, os_path: str, **_: object) -> None:
    """A post-save hook of jupyter_server in student kits: a copy of the saved notebook that survives a new kit which is
    unpacked over this one, and a welcome page that says what is done now."""
    path = Path(os_path).resolve()
    for root in path.parents:
        if (root / kit_update.KIT).is_file():
            name = path.relative_to(root).as_posix()
            files = kit_update.read_kit(root).get("files", {})
            if name in files:
                kit_update.keep_file(root, name, files[name])
            welcome.after_saving(Tree(root), path)
            return
