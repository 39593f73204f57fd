"""Codes on the straight line between two codes, both ends included."""

from __future__ import annotations

import numpy as np
import torch

from .entries import Bank

BANK = Bank("interpolate")


def t_of(n):
    return torch.linspace(0, 1, n)[:, None]


for name, about, cause, f in (
    (
        "end_missing",
        "i / n: the loop never reaches the end",
        "end_missing",
        lambda a, b, n: torch.stack([a + i / n * (b - a) for i in range(n)]),
    ),
    (
        "start_missing",
        "(i + 1) / n",
        "start_missing",
        lambda a, b, n: torch.stack([a + (i + 1) / n * (b - a) for i in range(n)]),
    ),
    (
        "inside_only",
        "neither end",
        "ends_missing",
        lambda a, b, n: torch.stack([a + (i + 1) / (n + 1) * (b - a) for i in range(n)]),
    ),
    ("reversed", "from end to start", "reversed", lambda a, b, n: t_of(n) * a + (1 - t_of(n)) * b),
    ("squared_t", "not evenly spaced", "uneven", lambda a, b, n: a + t_of(n) ** 2 * (b - a)),
    ("eased", "smoothstep", "uneven", lambda a, b, n: a + t_of(n) ** 2 * (3 - 2 * t_of(n)) * (b - a)),
    ("cosine", "cosine easing", "uneven", lambda a, b, n: a + (1 - torch.cos(torch.pi * t_of(n))) / 2 * (b - a)),
    ("unscaled_t", "t from 0 to n - 1", "t_not_scaled", lambda a, b, n: a + torch.arange(n)[:, None] * (b - a)),
    ("one_more", "n + 1 codes", "one_step_too_many", lambda a, b, n: a + t_of(n + 1) * (b - a)),
    ("one_fewer", "n - 1 codes", "one_step_too_few", lambda a, b, n: a + t_of(n - 1) * (b - a)),
    ("transposed", "(D, n)", "transposed", lambda a, b, n: (a + t_of(n) * (b - a)).T),
    ("extra_axis", "(n, 1, D)", "extra_axis", lambda a, b, n: (a + t_of(n) * (b - a))[:, None]),
    ("adds_whole", "a + t b", "adds_whole_end", lambda a, b, n: a + t_of(n) * b),
    ("same_weight", "t a + t b", "weights_not_complementary", lambda a, b, n: t_of(n) * a + t_of(n) * b),
    ("away", "a + t (a - b)", "direction_reversed", lambda a, b, n: a + t_of(n) * (a - b)),
    ("constant", "t without effect", "stays_at_start", lambda a, b, n: a.expand(n, -1).clone()),
    (
        "unit",
        "codes scaled to length 1",
        "normalized",
        lambda a, b, n: torch.nn.functional.normalize(a + t_of(n) * (b - a), dim=1),
    ),
    (
        "random_t",
        "random, sorted t",
        "random",
        lambda a, b, n: (
            a + torch.cat([torch.zeros(1), torch.rand(n - 2).sort().values, torch.ones(1)])[:, None] * (b - a)
        ),
    ),
    (
        "list",
        "a Python list of codes",
        "list_of_tensors",
        lambda a, b, n: [a + i / (n - 1) * (b - a) for i in range(n)],
    ),
    ("nothing", "nothing returned", "returns_none", lambda a, b, n: None),
    ("numpy", "a NumPy array", "numpy_result", lambda a, b, n: (a + t_of(n) * (b - a)).numpy()),
    ("fixed_steps", "ten steps whatever is asked", "wrong_shape", lambda a, b, n: a + t_of(10) * (b - a)),
    (
        "noisy",
        "noise on the way",
        "random",
        lambda a, b, n: a + t_of(n) * (b - a) + (t_of(n) * (1 - t_of(n))) * torch.randn(n, len(a)),
    ),
    ("bent", "through the origin's side", None, lambda a, b, n: a + t_of(n) * (b - a) + t_of(n) * (1 - t_of(n)) * a),
    (
        "by_direction",
        "unit direction times distance: nan for equal codes",
        None,
        lambda a, b, n: a + t_of(n) * (b - a).norm() * ((b - a) / (b - a).norm()),
    ),
    ("cut_off", "codes cut off at 5", None, lambda a, b, n: a.clamp(-5, 5) + t_of(n) * (b - a.clamp(-5, 5))),
    (
        "rounded_steps",
        "the step 1 / (n - 1) rounded to two digits",
        None,
        lambda a, b, n: a + (torch.arange(n) * round(1 / (n - 1), 2))[:, None] * (b - a),
    ),
    ("two_only", "ends right, the rest repeated", None, lambda a, b, n: torch.cat([a.expand(n - 1, -1), b[None]])),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("spherical for straight", "spherical")
def spherical(z_start, z_end, num_steps):
    w = torch.acos(torch.nn.functional.cosine_similarity(z_start, z_end, dim=0))
    t = t_of(num_steps)
    return (torch.sin((1 - t) * w) * z_start + torch.sin(t * w) * z_end) / torch.sin(w)


@BANK.wrong("moves z_start in place", "changes_arguments")
def in_place(z_start, z_end, num_steps):
    step, rows = (z_end - z_start) / (num_steps - 1), []
    for _ in range(num_steps):
        rows.append(z_start.clone())
        z_start += step
    return torch.stack(rows)


@BANK.right("broadcasting")
def broadcasting(z_start, z_end, num_steps):
    t = torch.linspace(0, 1, num_steps, dtype=z_start.dtype, device=z_start.device)[:, None]
    return (1 - t) * z_start + t * z_end


@BANK.right("loop and stack")
def loop(z_start, z_end, num_steps):
    return torch.stack([z_start + i / (num_steps - 1) * (z_end - z_start) for i in range(num_steps)])


@BANK.right("torch.lerp")
def lerp(z_start, z_end, num_steps):
    t = torch.linspace(0, 1, num_steps, dtype=z_start.dtype, device=z_start.device)
    return torch.stack([torch.lerp(z_start, z_end, weight) for weight in t])


@BANK.right("einsum")
def einsum(z_start, z_end, num_steps):
    t = torch.linspace(0, 1, num_steps, dtype=z_start.dtype, device=z_start.device)
    return torch.einsum("tk,kd->td", torch.stack([1 - t, t], 1), torch.stack([z_start, z_end]))


@BANK.right("NumPy's linspace, turned back into a tensor")
def numpy_linspace(z_start, z_end, num_steps):
    return torch.as_tensor(np.linspace(z_start.cpu().numpy(), z_end.cpu().numpy(), num_steps), device=z_start.device)


@BANK.right("bfloat16 inside")
def low_precision(z_start, z_end, num_steps):
    t = torch.linspace(0, 1, num_steps, device=z_start.device)[:, None].bfloat16()
    return ((1 - t) * z_start.bfloat16() + t * z_end.bfloat16()).to(z_start.dtype)


@BANK.right("float64 inside")
def high_precision(z_start, z_end, num_steps):
    t = torch.linspace(0, 1, num_steps, dtype=torch.float64, device=z_start.device)[:, None]
    return z_start.double() + t * (z_end.double() - z_start.double())
