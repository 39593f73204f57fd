"""What models of images are used for beside sampling: finding what is odd, cleaning, filling in. And the rivals that
have no latent space: the nearest training image, and a Gaussian (PCA).

Images are flat here, (N, pixels), floats in [0, 1] where a docstring does not say that noise may lead outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils.models import evaluating, explaining, weights_dtype
from course_utils.models.networks import LatentModel
from course_utils.models.samplers import Mixture
from course_utils.system.contracts import Binary, Images, Model, Number, Rows, Vector, Whole, takes

BLOCK = 500  # rows of a distance matrix held at a time


class Auc(NamedTuple):
    """Share of pairs (usual, odd) in which the odd one scores higher, equal scores half, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@takes(usual=Vector(2, infinite=True), odd=Vector(2, infinite=True), broken=lambda: Auc(math.nan, math.nan, math.nan))
def auc(usual: Tensor, odd: Tensor) -> Auc:
    """Area under the ROC curve of a score that should be higher for ``odd`` (M,) than for ``usual`` (N,).

    The interval is that of the choice of images (DeLong et al. 1988): neither of the model's seed nor of its training
    set, and has no width where all pairs are ranked alike.

    >>> round(auc(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])).value, 3)
    0.875
    """
    usual, odd = usual.detach().double().cpu(), odd.detach().double().cpu()
    of_odd, of_usual = _places(usual, odd), 1 - _places(odd, usual)
    value = float(of_odd.mean())
    half = 1.96 * math.sqrt(float(of_odd.var()) / len(odd) + float(of_usual.var()) / len(usual))
    return Auc(value, max(0.0, value - half), min(1.0, value + half))


def _places(among: Tensor, values: Tensor) -> Tensor:
    """Of each value the share of the others that are lower, equal ones half."""
    ordered = among.sort().values
    sides = [torch.searchsorted(ordered, values, right=right) for right in (False, True)]
    return (sides[0] + sides[1]).double() / (2 * len(ordered))


