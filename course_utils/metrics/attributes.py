"""What codes know about the attributes of classes, on pictures held out at random and on classes held out whole.

Attributes belong to classes: all zebras have stripes. A probe that recognises the class therefore has all its
attributes, whether it sees them or not. Only classes that it has never met tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_utils.models.closed_forms import not_for_submissions
from course_utils.system.contracts import Binary, Number, Rows, Vector, Whole, takes

RESAMPLES = 500


@dataclass(frozen=True)
class AttributeScore:
    """Held-out ROC AUC of one attribute with a bootstrap interval; nan where it cannot be asked."""

    value: float
    low: float
    high: float


_SEED, _KNOWN = Whole(0, 2**32 - 1), Binary()


@not_for_submissions
@takes(z=Rows(2), attributes=_KNOWN, groups=Vector(2, whole=True), folds=Whole(2), seed=_SEED)
def held_out_scores(
    z: Tensor, attributes: Tensor, groups: Tensor | None = None, *, folds: int = 5, seed: int = 0
) -> Tensor:
    """Confidence of a linear probe that has not seen the picture, for each attribute: (N, A), nan where it is constant.

    Ridge regression (penalty 1) of the attributes on standardised codes: one solution for all of them together.

    Args:
        z: codes (N, D). attributes: (N, A) in {0, 1}.
        groups: labels (N,); pictures of one label are held out together, so that no class is both learned and asked
            (split by class). None: pictures are held out at random (split by picture).
    """
    _expect(z, attributes, groups)
    fold = _folds(len(z), groups, folds, seed).to(z.device)
    codes, targets = z.detach().double(), attributes.to(z.device).double()
    scores = torch.full_like(targets, float("nan"))
    for k in range(folds):
        train, test = fold != k, fold == k
        mean, scale = codes[train].mean(0), codes[train].std(0).clamp_min(1e-12)
        known, asked = (codes[train] - mean) / scale, (codes[test] - mean) / scale
        penalised = known.T @ known + torch.eye(known.shape[1], dtype=known.dtype, device=known.device)
        weights = torch.linalg.solve(penalised, known.T @ (targets[train] - targets[train].mean(0)))
        scores[test] = asked @ weights + targets[train].mean(0)
    scores[:, attributes.float().to(z.device).std(0) == 0] = float("nan")
    return scores.cpu()


@takes(scores=Vector(finite=False), positive=Binary(1))
def roc_auc(scores: Tensor, positive: Tensor) -> float:
    """Probability that a picture with the attribute scores above one without, ties counted half (Mann and Whitney,
    1947). nan where all or none have it, or a score is nan."""
    if scores.shape != positive.shape:
        raise ValueError(f"scores is {tuple(scores.shape)} and positive {tuple(positive.shape)}; expected both (N,).")
    values, has = scores.double().cpu().numpy(), positive.bool().cpu().numpy()
    count = int(has.sum())
    if count in (0, len(has)) or np.isnan(values).any():
        return float("nan")
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[which][has].sum() - count * (count + 1) / 2) / (count * (len(has) - count)))


@takes(
    scores=Rows(finite=False),
    attributes=_KNOWN,
    groups=Vector(whole=True),
    level=Number(above=0, below=1),
    seed=_SEED,
)
def attribute_intervals(
    scores: Tensor, attributes: Tensor, groups: Tensor | None = None, *, level: float = 0.95, seed: int = 0
) -> list[AttributeScore]:
    """ROC AUC of each column of ``scores`` (N, A) with its percentile bootstrap interval.

    Args:
        groups: labels (N,): classes are drawn anew instead of pictures. Attributes are constant within a class, so the
            classes are what there are many or few of; an interval from pictures is then far too narrow.
    """
    _expect(scores, attributes, groups)
    generator, found = np.random.default_rng(seed), []
    labels = torch.arange(len(scores)) if groups is None else groups.cpu()
    members = np.split(labels.argsort().numpy(), labels.unique(return_counts=True)[1].cumsum(0)[:-1].numpy())
    draws = [
        np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        for _ in range(RESAMPLES)
    ]
    for column in range(attributes.shape[1]):
        values, positive = scores[:, column], attributes[:, column].cpu()
        value = roc_auc(values, positive)
        if np.isnan(value):
            found.append(AttributeScore(value, value, value))
            continue
        again = np.array([roc_auc(values[rows], positive[rows]) for rows in draws])
        low, high = np.nanquantile(again, [(1 - level) / 2, (1 + level) / 2])
        found.append(AttributeScore(value, float(low), float(high)))
    return found


@not_for_submissions
@takes(z=Rows(2), binary=_KNOWN, labels=Vector(2, whole=True), permutations=Whole(1), folds=Whole(2), seed=_SEED)
def permuted_chance(
    z: Tensor, binary: Tensor, labels: Tensor, *, permutations: int = 100, folds: int = 5, seed: int = 0
) -> Tensor:
    """ROC AUC of each attribute, (permutations, A), where attributes are handed to the classes at random.

    What guessing gives when whole classes are held out. It is not 1/2: the folds that lack a class with the attribute
    learn that it is frequent, and are asked where it is rare; and few classes scatter widely.

    Args:
        z: codes (N, D). binary: (C, A) in {0, 1}, of every class. labels: (N,), indices into it.
    """
    labels = labels.cpu().long()
    there, index = labels.unique(return_inverse=True)
    if there[0] < 0 or there[-1] >= len(binary):
        raise ValueError(
            f"labels go from {int(there[0])} to {int(there[-1])}; binary has rows for {len(binary)} classes."
        )
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(permutations):
        shuffled = binary[there[torch.randperm(len(there), generator=generator)]][index]
        scores = held_out_scores(z, shuffled, labels, folds=folds, seed=seed)
        found.append([roc_auc(column, has) for column, has in zip(scores.T, shuffled.T, strict=True)])
    return torch.tensor(found)


@takes(scores=Rows(finite=False), attributes=_KNOWN, groups=Vector(whole=True), draws=Whole(1), seed=_SEED)
def auc_over_classes(
    scores: Tensor, attributes: Tensor, groups: Tensor, *, draws: int = RESAMPLES, seed: int = 0
) -> Tensor:
    """ROC AUC of each column, (1 + draws, A): as it is, then for classes drawn anew, nan where a draw lacks one kind.

    The same ``seed`` draws the same classes: differences of two results are paired. Attributes are constant within a
    class, so all that a draw changes is how often each pair of classes counts.

    Args:
        scores: (N, A). attributes: (N, A) in {0, 1}. groups: labels (N,).
    """
    _expect(scores, attributes, groups)
    there, index = groups.cpu().unique(return_inverse=True)
    number = len(there)
    member = torch.nn.functional.one_hot(index, number).double()
    size = member.sum(0)
    generator = np.random.default_rng(seed)
    drawn = torch.from_numpy(generator.multinomial(number, [1 / number] * number, draws)).double()
    times = torch.cat([torch.ones(1, number, dtype=torch.float64), drawn])
    columns = []
    for values, has in zip(scores.cpu().T, attributes.cpu().T, strict=True):
        above = (values[:, None] > values).double() + 0.5 * (values[:, None] == values).double()
        wins = member.T @ above @ member
        with_it = torch.zeros(number, dtype=torch.bool).index_put_((index,), has.bool())
        one, none = times * with_it, times * ~with_it
        pairs = (one @ size) * (none @ size)
        auc = ((one @ wins) * none).sum(1) / pairs
        columns.append(torch.where(values.isnan().any() | (pairs == 0), torch.nan, auc))
    return torch.stack(columns, 1)


@takes(z=Rows(2), attribute=Binary(1))
def attribute_direction(z: Tensor, attribute: Tensor) -> Tensor:
    """(D,): mean code of the pictures with the attribute minus that of those without, for "+ stripes"."""
    has = attribute.bool()
    if z.ndim != 2 or has.shape != z.shape[:1] or has.all() or not has.any():
        raise ValueError(
            f"z is {tuple(z.shape)}, attribute {tuple(attribute.shape)} with {int(has.sum())} ones; "
            "expected (N, D) and (N,) with both kinds in it."
        )
    return z[has].mean(0) - z[~has].mean(0)


@takes(z=Rows(), query=Rows(), k=Whole(1))
def nearest(z: Tensor, query: Tensor, k: int) -> Tensor:
    """Indices (Q, k) of the codes z (N, D) nearest to each of query (Q, D), nearest first."""
    if z.ndim != 2 or query.ndim != 2 or z.shape[1] != query.shape[1] or not 1 <= k <= len(z):
        raise ValueError(
            f"z is {tuple(z.shape)}, query {tuple(query.shape)}, k {k}; expected (N, D), (Q, D) and 1 <= k <= N."
        )
    dtype = torch.promote_types(query.dtype, z.dtype)
    apart = torch.cdist(query.to(dtype), z.to(dtype), compute_mode="donot_use_mm_for_euclid_dist")
    return apart.topk(k, largest=False).indices


@takes(scores=Rows(finite=False), signatures=_KNOWN)
def zero_shot(scores: Tensor, signatures: Tensor) -> Tensor:
    """The class (N,) whose attributes, signatures (C, A) in {0, 1}, fit the scores (N, A) best, as in direct attribute
    prediction (Lampert, Nickisch and Harmeling, 2009), here by squared distance. Columns that are nan are left out."""
    if scores.ndim != 2 or signatures.ndim != 2 or scores.shape[1] != signatures.shape[1]:
        raise ValueError(
            f"scores are {tuple(scores.shape)}, signatures {tuple(signatures.shape)}; expected (N, A) and (C, A)."
        )
    usable = ~torch.isnan(scores).any(0)
    return torch.cdist(scores[:, usable].double(), signatures[:, usable].double()).argmin(1)


def _folds(n: int, groups: Tensor | None, folds: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if groups is None:
        return torch.randperm(n, generator=generator) % folds
    labels, index = groups.cpu().unique(return_inverse=True)
    if len(labels) < folds:
        raise ValueError(f"there are {len(labels)} classes for {folds} folds; expected at least as many.")
    return (torch.randperm(len(labels), generator=generator) % folds)[index]


def _expect(z: Tensor, attributes: Tensor, groups: Tensor | None) -> None:
    fits = z.ndim == attributes.ndim == 2 and len(z) == len(attributes)
    if not fits or (groups is not None and len(groups) != len(z)):
        raise ValueError(
            f"codes or scores are {tuple(z.shape)}, attributes {tuple(attributes.shape)}, groups "
            f"{None if groups is None else tuple(groups.shape)}; expected (N, ...), (N, A) and (N,)."
        )
