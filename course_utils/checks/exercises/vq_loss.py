"""Laws of `vq_loss(codes, codebook, index, commitment)`: entries move to their codes, codes commit to their entries."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..engine.candidate import Candidate
from ..engine.causes import BATCH_SUMMED, MEAN_OF_ALL, SUM_OF_ALL, both, sole
from ..engine.demand import DETACHED, finite, plain64, same_number, same_tensor, scalar, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("vq_loss(codes, codebook, index, commitment)", "scalar; pulls entries to codes, and codes to entries")
_CARD = "the maths hint under the card of vq_loss: |sg(c) - e|² + commitment |c - sg(e)|², sg stops the gradient"
_ENDS = "codes", "codebook"


class Probe(NamedTuple):
    """One call, and what a right function returns: value, gradients of codes and codebook."""

    codes: torch.Tensor
    codebook: torch.Tensor
    chosen: torch.Tensor
    commitment: float

    @property
    def apart(self) -> torch.Tensor:
        """Entries minus codes, in float64."""
        return plain64(self.codebook)[self.chosen.long()] - plain64(self.codes)

    @property
    def squared(self) -> float:
        """The mean over the batch of the squared distances of an image."""
        return float(self.apart.square().sum()) / len(self.codes)

    @property
    def into_codes(self) -> torch.Tensor:
        """Of the unweighted squared distances."""
        return -2 * self.apart / len(self.codes)

    @property
    def into_codebook(self) -> torch.Tensor:
        dim = self.codes.shape[-1]
        pulls = (2 * self.apart / len(self.codes)).reshape(-1, dim)
        return torch.zeros(self.codebook.shape, dtype=torch.float64).index_add(0, self.chosen.long().flatten(), pulls)


@CHECK.law("is right where you can count")
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: distances of 5 and 1, squared 25 and 1, two images of one code each."""
    codes, codebook = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]]), torch.tensor([[0.0, 0.0], [9.0, 9.0]])
    index = torch.tensor([[0], [0]])
    for commitment, want in ((0.25, 16.25), (0.0, 13.0), (2.0, 39.0)):
        _value_is(candidate, Probe(codes, codebook, index, commitment), want, f"two codes, commitment {commitment:g}")