@takes(images=Rows(), train=Rows(), mask=Binary(1))
def nearest(images: Tensor, train: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(squared distances (N,), indices (N,)) of the training image (M, pixels) nearest to each image; with a ``mask``
    (pixels,) that is 1 where a pixel is known, as far as known pixels tell. Images may be noisy."""
    if images.shape[1] != train.shape[1]:
        raise ValueError(f"images are {tuple(images.shape)} and train {tuple(train.shape)}; expected as many pixels.")
    dtype = torch.promote_types(images.dtype, train.dtype)
    images, train = images.to(dtype), train.to(dtype)
    if mask is not None:
        if mask.shape != images.shape[1:]:
            raise ValueError(f"mask is {tuple(mask.shape)}; expected ({images.shape[1]},), 1 where a pixel is known.")
        known = mask > 0
        if not bool(known.any()):
            raise ValueError("mask is 0 everywhere; expected at least one pixel that is known.")
        images, train = images[:, known], train[:, known]
    found = [torch.cdist(part, train).square().min(1) for part in images.split(BLOCK)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


class GaussianImages:
    """The linear rival: mean and covariance of training images (N, pixels), N at least 2, in float64.

    Its first principal axes give PCA; as a density it cleans and fills in by closed forms, both the best that are
    linear in what is seen.
    """

    def __init__(self, train: Tensor) -> None:
        train = Rows(2).take("train", train).double()
        self.mean = train.mean(0)
        centred = train - self.mean
        self.covariance = centred.T @ centred / len(train)
        self.variances, self.axes = torch.linalg.eigh(self.covariance)

    @takes(images=Rows(), num_axes=Whole(1))
    def project(self, images: Tensor, num_axes: int) -> Tensor:
        """(N, pixels) on the plane of the first axes."""
        self._refuse_others(images)
        if num_axes > len(self.mean):
            raise ValueError(f"num_axes is {num_axes}; images of {len(self.mean)} pixels have as many axes.")
        axes = self.axes[:, -num_axes:]
        return (self.mean + (images.double() - self.mean) @ axes @ axes.T).to(images)

    @takes(noisy=Rows(), noise_std=Number(least=0))
    def clean(self, noisy: Tensor, noise_std: float) -> Tensor:
        """Posterior mean of images under independent Gaussian noise (the Wiener filter)."""
        self._refuse_others(noisy, "noisy")
        kept = self.variances.clamp_min(0) / (self.variances.clamp_min(0) + noise_std**2 + 1e-12)
        return (self.mean + ((noisy.double() - self.mean) @ self.axes * kept) @ self.axes.T).to(noisy)

    @takes(images=Rows(), mask=Binary(1), ridge=Number(above=0))
    def fill(self, images: Tensor, mask: Tensor, ridge: float = 1e-2) -> Tensor:
        """Conditional mean of the pixels where ``mask`` (pixels,) is 0, given the others, clamped to [0, 1].

        Args:
            ridge: variance of the noise that known pixels are thought to have.
        """
        self._refuse_others(images)
        if len(mask) != len(self.mean):
            raise ValueError(f"mask is {tuple(mask.shape)}; expected ({len(self.mean)},), 1 where a pixel is known.")
        known = mask > 0
        inner = self.covariance[known][:, known]
        inner = inner + ridge * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
        weights = torch.linalg.solve(inner, self.covariance[known][:, ~known])
        guess = self.mean[~known] + (images.double() - self.mean)[:, known] @ weights
        filled = images.clone()
        filled[:, ~known] = guess.clamp(0, 1).to(images)
        return filled

    def _refuse_others(self, images: Tensor, name: str = "images") -> None:
        if images.shape[1] != len(self.mean):
            raise ValueError(f"{name} are {tuple(images.shape)}; expected (N, {len(self.mean)}), as those of train.")


@takes(model=Model(("encode", "decode")), images=Images(scaled=True), mixture=Model(("log_density",)))
@torch.no_grad()
def scores(
    model: LatentModel,
    images: Tensor,
    score: Callable[[Tensor, Tensor], Tensor],
    mixture: Mixture,
    critic: nn.Module | None = None,
) -> dict[str, Tensor]:
    """What a model says of each image (N, pixels), one number for each way to ask, the higher the odder.

    Args:
        score: (logits, x) -> (N,), such as the distortion above a perfect copy, of the decoded mean code.
        mixture: fitted to the codes of training images.
        critic: trained to be high where the prior is.

    Returns:
        ``distortion`` (plain), ``above a copy``, ``rate`` (only of Gaussian encoders), ``prior`` and ``mixture`` (minus
        the log density of the mean code), ``critic`` (only where there is one): each (N,), on the CPU.
    """
    images = images.to(weights_dtype(model, images.dtype))
    with evaluating(model), explaining(model, images):
        code = model.encode(images)
        mu, logvar = code if isinstance(code, tuple) else (code, None)
        logits = model.decode(mu)
        nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(1)
        found = {"distortion": nats, "above a copy": score(logits, images)}
        if logvar is not None:
            found["rate"] = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
        found["prior"] = 0.5 * mu.square().sum(1)
        found["mixture"] = -mixture.log_density(mu)
        if critic is not None:
            found["critic"] = -critic(mu).flatten()
    return {name: values.cpu() for name, values in found.items()}


@takes(model=Model(("encode", "decode")), images=Rows())
@torch.no_grad()
def projected(model: LatentModel, images: Tensor) -> Tensor:
    """Images (N, pixels) through encoder and decoder, by the mean code. They may be noisy: nothing is clamped."""
    images = images.to(weights_dtype(model, images.dtype))
    with evaluating(model), explaining(model, images):
        code = model.encode(images)
        return torch.sigmoid(model.decode(code[0] if isinstance(code, tuple) else code))
