"""Inside: a correct function for an earlier exercise, of which only the name is here.

The examiner computes it, and only while it waits for the answer to a question about the exercise that it is lent to.
Whoever keeps the function, takes it apart or sends it on has a name that answers nothing.
"""

from __future__ import annotations

import builtins
import contextlib
import queue
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from .protocol import Channel, Packer, pack, unpack, unpack_tensors


class Lender:
    """Passes calls of lent functions on to the examiner, while a question is open.

    A thread of its own does so: the student's may be interrupted at any time, in the middle of a message too.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._alone = threading.Lock()
        self._question: int | None = None
        self._draws = random.Random()
        self._waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes, queue.SimpleQueue[Any]]] | None = None

    @contextlib.contextmanager
    def during(self, question: int, seed: int) -> Iterator[None]:
        """What is lent answers while this is open. `seed` is for what lent functions draw."""
        with self._alone:
            self._question, self._draws = question, random.Random(seed)
        try:
            yield
        finally:
            with self._alone:  # an answer on its way comes first
                self._question = None

    def function(self, name: str, modules: Sequence[nn.Module]) -> Callable[..., Any]:
        """The lent function of this name. `modules` are those that came with the call: they travel by number."""

        def lent(*args: Any, **named: Any) -> Any:
            call = _Call(self, name, modules, args, named, self._draws.getrandbits(62))
            return call.result(_Lent.apply(call, *call.tensors))

        lent.__name__ = lent.__qualname__ = name
        whole: Callable[..., Any] = torch.compiler.disable(lent)  # messages cannot be compiled
        return whole

    def ask(self, header: dict[str, Any], tensors: Sequence[torch.Tensor]) -> tuple[dict[str, Any], list[torch.Tensor]]:
        """The examiner's answer. Raises what the lent function raised."""
        packer = Packer()
        for tensor in tensors:
            packer.tensor(tensor.detach())
        table, body = packer.finish()
        if self._waiting is None:
            self._waiting = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(self._waiting,), name="lent", daemon=True).start()
        place: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting.put(({**header, "tensors": table}, body, place))
        answer, data = place.get()
        if answer.get("failed"):
            kind, message = answer["failed"]
            raise _error(kind, message)
        return answer, unpack_tensors(answer["tensors"], data)

    def _serve(self, waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes, queue.SimpleQueue[Any]]]) -> None:
        while True:
            header, body, place = waiting.get()
            with self._alone:
                if self._question is None:
                    name = header["lend"]
                    place.put(({"failed": ["RuntimeError", f"{name} was lent for one call, which is over"]}, b""))
                    continue
                try:
                    self._channel.send({**header, "id": self._question}, body)
                    place.put(self._channel.receive())
                except Exception as error:
                    place.put(({"failed": ["RuntimeError", str(error)]}, b""))


class _Call:
    """One call of a lent function: how its arguments travel, and how its result is put together."""

    def __init__(
        self,
        lender: Lender,
        name: str,
        modules: Sequence[nn.Module],
        args: Sequence[Any],
        named: dict[str, Any],
        seed: int,
    ) -> None:
        self._lender, self._modules = lender, modules
        own = Packer()
        self._header = {
            "lend": name,
            "seed": seed,
            "args": [self._spec(name, value, own) for value in args],
            "named": [[key, self._spec(name, value, own)] for key, value in named.items()],
        }
        self.tensors = own.tensors
        self._value: Any = None

    def _spec(self, name: str, value: Any, packer: Packer) -> list[Any]:
        if isinstance(value, nn.Module):
            number = next((n for n, known in enumerate(self._modules) if known is value), None)
            if number is None:
                number = next((n for n, known in enumerate(self._modules) if _alike(known, value)), None)
            if number is None:
                raise TypeError(f"{name} was given another module than this call was given; pass that one on")
            return ["module", [number, value.training, [packer.tensor(part) for part in parts_of(value)]]]
        try:
            return pack(value, packer)
        except TypeError:
            raise TypeError(f"{name} was given {type(value).__name__}; expected a tensor or a number") from None

    def forward(self) -> list[tuple[torch.Tensor, bool]]:
        """The tensors of the result, and whether each hangs on what was given."""
        wanted = [number for number, tensor in enumerate(self.tensors) if tensor.requires_grad]
        answer, tensors = self._lender.ask({**self._header, "wanted": wanted}, self.tensors)
        self._value = answer["value"]
        return [(tensor, entry["requires_grad"]) for tensor, entry in zip(tensors, answer["tensors"], strict=True)]

    def backward(
        self, given: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor | None], wanted: Sequence[bool]
    ) -> list[torch.Tensor | None]:
        """Vector-Jacobian products with respect to the tensors that were given, computed from the arguments again."""
        asked = [number for number, flag in enumerate(wanted) if flag]
        weights = [(place, value) for place, value in enumerate(cotangents) if value is not None]
        answer, tensors = self._lender.ask(
            {**self._header, "wanted": asked, "cotangents": [place for place, _ in weights]},
            [*given, *[value for _, value in weights]],
        )
        found = dict(zip(asked, answer["grads"], strict=True))
        return [None if found.get(number) is None else tensors[found[number]] for number in range(len(given))]

    def result(self, tensors: tuple[torch.Tensor, ...]) -> Any:
        return unpack(self._value, list(tensors))


class _Lent(torch.autograd.Function):
    """The step of a graph that the examiner computes."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given)
        results = call.forward()
        ctx.mark_non_differentiable(*[value for value, hangs in results if not hangs])
        return tuple(value for value, _ in results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> tuple[Any, ...]:
        return None, *ctx.call.backward(ctx.saved_tensors, cotangents, ctx.needs_input_grad[1:])


def parts_of(module: nn.Module) -> list[torch.Tensor]:
    """What a module computes with, in an order that is the same inside and outside."""
    return [*module.parameters(), *module.buffers()]


def _alike(known: nn.Module, other: nn.Module) -> bool:
    """Whether one module may stand for the other, once it has its numbers: a copy, for example."""
    return type(known) is type(other) and [p.shape for p in parts_of(known)] == [p.shape for p in parts_of(other)]


def _error(kind: str, message: str) -> Exception:
    found = getattr(builtins, kind, None)
    return found(message) if isinstance(found, type) and issubclass(found, Exception) else RuntimeError(message)
