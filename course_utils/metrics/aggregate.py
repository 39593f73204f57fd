"""The aggregate posterior q(z) = mean over images of q(z | x): its spread, what it knows of x, how far it is from p(z).

``mu`` and ``logvar`` are (N, D) floats, of all the images that q(z) averages over (see ``metrics.posterior``). Measures
of means that are nan or infinite are nan, with a warning; other shapes and types raise ValueError.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.models import closed_forms as reference
from course_utils.system.contracts import Rows, Whole, same_shape, takes

from . import distances, mmd

_SEED = Whole(0, 2**63 - 1)
BLOCK = 500  # codes whose density under all N components is formed at a time


@takes(mu=Rows(finite=False), logvar=Rows(finite=False))
def aggregate_covariance(mu: Tensor, logvar: Tensor) -> Tensor:
    """(D, D) covariance of z ~ q(z): that of the means plus the mean variance, exactly. The prior's is the identity;
    log det above 0 is the over-estimated variance of Zhao, Song and Ermon (InfoVAE, 2017, section 2.2)."""
    same_shape(mu, logvar, "mu", "logvar")
    centred = mu - mu.mean(0)
    return centred.T @ centred / len(mu) + torch.diag(logvar.exp().mean(0))


@takes(mu=Rows(finite=False), logvar=Rows(finite=False))
def aggregate_variance(mu: Tensor, logvar: Tensor) -> Tensor:
    """(D,) variance of z ~ q(z) in each dimension: the diagonal of ``aggregate_covariance``; 1 under the prior."""
    same_shape(mu, logvar, "mu", "logvar")
    return mu.var(0, correction=0) + logvar.exp().mean(0)


class Information(NamedTuple):
    """Where the rate goes, in nats: rate = I_q(x; z) + KL(q(z) || p(z)) (Hoffman and Johnson 2016, "ELBO surgery").

    ``mutual_information`` never exceeds ``ceiling`` = log N. It and ``kl_to_prior`` are exact, up to
    ``standard_error``, for the q(z) of the N images at hand. For the distribution that the images come from,
    ``mutual_information`` is too low on average and ``upper`` is too high: the truth lies between the two. A VAE whose
    codes tell all N images apart sits at the ceiling: then only the bracket is known.
    """

    mutual_information: float
    upper: float
    kl_to_prior: float
    rate: float
    standard_error: float  # of mutual_information and of kl_to_prior, from the draws of z
    ceiling: float


@takes(mu=Rows(2), logvar=Rows(2), num_draws=Whole(1), seed=_SEED, broken=lambda: Information(*[math.nan] * 6))
@torch.no_grad()
def mutual_information(mu: Tensor, logvar: Tensor, *, num_draws: int = 2000, seed: int = 0) -> Information:
    """I_q(x; z) = E log q(z | x) - log q(z) with z ~ q(z | x), and what it leaves of the rate.

    q(z) is averaged over all N images, not over a minibatch: the image that z was drawn from is counted among them for
    ``mutual_information`` (a lower bound for the population, at most log N) and left out for ``upper`` (an upper bound;
    both in Poole et al. 2019, section 2), which is never put above the rate, another upper bound. N in the thousands
    brings the two together where I is well below log N.

    Args:
        mu, logvar: (N, D), N >= 2, of the images.
        num_draws: codes drawn, one for each of as many images, evenly over them; more images than that are still all in
            q(z). Cost: num_draws * N * D.
    """
    same_shape(mu, logvar, "mu", "logvar")
    n, dim = mu.shape
    mu, logvar = mu.double(), logvar.double()
    generator = torch.Generator().manual_seed(seed)
    whole, rest = divmod(num_draws, n)
    index = torch.cat([torch.arange(n).repeat(whole), torch.randperm(n, generator=generator)[:rest]]).to(mu.device)
    noise = torch.randn(num_draws, dim, generator=generator, dtype=torch.float64).to(mu.device)
    z = mu[index] + torch.exp(0.5 * logvar[index]) * noise
    own = reference.gaussian_log_density(z, mu[index], logvar[index])
    components = _Components(mu, logvar)
    with_own, without_own = [], []
    for part, i in zip(z.split(BLOCK), index.split(BLOCK), strict=True):
        log_densities = components.log_densities(part)
        with_own.append(torch.logsumexp(log_densities, 1) - math.log(n))
        log_densities.scatter_(1, i[:, None], -math.inf)
        without_own.append(torch.logsumexp(log_densities, 1) - math.log(n - 1))
    values = own - torch.cat(with_own)
    information = float(values.mean())
    rate = float(reference.gaussian_kl(mu, logvar).sum(1).mean())
    return Information(
        information,
        min(float((own - torch.cat(without_own)).mean()), rate),
        rate - information,
        rate,
        float(values.std() / math.sqrt(num_draws)) if num_draws > 1 else math.nan,
        math.log(n),
    )


class _Components:
    """All the q(z | x_i), so that log q(z_s | x_i) of many z is one matrix product: quadratic in z, linear in 1/var."""

    def __init__(self, mu: Tensor, logvar: Tensor) -> None:
        precision = torch.exp(-logvar)
        self.factors = torch.cat([-0.5 * precision, mu * precision], 1).T
        self.constant = -0.5 * (mu.square() * precision + logvar + math.log(2 * math.pi)).sum(1)

    def log_densities(self, z: Tensor) -> Tensor:
        """(S, N) of z (S, D)."""
        return torch.cat([z.square(), z], 1) @ self.factors + self.constant


class DistanceToPrior(NamedTuple):
    """How far a set of codes is from N(0, I), and what as many draws of N(0, I) give: (mean, standard deviation)."""

    mmd: float  # unbiased MMD^2 against the prior itself; may be negative
    mmd_of_matching: tuple[float, float]
    sliced_wasserstein: float  # order 2, against as many draws of the prior; never 0
    sliced_wasserstein_of_matching: tuple[float, float]
    bandwidths: tuple[float, ...]


@takes(
    z=Rows(2),
    num_codes=Whole(2),
    num_matching=Whole(1),
    seed=_SEED,
    broken=lambda: DistanceToPrior(math.nan, (math.nan, math.nan), math.nan, (math.nan, math.nan), ()),
)
@torch.no_grad()
def distance_to_prior(
    z: Tensor, *, bandwidths: mmd.Bandwidths | None = None, num_codes: int = 2000, num_matching: int = 8, seed: int = 0
) -> DistanceToPrior:
    """Distance of codes from N(0, I), by MMD^2 and by sliced Wasserstein.

    Args:
        z: (N, D): the codes of an autoencoder, or one draw of q(z | x) for each image (``sample``), not the means.
        bandwidths: of the Gaussian kernels; default ``mmd.prior_bandwidths(D)``, 1/4 to 4 times the prior's typical
            distance. They are returned: an MMD without its bandwidths means nothing.
        num_codes: at most so many rows of z are used, chosen at random.
        num_matching: sets drawn from N(0, I) for comparison.
    """
    generator = torch.Generator().manual_seed(seed)
    if len(z) > num_codes:
        z = z[torch.randperm(len(z), generator=generator)[:num_codes].to(z.device)]
    z = z.detach()
    widths = tuple(mmd.as_floats(mmd.prior_bandwidths(z.shape[1]) if bandwidths is None else bandwidths))
    prior = _normal_like(z, generator)

    def measure(codes: Tensor) -> tuple[float, float]:
        sliced = distances.sliced_wasserstein(codes, prior, seed=seed)
        return float(mmd.mmd_squared_to_standard_normal(codes, widths)), sliced

    matching = torch.tensor([measure(_normal_like(z, generator)) for _ in range(num_matching)], dtype=torch.float64)
    (mean_mmd, mean_sliced), (sd_mmd, sd_sliced) = matching.mean(0).tolist(), matching.std(0).tolist()
    found_mmd, found_sliced = measure(z)
    return DistanceToPrior(found_mmd, (mean_mmd, sd_mmd), found_sliced, (mean_sliced, sd_sliced), widths)


@takes(mu=Rows(finite=False), logvar=Rows(finite=False), seed=_SEED)
def sample(mu: Tensor, logvar: Tensor, *, seed: int = 0) -> Tensor:
    """One draw of q(z | x) for each image, (N, D); the same noise for the same seed."""
    same_shape(mu, logvar, "mu", "logvar")
    return mu + torch.exp(0.5 * logvar) * _normal_like(mu, torch.Generator().manual_seed(seed))


def _normal_like(z: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(z.shape, generator=generator).to(z)
