"""Laws of `train_step(autoencoder, x, optimizer)`: one optimisation step, judged with a correct reconstruction_loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from ..engine.candidate import Candidate
from ..engine.causes import sole, table
from ..engine.demand import number, plain64, same_number, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import reconstruction_loss
from ..engine.verdict import Broken, CallFailed, blame

CHECK = Check(
    "train_step(autoencoder, x, optimizer)",
    "one step; the loss before it, a float",
    lends=reconstruction_loss,
)


@CHECK.law("takes the optimiser's step on encoder and decoder", weight=3)
def _plain_step(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. The large bench shows clipping and images left
    out; where the gradient is 0, nothing but a penalty of the student's own, on weights or on codes, moves a weight."""
    for n in (6, 1):
        _compare_step(candidate, partial(_bench, draw, "SGD", n, stale=False), f"SGD, batch of {n}")
    _compare_step(candidate, partial(_large_bench, draw), "SGD, batch of 100 with 784 pixels")
    bench = _large_bench(draw)
    weight = next(bench.encoder.parameters())
    black = weight[:, _BLACK].detach().clone()
    _take(candidate, bench)
    moved = float((weight[:, _BLACK].detach() - black).abs().max())
    if moved > 1e-7:
        raise Broken(
            "weights of a pixel that is black in every image stay where they are: their gradient is 0",
            f"they move by {show(moved)}",
        )
    _stays_where_nothing_pulls(candidate, draw)


