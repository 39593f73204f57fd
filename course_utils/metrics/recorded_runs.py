"""Records of trainings, sound ones and ones with a bug that was on while they trained, to practise diagnosis on.

Critics are so small that they are trained when the first record is asked for, all at once, in about a second. Of models
the logs are stored (``benchmarks/recorded_trainings.py`` trains them and writes ``recorded_trainings.json``). A record
is a dict of tensors and numbers, with batches drawn from a seed. Nothing in it says whether the run is buggy except
what the bug did to it.
"""

from __future__ import annotations

import html
import json
import math
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.system import notebook

from . import distances

Evidence = dict[str, Any]  # tensors and numbers, by the names on the exercise card

FILE = Path(__file__).with_name("recorded_trainings.json")
OUTPUTS = {False: (1, 3, 10, 20), True: (10, 20)}  # that sound and buggy critics are trained with
NUM_CRITICS, NUM_KNOBS, NUM_CURVES = 5, 4, 2  # trainings of each kind
PLACES = ("prior_in_critic_loss", "prior_in_penalty", "prior_in_samples")
SIDES = ("kl", "wasserstein")
SIZES = {"tiny": 4, "small": 8, "medium": 32, "huge": 128}  # side of the images in pixels
UNIFORM = {"from 0 to 1": (0.0, 1.0), "from -1 to 1": (-1.0, 1.0), "of variance 1": (-math.sqrt(3), math.sqrt(3))}


@cache
def _logs() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


class _Critics(NamedTuple):
    """Critics w . relu(W z + b), the average of their outputs; one row for each training."""

    kinds: list[tuple[int, bool]]  # outputs, and whether buggy
    dims: Tensor  # D; further columns of ``hidden`` are 0
    shifts: Tensor  # how far apart their two Gaussians were
    hidden: Tensor  # W (R, H, MOST)
    bias: Tensor  # b (R, H)
    head: Tensor  # w (R, H)


@cache
def _critics(steps: int = 300, width: int = 16, batch: int = 96, coefficient: float = 30.0) -> _Critics:
    """Train every critic between N(0, I) and the same moved along the first axis, side by side, with Adam.

    All outputs of a critic get the same gradient, so training moves their average and leaves their differences: the
    average alone is trained. The penalty of a buggy critic is on the sum, K times the average.
    """
    g = torch.Generator().manual_seed(5)
    kinds = [(k, buggy) for buggy, outputs in OUTPUTS.items() for k in outputs for _ in range(NUM_CRITICS)]
    rows, most = len(kinds), 4
    dims = torch.arange(rows) % 3 + 2
    inside = (torch.arange(most) < dims[:, None]).float()  # (R, MOST)
    shifts = 3 + torch.arange(rows) % NUM_CRITICS
    summed = torch.tensor([float(k) if buggy else 1.0 for k, buggy in kinds])[:, None]
    with torch.enable_grad():
        hidden = torch.randn(rows, width, most, generator=g).div_(dims[:, None, None].sqrt())
        bias, head = torch.randn(rows, width, generator=g), 0.1 * torch.randn(rows, width, generator=g) / summed
        weights = [t.requires_grad_() for t in (hidden, bias, head)]
        optimizer = torch.optim.Adam(weights, lr=0.02, betas=(0.0, 0.9))
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
            z_prior, z_posterior = torch.randn(2, rows, batch, most, generator=g) * inside[:, None]
            z_posterior = z_posterior + torch.nn.functional.pad(shifts[:, None, None], (0, most - 1))
            mix = torch.rand(rows, batch, 1, generator=g)
            values = [_average(z, *weights) for z in (z_posterior, z_prior)]
            lit = (_before(mix * z_prior + (1 - mix) * z_posterior, hidden, bias) > 0).float()
            slopes = (lit * head[:, None]) @ (hidden * inside[:, None])  # of the average, (R, N, MOST)
            penalty = ((summed * slopes.square().sum(2).add(1e-12).sqrt() - 1) ** 2).mean(1)
            loss = values[0].mean(1) - values[1].mean(1) + coefficient * penalty
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
    trained = (t.detach() for t in weights)
    return _Critics(kinds, dims, shifts.float(), *trained)


