"""Whatever is handed to a check: a Score with a reason, never an exception, nothing on stderr, nothing left behind."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
import threading
import time
import warnings

import lanes
import numpy as np
import pytest
import torch

from course_utils import check
from course_utils.checks import CHECKS
from course_utils.checks.engine import candidate as seam
from course_utils.checks.engine.score import Score


class AlwaysEqual:
    def __eq__(self, other):
        return True

    def __getattr__(self, name):
        return AlwaysEqual()

    def __call__(self, *args, **kwargs):
        return AlwaysEqual()

    def __float__(self):
        return 0.0

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __lt__ = __le__ = __gt__ = __ge__ = __call__


class LyingTensor(torch.Tensor):
    """Claims to be equal to, close to and as large as anything."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.allclose, torch.equal, torch.isclose):
            return True
        return super().__torch_function__(func, types, args, kwargs or {})

    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return self * 0


def raises(*args):
    raise RuntimeError("the <b>student's</b> own message")


def nan_like(*args):
    return torch.tensor(float("nan"))


class Weird:
    def __call__(self, *args):
        raise type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})


BAD = {
    "none": None,
    "text": "kl_divergence",
    "number": 3,
    "ellipsis": ...,
    "type": dict,
    "class": AlwaysEqual,
    "module": torch,
    "always equal": AlwaysEqual(),
    "returns none": lambda *a: None,
    "returns text": lambda *a: "3",
    "returns numpy": lambda *a: np.zeros((2, 2)),
    "returns tuple": lambda *a: (1, 2, 3, 4, 5),
    "returns nested": lambda *a: [[[[1]]]],
    "returns nan": nan_like,
    "returns inf": lambda *a: torch.tensor(float("inf")),
    "returns complex": lambda *a: torch.tensor(1 + 2j),
    "returns complex number": lambda *a: 1 + 2j,
    "returns bool": lambda *a: True,
    "returns integers": lambda *a: torch.ones(2, 3).long(),
    "returns sparse": lambda *a: torch.eye(3).to_sparse(),
    "returns meta": lambda *a: torch.empty(2, device="meta"),
    "returns float8": lambda *a: torch.zeros(()).to(torch.float8_e4m3fn),
    "returns nested tensor": lambda *a: torch.nested.nested_tensor([torch.zeros(1)]),
    "returns always equal": lambda *a: AlwaysEqual(),
    "returns liar": lambda *a: torch.zeros(()).as_subclass(LyingTensor),
    "returns empty": lambda *a: torch.empty(0),
    "returns generator": lambda *a: (i for i in range(3)),
    "returns argument": lambda *a: a[0],
    "returns huge": lambda *a: 10**400,
    "raises": raises,
    "odd error": Weird(),
    "exits": lambda *a: sys.exit(3),
    "interrupts": lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()),
    "wrong signature": lambda: 0,
    "recursion": lambda *a: BAD["recursion"](*a),
    "partial": functools.partial(raises, 1),
    "scripted": torch.jit.trace(lambda x: x, torch.zeros(2), check_trace=False),
}


# The engine meets bad candidates, not the exercise: in a usual run each kind is tried on every third exercise, and each
# exercise meets a third of the kinds.
EVERY = lanes.amount(3, 1)


@pytest.mark.parametrize(
    ("exercise", "name"),
    [(e, name) for i, e in enumerate(CHECKS) for j, name in enumerate(BAD) if (i + j) % EVERY == 0],
)
def test_bad_candidate_gets_a_score_with_reasons(exercise, name, capfd):
    score = getattr(check, exercise)(BAD[name], points=3)
    assert isinstance(score, Score) and 0 <= score.earned < 3
    broken = [law for law in score.laws if not law.passed]
    assert broken and all(law.expected and law.got for law in broken)
    shown = str(score) + score._repr_html_()
    assert "Traceback" not in shown and "course_utils" not in shown and "site-packages" not in shown
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words"), [("returns float8", "a tensor of float8_e4m3fn"), ("returns nested tensor", "a nested tensor")]
)
@pytest.mark.parametrize("exercise", ["reconstruction_loss", "reparameterize", "kl_divergence", "slerp"])
def test_tensor_that_torch_cannot_calculate_with_is_named(exercise, name, words):
    got = {law.got for law in getattr(check, exercise)(BAD[name], points=3).laws if "no law" not in law.got}
    assert got and all(words in text for text in got), got


@pytest.mark.parametrize("exercise", CHECKS)
def test_liar_that_knows_the_answer_to_every_comparison_earns_nothing(exercise):
    assert getattr(check, exercise)(AlwaysEqual(), points=3).earned == 0
    assert getattr(check, exercise)(lambda *a: torch.zeros(()).as_subclass(LyingTensor), points=3).earned == 0


