"""The little that depends on where the code runs: in a notebook, a terminal, or CI."""

from __future__ import annotations

import ast
import contextlib
import linecache
import re
import sys
from types import FunctionType
from typing import Any


def _shell() -> Any:
    """IPython's, where this runs in one; imports nothing."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def in_notebook() -> bool:
    """True in a Jupyter kernel (JupyterLab, nbclient, Colab, VS Code), False in scripts and terminal IPython."""
    shell = _shell()
    return shell is not None and hasattr(shell, "kernel")


def older_version(function: Any, name: str) -> str:
    """A sentence where `function` is not what the last cell that was run with ``def name`` defines: that cell failed.

    The empty string everywhere else, and where nobody can know: outside of IPython, for a function without a source.
    """
    shell = _shell()
    for _ in range(10):  # behind the student's own decorators
        function = function.__dict__.get("__wrapped__", function) if isinstance(function, FunctionType) else None
    if shell is None or not isinstance(function, FunctionType):  # anything else may lie about itself
        return ""
    judged = "".join(linecache.getlines(function.__code__.co_filename)).strip()
    defines = re.compile(rf"^(?:async\s+)?def\s+{re.escape(name)}\b", re.MULTILINE)
    cells = [(number, text) for number, text in enumerate(shell.user_ns.get("In", [])) if defines.search(text)]
    if not cells or not defines.search(judged) or cells[-1][1].strip() == judged:
        return ""
    return f"The cell that defines {name} has failed since (In [{cells[-1][0]}]): this is about the version before it."


def taken_names() -> str:
    """A sentence where a name that the notebook imports from the course has come to mean something else, as after
    ``from sklearn import metrics``: later cells need it. The empty string everywhere else."""
    shell = _shell()
    given: dict[str, str] = {}
    for text in shell.user_ns.get("In", []) if shell is not None else []:
        if "course_utils" not in text:
            continue
        with contextlib.suppress(SyntaxError, ValueError):  # a cell of magics, a cell that failed
            for node in ast.parse(text).body:
                if isinstance(node, ast.ImportFrom) and node.module == "course_utils":
                    given |= {each.asname or each.name: each.name for each in node.names}
    course = sys.modules.get("course_utils")
    taken = [name for name, of in given.items() if shell.user_ns.get(name, course) not in (course, getattr(course, of))]
    if not taken:
        return ""
    return (
        f"A cell gave {_listed(taken)} another meaning, and later cells of this notebook need the course's. "
        f"Take another name in your cell, as in `import ... as my_{taken[0]}`, and run the first cells again."
    )


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(f"`{name}`" for name in names[:-1]), f"`{names[-1]}`"]))


def show_html(markup: str, *, plain: str) -> None:
    """Show ``markup`` in a notebook, or print ``plain`` elsewhere; ``plain`` is also the notebook's text form."""
    if not in_notebook():
        print(plain)
        return
    from IPython.display import display

    display({"text/html": markup, "text/plain": plain}, raw=True)


class Line:
    """In a notebook one line of output that is replaced, so that a saved notebook keeps its last state only; elsewhere
    standard output."""

    def __init__(self) -> None:
        self._handle = None

    def write(self, text: str) -> None:
        """Show ``text`` in place of what was there."""
        if in_notebook():
            self._update(text.strip("\r\n "))
        else:
            sys.stdout.write(text)

    def finish(self, text: str) -> None:
        """The line that stays."""
        if in_notebook():
            self._update(text)
        else:
            print(text, flush=True)

    def _update(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