@CHECK.law("clears gradients that an earlier step has left behind", weight=3)
def _clears(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. In bfloat16 one bench of 320 is more than 8 %
    off, so three in a row in less than 1e-7; with weights half as wide again, three steps were off in 52 of 320."""
    for what, steps in (("SGD with old gradients", 1), ("two steps of SGD", 2)):
        _compare_step(candidate, partial(_bench, draw, "SGD", scale=0.4), what, steps=steps)


@CHECK.law("works with the optimiser it is given: momentum, Adam", weight=2)
def _optimisers(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for kind, pixels in (("SGD with momentum", _PIXELS), ("Adam", 12)):
        what = f"two steps of {kind}, in the middle of a training"
        _compare_step(candidate, partial(_bench, draw, kind, warm=3, pixels=pixels), what, steps=2)


@CHECK.law("returns the reconstruction loss before the step, a float", weight=2)
def _returns(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, scale, wider in ((6, 0.6, 1.0), (1, 0.6, 1.0), (3, 2.0, 1.0), (3, 0.6, 10.0)):  # the last has wide codes
        bench = _decisive_bench(draw, n, scale)
        with torch.no_grad():
            bench.encoder.get_parameter("2.weight").mul_(wider)
            if wider > 1:  # and makes nothing of them
                bench.decoder.get_parameter("0.weight").zero_()
        twin = bench.copy()
        with torch.no_grad():
            want = float(bench.loss())
        came = number(_take(candidate, bench), "the loss", tensor_allowed=False)
        after = float(bench.loss().detach())
        again = number(_take(candidate, twin), "the loss", tensor_allowed=False)
        if abs(again - came) > 1e-5 * abs(came):
            raise Broken(f"the same loss from the same start, {show(came)}", show(again), RANDOM_STEP)
        with blame(_value_cause(came, want, after, *bench.x.shape)):
            same_number(came, want, f"loss before the step, batch of {n}")


@CHECK.law("leaves the modules in the mode in which it found them", weight=2)
def _restores(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    names = {True: "training", False: "evaluation"}
    for modes in ((True, True), (False, False), (True, False), (False, True)):
        bench = _with_modes(draw)
        bench.encoder.train(modes[0]), bench.decoder.train(modes[1])
        before = bench.values()
        _take(candidate, bench)
        if not bench.has_left(before):
            raise Broken("parameters that move", "parameters that do not move")
        for name, module, mode in (("encoder", bench.encoder, modes[0]), ("decoder", bench.decoder, modes[1])):
            if {m.training for m in module.modules()} != {mode}:
                raise Broken(
                    f"{name} in {names[mode]} mode after the step, as before it",
                    f"{name} in {names[module.training]} mode",
                    LEFT_MODE,
                )


@CHECK.law("trains in training mode when the modules are in training mode")
def _trains(candidate: Candidate, draw: Draw) -> None:
    """Not random: batch normalisation counts the batches that it has seen in training mode."""
    bench = _with_modes(draw)
    before = bench.values()
    _take(candidate, bench)
    for name, module in (("encoder", bench.encoder), ("decoder", bench.decoder)):
        seen = int(module.get_buffer("1.num_batches_tracked"))
        if seen == 0:
            raise Broken(
                f"batch normalisation of the {name} in training mode",
                "it was in evaluation mode during the step, or took no part",
                EVAL_MODE if bench.has_left(before) else None,
            )
        if seen > 1:
            raise Broken(f"one forward pass of the {name} in a step", f"{seen}", FORWARD_TWICE)


@CHECK.law("leaves the batch, the random generators and torch's settings alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    bench = _bench(draw, "SGD")
    kept = bench.x.clone()
    number(_take(candidate, bench), "the loss", tensor_allowed=True)
    untouched((kept,), (bench.x,), ("x",))
    if bench.x.requires_grad:
        raise Broken("x as it was before the call", "x now requires gradients", GRADIENT_OF_X)
    well_behaved(candidate)


@dataclass
class Bench:
    """An autoencoder, its optimiser and a batch, all on the law's side."""

    encoder: nn.Sequential
    decoder: nn.Sequential
    optimizer: torch.optim.Optimizer
    x: torch.Tensor

    def copy(self) -> Bench:
        twin = Bench(*copy.deepcopy((self.encoder, self.decoder, self.optimizer)), self.x.clone())
        for mine, its in zip(self.parameters(), twin.parameters(), strict=True):  # deepcopy leaves the gradients behind
            its.grad = None if mine.grad is None else mine.grad.clone()
        return twin

    def parameters(self) -> list[nn.Parameter]:
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def values(self) -> list[torch.Tensor]:
        return [plain64(p).clone() for p in self.parameters()]

    def has_left(self, values: list[torch.Tensor]) -> bool:
        return any(not torch.equal(a, b) for a, b in zip(values, self.values(), strict=True))

    def loss(self) -> torch.Tensor:
        return reconstruction_loss(self.decoder(self.encoder(self.x)), self.x)

    def step(self) -> float:
        """The trusted step."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


# relative error of a parameter step: differences of rounded numbers are less accurate than the numbers
_ROUNDING = 0.08
_PIXELS = 400
_BLACK = 5  # a pixel that is black in every image
_OPTIMISERS: dict[str, Callable[[list], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.008),
    "SGD with momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.003, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
}


def _bench(
    draw: Draw, kind: str, n: int = 6, *, stale: bool = True, warm: int = 0, scale: float = 0.6, pixels: int = _PIXELS
) -> Bench:
    """A small deterministic autoencoder with a gradient whose norm is above 3; `stale` leaves gradients of another loss
    behind, `warm` steps fill the optimiser. Adam divides by the size of each gradient, and so magnifies the rounding of
    small ones: of 400 pixels it moves by more than 8 % another way in bfloat16 in 4 of 10 benches, of 12 in none."""
    encoder = nn.Sequential(nn.Linear(pixels, 7), nn.Tanh(), nn.Linear(7, 3))
    decoder = nn.Sequential(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, pixels))
    parameters = _drawn(draw, encoder, decoder, scale)
    with torch.no_grad():
        decoder.get_parameter("2.bias").add_(1.5)
    bench = Bench(encoder, decoder, _OPTIMISERS[kind](parameters), _grey(draw, n, pixels))
    for _ in range(warm):
        bench.step()
        bench.x = _grey(draw, n, pixels)
    bench.optimizer.zero_grad()
    if stale:
        for p in parameters:
            p.grad = draw.normal(*p.shape, scale=3.0)
    return bench


def _decisive_bench(draw: Draw, n: int, scale: float) -> Bench:
    """A bench on which each of two steps of SGD lowers the loss by more than 5 %, so that the loss before is told from
    those after in any precision: the decoder's last bias alone, which the loss is convex in, takes it far down."""
    bench = _bench(draw, "SGD", n, scale=scale)
    bias = bench.decoder.get_parameter("2.bias")
    with torch.no_grad():
        bias.copy_(draw.uniform(len(bias), low=-5.0, high=-4.0))
    bench.optimizer = torch.optim.SGD([{"params": [p for p in bench.parameters() if p is not bias], "lr": 1e-4}])
    bench.optimizer.add_param_group({"params": [bias], "lr": 3.0})
    return bench


def _stays_where_nothing_pulls(candidate: Candidate, draw: Draw) -> None:
    """Where the decoder's first weights are 0 no gradient reaches the encoder; where codes are, none reaches those."""
    for still, silent in (("encoder", "decoder.0.weight"), ("decoder.0.weight", "encoder.2")):
        bench = _bench(draw, "SGD", stale=False)
        parts = nn.ModuleDict({"encoder": bench.encoder, "decoder": bench.decoder})
        with torch.no_grad():
            for name, p in parts.named_parameters():
                if name.startswith(silent):
                    p.zero_()
        kept = {name: p.detach().clone() for name, p in parts.named_parameters() if name.startswith(still)}
        _take(candidate, bench)
        moved = max(float((parts.get_parameter(name).detach() - p).abs().max()) for name, p in kept.items())
        if moved > 1e-7:
            raise Broken(
                f"weights of the {still[:7]} stay where they are where the loss does not depend on them",
                f"they move by {show(moved)}",
                OWN_PENALTY,
            )


def _grey(draw: Draw, n: int, pixels: int) -> torch.Tensor:
    """One dark image and bright ones: without the first, or with rounded pixels, the loss is clearly another."""
    x = draw.uniform(n, pixels, low=0.55, high=0.9)
    x[0] -= 0.45
    return x


def _large_bench(draw: Draw) -> Bench:
    """A batch of 100 images of MNIST's size; the norm of its gradient is above 50."""
    first, inner, last = nn.Linear(784, 16), nn.Linear(16, 4), nn.Linear(16, 784)
    encoder = nn.Sequential(first, nn.Tanh(), inner)
    decoder = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), last)
    parameters = _drawn(draw, encoder, decoder, 1.0)
    x = draw.pixels(100, 784)
    x[:, _BLACK] = 0.0
    with torch.no_grad():
        for layer, scale in ((first, 0.05), (inner, 0.4), (last, 0.4)):
            layer.weight.mul_(scale)
        first.weight[:, _BLACK] = draw.signs(16)
    return Bench(encoder, decoder, torch.optim.SGD(parameters, lr=0.002), x)


