"""Laws of `kl_divergence(mu, logvar)`: the closed form of KL(N(mu, exp(logvar)) || N(0, I)) in nats per image."""

from __future__ import annotations

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Formula, Probe, agrees, match_loss
from ..engine.demand import (
    ROUNDING,
    gradients,
    not_biased,
    plain64,
    same_number,
    same_tensor,
    scalar,
    untouched,
    well_behaved,
)
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import kl_size, kl_terms, per_image
from ..engine.verdict import Broken

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


def _wrong(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _FORMULA)


FORMULAS: list[Formula] = [
    (None, kl_terms),
    (_wrong("no_half", "The factor one half is missing."), lambda m, v: 2 * kl_terms(m, v)),
    (_wrong("half_twice", "You multiply by one half twice."), lambda m, v: kl_terms(m, v) / 2),
    (
        _wrong("sign", "The sign is the wrong way round: a KL divergence is never negative."),
        lambda m, v: -kl_terms(m, v),
    ),
    (
        _wrong("sign", "The sign is the wrong way round, and the factor one half is missing."),
        lambda m, v: -2 * kl_terms(m, v),
    ),
    (
        _wrong("plus_one", "You add 1 where it is subtracted: at mu = 0, logvar = 0 the KL must be 0."),
        lambda m, v: 0.5 * (m**2 + v.exp() + 1 - v),
    ),
    (
        _wrong("missing_one", "The -1 is missing: at mu = 0, logvar = 0 the KL must be 0."),
        lambda m, v: 0.5 * (m**2 + v.exp() - v),
    ),
    (
        _wrong("reverse", "This is the KL the other way round, from the prior to the posterior."),
        lambda m, v: 0.5 * ((1 + m**2) * (-v).exp() - 1 + v),
    ),
    (
        _wrong("log_sigma", "Your KL equals ours with logvar read as log sigma: it is the log of the variance."),
        lambda m, v: kl_terms(m, 2 * v),
    ),
    (
        _wrong(
            "sigma_for_variance",
            "You use the standard deviation where the variance belongs: exp(logvar), not exp(logvar / 2).",
        ),
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v),
    ),
    (
        _wrong("half_logvar", "You use log sigma where the log of the variance belongs."),
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v / 2),
    ),
    (
        _wrong("sigma_squared_twice", "You square the variance: exp(logvar) already is sigma^2."),
        lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 1 - v),
    ),
    (
        _wrong("half_log_sigma", "You use sigma and log sigma where the variance and its log belong."),
        lambda m, v: kl_terms(m, v / 2),
    ),
    (
        _wrong("logvar_is_variance", "You read logvar as the variance itself: it is its logarithm."),
        lambda m, v: 0.5 * (m**2 + v - 1 - v.clamp_min(1e-30).log()),
    ),
    (
        _wrong("logvar_is_variance", "You read logvar as the variance itself: it is its logarithm."),
        lambda m, v: 0.5 * (m**2 + v - 1 - v.abs().log()),
    ),
    (
        _wrong("logvar_is_sigma", "You read logvar as the standard deviation: it is the log of the variance."),
        lambda m, v: 0.5 * (m**2 + v**2 - 1 - (v**2).log()),
    ),
    (_wrong("mu_not_squared", "mu is not squared."), lambda m, v: 0.5 * (m + v.exp() - 1 - v)),
    (
        _wrong("mu_not_squared", "mu enters by its absolute value: it must be squared."),
        lambda m, v: 0.5 * (m.abs() + v.exp() - 1 - v),
    ),
    (_wrong("no_mu", "The term mu^2 is missing: nothing keeps the codes near 0."), lambda m, v: kl_terms(0 * m, v)),
    (
        _wrong("mu_sign", "mu^2 has the wrong sign: codes far from 0 would be rewarded."),
        lambda m, v: 0.5 * (-(m**2) + v.exp() - 1 - v),
    ),
    (
        _wrong("no_logvar", "The term logvar is missing: nothing keeps the variance from vanishing."),
        lambda m, v: 0.5 * (m**2 + v.exp() - 1),
    ),
    (
        _wrong("logvar_sign", "logvar has the wrong sign: its minimum is no longer at the prior."),
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 + v),
    ),
    (_wrong("no_variance", "The term exp(logvar) is missing."), lambda m, v: 0.5 * (m**2 - 1 - v)),
    (_wrong("only_mu", "Only mu^2 is penalised: the terms in logvar are missing."), lambda m, v: 0.5 * m**2),
    (
        _wrong("no_exp", "The variance is exp(logvar); you use logvar without the exponential."),
        lambda m, v: 0.5 * (m**2 + v - 1 - v),
    ),
    (
        _wrong("half_on_mu_only", "The factor one half belongs to the whole sum, not to one term."),
        lambda m, v: 0.5 * m**2 + v.exp() - 1 - v,
    ),
    (
        _wrong("half_not_on_mu", "The factor one half belongs to the whole sum, mu^2 included."),
        lambda m, v: m**2 + 0.5 * (v.exp() - 1 - v),
    ),
    (_wrong("arguments_swapped", "Your formula has mu and logvar in each other's place."), lambda m, v: kl_terms(v, m)),
    (
        _wrong("bits", "You measure in bits (log2); the course measures in nats (natural logarithm)."),
        lambda m, v: kl_terms(m, v) / 0.6931471805599453,
    ),
    (
        _wrong("absolute", "You take absolute values: each term keeps its sign."),
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v.abs()),
    ),
]


