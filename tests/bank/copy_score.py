"""Are samples nearer to the training images than new images are?"""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("copy_score")


def distances(images, train):
    return torch.cdist(images.flatten(1), train.flatten(1))


def nearest(images, train):
    return distances(images, train).min(1).values


def share(a, b, ties=0.5):
    a, b = a[:, None], b[None]
    return ((a < b).double().mean() + ties * (a == b).double().mean()).item()


def paired(a, b):
    n = min(len(a), len(b))
    return (a[:n] < b[:n]).double().mean().item()


for name, about, cause, f in (
    (
        "upside_down",
        "share in which the new image is nearer",
        "upside_down",
        lambda s, h, t: share(nearest(h, t), nearest(s, t)),
    ),
    ("less", "equal distances left out", "ties", lambda s, h, t: share(nearest(s, t), nearest(h, t), 0.0)),
    ("less_or_equal", "equal distances in full", "ties", lambda s, h, t: share(nearest(s, t), nearest(h, t), 1.0)),
    (
        "mean_distance",
        "mean distance to train",
        "not_the_nearest",
        lambda s, h, t: share(distances(s, t).mean(1), distances(h, t).mean(1)),
    ),
    (
        "farthest",
        "largest distance",
        "not_the_nearest",
        lambda s, h, t: share(distances(s, t).amax(1), distances(h, t).amax(1)),
    ),
    (
        "first",
        "distance from the first training image",
        "not_the_nearest",
        lambda s, h, t: share(distances(s, t)[:, 0], distances(h, t)[:, 0]),
    ),
    (
        "second",
        "second nearest",
        "not_the_nearest",
        lambda s, h, t: share(*(distances(x, t).topk(2, largest=False).values[:, 1] for x in (s, h))),
    ),
    (
        "manhattan",
        "absolute differences",
        "absolute_differences",
        lambda s, h, t: share(*(torch.cdist(x.flatten(1), t.flatten(1), p=1).amin(1) for x in (s, h))),
    ),
    (
        "largest_pixel",
        "largest difference",
        "largest_difference",
        lambda s, h, t: share(*(torch.cdist(x.flatten(1), t.flatten(1), p=float("inf")).amin(1) for x in (s, h))),
    ),
    (
        "ratio",
        "ratio of mean distances",
        "averages",
        lambda s, h, t: (nearest(s, t).mean() / nearest(h, t).mean()).item(),
    ),
    (
        "difference",
        "difference of mean distances",
        "averages",
        lambda s, h, t: (nearest(h, t).mean() - nearest(s, t).mean()).item(),
    ),
    ("distance", "mean distance of the samples", "averages", lambda s, h, t: nearest(s, t).mean().item()),
    (
        "below_median",
        "below the median of the new",
        "averages",
        lambda s, h, t: (nearest(s, t) < nearest(h, t).median()).double().mean().item(),
    ),
    (
        "below_mean",
        "below the mean of the new",
        "averages",
        lambda s, h, t: (nearest(s, t) < nearest(h, t).mean()).double().mean().item(),
    ),
    (
        "mean_image",
        "distance from the mean image",
        "to_the_mean_image",
        lambda s, h, t: share(nearest(s, t.mean(0, keepdim=True)), nearest(h, t.mean(0, keepdim=True))),
    ),
    (
        "among_new",
        "nearest new image of a sample",
        "to_the_held_out",
        lambda s, h, t: share(nearest(s, h), nearest(h, t)),
    ),
    (
        "train_side",
        "nearest sample of a training image",
        "from_the_training_images",
        lambda s, h, t: share(nearest(t, s), nearest(t, h)),
    ),
    ("paired", "sample i beside new image i", "in_pairs", lambda s, h, t: paired(nearest(s, t), nearest(h, t))),
    ("yes_or_no", "which mean is smaller", None, lambda s, h, t: float(nearest(s, t).mean() < nearest(h, t).mean())),
    (
        "exact_copies",
        "share of exact copies",
        "exact_copies",
        lambda s, h, t: (nearest(s, t) < 1e-3).double().mean().item(),
    ),
    (
        "cosine",
        "by angle",
        None,
        lambda s, h, t: share(
            *(
                1
                - (torch.nn.functional.normalize(x.flatten(1)) @ torch.nn.functional.normalize(t.flatten(1)).T).amax(1)
                for x in (s, h)
            )
        ),
    ),
    (
        "first_pixel",
        "one pixel",
        "first_pixel",
        lambda s, h, t: share(*(torch.cdist(x.flatten(1)[:, :1], t.flatten(1)[:, :1]).amin(1) for x in (s, h))),
    ),
    ("few", "the first 20 of each", None, lambda s, h, t: share(nearest(s[:20], t[:20]), nearest(h[:20], t[:20]))),
    (
        "flat_only",
        "(N, P) taken for granted",
        None,
        lambda s, h, t: share(torch.cdist(s, t).amin(1), torch.cdist(h, t).amin(1)),
    ),
    (
        "per_sample",
        "one share a sample",
        "not_a_float",
        lambda s, h, t: (nearest(s, t)[:, None] < nearest(h, t)[None]).double().mean(1),
    ),
    ("percent", "in per cent", "percent", lambda s, h, t: 100 * share(nearest(s, t), nearest(h, t))),
    ("nothing", "nothing returned", "returns_none", lambda s, h, t: None),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("scales in place", "changes_arguments")
def in_place(samples, held_out, train):
    result = share(nearest(samples, train), nearest(held_out, train))
    samples *= 255
    return result


@BANK.right("cdist")
def direct(samples, held_out, train):
    return share(nearest(samples, train), nearest(held_out, train))


@BANK.right("in parts")
def parts(samples, held_out, train):
    flat = train.flatten(1)
    a, b = (torch.cat([torch.cdist(p.flatten(1), flat).amin(1) for p in x.split(16)]) for x in (samples, held_out))
    return (torch.sign(b[None] - a[:, None]).double().mean() + 1) / 2


@BANK.right("squared distances by hand")
def squared(samples, held_out, train):
    def of(images):
        x, t = images.flatten(1).double(), train.flatten(1).double()
        return (x.square().sum(1)[:, None] + t.square().sum(1) - 2 * x @ t.T).amin(1)

    return share(of(samples), of(held_out))


@BANK.right("loops")
def loops(samples, held_out, train):
    near = [[float((train - image).square().flatten(1).sum(1).min()) for image in x] for x in (samples, held_out)]
    held = torch.tensor(near[1], dtype=torch.float64)
    return sum(float((d < held).double().mean() + (d == held).double().mean() / 2) for d in near[0]) / len(near[0])


@BANK.right("scikit-learn's neighbours and scipy's U")
def mann_whitney(samples, held_out, train):
    from scipy.stats import mannwhitneyu
    from sklearn.neighbors import NearestNeighbors

    tree = NearestNeighbors(n_neighbors=1).fit(train.flatten(1).cpu().double().numpy())
    a, b = (tree.kneighbors(x.flatten(1).cpu().double().numpy())[0][:, 0] for x in (samples, held_out))
    return float(mannwhitneyu(b, a).statistic / (len(a) * len(b)))


@BANK.right("ranks")
def ranks(samples, held_out, train):
    a, b = nearest(samples, train), nearest(held_out, train).sort().values
    below, up_to = (torch.searchsorted(b, a, right=right).double() for right in (False, True))
    return (1 - (below + up_to).mean() / 2 / len(b)).item()
