"""Proxies outside for what lives inside: the student's function, and modules that it returned.

To the laws a `RemoteCandidate` is a Candidate like any other. Results carry a graph whose backward pass asks the
sandbox for vector-Jacobian products, so that laws differentiate as they do at home.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import Any, NoReturn

import torch

from course_utils.checks.engine.candidate import LIMITS, Candidate
from course_utils.checks.engine.plain import Array, ModuleHandle, Truth, Unusable
from course_utils.checks.engine.seeds import CallSeeds, derived, fresh
from course_utils.checks.engine.verdict import CallFailed
from course_utils.checks.engine.worker import PATIENCE

from .inside.protocol import Garbled, Packer, pack, unpack
from .inside.serialisation import Outgoing
from .lending import Allowance, Lending
from .session import Ended, Session

_KINDS = ("raised", "stub", "too slow", "not callable")
_CALLING = ("train", "gradients")  # questions for which the module's own code runs
_LONGEST_TEXT = 3000
_MOST_ITEMS, _DEEPEST = 64, 4


class NotWritten(CallFailed, NotImplementedError):
    """The stub is still there."""


class RemoteCandidate(Candidate):
    """The student's function `name` in a sandbox. `trouble`: what ended the sandbox, or that a call was too slow."""

    def __init__(
        self,
        session: Session,
        name: str,
        apart: Callable[[], Session] | None = None,
        grace: float = 5.0,
        limits: dict[str, float] | None = None,
        seed: str = "",
        until: float = math.inf,
        unjudged: Set[str] = frozenset(),
    ) -> None:
        """`seed` is the class's (see `Settings`); `until` the end of the submission's time, by the monotonic clock.
        `apart` makes another session like this one, for calls that take along a correct function which one of the
        exercises that are `unjudged` asks for: what is learned from it ends with that session."""
        self._session, self.__name__ = session, name
        self._apart, self._unjudged = apart, unjudged
        self._own_session: Session | None = None
        self.reseeded: set[str] = set()
        self.switched: set[str] = set()
        self._printed = ""
        self._class_seed, self._until = seed, until
        self._seeds = CallSeeds(derived(seed, name) if seed else fresh())
        self.trouble: tuple[str, str] | None = None
        self._open = False
        self._limits = replace(LIMITS, **(limits or {}))
        self._allowance = Allowance()
        self._grace = grace  # seconds beyond the limits that are kept inside, before the sandbox is killed
        self._left = PATIENCE * self._limits.check + grace  # by the clock: inside, others' work does not count
        self._per_call = PATIENCE * self._limits.call + grace

    def open(self) -> None:
        self._open = True
        answer = self._ask({"do": "open", "name": self.__name__})[0]
        if answer.get("compiled") is True:
            longest = self._limits.compiling + self._grace
            self._left, self._per_call = max(self._left, longest), max(self._per_call, longest)

    @property
    def printed(self) -> str:
        return self._printed

    def check_seed(self, exercise: str) -> int | None:
        return derived(self._class_seed, exercise) if self._class_seed else None

    def begin(self, seed: int) -> None:
        self._seeds = CallSeeds(seed)

    def close(self) -> None:
        if self._open and self._session.ended is None:
            try:
                self._ask({"do": "close", "name": self.__name__})
            except CallFailed:
                pass
        self._open = False
        if self._own_session is not None:
            self._own_session.close()

    def __call__(self, *args: Any) -> Any:
        if self._apart is not None and self._own_session is None and not self._unjudged.isdisjoint(self.lent):
            self._move(self._apart)
        if not self._open:
            self.open()
        return self._call(None, args, list(self.lent))

    def _move(self, apart: Callable[[], Session]) -> None:
        """Go on in a session of one's own."""
        try:
            self._session = self._own_session = apart()
        except Ended as ended:
            self.trouble = ended.status, ended.reason
            raise CallFailed("raised", ended.reason) from None
        self._open = False

    def gradients(
        self, output: torch.Tensor, inputs: Sequence[torch.Tensor], cotangent: torch.Tensor | None = None
    ) -> list[torch.Tensor | None]:
        if not output.requires_grad:
            return [None] * len(inputs)
        return list(torch.autograd.grad(output, list(inputs), cotangent, allow_unused=True))

    def _call(self, handle: int | None, args: Sequence[Any], replacing: list[str]) -> Any:
        outgoing = Outgoing()
        specs = [outgoing.spec(value) for value in args]
        table, body = outgoing.packer.finish()
        header = {
            "do": "call",
            "name": self.__name__,
            "handle": handle,
            "seed": self._seeds.next(),
            "args": specs,
            "tensors": table,
            "replacing": replacing,
            **outgoing.records(),
        }
        lending = self._lending(outgoing.modules) if replacing else None
        answer, tensors = self._ask(header, body, lending)
        try:
            self._note(answer)
            if "effects" in answer or not answer.get("failed"):  # without: it could not even begin, and says why
                outgoing.apply(answer["effects"], tensors)
            if answer.get("failed"):
                raise _failure(answer["failed"])
            return self._value(answer["value"], tensors, answer["tensors"], outgoing)
        except (Garbled, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            self.nonsense(error)

    def _value(self, spec: Any, tensors: list[torch.Tensor], table: list[dict[str, Any]], sent: Outgoing) -> Any:
        """The result with its graph."""
        places: list[int] = []
        shape = _read(spec, tensors, places, self)
        found = [tensors[place] for place in places]
        differentiable = [
            index
            for index, place in enumerate(places)
            if table[place].get("requires_grad") is True and found[index].is_floating_point()
        ]
        if differentiable:
            anchor = torch.zeros((), requires_grad=True)  # the graph inside may hang on parameters that never came out
            wanted = [(number, value) for number, value in enumerate(sent.packer.tensors) if value.requires_grad]
            link = _Link(
                self, self._session.number, [number for number, _ in wanted], set(differentiable), sent.modules
            )
            found = _Remote.apply(link, tuple(found), anchor, *[value for _, value in wanted])
        return _fill(shape, iter(found))

    def ask_gradients(
        self, link: _Link, cotangents: list[tuple[int, torch.Tensor]], wanted: list[int]
    ) -> dict[int, torch.Tensor | None]:
        """Vector-Jacobian products of the outputs of an earlier call with respect to arguments number `wanted`."""
        packer = Packer()
        pairs = [[index, packer.tensor(value)] for index, value in cotangents]
        table, body = packer.finish()
        answer, tensors = self._ask(
            {
                "do": "gradients",
                "call": link.call,
                "seed": self._seeds.next("gradients"),
                "cotangents": pairs,
                "wanted": wanted,
                "tensors": table,
            },
            body,
            self._lending(link.modules) if self.lent else None,
        )
        try:
            self._note(answer)
            if answer.get("failed"):
                raise _failure(answer["failed"])
            grads = answer["grads"]
            if len(grads) != len(wanted):
                raise Garbled("another number of gradients than asked for")
            return {number: None if grad is None else tensors[grad] for number, grad in zip(wanted, grads, strict=True)}
        except (Garbled, KeyError, TypeError, ValueError, IndexError) as error:
            self.nonsense(error)

    def ask_module(self, handle: int, question: str, *args: Any) -> Any:
        """A question to a module that the student's function has returned."""
        packer = Packer()
        specs = [pack(value, packer) for value in args]
        table, body = packer.finish()
        answer, tensors = self._ask(
            {
                "do": "module",
                "name": self.__name__,
                "handle": handle,
                "question": question,
                "seed": self._seeds.next() if question in _CALLING else None,
                "args": specs,
                "tensors": table,
            },
            body,
        )
        try:
            if answer.get("failed"):
                raise _failure(answer["failed"])
            return unpack(answer["value"], tensors)
        except (Garbled, KeyError, TypeError, ValueError, IndexError) as error:
            self.nonsense(error)

    def call_module(self, handle: int, x: torch.Tensor) -> Any:
        return self._call(handle, (x,), [])

    def _lending(self, modules: list[torch.nn.Module]) -> Lending:
        return Lending(self.lent, modules, self._allowance)

    def _ask(
        self, header: dict[str, Any], body: bytes = b"", lending: Lending | None = None
    ) -> tuple[dict[str, Any], list[torch.Tensor]]:
        started = time.monotonic()
        seconds = max(1.0, min(self._per_call, self._left, self._until - started))
        try:
            return self._session.ask({**header, "lending": lending is not None}, body, seconds=seconds, lending=lending)
        except Ended as ended:
            self.trouble = ended.status, ended.reason
            kind = "too slow" if ended.status == "timed_out" else "raised"
            raise CallFailed(kind, ended.reason) from None
        finally:
            self._left -= time.monotonic() - started

    def _note(self, answer: dict[str, Any]) -> None:
        self.reseeded |= {str(name)[:40] for name in answer.get("reseeded") or []}
        self.switched |= {str(name)[:40] for name in answer.get("switched") or []}
        self._printed = str(answer.get("printed") or "")[:_LONGEST_TEXT]
        failed = answer.get("failed")
        if failed and failed[0] == "too slow" and self.trouble is None:
            self.trouble = "timed_out", str(failed[1])[:_LONGEST_TEXT]

    def nonsense(self, error: Exception) -> NoReturn:
        """End the session because of an answer that cannot be one. Raises CallFailed."""
        try:
            self._session.nonsense(str(error)[:200] if isinstance(error, Garbled) else type(error).__name__)
        except Ended as ended:
            self.trouble = ended.status, ended.reason
            raise CallFailed("raised", ended.reason) from None


class RemoteModule(ModuleHandle):
    """A module in the sandbox."""

    def __init__(self, candidate: RemoteCandidate, number: int, words: str) -> None:
        self._candidate, self.handle_number, self._words = candidate, number, words

    def __call__(self, x: torch.Tensor) -> Any:
        return self._candidate.call_module(self.handle_number, x)

    def train(self, mode: bool = True) -> None:
        self._ask("train", mode)

    def identity(self) -> tuple[int, ...]:
        return tuple(int(number) for number in self._ask("identity"))

    def parameters(self) -> list[torch.Tensor]:
        return [self._tensor(value) for value in self._ask("parameters")]

    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(int(side) for side in shape) for shape in self._ask("shapes")]

    def load(self, values: list[torch.Tensor]) -> None:
        self._ask("load", list(values))

    def buffers(self) -> list[torch.Tensor]:
        return [self._tensor(value) for value in self._ask("buffers")]

    def load_buffers(self, values: list[torch.Tensor]) -> None:
        self._ask("load_buffers", list(values))

    def gradients(self, x: torch.Tensor, cotangent: torch.Tensor) -> list[torch.Tensor | None]:
        return [None if value is None else self._tensor(value) for value in self._ask("gradients", x, cotangent)]

    def short(self) -> str:
        return self._words

    def _ask(self, question: str, *args: Any) -> Any:
        return self._candidate.ask_module(self.handle_number, question, *args)

    def _tensor(self, value: Any) -> torch.Tensor:
        if not isinstance(value, torch.Tensor):
            self._candidate.nonsense(Garbled("a parameter that is no tensor"))
        return value


