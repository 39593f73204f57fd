"""What surrounds a call of student code in this process: global generators, printed text, and functions it refers
to."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import io
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch

_MOST_LINES, _MOST_CHARACTERS = 10, 2000


def seed_generators(seed: int) -> None:
    """Put the global generators into the state that follows from `seed`."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _numpy_key() -> int:
    """A hash of the key of NumPy's global generator, read where it lies: ``get_state`` copies number by number, which
    costs as much as all else that is done around a call."""
    generator: Any = np.random.mtrand.get_bit_generator()
    if isinstance(generator, np.random.MT19937):
        return hash(ctypes.string_at(generator.ctypes.state_address, 624 * 4))
    of_numpy: Any = np.random.get_state()  # student code has put another in its place
    return hash(str(of_numpy))


class GlobalState:
    """Gives every call global randomness of its own, notices reseeding, and puts everything back at the end."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] | None = None
        self._of_law: torch.Tensor | None = None
        self._seed = 0
        self._after: dict[str, int] = {}

    def save(self) -> None:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
        self._saved = (torch.get_rng_state(), np.random.get_state(), random.getstate(), cuda)

    def restore(self) -> None:
        if self._saved is None:
            return
        of_torch, of_numpy, of_random, of_cuda = self._saved
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)
        random.setstate(of_random)
        if of_cuda is not None:
            torch.cuda.set_rng_state_all(of_cuda)

    def begin(self, seed: int) -> None:
        """Before a call: global generators in a state that belongs to this call alone."""
        self._seed, self._of_law = seed, torch.get_rng_state()
        seed_generators(seed)

    def end(self) -> set[str]:
        """After a call: the generators that the call has reseeded.

        torch remembers the seed it was given. For the other two: calls start from different states, so two calls can
        only end in the same state when both set it. A law makes modules with torch's global generator, which goes on
        as if there had been no call.
        """
        found = {"torch"} if torch.default_generator.initial_seed() != self._seed else set()
        ends = {"numpy": _numpy_key(), "random": hash(random.getstate())}
        found |= {name for name, end in ends.items() if self._after.get(name) == end}
        self._after = ends
        if self._of_law is not None:
            torch.set_rng_state(self._of_law)
        return found


class Printed(io.TextIOBase):
    """Collects what student code writes to stdout or stderr, up to a few lines, and drops the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._room = _MOST_CHARACTERS
        self._lines = 0
        self._open = False
        self._dropped = False

    @property
    def text(self) -> str:
        text = "".join(self._parts).rstrip()
        return text + ("\n..." if self._dropped else "")

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not self._open:
            return len(text)
        if self._lines >= _MOST_LINES or self._room <= 0:
            self._dropped = self._dropped or bool(text.strip())
            return len(text)
        kept = text[: self._room]
        self._parts.append(kept)
        self._room -= len(kept)
        self._lines += kept.count("\n")
        return len(text)

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        self._open = not self._parts  # the first call that prints is enough: a check calls many times
        with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


@contextlib.contextmanager
def replaced(function: Any, by_name: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """While open, `function` finds the given functions under these names, whether or not it knew the names before."""
    undo: list[Callable[[], None]] = []
    try:
        for inner in _functions_within(function) if by_name else ():
            for name, value in by_name.items():
                undo.append(_replace_global(inner, name, value))
                if name in inner.__code__.co_freevars:
                    undo.append(_replace_cell(inner, name, value))
        yield
    finally:
        for step in reversed(undo):
            step()


def _functions_within(thing: Any) -> list[FunctionType]:
    """The Python functions that calling `thing` runs first: through methods, partials, decorators and compilation."""
    found: list[FunctionType] = []
    waiting, seen = [thing], set[int]()
    while waiting and len(seen) < 50:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, FunctionType):
            found.append(item)
            waiting += [cell.cell_contents for cell in item.__closure__ or () if _is_function_cell(cell)]
        elif isinstance(item, MethodType):
            waiting.append(item.__func__)
        elif isinstance(item, functools.partial):
            waiting.append(item.func)
        elif not isinstance(item, type) and isinstance(
            method := inspect.getattr_static(type(item), "__call__", None), FunctionType
        ):
            waiting.append(method)
        for link in ("__wrapped__", "_torchdynamo_orig_callable"):
            try:
                waiting.append(item.__dict__[link])
            except (AttributeError, KeyError, TypeError):
                pass
    return found


def _is_function_cell(cell: Any) -> bool:
    try:
        return isinstance(cell.cell_contents, (FunctionType, MethodType, functools.partial))
    except ValueError:  # an empty cell
        return False


def _replace_global(function: FunctionType, name: str, value: Callable[..., Any]) -> Callable[[], None]:
    names = function.__globals__
    if name not in names:
        names[name] = value
        return lambda: names.pop(name, None)
    before = names[name]
    names[name] = value
    return lambda: names.__setitem__(name, before)


def _replace_cell(function: FunctionType, name: str, value: Callable[..., Any]) -> Callable[[], None]:
    cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
    try:
        before = cell.cell_contents
    except ValueError:
        cell.cell_contents = value
        return lambda: delattr(cell, "cell_contents")
    cell.cell_contents = value
    return lambda: setattr(cell, "cell_contents", before)
