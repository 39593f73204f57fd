"""Laws of `train_step(autoencoder, x, optimizer)`: one optimisation step, judged with a correct reconstruction_loss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..engine.candidate import Candidate
from ..engine.demand import number, plain64, same_number, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import reconstruction_loss
from ..engine.verdict import Broken, CallFailed

# relative error of a parameter step: differences of rounded numbers are less accurate than the numbers
_ROUNDING = 0.08
_CARD = (
    "the order in the hints under the card of train_step: clear the gradients, forward, loss, backward, step, "
    "return loss.item()"
)


def _wrong(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _CARD)


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
FORWARD_TWICE = Cause(
    "several_forward_passes",
    "The modules see the batch more than once: batch normalisation counts "
    "it each time. Return the loss of the pass that you differentiate.",
    _CARD,
    tentative=True,
)
STEP_TOO_EARLY = _wrong(
    "step_before_backward",
    "optimizer.step() comes before loss.backward(): it uses the gradients "
    "of the batch before and changes the parameters that backward() needs.",
)


@dataclass
class Bench:
    """An autoencoder, its optimiser and a batch, all on the law's side."""

    encoder: nn.Module
    decoder: nn.Module
    optimizer: torch.optim.Optimizer
    x: torch.Tensor

    def copy(self) -> Bench:
        twin = Bench(*copy.deepcopy((self.encoder, self.decoder, self.optimizer)), self.x.clone())
        for mine, its in zip(self.parameters(), twin.parameters()):  # deepcopy leaves the gradients behind
            its.grad = None if mine.grad is None else mine.grad.clone()
        return twin

    def parameters(self) -> list[nn.Parameter]:
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def values(self) -> list[torch.Tensor]:
        return [plain64(p).clone() for p in self.parameters()]

    def loss(self) -> torch.Tensor:
        return reconstruction_loss(self.decoder(self.encoder(self.x)), self.x)

    def step(self) -> float:
        """The trusted step."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


_OPTIMISERS: dict[str, Callable[[list], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.02),
    "SGD with momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
}


def _bench(draw: Draw, kind: str, n: int = 6, *, stale: bool = True, warm: int = 0, scale: float = 0.6) -> Bench:
    """A small deterministic autoencoder; `stale` leaves gradients of another loss behind, `warm` steps fill the
    optimiser."""
    pixels, hidden, latent = 12, 7, 3
    encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, latent))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, pixels))
    parameters = [*encoder.parameters(), *decoder.parameters()]
    with torch.no_grad():
        for p in parameters:
            p.copy_(draw.normal(*p.shape, scale=scale))
    bench = Bench(encoder, decoder, _OPTIMISERS[kind](parameters), draw.pixels(n, pixels))
    for _ in range(warm):
        bench.step()
        bench.x = draw.pixels(n, pixels)
    bench.optimizer.zero_grad()
    if stale:
        for p in parameters:
            p.grad = draw.normal(*p.shape, scale=3.0)
    return bench


_BLACK = 5  # a pixel that is black in every image


def _large_bench(draw: Draw) -> Bench:
    """A batch of 100 images of MNIST's size; the norm of its gradient is above 50."""
    pixels, hidden, latent = 784, 16, 4
    encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, latent))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, pixels))
    with torch.no_grad():
        for layer, scale in ((encoder[0], 0.05), (encoder[2], 0.4), (decoder[0], 1.0), (decoder[2], 0.4)):
            layer.weight.copy_(draw.normal(*layer.weight.shape, scale=scale))
            layer.bias.copy_(draw.normal(*layer.bias.shape))
        encoder[0].weight[:, _BLACK] = draw.signs(hidden)
    x = draw.pixels(100, pixels)
    x[:, _BLACK] = 0.0
    return Bench(encoder, decoder, torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.002), x)


