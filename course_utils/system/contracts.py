"""What an argument must be, said once: the table that refuses the rest in the reader's terms, and that the property
test goes through.

A function says ``@takes(images=IMAGES, batch_size=Whole(1))``; what comes is checked before the function begins, and
handed on in one form: whole numbers of NumPy and pandas as int, half precision as float32. ``CONTRACTS`` holds every
such line by the function's name.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

SLACK = 1e-4  # floats a rounding error outside [0, 1], such as half precision leaves them, are inside
HALVES = (torch.float16, torch.bfloat16)


class NotFinite(ValueError):
    """A measure was asked of numbers that are none."""


def is_nan(function: str, why: str, *, stacklevel: int = 3) -> float:
    """nan, with the reason as a warning."""
    warnings.warn(f"{function} is nan: {why}", stacklevel=stacklevel)
    return math.nan


@dataclass(frozen=True)
class Whole:
    """A whole number, of Python, NumPy or pandas, handed on as int."""

    least: int = 0
    most: int | None = None

    def take(self, name: str, value: Any) -> int:
        fits = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not fits or value < self.least or (self.most is not None and value > self.most):
            upper = "up" if self.most is None else f"to {self.most}"
            raise ValueError(f"{name} is {value!r}; expected a whole number from {self.least} {upper} (an int).")
        return int(value)


@dataclass(frozen=True)
class Number:
    """A finite number, handed on as float; ``above`` leaves the bound itself out, ``least`` does not."""

    above: float | None = None
    least: float | None = None
    below: float | None = None

    def take(self, name: str, value: Any) -> float:
        fits = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        if fits and self.above is not None:
            fits = value > self.above
        if fits and self.least is not None:
            fits = value >= self.least
        if fits and self.below is not None:
            fits = value < self.below
        if not fits:
            raise ValueError(f"{name} is {value!r}; expected {self.said()}.")
        return float(value)

    def said(self) -> str:
        if self.below is not None:
            return f"a share between {self.above or 0:g} and {self.below:g}, such as 0.95"
        if self.above is not None:
            return f"a number above {self.above:g}"
        return "a number" if self.least is None else f"a number from {self.least:g} up"


@dataclass(frozen=True)
class OneOf:
    """One of several names."""

    names: tuple[str, ...]

    def take(self, name: str, value: Any) -> str:
        if value not in self.names:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(self.names)}.")
        return value


@dataclass(frozen=True)
class Images:
    """(N, ...): uint8 in 0..255, or floats in [0, 1], every one of them finite.

    ``scaled`` hands bytes on as float32 in [0, 1], where a function wants intensities; ``within`` False takes floats of
    any range, where there is a likelihood for them.
    """

    least: int = 1
    scaled: bool = False
    within: bool = True

    def take(self, name: str, value: Any) -> Tensor:
        if not isinstance(value, Tensor) or value.ndim < 2:
            what = tuple(value.shape) if isinstance(value, Tensor) else _named(value)
            raise ValueError(f"{name} is {what}; expected a tensor (N, ...) of images{_cure(value)}.")
        if len(value) == 0:
            raise ValueError(f"{name} is empty; expected at least {_count(self.least, 'image')}.")
        if len(value) < self.least:
            raise ValueError(
                f"{name} has {_count(len(value), 'image')}; expected at least {_count(self.least, 'image')}."
            )
        if value.dtype == torch.uint8 and not value.is_meta:
            return value.to(torch.float32).div_(255) if self.scaled else value
        if not value.is_floating_point() and value.dtype != torch.uint8:
            raise TypeError(f"{name} have dtype {value.dtype}; expected uint8 in 0..255, or floats in [0, 1].")
        if value.numel() == 0:
            raise ValueError(f"{name} is {tuple(value.shape)}: images without a pixel.")
        if value.is_meta:
            raise ValueError(f"{name} is on the meta device, which holds no numbers.")
        low, high = (float(end) for end in value.detach().aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            broken = int((~value.isfinite()).sum())
            rows = int((~value.flatten(1).isfinite()).any(1).sum())
            raise NotFinite(
                f"{name} have {_count(broken, 'value')} that are nan or inf, in {_count(rows, 'image')} of "
                f"{len(value):,}; expected finite numbers in [0, 1]. Leave these images out, or look where they come "
                "from."
            )
        if self.within and (low < -SLACK or high > 1 + SLACK):
            raise ValueError(
                f"{name} range from {low:g} to {high:g}; expected floats in [0, 1]: {_how_to_scale(low, high)}."
            )
        return value.float() if value.dtype in HALVES else value


@dataclass(frozen=True)
class Rows:
    """(N, D) floating-point numbers, such as codes or features; half precision is handed on as float32.

    ``finite`` False lets nan and inf through: where they have a meaning (the logvar of a point is minus infinity),
    where the result is nan by itself, and where looking would cost more than the function.
    """

    least: int = 1
    finite: bool = True

    def take(self, name: str, value: Any) -> Tensor:
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] == 0 or not value.is_floating_point():
            given = f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else _named(value)
            raise ValueError(f"{name} is {given}; expected a floating-point tensor (N, D){_cure(value, rows=True)}.")
        if len(value) < self.least:
            raise ValueError(f"{name} has {_count(len(value), 'row')}; expected at least {self.least}.")
        _refuse_nan(name, value, self.finite)
        return value.float() if value.dtype in HALVES else value


@dataclass(frozen=True)
class Binary:
    """0 and 1 (or False and True) of any type, with so many dimensions: (N,) or (N, A)."""

    dimensions: int = 2

    def take(self, name: str, value: Any) -> Tensor:
        if not isinstance(value, Tensor) or value.ndim != self.dimensions:
            what = tuple(value.shape) if isinstance(value, Tensor) else _named(value)
            raise ValueError(f"{name} is {what}; expected a tensor {'(N,)' if self.dimensions == 1 else '(N, A)'}.")
        if value.is_meta:
            raise ValueError(f"{name} is on the meta device, which holds no numbers.")
        if value.dtype == torch.bool:
            return value
        if bool(((value != 0) & (value != 1)).any()):
            found = value[(value != 0) & (value != 1)].flatten()[0].item()
            raise ValueError(f"{name} holds {found:g}; expected 0 and 1 alone, such as (x > 0).")
        return value


@dataclass(frozen=True)
class Vector:
    """(N,) numbers of any kind, or with ``whole`` whole ones, such as labels."""

    least: int = 0
    whole: bool = False
    finite: bool = True
    infinite: bool = False  # allowed, as in log densities

    def take(self, name: str, value: Any) -> Tensor:
        if not isinstance(value, Tensor) or value.ndim != 1 or value.is_complex():
            given = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else _named(value)
            raise ValueError(f"{name} is {given}; expected a tensor (N,){_cure(value)}.")
        if self.whole and value.is_floating_point() and not value.is_meta:
            _refuse_nan(name, value, True)
            if bool((value != value.round()).any()):
                raise ValueError(f"{name} hold {value[value != value.round()][0]:g}; expected whole numbers.")
            value = value.long()
        if len(value) < self.least:
            raise ValueError(f"{name} is {tuple(value.shape)}; expected (N,) with N >= {self.least}.")
        _refuse_nan(name, value.nan_to_num(math.nan, 0, 0) if self.infinite else value, self.finite)
        return value.float() if value.dtype in HALVES else value


@dataclass(frozen=True)
class Index:
    """Whole numbers from 0 to ``below`` - 1 of any integer type, such as entries of a codebook, at least one; handed on
    as int64. ``columns``: (N, columns); None: of any shape."""

    below: int
    columns: int | None = None

    def take(self, name: str, value: Any) -> Tensor:
        shape = "" if self.columns is None else f"(N, {self.columns}), "
        wanted = f"expected {shape}whole numbers from 0 to {self.below - 1}, at least one"
        if not isinstance(value, Tensor) or value.is_meta:
            raise ValueError(f"{name} is {_named(value)}; {wanted}{_cure(value, rows=True)}.")
        whole = not (value.is_floating_point() or value.is_complex() or value.dtype is torch.bool)
        fits = whole and value.numel() and (self.columns is None or value.shape[1:] == (self.columns,))
        low, high = (int(end) for end in value.aminmax()) if fits else (0, 0)
        if not fits or low < 0 or high >= self.below:
            ends = f" from {low} to {high}" if fits else ""
            raise ValueError(f"{name} is {value.dtype} {tuple(value.shape)}{ends}; {wanted}.")
        return value.long()


@dataclass(frozen=True)
class Model:
    """Something that has these methods, such as ``encode`` and ``decode``."""

    methods: tuple[str, ...] = ("encode",)

    def take(self, name: str, value: Any) -> Any:
        missing = [method for method in self.methods if not callable(getattr(value, method, None))]
        if missing:
            raise TypeError(
                f"{name} is a {type(value).__name__}, which has no {missing[0]}(); expected a model such as models.VAE."
            )
        return value


class Contract(NamedTuple):
    """A function and what it takes."""

    function: Callable
    kinds: Mapping[str, Any]
    broken: Callable[[], Any] | None  # what it returns for numbers that are none; None: it raises NotFinite


CONTRACTS: dict[str, Contract] = {}


Function = TypeVar("Function", bound=Callable)


def takes(*, broken: Callable[[], Any] | None = None, **kinds: Any) -> Callable[[Function], Function]:
    """Check the arguments named, whenever the function is called. None passes where it is the default.

    Args:
        broken: makes what the function returns where an argument holds nan or inf; the reason is then a warning.
            Without it such an argument is refused.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        optional = {name for name in kinds if signature.parameters[name].default is None}

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            given = bound.arguments
            try:
                for name, kind in kinds.items():
                    if name in given and not (given[name] is None and name in optional):
                        given[name] = kind.take(name, given[name])
            except NotFinite as error:
                if broken is None:
                    raise
                warnings.warn(f"{function.__name__} is nan: {error}", stacklevel=2)
                return broken()
            return function(*bound.args, **bound.kwargs)

        CONTRACTS[f"{function.__module__}.{function.__qualname__}"] = Contract(checked, kinds, broken)
        return cast(Function, checked)

    return decorate


