"""Laws of `reparameterize(mu, logvar)`: z = mu + exp(logvar / 2) * eps with fresh eps ~ N(0, I)."""

from __future__ import annotations

import torch

from ..engine.candidate import Candidate
from ..engine.demand import gradients, plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.randomness import (
    cosine_bound,
    count_bounds,
    distance_bound,
    is_clipped,
    kolmogorov_distance,
    largest_cosine,
    mean_bound,
    mean_square_bounds,
    product_bound,
    tail_probability,
)
from ..engine.score import Cause
from ..engine.verdict import Broken, blame
from ..shared.noise_causes import name_the_noise

EDGES = (-29.9, 19.9)  # a clamp of logvar may begin at -30 and at 20, not nearer

CHECK = Check("reparameterize(mu, logvar)", "z, differentiable in both, with fresh noise at every call")


@CHECK.law("returns one finite z for each mu, for any batch")
def _shape(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for dtype in (torch.float32, torch.float64):
        for n, d in ((1, 1), (1, 5), (7, 1), (64, 10)):
            z = _draw_z(candidate, draw.normal(n, d, dtype=dtype), draw.normal(n, d, dtype=dtype))
            if z.dtype != dtype:
                raise Broken(f"z of type {dtype}, as mu and logvar", f"{z.dtype}", OTHER_DTYPE)


@CHECK.law("is centred on mu", weight=2)
def _mean(candidate: Candidate, draw: Draw) -> None:
    """Chernoff bounds for the means of 512 normals in eight calls, and of all 4096, 12 columns; Laurent-Massart bound
    for the mean square of 8000 normals, each with a centre and a logvar of its own: false alarm below 1e-7."""
    n, centres = 512, torch.cat([torch.tensor([0.0, 0.4, -0.7, 3.0, -8.0, 25.0]), draw.normal(6, scale=3.0)])
    logvar = draw.uniform(len(centres), low=-2.0, high=1.0)
    given = centres.repeat(n // 2, 2), logvar.repeat(n // 2, 2)  # two columns for each, so that rows are not too many
    drawn = [plain64(_draw_z(candidate, *given)).view(n, -1) for _ in range(8)]
    means, want = torch.stack([z.mean(0) for z in drawn]), plain64(centres)
    for count, each in ((n, means), (8 * n, means.mean(0, keepdim=True))):
        beyond = (each - want).abs() / (mean_bound(count) * plain64(logvar / 2).exp() + 0.004 * want.abs())
        call, worst = divmod(int(beyond.argmax()), len(want))
        if not float(beyond[call, worst]) <= 1:
            raise Broken(f"mean of z = {show(want[worst])} where mu = {show(want[worst])}", show(each[call, worst]))
    e = _noise(candidate, draw.normal(250, 32, scale=3.0), draw.uniform(250, 32, low=-3.0, high=3.0))
    if float(e.square().mean()) > 1.02 * mean_square_bounds(e.numel())[1]:
        raise Broken("every z near its own mu", f"{show(e.square().mean().sqrt())} standard deviations away on average")


@CHECK.law("has standard deviation exp(logvar / 2), from tiny to large", weight=3)
def _spread(candidate: Candidate, draw: Draw) -> None:
    """Laurent-Massart bound for the variance of 8192 and of 2048 normals, 11 columns: false alarm below 1e-7."""
    for n, learning in ((8192, False), (2048, True)):
        logvar = torch.tensor([-14.0, -6.0, -2.0, -0.7, 0.0, 1.0, 3.0, 6.0, 10.0]) + draw.number(-0.2, 0.2)
        logvar = torch.cat([logvar, torch.tensor(EDGES)])
        _has_spread(candidate, n, logvar[draw.permutation(len(logvar))], learning)


@CHECK.law("uses standard normal noise", weight=3)
def _normal(candidate: Candidate, draw: Draw) -> None:
    """At most 73728 draws at once: Dvoretzky-Kiefer-Wolfowitz bound for the distribution function, Chernoff bounds for
    the number of draws beyond 2.03, 3.03 and 3.53: false alarm below 1e-7. Averages of small batches: see there."""
    for n, d, learning in ((2400, 27, False), (1024, 8, False), (2400, 27, True)):
        _is_standard_normal(_standard_noise(candidate, n, d, learning))
    _is_not_normalised(torch.stack([_standard_noise(candidate, 3, 4) for _ in range(6)]))


@CHECK.law("draws fresh noise at every call", weight=2)
def _fresh(candidate: Candidate, draw: Draw) -> None:
    """Equal draws: genuine noise, even with the 8 bits of bfloat16, repeats a number with a probability below 0.003 and
    more than 0.3 of twenty or more with one below 1e-12. Cosines of independent vectors of 4096, 28 pairs, twice: false
    alarm below 2e-9."""
    for learning in (False, True):
        for n, d in ((64, 64), (5, 4), (64, 1), (1, 20), (5, 4)):
            mu, logvar = draw.normal(n, d), draw.uniform(n, d, low=-1.0, high=1.0)
            first, second = (plain64(_draw_z(candidate, mu, logvar, learning)) for _ in range(2))
            if float((first == second).double().mean()) > 0.3:
                raise Broken(
                    "another z at the second call with the same arguments",
                    "the same numbers again",
                    _frozen_cause(candidate) if bool((first == second).all()) else None,
                )
    for n, d in ((256, 16), (64, 64)):
        calls = torch.stack([_even_noise(candidate, n, d, learning).flatten() for learning in 4 * (False, True)])
        cosine, i, j = largest_cosine(calls)
        if abs(cosine) > cosine_bound(n * d, 28):
            raise Broken(
                "noise of any two calls unrelated",
                f"correlation {show(cosine)} between calls {min(i, j) + 1} and {max(i, j) + 1} of 8",
                FROZEN if _each_has_a_twin(calls) else None,
            )


def _each_has_a_twin(calls: torch.Tensor) -> bool:
    """Every call's noise comes back in another call: two of eight may look alike by chance where images share it."""
    return bool((torch.corrcoef(calls).fill_diagonal_(-1).amax(1) > 0.99).all())


@CHECK.law("draws its own noise for every image and every dimension", weight=2)
def _independent(candidate: Candidate, draw: Draw) -> None:
    """Cosines between all rows and all columns (concentration on the sphere, union over pairs), the spread of the row
    and column means (Laurent-Massart), and the mean product of neighbours (see `product_bound`): false alarm below
    2e-8. Three equal bfloat16 numbers have a probability of 1e-8: of 6000 rows, fewer than one is a repetition."""
    e = _even_noise(candidate, 2 * draw.integer(115, 125), 2 * draw.integer(54, 58))
    _varies_everywhere(candidate, e)
    _unrelated(e, "images", DEPENDENT_ROWS)
    _unrelated(e.T, "dimensions", DEPENDENT_COLUMNS)
    small = _even_noise(candidate, 6, 5)
    if len(small.unique()) < 16:
        raise Broken("30 different draws for 6 images and 5 dimensions", f"only {len(small.unique())} different ones")
    rows = _even_noise(candidate, draw.integer(5000, 6000), 3)
    different = len(torch.unique(rows, dim=0))
    if different < len(rows) - 100:
        raise Broken(
            f"other noise for each of {len(rows)} images",
            f"only {different} different ones",
            DEPENDENT_ROWS if len(rows.unique()) > different else None,
        )


@CHECK.law("lets the gradient through: dz/dmu = 1 and dz/dlogvar = (z - mu) / 2", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """An identity for every draw: a correct function never fails. Just within [-30, 20] as well, where a narrower clamp
    of logvar takes the gradient."""
    for n, d, low, high, dtype in (
        (1, 6, -2.0, 1.5, torch.float32),
        (40, 8, -2.0, 1.5, torch.float32),
        (4, 6, -2.0, 1.5, torch.float64),
        (300, 64, -8.0, 6.0, torch.float32),
    ):
        mu, logvar = draw.normal(n, d, dtype=dtype), draw.uniform(n, d, low=low, high=high, dtype=dtype)
        _has_gradient(candidate, mu, logvar, draw.signs(n, d) * draw.uniform(n, d, low=0.5, high=1.5))
    logvar = torch.tensor(EDGES).repeat(6, 2)
    with blame(CLAMPED):
        _has_gradient(candidate, torch.zeros(6, 4), logvar, (-logvar / 2).exp())


@CHECK.law("works in double precision, for a batch of one, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Chernoff bound: a standard normal number beyond 8 has probability 1e-15; a spread of 40 numbers below 1e-3 has
    less. Normal noise: the bounds of the law on it, here five times: false alarm below 1e-7."""
    shapes: list[tuple[int, int, torch.dtype, torch.device | None]] = [
        (1, 40, torch.float64, None),
        (8, 3, torch.float64, None),
    ]
    shapes += [(4, 40, torch.float32, device) for device in candidate.devices()]
    for n, d, dtype, device in shapes:
        mu = (draw.signs(n, d) * draw.uniform(n, d, low=4.0, high=6.0)).to(device, dtype)
        logvar = draw.uniform(n, d, low=-2.0, high=-1.0).to(device, dtype)
        z = _draw_z(candidate, mu, logvar)
        if device is not None and z.device.type != mu.device.type:
            raise Broken(f"z on {mu.device}, where mu is", f"z on {z.device}")
        e = (plain64(z) - plain64(mu)) / plain64(logvar / 2).exp()
        if float(e.abs().max()) > 8 or (d > 10 and float(e.std()) < 1e-3):
            raise Broken(
                "z within a few standard deviations of mu, and not at mu",
                f"{show(e.abs().max())} standard deviations away at most",
            )
    for n, d in ((700, 28), (1500, 8)):
        _is_standard_normal(_standard_noise(candidate, n, d, dtype=torch.float64))
    for quarters in (draw.integer(-28, -24), draw.integer(10, 16)):  # these are exact in bfloat16 too
        _is_standard_normal(_noise(candidate, torch.zeros(700, 28), torch.full((700, 28), quarters / 4)))
    _is_standard_normal(torch.cat([_standard_noise(candidate, 1, 1) for _ in range(200)]))


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    mu, logvar = draw.normal(20, 4, scale=4.0), draw.normal(20, 4, scale=4.0)
    kept = mu.clone(), logvar.clone()
    tensor(candidate(mu, logvar), (20, 4), "z")
    untouched(kept, (mu, logvar), ("mu", "logvar"))
    well_behaved(candidate)


def _draw_z(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor, learning: bool = False) -> torch.Tensor:
    """z, with arguments that require gradients if `learning`: as in training, where the noise matters most."""
    arguments = [argument.clone().requires_grad_(learning) for argument in (mu, logvar)]
    return tensor(candidate(*arguments), mu.shape, "z")


def _noise(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """eps, as far as z is mu + exp(logvar / 2) * eps."""
    return (plain64(_draw_z(candidate, mu, logvar)) - plain64(mu)) / plain64(logvar / 2).exp()


def _standard_noise(
    candidate: Candidate, n: int, d: int, learning: bool = False, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """What comes out at mu = 0, logvar = 0: there z is eps itself, whatever is made of logvar."""
    return plain64(_draw_z(candidate, torch.zeros(n, d, dtype=dtype), torch.zeros(n, d, dtype=dtype), learning))


def _even_noise(candidate: Candidate, n: int, d: int, learning: bool = False) -> torch.Tensor:
    """Centred noise, on a scale that is the same for all elements whatever is made of mu and logvar."""
    z = plain64(_draw_z(candidate, torch.zeros(n, d), torch.full((n, d), 0.9), learning))
    return z - z.mean()


def _has_spread(candidate: Candidate, n: int, logvar: torch.Tensor, learning: bool) -> None:
    twice = logvar.repeat(n // 2, 2)
    z = plain64(_draw_z(candidate, torch.zeros_like(twice), twice, learning)).view(n, -1)
    spread = z.std(0)
    ratio = spread / plain64(logvar / 2).exp()
    low, high = mean_square_bounds(n - 1)
    wrong = (ratio.square() < 0.95 * low) | (ratio.square() > 1.05 * high)  # a rounded logvar costs up to 3 %
    if bool(wrong.any()):
        worst = int((ratio.clamp_min(1e-30).log().abs() * wrong).argmax())
        only_far = not bool(wrong[(logvar > -1.5) & (logvar < 1.5)].any()) and abs(float(ratio[worst].log())) > 0.2
        raise Broken(
            f"standard deviation {show((logvar[worst] / 2).exp())} at logvar = {show(logvar[worst])}",
            show(spread[worst]),
            CLAMPED if only_far else None,
        )


def _is_not_normalised(small: torch.Tensor) -> None:
    """Mean and mean square of six batches, whole, by column and by row, all within 0.002: with 12 normals to a batch
    the densities are below 1.4, so that this has a probability below 6 * (1.4 * 0.002)^5 < 2e-12."""
    for axes in ((1, 2), 1, 2):
        for power, what in ((1, "average"), (2, "mean square")):
            values = small.pow(power).mean(axes)
            if float(values.max() - values.min()) < 0.002:
                same = f"it is {show(values.mean())} every time"
                other = bool((small[0] != small[1]).any())  # not one noise for all calls
                raise Broken(f"noise whose {what} over a small batch varies", same, NORMALISED if other else None)


def _is_standard_normal(e: torch.Tensor) -> None:
    n, distance = e.numel(), kolmogorov_distance(e)
    if distance > distance_bound(n):
        most = f"largest difference of distribution functions at most {show(distance_bound(n))}"
        raise Broken(f"noise distributed as N(0, 1): {most}", show(distance), _clipped(e) or _misshapen(e))
    for limit in (2.03, 3.03, 3.53):  # not whole numbers, where noise might be clipped and rounded
        beyond = tail_probability(limit)
        above, below = int((e > limit).sum()), int((e < -limit).sum())
        for share, came in ((2 * beyond, above + below), (beyond, above), (beyond, below)):
            low, high = count_bounds(share * n)
            if not low <= came <= high:
                cause = (_clipped(e) if came < low else None) or _misshapen(e)
                raise Broken(f"about {share * n:.0f} of {n} draws beyond {limit:g}", str(came), cause)


def _clipped(e: torch.Tensor) -> Cause | None:
    # fewer draws look clipped too easily
    return CLIPPED if e.numel() > 50_000 and is_clipped(e) and _are_separate(e) else None


def _misshapen(e: torch.Tensor) -> Cause | None:
    """Fewer than 10,000 draws do not tell another shape from a clipped one, whose mean square is near enough to 1."""
    if e.numel() <= 10_000 or is_clipped(e) or not _are_separate(e):
        return None
    (low, high), centre = mean_square_bounds(e.numel()), abs(float(e.mean()))
    return NOT_NORMAL if centre <= mean_bound(e.numel()) and low <= float(e.square().mean()) <= high else None


def _are_separate(e: torch.Tensor) -> bool:
    """As many draws as there are numbers: draws that are shared have another distribution by chance alone."""
    if len(e.unique()) <= 0.5 * e.numel():
        return False
    for rows in (e, e.T):
        common = float(rows.mean(0).square().mean()) * len(rows)
        if common > mean_square_bounds(rows.shape[1])[1] * float(e.square().mean()):
            return False
    return True


def _frozen_cause(candidate: Candidate) -> Cause:
    """Does z vary within one call at least?"""
    return FROZEN if float(_even_noise(candidate, 32, 8).std()) > 1e-4 else NO_NOISE


def _varies_everywhere(candidate: Candidate, e: torch.Tensor) -> None:
    if float(e.std()) < 1e-6:
        once, again = (_draw_z(candidate, torch.zeros(1, 1), torch.full((1, 1), 0.9)) for _ in range(2))
        raise Broken("noise", "every z is the same number", NO_NOISE if torch.equal(once, again) else ONE_NUMBER)
    spread = e.std(0)
    if float(spread.min()) < 1e-6 < float(spread.max()):
        still = f"{int((spread < 1e-6).sum())} of {len(spread)} dimensions do not vary"
        raise Broken("noise in every dimension", still, SOME_DIMS)
    for rows, things, cause in ((e, "images", SHARED_BATCH), (e.T, "dimensions", SHARED_DIMS)):
        if float((rows - rows[0]).abs().max()) < 1e-6:
            raise Broken(f"other noise for other {things}", f"all {things} have the same noise", cause)


def _unrelated(rows: torch.Tensor, things: str, dependent: Cause | None) -> None:
    n, d = rows.shape
    cosine, i, j = largest_cosine(rows)
    if kolmogorov_distance(rows / rows.std()) > 0.025:
        dependent = None  # the bounds are for normal noise; other noise is the matter of another law
    if abs(cosine) > cosine_bound(d, n * n) + 0.02:
        raise Broken(
            f"noise of different {things} unrelated",
            f"correlation {show(cosine)} between {things} {i} and {j}",
            dependent,
        )
    common = rows.mean(0).square().mean() * n / rows.square().mean()
    low, high = mean_square_bounds(d)
    if not low * 0.9 <= float(common) <= high * 1.1:
        raise Broken(
            f"noise of different {things} unrelated",
            f"their average varies {show(common)} times as much as it should",
            dependent,
        )
    for lag in (1, 2):
        products = rows[lag:] * rows[:-lag]
        correlation = float(products.mean() / rows.square().mean())
        if abs(correlation) > 1.1 * product_bound(products.numel()) + 0.005:  # the mean of all rows is taken off
            raise Broken(
                f"noise of neighbouring {things} unrelated",
                f"correlation {show(correlation)} on average, {lag} apart",
                dependent,
            )


def _has_gradient(candidate: Candidate, mu: torch.Tensor, logvar: torch.Tensor, weights: torch.Tensor) -> None:
    m, sigma, w = plain64(mu), plain64(logvar / 2).exp(), plain64(weights)
    z = tensor(candidate(mu.requires_grad_(), logvar.requires_grad_()), mu.shape, "z")
    by_mu, by_logvar = _both_gradients(candidate, z, mu, logvar, weights.to(z.dtype))
    shift = plain64(z) - m
    if float(shift.abs().max()) < 1e-9:
        raise Broken("a z that differs from mu", "z = mu", NO_NOISE)
    with blame(MU_DETACHED if float(by_mu.abs().max()) < 1e-9 else None):
        same_tensor(by_mu, w, "weighted dz/dmu", scale=w.abs())
    size = w.abs() * (shift.abs() + 0.2 * m.abs() + 0.2 * sigma)
    same_tensor(by_logvar, w * shift / 2, "weighted dz/dlogvar", scale=size)


def _both_gradients(
    candidate: Candidate, z: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor, weights: torch.Tensor
) -> list[torch.Tensor]:
    try:
        return gradients(candidate, z, (mu, logvar), ("mu", "logvar"), weights)
    except Broken as broken:
        lost = {"detached": NO_GRAD, "detached_mu": MU_DETACHED, "detached_logvar": SIGMA_DETACHED}
        broken.cause = lost.get(broken.cause.id) if broken.cause else None
        raise


_HINT = "the maths hint under the card of reparameterize: z = mu + sigma * eps, with sigma = exp(logvar / 2)"

_EPS, _FULL_SHAPE = "the line that makes eps", "the shape you draw eps with"

FROZEN = Cause(
    "frozen_noise",
    "The noise of one call comes again in another: a fixed seed, noise tensors that are "
    "kept, or no noise at all. Draw eps anew inside the function.",
    _EPS,
)
OTHER_DTYPE = Cause(
    "other_dtype",
    "Your z has another type of numbers than mu and logvar, so that the decoder, whose weights have theirs, refuses "
    "it: make eps with torch.randn_like(mu).",
    _EPS,
)
NO_NOISE = Cause(
    "no_noise", "z does not vary at all: no noise is added, so this is a plain autoencoder.", _EPS, tentative=True
)
ONE_NUMBER = Cause(
    "one_number",
    "A single random number serves all images and dimensions: eps needs the full shape of mu.",
    _FULL_SHAPE,
)
SOME_DIMS = Cause("some_without_noise", "Some dimensions get no noise: sample all of them.", _EPS)
SHARED_BATCH = Cause(
    "noise_shared_over_batch", "All images of a batch get the same noise: eps needs the full shape of mu.", _FULL_SHAPE
)
SHARED_DIMS = Cause(
    "noise_shared_over_dimensions",
    "All dimensions of a code get the same noise: eps needs the full shape of mu.",
    _FULL_SHAPE,
)
DEPENDENT_ROWS = Cause(
    "dependent_rows",
    "The noise of one image determines that of another (repeated, mirrored or "
    "shuffled copies): draw all of eps independently.",
    _EPS,
)
DEPENDENT_COLUMNS = Cause(
    "dependent_columns",
    "The noise of one dimension determines that of another (repeated, "
    "mirrored or shuffled copies): draw all of eps independently.",
    _EPS,
)
CLIPPED = Cause("clipped_noise", "Large values of eps never come: the noise is clipped or truncated.", _EPS)
NOT_NORMAL = Cause(
    "not_normal",
    "Your noise has the right size and another distribution than the normal one: draw it with torch.randn_like.",
    _EPS,
    tentative=True,
)
NORMALISED = Cause(
    "normalised_noise",
    "Your noise is centred or scaled by its own batch, so that one draw depends on the others: leave it as drawn.",
    _EPS,
    tentative=True,
)
CLAMPED = Cause(
    "clamped",
    "The spread is right near logvar = 0 and wrong far from it: something is clamped, or a constant is added to sigma.",
    "calls of clamp, min, max, and constants in your line for sigma",
    tentative=True,
)
NO_GRAD = Cause(
    "no_grad",
    "z carries no gradient at all: it is sampled under torch.no_grad, with .sample() instead of "
    ".rsample(), or detached. Then the encoder cannot learn; that is what the trick is for.",
    _HINT,
)
MU_DETACHED = Cause(
    "detached_mu",
    "No gradient reaches mu: it is detached, so that the encoder never learns where to put its codes.",
    _HINT,
    tentative=True,
)
SIGMA_DETACHED = Cause(
    "detached_logvar",
    "No gradient reaches logvar: the standard deviation is detached, so that the encoder never learns its uncertainty.",
    _HINT,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    return name_the_noise(lambda mu, logvar: candidate(mu, logvar), draw) or name_the_noise(
        lambda mu, logvar: candidate(mu.requires_grad_(), logvar.requires_grad_()), draw
    )