def _take(candidate: Candidate, bench: Bench) -> object:
    try:
        return candidate(
            (bench.encoder, bench.decoder),
            bench.x,
            bench.optimizer,
            replacing={"reconstruction_loss": reconstruction_loss},
        )
    except CallFailed as failed:
        early = "modified by an inplace operation" in failed.message
        raise CallFailed(failed.kind, failed.message, STEP_TOO_EARLY if early else failed.cause) from None


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
    before, trusted = bench.values(), bench.copy()
    for _ in range(steps):
        trusted.step()
        number(_take(candidate, bench), "the loss", tensor_allowed=True)
    for mine, its in zip(trusted.optimizer.param_groups, bench.optimizer.param_groups):
        for name in mine.keys() - {"params"}:
            if mine[name] != its.get(name):
                raise Broken(f"{what}: the optimiser's {name} stays {mine[name]}", str(its.get(name)), CHANGES_SETTINGS)
    rows = list(zip(before, trusted.values(), bench.values()))
    half = len(list(bench.encoder.parameters()))
    for part, chunk in (("encoder", rows[:half]), ("decoder", rows[half:])):
        want = torch.cat([(after - start).flatten() for start, after, _ in chunk])
        came = torch.cat([(after - start).flatten() for start, _, after in chunk])
        if not float((came - want).norm()) <= _ROUNDING * float(want.norm()):
            got = (
                "they did not move at all"
                if float(came.norm()) == 0
                else (
                    f"they moved by {show(came.norm())}, in a direction with cosine "
                    f"{show((came @ want) / (came.norm() * want.norm()))} to that"
                )
            )
            raise Broken(
                f"{what}: parameters of the {part} move by {show(want.norm())} along the optimiser's step", got
            )


# ------------------------------------------------------------------------------------------------ likely causes


def _mistakes() -> list[tuple[Cause | None, Callable[[Bench], float]]]:
    """Each returns what it would have returned and leaves the bench as it would have left it."""

    def usual(loss: Callable[[Bench], torch.Tensor], *, clear: bool = True, times: int = 1) -> Callable[[Bench], float]:
        def run(b: Bench) -> float:
            value = 0.0
            for _ in range(times):
                if clear:
                    b.optimizer.zero_grad()
                loss_now = loss(b)
                loss_now.backward()
                b.optimizer.step()
                value = float(loss_now.detach())
            return value

        return run

    def cleared_before_step(b: Bench) -> float:
        loss = b.loss()
        loss.backward()
        b.optimizer.zero_grad()
        b.optimizer.step()
        return float(loss.detach())

    def nothing(b: Bench) -> float:
        return float(b.loss().detach())

    def loss_after(b: Bench) -> float:
        b.step()
        return float(b.loss().detach())

    def detached(b: Bench) -> torch.Tensor:
        return reconstruction_loss(b.decoder(b.encoder(b.x).detach()), b.x)

    def frozen_decoder(b: Bench) -> float:
        b.optimizer.zero_grad()
        loss = b.loss()
        loss.backward()
        for p in b.decoder.parameters():
            p.grad = None
        b.optimizer.step()
        return float(loss.detach())

    def clipped(limit: float) -> Callable[[Bench], float]:
        def run(b: Bench) -> float:
            b.optimizer.zero_grad()
            loss = b.loss()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(b.parameters(), limit)
            b.optimizer.step()
            return float(loss.detach())

        return run

    def half_cleared(which: str) -> Callable[[Bench], float]:
        def run(b: Bench) -> float:
            getattr(b, which).zero_grad()
            loss = b.loss()
            loss.backward()
            b.optimizer.step()
            return float(loss.detach())

        return run

    def squared_error(b: Bench, reduction: str) -> torch.Tensor:
        per_image = (b.decoder(b.encoder(b.x)).sigmoid() - b.x).square()
        return per_image.mean() if reduction == "mean" else per_image.sum(1).mean()

    plain = Bench.loss
    stale = _wrong(
        "gradients_not_cleared",
        "Gradients of the step before are still there and are added to: call optimizer.zero_grad() before backward().",
    )
    idle = _wrong(
        "no_step",
        "The parameters do not move: optimizer.step() is missing, comes before backward(), or "
        "comes when the gradients have just been cleared.",
    )
    return [
        (None, usual(plain)),
        (stale, usual(plain, clear=False)),
        (stale, half_cleared("encoder")),
        (stale, half_cleared("decoder")),
        (idle, nothing),
        (idle, cleared_before_step),
        (_wrong("loss_after_step", "You return the loss after the step; the loss before it is asked for."), loss_after),
        (
            _wrong(
                "encoder_not_trained",
                "No gradient reaches the encoder: the code is detached or made under torch.no_grad.",
            ),
            usual(detached),
        ),
        (_wrong("decoder_not_trained", "The decoder does not learn: its gradients never arrive."), frozen_decoder),
        (_wrong("two_steps", "You take two steps; one is asked for."), usual(plain, times=2)),
        (
            _wrong("gradients_clipped", "You clip the gradients: the step is shorter than the optimiser's."),
            clipped(1.0),
        ),
        (
            _wrong("mean_over_everything", "You average over pixels: reconstruction_loss sums over them."),
            usual(lambda b: b.loss() / b.x[0].numel()),
        ),
        (
            _wrong("sum_over_batch", "You sum over the batch: reconstruction_loss averages over it."),
            usual(lambda b: b.loss() * b.x.shape[0]),
        ),
        (
            _wrong("squared_error", "You minimise a squared error; use reconstruction_loss."),
            usual(lambda b: squared_error(b, "mean")),
        ),
        (
            _wrong("squared_error", "You minimise a squared error; use reconstruction_loss."),
            usual(lambda b: squared_error(b, "sum")),
        ),
        (
            _wrong(
                "sigmoid_twice", "You give probabilities to reconstruction_loss, which expects logits: no sigmoid here."
            ),
            usual(lambda b: reconstruction_loss(b.decoder(b.encoder(b.x)).sigmoid(), b.x)),
        ),
        (
            _wrong(
                "arguments_swapped",
                "The arguments of reconstruction_loss are in each other's place: logits first, then x.",
            ),
            usual(lambda b: reconstruction_loss(b.x, b.decoder(b.encoder(b.x)))),
        ),
        (
            _wrong("ascends", "You climb: the loss is maximised, because its sign is turned somewhere."),
            usual(lambda b: -b.loss()),
        ),
    ]


