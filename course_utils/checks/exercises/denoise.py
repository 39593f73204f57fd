"""Laws of `denoise(noisy, projected, noise_std)`: pictures moved to their projection as far as Stein allows."""

from __future__ import annotations

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole, table
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause

CHECK = Check("denoise(noisy, projected, noise_std)", "pictures shaped like noisy, between noisy and projected")
_WHERE = "the maths hint under the card of denoise: projected + max(0, 1 - (n - 2) noise_std² / |r|²) r"


@CHECK.law("is right where you can count", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: |r|² = 8 in 4 dimensions. Noise 1 takes a quarter of the way, 2 all of it, 0 nothing."""
    noisy, projected = torch.tensor([[3.0, 1.0, 1.0, 3.0]]), torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    for std, want in ((1.0, 2.5), (2.0, 1.0), (0.0, 3.0)):
        target = torch.tensor([[want, 1.0, 1.0, want]])
        _is(candidate, noisy, projected, std, target.double(), f"a picture of 4 pixels, noise {std:g}")


@CHECK.law("moves each picture towards its projection by the factor that its own distance asks for", weight=3)
def _values(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, pixels in ((4, 5), (1, 9), (6, 40), (3, 784)):
        _same(candidate, *_pictures(draw, n, pixels), f"{n} pictures of {pixels} pixels")


@CHECK.law("ends at the projection where the noise explains the whole distance, never beyond it", weight=2)
def _never_beyond(candidate: Candidate, draw: Draw) -> None:
    """Random inputs far from the edge, compared up to rounding: a correct function never fails."""
    for pixels, std in ((6, 1.5), (30, 0.4), (200, 3.0)):  # once the pictures vary far more than the noise
        projected = draw.normal(4, pixels)
        noisy = projected + 0.4 * std * draw.normal(4, pixels).clamp(-1.5, 1.5)
        _same(candidate, noisy, projected, std, "pictures within the noise of their projections")


@CHECK.law("is the projection where picture and projection are equal, and the picture where there is no noise")
def _ends(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    noisy, projected, _ = _pictures(draw, 3, 12)
    mixed = torch.cat([projected[:1], noisy[1:]])
    _same(candidate, projected.clone(), projected, 0.5, "pictures that equal their projections")
    _same(candidate, mixed, projected, 0.0, "pictures without noise, of which the first equals its projection")


@CHECK.law("judges each picture for itself", weight=2)
def _alone(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    noisy, projected, std = _pictures(draw, 5, 20)
    _same(candidate, noisy, projected, std, "5 pictures, near to and far from their projections")
    for i in (0, 2, 4):
        _same(candidate, noisy[i : i + 1], projected[i : i + 1], std, f"picture {i} alone")


@CHECK.law("does not depend on the unit of a pixel")
def _unit(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    noisy, projected, std = _pictures(draw, 4, 15)
    for factor in (255.0, 0.01):
        _same(candidate, factor * noisy, factor * projected, factor * std, f"pixels {factor:g} times as large")


@CHECK.law("takes pictures of any shape, in single and double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for dtype, shape in ((torch.float32, (1, 5, 6)), (torch.float64, (4, 4)), (torch.float32, (3, 2, 2))):
        noisy, projected, std = _pictures(draw, 3, torch.Size(shape).numel())
        y, p = (value.to(dtype).reshape(3, *shape) for value in (noisy, projected))
        _same(candidate, y, p, std, f"pictures {shape} in {dtype}")
    for device in candidate.devices():
        noisy, projected, std = _pictures(draw, 3, 8)
        _same(candidate, noisy.to(device), projected.to(device), std, f"pictures on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    noisy, projected, std = _pictures(draw, 3, 6)
    kept = noisy.clone(), projected.clone()
    candidate(noisy, projected, std)
    untouched(kept, (noisy, projected), ("noisy", "projected"))
    well_behaved(candidate)


def _pictures(draw: Draw, n: int, pixels: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Pictures whose factors go from about 0.2 to 0.9, none near the edge; projections far from 0."""
    projected, std = draw.normal(n, pixels) + 1.5, draw.number(0.4, 0.8)
    direction = draw.normal(n, pixels)
    direction = direction / direction.norm(dim=1, keepdim=True)
    kept = torch.linspace(0.2, 0.9, n)[draw.permutation(n)]
    length = std * (max(pixels - 2, 1) / (1 - kept)).sqrt()
    return projected + length[:, None] * direction, projected, std


def _is(
    candidate: Candidate, noisy: torch.Tensor, projected: torch.Tensor, std: float, want: torch.Tensor, what: str
) -> None:
    came = tensor(candidate(noisy.clone(), projected.clone(), std), noisy.shape, what)
    size = torch.maximum(plain64(noisy).abs(), plain64(projected).abs())
    unit = float(size.max())
    same_tensor(came, want, what, scale=size + 0.1 * unit, rounding=0.015, floor=1e-6 * unit)


def _same(candidate: Candidate, noisy: torch.Tensor, projected: torch.Tensor, std: float, what: str) -> None:
    _is(candidate, noisy, projected, std, _exact(plain64(noisy), plain64(projected), std), what)


def _rows(noisy: torch.Tensor, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The residual, its squared length for each picture (with axes to multiply by), and how many pixels there are."""
    r = noisy - projected
    squared = r.flatten(1).square().sum(1).view(-1, *[1] * (r.dim() - 1))
    return r, squared, r[0].numel()


def _factor(y: torch.Tensor, p: torch.Tensor, std: float, missing: int = 2) -> torch.Tensor:
    _, squared, n = _rows(y, p)
    explained = (n - missing) * std**2
    return torch.where(squared > 0, 1 - explained / squared.clamp_min(1e-300), 0.0).clamp_min(0)


def _exact(y: torch.Tensor, p: torch.Tensor, std: float) -> torch.Tensor:
    return p + _factor(y, p, std) * (y - p)


def _with(factor: torch.Tensor, y: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return p + factor * (y - p)


def _unclamped(y: torch.Tensor, p: torch.Tensor, std: float) -> torch.Tensor:
    _, squared, n = _rows(y, p)
    return 1 - (n - 2) * std**2 / squared


def _batch(y: torch.Tensor, p: torch.Tensor, std: float, *, mean: bool) -> torch.Tensor:
    r, squared, n = _rows(y, p)
    whole = (n - 2) * std**2 / squared.mean() if mean else (r.numel() - 2) * std**2 / squared.sum()
    return (1 - whole).clamp_min(0)


def _of_variance(variance: torch.Tensor, std: float) -> torch.Tensor:
    """The factor of a Wiener filter, with an axis to multiply by."""
    return (1 - std**2 / variance.clamp_min(1e-12)).clamp_min(0)[:, None]


_ONE_FACTOR = "One factor serves the whole batch; each picture has its own distance from its projection."
_OF_PICTURE = "Your factor looks at how much the picture varies; how far it is from its projection is what counts."
MISTAKES = table(
    _WHERE,
    _exact,
    (
        "beyond",
        "The factor may fall below 0: the picture is then pushed out on the other side of its projection.",
        lambda y, p, s: _with(_unclamped(y, p, s), y, p),
    ),
    ("n_for_n_minus_2", "You take n where n - 2 is asked for.", lambda y, p, s: _with(_factor(y, p, s, 0), y, p)),
    (
        "n_for_n_minus_2",
        "You take n - 1 where n - 2 is asked for.",
        lambda y, p, s: _with(_factor(y, p, s, 1), y, p),
    ),
    ("one_factor", _ONE_FACTOR, lambda y, p, s: _with(_batch(y, p, s, mean=True), y, p)),
    ("one_factor", _ONE_FACTOR, lambda y, p, s: _with(_batch(y, p, s, mean=False), y, p)),
    ("one_factor", _ONE_FACTOR, lambda y, p, s: _with(_factor(y, p, s).mean(), y, p)),
    ("one_factor", _ONE_FACTOR, lambda y, p, s: _with((1 - s**2 / (y - p).square().mean()).clamp_min(0), y, p)),
    (
        "variance_of_picture",
        _OF_PICTURE,
        lambda y, p, s: _with(_of_variance(y.flatten(1).var(1), s), y, p),
    ),
    (
        "variance_of_picture",
        _OF_PICTURE,
        lambda y, p, s: _with(_of_variance(y.flatten(1).var(1, correction=0), s), y, p),
    ),
    (
        "std_for_variance",
        "The variance of the noise is asked for, noise_std squared.",
        lambda y, p, s: _with(_factor(y, p, s**0.5), y, p),
    ),
    (
        "length_not_squared",
        "The squared length of the residual is asked for.",
        lambda y, p, s: _with((1 - (_rows(y, p)[2] - 2) * s**2 / _rows(y, p)[1].sqrt()).clamp_min(0), y, p),
    ),
    (
        "without_n",
        "One pixel's noise is held against the distance of all pixels: multiply by n - 2.",
        lambda y, p, s: _with((1 - s**2 / _rows(y, p)[1]).clamp_min(0), y, p),
    ),
    (
        "without_n",
        "One pixel's noise is held against the distance of all pixels: multiply by n - 2.",
        lambda y, p, s: _with((1 - (_rows(y, p)[2] - 2) * s**2 / _rows(y, p)[1] * _rows(y, p)[2]).clamp_min(0), y, p),
    ),
    (
        "other_end",
        "You start from the wrong end: the factor multiplies what is left of the residual.",
        lambda y, p, s: _with(1 - _factor(y, p, s), y, p),
    ),
    (
        "towards_zero",
        "You shrink towards 0; shrink towards the projection.",
        lambda y, p, s: _factor(y, p, s) * y,
    ),
    (
        "towards_zero",
        "You shrink towards 0; shrink towards the projection.",
        lambda y, p, s: (1 - (_rows(y, p)[2] - 2) * s**2 / _rows(y, 0 * p)[1]).clamp_min(0) * y,
    ),
    ("projection_alone", "You return the projection, whatever the noise.", lambda y, p, s: p),
    ("nothing_done", "You return the noisy picture as it is.", lambda y, p, s: y),
    ("half_way", "You go half of the way, whatever the noise.", lambda y, p, s: (y + p) / 2),
    (
        "all_or_nothing",
        "You take one or the other; the answer lies between.",
        lambda y, p, s: torch.where(_rows(y, p)[1] > _rows(y, p)[2] * s**2, y, p),
    ),
    (
        "all_or_nothing",
        "You take one or the other; the answer lies between.",
        lambda y, p, s: torch.where(_factor(y, p, s) > 0.5, y, p),
    ),
    (
        "ratio_of_sums",
        "You divide by the sum of both energies; the noise is already part of the residual.",
        lambda y, p, s: _with(_rows(y, p)[1] / (_rows(y, p)[1] + _rows(y, p)[2] * s**2), y, p),
    ),
    ("rooted", "You take the root of the factor.", lambda y, p, s: _with(_factor(y, p, s).sqrt(), y, p)),
    ("squared", "You square the factor.", lambda y, p, s: _with(_factor(y, p, s).square(), y, p)),
    (
        "pixel_by_pixel",
        "Each pixel has a factor of its own; one for the whole picture is asked for.",
        lambda y, p, s: _with((1 - s**2 / (y - p).square()).clamp_min(0), y, p),
    ),
    (
        "images_for_pixels",
        "You count images where the pixels of one image are to be counted.",
        lambda y, p, s: _with((1 - (len(y) - 2) * s**2 / _rows(y, p)[1]).clamp_min(0), y, p),
    ),
    ("clamped", "Do not clamp the result: it is asked for in any unit.", lambda y, p, s: _exact(y, p, s).clamp(0, 1)),
    (
        "residual_alone",
        "You return what is left of the residual; the projection is missing.",
        lambda y, p, s: _factor(y, p, s) * (y - p),
    ),
    (
        "mirrored",
        "The sign of the residual is wrong: it is noisy minus projected, added to the projection.",
        lambda y, p, s: p - _factor(y, p, s) * (y - p),
    ),
)
_NAN = Cause(
    "zero_by_zero",
    "Where picture and projection are equal you divide 0 by 0: the answer there is the projection.",
    _WHERE,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Few pixels, so that n, n - 1 and n - 2 differ; the third batch lies within the noise."""
    probes = []
    for n, pixels, shrink in ((4, 6, 1.0), (5, 9, 1.0), (4, 7, 0.35)):
        noisy, projected, std = _pictures(draw, n, pixels)
        noisy = projected + shrink * (noisy - projected)
        probes.append((plain64(noisy), plain64(projected), std, candidate(noisy, projected, std)))
    found = {
        cause.id if cause else "": cause
        for cause, mistaken in MISTAKES
        if all(agrees(came, mistaken(y, p, s)) for y, p, s, came in probes)
    }
    if "" not in found:
        return sole(found.values())
    same = torch.ones(2, 5)
    came = candidate(same, same.clone(), 0.0)
    return _NAN if isinstance(came, torch.Tensor) and bool(torch.isnan(came).any()) else None
