"""Laws of `pca_reconstruct(train, x, latent_dim)`: the best linear autoencoder, fitted to `train` and used on `x`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import plain64, same_number, same_tensor, several, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import counted
from ..shared.tables import causes

CHECK = Check("pca_reconstruct(train, x, latent_dim)", "(z, x_hat): codes (N, latent_dim) and images (N, num_pixels)")
_WHERE = "the maths hint under the card of pca_reconstruct: centre with the mean of train, keep its widest axes"
Pair = tuple[torch.Tensor, torch.Tensor]
Mistake = Callable[[torch.Tensor, torch.Tensor, int], Pair]


@CHECK.law("reconstructs without error what lies in a plane through the training images' mean", weight=2)
def _plane(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for dims, pixels in ((1, 6), (3, 10)):
        axes = torch.linalg.qr(draw.normal(pixels, dims))[0].T
        centre = 2 + draw.normal(pixels)
        train, x = (centre + 4 * _skewed(draw, n, dims) @ axes for n in (50, 7))
        _, x_hat = _call(candidate, train, x, dims)
        same_tensor(
            x_hat, plain64(x), f"reconstruction of images in a plane of {counted(dims, 'dimension')}", scale=3.0
        )


@CHECK.law("projects on the axes along which the training images vary most", weight=3)
def _projects(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, axes whose widths differ by a factor of 1.6, exact comparison: a correct function never fails."""
    for dims, pixels, number in ((2, 9, 3), (4, 12, 3), (1, 5, 2)):  # few beside many: x itself would move no axis
        train = _images(draw, 700, pixels)
        x = (train[:number] + train[-number:]) / 2
        _, x_hat = _call(candidate, train, x, dims)
        want = _exact(plain64(train), plain64(x), dims)[1]
        same_tensor(x_hat, want, f"reconstruction from {dims} of {pixels} axes", scale=4.0)