def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The only mistake that leaves the same parameters and returns the same number, on two benches; if none does, the
    only one that leaves the same parameters."""
    exact: set[str] | None = None
    moved: set[str] | None = None
    table = _mistakes()
    causes = {cause.id if cause else "": cause for cause, _ in table}
    for n in (5, 3):
        start = _bench(draw, "SGD", n, warm=1)
        bench = start.copy()
        came = _take(candidate, bench)
        value = float(came.detach()) if isinstance(came, torch.Tensor) and came.dim() == 0 else came
        same_values, same_all = set(), set()
        for cause, run in table:
            trial = start.copy()
            returned = run(trial)
            moves = [(a - s, b - s) for s, a, b in zip(start.values(), bench.values(), trial.values())]
            size = sum(float(b.norm()) for _, b in moves)
            if sum(float((a - b).norm()) for a, b in moves) <= 1e-3 * size + 1e-9:
                name = cause.id if cause else ""
                same_values.add(name)
                if isinstance(value, (int, float)) and abs(value - returned) <= 1e-3 * abs(returned):
                    same_all.add(name)
        exact = same_all if exact is None else exact & same_all
        moved = same_values if moved is None else moved & same_values
    hits = exact or (moved - {"loss_after_step"} if moved else set())
    return causes[hits.pop()] if len(hits) == 1 else None


CHECK = Check(
    "train_step(autoencoder, x, optimizer)",
    "one step; the loss before it, a float",
    note="While it is judged, the name reconstruction_loss means a correct one, so that a mistake there costs nothing here.",
)
CHECK.diagnosis(_diagnose)


# --------------------------------------------------------------------------------------------------------- laws


@CHECK.law("takes the optimiser's step on encoder and decoder", weight=3)
def _plain_step(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. The large bench shows clipping and images left
    out; where the gradient is 0, nothing but a penalty of the student's own moves a weight."""
    for n in (6, 1):
        _compare_step(candidate, lambda: _bench(draw, "SGD", n, stale=False), f"SGD, batch of {n}")
    _compare_step(candidate, lambda: _large_bench(draw), "SGD, batch of 100 with 784 pixels")
    bench = _large_bench(draw)
    black = bench.encoder[0].weight[:, _BLACK].detach().clone()
    _take(candidate, bench)
    moved = float((bench.encoder[0].weight[:, _BLACK].detach() - black).abs().max())
    if moved > 1e-7:
        raise Broken(
            "weights of a pixel that is black in every image stay where they are: their gradient is 0",
            f"they move by {show(moved)}",
        )