@pytest.mark.parametrize("exercise", CHECKS)
def test_stub_is_told_briefly_that_it_is_not_written_yet(exercise):
    def stub(*args):
        raise NotImplementedError(exercise)

    score = getattr(check, exercise)(stub, points=3)
    assert repr(score) == "0" and score.note == "not written yet"
    assert str(score) == f"{exercise}: not written yet (0 of 3 points)"
    assert "<table" not in score._repr_html_()


def test_error_in_student_code_shows_the_students_own_line():
    def kl_divergence(mu, logvar):
        return mu @ logvar.exp() @ mu

    got = (
        check.kl_divergence(kl_divergence, points=4).laws[2].got
        + check.kl_divergence(kl_divergence, points=4).laws[5].got
    )
    assert "RuntimeError" in got and "return mu @ logvar.exp() @ mu" in got and "in kl_divergence, line" in got


@pytest.fixture
def short_limits(monkeypatch):
    monkeypatch.setattr(seam, "LIMITS", seam.Limits(call=0.3, after_a_timeout=0.1, check=1.5, compiling=60))


def spins(*args):
    while True:
        pass


def swallows(*args):
    until = time.monotonic() + 4  # a thread that can't be stopped must not slow down the tests after this one
    while time.monotonic() < until:
        try:
            while time.monotonic() < until:
                pass
        except BaseException:
            pass


def sleeps(*args):
    time.sleep(4)


@pytest.mark.parametrize("endless", [spins, swallows, sleeps])
def test_endless_code_is_interrupted_with_a_clear_message(endless, short_limits):
    started = time.monotonic()
    score = check.elbo_beta(endless, points=1)
    assert time.monotonic() - started < 12
    assert score.earned == 0 and "loop" in score.laws[0].got


def test_waiting_for_processes_of_ones_own_costs_a_tenth(short_limits):
    calls = []

    def with_a_process(beta, pixels):
        if not calls:
            calls.append(subprocess.run([sys.executable, "-c", "import time; time.sleep(0.6)"], check=True))
        return beta * pixels

    assert check.elbo_beta(with_a_process, points=1).earned == 1


def test_a_loop_in_backward_is_interrupted_too(short_limits):
    class Endless(torch.autograd.Function):
        @staticmethod
        def forward(ctx, mu, logvar):
            return (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).sum(1).mean()

        @staticmethod
        def backward(ctx, grad):
            while True:
                pass

    score = check.kl_divergence(Endless.apply, points=4)
    assert 0 < score.earned < 4


def test_interrupted_thread_ends(short_limits):
    before = threading.active_count()
    check.elbo_beta(spins, points=1)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def right_kl(mu, logvar):
    return (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).sum(1).mean()


def test_a_million_printed_lines_cost_nothing_and_are_cut_short(capfd):
    def chatty(beta, pixels):
        for i in range(100_000):
            print("line", i)
        print("to stderr", file=sys.stderr)
        return beta * pixels

    score = check.elbo_beta(chatty, points=1)
    assert score.earned == 1
    assert score.printed.startswith("line 0\nline 1\n") and len(score.printed.splitlines()) <= 11
    assert "line 0" in score._repr_html_()
    assert capfd.readouterr() == ("", "")


def test_warnings_of_student_code_are_swallowed_and_cost_nothing(capfd):
    def warns(mu, logvar):
        warnings.warn("deprecated", stacklevel=1)
        return right_kl(mu, logvar)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert check.kl_divergence(warns, points=4).earned == 4
    assert not caught and capfd.readouterr() == ("", "")


def test_check_leaves_the_global_generators_as_they_were():
    def state():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = state()
    for name, bad in (
        ("reparameterize", lambda mu, logvar: mu + torch.randn_like(mu)),
        ("sample_images", raises),
        ("kl_divergence", right_kl),
        ("train_step", None),
    ):
        getattr(check, name)(bad, points=1)
        assert state() == before, name


def test_check_needs_no_seed_and_gives_a_frozen_notebook_fresh_inputs():
    seen = []

    def records(mu, logvar):
        seen.append(float(mu.sum()))
        return right_kl(mu, logvar)

    for _ in range(2):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
        check.kl_divergence(records, points=1)
    half = len(seen) // 2
    assert seen[:half] != seen[half:]


def test_switches_left_by_student_code_are_put_back():
    def switches(mu, logvar):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return mu

    check.reparameterize(switches, points=1)
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_check_works_where_gradients_are_switched_off():
    with torch.no_grad():
        assert check.kl_divergence(right_kl, points=4).earned == 4
        assert not torch.is_grad_enabled()


def test_compiled_and_traced_functions_are_judged_like_others():
    compiled = torch.compile(right_kl, backend="eager")
    assert check.kl_divergence(compiled, points=4).earned == 4


class Learner:
    """train_step as a method; the function that it calls comes from its module."""

    def train_step(self, autoencoder, x, optimizer):
        optimizer.zero_grad()
        loss = reconstruction_loss(autoencoder[1](autoencoder[0](x)), x)
        loss.backward()
        optimizer.step()
        return loss.item()

    __call__ = train_step


