"""Hand in from the notebook, by the last cell of a unit: what is written, checked and answered now, and the zip."""

from __future__ import annotations

import html
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from course_utils.system import notebook as surroundings
from course_utils.system.errors import CourseError
from course_utils.system.stubs import NOT_WRITTEN
from course_utils.system.tree import Tree, find_tree

from .handin import notebooks_of, read_notebook, require_graded, template_of
from .submit import Progress, find_warnings, give_names_back, is_to_be_written, own_files, pack, paths_of, progress

SESSION = "JPY_SESSION_NAME"  # in which Jupyter's server tells a kernel its notebook's path


def now() -> None:
    """Pack the notebook that this cell is in, as it is saved, and say what is in it. Outside of JupyterLab: say how."""
    place = os.environ.get(SESSION, "")
    here = Path(place) if Path(place).is_file() else Path.cwd() / Path(place).name
    if not place or not here.is_file() or not surroundings.in_notebook():
        print("Run this cell in JupyterLab: it packs the saved notebook. In a terminal: course submit UNIT.")
        return
    try:
        tree = find_tree(here.parent)
        if not tree.is_kit:
            print("This cell packs a student's notebook. Here are the sources; nothing is written.")
            return
        _hand_in(tree, here)
    except (CourseError, OSError) as error:
        print(f"Nothing is packed: {error}")


def _hand_in(tree: Tree, here: Path) -> None:
    unit = here.parent.name
    require_graded(tree, unit)
    paths = paths_of(tree, unit)
    name = here.stem if here.stem in paths else notebooks_of(tree, unit)[0]
    paths[name] = here
    content = read_notebook(here)
    template = template_of(tree, unit, name)
    give_names_back(content, template, here.name)
    shown = (f"{NOT_WRITTEN}:", "not answered yet:")  # in the table
    warnings = [each for each in find_warnings(here, content, template) if not each.startswith(shown)]
    if unsaved := _not_as_run(content):
        warnings.insert(
            0, f"not saved as it was last run: {', '.join(unsaved)}. Save (Ctrl S) and run this cell again."
        )
    archive = pack(paths, own_files(tree, unit, paths), unit, tree.root)
    saved = datetime.fromtimestamp(here.stat().st_mtime)
    said = f"{archive} holds this notebook as it was saved at {saved:%H:%M:%S}. Hand in this one file."
    rows = progress(content, template)
    surroundings.show_html(_as_html(said, rows, warnings), plain=_as_text(said, rows, warnings))


def _not_as_run(content: Any) -> list[str]:
    """Exercises whose last run definition is not what the saved cell says."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    run = [text.strip() for text in shell.user_ns.get("In", [])] if shell is not None else []
    found = []
    for cell in content.cells:
        defined = re.search(r"^def (\w+)", cell.source, re.MULTILINE)
        if cell.cell_type != "code" or not is_to_be_written(cell) or not defined:
            continue
        last = [text for text in run if re.search(rf"^def {defined[1]}\b", text, re.MULTILINE)]
        if last and last[-1] != cell.source.strip():
            found.append(defined[1])
    return found


def _as_text(said: str, rows: list[Progress], warnings: list[str]) -> str:
    lines = [f"  {'done' if row.done else 'open'}  {row.name}: {row.words}" for row in rows]
    return "\n".join([*(f"Beware: {each}" for each in warnings), *lines, said])


def _as_html(said: str, rows: list[Progress], warnings: list[str]) -> str:
    cell = "text-align:left;padding:0.2em 0.6em"
    body = "".join(
        f'<tr><td style="{cell}">{chr(0x2713) if row.done else chr(0x2717)} {html.escape(row.name)}</td>'
        f'<td style="{cell}">{html.escape(row.words)}</td></tr>'
        for row in rows
    )
    beware = "".join(f"<p><strong>Beware.</strong> {html.escape(each)}</p>" for each in warnings)
    head = "".join(f'<th scope="col" style="{cell}">{name}</th>' for name in ("exercise or question", "now"))
    return f"{beware}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(said)}</p>"
