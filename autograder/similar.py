"""Finds submissions that are the same, or nearly so, whatever the names, comments and spaces."""

from __future__ import annotations

import io
import keyword
import tokenize
from dataclasses import dataclass

from nbformat import NotebookNode

from .preprocessors import is_unanswered
from .template import ANSWER, SOLUTION, kind_of

_SHINGLE = 6  # tokens that are compared as one
_LEAST = 40  # shingles; what is shorter is alike by itself
NEARLY = 0.85


@dataclass(frozen=True)
class Pair:
    """Two submissions and how much they share (1 is all), with the texts side by side."""

    first: str
    second: str
    share: float
    what: str
    texts: tuple[str, str]


def similar_pairs(notebooks: dict[str, NotebookNode], common: str = "") -> list[Pair]:
    """Pairs of students whose solutions or answers agree, most alike first. `common` was given to everybody."""
    pairs = []
    for kind, what in ((SOLUTION, "code"), (ANSWER, "answers")):
        texts = {name: _text(notebook, kind) for name, notebook in notebooks.items()}
        known = _shingles(common, kind)
        shingles = {name: _shingles(text, kind) - known for name, text in texts.items()}
        names = sorted(name for name in texts if len(shingles[name]) >= (_LEAST if kind == SOLUTION else 10))
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                one, two = shingles[first], shingles[second]
                if min(len(one), len(two)) < NEARLY * max(len(one), len(two)):
                    continue
                share = len(one & two) / len(one | two)
                if share >= NEARLY:
                    pairs.append(Pair(first, second, share, what, (texts[first], texts[second])))
    return sorted(pairs, key=lambda pair: (-pair.share, pair.first, pair.second))


def _text(notebook: NotebookNode, kind: str) -> str:
    cells = [cell for cell in notebook.cells if kind_of(cell) == kind]
    return "\n\n".join(
        cell.source
        for cell in cells
        if not (kind == ANSWER and is_unanswered(cell)) and "NotImplementedError" not in cell.source
    )


def _shingles(text: str, kind: str) -> set[tuple[str, ...]]:
    tokens = _code_tokens(text) if kind == SOLUTION else text.lower().split()
    return {tuple(tokens[start : start + _SHINGLE]) for start in range(len(tokens) - _SHINGLE + 1)}


def _code_tokens(text: str) -> list[str]:
    """Tokens without comments, strings and layout; names of variables in the order in which they first come."""
    tokens: list[str] = []
    try:
        for found in tokenize.generate_tokens(io.StringIO(text).readline):
            if found.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER):
                tokens.append(found.string)
    except (tokenize.TokenError, IndentationError, SyntaxError):
        tokens = text.split()
    numbers: dict[str, str] = {}
    named = []
    for index, token in enumerate(tokens):
        is_variable = (
            token.isidentifier()
            and not keyword.iskeyword(token)
            and (index == 0 or tokens[index - 1] != ".")
            and (index + 1 >= len(tokens) or tokens[index + 1] != "(")
        )
        named.append(numbers.setdefault(token, f"v{len(numbers)}") if is_variable else token)
    return named
