"""What laws ask of a returned value: its kind, its shape, its numbers, its gradients.

Comparisons are made here in float64 and allow for implementations in lower precision: an error of `ROUNDING` times
the size of the terms that were added up. A law must therefore look where a misconception changes much more than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .candidate import Candidate
from .law import show
from .plain import Truth, describe
from .score import Cause
from .verdict import Broken, CallFailed

ROUNDING = 0.02  # bfloat16 has 8 bits: each operation may be off by 0.4 %, and formulas have a few of them

DETACHED = Cause(
    "detached",
    "Your result carries no gradient: it was computed under torch.no_grad, or passed through "
    ".detach(), .item(), .data, float() or NumPy, so that a model could not learn from it.",
    "every step between the arguments and the returned tensor",
)


ONE_AXIS = Cause(
    "one_axis_too_many",
    "Your number sits in a tensor of shape (1,), one axis too many: reduce over all axes, or take [0] of it.",
    "the last line of your function, and keepdim=True, [None] or view(1) before it",
)

LIST_OF_TENSORS = Cause(
    "list_of_tensors",
    "You return a list of tensors: torch.stack makes one tensor of them.",
    "the last line of your function",
)
SQUEEZED = Cause(
    "squeezed",
    "An axis of length 1 is gone: squeeze() without an axis takes them all, the batch axis of a single image as well.",
    "calls of squeeze in your function",
    tentative=True,
)


def scalar(value: Any, what: str, *, exactly: bool = False) -> torch.Tensor:
    """`value` as a finite 0-dimensional tensor; shape (1,) will do but where the law is about that (`exactly`)."""
    if isinstance(value, (int, float)):
        raise Broken(
            f"{what} as a scalar tensor that carries gradients",
            describe(value),
            Cause(
                "python_number",
                "You return a Python number: .item() or float() cuts the gradient, so that nothing could "
                "be trained with it.",
                "the last line of your function",
            ),
        )
    if isinstance(value, torch.Tensor) and value.shape == (1,):
        if exactly:
            raise Broken(f"{what} as one number without axes, shape ()", describe(value), ONE_AXIS)
        value = value.reshape(())
    if isinstance(value, torch.Tensor) and value.dim() > 0:
        raise Broken(
            f"{what} as one number, a scalar tensor",
            describe(value),
            Cause(
                "not_scalar",
                "You return several numbers: the sum over everything but the first axis, or the average over "
                "the batch, is missing.",
                "'Shapes' on the exercise card",
                tentative=True,
            ),
        )
    if not isinstance(value, torch.Tensor):
        raise Broken(f"{what} as a scalar tensor", describe(value), _other_kind(value))
    return finite(real(value, what), what)


def tensor(value: Any, shape: Sequence[int], what: str) -> torch.Tensor:
    """`value` as a finite floating-point tensor of this shape."""
    if isinstance(value, tuple) and len(value) == shape[0] and all(isinstance(item, torch.Tensor) for item in value):
        raise Broken(f"{what} as a tensor of shape {tuple(shape)}", describe(value), LIST_OF_TENSORS)
    if not isinstance(value, torch.Tensor):
        raise Broken(f"{what} as a tensor of shape {tuple(shape)}", describe(value), _other_kind(value))
    if tuple(value.shape) != tuple(shape):
        squeezed = value.dim() > 0 and 1 in shape and tuple(value.shape) == tuple(side for side in shape if side != 1)
        raise Broken(
            f"{what} of shape {tuple(shape)}",
            describe(value),
            SQUEEZED
            if squeezed
            else Cause(
                "wrong_shape",
                "Your result has another shape than the exercise asks for.",
                "'Shapes' on the exercise card",
                tentative=True,
            ),
        )
    return finite(real(value, what), what)


def number(value: Any, what: str, *, tensor_allowed: bool) -> float:
    """`value` as a finite Python float."""
    if tensor_allowed and isinstance(value, torch.Tensor) and value.dim() == 0 and not value.is_complex():
        value = float(value.detach())
    if isinstance(value, torch.Tensor):
        raise Broken(
            f"{what} as a Python float",
            describe(value),
            Cause(
                "not_a_float",
                "You return a tensor. A tensor that is kept for a loss curve drags its whole graph along; "
                ".item() turns it into a float.",
                "the last line of your function",
            ),
        )
    if not isinstance(value, (int, float)):
        raise Broken(f"{what} as a Python float", describe(value), _other_kind(value))
    if not math.isfinite(value):
        raise Broken(f"{what} as a finite number", show(value))
    return float(value)


def truth(value: Any, what: str) -> bool:
    """`value` as True or False: Python's, NumPy's, or a tensor with one truth value."""
    if isinstance(value, torch.Tensor) and value.dtype is torch.bool and value.numel() == 1:
        return bool(value)
    if isinstance(value, Truth):
        return value.value
    raise Broken(
        f"{what}: True or False",
        describe(value),
        Cause(
            "not_a_verdict",
            "Your function must answer True (buggy) or False (sound): a comparison, not the number that it compares."
            if isinstance(value, (int, float, torch.Tensor))
            else "Your function must answer True (buggy) or False (sound).",
            "the last line of your function",
        )
        if value is not None
        else _other_kind(value),
    )


def several(value: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """`value` as a tuple of as many values as there are names."""
    expected = f"{len(names)} values ({', '.join(names)})"
    if not isinstance(value, tuple):
        raise Broken(expected, describe(value), _other_kind(value, len(names)))
    if len(value) != len(names):
        raise Broken(expected, describe(value), _number_of_values(len(value), len(names)))
    return value


def _other_kind(value: Any, asked: int = 1) -> Cause | None:
    last = "the last line of your function"
    if value is None:
        return Cause("returns_none", "Your function ends without returning its result.", last)
    if isinstance(value, tuple):
        return _number_of_values(len(value), asked)
    if "NumPy" in describe(value):
        return Cause(
            "numpy_result",
            "You return a NumPy array: NumPy knows nothing of gradients or devices. Stay with torch.",
            "calls of .numpy() and np.",
        )
    if asked > 1:
        return _number_of_values(1, asked)
    return Cause("wrong_kind", "Your function returns another kind of thing than the exercise asks for.", last)


def _number_of_values(came: int, asked: int) -> Cause:
    return Cause(
        "wrong_number_of_values",
        f"You return {came} value{'s' * (came != 1)}; the exercise asks for {asked}.",
        "the return line, and 'Shapes' on the exercise card",
    )


def real(value: torch.Tensor, what: str) -> torch.Tensor:
    if not value.is_floating_point():
        raise Broken(
            f"{what} as floating-point numbers",
            describe(value),
            Cause("not_floating", "Your result is not made of floating-point numbers.", "conversions in your function"),
        )
    return value


def finite(value: torch.Tensor, what: str) -> torch.Tensor:
    bad = (~torch.isfinite(value.detach())).sum().item()
    if bad:
        some = value.detach()[~torch.isfinite(value.detach())][0] if value.dim() else value.detach()
        raise Broken(
            f"{what}: finite numbers only",
            show(some)
            if value.dim() == 0
            else f"{bad} of {value.numel()} numbers are not finite, one of them is {show(some)}",
        )
    return value


def plain64(value: torch.Tensor) -> torch.Tensor:
    """The numbers alone: float64, on the CPU, without graph."""
    return value.detach().cpu().to(torch.float64)


def same_number(
    got: torch.Tensor | float,
    want: float,
    what: str,
    *,
    scale: float | None = None,
    rounding: float = ROUNDING,
    floor: float = 1e-5,
) -> None:
    """`got` equals `want` up to rounding of terms of size `scale` (default: |want|)."""
    assert math.isfinite(want), f"the law itself expects {want}: {what}"
    value = float(got.detach()) if isinstance(got, torch.Tensor) else float(got)
    allowed = rounding * (abs(want) if scale is None else scale) + floor
    if not abs(value - want) <= allowed:
        raise Broken(f"{what}: {show(want)}", show(value))


def same_tensor(
    got: torch.Tensor,
    want: torch.Tensor,
    what: str,
    *,
    scale: torch.Tensor | float,
    rounding: float = ROUNDING,
    floor: float = 1e-6,
) -> None:
    """`got` equals `want` element by element, up to rounding of terms of size `scale`; the worst element is shown."""
    assert bool(torch.isfinite(want).all()), f"the law itself expects numbers that are not finite: {what}"
    difference = (plain64(got) - want).abs()
    excess = difference - (rounding * torch.as_tensor(scale, dtype=torch.float64) + floor)
    worst = int(excess.flatten().argmax())
    if not float(excess.flatten()[worst]) <= 0:
        raise Broken(f"{what}, element {worst}: {show(want.flatten()[worst])}", show(plain64(got).flatten()[worst]))


def not_biased(errors: Sequence[float], what: str) -> None:
    """The mean of 60 signed relative errors is at most 0.4 %: a wrong factor shows, rounding in either direction does
    not. Bernstein's inequality for errors of at most 1.2 % with standard deviation 0.3 %, as bfloat16 makes them: false
    alarm below 1e-7; in float32 never."""
    bias = sum(errors) / len(errors)
    if not abs(bias) <= 0.004:
        raise Broken(
            f"{what} right on average over {len(errors)} random batches", f"{100 * bias:+.2f} % off on average"
        )


def gradients(
    candidate: Candidate,
    output: torch.Tensor,
    inputs: Sequence[torch.Tensor],
    names: Sequence[str],
    cotangent: torch.Tensor | None = None,
    may_be_missing: Sequence[str] = (),
) -> list[torch.Tensor]:
    """Gradients of `output` with respect to each input; Broken when one is not reached (unless it may be) or not
    finite."""
    found = candidate.gradients(output, inputs, cotangent)
    reached = []
    for grad, name, given in zip(found, names, inputs, strict=True):
        if grad is None and name in may_be_missing:
            grad = torch.zeros_like(given)
        if grad is None:
            cut = Cause(
                f"detached_{name}",
                f"No gradient reaches {name}: it is detached, or not used at all.",
                f"the places where {name} enters your formula",
                tentative=True,
            )
            everywhere = all(g is None for g in found)
            raise Broken(f"a gradient with respect to {name}", "no gradient at all", DETACHED if everywhere else cut)
        reached.append(finite(grad, f"the gradient with respect to {name}"))
    return reached


def untouched(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], names: Sequence[str]) -> None:
    """No argument was changed in place."""
    for old, new, name in zip(before, after, names, strict=True):
        if new.shape != old.shape or not torch.equal(plain64(new).nan_to_num(), plain64(old).nan_to_num()):
            raise Broken(
                f"{name} as it was before the call",
                f"{name} has been changed",
                Cause(
                    "changes_arguments",
                    f"You change the argument {name} in place (an operation that ends in _ or an "
                    "assignment such as +=), so that whoever called you goes on with other numbers.",
                    "operations such as mul_, exp_, clamp_, += or [...] = in your code",
                ),
            )


def well_behaved(candidate: Candidate) -> None:
    """Neither the global generators nor torch's global switches were touched by any call so far."""
    if candidate.reseeded:
        names = ", ".join(sorted(candidate.reseeded))
        raise Broken(
            "the global random generators go on from where they were",
            f"reseeded: {names}",
            Cause(
                "reseeds",
                "You seed a global random generator inside the function: every call then repeats the same "
                "random numbers, here and everywhere else in the notebook.",
                "calls such as torch.manual_seed",
            ),
        )
    if candidate.switched:
        names = ", ".join(sorted(candidate.switched))
        raise Broken(
            "torch's global settings as they were before the call",
            f"changed and not put back: {names}",
            Cause(
                "leaves_switch",
                "You switch a global setting of torch and never switch it back; everything after your "
                "call runs with it. Use it as a `with` block.",
                "calls such as torch.set_grad_enabled",
            ),
        )


__all__ = [
    "DETACHED",
    "ONE_AXIS",
    "ROUNDING",
    "CallFailed",
    "Cause",
    "describe",
    "finite",
    "gradients",
    "not_biased",
    "number",
    "plain64",
    "real",
    "same_number",
    "same_tensor",
    "scalar",
    "several",
    "tensor",
    "truth",
    "untouched",
    "well_behaved",
]
