"""Laws of `reparameterize(mu, logvar)`: z = mu + exp(logvar / 2) * eps with fresh eps ~ N(0, I)."""

from __future__ import annotations

import torch

from .candidate import Candidate
from .demand import gradients, plain64, same_tensor, tensor, untouched, well_behaved
from .law import Check, Draw, show
from .noise_causes import name_the_noise
from .randomness import (cosine_bound, count_bounds, distance_bound, is_clipped, kolmogorov_distance, largest_cosine,
                         mean_bound, mean_square_bounds, tail_probability)
from .score import Cause
from .verdict import Broken

_HINT = "the maths hint under the card of reparameterize: z = mu + sigma * eps, with sigma = exp(logvar / 2)"

FROZEN = Cause("frozen_noise", "You use the same noise at every call: a fixed seed, a noise tensor that is kept, or no "
               "noise at all. Draw eps anew inside the function.", "the line that makes eps")
NO_NOISE = Cause("no_noise", "z does not vary at all: no noise is added, so this is a plain autoencoder.",
                 "the line that makes eps", tentative=True)
ONE_NUMBER = Cause("one_number", "A single random number serves all images and dimensions: eps needs the full shape of "
                   "mu.",
                   "the shape you draw eps with")
SOME_DIMS = Cause("some_without_noise", "Some dimensions get no noise: sample all of them.", "the line that makes eps")
SHARED_BATCH = Cause("noise_shared_over_batch", "All images of a batch get the same noise: eps needs the full shape of "
                     "mu.",
                     "the shape you draw eps with")
SHARED_DIMS = Cause("noise_shared_over_dimensions", "All dimensions of a code get the same noise: eps needs the full "
                    "shape of mu.", "the shape you draw eps with")
DEPENDENT_ROWS = Cause("dependent_rows", "The noise of one image determines that of another (repeated, mirrored or "
                       "shuffled copies): draw all of eps independently.", "the line that makes eps")
DEPENDENT_COLUMNS = Cause("dependent_columns", "The noise of one dimension determines that of another (repeated, "
                          "mirrored or shuffled copies): draw all of eps independently.", "the line that makes eps")
CLIPPED = Cause("clipped_noise", "Large values of eps never come: the noise is clipped or truncated.",
                "the line that makes eps")
CLAMPED = Cause("clamped", "The spread is right near logvar = 0 and wrong far from it: something is clamped, or a "
                "constant is added to sigma.", "calls of clamp, min, max, and constants in your line for sigma",
                tentative=True)
NO_GRAD = Cause("no_grad", "z carries no gradient at all: it is sampled under torch.no_grad, with .sample() instead of "
                ".rsample(), or detached. Then the encoder cannot learn; that is what the trick is for.", _HINT)
MU_DETACHED = Cause("detached_mu", "No gradient reaches mu: it is detached, so that the encoder never learns where to "
                    "put its codes.", _HINT, tentative=True)
SIGMA_DETACHED = Cause("detached_logvar", "No gradient reaches logvar: the standard deviation is detached, so that the "
                       "encoder never learns its uncertainty.", _HINT)


def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    return name_the_noise(lambda mu, logvar: candidate(mu, logvar), draw)


CHECK = Check("reparameterize", "reparameterize(mu, logvar)", _diagnose)