@CHECK.law("clears gradients that an earlier step has left behind", weight=3)
def _clears(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    _compare_step(candidate, lambda: _bench(draw, "SGD"), "SGD with old gradients")
    _compare_step(candidate, lambda: _bench(draw, "SGD"), "three steps of SGD", steps=3)


@CHECK.law("works with the optimiser it is given: momentum, Adam", weight=2)
def _optimisers(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for kind in ("SGD with momentum", "Adam"):
        _compare_step(
            candidate, lambda: _bench(draw, kind, warm=3), f"two steps of {kind}, in the middle of a training", steps=2
        )


@CHECK.law("returns the reconstruction loss before the step, a float", weight=2)
def _returns(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, scale in ((6, 0.6), (1, 0.6), (3, 2.0)):
        bench = _bench(draw, "SGD", n, scale=scale)
        twin = bench.copy()
        with torch.no_grad():
            want = float(bench.loss())
        came = number(_take(candidate, bench), "the loss", tensor_allowed=False)
        after = float(bench.loss().detach())
        again = number(_take(candidate, twin), "the loss", tensor_allowed=False)
        if abs(again - came) > 1e-5 * abs(came):
            raise Broken(f"the same loss from the same start, {show(came)}", show(again), RANDOM_STEP)
        try:
            same_number(came, want, f"loss before the step, batch of {n}")
        except Broken as broken:
            pixels = bench.x.shape[1]
            raise Broken(broken.expected, broken.got, _value_cause(came, want, after, n, pixels)) from None


def _value_cause(came: float, want: float, after: float, n: int, pixels: int) -> Cause | None:
    known = (
        (_wrong("loss_after_step", "You return the loss after the step; the loss before it is asked for."), after),
        (_wrong("mean_over_everything", "You return the loss per pixel; nats per image are asked for."), want / pixels),
        (
            _wrong("sum_over_batch", "You return the loss of the whole batch; the average per image is asked for."),
            want * n,
        ),
    )
    hits = [cause for cause, value in known if abs(came - value) <= 1e-4 * abs(value)]
    return hits[0] if len(hits) == 1 else None


@CHECK.law("leaves the modules in the mode in which it found them", weight=2)
def _restores(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    names = {True: "training", False: "evaluation"}
    for modes in ((True, True), (False, False), (True, False), (False, True)):
        bench = _with_modes(draw)
        bench.encoder.train(modes[0]), bench.decoder.train(modes[1])
        before = bench.values()
        _take(candidate, bench)
        if all(torch.equal(a, b) for a, b in zip(before, bench.values())):
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
    moved = not all(torch.equal(a, b) for a, b in zip(before, bench.values()))
    for name, module in (("encoder", bench.encoder), ("decoder", bench.decoder)):
        seen = int(module[1].num_batches_tracked)
        if seen == 0:
            raise Broken(
                f"batch normalisation of the {name} in training mode",
                "it was in evaluation mode during the step, or took no part",
                EVAL_MODE if moved else None,
            )
        if seen > 1:
            raise Broken(f"one forward pass of the {name} in a step", f"{seen}", FORWARD_TWICE)


def _with_modes(draw: Draw) -> Bench:
    """An autoencoder with batch normalisation and dropout, in training mode."""
    encoder = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2))
    decoder = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 8))
    parameters = [*encoder.parameters(), *decoder.parameters()]
    return Bench(encoder, decoder, torch.optim.SGD(parameters, lr=0.01), draw.pixels(5, 8))


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
