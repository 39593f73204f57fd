"""Laws of `quantize(codes, codebook)`: the nearest entry of each code, and a gradient that passes straight through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import describe, plain64, same_tensor, several, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken, blame

CHECK = Check("quantize(codes, codebook)", "(z, index): entries in place of codes, (..., D), and their numbers, (...)")
_CARD = "the card of quantize: the nearest entry; z has its values, and the gradient of the codes"
_LAST = "the last lines of your function, where z is made"
_NAMES = "z", "index"


@CHECK.law("finds the entries that you can find by eye", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0], [4.0, 0.0]])
    codes = torch.tensor([[0.2, 0.1], [3.0, 0.5], [0.9, 0.8], [-5.0, 1.0]])
    z, index = _called(candidate, codes, codebook)
    with blame(lambda: FROM_ONE if index.tolist() == [1, 3, 2, 1] else None):
        _same_index(index, torch.tensor([0, 2, 1, 0]), "4 codes and 3 entries")
    _same_values(z, codebook[[0, 2, 1, 0]], "4 codes and 3 entries")


@CHECK.law("finds the nearest entry of every code", weight=3)
def _nearest(candidate: Candidate, draw: Draw) -> None:
    """Random inputs without near ties: a correct function never fails."""
    for n, entries, dim in ((20, 7, 3), (9, 40, 2), (40, 5, 8), (6, 3, 1)):
        codes, codebook = _probe(draw, n, entries, dim)
        _, index = _called(candidate, codes, codebook)
        _same_index(index, _index(codes, codebook), f"{n} codes and {entries} entries of {dim} dimensions")


@CHECK.law("returns as z the values of these entries", weight=2)
def _values(candidate: Candidate, draw: Draw) -> None:
    """Random inputs without near ties, compared up to rounding: a correct function never fails."""
    for n, entries, dim in ((60, 6, 3), (5, 20, 2), (3, 4, 9)):
        codes, codebook = _probe(draw, n, entries, dim)
        z, _ = _called(candidate, codes, codebook)
        with blame(lambda codes=codes, codebook=codebook, z=z: _cause_of_values(z, codes, codebook)):  # type: ignore[misc]
            _same_values(z, codebook[_index(codes, codebook)], f"z of {n} codes and {entries} entries")


@CHECK.law("lets the gradient of z through to the codes as it is", weight=3, essential=True)
def _straight_through(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, entries, dim in ((5, 4, 3), (8, 9, 2), (2, 3, 6)):
        codes, codebook = _probe(draw, n, entries, dim)
        codes, codebook = codes.requires_grad_(), codebook.requires_grad_()
        z, _ = _called(candidate, codes, codebook)
        pull = draw.normal(n, dim)
        (found,) = candidate.gradients(z, [codes], pull)
        if found is None or float(found.abs().max()) < 1e-8:
            raise Broken("a gradient with respect to the codes", "no gradient at all", CUT)
        with blame(lambda found=found, pull=pull: _cause_of_gradient(found, pull)):  # type: ignore[misc]
            same_tensor(found, plain64(pull), "the gradient of the codes, that of z", scale=plain64(pull).abs())


@CHECK.law("sends no gradient of z into the codebook")
def _apart(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    codes, codebook = _probe(draw, 6, 4, 3)
    codes, codebook = codes.requires_grad_(), codebook.requires_grad_()
    z, _ = _called(candidate, codes, codebook)
    into_codes, into_codebook = candidate.gradients(z, [codes, codebook], draw.normal(6, 3))
    if into_codes is None and into_codebook is None:
        raise Broken("a gradient that reaches the codes and nothing else", "no gradient at all", CUT)
    if into_codebook is not None and float(into_codebook.abs().max()) > 1e-8:
        size = float(into_codebook.norm())
        raise Broken("no gradient with respect to the codebook", f"one of size {size:.3g}", REACHES_CODEBOOK)


@CHECK.law("takes codes of any shape (..., D), a single one, and a codebook of one entry", weight=2)
def _shapes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs without near ties: a correct function never fails."""
    for shape, entries, dim in (((3, 4), 5, 2), ((2, 6), 3, 3), ((1, 1), 4, 2), ((2, 3, 2), 6, 2), ((1,), 3, 4)):
        n = torch.Size(shape).numel()
        codes, codebook = _probe(draw, n, entries, dim)
        codes = codes.reshape(*shape, dim)
        z, index = _called(candidate, codes, codebook)
        what = f"codes of shape {tuple(codes.shape)}"
        _same_index(index, _index(codes, codebook), what)
        _same_values(z, codebook[_index(codes, codebook)], what)
    codes = draw.normal(4, 3)
    codebook = draw.normal(1, 3)
    z, index = _called(candidate, codes, codebook)
    _same_index(index, torch.zeros(4, dtype=torch.long), "a codebook of one entry")
    _same_values(z, codebook.expand(4, 3), "a codebook of one entry")


