"""The models of the course with the face of scikit-learn: numpy in, numpy out, for pipelines.

``AutoencoderTransformer(kind="vae", latent_dim=10).fit(X).transform(X)`` as ``PCA(10).fit(X).transform(X)``.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from course_utils.models import closed_forms as reference
from course_utils.models import samplers
from course_utils.models.networks import LatentModel
from course_utils.system import device as device_module

from . import recipes
from .fitting import fit

FLOATS = (np.float64, np.float32)


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """An autoencoder, VAE, MMD or Wasserstein model with linear layers, as a scikit-learn transformer.

    Args:
        kind: ``ae``, ``vae``, ``mmd-ae``, ``mmd-vae``, ``infovae`` or ``wasserstein``.
        latent_dim: D, as ``n_components`` of PCA.
        hidden_dims: widths of the encoder's hidden layers; the decoder has them in reverse.
        likelihood: ``gaussian`` for any features: they are brought to [0, 1] by their common least and greatest value,
            and the variance is the best for each batch; ``bernoulli`` for features that lie in [0, 1] already.
        beta: weight of the rate (vae, infovae); 1 is the ELBO.
        weight: of the MMD or of the critic's gap; None: 100 for MMD, 3 for the critic.
        epochs, batch_size, lr: of Adam.
        sampler: where ``sample`` draws codes: ``prior``, ``axes``, ``gaussian`` or ``mixture``.
        random_state: seed of weights, order and noise.
        device: ``cpu``, ``cuda`` or ``mps``; None: the best there is.
        verbose: show how far training is.

    Attributes:
        model_: the trained network (float64, on the CPU, in evaluation mode).
        history_: one record for each epoch.
        offset_, scale_: features are ``(X - offset_) / scale_`` for the network.
        variance_: mean squared error of the features in the network's unit: the variance that ``score`` uses
            (``gaussian`` only).
        n_features_in_, feature_names_in_, n_iter_: as scikit-learn defines them.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> AutoencoderTransformer(latent_dim=2, epochs=1, random_state=0).fit_transform(X).shape
    (200, 2)
    """

    def __init__(
        self,
        kind: str = "ae",
        latent_dim: int = 2,
        *,
        hidden_dims: tuple[int, ...] = (400,),
        likelihood: str = "gaussian",
        beta: float = 1.0,
        weight: float | None = None,
        epochs: int = 10,
        batch_size: int = 128,
        lr: float = 1e-3,
        sampler: str = "prior",
        random_state: Any = None,
        device: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.kind = kind
        self.latent_dim = latent_dim
        self.hidden_dims = hidden_dims
        self.likelihood = likelihood
        self.beta = beta
        self.weight = weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.sampler = sampler
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on X (N, features); ``y`` is not looked at.

        Raises:
            ValueError: X is not a table of finite numbers with two rows or more, or a setting is out of its range.
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        self.offset_, self.scale_ = self._frame(X)
        sampler = samplers.make(self.sampler)
        images = torch.from_numpy(self._framed(X).astype(np.float32)).clamp_(0, 1)
        images = images.to(device_module.get_device(self.device))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with device_module.random_state_kept():
            device_module.seed_everything(seed)
            prepared = recipes.prepare(self._recipe(), images)
            run = fit(
                prepared.model,
                prepared.loss_function,
                images,
                epochs=self.epochs,
                batch_size=self.batch_size,
                lr=self.lr,
                seed=seed,
                critic=prepared.critic,
                progress=self.verbose,
                live=False,
            )
        if run.stopped == "interrupted":
            raise KeyboardInterrupt
        if run.stopped:
            raise ValueError(f"training stopped: {run.stopped}. Try a smaller lr (it is {self.lr}).")
        # in float64, a row's code does not depend on the rows beside it
        self.model_: LatentModel = run.model.cpu().double()
        self.history_, self.n_iter_ = run.history, len(run.history)
        self.sampler_ = sampler.fit(samplers.aggregate_codes(self.model_, images.cpu().double(), seed=seed))
        if self.likelihood == "gaussian":
            self.variance_ = float(np.mean((self._decoded(self._encoded(X)[0]) - self._framed(X)) ** 2))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Codes (N, latent_dim) of X (N, features); for a stochastic encoder the posterior means."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self._encoded(X)[0].numpy().astype(X.dtype)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows (N, features) that the codes X (N, latent_dim) stand for, in the unit of the data."""
        check_is_fitted(self)
        X = check_array(X, dtype=FLOATS)
        if X.shape[1] != self.latent_dim:
            raise ValueError(f"X has {X.shape[1]} columns; expected codes of latent_dim={self.latent_dim}.")
        return (self._decoded(torch.from_numpy(X).double()) * self.scale_ + self.offset_).astype(X.dtype)

    def sample(self, n_samples: int = 1, *, random_state: int = 0) -> np.ndarray:
        """(n_samples, features): means of p(x | z) for z from ``sampler``, in the unit of the data."""
        check_is_fitted(self)
        z = self.sampler_.sample(n_samples, seed=random_state).double()
        return self._decoded(z) * self.scale_ + self.offset_

    def score(self, X: Any, y: Any = None) -> float:
        """Mean over rows of the ELBO in nats (one z ~ q(z | x) each, always the same noise), in the unit of the data.

        Of a deterministic encoder, which has no rate, minus its distortion: that is no bound on log p(x). Bernoulli
        and Gaussian nats cannot be compared.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        x = torch.from_numpy(self._framed(X))
        mu, logvar = self._encoded(X)
        if logvar is None:
            z, rate = mu, torch.zeros(len(mu))
        else:
            noise = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            z, rate = mu + torch.exp(0.5 * logvar) * noise, reference.gaussian_kl(mu, logvar).sum(1)
        with torch.no_grad():
            logits = self.model_.decode(z)
            if self.likelihood == "bernoulli":
                distortion = reference.bernoulli_nll(logits, x)
            else:
                in_unit = X.shape[1] * math.log(self.scale_)  # a density of X, not of what the network sees
                distortion = reference.gaussian_nll(logits, x, max(self.variance_, 1e-12)) + in_unit
        return float(-(distortion + rate).mean())

    @property
    def _n_features_out(self) -> int:
        """Columns of what ``transform`` returns: scikit-learn names them."""
        return self.latent_dim

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _recipe(self) -> recipes.Recipe:
        weight = recipes.WEIGHTS.get(self.kind, 1.0) if self.weight is None else self.weight
        return recipes.Recipe(
            self.kind,
            self.latent_dim,
            tuple(self.hidden_dims),
            beta=self.beta,
            weight=weight,
            likelihood=self.likelihood,
        )

    def _frame(self, X: np.ndarray) -> tuple[float, float]:
        low, high = float(X.min()), float(X.max())
        if self.likelihood == "bernoulli":
            if low < 0 or high > 1:
                raise ValueError(
                    f"X lies in [{low:g}, {high:g}]; likelihood='bernoulli' is for features in [0, 1]. "
                    "Scale X, or take likelihood='gaussian'."
                )
            return 0.0, 1.0
        return low, (high - low) or 1.0

    def _framed(self, X: np.ndarray) -> np.ndarray:
        return (X.astype(np.float64) - self.offset_) / self.scale_

    def _encoded(self, X: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        with torch.no_grad():
            encoded = self.model_.encode(torch.from_numpy(self._framed(X)))
        return encoded if isinstance(encoded, tuple) else (encoded, None)

    def _decoded(self, z: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return torch.sigmoid(self.model_.decode(z)).numpy()
