"""Laws of `kl_divergence(mu, logvar)`: the closed form of KL(N(mu, exp(logvar)) || N(0, I)) in nats per image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Formula, Probe, match_loss, table
from ..engine.demand import ROUNDING, gradients, plain64, same_number, same_tensor, scalar
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import kl_size, kl_terms
from ..engine.verdict import Broken, blame
from ..shared.batch_average import WARM_UP, BatchAverage, Pair, grows

CHECK = Check("kl_divergence(mu, logvar)", "scalar, in closed form, in nats per image")


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Six fixed points and codes near the prior; on average over 60 draws see `not_biased`: its false alarm is below
    1e-7."""
    points = (1.0, 0.0), (-2.0, 0.0), (0.0, 1.0), (0.0, -2.0), (1.5, 0.5), (-1.0, 2.0)
    for n, (mu, logvar) in enumerate(points, 1):  # n times the same code: samples of it would differ
        mus, logvars = (value.repeat(n, 1) for value in _code(mu, logvar))
        KL.is_right(candidate, (mus, logvars), f"at mu = {mu:g}, logvar = {logvar:g}")
    KL.is_right(candidate, (draw.normal(4, 10, scale=0.2), draw.normal(4, 10, scale=0.2)), "of codes near the prior")
    KL.is_right_on_average(candidate, draw)


@CHECK.law("is zero when the posterior is the prior")
def _zero_at_prior(candidate: Candidate, draw: Draw) -> None:
    """Not random; a function that is 0 everywhere does not pass."""
    got = float(KL.value(candidate, (torch.zeros(4, 20), torch.zeros(4, 20))).detach())
    if not abs(got) <= 1e-3:
        raise Broken("KL = 0 at mu = 0, logvar = 0", show(got))
    away = float(KL.value(candidate, (torch.ones(4, 20), torch.zeros(4, 20))).detach())
    if not abs(away) > 1e-3:
        raise Broken("KL above 0 at mu = 1, logvar = 0", show(away))