def _before(z: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
    return z @ hidden.transpose(1, 2) + bias[:, None]


def _average(z: Tensor, hidden: Tensor, bias: Tensor, head: Tensor) -> Tensor:
    return (torch.relu(_before(z, hidden, bias)) * head[:, None]).sum(2)


def critic_run(
    seed: int,
    *,
    buggy: bool,
    outputs: int = 10,
    distance: float | None = None,
    num_codes: int = 64,
    disagreement: float = 0.0,
) -> Evidence:
    """A critic that was trained between two Gaussians, one of them moved. Bug: its outputs are averaged in its loss,
    their sum is penalised.

    Args:
        buggy: the penalty held the gradient of the *sum* of the outputs at length 1; in a sound run, that of their
            average, which is what the loss uses. With one output there is no difference.
        outputs: K, the critic's outputs, one of ``OUTPUTS[buggy]``.
        distance: how far apart the two Gaussians are, in the record's unit of length; drawn from 4 to 12 if not given.
            A training with other units and the coefficient of its penalty changed alike is the same training.
        disagreement: how far apart the slopes of several outputs are, in units of the slope of their average, which
            stays the same: training moves all outputs alike, so they stay as far apart as their last layer began. 0: a
            third.

    Returns:
        z_prior, z_posterior, points (N, D), D from 2 to 4; values_prior, values_posterior (N, K), the critic's
        outputs; gradients (N, K, D), of every output at each of the points between the pairs; the numbers estimate
        (mean of all values_prior minus mean of all values_posterior) and penalty as the run reports them;
        exact_distance, of the two batches by linear assignment.

    Raises:
        ValueError: no critic with so many outputs was trained.
    """
    if outputs not in OUTPUTS[buggy]:
        given = f"outputs is {outputs} of a {'buggy' if buggy else 'sound'} run"
        raise ValueError(f"{given}; expected one of {', '.join(map(str, OUTPUTS[buggy]))}.")
    g = torch.Generator().manual_seed(seed)
    critics = _critics()
    row = critics.kinds.index((outputs, buggy)) + int(_uniform(g, 0, NUM_CRITICS))
    dim, shift = int(critics.dims[row]), float(critics.shifts[row])
    unit = (_uniform(g, 4, 12) if distance is None else distance) / shift
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=g)).Q  # the axes of the record
    hidden, bias, head = critics.hidden[row, :, :dim] @ turn.T / unit, critics.bias[row], unit * critics.head[row]
    offsets = unit * torch.randn(outputs, generator=g)
    z_prior, z_posterior = unit * torch.randn(2, num_codes, dim, generator=g)
    z_posterior = z_posterior + unit * shift * turn[:, 0]
    mix = torch.rand(num_codes, 1, generator=g)
    points = mix * z_prior + (1 - mix) * z_posterior

    def slopes(heads: Tensor) -> Tensor:
        lit = (points @ hidden.T + bias > 0).float()
        return torch.einsum("kh,nh,hd->nkd", heads, lit, hidden)

    apart = torch.randn(outputs, len(head), generator=g)  # how the last layer of each output began
    apart = apart - apart.mean(0)
    size = disagreement or 0.3
    if outputs > 1:
        apart = apart * size * _length(slopes(head[None])) / _length(slopes(apart))
    heads = head + apart
    gradients = slopes(heads)
    on_prior, on_posterior = (torch.relu(z @ hidden.T + bias) @ heads.T + offsets for z in (z_prior, z_posterior))
    constrained = gradients.sum(1) if buggy else gradients.mean(1)
    return {
        "z_prior": z_prior,
        "z_posterior": z_posterior,
        "values_prior": on_prior,
        "values_posterior": on_posterior,
        "points": points,
        "gradients": gradients,
        "estimate": float(on_prior.mean() - on_posterior.mean()),
        "penalty": float((constrained.norm(dim=1) - 1).square().mean()),
        "exact_distance": distances.wasserstein(z_prior, z_posterior),
    }


