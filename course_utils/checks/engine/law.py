"""Laws and checks: a check is a list of laws that every correct implementation of one exercise obeys.

A law is a function `law(candidate, draw)`. It returns when it holds and raises `Broken` when it does not. It may only
call the candidate (see `candidate`), so that the same text judges code at home and code in another process. All
laws of a check run, whatever the first ones say, in an order that the check's seed decides: a table of answers in the
order of an earlier run is worth nothing. A law about side effects is marked `manners=True`: it earns nothing
as long as no law about the result holds, so that a function that does nothing earns nothing. A law that is what the
exercise is for is marked `essential=True`: without it the others earn at most half of the points.

Every run of a law has a seed (see `seeds`), from which it can be repeated alone: the same verdict, numbers and cause.
Not repeated is what no seed reaches: the clock, randomness that the student's code takes from the operating system, and
what it remembers of calls of other laws.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .candidate import Candidate, as_candidate
from .score import Cause, LawResult, Score, validate_points
from .seeds import derived, fresh
from .surroundings import GlobalState, seed_generators
from .verdict import Broken, CallFailed

NOT_WRITTEN = "not written yet"


class Draw:
    """Random inputs from a generator of its own, so that the notebook's global randomness is left alone.

    Without a seed it takes one from torch's global generator, which derives from the law's seed while a law runs.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is None:
            seed = int(torch.randint(2**48, ()))
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        many = dtype == torch.float32 and math.prod(shape) > 4096  # in single precision at once: five times as fast
        drawn = torch.randn(shape, generator=self._generator, dtype=dtype if many else torch.float64)
        return drawn.mul_(scale).to(dtype)

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        unit = torch.rand(shape, generator=self._generator, dtype=torch.float64)
        return (low + (high - low) * unit).to(dtype)

    def signs(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randint(0, 2, shape, generator=self._generator).mul_(2).sub_(1).to(dtype)

    def pixels(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Images in [0, 1]: black, white and grey pixels, a third each."""
        grey, kind = self.uniform(*shape, low=0.05, high=0.95), self.uniform(*shape)
        return torch.where(kind < 1 / 3, 0.0, torch.where(kind < 2 / 3, 1.0, grey)).to(dtype)

    def integer(self, low: int, high: int) -> int:
        """A whole number, low <= n <= high."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def number(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def permutation(self, n: int) -> torch.Tensor:
        return torch.randperm(n, generator=self._generator)


LawTest = Callable[[Candidate, Draw], None]
Diagnose = Callable[[Candidate, Draw], "Cause | None"]


@dataclass(frozen=True)
class Law:
    """One law: its id (the name of its function), the sentence that students read, its weight, and the test."""

    id: str
    name: str
    weight: int
    manners: bool
    essential: bool
    test: LawTest


class Check:
    """All laws of one exercise.

    ``signature`` is the exercise's, ``returns`` says in a line what it gives: both stand in front of the student, and
    in the documentation of ``check.<exercise>``. ``lends`` is a correct function for an earlier exercise, of its name,
    or several, which stand in for the student's while this one is judged: a mistake is paid once.
    """

    def __init__(
        self, signature: str, returns: str, *, lends: Callable[..., Any] | Sequence[Callable[..., Any]] = ()
    ) -> None:
        self.exercise = signature.partition("(")[0]
        self.signature, self.returns, self.note = signature, returns, ""
        self.lends = {each.__name__: each for each in ((lends,) if callable(lends) else lends)}
        if self.lends:
            names, one = " and ".join(self.lends), len(self.lends) == 1
            means = "means a correct one" if one else "mean correct ones"
            self.note = f"While it is judged, {names} {means}: a mistake there costs nothing here."
        self.laws: list[Law] = []
        self.diagnose: Diagnose | None = None

    def diagnosis(self, diagnose: Diagnose) -> Diagnose:
        """Register what names the misconception behind broken laws that do not name one themselves."""
        self.diagnose = diagnose
        return diagnose

    def law(
        self, name: str, *, weight: int = 1, manners: bool = False, essential: bool = False
    ) -> Callable[[LawTest], LawTest]:
        """Register a law under a sentence that students read."""
        if not isinstance(weight, int) or weight < 1:
            raise ValueError(f"law {name!r} has weight {weight!r}; expected a positive integer")

        def register(test: LawTest) -> LawTest:
            id = test.__name__.lstrip("_")
            if any(id == other.id for other in self.laws):
                raise ValueError(f"{self.exercise} has two laws {id!r}; the function of a law names it")
            self.laws.append(Law(id, name, weight, manners, essential, test))
            return test

        return register

    def judge(
        self, function: Any, points: float | int = 1, *, law: str | None = None, seed: int | None = None
    ) -> Score:
        """Run every law on `function` and return the Score out of `points`. Never raises because of `function`.

        `law` is the id of the one law to run; it earns its own share of the points. `seed` is that of an earlier run
        of this law (`LawResult.seed`), which is repeated; without `law`, that of a whole check. Raises ValueError when
        there is no such law.
        """
        points = validate_points(points)
        chosen = self.named(law)
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ValueError(f"seed is {seed!r}; expected a whole number")
        candidate = as_candidate(function)
        candidate.lent = self.lends
        if seed is None:
            seed = candidate.check_seed(self.exercise)
            seed = self._seed_of(chosen, fresh() if seed is None else seed)
        state, grad_mode = GlobalState(), torch.is_grad_enabled()
        state.save()
        torch.set_grad_enabled(True)
        candidate.open()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a line on stderr costs the cell in nbgrader, whoever caused it
                return self._run(candidate, points, chosen, seed)
        finally:
            candidate.close()
            state.restore()
            torch.set_grad_enabled(grad_mode)

    def named(self, id: str | None) -> Law | None:
        """The law of this id; None for None. Raises ValueError that names the laws that there are."""
        found = next((law for law in self.laws if law.id == id), None)
        if id is not None and found is None:
            raise ValueError(f"{self.exercise} has no law {id!r}. Its laws: {', '.join(law.id for law in self.laws)}.")
        return found

    def _seed_of(self, law: Law | None, check: int) -> int:
        """The seed of a law's run within a check that has this seed."""
        return check if law is None or law.manners else derived(check, self.exercise, law.id)

    def _run(self, candidate: Candidate, points: float | int, chosen: Law | None, seed: int) -> Score:
        """The whole check, or one law of it. A law about manners sees what all others have done, so all are run."""
        alone = chosen is not None and not chosen.manners
        laws = [chosen] if chosen is not None and alone else self.laws
        seeds = [seed if alone else self._seed_of(law, seed) for law in laws]
        outcomes = self._try_all(laws, candidate, seeds, seed)
        written = not all(_is_stub(error) for error in outcomes)
        if not written and alone:  # one law meets a stub: is it the whole function?
            written = not all(_is_stub(self._try(law, candidate, seed)) for law in self.laws)
        if not written:
            results = [self._not_written(law, number) for law, number in zip(laws, seeds, strict=True)]
        else:
            cause = self._cause(outcomes, candidate)
            substance = alone or any(
                error is None and not law.manners for law, error in zip(laws, outcomes, strict=True)
            )
            results = [
                _result(law, _counted(law, error, substance), cause, self.signature, number)
                for law, error, number in zip(laws, outcomes, seeds, strict=True)
            ]
        if chosen is not None:
            results = [result for result in results if result.id == chosen.id]
        return Score(
            self.exercise,
            points,
            tuple(results),
            note="" if written else NOT_WRITTEN,
            printed=candidate.printed,
            weight=sum(law.weight for law in self.laws),
        )

    def _try_all(
        self, laws: Sequence[Law], candidate: Candidate, seeds: Sequence[int], seed: int
    ) -> list[Exception | None]:
        """The outcome of each law. Laws about manners come last: they see what all others have done."""
        mixed = Draw(derived(seed, "order")).permutation(len(laws)).tolist()
        order = sorted(mixed, key=lambda number: laws[number].manners)
        outcomes = {number: self._try(laws[number], candidate, seeds[number]) for number in order}
        return [outcomes[number] for number in range(len(laws))]

    def _try(self, law: Law, candidate: Candidate, seed: int) -> Exception | None:
        # Laws about manners share the check's seed: calls of two of them must not begin alike, as if somebody reseeded.
        _begin(candidate, derived(seed, law.id) if law.manners else seed)
        try:
            law.test(candidate, Draw(derived(seed, "draw")))
        except (ImportError, NameError):  # no result makes a law fail like this: it is a fault of its own
            raise
        except Exception as error:
            return error
        return None

    def _cause(self, outcomes: Sequence[Exception | None], candidate: Candidate) -> Cause | None:
        """What explains the function as a whole. Its seed is always the same, so that it explains a law that is run
        alone as it did in the whole check."""
        broken = [error for error in outcomes if error is not None]
        unexplained = [error for error in broken if isinstance(error, Broken) and not _is_certain(error.cause)]
        if not unexplained or self.diagnose is None:
            return None
        seed = derived(self.exercise, "diagnosis")
        _begin(candidate, seed)
        try:
            return self.diagnose(candidate, Draw(derived(seed, "draw")))
        except Exception:  # a guess that cannot be made is no guess
            return None

    def _not_written(self, law: Law, seed: int) -> LawResult:
        cause = Cause("not_written", f"{self.exercise} is {NOT_WRITTEN}.")
        return LawResult(
            law.name,
            law.weight,
            False,
            "a function that returns a result",
            NOT_WRITTEN,
            cause,
            id=law.id,
            seed=seed,
            essential=law.essential,
        )


def _begin(candidate: Candidate, seed: int) -> None:
    candidate.begin(seed)
    seed_generators(derived(seed, "law"))


def _is_stub(error: Exception | None) -> bool:
    return isinstance(error, CallFailed) and error.kind == "stub"


def _counted(law: Law, error: Exception | None, substance: bool) -> Exception | None:
    """What became of a law; manners alone earn nothing."""
    if error is None and law.manners and not substance:
        return Broken(
            "a function that obeys at least one law about its result",
            "not counted: no law about the result holds yet",
        )
    return error


def _result(law: Law, error: Exception | None, cause: Cause | None, signature: str, seed: int) -> LawResult:
    if error is None:
        return LawResult(law.name, law.weight, True, id=law.id, seed=seed, essential=law.essential)
    if isinstance(error, Broken):
        named = error.cause if _is_certain(error.cause) else cause or error.cause
        expected, got = error.expected, error.got
    elif isinstance(error, CallFailed):
        got = NOT_WRITTEN if error.kind == "stub" else error.message
        expected, named = f"{signature} returns a result", error.cause
    else:
        got = f"a result that cannot be judged ({type(error).__name__}: {str(error)[:200]})"
        expected, named = f"{signature} returns plain tensors or numbers", None
    return LawResult(law.name, law.weight, False, expected, got, named, id=law.id, seed=seed, essential=law.essential)


def _is_certain(cause: Cause | None) -> bool:
    return cause is not None and not cause.tentative


def show(number: Any) -> str:
    """A number for students: four significant digits."""
    number = float(number)
    return f"{number:.4g}" if math.isfinite(number) else str(number)