def same_shape(a: Tensor, b: Tensor, name_a: str, name_b: str) -> None:
    """Raises ValueError where two arguments that belong together have other shapes, or lie on other devices."""
    if a.shape != b.shape:
        raise ValueError(f"{name_a} is {tuple(a.shape)}, {name_b} {tuple(b.shape)}; expected the same shape.")
    same_device(a, b, name_a, name_b)


def same_device(a: Tensor, b: Tensor, name_a: str, name_b: str) -> None:
    """Raises ValueError where two arguments lie on other devices."""
    if a.device != b.device:
        raise ValueError(f"{name_a} is on {a.device} and {name_b} on {b.device}: {name_b}.to({name_a}.device).")


def check(kinds: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with those of ``kinds`` checked, for settings that are fields rather than arguments."""
    return {name: kinds[name].take(name, value) if name in kinds else value for name, value in given.items()}


def _refuse_nan(name: str, value: Tensor, finite: bool) -> None:
    if value.is_meta:
        raise ValueError(f"{name} is on the meta device, which holds no numbers.")
    if not finite or not value.is_floating_point() or bool(value.isfinite().all()):
        return
    broken = int((~value.isfinite()).sum())
    raise NotFinite(f"{name} has {_count(broken, 'value')} of {value.numel():,} that are nan or inf.")


def _named(value: Any) -> str:
    kind = type(value)
    known = {"ndarray": f"a NumPy array {getattr(value, 'shape', '')}", "DataFrame": "a pandas DataFrame"}
    return known.get(kind.__name__, kind.__name__)


def _cure(value: Any, rows: bool = False) -> str:
    """The call that mends it, where there is one."""
    if type(value).__name__ == "ndarray":
        return ": torch.from_numpy(...)"
    if isinstance(value, Tensor) and rows and value.ndim == 2 and not value.is_floating_point():
        return ": .float()"
    if isinstance(value, Tensor) and rows and value.ndim > 2:
        return ": .flatten(1)"
    return "" if isinstance(value, Tensor) or rows else ", e.g. data.train_images.flatten(1)"


def _how_to_scale(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "divide by 255 (images / 255), or give the bytes themselves as torch.uint8"
    if low >= -1 - SLACK and high <= 1 + SLACK:
        return "(images + 1) / 2 undoes Normalize(0.5, 0.5)"
    return "leave out what normalises them, such as Normalize(mean, std), or undo it: images * std + mean"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
