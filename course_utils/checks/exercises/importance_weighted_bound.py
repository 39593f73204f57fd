"""Laws of `importance_weighted_bound(z, log_likelihood, mu, logvar)`: an upper bound on -log p(x) from K codes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Probe, agrees, sole
from ..engine.demand import gradients, plain64, same_number, same_tensor, scalar, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import blame
from ..shared.tables import holds

CHECK = Check("importance_weighted_bound(z, log_likelihood, mu, logvar)", "scalar, nats per image")


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random. q is the prior, so that every weight is p(x | z): 1/2 and 1/8, whose mean is 5/16."""
    z, none = torch.zeros(2, 1, 3), torch.zeros(1, 3)
    came = _call(candidate, Drawn(z, torch.tensor([[0.5], [0.125]]).log(), none, none))
    same_number(came, -math.log(5 / 16), "bound for the weights 1/2 and 1/8", scale=2.0)
    ones = torch.ones(150, 1)  # 150 images, each with a code of one dimension
    at_mean = Drawn(ones[None], -2 * ones.T, ones, math.log(0.25) * ones)
    want = 2.0 + 0.5 + math.log(2.0)  # -log p(x | z) - log p(z) + log q(z | x)
    same_number(_call(candidate, at_mean), want, "bound for one code at the mean of q = N(1, 1/4)", scale=3.0)