@CHECK.law("is 1 + commitment times the squared distance of an image's codes, on average over the batch", weight=2)
def _value(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, places, dim, entries in ((5, 3, 2, 4), (7, 1, 6, 3), (2, 9, 4, 20), (40, 2, 3, 5)):
        probe = _probe(draw, n, places, dim, entries, draw.number(0.1, 2.0))
        what = f"{n} images of {places} codes of {dim} dimensions"
        _value_is(candidate, probe, (1 + probe.commitment) * probe.squared, what)


@CHECK.law("pulls the entries to their codes, with weight 1 whatever the commitment is", weight=3, essential=True)
def _entries(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for probe in _probes(draw):
        _, found = _gradients(candidate, probe)
        want = probe.into_codebook
        what = f"gradient of the codebook, commitment {probe.commitment:.3g}"
        same_tensor(found, want, what, scale=_size(probe), floor=1e-5)


@CHECK.law("pulls the codes to their entries, with the weight of the commitment", weight=3, essential=True)
def _codes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for probe in _probes(draw):
        found, _ = _gradients(candidate, probe)
        want = probe.commitment * probe.into_codes
        what = f"gradient of the codes, commitment {probe.commitment:.3g}"
        same_tensor(found, want, what, scale=float(want.abs().max()) + 1e-3, floor=1e-5)


@CHECK.law("takes the entries that index names, also where others are nearer", weight=2)
def _given(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, entries in ((6, 5), (4, 9)):
        probe = _far(draw, n, entries)
        _value_is(candidate, probe, (1 + probe.commitment) * probe.squared, "codes whose entries are not the nearest")


@CHECK.law("leaves entries alone that no code names")
def _unused(candidate: Candidate, draw: Draw) -> None:
    """Random inputs: a correct function never fails."""
    probe = _probe(draw, 6, 2, 3, 8, 0.5)
    probe = probe._replace(chosen=probe.chosen % 3)
    _, found = _gradients(candidate, probe)
    same_tensor(found[3:], torch.zeros(5, 3).double(), "gradient of entries that no code names", scale=0.0, floor=1e-7)


@CHECK.law("takes one image, one code, double precision, and your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, places, dim, entries in ((1, 1, 2, 3), (1, 5, 3, 2), (3, 1, 1, 1)):
        probe = _probe(draw, n, places, dim, entries, 0.7)
        for given in (probe, probe._replace(codes=probe.codes.double(), codebook=probe.codebook.double())):
            what = f"{n} images of {places} codes, {given.codes.dtype}"
            _value_is(candidate, given, (1 + given.commitment) * given.squared, what)
    for device in candidate.devices():
        there = probe._replace(**{name: getattr(probe, name).to(device) for name in ("codes", "codebook", "chosen")})
        _value_is(candidate, there, (1 + probe.commitment) * probe.squared, f"codes on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    probe = _probe(draw, 4, 2, 3, 5, 0.25)
    kept = tuple(value.clone() for value in probe[:3])
    candidate(*probe)
    untouched(kept, probe[:3], ("codes", "codebook", "index"))
    well_behaved(candidate)


def _probe(draw: Draw, n: int, places: int, dim: int, entries: int, commitment: float) -> Probe:
    codes, codebook = draw.normal(n, places, dim), draw.normal(entries, dim) + 0.3
    index = (codes[..., None, :] - codebook).square().sum(-1).argmin(-1)
    return Probe(codes, codebook, index, commitment)


def _far(draw: Draw, n: int, entries: int) -> Probe:
    """Codes with their farthest entries."""
    probe = _probe(draw, n, 2, 3, entries, 0.25)
    far = (probe.codes[..., None, :] - probe.codebook).square().sum(-1).argmax(-1)
    return probe._replace(chosen=far)


def _probes(draw: Draw) -> list[Probe]:
    """Commitments on either side of 1, so that the two weights cannot be exchanged unseen."""
    shapes = ((4, 3, 2, 5, 0.25), (6, 2, 3, 4, 3.0), (3, 5, 4, 6, 0.0), (20, 1, 2, 3, draw.number(1.5, 2.5)))
    return [_probe(draw, *shape) for shape in shapes]


def _size(probe: Probe) -> torch.Tensor:
    """Of the pulls that are added up in an entry: rounding is measured against their sum of sizes."""
    dim = probe.codes.shape[-1]
    sizes = (2 * probe.apart.abs() / len(probe.codes)).reshape(-1, dim)
    return torch.zeros(probe.codebook.shape, dtype=torch.float64).index_add(0, probe.chosen.flatten(), sizes)


def _value_is(candidate: Candidate, probe: Probe, want: float, what: str) -> None:
    came = candidate(probe.codes.clone(), probe.codebook.clone(), probe.chosen.clone(), probe.commitment)
    same_number(scalar(came, "the loss"), want, f"loss of {what}", scale=abs(want))


def _gradients(candidate: Candidate, probe: Probe) -> list[torch.Tensor]:
    """Of codes and codebook; zeros where one is not reached, but for the case that neither is."""
    ends = [probe.codes.clone().requires_grad_(), probe.codebook.clone().requires_grad_()]
    loss = scalar(candidate(*ends, probe.chosen.clone(), probe.commitment), "the loss")
    found = candidate.gradients(loss, ends)
    if all(grad is None for grad in found):
        raise Broken("a gradient with respect to codes or codebook", "no gradient at all", DETACHED)
    return [
        torch.zeros_like(end) if grad is None else finite(grad, f"the gradient with respect to {name}")
        for grad, end, name in zip(found, ends, _ENDS, strict=True)
    ]


# The value, and the weights of the pulls on codes and on entries, for a commitment b; right: 1 + b, b, 1.
_WEIGHTS = (
    ("", "", lambda b: (1 + b, b, 1.0)),
    (
        "nothing_stopped",
        "No gradient is stopped: both terms then pull at both ends, and the codebook feels the commitment.",
        lambda b: (1 + b, 1 + b, 1 + b),
    ),
    (
        "codes_not_stopped",
        "The codes are not detached in the term of the codebook: they feel its pull beside the commitment.",
        lambda b: (1 + b, 1 + b, 1.0),
    ),
    (
        "entries_not_stopped",
        "The entries are not detached in the term of the commitment: they feel it beside the pull of their own.",
        lambda b: (1 + b, b, 1 + b),
    ),
    (
        "ends_exchanged",
        "The two terms have each other's end detached: the commitment is what the *codes* feel.",
        lambda b: (1 + b, 1.0, b),
    ),
    (
        "commitment_missing",
        "The commitment is missing: nothing keeps the codes near their entries.",
        lambda b: (1.0, 0.0, 1.0),
    ),
    (
        "commitment_missing",
        "The commitment pulls at nothing: codes and entries are both detached in its term.",
        lambda b: (1 + b, 0.0, 1.0),
    ),
    ("codebook_missing", "The term of the codebook is missing: the entries never learn.", lambda b: (b, b, 0.0)),
    ("codebook_missing", "The term of the codebook is missing: the entries never learn.", lambda b: (1.0, 1.0, 0.0)),
    ("codebook_missing", "The entries are detached in both terms: they never learn.", lambda b: (1 + b, 1 + b, 0.0)),
    (
        "commitment_both",
        "The codes are detached in both terms: the commitment must reach the codes.",
        lambda b: (1 + b, 0.0, 1 + b),
    ),
    ("commitment_ignored", "The argument commitment is not used.", lambda b: (2.0, 1.0, 1.0)),
    (
        "commitment_ignored",
        "The argument commitment is not used; 0.25 is written into your function.",
        lambda b: (1.25, 0.25, 1.0),
    ),
    ("one_term", "One squared distance serves for both terms: it pulls at both ends alike.", lambda b: (1.0, 1.0, 1.0)),
    ("one_term", "One squared distance, weighted, serves for both terms.", lambda b: (b, b, b)),
    ("weighted_wrongly", "The commitment weighs both terms.", lambda b: (2 * b, b, b)),
    (
        "weighted_wrongly",
        "The term of the codebook has a weight of its own, 1 - commitment; it has none.",
        lambda b: (1.0, b, 1 - b),
    ),
    ("weighted_wrongly", "The commitment is squared.", lambda b: (1 + b * b, b * b, 1.0)),
    ("weighted_wrongly", "You divide by the commitment.", lambda b: (1 + 1 / b, 1 / b, 1.0)),
    ("weighted_wrongly", "1 is added to the commitment.", lambda b: (2 + b, 1 + b, 1.0)),
    (
        "subtracted",
        "The commitment is subtracted: it pushes codes away from their entries.",
        lambda b: (1 - b, -b, 1.0),
    ),
    (
        "negative",
        "The sign is wrong: a loss is what falls while codes and entries come nearer.",
        lambda b: (-1 - b, -b, -1.0),
    ),
    (
        "nothing_pulls",
        "The loss has the right value and moves nothing: each term must keep one of its two ends.",
        lambda b: (1 + b, 0.0, 0.0),
    ),
)
_NOT_SQUARED = Cause("not_squared", "You add up distances; squared distances are asked for.", _CARD)
_ABSOLUTE = Cause("absolute", "You add up absolute differences; squares are asked for.", _CARD)
_HALVED = Cause("scaled", "The loss comes with a constant factor; the squared distances have none.", _CARD)
_PER_CODE = Cause(
    "mean_over_codes", "You average over the codes of an image; they are summed, as its pixels are.", _CARD
)
_PER_DIM = Cause("mean_over_dimensions", "You average over the dimensions of a code; they are summed.", _CARD)
_OWN_INDEX = Cause("own_index", "You look for the nearest entries again: index names those that are meant.", _CARD)


def _factors(probe: Probe) -> list[tuple[Cause | None, float]]:
    n, places, dim = probe.codes.shape
    return [
        (None, 1.0),
        (MEAN_OF_ALL, 1 / (places * dim)),
        (SUM_OF_ALL, float(n)),
        (BATCH_SUMMED, n / (places * dim)),
        (_PER_CODE, 1 / places),
        (_PER_DIM, 1 / dim),
        (_HALVED, 0.5),
        (_HALVED, 2.0),
    ]


def _near(came: float, want: float) -> bool:
    return abs(came - want) <= 2e-3 * (abs(want) + 0.1)


def _weight(found: torch.Tensor | None, unit: torch.Tensor) -> float | None:
    """The factor by which a gradient is that of the squared distances; None where it is none."""
    if found is None:
        return 0.0
    factor = float((plain64(found) * unit).sum() / unit.square().sum())
    return factor if float((plain64(found) - factor * unit).abs().max()) < 1e-3 * float(unit.abs().max()) else None


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Shapes whose numbers of images, codes and dimensions tell averages apart; a commitment like no other weight."""
    seen = []
    for shape in ((7, 3, 5, 6, 0.37), (11, 5, 3, 4, 1.9)):
        probe = _probe(draw, *shape)
        ends = [probe.codes.clone().requires_grad_(), probe.codebook.clone().requires_grad_()]
        came = candidate(*ends, probe.chosen.clone(), probe.commitment)
        if not isinstance(came, torch.Tensor) or came.dim() > 0:
            return None
        found = candidate.gradients(came, ends)
        pulls = _weight(found[0], probe.into_codes), _weight(found[1], probe.into_codebook)
        seen.append((probe, float(came.detach()), pulls))
    hits = []
    for id, sentence, weights in _WEIGHTS:
        mistake = Cause(id, sentence, _CARD) if id else None
        for place in range(len(_factors(seen[0][0]))):
            if all(_predicted(probe, value, pulls, weights(probe.commitment), place) for probe, value, pulls in seen):
                scaled = _factors(seen[0][0])[place][0]
                hits.append(mistake if scaled is None else both(mistake, scaled) if mistake else scaled)
    if None in hits:  # right for codes that have their nearest entries
        return _own_index(candidate, draw)
    if hits:
        simple = [cause for cause in hits if cause and "+" not in cause.id]
        return sole(simple or hits)
    if all(pulls == (0.0, 0.0) for _, _, pulls in seen):
        return None
    for cause, size in (
        (_NOT_SQUARED, lambda apart: apart.norm(dim=-1)),
        (_ABSOLUTE, lambda apart: apart.abs().sum(-1)),
    ):
        if all(_near(value, (1 + p.commitment) * float(size(p.apart).sum()) / len(p.codes)) for p, value, _ in seen):
            return cause
    return None


def _predicted(probe: Probe, value: float, pulls: tuple, weights: tuple, place: int) -> bool:
    factor = _factors(probe)[place][1]
    if any(pull is None for pull in pulls):
        return False
    return _near(value, factor * weights[0] * probe.squared) and all(
        _near(pull, factor * weight) for pull, weight in zip(pulls, weights[1:], strict=True)
    )


def _own_index(candidate: Candidate, draw: Draw) -> Cause | None:
    probe = _far(draw, 5, 6)
    near = probe._replace(chosen=(probe.codes[..., None, :] - probe.codebook).square().sum(-1).argmin(-1))
    came = candidate(*probe)
    value = float(came.detach()) if isinstance(came, torch.Tensor) and came.dim() == 0 else float("nan")
    return _OWN_INDEX if _near(value, (1 + near.commitment) * near.squared) else None
