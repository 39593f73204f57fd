"""The seam between laws and the student's code.

A law calls a `Candidate` with tensors, numbers, modules and optimisers, and gets back plain data: tensors that
carry their graph, numbers, tuples of these, `ModuleHandle`s, `None`, or `Unusable`. It learns about side effects from
the attributes `reseeded` and `switched`. Whatever needs to live in the student's process (time limit, capturing what
is printed, putting a correct function in place of the student's, watching the global generators) is in this package's
`candidate`, `worker` and `surroundings`; a proxy for code in another process replaces `LocalCandidate` and nothing
else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from .excerpts import failure_of
from .plain import ModuleCalls, describe, to_plain
from .seeds import CallSeeds, fresh
from .surroundings import GlobalState, Printed, replaced
from .verdict import CallFailed
from .worker import TooSlow, Worker


@dataclass
class Limits:
    """Seconds that the student's code may take: see `worker` for what counts."""

    call: float = 20.0  # for one call
    after_a_timeout: float = 1.0  # for each later call once one was too slow
    check: float = 60.0  # for all calls of a check together
    compiling: float = 120.0  # for both, where the student used torch.compile


LIMITS = Limits()


class Candidate(ABC):
    """What a law may do with the student's code."""

    lent: Mapping[str, Callable[..., Any]] = MappingProxyType({})  # by name, in place of what the student has
    reseeded: set[str]  # names of global generators that a call has reseeded ("torch", "numpy", "random")
    switched: set[str]  # global switches of torch that a call has left changed

    @property
    @abstractmethod
    def printed(self) -> str:
        """The first lines that were printed."""

    def check_seed(self, exercise: str) -> int | None:
        """The seed of a check of this exercise, where it is not for the check to draw one."""
        return None

    @abstractmethod
    def begin(self, seed: int) -> None:
        """Called before each law: what its calls find in the global generators derives from `seed`."""

    @abstractmethod
    def __call__(self, *args: Any) -> Any:
        """Call the student's function; what is `lent` takes the place of what it knows by that name.

        Raises CallFailed when it does not return.
        """

    @abstractmethod
    def gradients(
        self, output: torch.Tensor, inputs: Sequence[torch.Tensor], cotangent: torch.Tensor | None = None
    ) -> list[torch.Tensor | None]:
        """`torch.autograd.grad` of `output`; None for an input that it does not depend on."""

    def devices(self) -> list[torch.device]:
        """The accelerators on which the student's code is tried as well."""
        return []

    def open(self) -> None:
        """Called before the first law."""

    def close(self) -> None:
        """Called after the last law, in any case."""


class LocalCandidate(Candidate):
    """The student's function in this process."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._worker = Worker()
        self._printed = Printed()
        self._surroundings = GlobalState()
        self._left = LIMITS.compiling if _is_compiled(function) else LIMITS.check
        self._per_call = LIMITS.compiling if _is_compiled(function) else LIMITS.call
        self._seeds = CallSeeds(fresh())
        self.next_seed: int | None = None  # of the next call, where it was drawn elsewhere
        self.reseeded, self.switched = set(), set()

    @property
    def printed(self) -> str:
        return self._printed.text

    def open(self) -> None:
        self._surroundings.save()

    def close(self) -> None:
        self._worker.close()
        self._surroundings.restore()

    def begin(self, seed: int) -> None:
        self._seeds = CallSeeds(seed)

    def devices(self) -> list[torch.device]:
        return [torch.device("cuda")] if torch.cuda.is_available() else []

    def __call__(self, *args: Any) -> Any:
        if not callable(self._function):
            raise CallFailed("not callable", f"{describe(to_plain(self._function, None))} instead of a function")
        with replaced(self._function, self.lent):
            return self.guarded(lambda: self._function(*args))

    def gradients(
        self, output: torch.Tensor, inputs: Sequence[torch.Tensor], cotangent: torch.Tensor | None = None
    ) -> list[torch.Tensor | None]:
        if not output.requires_grad:
            return [None] * len(inputs)
        return list(
            self.guarded(lambda: torch.autograd.grad(output, list(inputs), cotangent, allow_unused=True), "gradients")
        )

    def guarded(self, job: Callable[[], Any], kind: str = "call") -> Any:
        """Run `job` in the worker, watched, and return its result as plain data. `kind`: see `CallSeeds`."""
        seconds = min(self._per_call, self._left)
        if seconds <= 0:
            raise CallFailed("too slow", "not tried: the time for this check is over")
        seed, self.next_seed = self.next_seed, None
        self._surroundings.begin(self._seeds.next(kind) if seed is None else seed)
        try:
            with self._printed.capturing():
                return self._worker.run(lambda: self._watched(job), seconds)
        except TooSlow as error:
            self._per_call = min(self._per_call, LIMITS.after_a_timeout)
            hint = "" if error.stopped else " It could not be stopped either: restart the kernel."
            raise CallFailed(
                "too slow", f"no result after {seconds:g} seconds; is there a loop that never ends?{hint}"
            ) from None
        finally:
            self._left -= self._worker.counted
            self.reseeded |= self._surroundings.end()

    def _watched(self, job: Callable[[], Any]) -> Any:
        """Runs in the worker: torch's switches belong to the thread, so they are set and read here."""
        torch.set_grad_enabled(True)
        default_dtype = torch.get_default_dtype()
        try:
            return to_plain(job(), ModuleCalls(self.guarded))
        except BaseException as error:
            failure = failure_of(error)
            if failure is None:  # our own: time is up
                raise
            raise failure from None
        finally:
            if not torch.is_grad_enabled():
                self.switched.add("torch.set_grad_enabled")
            if torch.get_default_dtype() != default_dtype:
                self.switched.add("torch.set_default_dtype")
                torch.set_default_dtype(default_dtype)


def _is_compiled(function: Any) -> bool:
    try:
        return "_torchdynamo_orig_callable" in vars(function) or "_orig_mod" in vars(function).get("_modules", {})
    except TypeError:  # no attributes of its own
        return False


def as_candidate(function: Any) -> Candidate:
    """`function` itself when it already is a Candidate, else a LocalCandidate around it."""
    return function if isinstance(function, Candidate) else LocalCandidate(function)