@CHECK.law("is the negative ELBO's sample at K = 1, and the average over images", weight=2)
def _one_code(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d in ((60, 3), (1, 6), (2, 4), (90, 2), (3, 5), (30, 30), (1, 12)):
        _compare(candidate, _drawn(draw, 1, n, d), f"bound of {n} images from one code each")


@CHECK.law("averages the weights inside the logarithm, for any number of codes", weight=3)
def _many_codes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for k, n, d in ((2, 60, 3), (7, 40, 2), (50, 30, 5), (500, 20, 2), (3, 40, 8)):
        _compare(candidate, _drawn(draw, k, n, d), f"bound of {n} images from {k} codes each")
    drawn = _drawn(draw, 20, 40, 3)
    again = Drawn(drawn.z.repeat(3, 1, 1), drawn.log_likelihood.repeat(3, 1), drawn.mu, drawn.logvar)
    _compare(candidate, again, "bound from every code three times, the same as from every code once")


@CHECK.law("is finite for the log-likelihoods of real images, thousands of nats below 0", weight=2)
def _far(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for level in (-900.0, -20_000.0, 300.0):
        drawn = _drawn(draw, 8, 150, 4, narrow=3.0, spread=3.0)  # so that q counts beside the likelihoods
        far = drawn._replace_likelihood(drawn.log_likelihood + level)
        with blame(lambda: EXPONENTIATED if _is_right_nearby(candidate, draw) else None):
            _compare(candidate, far, f"bound around {-level:g} nats")


@CHECK.law("passes gradients to log_likelihood, each code by its share of the weight")
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    drawn = _drawn(draw, 6, 40, 3)
    z, log_likelihood, mu, logvar = drawn.copies()
    found = gradients(
        candidate,
        _scalar(candidate(z, log_likelihood.requires_grad_(), mu, logvar)),
        (log_likelihood,),
        ("log_likelihood",),
    )
    share = torch.softmax(_log_weights(*map(plain64, drawn.copies())), 0)
    same_tensor(found[0], -share / 40, "gradient", scale=1 / 40, rounding=0.1)


@CHECK.law("works in double precision, for one image, on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    drawn = _drawn(draw, 5, 40, 2, torch.float64)
    first, second = (float(_call(candidate, drawn).detach()) for _ in range(2))
    with blame(RANDOM):
        same_number(second, first, "bound of the same codes again", rounding=1e-5)
    _compare(candidate, drawn, "bound in float64")
    _compare(candidate, _drawn(draw, 4, 1, 1), "bound of one image of one dimension")
    for device in candidate.devices():
        there = Drawn(*(t.to(device) for t in drawn.copies()))
        _compare(candidate, there, f"bound on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _drawn(draw, 4, 3, 2).copies()
    kept = [t.clone() for t in given]
    _scalar(candidate(*given))
    untouched(kept, given, ("z", "log_likelihood", "mu", "logvar"))
    well_behaved(candidate)


@dataclass(frozen=True)
class Drawn:
    """K codes for each of N images, as the law drew them."""

    z: torch.Tensor
    log_likelihood: torch.Tensor
    mu: torch.Tensor
    logvar: torch.Tensor

    def copies(self) -> tuple[torch.Tensor, ...]:
        return tuple(t.clone() for t in (self.z, self.log_likelihood, self.mu, self.logvar))

    def _replace_likelihood(self, log_likelihood: torch.Tensor) -> Drawn:
        return Drawn(self.z, log_likelihood, self.mu, self.logvar)


def _drawn(
    draw: Draw, k: int, n: int, d: int, dtype: torch.dtype = torch.float32, narrow: float = 0.0, spread: float = 1.0
) -> Drawn:
    """Weights that differ by several nats from code to code, and posteriors that are not the prior, with a logvar that
    is lower by `narrow`; the codes lie `spread` times as far from mu as q has them."""
    mu, logvar = draw.normal(n, d, dtype=dtype), draw.uniform(n, d, low=-2.0, high=0.7, dtype=dtype) - narrow
    z = mu + (logvar / 2).exp() * draw.normal(k, n, d, scale=spread, dtype=dtype)
    return Drawn(z, draw.normal(k, n, scale=3.0, dtype=dtype) - 4.0, mu, logvar)


def _terms(z, log_likelihood, mu, logvar):
    """log p(x | z), log p(z), log q(z | x), each (K, N)."""
    constant = 0.5 * z.shape[-1] * math.log(2 * math.pi)
    log_prior = -0.5 * z.square().sum(-1) - constant
    log_q = -0.5 * ((z - mu).square() * (-logvar).exp() + logvar).sum(-1) - constant
    return log_likelihood, log_prior, log_q


def _log_weights(z, log_likelihood, mu, logvar):
    log_likelihood, log_prior, log_q = _terms(z, log_likelihood, mu, logvar)
    return log_likelihood + log_prior - log_q


def _bound(log_weights: torch.Tensor) -> torch.Tensor:
    return (math.log(len(log_weights)) - torch.logsumexp(log_weights, 0)).mean()


def _scalar(value: object) -> torch.Tensor:
    return scalar(value, "the bound")


def _call(candidate: Candidate, drawn: Drawn) -> torch.Tensor:
    return _scalar(candidate(*drawn.copies()))


def _compare(candidate: Candidate, drawn: Drawn, what: str) -> None:
    arguments = [plain64(t) for t in drawn.copies()]
    log_likelihood, log_prior, log_q = _terms(*arguments)
    rounded = 1.0 if float(log_likelihood.abs().max()) < 100 else 0.2  # far out a nat is far less than 2 %
    size = rounded * float((log_likelihood.abs() + log_prior.abs() + log_q.abs()).mean())
    same_number(_call(candidate, drawn), float(_bound(_log_weights(*arguments))), what, scale=size, rounding=0.01)


def _is_right_nearby(candidate: Candidate, draw: Draw) -> bool:
    """Single images too: in the average of several, a wrong one came out right by chance in 1 of 100 runs."""
    sizes = ((1, 6), (5, 6), (20, 2), (1, 1), (2, 1), (3, 1), (5, 1), (9, 1), (14, 1), (30, 1))
    return all(holds(_compare, candidate, _drawn(draw, k, n, 3), "") for k, n in sizes)


_FORMULA = "the formula of the bound above the card: log of the mean over k of p(x | z) p(z) / q(z | x)"
EXPONENTIATED = Cause(
    "exponentiated",
    "Right for small log-likelihoods, wrong for those of real images: you exponentiate the weights as they are, or cut "
    "them off. torch.logsumexp takes the largest out first.",
    _FORMULA,
)
RANDOM = Cause(
    "random", "The same codes give another number the second time: z is given, nothing is drawn here.", _FORMULA
)
_MISTAKES = [
    (Cause(id, sentence, _FORMULA), mistake)
    for id, sentence, mistake in (
        ("elbo", "You average the logarithms: this is the ELBO. The mean stands inside the logarithm.", "mean"),
        ("log_k_missing", "log K is missing: the sum of K weights stands where their mean belongs.", "sum"),
        ("k_counted_twice", "You divide by K twice.", "twice"),
        ("sign", "The sign is wrong: this bounds log p(x) from below, and -log p(x) is asked for.", "sign"),
        ("prior_missing", "p(z) is missing from the weight.", "prior"),
        ("posterior_missing", "q(z | x) is missing from the weight.", "posterior"),
        ("weight_inverted", "p(z) and q(z | x) stand in each other's place.", "inverted"),
        ("likelihood_missing", "p(x | z) is missing from the weight.", "likelihood"),
        ("logvar_as_log_sigma", "You read logvar as the log of the standard deviation.", "sigma"),
        ("log_determinant_missing", "The density of q lacks its -logvar / 2: a narrow Gaussian is a high one.", "det"),
        ("variance_missing", "The squares in the density of q are not divided by the variance.", "variance"),
        ("best_code", "You take the best code; the mean over all of them is asked for.", "max"),
        ("sums_images", "You sum over the images; the average over the batch is asked for.", "images"),
        ("one_mean", "The mean over images stands inside the logarithm as well: each image has its own.", "one"),
        ("dimensions_averaged", "You average the densities over the dimensions; their logarithms add up.", "dims"),
        ("first_code_only", "Only the first code counts; the mean over all of them is asked for.", "first"),
        ("bits", "You count bits; nats are asked for: the natural logarithm.", "bits"),
        ("axes_swapped", "You average inside the logarithm over images, not over the codes of an image.", "axes"),
        ("axes_swapped", "You average inside the logarithm over images, not over the codes of an image.", "axis"),
        ("prior_missing", "p(z) is missing from the weight.", "prior, no constant"),
        ("posterior_missing", "q(z | x) is missing from the weight.", "posterior, no constant"),
        (
            "closed_form",
            "The closed form of the KL stands beside an average of likelihoods: p(z) / q(z | x) belongs to each code's "
            "weight, inside the average.",
            "closed",
        ),
    )
]


def _made_by(mistake: str, z, log_likelihood, mu, logvar) -> torch.Tensor:
    a, p, q = _terms(z, log_likelihood, mu, logvar)
    w, k = a + p - q, math.log(len(z))
    half = 0.5 * z.shape[-1] * math.log(2 * math.pi)
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(-1).mean()
    others = {
        "mean": lambda: -w.mean(),
        "sum": lambda: _bound(w) - k,
        "twice": lambda: _bound(w) + k,
        "sign": lambda: -_bound(w),
        "prior": lambda: _bound(a - q),
        "posterior": lambda: _bound(a + p),
        "prior, no constant": lambda: _bound(a - q - half),
        "posterior, no constant": lambda: _bound(a + p + half),
        "closed": lambda: _bound(a) + kl,
        "axis": lambda: (k - torch.logsumexp(w, 1)).mean(),
        "inverted": lambda: _bound(a - p + q),
        "likelihood": lambda: _bound(p - q),
        "sigma": lambda: _bound(_log_weights(z, a, mu, 2 * logvar)),
        "det": lambda: _bound(w - 0.5 * logvar.sum(-1)),
        "variance": lambda: _bound(a + p + 0.5 * ((z - mu).square() + logvar).sum(-1) + half),
        "max": lambda: -w.max(0).values.mean(),
        "images": lambda: _bound(w) * w.shape[1],
        "one": lambda: math.log(w.numel()) - torch.logsumexp(w.flatten(), 0),
        "dims": lambda: _bound(a + (p - q) / z.shape[-1]),
        "first": lambda: -w[0].mean(),
        "bits": lambda: _bound(w) / math.log(2),
        "axes": lambda: (math.log(w.shape[1]) - torch.logsumexp(w, 1)).mean(),
    }
    return others[mistake]()


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The mistake that predicts what came, for two batches that tell all of them apart."""
    probes = []
    for k, n, d in ((6, 4, 3), (9, 5, 2)):
        drawn = _drawn(draw, k, n, d)
        probes.append(Probe(tuple(map(plain64, drawn.copies())), candidate(*drawn.copies())))
    return sole(
        cause
        for cause, mistake in _MISTAKES
        if all(agrees(probe.came, _made_by(mistake, *probe.arguments)) for probe in probes)
    )
