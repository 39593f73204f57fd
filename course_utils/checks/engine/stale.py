"""Tells when a check is about an earlier version of a function, because the cell that defines it has failed since."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from typing import Any

_failed: set[int] = set()  # numbers of cells that raised, since the first check of this kernel


def watch() -> None:
    """From now on remember which cells of this notebook fail; does nothing outside of IPython, and once only."""
    shell = _shell()
    if shell is not None and _remember not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _remember)


def _remember(result: Any) -> None:
    if not result.success and result.execution_count is not None:
        _failed.add(result.execution_count)


def older_version(function: Any, name: str) -> str:
    """A sentence when a later cell that defines ``name`` has failed, so that ``function`` is of the one before it."""
    shell = _shell()
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if shell is None or code is None:
        return ""
    own = "".join(linecache.getlines(code.co_filename)).strip()
    cells = [str(cell) for cell in shell.user_ns.get("In", [])]
    places = [number for number, cell in enumerate(cells) if own and cell.strip() == own]
    defines = re.compile(rf"^\s*(?:def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", re.M)
    later = [number for number in range(places[-1] + 1, len(cells)) if defines.search(cells[number])] if places else []
    if not later or not (later[-1] in _failed or _is_broken(cells[later[-1]])):
        return ""
    return f"The cell that defines {name} has failed since (In [{later[-1]}]): this is about the version before it."


def _is_broken(cell: str) -> bool:
    try:
        ast.parse(cell)
    except (SyntaxError, ValueError):
        return True
    return False


def _shell() -> Any:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()
