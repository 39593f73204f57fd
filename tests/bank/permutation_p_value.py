"""Implementations of `permutation_p_value(kernel, num_x, num_permutations)`."""

from __future__ import annotations

import numpy as np
import torch

from .entries import Bank

BANK = Bank("permutation_p_value")


def within(k):
    return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))


def mmd(k, n):
    return within(k[:n, :n]) + within(k[n:, n:]) - 2 * k[:n, n:].mean()


def biased(k, n):
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def permuted(k):
    order = torch.randperm(len(k))
    return k[order][:, order]


def test(statistic=mmd, other=permuted, share=lambda values, seen: (1 + (values >= seen).sum()) / (1 + len(values))):
    """The test, with one of its parts exchanged."""

    def p_value(kernel, n, count):
        values = torch.stack([torch.as_tensor(statistic(other(kernel), n)) for _ in range(count)])
        return float(share(values, torch.as_tensor(statistic(kernel, n))))

    return p_value


def rows_only(k):
    return k[torch.randperm(len(k))]


def resampled(k):
    order = torch.randint(len(k), (len(k),))
    return k[order][:, order]


def shifted(k):
    order = torch.roll(torch.arange(len(k)), int(torch.randint(len(k), ())))
    return k[order][:, order]


def swapped_pair(k):
    order = torch.arange(len(k))
    i, j = torch.randint(len(k), (2,)).tolist()
    order[i], order[j] = j, i
    return k[order][:, order]


def seeded(kernel, n, count):
    torch.manual_seed(0)
    return test()(kernel, n, count)


def in_place(kernel, n, count):
    kernel.fill_diagonal_(0)
    return test()(kernel, n, count)


def inside_x(kernel, n, count):
    seen = mmd(kernel, n)
    higher = 0
    for _ in range(count):
        order = torch.cat([torch.randperm(n), n + torch.randperm(len(kernel) - n)])
        higher += int(mmd(kernel[order][:, order], n) >= seen)
    return (1 + higher) / (1 + count)


def normal(kernel, n, count):
    values = torch.stack([mmd(permuted(kernel), n) for _ in range(max(count, 2))])
    z = (mmd(kernel, n) - values.mean()) / (values.std() + 1e-12)
    return float(1 - torch.distributions.Normal(0.0, 1.0).cdf(z.double().float()))


for name, about, cause, f in (
    ("no_one", "count / permutations", "zero_possible", test(share=lambda v, s: (v >= s).double().mean())),
    (
        "one_above_only",
        "1 + count over permutations",
        "count_not_share",
        test(share=lambda v, s: (1 + (v >= s).sum()) / len(v)),
    ),
    (
        "one_below_only",
        "count over 1 + permutations",
        "zero_possible",
        test(share=lambda v, s: (v >= s).sum() / (1 + len(v))),
    ),
    ("strict", "more than", "ties_dropped", test(share=lambda v, s: (1 + (v > s).sum()) / (1 + len(v)))),
    (
        "strict_no_one",
        "more than, without the given order",
        "zero_possible",
        test(share=lambda v, s: (v > s).double().mean()),
    ),
    ("lower", "smaller ones counted", "lower_tail", test(share=lambda v, s: (1 + (v <= s).sum()) / (1 + len(v)))),
    ("one_minus", "1 - p", "one_minus", test(share=lambda v, s: 1 - (1 + (v >= s).sum()) / (1 + len(v)))),
    ("count", "the count", "count_not_share", test(share=lambda v, s: 1 + (v >= s).sum())),
    (
        "two_sided",
        "absolute values",
        "size_only",
        test(share=lambda v, s: (1 + (v.abs() >= s.abs()).sum()) / (1 + len(v))),
    ),
    (
        "doubled",
        "twice the smaller tail",
        None,
        test(
            share=lambda v, s: (
                2
                * torch.minimum((1 + (v >= s).sum()) / (1 + len(v)), (1 + (v <= s).sum()) / (1 + len(v))).clamp_max(0.5)
            )
        ),
    ),
    ("biased", "diagonal kept", "biased", test(biased)),
    ("cross", "cross term alone", "cross_alone", test(lambda k, n: -k[:n, n:].mean())),
    ("in_x", "within x alone", "within_x_alone", test(lambda k, n: within(k[:n, :n]))),
    ("negative", "sign of the statistic", "lower_tail", test(lambda k, n: -mmd(k, n))),
    ("rows", "rows permuted, columns not", "rows_only", test(other=rows_only)),
    ("bootstrap", "drawn with replacement", "with_replacement", test(other=resampled)),
    ("rolled", "cyclic shifts only", None, test(other=shifted)),
    ("one_swap", "one pair exchanged", None, test(other=swapped_pair)),
    ("inside", "permuted within each set", "never_permuted", inside_x),
    ("no_permutation", "the same order again", "never_permuted", test(other=lambda k: k)),
    (
        "median_split",
        "above the median of the permutations?",
        "zero_possible",
        test(share=lambda v, s: (s < v.median()).double()),
    ),
    ("normal", "normal approximation", "zero_possible", normal),
    ("seeded", "seeds the global generator", "reseeds", seeded),
    ("in_place", "diagonal set to 0 in the argument", "changes_arguments", in_place),
    ("nothing", "nothing returned", "returns_none", lambda k, n, count: None),
):
    BANK.formula(name, about, f, cause)


