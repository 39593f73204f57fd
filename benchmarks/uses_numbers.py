"""What the stored runs of unit 08 measure: finding what is odd, cleaning, filling in, as its notebook measures them.

Models are trained without one digit. ``of_uses(model, critic, data, reader)`` gives {name: value}:

- ``auc_<score>_<set>``: of 1,000 test images of the digits known and all of the ``left_out`` digit, 1,000 ``clothes``,
  or 1,000 ``faint`` digits; ``black_<score>``: share of the known digits that score above an all-black image.
  ``combined``: the largest of several, each in standard deviations from what is usual, on either side.
- ``projected_<noise>``, ``between_<noise>``: squared error per image of 1,000 noisy digits, by the projection and by
  Stein's rule; ``read_<noise>``, ``other_<noise>``: shares of projections that are read rightly, and surely as another
  digit; with ``between_`` before it of those by the rule, with ``left_out_`` of the left-out digit.
- ``filled_<term>``, ``filled_read_<term>``, ``filled_other_<term>``: the upper half of 200 digits, by search with no
  second term, the prior's or the mixture's; squared error of the hidden pixels; with ``left_out_`` of that digit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils import datasets, metrics
from course_utils.metrics import uses
from course_utils.models import samplers

LEFT_OUT = 4
NOISES = (0.1, 0.2, 0.4, 0.8)
SURE = 0.8
STEPS, LR = 100, 0.1


def without(data, digit: int = LEFT_OUT):
    """The data set without the training images of one digit."""
    known = data.train_labels != digit
    return data._replace(train_images=data.train_images[known], train_labels=data.train_labels[known])


def anomaly_score(logits: Tensor, x: Tensor) -> Tensor:
    nats = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return (nats - torch.special.entr(x) - torch.special.entr(1 - x)).sum(1)


def denoise(noisy: Tensor, projected: Tensor, std: float) -> Tensor:
    residual = noisy - projected
    energy = residual.square().sum(1, keepdim=True).clamp_min(1e-30)
    return projected + (1 - (residual.shape[1] - 2) * std**2 / energy).clamp_min(0) * residual


def inpaint(decoder: nn.Module, surprise: nn.Module | None, x: Tensor, mask: Tensor, z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=LR)
    for _ in range(STEPS):
        loss = (F.binary_cross_entropy_with_logits(decoder(z), x, reduction="none") * mask).sum()
        if surprise is not None:
            loss = loss + surprise(z).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return mask * x + (1 - mask) * torch.sigmoid(decoder(z))


def of_uses(model, critic: nn.Module | None, data, reader) -> dict[str, float]:
    model.requires_grad_(False)
    test, labels = datasets.scale(data.test_images.flatten(1)), data.test_labels
    known, left_out = test[labels != LEFT_OUT], test[labels == LEFT_OUT]
    truth = labels[labels != LEFT_OUT]
    mixture = samplers.Mixture(10).fit(metrics.codes(model, data.train_images.flatten(1)[:10_000]))
    found = _oddities(model, critic, mixture, known, left_out)
    generator = torch.Generator().manual_seed(0)
    fours = torch.full((len(left_out),), LEFT_OUT)
    for name, x, y in (("", known[:1000], truth[:1000]), ("left_out_", left_out, fours)):
        for noise in NOISES:
            noisy = x + noise * torch.randn(x.shape, generator=generator)
            clean = uses.projected(model, noisy)
            found[f"{name}projected_{noise:g}"] = _error(clean, x)
            between = denoise(noisy, clean, noise)
            found[f"{name}between_{noise:g}"] = _error(between, x)
            for kind, pictures in (("", clean), ("between_", between)):
                right, other = readings(reader, pictures, y)
                found |= {f"{name}{kind}read_{noise:g}": right, f"{name}{kind}other_{noise:g}": other}
    mask = known_half()
    for name, x, y in (("", known[:200], truth[:200]), ("left_out_", left_out[:200], fours[:200])):
        start = metrics.codes(model, x * mask)
        terms = {"none": None, "prior": samplers.Prior().fit(start).surprise(), "mixture": mixture.surprise()}
        for term, surprise in terms.items():
            filled = inpaint(model.decoder, surprise, x, mask.expand_as(x), start)
            found[f"{name}filled_{term}"] = _error(filled, x)
            right, other = readings(reader, filled, y)
            found |= {f"{name}filled_read_{term}": right, f"{name}filled_other_{term}": other}
    return found


def _oddities(model, critic, mixture, known: Tensor, left_out: Tensor) -> dict[str, float]:
    clothes = datasets.scale(datasets.load("fashion_mnist").test_images[:1000].flatten(1))
    usual = uses.scores(model, known[:1000], anomaly_score, mixture, critic)
    seen = uses.scores(model, known[2000:3000], anomaly_score, mixture, critic)
    together = _combined(seen, usual)
    found = {"distortion": float(usual["distortion"].mean()), "above_a_copy": float(usual["above a copy"].mean())}
    sets = {"left_out": left_out, "clothes": clothes, "faint": 0.3 * known[1000:2000], "black": torch.zeros(1, 784)}
    for kind, images in sets.items():
        scores = uses.scores(model, images, anomaly_score, mixture, critic)
        for score, values in scores.items():
            name = score.replace(" ", "_")
            if kind == "black":
                found[f"black_{name}"] = float((usual[score] > values).double().mean())
            else:
                found[f"auc_{name}_{kind}"] = uses.auc(usual[score], values).value
        odd = _combined(seen, scores)
        if kind == "black":
            found["black_combined"] = float((together > odd).double().mean())
        else:
            found[f"auc_combined_{kind}"] = uses.auc(together, odd).value
    return found


def _combined(seen: dict[str, Tensor], scores: dict[str, Tensor]) -> Tensor:
    """The largest distance from what is usual, in standard deviations, of the four numbers (three without a rate)."""
    names = [name for name in ("distortion", "above a copy", "rate", "mixture") if name in seen]
    a, b = (torch.stack([each[name].double() for name in names], 1) for each in (seen, scores))
    return ((b - a.mean(0)) / a.std(0)).abs().amax(1)


def known_half() -> Tensor:
    """(784,), 1 where a pixel is known: the lower 14 rows."""
    mask = torch.ones(28, 28)
    mask[:14] = 0
    return mask.flatten()


def readings(reader, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Shares of the images that are read as their label, and surely as another."""
    probabilities = reader.probabilities(images.clamp(0, 1))
    sure, read = probabilities.max(1)
    right = read == labels
    return float(right.double().mean()), float((~right & (sure > SURE)).double().mean())


def _error(images: Tensor, truth: Tensor) -> float:
    return float((images - truth).square().sum(1).mean())
