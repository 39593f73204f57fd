"""Where codes are drawn that are then decoded: the prior, or a distribution fitted to the codes of training images.

Every sampler is fitted to codes and draws codes: ``samplers.Mixture().fit(codes).sample(64, seed=0)``. Fitting one to
the codes of a trained autoencoder is ex-post density estimation (Ghosh et al. 2020, "From Variational to Deterministic
Autoencoders", section 4).

>>> codes = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]])
>>> make("axes").fit(codes).sample(64, seed=0).shape
torch.Size([64, 2])
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from course_utils.datasets import batches
from course_utils.system.contracts import Images, Model, Rows, Whole, takes

from .closed_forms import not_for_submissions
from .networks import LatentModel, evaluating, explaining, weights_dtype

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

NUM_CODES = 10_000  # that a mixture is fitted to: more change it little and cost much


class Sampler(ABC):
    """A distribution over codes (D,), fitted to codes (N, D)."""

    @takes(codes=Rows())
    def fit(self, codes: Tensor) -> Self:
        """Fit to codes (N, D), floats without nan; returns itself.

        Raises:
            ValueError: codes of another kind, or too few of them.
        """
        if len(codes) < self._least(codes.shape[1]):
            needed = self._least(codes.shape[1])
            raise ValueError(f"{len(codes)} codes of {codes.shape[1]} dimensions; expected at least {needed} for this.")
        self._device, self._dim = codes.device, codes.shape[1]
        self._fit(codes.detach().double().cpu())
        return self

    @takes(num_codes=Whole(1), seed=Whole(0, 2**63 - 1))
    def sample(self, num_codes: int, *, seed: int = 0) -> Tensor:
        """Codes (num_codes, D), float32, on the device of the codes that it was fitted to; the same for a seed."""
        device = self._fitted()
        return self._sample(num_codes, torch.Generator().manual_seed(seed)).float().to(device)

    @takes(codes=Rows())
    def log_density(self, codes: Tensor) -> Tensor:
        """(N,) log density of codes (N, D) in nats; float64, on the CPU."""
        self._fitted()
        if codes.shape[1] != self._dim:
            raise ValueError(
                f"codes are {tuple(codes.shape)}; expected (N, {self._dim}), as those that it was fitted to."
            )
        return self._log_density(codes.detach().double().cpu())

    def surprise(self) -> Surprise:
        """Minus the log density as a module, differentiable in the codes: what a search for a code adds to its loss."""
        return Surprise(*self._components()).float().to(self._fitted())

    def _fitted(self) -> torch.device:
        if not hasattr(self, "_device"):
            raise ValueError(f"{type(self).__name__} is not fitted yet: call its fit(codes) first.")
        return self._device

    def _least(self, dim: int) -> int:
        """So many codes are needed."""
        return 2

    @abstractmethod
    def _fit(self, codes: Tensor) -> None: ...

    @abstractmethod
    def _sample(self, num_codes: int, generator: torch.Generator) -> Tensor: ...

    @abstractmethod
    def _log_density(self, codes: Tensor) -> Tensor: ...

    @abstractmethod
    def _components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (K,), means (K, D) and lower triangular factors (K, D, D) of the Gaussians, float64."""


class Surprise(nn.Module):
    """z (N, D) -> minus the log density of a mixture of K Gaussians (N,), in nats, differentiable in z.

    Args:
        weights: (K,), means: (K, D), factors: (K, D, D), lower triangular: covariance = factor factor^T.
    """

    means: Tensor
    whitening: Tensor
    heights: Tensor

    def __init__(self, weights: Tensor, means: Tensor, factors: Tensor) -> None:
        super().__init__()
        whitening = torch.linalg.inv(factors)
        heights = weights.log() + whitening.diagonal(dim1=1, dim2=2).log().sum(1)
        self.register_buffer("means", means)
        self.register_buffer("whitening", whitening)
        self.register_buffer("heights", heights - 0.5 * means.shape[1] * math.log(2 * math.pi))

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.means.shape[1]:
            raise ValueError(f"z is {tuple(z.shape)}; expected (N, {self.means.shape[1]}).")
        white = torch.einsum("kij,nkj->nki", self.whitening, z[:, None] - self.means)
        return -torch.logsumexp(self.heights - 0.5 * white.square().sum(2), 1)


class _Normal(Sampler):
    """N(mean, factor factor^T)."""

    mean: Tensor
    factor: Tensor  # (D, D), lower triangular

    def _sample(self, num_codes: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num_codes, self._dim, generator=generator, dtype=torch.float64)
        return self.mean + noise @ self.factor.T

    def _log_density(self, codes: Tensor) -> Tensor:
        white = torch.linalg.solve_triangular(self.factor, (codes - self.mean).T, upper=False)
        return -0.5 * ((white**2).sum(0) + self._dim * math.log(2 * math.pi)) - self.factor.diagonal().log().sum()

    def _components(self) -> tuple[Tensor, Tensor, Tensor]:
        self._fitted()
        return torch.ones(1).double(), self.mean[None], self.factor[None]