@BANK.right("a loop, as in the text")
def loop(kernel, num_x, num_permutations):
    seen, higher = mmd(kernel, num_x), 1
    for _ in range(num_permutations):
        order = torch.randperm(len(kernel))
        if mmd(kernel[order][:, order], num_x) >= seen:
            higher += 1
    return higher / (num_permutations + 1)


@BANK.right("all values, then their share")
def stacked(kernel, num_x, num_permutations):
    return test()(kernel, num_x, num_permutations)


@BANK.right("index with ix_ in NumPy")
def with_numpy(kernel, num_x, num_permutations):
    k, rng = kernel.double().numpy(), np.random.default_rng()

    def value(order):
        a, b = order[:num_x], order[num_x:]
        mean = [(k[np.ix_(i, i)].sum() - k[i, i].sum()) / (len(i) * (len(i) - 1)) for i in (a, b)]
        return sum(mean) - 2 * k[np.ix_(a, b)].mean()

    seen = value(np.arange(len(k)))
    higher = sum(value(rng.permutation(len(k))) >= seen for _ in range(num_permutations))
    return float((1 + higher) / (1 + num_permutations))


@BANK.right("the diagonal removed first")
def no_diagonal(kernel, num_x, num_permutations):
    k = kernel - torch.diag(kernel.diagonal())
    n, m = num_x, len(k) - num_x

    def value(k):
        return k[:n, :n].sum() / (n * (n - 1)) + k[n:, n:].sum() / (m * (m - 1)) - 2 * k[:n, n:].sum() / (n * m)

    seen = value(k)
    return (1 + sum(bool(value(permuted(k)) >= seen) for _ in range(num_permutations))) / (1 + num_permutations)


@BANK.right("which codes are x, as a mask")
def mask(kernel, num_x, num_permutations):
    k = kernel.double()
    higher = 0
    for step in range(num_permutations + 1):
        order = torch.arange(len(k)) if step == 0 else torch.randperm(len(k))
        x, y = order[:num_x], order[num_x:]
        value = within(k[x][:, x]) + within(k[y][:, y]) - 2 * k[x][:, y].mean()
        if step == 0:
            seen = value
        higher += int(value >= seen)
    return higher / (num_permutations + 1)


@BANK.right("the given order among all of them")
def together(kernel, num_x, num_permutations):
    values = [mmd(kernel, num_x)] + [mmd(permuted(kernel), num_x) for _ in range(num_permutations)]
    return float(np.mean([float(value) >= float(values[0]) for value in values]))
