"""Turn whatever student code returns into plain data that no trick can make equal to everything.

Tensors become plain `torch.Tensor`s (a subclass with its own `__eq__` or `__torch_function__` loses it) and keep their
graph; numbers become Python numbers; modules become handles; the rest is only described.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from .verdict import CallFailed


@dataclass(frozen=True)
class Unusable:
    """A returned value that no exercise asks for, in words."""

    words: str

    def short(self) -> str:
        return self.words


@dataclass(frozen=True)
class Truth(Unusable):
    """A returned True or False, Python's or NumPy's: what the find-the-bug exercises ask for, and no others."""

    words: str = field(init=False, default="")
    value: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", f"the truth value {self.value}")


@dataclass(frozen=True, eq=False)
class Array(Unusable):
    """A returned NumPy array of numbers or truth values: what the exercises on probes ask for, and no others."""

    words: str = field(init=False, default="")
    values: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", f"a NumPy array of shape {tuple(self.values.shape)}")


@dataclass(frozen=True)
class ModuleCalls:
    """How to run code of a returned module: the candidate's guard."""

    guarded: Callable[[Callable[[], Any]], Any]


class ModuleHandle:
    """A module that the student returned. Laws call it, set its mode, and read, replace or differentiate its
    parameters."""

    def __init__(self, module: nn.Module, calls: ModuleCalls) -> None:
        self._module, self._guarded = module, calls.guarded

    def __call__(self, x: torch.Tensor) -> Any:
        return self._guarded(lambda: self._module(x))

    def train(self, mode: bool = True) -> None:
        self._guarded(lambda: self._module.train(mode) and None)

    def identity(self) -> tuple[int, ...]:
        """Numbers that tell modules and parameter storages apart within one check."""
        return tuple([id(self._module)] + [id(p) for p in self._module.parameters()])

    def parameters(self) -> list[torch.Tensor]:
        """Copies of the parameters, in the module's order."""
        return [p.detach().clone() for p in self._parameters()]

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the parameters, in the module's order: cheap however large they are."""
        return [tuple(p.shape) for p in self._parameters()]

    def load(self, values: list[torch.Tensor]) -> None:
        """Replace the values of all parameters."""
        with torch.no_grad():
            for parameter, value in zip(self._parameters(), values, strict=True):
                parameter.copy_(value)

    def buffers(self) -> list[torch.Tensor]:
        """Copies of the buffers: numbers that belong to the module and are not trained."""
        return [b.detach().clone() for b in self._module.buffers()]

    def load_buffers(self, values: list[torch.Tensor]) -> None:
        """Replace the values of all buffers."""
        with torch.no_grad():
            for buffer, value in zip(self._module.buffers(), values, strict=True):
                buffer.copy_(value)

    def gradients(self, x: torch.Tensor, cotangent: torch.Tensor) -> list[torch.Tensor | None]:
        """Vector-Jacobian products of the output at `x` with respect to the parameters; None where it does not
        depend."""

        def job() -> list[torch.Tensor | None]:
            wanted = [p for p in self._module.parameters() if p.requires_grad]
            output = self._module(x)
            if not output.requires_grad or not wanted:
                return [None] * len(list(self._module.parameters()))
            grads = torch.autograd.grad(output, wanted, cotangent, allow_unused=True)
            found = dict(zip(map(id, wanted), grads, strict=True))
            return [found.get(id(p)) for p in self._module.parameters()]

        return list(self._guarded(job))

    def _parameters(self) -> list[torch.Tensor]:
        found: list[torch.Tensor] = list(self._module.parameters())
        if any(nn.parameter.is_lazy(p) for p in found):
            raise CallFailed(
                "raised",
                "a lazy layer has no parameters, because no input has passed through it; remove "
                "layers that are not used",
            )
        return found

    def short(self) -> str:
        return f"a module ({type(self._module).__name__})"


def to_plain(value: Any, calls: ModuleCalls | None, depth: int = 0) -> Any:
    """`value` as a plain tensor, number, None, tuple of these, ModuleHandle, or Unusable (of which Truth and Array are
    two)."""
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        return _plain_tensor(value)
    if isinstance(value, nn.Module):
        return ModuleHandle(value, calls) if calls else Unusable(f"a module ({type(value).__name__})")
    if isinstance(value, (bool, np.bool_)):
        return Truth(value=bool(value))
    if isinstance(value, (tuple, list)) and depth < 2:
        items = tuple.__iter__(value) if isinstance(value, tuple) else list.__iter__(value)
        return tuple(to_plain(item, calls, depth + 1) for item in items)
    if isinstance(value, numbers.Integral):
        return int(value) if abs(int(value)) < 10**300 else Unusable("a whole number with hundreds of digits")
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, numbers.Complex):
        return Unusable("a complex number")
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        plain = np.asarray(value)
        return Array(values=torch.from_numpy(plain.astype(plain.dtype.newbyteorder("="), copy=True)))
    return Unusable(_words(value))


def _plain_tensor(value: torch.Tensor) -> torch.Tensor | Unusable:
    kind = type(value)
    if kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return Unusable(f"a tensor of the special kind {kind.__name__}")
    with torch._C.DisableTorchFunctionSubclass():
        plain = value if kind is torch.Tensor else torch.Tensor.as_subclass(value, torch.Tensor)
        if plain.layout is not torch.strided or plain.is_meta or plain.is_quantized:
            return Unusable(f"a tensor without plain values ({plain.layout}, {plain.device})")
        if plain.is_nested:
            return Unusable("a nested tensor")
        if plain.is_floating_point() and plain.dtype.itemsize < 2:  # torch stores such numbers and cannot add them
            name = str(plain.dtype).removeprefix("torch.")
            return Unusable(f"a tensor of {name}, numbers too short to calculate with")
        return plain


def _words(value: Any) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    if name.startswith("numpy.ndarray"):
        return f"a NumPy array of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name}"


def describe(value: Any) -> str:
    """A returned plain value in a few words."""
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, torch.Tensor):
        if value.dim() == 0:
            return f"a scalar tensor ({str(value.dtype).removeprefix('torch.')})"
        return f"a tensor of shape {tuple(value.shape)} ({str(value.dtype).removeprefix('torch.')})"
    if isinstance(value, tuple):
        return f"{len(value)} values (" + ", ".join(describe(item) for item in value[:4]) + ")"
    if isinstance(value, (int, float)):
        return f"the Python number {value:.6g}"
    return str(value.short())