@CHECK.law(
    "learns from train alone: what an image becomes does not depend on the others in x", weight=2, essential=True
)
def _train_only(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    train, x = _images(draw, 120, 8), _images(draw, 6, 8) + 3
    want_z, want = _exact(plain64(train), plain64(x), 3)
    for part in (slice(0, 1), slice(2, 6)):
        z, x_hat = _call(candidate, train, x[part], 3)
        same_tensor(x_hat, want[part], "reconstruction of images far from the training images", scale=6.0)
        same_tensor(plain64(z).norm(dim=1), want_z[part].norm(dim=1), "length of their codes", scale=6.0)


@CHECK.law("gives as codes the coordinates on those axes: centred, uncorrelated, the widest first", weight=2)
def _codes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, the sign of an axis left open, exact comparison: a correct function never fails."""
    train = _images(draw, 150, 10)
    z, x_hat = (plain64(value) for value in _call(candidate, train, train, 4))
    want = _exact(plain64(train), plain64(train), 4)[0]
    same_tensor(z.mean(0), torch.zeros(4).double(), "mean code of the training images", scale=4.0)
    same_tensor(torch.cdist(z, z), torch.cdist(x_hat, x_hat), "distance of two codes, as of their pictures", scale=6.0)
    signs = torch.sign((z * want).sum(0))
    same_tensor(z * torch.where(signs == 0, 1.0, signs), want, "code, up to the signs of the axes", scale=4.0)


@CHECK.law("errs by the variance of the axes that it leaves out, and by nothing when it keeps all")
def _error(candidate: Candidate, draw: Draw) -> None:
    """An identity, random only in its inputs: a correct function never fails."""
    half = _images(draw, 15, 6) * torch.tensor([4.0, 2.0, 1.0, 1.0, 0.5, 0.25])
    middle = half.mean(0, keepdim=True)
    train = torch.cat([half, 2 * middle - half, middle])  # as much on one side as on the other: any middle is the mean
    variances = torch.linalg.eigvalsh(torch.cov(plain64(train).T, correction=0))
    for dims in (1, 3, 6):
        _, x_hat = _call(candidate, train, train, dims)
        came = float((plain64(x_hat) - plain64(train)).square().sum(1).mean())
        left_out = float(variances[: 6 - dims].sum())
        what = f"mean squared error of the training images with {dims} of 6 axes"
        same_number(came, left_out, what, scale=float(variances.sum()), rounding=0.005, floor=1e-4)


@CHECK.law("works with fewer images than pixels, in double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    axes = torch.linalg.qr(draw.normal(40, 5))[0].T
    scores = _skewed(draw, 12, 5) * torch.tensor([8.0, 6.0, 5.0, 4.0, 4.0])
    train = 3 * torch.sin(torch.arange(40.0)) + scores @ axes
    for images in (train, train.double()):
        _, x_hat = _call(candidate, images, images, 5)
        same_tensor(x_hat, plain64(train), "reconstruction of 12 images of 40 pixels, which span 5 axes", scale=8.0)
    for device in candidate.devices():
        _call(candidate, train.to(device), train.to(device), 2)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _images(draw, 30, 5), _images(draw, 4, 5)
    kept = tuple(value.clone() for value in given)
    candidate(*given, 2)
    untouched(kept, given, ("train", "x"))
    well_behaved(candidate)


def _images(draw: Draw, number: int, pixels: int) -> torch.Tensor:
    """Widths fall by a factor of 1.6 from axis to axis; the axes are the same in a law, turned away from the pixels.
    The mean lies far from 0, and away from the median."""
    turn = torch.linalg.qr(torch.cos(torch.arange(1.0, pixels * pixels + 1) ** 2).view(pixels, pixels))[0]
    widths = 4 * 1.6 ** -torch.arange(float(pixels))
    return 5 * torch.sin(torch.arange(float(pixels))) + 2 + (_skewed(draw, number, pixels) * widths) @ turn.T


def _skewed(draw: Draw, *shape: int) -> torch.Tensor:
    """Numbers with mean 0 and variance 1, most of them below 0, without long tails."""
    return torch.where(draw.uniform(*shape) < 0.2, 1.9, -0.475) + draw.normal(*shape, scale=0.31)


def _call(candidate: Candidate, train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    z, x_hat = several(candidate(train.clone(), x.clone(), dims), ("z", "x_hat"))
    return tensor(z, (len(x), dims), "z"), tensor(x_hat, x.shape, "x_hat")


def _axes(centred: torch.Tensor) -> torch.Tensor:
    """Rows, the widest first."""
    return torch.linalg.eigh(centred.T @ centred)[1].flip(1).T


def _exact(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    mean = train.mean(0)
    return _project(_axes(train - mean)[:dims], x, mean)


def _project(axes: torch.Tensor, x: torch.Tensor, mean: torch.Tensor | float) -> Pair:
    z = (x - mean) @ axes.T
    return z, mean + z @ axes


def _uncentred(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    return _project(_axes(train)[:dims], x, 0.0)


def _mean_of_x(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    return _project(_axes(train - train.mean(0))[:dims], x, x.mean(0))


def _x_uncentred(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    axes = _axes(train - train.mean(0))[:dims]
    return x @ axes.T, train.mean(0) + x @ axes.T @ axes


def _narrowest(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    mean = train.mean(0)
    return _project(_axes(train - mean).flip(0)[:dims], x, mean)


def _least_of_svd(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    mean = train.mean(0)
    return _project(_axes(train - mean)[-dims:], x, mean)


def _axes_uncentred(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    return _project(_axes(train)[:dims], x, train.mean(0))


def _columns(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    mean = train.mean(0)
    return _project(torch.linalg.svd(train - mean, full_matrices=False).Vh[:, :dims].T, x, mean)


def _standardised(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    mean, width = train.mean(0), train.std(0)
    z, back = _project(_axes((train - mean) / width)[:dims], (x - mean) / width, 0.0)
    return z, mean + back * width


def _flipped(z: torch.Tensor, of_train: torch.Tensor) -> torch.Tensor:
    return z.flip(1)


def _images_of(change: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> Mistake:
    """Right codes, and images made from the right ones, train and x."""

    def made(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
        z, x_hat = _exact(train, x, dims)
        return z, change(x_hat, train, x)

    return made


def _codes_of(change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Mistake:
    """Right images, and codes made from the right ones and from those of train."""

    def made(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
        z, x_hat = _exact(train, x, dims)
        return change(z, _exact(train, train, dims)[0]), x_hat

    return made


def _centred_with(centre: Callable[[torch.Tensor], torch.Tensor]) -> Mistake:
    return lambda train, x, dims: _project(_axes(train - centre(train))[:dims], x, centre(train))


def _by_width(z: torch.Tensor, of_train: torch.Tensor) -> torch.Tensor:
    return z / of_train.std(0)


def _whitened(train: torch.Tensor, x: torch.Tensor, dims: int) -> Pair:
    mean, axes = train.mean(0), _axes(train - train.mean(0))[:dims]
    z = (x - mean) @ axes.T / ((train - mean) @ axes.T).std(0)
    return z, mean + z @ axes


_NARROWEST = "You keep the narrowest axes: eigh sorts upwards, svd downwards."
_SCALED = "You divide the codes by their widths: coordinates on the axes keep the width that the images have."
_FROM_X = "You learn from x; mean and axes are those of train."
MISTAKES: list[tuple[Cause, Mistake]] = causes(
    _WHERE,
    (
        ("uncentred", "The mean is not subtracted: the first axis then points at the mean image.", _uncentred),
        ("own_statistics", _FROM_X, lambda t, x, d: _exact(x, x, d)),
        ("own_statistics", _FROM_X, _mean_of_x),
        ("own_statistics", _FROM_X, lambda t, x, d: _exact(torch.cat([t, x]), x, d)),
        ("own_statistics", _FROM_X, _images_of(lambda x_hat, t, x: x_hat - t.mean(0) + x.mean(0))),
        (
            "mean_lost",
            "The mean is subtracted, and not added again.",
            _images_of(lambda x_hat, t, x: x_hat - t.mean(0)),
        ),
        ("x_uncentred", "The mean is not subtracted from x.", _x_uncentred),
        ("one_mean", "You subtract one number from all pixels; each has a mean of its own.", _centred_with(torch.mean)),
        ("median", "You centre with the median; it is the mean.", _centred_with(lambda t: t.median(0).values)),
        ("narrowest", _NARROWEST, _narrowest),
        ("narrowest", _NARROWEST, _least_of_svd),
        (
            "axes_uncentred",
            "Your axes come from images whose mean was not subtracted: the first one points at the mean image.",
            _axes_uncentred,
        ),
        ("columns", "You take columns of Vh for axes; svd returns V transposed: its rows are the axes.", _columns),
        (
            "standardised",
            "You divide each pixel by its width, so that a pixel that hardly varies counts as much as any.",
            _standardised,
        ),
        (
            "pixels_for_axes",
            "Your axes are the first pixels; they are the directions in which train varies most.",
            lambda t, x, d: _project(torch.eye(x.shape[1]).to(x)[:d], x, t.mean(0)),
        ),
        (
            "widest_last",
            "The axes of your codes come narrowest first: the widest is asked for first.",
            _codes_of(_flipped),
        ),
        ("codes_scaled", _SCALED, _codes_of(_by_width)),
        ("codes_scaled", _SCALED, _whitened),
        (
            "clamped",
            "You cut x_hat off at 0 and 1; the linear reconstruction is asked for.",
            _images_of(lambda x_hat, t, x: x_hat.clamp(0, 1)),
        ),
        (
            "squashed",
            "x_hat passes through a sigmoid; the linear reconstruction is asked for.",
            _images_of(lambda x_hat, t, x: x_hat.sigmoid()),
        ),
        ("not_encoded", "x_hat is x itself: it must be made from the codes.", _images_of(lambda x_hat, t, x: x)),
        (
            "codes_unused",
            "x_hat is the mean image for every x: what the codes say is missing.",
            _images_of(lambda x_hat, t, x: t.mean(0).expand_as(x)),
        ),
        ("exchanged", "z and x_hat are exchanged.", lambda t, x, d: _exact(t, x, d)[::-1]),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for dims, pixels in ((2, 7), (3, 8)):
        train, x = _images(draw, 90, pixels), _images(draw, 9, pixels) + 1
        probes.append((plain64(train), plain64(x), dims, candidate(train.clone(), x.clone(), dims)))
    return sole(
        cause
        for cause, mistaken in MISTAKES
        if all(_like(came, mistaken(train, x, dims)) for train, x, dims, came in probes)
    )


def _like(came: object, predicted: Pair) -> bool:
    """Up to the signs of the axes: what is compared is lengths of codes, and the images."""
    if not isinstance(came, tuple) or len(came) != 2 or not all(isinstance(value, torch.Tensor) for value in came):
        return False
    return all(
        one.shape == other.shape and bool(((plain64(one).abs() - other.abs()).abs() <= 0.01 * other.abs().max()).all())
        for one, other in zip(came, predicted, strict=True)
    )
