"""Shoemake's spherical interpolation, lengths not rescaled, straight where the codes are parallel, opposite or zero."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, normalize

from .entries import Bank

BANK = Bank("slerp")


def t_of(n, like):
    return torch.linspace(0, 1, n, dtype=like.dtype, device=like.device)[:, None]


def line(a, b, n):
    t = t_of(n, a)
    return (1 - t) * a + t * b


def angle(a, b):
    return torch.acos(cosine_similarity(a, b, dim=0).clamp(-1, 1))


def slerp(a, b, n, *, t=None, w=None, small=1e-4):
    """The right one, with places to go wrong."""
    t, w = t_of(n, a) if t is None else t, angle(a, b) if w is None else w
    if torch.sin(w) < small or a.norm() == 0 or b.norm() == 0:
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)


def times(n, first, last, gaps):
    return (torch.arange(first, last, dtype=torch.float64) / gaps)[:, None]


for name, about, cause, f in (
    ("straight", "straight line", "straight", line),
    ("end_missing", "i / n", "end_missing", lambda a, b, n: slerp(a, b, n, t=times(n, 0, n, n).to(a.dtype))),
    (
        "start_missing",
        "(i + 1) / n",
        "start_missing",
        lambda a, b, n: slerp(a, b, n, t=times(n, 1, n + 1, n).to(a.dtype)),
    ),
    (
        "inside_only",
        "neither end",
        "ends_missing",
        lambda a, b, n: slerp(a, b, n, t=times(n, 1, n + 1, n + 1).to(a.dtype)),
    ),
    ("reversed", "from end to start", "reversed", lambda a, b, n: slerp(b, a, n)),
    ("transposed", "(D, n)", "transposed", lambda a, b, n: slerp(a, b, n).T),
    ("one_more", "n + 1 codes", "one_step_too_many", lambda a, b, n: slerp(a, b, n + 1)),
    (
        "unit",
        "unit vectors come back",
        "unit_vectors",
        lambda a, b, n: slerp(normalize(a, dim=0), normalize(b, dim=0), n),
    ),
    (
        "lengths",
        "lengths interpolated separately",
        "length_interpolated",
        lambda a, b, n: (
            ((1 - t_of(n, a)) * a.norm() + t_of(n, a) * b.norm()) * slerp(normalize(a, dim=0), normalize(b, dim=0), n)
        ),
    ),
    (
        "raw_angle",
        "angle from the raw scalar product",
        "angle_not_normalized",
        lambda a, b, n: slerp(a, b, n, w=torch.acos((a @ b).clamp(-1, 1))),
    ),
    (
        "no_division",
        "not divided by sin w",
        "not_divided_by_sine",
        lambda a, b, n: torch.sin((1 - t_of(n, a)) * angle(a, b)) * a + torch.sin(t_of(n, a) * angle(a, b)) * b,
    ),
    (
        "quaternion",
        "turns the end round at obtuse angles",
        "shortest_way",
        lambda a, b, n: slerp(a, -b if a @ b < 0 else b, n),
    ),
    ("degrees", "angle in degrees", "degrees", lambda a, b, n: slerp(a, b, n, w=torch.rad2deg(angle(a, b)), small=-2)),
    ("half_angle", "half the angle", "half_angle", lambda a, b, n: slerp(a, b, n, w=angle(a, b) / 2)),
    (
        "cosines",
        "cosines for sines",
        "cosine_for_sine",
        lambda a, b, n: (
            (torch.cos((1 - t_of(n, a)) * angle(a, b)) * a + torch.cos(t_of(n, a) * angle(a, b)) * b)
            / torch.sin(angle(a, b))
        ),
    ),
    ("uneven", "t squared", "uneven", lambda a, b, n: slerp(a, b, n, t=t_of(n, a) ** 2)),
    (
        "no_fallback",
        "divides by zero for parallel codes",
        "parallel_codes+opposite_codes+zero_codes|zero_codes|parallel_codes+opposite_codes|parallel_codes|parallel_codes+zero_codes|opposite_codes+zero_codes",
        lambda a, b, n: slerp(a, b, n, small=-2),
    ),
    (
        "fallback_for_parallel_only",
        "opposite codes forgotten",
        "opposite_codes|opposite_codes+zero_codes",
        lambda a, b, n: line(a, b, n) if cosine_similarity(a, b, dim=0) > 0.9999999 else slerp(a, b, n, small=-2),
    ),
    ("fallback_too_wide", "straight below 0.5", "straight_too_early", lambda a, b, n: slerp(a, b, n, small=0.5)),
    (
        "fallback_by_cosine",
        "straight where |cos w| > 0.9995, as quaternion code has it",
        "straight_too_early",
        lambda a, b, n: line(a, b, n) if cosine_similarity(a, b, dim=0).abs() > 0.9995 else slerp(a, b, n),
    ),
    ("fallback_at_a_tenth", "straight below 0.1", "straight_too_early", lambda a, b, n: slerp(a, b, n, small=0.1)),
    (
        "fallback_for_acute",
        "straight at angles below 0.4",
        "straight_too_early",
        lambda a, b, n: line(a, b, n) if angle(a, b) < 0.4 else slerp(a, b, n),
    ),
    (
        "fallback_start",
        "start repeated for parallel codes",
        "parallel_codes+opposite_codes",
        lambda a, b, n: a.expand(n, -1).clone() if torch.sin(angle(a, b)) < 1e-4 else slerp(a, b, n),
    ),
    (
        "projected_line",
        "straight line scaled to the mean length",
        None,
        lambda a, b, n: normalize(line(a, b, n), dim=1) * (a.norm() + b.norm()) / 2,
    ),
    (
        "diffusion",
        "straight where the cosine is above 0.9995, and for zero codes; lengths as they are",
        "straight_too_early|",
        lambda a, b, n: line(a, b, n) if not 0 < (a @ b).abs() <= 0.9995 * a.norm() * b.norm() else slerp(a, b, n),
    ),
    (
        "zero_forgotten",
        "nan where a code is zero",
        "zero_codes",
        lambda a, b, n: (
            line(a, b, n)
            if torch.sin(torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))) < 1e-4
            else slerp(a, b, n) * (a.norm() * b.norm() / (a.norm() * b.norm()))
        ),
    ),
    (
        "opposite_forgotten",
        "only parallel and zero codes are straight",
        "opposite_codes",
        lambda a, b, n: line(a, b, n) if a.norm() * b.norm() == 0 or angle(a, b) < 1e-4 else slerp(a, b, n, small=-2),
    ),
    ("list", "a Python list", "list_of_tensors", lambda a, b, n: list(slerp(a, b, n))),
    ("nothing", "nothing returned", "returns_none", lambda a, b, n: None),
    ("numpy", "a NumPy array", "numpy_result", lambda a, b, n: slerp(a, b, n).numpy()),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("normalises its arguments in place", "changes_arguments")
def in_place(z_start, z_end, num_steps):
    first, last = z_start.norm().clamp_min(1e-12), z_end.norm().clamp_min(1e-12)
    copies = z_start.clone(), z_end.clone()
    z_start /= first
    z_end /= last
    return slerp(*copies, num_steps)


@BANK.right("torch functions")
def functional(z_start, z_end, num_steps):
    return slerp(z_start, z_end, num_steps)


@BANK.right("loop with math")
def loop(z_start, z_end, num_steps):
    lengths = float(z_start.norm() * z_end.norm())
    w = math.acos(max(-1.0, min(1.0, float(z_start @ z_end) / lengths))) if lengths else 0.0
    rows = []
    for i in range(num_steps):
        t = i / (num_steps - 1)
        if math.sin(w) < 1e-4:
            rows.append((1 - t) * z_start + t * z_end)
        else:
            rows.append(math.sin((1 - t) * w) / math.sin(w) * z_start + math.sin(t * w) / math.sin(w) * z_end)
    return torch.stack(rows)


@BANK.right("NumPy inside")
def with_numpy(z_start, z_end, num_steps):
    a, b = z_start.double().cpu().numpy(), z_end.double().cpu().numpy()
    t = np.linspace(0, 1, num_steps)[:, None]
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    w = np.arccos(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else 0.0
    path = (1 - t) * a + t * b if np.sin(w) < 1e-4 else (np.sin((1 - t) * w) * a + np.sin(t * w) * b) / np.sin(w)
    return torch.as_tensor(path, dtype=z_start.dtype, device=z_start.device)


@BANK.right("float64 inside, torch.where")
def double_where(z_start, z_end, num_steps):
    a, b, t = z_start.double(), z_end.double(), t_of(num_steps, z_start.double())
    w = torch.acos((normalize(a, dim=0) @ normalize(b, dim=0)).clamp(-1, 1))
    sine = torch.sin(w)
    flat = (sine < 1e-4) | (a.norm() == 0) | (b.norm() == 0)
    safe = torch.where(flat, 1.0, sine)
    first = torch.where(flat, 1 - t, torch.sin((1 - t) * w) / safe)
    last = torch.where(flat, t, torch.sin(t * w) / safe)
    return first * a + last * b


@BANK.right("angle by arctangent")
def arctangent(z_start, z_end, num_steps):
    a, b = normalize(z_start, dim=0), normalize(z_end, dim=0)
    w = 2 * torch.atan2((a - b).norm(), (a + b).norm())
    if z_start.norm() == 0 or z_end.norm() == 0 or torch.sin(w) < 1e-4:
        return line(z_start, z_end, num_steps)
    t = t_of(num_steps, z_start)
    return torch.sin((1 - t) * w) / torch.sin(w) * z_start + torch.sin(t * w) / torch.sin(w) * z_end


@BANK.right("lerp for the straight case, weights by einsum")
def einsum(z_start, z_end, num_steps):
    w, t = angle(z_start, z_end), t_of(num_steps, z_start)[:, 0]
    if torch.sin(w) < 1e-4 or z_start.norm() * z_end.norm() == 0:
        return torch.stack([torch.lerp(z_start, z_end, weight) for weight in t])
    parts = torch.stack([torch.sin((1 - t) * w), torch.sin(t * w)], 1) / torch.sin(w)
    return torch.einsum("tk,kd->td", parts, torch.stack([z_start, z_end]))