@CHECK.law("judges each code for itself, in single and double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs without near ties: a correct function never fails."""
    codes, codebook = _probe(draw, 60, 6, 3)  # many, so that another measure takes another entry for some of them
    for part in (codes[:1], codes[3:7], codes.double(), codes[draw.permutation(60)]):
        entries = codebook.to(part.dtype)
        z, index = _called(candidate, part, entries)
        _same_index(index, _index(part, entries), f"{len(part)} of the codes, {part.dtype}")
        _same_values(z, entries[_index(part, entries)], f"{len(part)} of the codes, {part.dtype}")
    for device in candidate.devices():
        z, index = _called(candidate, codes.to(device), codebook.to(device))
        _same_index(index.cpu(), _index(codes, codebook), f"codes on {device}")


@CHECK.law("leaves codes, codebook and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    codes, codebook = _probe(draw, 6, 4, 3)
    kept = codes.clone(), codebook.clone()
    candidate(codes, codebook)
    untouched(kept, (codes, codebook), ("codes", "codebook"))
    well_behaved(candidate)


SWAPPED = Cause("order", "You return (index, z): z comes first.", "the return line")
ONE_HOT = Cause(
    "one_hot",
    "Your index is a row of zeros and a one for each code: its place alone is asked for, a whole number.",
    _CARD,
)
FLOATING = Cause(
    "floating_index", "Your index is not made of whole numbers, so that it cannot look anything up.", _CARD
)
KEPT_AXIS = Cause("kept_axis", "Your index keeps an axis of length 1: argmin without keepdim takes it away.", _CARD)
FROM_ONE = Cause("from_one", "You count the entries from 1: the first one has the number 0.", _CARD)
FLAT = Cause("flat_index", "Your index is one long row: it has the shape of the codes without their last axis.", _CARD)
ONE_FOR_ALL = Cause(
    "one_for_all", "You take one entry for the whole batch: each code has a nearest entry of its own.", _CARD
)
CUT = Cause(
    "cut",
    "No gradient reaches the codes: argmin has none, and a looked-up entry does not know the code that asked for it. "
    "Add to the codes a difference that is detached.",
    _LAST,
)
REACHES_CODEBOOK = Cause(
    "reaches_codebook",
    "The gradient of z goes into the codebook: detach the whole difference between entries and codes. The codebook has "
    "a loss of its own.",
    _LAST,
)
NOT_QUANTISED = Cause("not_quantised", "z is still the codes: it must have the values of the entries.", _LAST)
SOFT = Cause("soft", "z is a blend of several entries; the nearest one alone is asked for.", _LAST)
MIRRORED = Cause(
    "mirrored", "z lies on the other side of the codes: it is codes + (entries - codes), not minus.", _LAST
)
DIFFERENCE = Cause("difference", "z is the difference between entries and codes; the codes must be added to it.", _LAST)
SCALED = Cause("gradient_scaled", "The gradient is scaled on its way: it must pass as it is, times 1.", _LAST)


def _probe(draw: Draw, n: int, entries: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (n, dim) and a codebook (entries, dim), off centre, of which every code prefers one entry by far: the
    squared distance to the second is larger by 4 % of the first and by 0.02 (bfloat16 tells them apart)."""
    codebook = draw.normal(entries, dim, scale=1.5) + 0.5
    found: list[torch.Tensor] = []
    while sum(map(len, found)) < n:
        codes = draw.normal(4 * n, dim, scale=1.8) + 0.5
        if entries > 1:
            near = (plain64(codes)[:, None] - plain64(codebook)[None]).square().sum(2).topk(2, largest=False).values
            codes = codes[near[:, 1] - near[:, 0] > 0.04 * near[:, 0] + 0.02]
        found.append(codes)
    return torch.cat(found)[:n].clone(), codebook


def _index(codes: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    c, e = plain64(codes), plain64(codebook)
    return (c[..., None, :] - e).square().sum(-1).argmin(-1)


def _called(candidate: Candidate, codes: torch.Tensor, codebook: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """z and index, of the right kinds and shapes."""
    leaf_codes, leaf_codebook = codes, codebook
    if not codes.requires_grad:
        leaf_codes, leaf_codebook = codes.clone(), codebook.clone()
    came = several(candidate(leaf_codes, leaf_codebook), _NAMES)
    shape = tuple(codes.shape)
    if _is_whole(came[0]) and not _is_whole(came[1]):
        raise Broken("z first, then its index", f"{describe(came[0])} first", SWAPPED)
    index = came[1]
    if not isinstance(index, torch.Tensor) or not _is_whole(index):
        cause = FLOATING if isinstance(index, torch.Tensor) and index.is_floating_point() else None
        raise Broken(f"index as whole numbers of shape {shape[:-1]}", describe(index), cause)
    if tuple(index.shape) != shape[:-1]:
        cause = None
        if tuple(index.shape) == (*shape[:-1], 1):
            cause = KEPT_AXIS
        elif tuple(index.shape) == (*shape[:-1], len(codebook)):
            cause = ONE_HOT
        elif tuple(index.shape) == (torch.Size(shape[:-1]).numel(),):
            cause = FLAT
        elif index.dim() == 0:
            cause = ONE_FOR_ALL
        raise Broken(f"index of shape {shape[:-1]}", describe(index), cause)
    return tensor(came[0], shape, "z"), index


def _is_whole(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_floating_point() and not value.is_complex()


def _same_index(index: torch.Tensor, want: torch.Tensor, what: str) -> None:
    wrong = (index.detach().cpu().long() != want).flatten()
    if bool(wrong.any()):
        place = int(wrong.nonzero()[0])
        raise Broken(
            f"{what}: entry {int(want.flatten()[place])} for code {place}",
            f"entry {int(index.flatten()[place])}; {int(wrong.sum())} of {len(wrong)} differ",
        )


def _same_values(z: torch.Tensor, want: torch.Tensor, what: str) -> None:
    size = float(want.detach().abs().max())
    same_tensor(z, plain64(want), what, scale=size + 1, rounding=0.015)


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and float((plain64(a) - plain64(b)).abs().max()) < 1e-3 * (
        1 + float(b.detach().abs().max())
    )


def _cause_of_values(z: torch.Tensor, codes: torch.Tensor, codebook: torch.Tensor) -> Cause | None:
    """A mistake in z alone; one in the choice of the entries is another."""
    c, e = plain64(codes), plain64(codebook)
    nearest = e[_index(codes, codebook)]
    for cause, value in (
        (NOT_QUANTISED, c),
        (MIRRORED, 2 * c - nearest),
        (DIFFERENCE, nearest - c),
        (DIFFERENCE, c - nearest),
    ):
        if _close(z, value):
            return cause
    squared = (c[:, None] - e[None]).square().sum(2)
    return SOFT if any(_close(z, F.softmax(-rate * squared, 1) @ e) for rate in (0.5, 1.0, 2.0)) else None


def _cause_of_gradient(found: torch.Tensor, pull: torch.Tensor) -> Cause | None:
    factor = float((plain64(found) * plain64(pull)).sum() / plain64(pull).square().sum())
    return SCALED if _close(found, factor * plain64(pull)) and abs(factor - 1) > 0.01 else None


# of codes c (N, D) and entries e (K, D), which entry each code gets
_CHOICES: tuple[tuple[str, str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]], ...] = (
    (
        "farthest",
        "You take the entry that is farthest: argmin of the distance, not argmax.",
        lambda c, e: torch.cdist(c, e).argmax(1),
    ),
    (
        "dot_product",
        "You take the entry with the largest scalar product, which favours long ones: compare distances.",
        lambda c, e: (c @ e.T).argmax(1),
    ),
    (
        "dot_product",
        "You take the entry with the smallest scalar product: compare distances.",
        lambda c, e: (c @ e.T).argmin(1),
    ),
    (
        "cosine",
        "You take the entry whose direction is nearest and forget the lengths: compare distances.",
        lambda c, e: (F.normalize(c, dim=1) @ F.normalize(e, dim=1).T).argmax(1),
    ),
    (
        "absolute",
        "You add up absolute differences; the Euclidean distance adds up squares.",
        lambda c, e: torch.cdist(c, e, p=1).argmin(1),
    ),
    (
        "largest_difference",
        "You compare by the largest difference; the Euclidean distance adds up squares.",
        lambda c, e: torch.cdist(c, e, p=torch.inf).argmin(1),
    ),
    (
        "no_square",
        "You add up differences without squaring them, so that they cancel.",
        lambda c, e: (c[:, None] - e).sum(2).argmin(1),
    ),
    (
        "no_square",
        "You square the sum of the differences, in which they cancel: square first.",
        lambda c, e: (c[:, None] - e).sum(2).square().argmin(1),
    ),
    ("first_coordinate", "You compare one coordinate only.", lambda c, e: (c[:, None, 0] - e[:, 0]).abs().argmin(1)),
    ("first_coordinate", "You compare one coordinate only.", lambda c, e: (c[:, None, -1] - e[:, -1]).abs().argmin(1)),
    (
        "expanded_wrongly",
        "|c - e|² = |c|² - 2 c·e + |e|²: you have lost the 2 or the |e|².",
        lambda c, e: (e.square().sum(1) - c @ e.T).argmin(1),
    ),
    (
        "second",
        "You take the second nearest entry.",
        lambda c, e: torch.cdist(c, e).topk(2, largest=False).indices[:, 1],
    ),
    (
        "one_for_all",
        "You take one entry for the whole batch: each code has a nearest entry of its own.",
        lambda c, e: torch.cdist(c, e).sum(0).argmin().expand(len(c)),
    ),
    (
        "first_entry",
        "You take the first entry, whatever the code is.",
        lambda c, e: torch.zeros(len(c), dtype=torch.long),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Few dimensions and many codes, so that every other choice differs somewhere."""
    probes = []
    for n, entries, dim in ((60, 9, 3), (50, 6, 2)):
        codes, codebook = _probe(draw, n, entries, dim)
        index = _called(candidate, codes, codebook)[1].detach().cpu().long()
        probes.append((plain64(codes), plain64(codebook), index))
    if all(torch.equal(_index(c, e), index) for c, e, index in probes):
        return None
    return sole(
        Cause(id, sentence, _CARD)
        for id, sentence, choice in _CHOICES
        if all(torch.equal(choice(c, e), index) for c, e, index in probes)
    )
