"""Which names a notebook's cells make and which they need, told from their text: nothing is run."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
import symtable
import sys
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_NO_PYTHON = r"bash|sh|script|system|sx|cmd|writefile|file|html|svg|latex|markdown|javascript|js|perl|ruby|python2|!"
_CELL_MAGIC = re.compile(r"\s*%%(\w+|!)[^\n]*")
_STATEMENT = re.compile(r"^([ \t]*)%(?:time|timeit|prun)\b(?:[ \t]+-\S+)*[ \t]+(?=[A-Za-z_(\[])", re.M)
# IPython's own lines that need no percent sign
_AUTOMAGIC = re.compile(
    r"^(?=(?:cd|ls|ll|pwd|cat|cp|mv|rm|rmdir|mkdir|less|more|man|who|whos|env|pip|conda|mamba)"
    r"(?:[ \t]*$|[ \t]+(?![=(.\[,:]|(?:in|is|and|or|if|not)\b)))",
    re.M,
)
_UNSEEN = re.compile(
    r"import[ \t]+\*|^[ \t]*%(run|pylab|store|load)\b|^[ \t]*%%capture[ \t]+\w|"
    r"\b(exec|globals|locals|vars|run_line_magic)\(",
    re.M,
)
ALWAYS = frozenset(dir(builtins)) | frozenset(  # what IPython puts there, too
    ("get_ipython", "display", "In", "Out", "exit", "quit", "__name__", "__file__", "__builtins__", "__IPYTHON__")
)
_EARLIER = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|_[iod]h")  # IPython's names of earlier cells and what they gave

NO_PYTHON = (SyntaxError, ValueError, RuntimeError, MemoryError, tokenize.TokenError)  # how it shows
_OF_IPYTHON = re.compile(r"^[ \t]*[%!?]|[?][ \t]*$|=[ \t]*[%!]", re.M)
_MOST_WORK = 200_000  # IPython's own lines times characters of a cell: each is looked for from the start


@dataclass(frozen=True)
class Names:
    """Of one cell: the names that it makes at its top level, those that it needs from elsewhere, and whether it may
    make others that its text does not show (``from x import *``, ``%run``)."""

    made: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    unseen: bool = False


def python_in(source: str) -> str:
    """The Python of a cell, with IPython's own lines as calls, and without the magics around it.

    Raises one of NO_PYTHON where that cannot be told.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    magic = _CELL_MAGIC.match(source)
    if magic is not None:
        source = "" if re.fullmatch(_NO_PYTHON, magic[1], re.I) else source[magic.end() :]
    if len(_OF_IPYTHON.findall(source)) * len(source) > _MOST_WORK:
        return source
    return TransformerManager().transform_cell(_AUTOMAGIC.sub("%", _STATEMENT.sub(r"\1", source)))


def tree_of(source: str) -> ast.Module | None:
    """A cell's Python; None where it is none."""
    try:
        return ast.parse(python_in(source))
    except NO_PYTHON:
        return None


@lru_cache(maxsize=1024)
def names_of(source: str) -> Names | None:
    """What a code cell makes and needs; None where it is no Python."""
    made: set[str] = set()
    needed: set[str] = set()
    try:
        _collect(symtable.symtable(python_in(source), "<cell>", "exec"), made, needed)
    except NO_PYTHON:
        return None
    missing = {name for name in needed - made - ALWAYS if not _EARLIER.fullmatch(name)}
    return Names(frozenset(made), frozenset(missing), bool(_UNSEEN.search(source)))


def _collect(table: symtable.SymbolTable, made: set[str], needed: set[str]) -> None:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        binds = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
        if binds and (top or symbol.is_declared_global()):
            made.add(symbol.get_name())
        if symbol.is_referenced() and (top or symbol.is_global()):
            needed.add(symbol.get_name())
    for inner in table.get_children():
        _collect(inner, made, needed)


def missing_modules(sources: list[str], folder: Path) -> list[str]:
    """The packages that code cells import and that are neither installed nor in ``folder``; not within a ``try``,
    or where the code writes the module."""
    named = {name for source in sources for name in _imported(source)}
    text = "\n".join(sources)
    return [
        name
        for name in sorted(named)
        if not ((folder / f"{name}.py").exists() or (folder / name).is_dir() or f"{name}.py" in text or _is_known(name))
    ]


def _imported(source: str) -> set[str]:
    found: set[str] = set()
    waiting: list[ast.AST] = [tree] if (tree := tree_of(source)) is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        elif not (isinstance(node, ast.Try) and node.handlers):  # there is something to do without
            waiting += ast.iter_child_nodes(node)
    return {name.split(".")[0] for name in found}


def _is_known(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return True