class Prior(_Normal):
    """N(0, I), whatever the codes: only their dimension is looked at. The same z for a seed as ``metrics.samples``."""

    def _least(self, dim: int) -> int:
        return 1

    def _fit(self, codes: Tensor) -> None:
        self.mean, self.factor = torch.zeros(self._dim).double(), torch.eye(self._dim).double()

    def _sample(self, num_codes: int, generator: torch.Generator) -> Tensor:
        return torch.randn(num_codes, self._dim, generator=generator)


class ScaledAxes(_Normal):
    """An independent Gaussian in each dimension, with the mean and the variance of the codes."""

    def _fit(self, codes: Tensor) -> None:
        self.mean, self.factor = codes.mean(0), torch.diag(codes.std(0, correction=0).clamp_min(1e-12))


class Gaussian(_Normal):
    """One Gaussian with the mean and the covariance of the codes."""

    def _fit(self, codes: Tensor) -> None:
        self.mean = codes.mean(0)
        centred = codes - self.mean
        covariance = centred.T @ centred / len(codes)
        jitter = 1e-10 * covariance.diagonal().mean().clamp_min(1e-12)  # dimensions that no code uses have no width
        self.factor = torch.linalg.cholesky(covariance + jitter * torch.eye(self._dim, dtype=torch.float64))


class Mixture(Sampler):
    """A mixture of Gaussians with full covariances (scikit-learn), fitted to at most 10,000 of the codes.

    ``mixture`` is scikit-learn's after ``fit``.
    """

    mixture: GaussianMixture

    def __init__(self, num_components: int = 10, *, seed: int = 0) -> None:
        self.num_components = Whole(1).take("num_components", num_components)
        self.seed = Whole(0, 2**32 - 1).take("seed", seed)

    def _least(self, dim: int) -> int:
        return max(2, self.num_components)

    def _fit(self, codes: Tensor) -> None:
        from sklearn.mixture import GaussianMixture

        if len(codes) > NUM_CODES:
            codes = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(self.seed))[:NUM_CODES]]
        self.mixture = GaussianMixture(
            self.num_components, covariance_type="full", reg_covar=1e-4, random_state=self.seed
        ).fit(codes.numpy())

    def _sample(self, num_codes: int, generator: torch.Generator) -> Tensor:
        weights = torch.from_numpy(self.mixture.weights_)
        component = torch.multinomial(weights, num_codes, replacement=True, generator=generator)
        factors = torch.linalg.cholesky(torch.from_numpy(self.mixture.covariances_))
        noise = torch.randn(num_codes, self._dim, 1, generator=generator, dtype=torch.float64)
        return torch.from_numpy(self.mixture.means_)[component] + (factors[component] @ noise).squeeze(2)

    def _log_density(self, codes: Tensor) -> Tensor:
        return torch.from_numpy(self.mixture.score_samples(codes.numpy()))

    def _components(self) -> tuple[Tensor, Tensor, Tensor]:
        self._fitted()
        weights, means, covariances = (
            torch.from_numpy(part) for part in (self.mixture.weights_, self.mixture.means_, self.mixture.covariances_)
        )
        return weights, means, torch.linalg.cholesky(covariances)


SAMPLERS: dict[str, type[Sampler]] = {"prior": Prior, "axes": ScaledAxes, "gaussian": Gaussian, "mixture": Mixture}


def make(name: str) -> Sampler:
    """A sampler by its name: ``prior``, ``axes``, ``gaussian`` or ``mixture``.

    Raises:
        ValueError: another name.
    """
    if name not in SAMPLERS:
        raise ValueError(f"There is no sampler {name!r}; expected one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]()


@not_for_submissions
@takes(model=Model(), images=Images(), seed=Whole(0, 2**63 - 1), batch_size=Whole(1))
def aggregate_codes(model: LatentModel, images: Tensor, *, seed: int = 0, batch_size: int = 2000) -> Tensor:
    """Codes (N, D) of images (N, ...): one z ~ q(z | x) of each where the encoder gives mu and logvar, so that they are
    draws from the aggregate posterior; else the encoder's output."""
    generator, parts = torch.Generator().manual_seed(seed), []
    with evaluating(model), explaining(model, images):
        for x in batches(images, batch_size, shuffle=False):
            encoded = model.encode(x.to(weights_dtype(model, x.dtype)))
            if isinstance(encoded, tuple):
                mu, logvar = encoded
                noise = torch.randn(mu.shape, generator=generator).to(mu)
                encoded = mu + torch.exp(0.5 * logvar) * noise
            parts.append(encoded)
    return torch.cat(parts)