def prior_run(
    seed: int,
    *,
    buggy: bool,
    uniform: str = "from -1 to 1",
    mostly_uniform: bool = False,
    place: str | None = None,
    num_codes: int = 2000,
    dim: int = 10,
) -> Evidence:
    """What a run drew as prior codes in three places, and what its critic reported meanwhile. Bug: uniform in one
    place, normal in another.

    Args:
        buggy: one of the places draws from the other distribution than the rest.
        uniform: which uniform distribution, a key of ``UNIFORM``.
        mostly_uniform: the uniform prior is the one used everywhere (except in the odd place of a buggy run).
        place: the odd place of a buggy run, one of ``PLACES``; drawn if not given.

    Returns:
        prior_in_critic_loss, prior_in_penalty, prior_in_samples: (N, D) each; estimates: (20,), the estimate of the
        distance after each of 20 epochs of a model that was trained with these draws.
    """
    g = torch.Generator().manual_seed(seed)
    low, high = UNIFORM[uniform]
    place, repeat = place or PLACES[int(_uniform(g, 0, len(PLACES)))], int(_uniform(g, 0, NUM_CURVES))
    evidence: Evidence = {}
    drawn = []
    for name in PLACES:
        if mostly_uniform != (buggy and name == place):
            evidence[name] = low + (high - low) * torch.rand(num_codes, dim, generator=g)
            drawn.append(uniform)
        else:
            evidence[name] = torch.randn(num_codes, dim, generator=g)
            drawn.append("normal")
    evidence["estimates"] = torch.tensor(_logs()["estimates"][f"{drawn[0]}, {drawn[1]}"][repeat])
    return evidence


def loss_run(seed: int, *, buggy: bool, side: str | None = None, size: str | None = None) -> Evidence:
    """The logs of two trainings, a KL-VAE and one matched by a critic. Bug: one loss counts 0.9 of its distortion.

    Args:
        buggy: one of the two descended on a loss with 0.9 * distortion.
        side: which of the two, ``"kl"`` or ``"wasserstein"``; drawn if not given.
        size: of the images, a key of ``SIZES``; small or medium, drawn, if not given. Distortions grow with the
            images, from some nats (tiny) to some thousand (huge).

    Returns:
        kl_loss, kl_distortion, kl_rate and wasserstein_loss, wasserstein_distortion, wasserstein_gap: (12,), means
        over an epoch, logged with five digits; the numbers beta and weight. In a sound run kl_loss = kl_distortion +
        beta * kl_rate, and wasserstein_loss = wasserstein_distortion + weight * wasserstein_gap, up to the rounding.
    """
    g = torch.Generator().manual_seed(seed)
    side = side or SIDES[int(_uniform(g, 0, len(SIDES)))]
    size = size or ("small", "medium")[int(_uniform(g, 0, 2))]
    evidence: Evidence = {}
    for name, part, knob in (("kl", "rate", "beta"), ("wasserstein", "gap", "weight")):
        kind = "buggy" if buggy and name == side else "sound"
        log = _logs()["losses"][f"{size}, {name}, {kind}"][int(_uniform(g, 0, NUM_KNOBS))]
        for key, column in (("loss", "loss"), ("distortion", "distortion"), (part, "part")):
            evidence[f"{name}_{key}"] = torch.tensor(log[column])
        evidence[knob] = log["knob"]
    return evidence


def exhibit(number: int) -> dict[str, Evidence]:
    """The two runs, A and B, of the notebook's first, second or third pair; ``buggy_run`` says which is buggy."""
    if number not in _PAIRS:
        raise ValueError(f"there is no pair {number!r}; expected 1, 2 or 3.")
    return {name: make() for name, make in _PAIRS[number].items()}


def buggy_run(number: int) -> str:
    """The letter of the answer "which run is buggy?": a for run A, b for run B."""
    if number not in _PAIRS:
        raise ValueError(f"there is no pair {number!r}; expected 1, 2 or 3.")
    return next(name.lower() for name, make in _PAIRS[number].items() if make.keywords["buggy"])