def match_kl(probes: list[Probe]) -> Cause | None:
    return match_loss(probes, FORMULAS)


def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, d in ((7, 4), (9, 2), (6, 5)):
        mu, logvar = draw.normal(n, d, scale=1.5), draw.normal(n, d)
        arguments = (plain64(mu), plain64(logvar))
        came = [candidate(mu.clone(), logvar.clone()) for _ in range(2)]
        if (
            all(isinstance(value, torch.Tensor) for value in came)
            and came[0].shape == came[1].shape
            and not torch.allclose(came[0].detach().double(), came[1].detach().double(), rtol=1e-5)
        ):
            return MONTE_CARLO
        probes.append(Probe(arguments, came[0]))
    return match_kl(probes)


CHECK = Check("kl_divergence(mu, logvar)", "scalar, in closed form, in nats per image")
CHECK.diagnosis(_diagnose)


def _value(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return scalar(candidate(mu.clone(), logvar.clone()), "the KL")


def _same(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor, what: str) -> None:
    """The value, of plain arguments and, as in training, of arguments that require gradients."""
    m, v = plain64(mu), plain64(logvar)
    for learning, when in ((False, ""), (True, ", both requiring gradients")):
        arguments = [argument.clone().requires_grad_(learning) for argument in (mu, logvar)]
        same_number(
            scalar(candidate(*arguments), "the KL"),
            per_image(kl_terms(m, v)),
            what + when,
            scale=per_image(kl_size(m, v)),
        )


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Six fixed points; on average over 60 draws see `not_biased`: its false alarm is below 1e-7."""
    for mu, logvar in ((1.0, 0.0), (-2.0, 0.0), (0.0, 1.0), (0.0, -2.0), (1.5, 0.5), (-1.0, 2.0)):
        _same(candidate, torch.tensor([[mu]]), torch.tensor([[logvar]]), f"KL at mu = {mu:g}, logvar = {logvar:g}")

    errors = []
    for _ in range(60):
        mu, logvar = draw.normal(4, 10), draw.normal(4, 10)
        right = per_image(kl_terms(plain64(mu), plain64(logvar)))
        errors.append(float(_value(candidate, mu, logvar).detach()) / right - 1)
    not_biased(errors, "KL")


@CHECK.law("is zero when the posterior is the prior")
def _zero_at_prior(candidate: Candidate, draw: Draw) -> None:
    """Random only in the number of dimensions; a function that is 0 everywhere does not pass."""
    n, d = draw.integer(2, 5), draw.integer(3, 30)
    got = float(_value(candidate, torch.zeros(n, d), torch.zeros(n, d)).detach())
    if not abs(got) <= 1e-3:
        raise Broken("KL = 0 at mu = 0, logvar = 0", show(got))
    away = float(_value(candidate, torch.ones(n, d), torch.zeros(n, d)).detach())
    if not abs(away) > 1e-3:
        raise Broken("KL above 0 at mu = 1, logvar = 0", show(away))


@CHECK.law("equals the integral of q log(q / p), computed numerically", weight=2)
def _integral(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for _ in range(3):
        mu, logvar = draw.number(-3, 3), draw.number(-3, 2.5)
        got = _value(candidate, torch.tensor([[mu]]), torch.tensor([[logvar]]))
        size = 0.5 * (mu**2 + 2.72**logvar + 1 + abs(logvar))
        same_number(got, _quadrature(mu, logvar), f"KL at mu = {show(mu)}, logvar = {show(logvar)}", scale=size)


def _quadrature(mu: float, logvar: float) -> float:
    """Trapezoid rule over 12 standard deviations to each side; exact to many digits for such smooth functions."""
    u = torch.linspace(-12, 12, 481, dtype=torch.float64)
    log_q = -0.5 * u.square() - 0.5 * logvar
    log_p = -0.5 * (mu + u * torch.tensor(logvar / 2, dtype=torch.float64).exp()).square()
    weights = (-0.5 * u.square()).exp() / (2 * torch.pi) ** 0.5
    return float(torch.trapezoid(weights * (log_q - log_p), u))


@CHECK.law("is right far from the prior and close to it", weight=2)
def _far(candidate: Candidate, draw: Draw) -> None:
    """Random points, exact comparison: a correct function never fails. No clamp, no floor: collapsed and exploding
    dimensions count with their true cost, and learn."""
    near = [(0.0, -12.0), (0.0, -18.0), (0.0, 8.0), (0.5, 11.0), (30.0, -1.0), (-12.0, 0.3)]
    far = [
        (0.0, draw.number(-35, -30)),
        (0.0, draw.number(12, 16)),
        (0.0, draw.number(21, 25)),
        (draw.number(33, 80), 0.0),
        (-draw.number(120, 300), 0.0),
        (-draw.number(15, 60), draw.number(-26, -21)),
    ]
    try:
        for mu, logvar in near + far:
            _same(
                candidate,
                torch.tensor([[mu]]),
                torch.tensor([[logvar]]),
                f"KL at mu = {show(mu)}, logvar = {show(logvar)}",
            )
    except Broken as broken:
        if broken.cause is None and _exact_nearby(candidate, draw):
            raise Broken(broken.expected, broken.got, CLAMPED) from None
        raise
    for mu, logvar in far:
        _, found = _value_and_gradients(candidate, torch.tensor([[mu]]), torch.tensor([[logvar]]))
        for what, got, want, size in found:
            same_tensor(got, want, f"{what} at mu = {show(mu)}, logvar = {show(logvar)}", scale=size, floor=1e-5)


def _value_and_gradients(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor) -> tuple[torch.Tensor, list]:
    """The value; for mu and for logvar what it is called, what came, what should, and the size of the terms in it."""
    n, m, v = len(mu), plain64(mu), plain64(logvar)
    leaves = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    value = scalar(candidate(*leaves), "the KL")
    by_mu, by_logvar = gradients(candidate, value, leaves, ("mu", "logvar"))
    return value, [
        ("dKL/dmu", by_mu, m / n, m.abs() / n),
        ("dKL/dlogvar", by_logvar, (v.exp() - 1) / (2 * n), (v.exp() * (1 + v.abs() / 2) + 1) / (2 * n)),
    ]


def _exact_nearby(candidate: Candidate, draw: Draw) -> bool:
    mu, logvar = 1 + draw.uniform(4, 3), 1 + draw.uniform(4, 3)
    return _is_exact(candidate(mu.clone(), logvar.clone()), mu, logvar) and _is_exact(
        candidate(mu.clone().requires_grad_(), logvar.clone().requires_grad_()), mu, logvar
    )


@CHECK.law("adds up over latent dimensions", weight=2)
def _adds_up(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single dimensions: a correct function never fails."""
    d = draw.integer(4, 9)
    mu, logvar = draw.normal(1, d), draw.normal(1, d)
    singles = [float(_value(candidate, mu[:, i : i + 1], logvar[:, i : i + 1]).detach()) for i in range(d)]
    size = max(per_image(kl_size(plain64(mu), plain64(logvar))), sum(map(abs, singles)))
    if sum(map(abs, singles)) < 1e-6:
        raise Broken("a KL above 0", "0")
    same_number(
        _value(candidate, mu, logvar), sum(singles), f"KL of {d} dimensions (sum of its dimensions)", scale=size
    )


@CHECK.law("is the average over the images of the batch", weight=2)
def _average(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single images: a correct function never fails."""
    n, d = draw.integer(3, 6), draw.integer(2, 6)
    mu, logvar = draw.normal(n, d), draw.normal(n, d)
    singles = [float(_value(candidate, mu[i : i + 1], logvar[i : i + 1]).detach()) for i in range(n)]
    size = max(per_image(kl_size(plain64(mu), plain64(logvar))), max(map(abs, singles)))
    if sum(map(abs, singles)) < 1e-6:
        raise Broken("a KL above 0", "0")
    whole = _value(candidate, mu, logvar)
    same_number(whole, sum(singles) / n, f"KL of a batch of {n} (average of its images)", scale=size)
    order = draw.permutation(n)
    same_number(
        _value(candidate, mu[order], logvar[order]),
        float(whole.detach()),
        "KL of the same batch in another order",
        scale=size,
    )
    same_number(
        _value(candidate, mu.repeat(40, 1), logvar.repeat(40, 1)),
        float(whole.detach()),
        "KL of the same batch 40 times over",
        scale=size,
    )
    half = draw.integer(450, 550)
    spread = torch.linspace(0, 3, 2 * half)[:, None]  # codes unlike one another: all of a large batch must count
    for shift in (-5.0, 5.0):
        mu, logvar = draw.normal(2 * half, 2) * spread, draw.normal(2 * half, 2) + shift
        halves = [
            float(_value(candidate, mu[part], logvar[part]).detach()) for part in (slice(half), slice(half, None))
        ]
        same_number(
            _value(candidate, mu, logvar),
            sum(halves) / 2,
            f"KL of a batch of {2 * half} (average of its halves)",
            scale=sum(map(abs, halves)) / 2,
        )


@CHECK.law("has the right gradient in mu and logvar", weight=3)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    first_broken, seen, right_value_only = None, [], False
    for n, d, scale in ((1, 12, 0.02), (1, 12, 0.1), (4, 6, 1.0), (2, 8, 3.0)):
        mu, logvar = draw.normal(n, d, scale=scale), draw.normal(n, d, scale=scale)
        if scale == 3.0:
            logvar[0, :2] = torch.tensor([-12.0, 8.0])
        value, found = _value_and_gradients(candidate, mu, logvar)
        right_value = scale == 1.0 and _is_exact(value, mu, logvar)
        for what, got, want, size in found:
            seen.append((plain64(got).flatten(), want.flatten(), size.flatten()))
            try:
                same_tensor(got, want, what, scale=size, floor=1e-5)
            except Broken as broken:
                first_broken, right_value_only = first_broken or broken, right_value_only or right_value
    if first_broken is not None:
        raise Broken(first_broken.expected, first_broken.got, _gradient_cause(seen, right_value_only))
    for n, d, dtype in (
        (draw.integer(60, 120), draw.integer(2, 4), torch.float32),
        (draw.integer(2, 4), draw.integer(100, 150), torch.float32),
        (3, 5, torch.float64),
    ):
        mu, logvar = draw.normal(n, d, dtype=dtype), draw.normal(n, d, dtype=dtype)
        value, found = _value_and_gradients(candidate, mu, logvar)
        for what, got, want, size in found:
            try:
                same_tensor(got, want, f"{what} for {n} x {d} in {str(dtype).removeprefix('torch.')}", scale=size)
            except Broken as broken:
                cause = PART_DETACHED if _is_exact(value, mu, logvar) else None
                raise Broken(broken.expected, broken.got, cause) from None


def _is_exact(value: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor) -> bool:
    right = per_image(kl_terms(plain64(mu), plain64(logvar)))
    return agrees(value, torch.tensor(right, dtype=torch.float64), 1e-5)


def _gradient_cause(seen: list[tuple[torch.Tensor, ...]], right_value_only: bool) -> Cause | None:
    """A clamp leaves some gradients right and makes the others vanish; a detached part leaves the value right."""
    got, want, size = (torch.cat(parts) for parts in zip(*seen))
    wrong = (got - want).abs() > ROUNDING * size + 1e-5
    vanished = wrong & (got.abs() < 1e-12)
    right_and_large = ~wrong & (want.abs() > 4 * ROUNDING * size)
    unreached = any(float(torch.cat([g for g, _, _ in seen[start::2]]).abs().max()) < 1e-12 for start in (0, 1))
    if bool((vanished == wrong).all()) and bool(right_and_large.any()) and not unreached:
        return CLAMPED
    return PART_DETACHED if right_value_only else None


@CHECK.law("gives the same number when asked twice")
def _exact(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    mu, logvar = draw.normal(3, 4), draw.normal(3, 4)
    first, second = (float(_value(candidate, mu, logvar).detach()) for _ in range(2))
    if abs(first) < 1e-6:
        raise Broken("a KL above 0", show(first))
    if abs(first - second) > 1e-5 * abs(first):
        raise Broken(f"the same number again, {show(first)}", show(second), MONTE_CARLO)


@CHECK.law("works in double precision, for a batch of one, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d in ((1, 1), (1, 7), (6, 3)):
        _same(
            candidate,
            draw.normal(n, d, dtype=torch.float64),
            draw.normal(n, d, dtype=torch.float64),
            f"KL for {n} x {d} in float64",
        )
    for device in candidate.devices():
        _same(candidate, draw.normal(4, 3).to(device), draw.normal(4, 3).to(device), f"KL on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    mu, logvar = draw.normal(20, 4, scale=4.0), draw.normal(20, 4, scale=4.0)
    kept = mu.clone(), logvar.clone()
    scalar(candidate(mu, logvar), "the KL")
    untouched(kept, (mu, logvar), ("mu", "logvar"))
    well_behaved(candidate)