class _Link:
    """Where a graph goes on: which call, which of its arguments can have gradients, which outputs have a graph, and
    the modules that went with it."""

    def __init__(
        self,
        candidate: RemoteCandidate,
        call: int,
        wanted: list[int],
        differentiable: set[int],
        modules: list[torch.nn.Module],
    ) -> None:
        self.candidate, self.call, self.wanted, self.differentiable = candidate, call, wanted, differentiable
        self.modules = modules


class _Remote(torch.autograd.Function):
    """The step of a graph that happens in the sandbox."""

    @staticmethod
    def forward(
        ctx: Any, link: _Link, values: tuple[torch.Tensor, ...], anchor: torch.Tensor, *arguments: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.link = link
        ctx.set_materialize_grads(False)
        results = tuple(value.clone() for value in values)
        ctx.mark_non_differentiable(*[r for index, r in enumerate(results) if index not in link.differentiable])
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> tuple[Any, ...]:
        link = ctx.link
        given = [
            (index, value)
            for index, value in enumerate(cotangents)
            if value is not None and index in link.differentiable
        ]
        asked = [number for number, needed in zip(link.wanted, ctx.needs_input_grad[3:], strict=True) if needed]
        found = link.candidate.ask_gradients(link, given, asked) if given and asked else {}
        return None, None, None, *[found.get(number) for number in link.wanted]


def _read(spec: Any, tensors: list[torch.Tensor], places: list[int], candidate: RemoteCandidate, depth: int = 0) -> Any:
    """A result with a hole for each tensor, whose places in the table are appended to `places`."""
    if not isinstance(spec, list) or len(spec) != 2 or depth > _DEEPEST:
        raise Garbled("a result of no known form")
    kind, content = spec
    if kind == "output" and type(content) is int and 0 <= content < len(tensors):
        places.append(content)
        return _HOLE
    if kind == "tuple" and isinstance(content, list) and len(content) <= _MOST_ITEMS:
        return tuple(_read(item, tensors, places, candidate, depth + 1) for item in content)
    if kind == "handle":
        number, words = content
        return RemoteModule(candidate, int(number), str(words)[:200])
    if kind == "truth" and type(content) is bool:
        return Truth(value=content)
    if kind == "array" and type(content) is int and 0 <= content < len(tensors):
        return Array(values=tensors[content])
    if kind == "unusable":
        return Unusable(str(content)[:200])
    value = unpack(spec, tensors)
    if value is None or type(value) in (int, float):
        return value
    raise Garbled("a result of no known form")


_HOLE = object()


def _fill(shape: Any, values: Any) -> Any:
    if shape is _HOLE:
        return next(values)
    return tuple(_fill(item, values) for item in shape) if isinstance(shape, tuple) else shape


def _failure(failed: Any) -> CallFailed:
    kind, message = failed
    kind, message = kind if kind in _KINDS else "raised", str(message)[:_LONGEST_TEXT]
    return NotWritten("stub", message) if kind == "stub" else CallFailed(kind, message)
