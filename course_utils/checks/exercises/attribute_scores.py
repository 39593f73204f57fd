"""Laws of `attribute_scores(z, attributes)`: held-out ROC AUC of a linear probe for each attribute.

The probe is the student's choice (logistic regression, ridge, linear discriminant, linear SVM, standardised or not),
and so are the folds, pooled or averaged: laws look where all of these agree.
"""

from __future__ import annotations

import math

import torch

from ..engine.candidate import Candidate
from ..engine.demand import describe, tensor, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.plain import Array
from ..engine.score import Cause
from ..engine.verdict import Broken, CallFailed

CHECK = Check("attribute_scores(z, attributes)", "(A,) held-out ROC AUC of a linear probe for each attribute")
_ASTRAY = 1 - 3 / 20  # the score of `_three_astray`
_CARD = "the card of attribute_scores: cross-validated scores of a linear probe, then their ROC AUC, column by column"


@CHECK.law("gives one score for every column, in an array or a list")
def _array(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    z, column = _separated(draw, 15, 15, 2.0)
    came = candidate(z, column[:, None].to(torch.uint8))
    values = came.values if isinstance(came, Array) else came
    expected = "a float array of shape (1,) for attributes (30, 1)"
    if isinstance(came, tuple) and all(isinstance(value, float) for value in came):  # a list of them will do
        values = torch.tensor(came)
    if not isinstance(values, torch.Tensor):
        raise Broken(expected, describe(came), AVERAGED if isinstance(came, (int, float)) else None)
    if tuple(values.shape) != (1,):
        raise Broken(expected, describe(came), EXTRA_AXIS if values.dim() > 1 else AVERAGED)
    if not values.is_floating_point():
        raise Broken(expected, f"numbers of type {str(values.dtype).removeprefix('torch.')}")


@CHECK.law("is the ROC AUC: right for frequent and for rare attributes", weight=3)
def _values(candidate: Candidate, draw: Draw) -> None:
    """Evenly spread codes, random folds: 15 probes, pooled or averaged, come within 0.02 of the exact scores in 20
    draws each (without any penalty: 0.04 for the rare attribute). 0.045 is allowed, false alarm below 1e-6; logistic
    regression by stochastic gradient descent, whose folds differ, misses it in two of three draws, so five are made;
    it is never off by more than 0.17 in 360 draws, so beyond 0.3 no other is made. The AUC of right or wrong (predict),
    with both classes weighing the same, is 0.084 below, with a standard deviation of 0.008. Then, five times, separated
    classes with three of 20 positives below all negatives: right probes come within 0.01 of the exact score whatever
    the folds are, and 0.033 is allowed. A split that scores a fifth or a half of the pictures is off by at least 0.05
    however many of the three it has; five random splits are right in three of ten draws, and in all five in one run of
    400."""
    for _ in range(5):
        _, came, want = _measured(candidate, draw, 2.0, 2.8)
        off = (came - want).abs()
        right = bool((off <= 0.045).all())
        if right or float(off.max()) > 0.3:  # nan: a fold may have had no picture of a kind
            break
    if not right:
        worst = int(off.argmax())
        raise Broken(f"{float(want[worst]):.2f} for column {worst} of {_in_words(want)}", show(came[worst]))
    scores = torch.tensor([_one(candidate, *_three_astray(draw), f"a score of {show(_ASTRAY)}") for _ in range(5)])
    farthest = float(scores[(scores - _ASTRAY).abs().argmax()])
    if abs(farthest - _ASTRAY) > 0.033:
        raise Broken(
            f"{show(_ASTRAY)} where three of 20 positives lie below all negatives, and the others above",
            show(farthest),
            LEFT_OUT if _is_left_out(scores) else None,
        )


@CHECK.law("is held out: pictures are scored by a probe that has not seen them", weight=3, essential=True)
def _held_out(candidate: Candidate, draw: Draw) -> None:
    """Noise whose averages are brought together (by 0.9) in the two classes: what is left out pulls the rest the other
    way. Of seven kinds of probes, the linear discriminant scores highest: 0.046 with a standard deviation of 0.009;
    0.2 is allowed, false alarm below 1e-9. A probe of 240 dimensions learns 160 pictures by heart: 1. Then plain noise,
    see `_noise`."""
    noise, z, column = _opposite(draw)
    expected = "a score far below 1/2 where held-out codes lie opposite to what the others suggest"
    score = _one(candidate, z, column, expected)
    if score > 0.2:
        others = torch.stack([column[draw.permutation(len(column))] for _ in range(2)], 1)
        known = float(_scores(candidate, noise, others).mean())
        cause = TRAINING if known > 0.9 else FOLDED if _is_folded(candidate, draw, score) else None
        if cause is None:
            _noise(candidate, draw)
        raise Broken(
            expected,
            f"{show(score)}, and {show(known)} on average for two columns of coin tosses",
            cause if _well_in_general(candidate, draw) else None,
        )
    if abs(_noise(candidate, draw) - score) < 1e-3:  # so does a constant
        _heeds_codes(candidate, draw, score)


@CHECK.law("uses a linear probe: what no line separates is not found")
def _linear(candidate: Candidate, draw: Draw) -> None:
    """Symmetric codes, attribute = far from the middle: a line scores 0.37 on average with a standard deviation of
    0.06, and at most 0.57 in 1200 runs; 0.9 is allowed, false alarm below 1e-9. Neighbours, trees and kernels score
    about 1."""
    z, column = _far_from_the_middle(draw)
    expected = "a score near 1/2, or below, where the attribute is to be far from the middle"
    score = _one(candidate, z, column, expected)
    if score > 0.9:
        raise Broken(expected, show(score), NOT_LINEAR if score <= 1 else None)
    _heeds_codes(candidate, draw, score)


@CHECK.law("keeps to its number when pictures come in order and the attribute is rare", weight=2)
def _rare(candidate: Candidate, draw: Draw) -> None:
    """Clearly separated codes, one of the few pictures in each of five folds: a correct function never fails. (Folds
    with unequal shares shift the scores of a strongly regularised probe against each other.)"""
    for first in (1.0, 0.0):
        column = torch.cat([torch.full((5,), first), torch.full((35,), 1 - first)])
        z = torch.cat([6 * column[:, None], torch.zeros(40, 1)], 1) + draw.uniform(40, 2, low=-1, high=1)
        expected = f"a score near 1 where 5 pictures of 40, the first ones, {'have' if first else 'lack'} the attribute"
        try:
            score = _one(candidate, z, column, expected)
        except (Broken, CallFailed) as error:
            if isinstance(error, CallFailed) and error.kind != "raised":
                raise
            got = error.got if isinstance(error, Broken) else error.message
            raise Broken(expected, got, ORDERED if _well_when_spread(candidate, z, column) else None) from None
        if score < 0.9:
            raise Broken(expected, show(score), ORDERED if _well_when_spread(candidate, z, column) else None)


@CHECK.law("is nan where a column is constant, and only there", weight=2)
def _constant(candidate: Candidate, draw: Draw) -> None:
    """Clearly separated codes: a correct function never fails. The columns come in an order of their own."""
    z, column = _separated(draw, 15, 15, 4.0)
    first, *others = draw.permutation(3).tolist()  # nan first and a number last, as no sorting puts them
    last = draw.integer(3, 4)
    between = torch.tensor([*others, 7 - last])[draw.permutation(3)]
    order = torch.tensor([first, *between, last])
    columns = torch.stack([torch.zeros(30), torch.ones(30), torch.zeros(30), column, 1 - column], 1)[:, order]
    words = ("nan", "nan", "nan", "near 1", "near 1")
    expected = f"({', '.join(words[i] for i in order)}): nan for a column of 0 or of 1, else one that a line separates"
    try:
        came = _scores(candidate, z, columns)
    except CallFailed as failed:
        if failed.kind != "raised":
            raise
        raise Broken(expected, failed.message, CONSTANT_RAISES if _well_in_general(candidate, draw) else None) from None
    except Broken as broken:
        raise Broken(expected, broken.got, broken.cause or DROPPED) from None
    constant = order < 3
    is_number = ~torch.isnan(came[constant])
    if bool(is_number.any()):
        raise Broken(expected, _in_words(came), CONSTANT_NUMBER if bool(is_number.all()) else ONE_CONSTANT)
    if not bool((came[~constant] > 0.9).all()):
        raise Broken(expected, _in_words(came))


@CHECK.law("does not depend on the origin and the unit of the codes, nor on the types of numbers")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Clearly separated codes: a correct function never fails. Without an intercept a rare attribute turns the line
    over, for then most pictures say that large numbers lack it: it scores at most 0.04. Strongly regularised probes
    whose folds are pooled score 0.5 to 0.9."""
    z, column = _separated(draw, 12, 48, 4.0)
    expected = "a score near 1 for separated codes away from the origin, in float64"
    score = _one(candidate, (z + 3).double(), column.to(torch.int64), expected)
    if score < 0.3:
        raise Broken(expected, show(score))
    for device in candidate.devices():
        score = _one(candidate, z.to(device), column.bool().to(device), f"a score near 1 for codes on {device}")
        if score < 0.3:
            raise Broken(f"a score near 1 for codes on {device}", show(score))


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    z, column = _separated(draw, 10, 10, 2.0)
    columns = column[:, None].clone()
    kept = z.clone(), columns.clone()
    candidate(z, columns)
    untouched(kept, (z, columns), ("z", "attributes"))
    well_behaved(candidate)


def _scores(candidate: Candidate, z: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
    """(A,) float64, whatever holds the numbers; laws but the first do not ask for an array."""
    came, wanted = candidate(z.clone(), attributes.clone()), attributes.shape[1]
    if isinstance(came, Array):
        values = came.values
    elif isinstance(came, torch.Tensor):
        values = came
    elif isinstance(came, tuple) and all(isinstance(v, (int, float)) for v in came):
        values = torch.tensor([float(v) for v in came])
    elif isinstance(came, (int, float)):
        raise Broken(f"one score for each of {wanted} columns", describe(came), AVERAGED)
    else:
        return tensor(came, (wanted,), "the scores")  # says what is wrong with it
    if values.numel() != wanted:
        raise Broken(
            f"one score for each of {wanted} columns", describe(came), AVERAGED if values.numel() == 1 else None
        )
    return values.detach().cpu().flatten().double()


def _one(candidate: Candidate, z: torch.Tensor, column: torch.Tensor, what: str) -> float:
    score = float(_scores(candidate, z, column[:, None])[0])
    if not math.isfinite(score):
        raise Broken(what, show(score))
    return score


def _quantiles(n: int) -> torch.Tensor:
    """n numbers spread as a standard normal, without luck."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n).float()


def _separated(draw: Draw, positives: int, negatives: int, distance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (N, 1) of two classes `distance` standard deviations apart, and the column (N,). The order is random but
    for the share of the classes, which is the same in every part of it, so that folds of neighbours have it as well."""
    codes = torch.cat([_quantiles(positives) + distance, _quantiles(negatives)])
    column = torch.cat([torch.ones(positives), torch.zeros(negatives)])
    order = torch.empty(positives + negatives, dtype=torch.long)
    places = (torch.arange(positives) * len(order)).div(positives, rounding_mode="floor") + draw.integer(0, 1)
    kept = torch.ones(len(order), dtype=torch.bool)
    kept[places] = False
    order[places], order[kept] = draw.permutation(positives), positives + draw.permutation(negatives)
    return codes[order][:, None], column[order]


def _three_astray(draw: Draw) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (40, 1) and a column (40,): 17 positives above all negatives and three below. Positives and negatives take
    turns, so that folds of as many pictures have as many of both, whatever the folds are."""
    codes = torch.cat([_quantiles(17) + 12, _quantiles(3) - 6, _quantiles(20)])
    turns = torch.stack([draw.permutation(20), 20 + draw.permutation(20)], 1)
    order = turns.flip(draw.integer(0, 1)).flatten()
    return codes[order][:, None], (order < 20).float()


def _is_left_out(scores: torch.Tensor) -> bool:
    """Some scores are too high, as no line makes them while the three are scored, and others are not."""
    return float(scores.max()) > _ASTRAY + 0.033 and 0.5 < float(scores.min()) < 0.94


def _auc(distance: float) -> float:
    """Of two normal classes with equal spread: the probability that a positive lies above a negative."""
    return 0.5 * (1 + math.erf(distance / 2))


def _two_attributes(draw: Draw, frequent: float, rare: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes (200, 2), an attribute in half of the pictures, whose classes lie `frequent` apart along the first
    dimension, and one in a tenth, `rare` apart along the second and spread evenly along the first: chance does not
    couple the two."""
    first, many = _separated(draw, 100, 100, frequent)
    second, few = _separated(draw, 20, 180, rare)
    along = first[:, 0].argsort()
    first, many = first[along], many[along]
    blocks = torch.cat([second[few == 1].reshape(20, 1), second[few == 0].reshape(20, 9)], 1)
    second, few = blocks.reshape(200, 1), (torch.arange(200) % 10 == 0).float()
    rows = draw.permutation(200)
    return torch.cat([first, second], 1)[rows], many[rows], few[rows]


def _measured(
    candidate: Candidate, draw: Draw, frequent: float, rare: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Columns, the candidate's scores and the exact ones."""
    z, many, few = _two_attributes(draw, frequent, rare)
    exact = torch.tensor([_auc(rare), _auc(frequent), _auc(frequent)])
    columns = torch.stack([few, many, 1 - many], 1)  # in no order of their scores, one way or the other
    return columns, _scores(candidate, z, columns), exact.double()


def _in_words(values: torch.Tensor) -> str:
    return "(" + ", ".join(f"{float(value):.2f}" for value in values) + ")"


def _explain_values(candidate: Candidate, draw: Draw) -> Cause | None:
    columns, came, want = _measured(candidate, draw, 2.0, 0.8)
    if float(came.std()) < 1e-6:
        return SAME_FOR_ALL
    rare = columns.mean(0) < 0.2
    predicted = (
        (INVERTED, 1 - want, 0.13),
        (PERCENT, 100 * want, 13),
        (HARD, torch.where(rare, 0.5, 0.84), 0.06),  # from here on they lie too near to each other for 0.13
        (HARD, torch.where(rare, 0.64, 0.84), 0.06),  # of a probe for which both classes weigh the same
        (ACCURACY, torch.where(rare, 0.9, 0.84), 0.06),  # no better than always "no" where attributes are rare
    )
    for cause, values, allowed in predicted:
        if float((came - values).abs().max()) < allowed:
            return cause
    if float((came - (2 * want - 1)).abs().max()) < 0.1 and _negative(candidate, draw):
        return GINI
    in_order = float((came.sort().values - want.sort().values).abs().max()) < 0.1
    return OTHER_COLUMN if in_order and float((came - want).abs().max()) > 0.15 else None


def _negative(candidate: Candidate, draw: Draw) -> bool:
    """Is the score below 0, as no AUC is, where a line scores 0.37 with a standard deviation of 0.06?"""
    z, column = _far_from_the_middle(draw)
    return float(_scores(candidate, z, column[:, None])[0]) < 0


def _opposite(draw: Draw) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise (160, 240), the same with the averages of two classes brought together, and the column (160,)."""
    noise, column = draw.normal(160, 240), _coins(draw, 160)
    z = noise.clone()
    for value in (0, 1):
        z[column == value] -= 0.9 * z[column == value].mean(0)
    return noise, z, column


def _coins(draw: Draw, n: int) -> torch.Tensor:
    """A column (n,) of coin tosses, as many heads as tails in every part of it."""
    heads = draw.integer(0, 1) ^ (draw.uniform(n // 2) < 0.5).long()
    return torch.stack([heads, 1 - heads], 1).flatten().float()


def _is_folded(candidate: Candidate, draw: Draw, score: float) -> bool:
    """Above 0.9 or exactly 1/2, and on other codes of the kind again?"""
    _, z, column = _opposite(draw)
    again = float(_scores(candidate, z, column[:, None])[0])
    return all(value > 0.9 or abs(value - 0.5) < 1e-9 for value in (score, again))


def _noise(candidate: Candidate, draw: Draw) -> float:
    """The lowest score of two columns of coin tosses. Of correct probes each scores 0.49 on average with a standard
    deviation of 0.14 (a ridge regression, 6000 draws). Where both are above 0.75, as happens once in 500, coins are
    tossed again: three times in a row is a false alarm below 1e-7. A selection of 5 of the 500 dimensions by all labels
    scores 0.93 with a standard deviation of 0.04."""
    means = []
    for _ in range(3):
        columns = torch.stack([_coins(draw, 30) for _ in range(2)], 1)
        means.append(float(_scores(candidate, draw.normal(30, 500), columns).min()))
        if means[-1] <= 0.75:
            return means[-1]
    raise Broken(
        "about 1/2 for two columns of coin tosses and codes that are noise",
        f"at least {show(means[0])}",
        SELECTED if max(means) <= 1 and _well_in_general(candidate, draw) else None,
    )


def _heeds_codes(candidate: Candidate, draw: Draw, score: float) -> None:
    """Raises Broken where well separated codes get the very score of codes that no line separates: so does a constant.
    Of seven linear probes, the scores differed by at least 0.28 in 200 runs each."""
    for _ in range(3):  # one equality may be chance
        z, column = _separated(draw, 40, 40, 3.0)
        if abs(_one(candidate, z, column, "a score near 1 for separated codes") - score) > 1e-3:
            return
    raise Broken("another score where a line separates the codes than where none does", show(score), SAME_FOR_ALL)


def _far_from_the_middle(draw: Draw) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric codes (60, 1) and the attribute (60,) of lying in the outer half."""
    z = _quantiles(60)[draw.permutation(60)][:, None]
    return z, (z[:, 0].abs() > z.abs().median()).float()


def _well_when_spread(candidate: Candidate, z: torch.Tensor, column: torch.Tensor) -> bool:
    """Is the score right once the five pictures are spread evenly among the 40, one in every eight?"""
    rows = torch.cat([torch.arange(5)[:, None], torch.arange(5, 40).reshape(5, 7)], 1).flatten()
    try:
        return 0.9 <= float(_scores(candidate, z[rows], column[rows][:, None])[0]) <= 1
    except (Broken, CallFailed):
        return False


def _well_in_general(candidate: Candidate, draw: Draw) -> bool:
    z, column = _separated(draw, 40, 40, 3.0)
    try:
        return 0.9 < float(_scores(candidate, z, column[:, None])[0]) <= 1
    except (Broken, CallFailed):
        return False


TRAINING = Cause(
    "scored_on_training_codes",
    "The probe is scored on codes that it was trained on. With as many dimensions as pictures it can learn anything "
    "by heart, noise as well: score each picture by a probe that has not seen it.",
    _CARD,
    tentative=True,
)
SELECTED = Cause(
    "selected_before_folds",
    "Noise gets a score far above 1/2: something before the folds has seen all labels, such as a selection of "
    "dimensions. Make it a part of the probe (make_pipeline), so that it is learnt without the pictures that are "
    "scored.",
    _CARD,
    tentative=True,
)
LEFT_OUT = Cause(
    "pictures_left_out",
    "Pictures are left out: a single split into training and test scores only some of them, and another split gives "
    "another number. With cross-validation every picture is scored once.",
    _CARD,
    tentative=True,
)
FOLDED = Cause(
    "folded_at_one_half",
    "Scores below 1/2 are turned over (or cut off): a held-out score below 1/2 is an honest result, and turned over "
    "it makes noise look like knowledge.",
    _CARD,
    tentative=True,
)
ACCURACY = Cause(
    "accuracy",
    "You return the accuracy: where 9 of 10 pictures lack an attribute, a probe that always says no has 90 %. The ROC "
    "AUC does not depend on how frequent an attribute is.",
    _CARD,
)
HARD = Cause(
    "hard_predictions",
    "You take the AUC of yes or no (predict): it needs the probe's confidence, from decision_function or "
    "predict_proba[:, 1].",
    _CARD,
)
INVERTED = Cause(
    "inverted",
    "Your scores are 1 minus the AUC: the confidence is that of the attribute being absent (predict_proba[:, 0]).",
    _CARD,
)
GINI = Cause("gini", "You return 2 AUC - 1, the Gini coefficient: the AUC itself is asked for, 1/2 for a guess.", _CARD)
PERCENT = Cause("percent", "You return per cent: an AUC lies between 0 and 1.", _CARD)
OTHER_COLUMN = Cause("other_order", "The scores are right but not in the order of the attributes' columns.", _CARD)
NOT_LINEAR = Cause(
    "not_linear",
    "Your probe is not linear: it finds what no line separates. What a decoder of one's own could find is another "
    "question.",
    _CARD,
    tentative=True,
)
ORDERED = Cause(
    "folds_not_stratified",
    "It depends on the order of the pictures: where the attribute's few pictures come first, a fold has none of them. "
    "Stratify the folds (StratifiedKFold).",
    _CARD,
    tentative=True,
)
CONSTANT_RAISES = Cause(
    "constant_raises",
    "A column with a single value makes your function fail: its score is nan; catch it before the probe.",
    _CARD,
)
CONSTANT_NUMBER = Cause(
    "constant_not_nan",
    "A column with a single value has no ROC curve: its score is nan, not a number.",
    _CARD,
    tentative=True,
)
ONE_CONSTANT = Cause(
    "one_value_forgotten",
    "Of columns that are all 0 and columns that are all 1 you catch only one kind.",
    _CARD,
    tentative=True,
)
SAME_FOR_ALL = Cause("same_for_all", "Every column gets the same score, whatever it holds.", _CARD)
AVERAGED = Cause("averaged", "You return one number: each attribute has a score of its own.", _CARD)
EXTRA_AXIS = Cause("extra_axis", "Your array has an axis too many: (A,) is asked for.", _CARD)
DROPPED = Cause(
    "constant_dropped",
    "Constant columns are left out: then the scores no longer belong to the columns.",
    _CARD,
    tentative=True,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """What turns a plain AUC into another number explains what other laws see as well, unless the probe is at fault."""
    number = _explain_values(candidate, draw)
    if number is not None and any(_explain_values(candidate, draw) != number for _ in range(2)):
        number = None
    if number in (None, HARD, GINI, ACCURACY):
        try:
            _linear(candidate, draw)
        except Broken as broken:
            return broken.cause or number
    return number