def _moved_alike(start: list[torch.Tensor], one: Bench, other: Bench, agreement: float = 1e-3) -> bool:
    rows = list(zip(start, one.values(), other.values(), strict=True))
    size = sum(float((b - s).norm()) for s, _, b in rows)
    return sum(float((a - b).norm()) for _, a, b in rows) <= agreement * size + 1e-9


def _with_modes(draw: Draw) -> Bench:
    """An autoencoder with batch normalisation and dropout, in training mode."""
    encoder = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2))
    decoder = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 8))
    parameters = _drawn(draw, encoder, decoder, 0.6)
    return Bench(encoder, decoder, torch.optim.SGD(parameters, lr=0.01), draw.pixels(5, 8))


def _drawn(draw: Draw, encoder: nn.Module, decoder: nn.Module, scale: float) -> list[nn.Parameter]:
    """The parameters of both, which the law draws itself."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    with torch.no_grad():
        for p in parameters:
            p.copy_(draw.normal(*p.shape, scale=scale))
    return parameters


def _take(candidate: Candidate, bench: Bench) -> object:
    try:
        return candidate((bench.encoder, bench.decoder), bench.x, bench.optimizer)
    except CallFailed as failed:
        if "modified by an inplace operation" in failed.message:
            failed.cause = STEP_TOO_EARLY
        elif "does not require grad" in failed.message:
            failed.cause = NO_GRAPH
        raise


def _compare_step(candidate: Candidate, make: Callable[[], Bench], what: str, steps: int = 1) -> None:
    """Take the same steps with the candidate and with the trusted step; what they change must agree.

    In lower precision a step that happens to be small is inaccurate; therefore a step counts as wrong when it is wrong
    on three benches in a row.
    """
    for attempts_left in (2, 1, 0):
        try:
            return _compare_once(candidate, make(), what, steps)
        except Broken:
            if not attempts_left:
                raise


def _compare_once(candidate: Candidate, bench: Bench, what: str, steps: int) -> None:
    before, trusted, twin = bench.values(), bench.copy(), bench.copy()
    for _ in range(steps):
        trusted.step()
        for each in (bench, twin):
            number(_take(candidate, each), "the loss", tensor_allowed=True)
    if not _moved_alike(before, bench, twin, agreement=1e-4):
        raise Broken(f"{what}: the same step from the same start", "another one", RANDOM_STEP)
    groups = zip(trusted.optimizer.param_groups, bench.optimizer.param_groups, strict=True)
    for mine, its in groups:
        for name in mine.keys() - {"params"}:
            if mine[name] != its.get(name):
                raise Broken(f"{what}: the optimiser's {name} stays {mine[name]}", str(its.get(name)), CHANGES_SETTINGS)
    rows = list(zip(before, trusted.values(), bench.values(), strict=True))
    half = len(list(bench.encoder.parameters()))
    for part, chunk in (("encoder", rows[:half]), ("decoder", rows[half:])):
        want = torch.cat([(after - start).flatten() for start, after, _ in chunk])
        came = torch.cat([(after - start).flatten() for start, _, after in chunk])
        if not float((came - want).norm()) <= _ROUNDING * float(want.norm()):
            got = "they did not move at all"
            if float(came.norm()) > 0:
                cosine = show((came @ want) / (came.norm() * want.norm()))
                got = f"they moved by {show(came.norm())}, in a direction with cosine {cosine} to that"
            along = f"parameters of the {part} move by {show(want.norm())} along the optimiser's step"
            raise Broken(f"{what}: {along}", got)


_CARD = (
    "the order in the hints under the card of train_step: clear the gradients, forward, loss, backward, step, "
    "return loss.item()"
)
_wrong = partial(Cause, where=_CARD)

LEFT_MODE = _wrong(
    "mode_not_restored",
    "You change the mode of a module and leave it changed: remember "
    "module.training and restore it, or leave the mode alone.",
)
EVAL_MODE = _wrong(
    "evaluation_mode",
    "The step runs in evaluation mode although the modules were training: dropout is "
    "off and batch normalisation learns no statistics.",
)
RANDOM_STEP = _wrong(
    "random_step", "Your step has randomness of its own: noise or shuffling that changes the loss does not belong here."
)
GRADIENT_OF_X = _wrong("changes_arguments", "You switch on requires_grad for the batch: the parameters learn, not x.")
CHANGES_SETTINGS = _wrong(
    "changes_optimizer",
    "You change a setting of the optimiser, such as its learning rate: that is for whoever made it to decide.",
)
FORWARD_TWICE = _wrong(
    "several_forward_passes",
    "The modules see the batch more than once: batch normalisation counts "
    "it each time. Return the loss of the pass that you differentiate.",
    tentative=True,
)
OWN_PENALTY = _wrong(
    "own_penalty",
    "Something else than the reconstruction loss pulls at the weights: a penalty on codes or weights (sparsity, "
    "weight decay) does not belong here.",
    tentative=True,
)
NO_GRAPH = _wrong(
    "no_graph",
    "backward() finds no graph behind the loss: it was made under torch.no_grad, detached or read with .item().",
)
STEP_TOO_EARLY = _wrong(
    "step_before_backward",
    "optimizer.step() comes before loss.backward(): it uses the gradients "
    "of the batch before and changes the parameters that backward() needs.",
)
CLIPPED = _wrong("gradients_clipped", "You clip the gradients: the step is shorter than the optimiser's.")
LOSS_AFTER = _wrong(
    "loss_after_step", "You return the loss after the step; the loss before it is asked for.", tentative=True
)


def _value_cause(came: float, want: float, after: float, n: int, pixels: int) -> Cause | None:
    """From the returned number alone."""
    known = (
        (LOSS_AFTER, after),
        (_wrong("mean_over_everything", "You return the loss per pixel; nats per image are asked for."), want / pixels),
        (
            _wrong("sum_over_batch", "You return the loss of the whole batch; the average per image is asked for."),
            want * n,
        ),
    )
    return sole(cause for cause, value in known if abs(came - value) <= 1e-4 * abs(value))


Run = Callable[[Bench], float]  # returns what the mistaken step would have returned, and leaves the bench as it would


def _step(
    loss: Callable[[Bench], torch.Tensor] = Bench.loss,
    *,
    before: Callable[[Bench], object] = lambda b: b.optimizer.zero_grad(),
    after_backward: Callable[[Bench], object] = lambda b: None,
    times: int = 1,
) -> Run:
    def run(b: Bench) -> float:
        value = 0.0
        for _ in range(times):
            before(b)
            now = loss(b)
            now.backward()
            after_backward(b)
            b.optimizer.step()
            value = float(now.detach())
        return value

    return run


def _loss_after(b: Bench) -> float:
    b.step()
    return float(b.loss().detach())


def _squared_errors(b: Bench) -> torch.Tensor:
    return (b.decoder(b.encoder(b.x)).sigmoid() - b.x).square()


def _reduced(
    errors: Callable[[Bench], torch.Tensor], reduce: Callable[[torch.Tensor], torch.Tensor], b: Bench
) -> torch.Tensor:
    return reduce(errors(b))


def _squared_errors_of_logits(b: Bench) -> torch.Tensor:
    return (b.decoder(b.encoder(b.x)) - b.x).square()


_STALE = (
    "gradients_not_cleared",
    "Gradients of the step before are still there and are added to: call optimizer.zero_grad() before backward().",
)
_IDLE = (
    "no_step",
    "The parameters do not move: optimizer.step() is missing, comes before backward(), or "
    "comes when the gradients have just been cleared.",
)
_SQUARED = ("squared_error", "You minimise a squared error; use reconstruction_loss.")
_TWO = "You take two steps; one is asked for."
_PART = "Only a part of the batch counts; train on all of its images."


def _rounded(bench: Bench) -> torch.Tensor:
    x = (bench.x > 0.5).float()
    return reconstruction_loss(bench.decoder(bench.encoder(x)), x)


_MISTAKES: list[tuple[Cause | None, Run]] = table(
    _CARD,
    _step(),
    (*_STALE, _step(before=lambda b: None)),
    (*_STALE, _step(before=lambda b: b.encoder.zero_grad())),
    (*_STALE, _step(before=lambda b: b.decoder.zero_grad())),
    (*_IDLE, lambda b: float(b.loss().detach())),
    (*_IDLE, _step(after_backward=lambda b: b.optimizer.zero_grad())),
    (LOSS_AFTER.id, LOSS_AFTER.sentence, _loss_after),
    (
        "encoder_not_trained",
        "No gradient reaches the encoder: the code is detached or made under torch.no_grad.",
        _step(lambda b: reconstruction_loss(b.decoder(b.encoder(b.x).detach()), b.x)),
    ),
    (
        "decoder_not_trained",
        "The decoder does not learn: its gradients never arrive.",
        _step(after_backward=lambda b: b.decoder.zero_grad()),
    ),
    ("two_steps", _TWO, _step(times=2)),
    ("two_steps", _TWO, _step(after_backward=lambda b: b.optimizer.step())),
    ("part_of_the_batch", _PART, _step(lambda b: reconstruction_loss(b.decoder(b.encoder(b.x[:1])), b.x[:1]))),
    ("part_of_the_batch", _PART, _step(lambda b: reconstruction_loss(b.decoder(b.encoder(b.x[1:])), b.x[1:]))),
    ("binarised", "You round the pixels to 0 and 1: train on the batch as it is.", _step(_rounded)),
    (
        "mean_over_everything",
        "You average over pixels: reconstruction_loss sums over them.",
        _step(lambda b: b.loss() / b.x[0].numel()),
    ),
    (
        "sum_over_batch",
        "You sum over the batch: reconstruction_loss averages over it.",
        _step(lambda b: b.loss() * b.x.shape[0]),
    ),
    *(
        (*_SQUARED, _step(partial(_reduced, errors, reduced)))
        for errors in (_squared_errors, _squared_errors_of_logits)
        for reduced in (torch.mean, torch.sum, lambda e: e.sum(1).mean(), lambda e: e.sum(1).mean() / 2)
    ),
    (
        "sigmoid_twice",
        "You give probabilities to reconstruction_loss, which expects logits: no sigmoid here.",
        _step(lambda b: reconstruction_loss(b.decoder(b.encoder(b.x)).sigmoid(), b.x)),
    ),
    (
        "arguments_swapped",
        "The arguments of reconstruction_loss are in each other's place: logits first, then x.",
        _step(lambda b: reconstruction_loss(b.x, b.decoder(b.encoder(b.x)))),
    ),
    ("ascends", "You climb: the loss is maximised, because its sign is turned somewhere.", _step(lambda b: -b.loss())),
)


def _clipping(candidate: Candidate, bench: Bench) -> tuple[float | None, float | None]:
    """Where the step follows the gradient but is shorter: its length, and its largest component, in units of the
    learning rate."""
    before, rate = bench.values(), bench.optimizer.param_groups[0]["lr"]
    bench.optimizer.zero_grad()
    want = torch.cat([plain64(g).flatten() for g in torch.autograd.grad(bench.loss(), bench.parameters())])
    _take(candidate, bench)
    came = torch.cat([(a - b).flatten() for a, b in zip(before, bench.values(), strict=True)]) / rate
    most = float(came.abs().max())
    shorter = float(came.norm()) < 0.9 * float(want.norm())
    parallel = float(came @ want) > 0.9999 * float(came.norm() * want.norm()) > 0
    cut = float((came - want.clamp(-most, most)).norm()) < 1e-2 * float(came.norm())
    return float(came.norm()) if shorter and parallel else None, most if shorter and cut else None


def _is_one(numbers: Iterable[float | None]) -> bool:
    """The same number on every bench, though the gradients differ."""
    found = list(numbers)
    known = [number for number in found if number is not None]
    return len(known) == len(found) and max(known) - min(known) < 1e-2 * max(known)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The only mistake that leaves the same parameters and returns the same number, on two benches; if none does, the
    only one that leaves the same parameters."""
    moves_alike, returns_alike = [True] * len(_MISTAKES), [True] * len(_MISTAKES)
    clips = []
    for n in (5, 3):
        start = _bench(draw, "SGD", n, warm=1)
        bench = start.copy()
        clips.append(_clipping(candidate, _large_bench(draw)))
        came = _take(candidate, bench)
        value = float(came.detach()) if isinstance(came, torch.Tensor) and came.dim() == 0 else came
        for index, (_, run) in enumerate(_MISTAKES):
            if not moves_alike[index]:  # out after the first bench
                continue
            trial = start.copy()
            predicted = run(trial)
            moves_alike[index] &= _moved_alike(start.values(), bench, trial)
            returns_alike[index] &= isinstance(value, (int, float)) and abs(value - predicted) <= 1e-3 * abs(predicted)
    if _is_one(norm for norm, _ in clips) or _is_one(most for _, most in clips):
        return CLIPPED
    alike = [cause for (cause, _), moves in zip(_MISTAKES, moves_alike, strict=True) if moves]
    exact = [c for (c, _), *both in zip(_MISTAKES, moves_alike, returns_alike, strict=True) if all(both)]
    return sole(exact or [cause for cause in alike if cause is None or cause.id != LOSS_AFTER.id])