@CHECK.law("equals the integral of q log(q / p), computed numerically", weight=2)
def _integral(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Two codes far from the prior, one near it."""
    for low, high, narrow, wide in ((2.2, 3.0, 0.8, 1.4), (-3.0, -2.2, -1.8, -1.0), (0.2, 0.5, -0.4, -0.1)):
        mu, logvar = draw.number(low, high), draw.number(narrow, wide)
        got = KL.settled(candidate, _code(mu, logvar))
        size = 0.5 * (mu**2 + math.exp(logvar) + 1 + abs(logvar))
        same_number(got, _quadrature(mu, logvar), f"KL at mu = {show(mu)}, logvar = {show(logvar)}", scale=size)


@CHECK.law("is right far from the prior and close to it", weight=2)
def _far(candidate: Candidate, draw: Draw) -> None:
    """Random points, exact comparison: a correct function never fails. No clamp, no floor: collapsed and exploding
    dimensions count with their true cost, and learn."""
    near = [(0.0, -12.0), (0.0, -18.0), (0.0, 8.0), (0.5, 11.0), (30.0, -1.0), (-12.0, 0.3)]
    far = [
        (0.0, -29.9),  # a clamp of logvar may begin at -30 and at 20, not nearer
        (0.0, draw.number(12, 16)),
        (0.0, 19.9),
        (draw.number(33, 80), 0.0),
        (-draw.number(120, 300), 0.0),
        (-draw.number(15, 60), draw.number(-26, -21)),
    ]
    with blame(lambda: CLAMPED if _is_exact_nearby(candidate, draw) else None):
        for mu, logvar in near + far:
            KL.is_right(candidate, _code(mu, logvar), f"at mu = {show(mu)}, logvar = {show(logvar)}")
    for mu, logvar in far:
        for what, got, want, size in _value_and_gradients(candidate, _code(mu, logvar))[1]:
            same_tensor(got, want, f"{what} at mu = {show(mu)}, logvar = {show(logvar)}", scale=size, floor=1e-5)


@CHECK.law("adds up over latent dimensions", weight=2)
def _adds_up(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single dimensions: a correct function never fails."""
    KL.adds_up(candidate, draw)


@CHECK.law("is the average over the images of the batch", weight=2)
def _average(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single images: a correct function never fails."""
    KL.averages(candidate, draw)
    spread = torch.linspace(0, 3, 1200)[:, None]  # codes unlike one another: all of a large batch must count
    for shift in (-5.0, 5.0):
        KL.halves(candidate, (draw.normal(1200, 1) * spread, draw.normal(1200, 1) + shift))


@CHECK.law("has the right gradient in mu and logvar", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    first_broken, seen, right_value_only = None, [], False
    for n, d, scale in ((1, 12, 0.02), (1, 12, 0.1), (4, 6, 1.0), (2, 8, 3.0)):
        mu, logvar = draw.normal(n, d, scale=scale), draw.normal(n, d, scale=scale)
        if scale == 3.0:
            mu[1, :2], logvar[0, :2] = torch.tensor([-7.0, 8.0]), torch.tensor([-12.0, 8.0])
        value, found = _value_and_gradients(candidate, (mu, logvar))
        right_value = scale == 1.0 and KL.is_exact(value, (mu, logvar))
        for what, got, want, size in found:
            seen.append((plain64(got).flatten(), want.flatten(), size.flatten()))
            try:
                same_tensor(got, want, what, scale=size, floor=1e-5)
            except Broken as broken:
                first_broken, right_value_only = first_broken or broken, right_value_only or right_value
    if first_broken is not None:
        first_broken.cause = _gradient_cause(seen, right_value_only)
        raise first_broken
    for n, d, dtype in ((90, 3, torch.float32), (3, 125, torch.float32), (3, 5, torch.float64)):
        given = draw.normal(n, d, dtype=dtype), draw.normal(n, d, dtype=dtype)
        value, found = _value_and_gradients(candidate, given)
        with blame(PART_DETACHED if KL.is_exact(value, given) else None):
            for what, got, want, size in found:
                same_tensor(got, want, f"{what} for {n} x {d} in {str(dtype).removeprefix('torch.')}", scale=size)


@CHECK.law("gives the same number when asked twice")
def _exact(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    KL.repeats(candidate, draw_codes(draw, 3, 4))


@CHECK.law("works in double precision, for a batch of one, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. The last batch has codes near the prior too."""
    unlike = torch.tensor([[0.05], [0.05], [0.05], [0.05], [0.5], [2.0]], dtype=torch.float64)
    for n, d, spread in ((1, 1, 1.0), (1, 2, 1.0), (1, 7, 1.0), (6, 1, unlike), (6, 3, unlike)):
        mu, logvar = (argument * spread for argument in draw_codes(draw, n, d, dtype=torch.float64))
        KL.settled(candidate, (mu, logvar))
        KL.is_right(candidate, (mu, logvar), f"for {n} x {d} in float64")
    for device in candidate.devices():
        mu, logvar = draw_codes(draw, 4, 3)
        KL.is_right(candidate, (mu.to(device), logvar.to(device)), f"on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    KL.behaves(candidate, (draw.normal(20, 4, scale=4.0), draw.normal(20, 4, scale=4.0)))


def draw_codes(draw: Draw, *shape: int, dtype: torch.dtype = torch.float32) -> Pair:
    """Means and log-variances away from 0, most means negative: what a wrong formula gets wrong in one dimension is not
    made good in another."""
    kind = draw.permutation(math.prod(shape)) % 4
    mu = (
        torch.tensor([-3.0, -3.0, 0.3, -3.0])[kind] + draw.uniform(len(kind)) * torch.tensor([2.0, 2.0, 0.9, 2.0])[kind]
    )
    logvar = torch.tensor([0.5, -2.5, 0.5, -2.5])[kind] + draw.uniform(len(kind), high=1.5)
    return mu.view(shape).to(dtype), logvar.view(shape).to(dtype)


def _code(mu: float, logvar: float) -> Pair:
    return torch.tensor([[mu]]), torch.tensor([[logvar]])


def _quadrature(mu: float, logvar: float) -> float:
    """Trapezoid rule over 12 standard deviations to each side; exact to many digits for such smooth functions."""
    u = torch.linspace(-12, 12, 481, dtype=torch.float64)
    log_q = -0.5 * u.square() - 0.5 * logvar
    log_p = -0.5 * (mu + u * math.exp(logvar / 2)).square()
    weights = (-0.5 * u.square()).exp() / (2 * torch.pi) ** 0.5
    return float(torch.trapezoid(weights * (log_q - log_p), u))


def _value_and_gradients(candidate: Candidate, given: Pair) -> tuple[torch.Tensor, list]:
    """The value; for mu and for logvar what it is called, what came, what should, and the size of the terms in it."""
    n, (m, v) = len(given[0]), map(plain64, given)
    leaves = [argument.clone().requires_grad_() for argument in given]
    value = scalar(candidate(*leaves), "the KL")
    by_mu, by_logvar = gradients(candidate, value, leaves, ("mu", "logvar"))
    return value, [
        ("dKL/dmu", by_mu, m / n, m.abs() / n),
        ("dKL/dlogvar", by_logvar, (v.exp() - 1) / (2 * n), (v.exp() * (1 + v.abs() / 2) + 1) / (2 * n)),
    ]


def _is_exact_nearby(candidate: Candidate, draw: Draw) -> bool:
    given = 1 + draw.uniform(4, 3), 1 + draw.uniform(4, 3)
    return all(KL.is_exact(KL.value(candidate, given, learning), given) for learning in (False, True))


def _gradient_cause(seen: Sequence[tuple[torch.Tensor, ...]], right_value_only: bool) -> Cause | None:
    """A clamp leaves some gradients right and makes the others vanish; a detached part leaves the value right."""
    got, want, size = (torch.cat(parts) for parts in zip(*seen, strict=True))
    wrong = (got - want).abs() > ROUNDING * size + 1e-5
    vanished = wrong & (got.abs() < 1e-12)
    right_and_large = ~wrong & (want.abs() > 4 * ROUNDING * size)
    unreached = any(float(torch.cat([g for g, _, _ in seen[start::2]]).abs().max()) < 1e-12 for start in (0, 1))
    if bool((vanished == wrong).all()) and bool(right_and_large.any()) and not unreached:
        return CLAMPED
    return PART_DETACHED if right_value_only else None


_FORMULA = "the maths hint under the card of kl_divergence: one half of the sum of mu^2 + exp(logvar) - 1 - logvar"

MONTE_CARLO = Cause(
    "monte_carlo",
    "Your KL changes from call to call: it is estimated from samples. For two Gaussians "
    "the exact value is known and needs no samples.",
    _FORMULA,
)
CLAMPED = Cause(
    "clamped",
    "Somewhere you clamp (clamp, max, min, abs, relu) or add a constant (such as 1e-8): where "
    "it acts, the value is wrong and the gradient vanishes, so that these dimensions stop learning.",
    "calls of clamp, max, min or relu, and constants in your formula",
    tentative=True,
)
PART_DETACHED = Cause(
    "detached_part",
    "The value is right but its gradient is not: part of the formula is detached or computed without gradients.",
    "uses of .detach(), .data, torch.no_grad or torch.tensor(...)",
    tentative=True,
)

KL = BatchAverage("KL", "dimensions", ("mu", "logvar"), 2, draw_codes, kl_terms, kl_size, MONTE_CARLO)

FORMULAS: list[Formula] = table(
    _FORMULA,
    kl_terms,
    ("no_half", "The factor one half is missing.", lambda m, v: 2 * kl_terms(m, v)),
    ("half_twice", "You multiply by one half twice.", lambda m, v: kl_terms(m, v) / 2),
    ("sign", "The sign is the wrong way round: a KL divergence is never negative.", lambda m, v: -kl_terms(m, v)),
    ("sign", "The sign is the wrong way round, and the factor one half is missing.", lambda m, v: -2 * kl_terms(m, v)),
    (
        "plus_one",
        "You add 1 where it is subtracted: at mu = 0, logvar = 0 the KL must be 0.",
        lambda m, v: 0.5 * (m**2 + v.exp() + 1 - v),
    ),
    (
        "missing_one",
        "The -1 is missing: at mu = 0, logvar = 0 the KL must be 0.",
        lambda m, v: 0.5 * (m**2 + v.exp() - v),
    ),
    (
        "reverse",
        "This is the KL the other way round, from the prior to the posterior.",
        lambda m, v: 0.5 * ((1 + m**2) * (-v).exp() - 1 + v),
    ),
    (
        "log_sigma",
        "Your KL equals ours with logvar read as log sigma: it is the log of the variance.",
        lambda m, v: kl_terms(m, 2 * v),
    ),
    (
        "sigma_for_variance",
        "You use the standard deviation where the variance belongs: exp(logvar), not exp(logvar / 2).",
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v),
    ),
    (
        "half_logvar",
        "You use log sigma where the log of the variance belongs.",
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v / 2),
    ),
    (
        "sigma_squared_twice",
        "You square the variance: exp(logvar) already is sigma^2.",
        lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 1 - v),
    ),
    (
        "half_log_sigma",
        "You use sigma and log sigma where the variance and its log belong.",
        lambda m, v: kl_terms(m, v / 2),
    ),
    (
        "logvar_is_variance",
        "You read logvar as the variance itself: it is its logarithm.",
        lambda m, v: 0.5 * (m**2 + v - 1 - v.clamp_min(1e-30).log()),
    ),
    (
        "logvar_is_variance",
        "You read logvar as the variance itself: it is its logarithm.",
        lambda m, v: 0.5 * (m**2 + v - 1 - v.abs().log()),
    ),
    (
        "logvar_is_sigma",
        "You read logvar as the standard deviation: it is the log of the variance.",
        lambda m, v: 0.5 * (m**2 + v**2 - 1 - (v**2).log()),
    ),
    ("mu_not_squared", "mu is not squared.", lambda m, v: 0.5 * (m + v.exp() - 1 - v)),
    (
        "mu_not_squared",
        "mu enters by its absolute value: it must be squared.",
        lambda m, v: 0.5 * (m.abs() + v.exp() - 1 - v),
    ),
    ("no_mu", "The term mu^2 is missing: nothing keeps the codes near 0.", lambda m, v: kl_terms(0 * m, v)),
    (
        "mu_sign",
        "mu^2 has the wrong sign: codes far from 0 would be rewarded.",
        lambda m, v: 0.5 * (-(m**2) + v.exp() - 1 - v),
    ),
    (
        "no_logvar",
        "The term logvar is missing: nothing keeps the variance from vanishing.",
        lambda m, v: 0.5 * (m**2 + v.exp() - 1),
    ),
    (
        "logvar_sign",
        "logvar has the wrong sign: its minimum is no longer at the prior.",
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 + v),
    ),
    ("no_variance", "The term exp(logvar) is missing.", lambda m, v: 0.5 * (m**2 - 1 - v)),
    ("only_mu", "Only mu^2 is penalised: the terms in logvar are missing.", lambda m, v: 0.5 * m**2),
    (
        "no_exp",
        "The variance is exp(logvar); you use logvar without the exponential.",
        lambda m, v: 0.5 * (m**2 + v - 1 - v),
    ),
    (
        "half_on_mu_only",
        "The factor one half belongs to the whole sum, not to one term.",
        lambda m, v: 0.5 * m**2 + v.exp() - 1 - v,
    ),
    (
        "half_not_on_mu",
        "The factor one half belongs to the whole sum, mu^2 included.",
        lambda m, v: m**2 + 0.5 * (v.exp() - 1 - v),
    ),
    ("arguments_swapped", "Your formula has mu and logvar in each other's place.", lambda m, v: kl_terms(v, m)),
    (
        "bits",
        "You measure in bits (log2); the course measures in nats (natural logarithm).",
        lambda m, v: kl_terms(m, v) / 0.6931471805599453,
    ),
    (
        "absolute",
        "You take absolute values: each term keeps its sign.",
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v.abs()),
    ),
)


def match_kl(probes: list[Probe]) -> Cause | None:
    return match_loss(probes, FORMULAS)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, d in ((7, 4), (9, 2), (6, 5)):
        mu, logvar = draw.normal(n, d, scale=1.5), draw.normal(n, d)
        came = [candidate(mu.clone(), logvar.clone()) for _ in range(2)]
        if (
            all(isinstance(value, torch.Tensor) for value in came)
            and came[0].shape == came[1].shape
            and not torch.allclose(plain64(came[0]), plain64(came[1]), rtol=1e-5)
        ):
            again = lambda mu=mu, logvar=logvar: float(KL.value(candidate, (mu, logvar)).detach())  # noqa: E731
            return WARM_UP if grows(again) else MONTE_CARLO
        probes.append(Probe((plain64(mu), plain64(logvar)), came[0]))
    return match_kl(probes) or KL.otherwise_wrong(candidate, draw)