def reconstruction_loss(logits, x):
    raise AssertionError("the check must put a correct one in my place")


def in_a_closure():
    def reconstruction_loss(logits, x):
        raise AssertionError("the check must put a correct one in my place")

    def train_step(autoencoder, x, optimizer):
        optimizer.zero_grad()
        loss = reconstruction_loss(autoencoder[1](autoencoder[0](x)), x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return train_step


@pytest.mark.parametrize(
    "style",
    [
        Learner(),
        Learner().train_step,
        functools.partial(Learner.train_step, None),
        functools.wraps(Learner.train_step)(lambda *a: Learner().train_step(*a)),
        in_a_closure(),
    ],
    ids=["object", "method", "partial", "decorated", "closure"],
)
def test_train_step_is_judged_with_a_correct_reconstruction_loss(style):
    own = reconstruction_loss
    score = check.train_step(style, points=3)
    assert score.earned == 3, str(score)
    assert reconstruction_loss is own, "the student's function must be put back"


def test_train_step_is_judged_when_reconstruction_loss_is_missing():
    names = {"__name__": "notebook"}
    exec(
        "def train_step(autoencoder, x, optimizer):\n    optimizer.zero_grad()\n    loss = "
        "reconstruction_loss(autoencoder[1](autoencoder[0](x)), x)\n    loss.backward(); optimizer.step()\n    return "
        "loss.item()\n",
        names,
    )
    assert check.train_step(names["train_step"], points=3).earned == 3
    assert "reconstruction_loss" not in names


def test_mistake_of_the_rate_is_named_in_vae_loss():
    def vae_loss(logits, x, mu, logvar, beta):
        distortion = (
            torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()
        )
        rate = 2 * right_kl(mu, logvar)
        return distortion + beta * rate, distortion, rate

    score = check.vae_loss(vae_loss, points=4)
    assert any(law.cause and "In the rate" in law.cause.sentence and law.cause.id == "no_half" for law in score.laws)


LENDING = {
    "train_step": "def train_step(a, x, o):\n    loss = reconstruction_loss(a[1](a[0](x)), x)\n    o.zero_grad()\n"
    "    loss.backward()\n    o.step()\n    return loss.item()",
    "critic_step": "def critic_step(critic, optimizer, a, b, coefficient):\n    loss = critic_loss(critic, a, b)\n"
    "    optimizer.zero_grad()\n    (loss + coefficient * gradient_penalty(critic, a, b)).backward()\n"
    "    optimizer.step()\n    return -loss.item()",
    "vae_loss": "def vae_loss(logits, x, mu, logvar, beta):\n"
    "    d = F.binary_cross_entropy_with_logits(logits, x, reduction='sum') / len(x)\n"
    "    r = kl_divergence(mu, logvar=logvar)\n    return d + beta * r, d, r",
    "slerp": "def slerp(a, b, n):\n    w = torch.acos(F.cosine_similarity(a, b, dim=0).clamp(-1, 1))\n"
    "    if torch.sin(w) < 1e-4 or a.norm() * b.norm() == 0:\n        return interpolate(a, b, n)\n"
    "    t = torch.linspace(0, 1, n, dtype=a.dtype)[:, None]\n"
    "    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)",
    "mmd_vae_loss": "def mmd_vae_loss(logits, x, z, prior, weight, bandwidths):\n"
    "    d = F.binary_cross_entropy_with_logits(logits, x, reduction='sum') / len(x)\n"
    "    m = mmd_squared(z, prior, bandwidths)\n    return d + weight * m, d, m",
}


@pytest.mark.parametrize("exercise", CHECKS)
def test_a_mistake_in_an_earlier_exercise_costs_nothing_in_a_later_one(exercise):
    lends = CHECKS[exercise].lends
    assert bool(lends) == (exercise in LENDING)
    for name in lends:
        for wrong in ("lambda *args: 1 / 0", None):
            notebook = {"torch": torch, "F": torch.nn.functional}
            if wrong:
                exec(f"{name} = {wrong}", notebook)
            before = notebook.get(name)
            exec(LENDING[exercise], notebook)
            assert getattr(check, exercise)(notebook[exercise], points=3).earned == 3
            assert notebook.get(name) is before


@pytest.mark.parametrize("exercise", CHECKS)
def test_html_of_a_right_answer_is_the_same_every_time(exercise):
    from bank import load

    function = load(exercise).right_ones[0].function
    shown = {getattr(check, exercise)(function, points=3)._repr_html_() for _ in range(2)}
    assert len(shown) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_function_that_stays_on_the_cpu_is_caught_where_there_is_a_gpu():
    score = check.reparameterize(
        lambda mu, logvar: mu + (logvar / 2).exp() * torch.randn(mu.shape, dtype=mu.dtype), points=4
    )
    assert score.earned < 4