def _draw_z(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return tensor(candidate(mu.clone(), logvar.clone()), mu.shape, "z")


def _standard_noise(candidate: Candidate, n: int, d: int) -> torch.Tensor:
    """What comes out at mu = 0, logvar = 0: there z is eps itself, whatever is made of logvar."""
    return plain64(_draw_z(candidate, torch.zeros(n, d), torch.zeros(n, d)))


@CHECK.law("returns one finite z for each mu, for any batch")
def _shape(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for n, d in ((1, 1), (1, 5), (7, 1), (64, 10)):
        _draw_z(candidate, draw.normal(n, d), draw.normal(n, d))


@CHECK.law("is centred on mu", weight=2)
def _mean(candidate: Candidate, draw: Draw) -> None:
    """Chernoff bound for the mean of 4096 normals, 12 columns; Laurent-Massart bound for the mean square of 8000
    normals, each with a centre of its own: false alarm below 1e-8."""
    n = 4096
    centres = torch.tensor([0.0, 0.4, -0.7, 3.0, -8.0, 25.0])
    centres = torch.cat([centres, draw.normal(6, scale=3.0)])
    logvar = draw.uniform(len(centres), low=-2.0, high=1.0)
    z = plain64(_draw_z(candidate, centres.expand(n, -1), logvar.expand(n, -1)))
    sigma = plain64(logvar / 2).exp()
    allowed = mean_bound(n) * sigma + 0.004 * plain64(centres).abs()
    worst = int(((z.mean(0) - plain64(centres)).abs() / allowed).argmax())
    if not bool(((z.mean(0) - plain64(centres)).abs() <= allowed).all()):
        raise Broken(f"mean of z = {show(centres[worst])} where mu = {show(centres[worst])}", show(z.mean(0)[worst]))
    mu, logvar = draw.normal(1000, 8, scale=3.0), draw.uniform(1000, 8, low=-1.0, high=1.0)
    e = (plain64(_draw_z(candidate, mu, logvar)) - plain64(mu)) / plain64(logvar / 2).exp()
    if float(e.square().mean()) > 1.02 * mean_square_bounds(e.numel())[1]:
        raise Broken("every z near its own mu", f"{show(e.square().mean().sqrt())} standard deviations away on average")


@CHECK.law("has standard deviation exp(logvar / 2), from tiny to large", weight=3)
def _spread(candidate: Candidate, draw: Draw) -> None:
    """Laurent-Massart bound for the variance of 8192 normals, 9 columns: false alarm below 1e-8."""
    n = 8192
    logvar = torch.tensor([-14.0, -6.0, -2.0, -0.7, 0.0, 1.0, 3.0, 6.0, 10.0])
    logvar = logvar + draw.number(-0.2, 0.2)
    logvar = logvar[draw.permutation(len(logvar))]
    z = plain64(_draw_z(candidate, torch.zeros(n, len(logvar)), logvar.expand(n, -1)))
    spread = z.std(0)
    ratio = spread / plain64(logvar / 2).exp()
    low, high = mean_square_bounds(n - 1)
    wrong = (ratio.square() < 0.95 * low) | (ratio.square() > 1.05 * high)  # a rounded logvar costs up to 3 %
    if bool(wrong.any()):
        worst = int((ratio.clamp_min(1e-30).log().abs() * wrong).argmax())
        only_far = not bool(wrong[(logvar > -1.5) & (logvar < 1.5)].any()) and abs(float(ratio[worst].log())) > 0.2
        raise Broken(f"standard deviation {show((logvar[worst] / 2).exp())} at logvar = {show(logvar[worst])}",
                     show(spread[worst]), CLAMPED if only_far else None)


@CHECK.law("uses standard normal noise", weight=3)
def _normal(candidate: Candidate, draw: Draw) -> None:
    """73728 draws: Dvoretzky-Kiefer-Wolfowitz bound for the distribution function, Chernoff bounds for the number of
    draws beyond 2.03, 3.03 and 3.53: false alarm below 1e-8."""
    for n, d in ((512, 128), (4096, 2)):
        _is_standard_normal(_standard_noise(candidate, n, d).flatten())
    small = [_standard_noise(candidate, 3, 4) for _ in range(4)]
    if all(abs(float(e.mean())) < 1e-4 for e in small):  # four times: (2.8e-4)^4 = 6e-15
        raise Broken("noise whose average over a small batch varies", "it is exactly 0 every time")


def _is_standard_normal(e: torch.Tensor) -> None:
    n = e.numel()
    distance = kolmogorov_distance(e)
    if distance > distance_bound(n):
        raise Broken("noise distributed as N(0, 1): largest difference of distribution functions at most "
                     f"{show(distance_bound(n))}", show(distance), CLIPPED if is_clipped(e) else None)
    for limit in (2.03, 3.03, 3.53):  # not whole numbers, where noise might be clipped and rounded
        beyond = tail_probability(limit)
        for share, came in ((2 * beyond, int((e.abs() > limit).sum())), (beyond, int((e > limit).sum())),
                            (beyond, int((e < -limit).sum()))):
            low, high = count_bounds(share * n)
            if not low <= came <= high:
                raise Broken(f"about {share * n:.0f} of {n} draws beyond {limit:g}", str(came),
                             CLIPPED if came < low and is_clipped(e) else None)


@CHECK.law("draws fresh noise at every call", weight=2)
def _fresh(candidate: Candidate, draw: Draw) -> None:
    """Equal draws: genuine noise repeats half of at least two numbers with a probability far below 1e-9. Cosine of two
    independent vectors of 4096: false alarm below 1e-9."""
    for n, d in ((64, 64), (3, 4), (5, 1), (1, 2), (3, 4)):
        mu, logvar = draw.normal(n, d), draw.uniform(n, d, low=-1.0, high=1.0)
        first, second = (plain64(_draw_z(candidate, mu, logvar)) for _ in range(2))
        if float((first == second).double().mean()) > 0.5 or bool((first == second).all()):
            raise Broken("another z at the second call with the same arguments", "the same numbers again",
                         _frozen_cause(candidate) if bool((first == second).all()) and n * d >= 12 else None)
    first, second = _even_noise(candidate, 64, 64), _even_noise(candidate, 64, 64)
    cosine, _, _ = largest_cosine(torch.stack([first.flatten(), second.flatten()]))
    if abs(cosine) > cosine_bound(64 * 64, 1):
        raise Broken("noise of two calls unrelated", f"correlation {show(cosine)}",
                     FROZEN if abs(cosine) > 0.99 else None)


def _frozen_cause(candidate: Candidate) -> Cause:
    """Does z vary within one call at least?"""
    return FROZEN if float(_even_noise(candidate, 32, 8).std()) > 1e-4 else NO_NOISE


def _even_noise(candidate: Candidate, n: int, d: int) -> torch.Tensor:
    """Centred noise, on a scale that is the same for all elements whatever is made of mu and logvar."""
    z = plain64(_draw_z(candidate, torch.zeros(n, d), torch.full((n, d), 0.9)))
    return z - z.mean()


@CHECK.law("draws its own noise for every image and every dimension", weight=2)
def _independent(candidate: Candidate, draw: Draw) -> None:
    """Cosines between all rows and all columns (concentration on the sphere, union over pairs), and the spread of the
    row and column means (Laurent-Massart): false alarm below 1e-8."""
    n, d = 2 * draw.integer(96, 128), 2 * draw.integer(96, 128)
    e = _even_noise(candidate, n, d)
    if float(e.std()) < 1e-6:
        again = plain64(_draw_z(candidate, torch.zeros(1, 1), torch.full((1, 1), 0.9)))
        once = plain64(_draw_z(candidate, torch.zeros(1, 1), torch.full((1, 1), 0.9)))
        raise Broken("noise", "every z is the same number", NO_NOISE if bool((again == once).all()) else ONE_NUMBER)
    spread = e.std(0)
    if float(spread.min()) < 1e-6 < float(spread.max()):
        raise Broken("noise in every dimension", f"{int((spread < 1e-6).sum())} of {d} dimensions do not vary",
                     SOME_DIMS)
    for rows, things, cause in ((e, "images", SHARED_BATCH), (e.T, "dimensions", SHARED_DIMS)):
        if float((rows - rows[0]).abs().max()) < 1e-6:
            raise Broken(f"other noise for other {things}", f"all {things} have the same noise", cause)
    _unrelated(e, "images", DEPENDENT_ROWS)
    _unrelated(e.T, "dimensions", DEPENDENT_COLUMNS)
    small = _even_noise(candidate, 6, 5)
    if len(small.unique()) < 16:
        raise Broken("30 different draws for 6 images and 5 dimensions", f"only {len(small.unique())} different ones")


def _unrelated(rows: torch.Tensor, things: str, dependent: Cause | None) -> None:
    n, d = rows.shape
    cosine, i, j = largest_cosine(rows)
    if kolmogorov_distance(rows / rows.std()) > 0.025:
        dependent = None  # the bounds are for normal noise; other noise is the matter of another law
    if abs(cosine) > cosine_bound(d, n * n) + 0.02:
        raise Broken(f"noise of different {things} unrelated",
                     f"correlation {show(cosine)} between {things} {i} and {j}",
                     dependent)
    common = rows.mean(0).square().mean() * n / rows.square().mean()
    low, high = mean_square_bounds(d)
    if not low * 0.9 <= float(common) <= high * 1.1:
        raise Broken(f"noise of different {things} unrelated",
                     f"their average varies {show(common)} times as much as it should", dependent)


@CHECK.law("lets the gradient through: dz/dmu = 1 and dz/dlogvar = (z - mu) / 2", weight=3)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """An identity for every draw: a correct function never fails."""
    for n, d in ((1, 6), (40, 8)):
        mu, logvar = draw.normal(n, d), draw.uniform(n, d, low=-2.0, high=1.5)
        weights = draw.signs(n, d) * draw.uniform(n, d, low=0.5, high=1.5)
        m, sigma, w = plain64(mu), plain64(logvar / 2).exp(), plain64(weights)
        mu.requires_grad_(), logvar.requires_grad_()
        z = tensor(candidate(mu, logvar), (n, d), "z")
        by_mu, by_logvar = _both_gradients(candidate, z, mu, logvar, weights.to(z.dtype))
        shift = plain64(z) - m
        if float(shift.abs().max()) < 1e-9:
            raise Broken("a z that differs from mu", "z = mu", NO_NOISE)
        try:
            same_tensor(by_mu, w, "weighted dz/dmu", scale=w.abs())
        except Broken as broken:
            lost = float(by_mu.abs().max()) < 1e-9
            raise Broken(broken.expected, broken.got, MU_DETACHED if lost else None) from None
        same_tensor(by_logvar, w * shift / 2, "weighted dz/dlogvar",
                    scale=w.abs() * (shift.abs() + 0.2 * m.abs() + 0.2 * sigma))


def _both_gradients(candidate: Candidate, z: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor,
                    weights: torch.Tensor) -> list[torch.Tensor]:
    try:
        return gradients(candidate, z, (mu, logvar), ("mu", "logvar"), weights)
    except Broken as broken:
        which = {"detached": NO_GRAD, "detached_mu": MU_DETACHED, "detached_logvar": SIGMA_DETACHED}
        cause = which.get(broken.cause.id) if broken.cause else None
        raise Broken(broken.expected, broken.got, cause) from None


@CHECK.law("works in double precision, for a batch of one, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Chernoff bound: a standard normal number beyond 8 has probability 1e-15; a spread of 40 numbers below 1e-3 has
    less."""
    shapes = [(1, 40, torch.float64, None), (3, 2, torch.float64, None)]
    shapes += [(4, 40, torch.float32, device) for device in candidate.devices()]
    for n, d, dtype, device in shapes:
        mu, logvar = draw.normal(n, d, dtype=dtype).to(device), draw.normal(n, d, dtype=dtype).to(device)
        z = _draw_z(candidate, mu, logvar)
        if device is not None and z.device.type != mu.device.type:
            raise Broken(f"z on {mu.device}, where mu is", f"z on {z.device}")
        e = (plain64(z) - plain64(mu)) / plain64(logvar / 2).exp()
        if float(e.abs().max()) > 8 or (d > 10 and float(e.std()) < 1e-3):
            raise Broken("z within a few standard deviations of mu, and not at mu",
                         f"{show(e.abs().max())} standard deviations away at most")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    mu, logvar = draw.normal(20, 4, scale=4.0), draw.normal(20, 4, scale=4.0)
    kept = mu.clone(), logvar.clone()
    tensor(candidate(mu, logvar), (20, 4), "z")
    untouched(kept, (mu, logvar), ("mu", "logvar"))
    well_behaved(candidate)