_PAIRS: dict[int, dict[str, partial[Evidence]]] = {
    1: {"A": partial(critic_run, 4, buggy=True), "B": partial(critic_run, 9, buggy=False)},
    2: {
        "A": partial(prior_run, 2, buggy=False, uniform="of variance 1", mostly_uniform=True),
        "B": partial(prior_run, 3, buggy=True, place="prior_in_penalty", uniform="of variance 1", mostly_uniform=True),
    },
    3: {
        "A": partial(loss_run, 5, buggy=True, side="wasserstein", size="medium"),
        "B": partial(loss_run, 6, buggy=False, size="medium"),
    },
}


class Told(NamedTuple):
    """What is said of a pair once a verdict on it is locked, and not before."""

    line: str  # letter of the answer "which line of the printed code is wrong?"
    because: str
    tempting: str  # about the other letters
    maths: str  # two hints for the test that finds it
    pseudo_code: str


_TOLD = {
    1: Told(
        "c",
        "The loss takes the mean over everything, so ten outputs are averaged. Line 9 holds the slope of their "
        "sum at 1. Then the average has slope 1/10: the penalty is content, the estimate looks like a distance, "
        "and it is ten times too small. Ten outputs are no bug in themselves: in the sound run line 9 has "
        "critic(points).mean(1).sum().",
        "Every line is one that some sound run has. A fault of two lines shows in how they fit together.",
        "If the sum of K outputs has slope 1, their average has slope 1/K, and so the estimate is K times too "
        "small. A sound average has slope 1. Distances differ from run to run, so no fixed number will do; a "
        "ratio will.",
        "average the gradients over the outputs; take the length at each point; return whether their mean is far "
        "below 1",
    ),
    2: Told(
        "d",
        "A prior is a choice, and a uniform one is sound if it is used everywhere. In the other run one place "
        "draws torch.randn: the bug is that the places disagree. Fresh draws of one distribution are no "
        "disagreement.",
        "An unusual line looks like a wrong one. A buggy run can still print none but sound lines.",
        "Which place is the odd one out differs from run to run, and so does the uniform distribution: on [0, 1],"
        " on [-1, 1], or with mean 0 and variance 1, on [-√3, √3]. Sound runs draw normal numbers everywhere, or "
        "uniform ones. Of a few thousand normal numbers, about one in twenty lies beyond 2.",
        "for each place: does no number lie beyond 2? return whether the three answers differ",
    ),
    3: Told(
        "d",
        "One of two models counts a tenth less for its reconstruction, so its regulariser is heavier than its "
        "label says, and the comparison is off before it begins.",
        "A sign or a missing factor is where bugs mostly sit. Two losses that are compared have to agree as well.",
        "In a buggy log distortion + beta · rate - loss is 0.1 of the distortion in every epoch; in a sound one "
        "it is smaller than 0.001 of it. The same holds for weight · gap.",
        "for both models: missing = (distortion + knob * part - loss) / distortion; return whether one of them is"
        " above a few per cent",
    ),
}


def buggy_line(number: int) -> tuple[str, str, str]:
    """The letter of the answer "which line of the printed code is wrong?", why it is, and what tempts to another."""
    buggy_run(number)  # refuses a number that is none
    return _TOLD[number].line, _TOLD[number].because, _TOLD[number].tempting


def show_hints(number: int, *guesses: Any) -> None:
    """Show what helps with the test of a pair, folded, if the verdicts on it are locked; otherwise say that they wait.

    Args:
        guesses: of ``predict``, on this pair.
    """
    buggy_run(number)
    if not all(guess.locked for guess in guesses):
        waits = "Hints for the exercise below appear here once your verdicts on this pair are locked."
        notebook.show_html(f"<p>{waits}</p>", plain=waits)
        return
    hints = (("Hint 2: the maths", _TOLD[number].maths), ("Hint 3: pseudo-code", _TOLD[number].pseudo_code))
    folded = "".join(f"<details><summary>{title}</summary>{html.escape(text)}</details>" for title, text in hints)
    plain = "\n".join(f"{title}: {text}" for title, text in hints)
    notebook.show_html(f"<p>For the exercise below:</p>{folded}", plain=plain)


def _length(vectors: Tensor) -> Tensor:
    return vectors.norm(dim=-1).mean()


def _uniform(g: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=g))
