"""Outside: computes what a check lends, for a sandbox that knows it by name alone, within limits."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .inside.lent import parts_of
from .inside.protocol import Garbled, Late, Packer, pack, unpack

_MOST_ARGUMENTS, _LONGEST_LIST = 16, 1024
_SMALL = 1 << 22  # numbers in a step of a computation, at most, that nobody needs to measure first
_MOST_NUMBERS, _MOST_STEPS = 1 << 24, 4096
_WORDS = 400


@dataclass
class Allowance:
    """What one candidate may still ask for."""

    calls: int = 20_000
    seconds: float = 20.0


class _Raised(Exception):
    """A lent function raised this."""


class Lending:
    """The functions that are lent while one question is open, and the modules that came with it."""

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], modules: Sequence[nn.Module], allowance: Allowance
    ) -> None:
        self._functions, self._modules, self._allowance = functions, modules, allowance

    def answer(self, asked: dict[str, Any], tensors: list[torch.Tensor]) -> tuple[dict[str, Any], bytes]:
        """The reply to a request from inside; what the function raises is part of it. Raises Garbled, and Late when
        more was asked for than anybody needs: an endless loop, which on a busy machine has not used up its time."""
        started = time.process_time()
        self._allowance.calls -= 1
        if self._allowance.calls < 0 or self._allowance.seconds < 0:
            raise Late
        packer = Packer()
        try:
            with torch.enable_grad():
                reply = self._reply(asked, tensors, packer)
            table, body = packer.finish()
            return {**reply, "tensors": table}, body
        except _Raised as raised:
            error = raised.args[0]
            return {"failed": [type(error).__name__, str(error)[:_WORDS]], "tensors": []}, b""
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError, OverflowError, RecursionError) as error:
            raise Garbled(f"a request of no known form ({type(error).__name__})") from None
        finally:
            self._allowance.seconds -= time.process_time() - started

    def _reply(self, asked: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        leaves = list(tensors)
        wanted = _numbers(asked["wanted"], leaves)
        for number in wanted:
            leaves[number] = leaves[number].detach().requires_grad_()
        outputs = Packer()
        spec = self._computed(asked, leaves, outputs)
        if "cotangents" not in asked:
            for output in outputs.tensors:
                packer.tensor(output)
            return {"value": spec}
        places = _numbers(asked["cotangents"], outputs.tensors)
        weights = tensors[len(tensors) - len(places) :]
        pairs = [(outputs.tensors[place], weight) for place, weight in zip(places, weights, strict=True)]
        pairs = [(output, weight.to(output.dtype)) for output, weight in pairs if output.requires_grad]
        grads: Sequence[torch.Tensor | None] = [None] * len(wanted)
        if pairs and wanted:
            inputs = [leaves[number] for number in wanted]
            grads = torch.autograd.grad([o for o, _ in pairs], inputs, [w for _, w in pairs], allow_unused=True)
        return {"grads": [None if grad is None else packer.tensor(grad.detach()) for grad in grads]}

    def _computed(self, asked: dict[str, Any], leaves: list[torch.Tensor], outputs: Packer) -> list[Any]:
        """The result, whose tensors are put into `outputs`. Raises _Raised with what the function raises."""
        function, seed = self._functions.get(str(asked["lend"])), asked["seed"]
        if function is None or type(seed) is not int or not 0 <= seed < 1 << 63:
            raise Garbled("a function that is not lent")
        arguments = [self._argument(spec, leaves) for spec in _list(asked["args"])]
        named = {str(key): self._argument(spec, leaves) for key, spec in _list(asked["named"])}
        before = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            _afford(function, arguments, named)
            value = function(*map(_used, arguments), **{key: _used(argument) for key, argument in named.items()})
            return pack(value, outputs)
        except Exception as error:
            raise _Raised(error) from None
        finally:
            torch.default_generator.set_state(before)

    def _argument(self, spec: Any, leaves: list[torch.Tensor]) -> Any:
        if not isinstance(spec, list) or len(spec) != 2 or spec[0] != "module":
            return unpack(spec, leaves)
        number, training, parts = _list(spec[1])
        (number,) = _numbers([number], self._modules)
        known = self._modules[number]
        given = [leaves[part] for part in _numbers(parts, leaves)]
        own = parts_of(known)
        if [(p.shape, p.dtype) for p in own] != [(p.shape, p.dtype) for p in given]:
            raise Garbled("a module of another shape")
        return _Module(known, training is True, given)


class _Module:
    """A module that came with the question, with the numbers that it has inside by now."""

    def __init__(self, known: nn.Module, training: bool, parts: list[torch.Tensor]) -> None:
        self._known, self._training, self.parts = known, training, parts

    def made(self, parts: Sequence[torch.Tensor]) -> Callable[..., Any]:
        twin = copy.deepcopy(self._known).train(self._training)
        names = [name for name, _ in [*twin.named_parameters(), *twin.named_buffers()]]
        values = dict(zip(names, parts, strict=True))
        return lambda *args: torch.func.functional_call(twin, values, args)


def _used(argument: Any) -> Any:
    return argument.made(argument.parts) if isinstance(argument, _Module) else argument


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_ARGUMENTS:
        raise Garbled("a request of no known form")
    return value


def _numbers(value: Any, of: Sequence[Any]) -> list[int]:
    if not isinstance(value, list) or not all(type(n) is int and 0 <= n < len(of) for n in value):
        raise Garbled("a number that names nothing")
    if len(set(value)) != len(value):
        raise Garbled("a number twice")
    return value


def _parts(argument: Any) -> list[Any]:
    if isinstance(argument, _Module):
        return argument.parts
    return tree_leaves(argument) if isinstance(argument, (tuple, list, dict)) else [argument]


class _Measured(TorchDispatchMode):
    """Counts steps and sizes, of tensors that hold no numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self._steps += 1
        most = max((t.numel() for t in tree_leaves(result) if isinstance(t, torch.Tensor)), default=0)
        if most > _MOST_NUMBERS or self._steps > _MOST_STEPS:
            raise ValueError("the arguments are too large for a check")
        return result


def _is_whole_number(value: Any) -> bool:
    """A tensor that torch takes where a number is asked for, such as how many steps there are."""
    return (
        isinstance(value, torch.Tensor) and value.dim() == 0 and not (value.is_floating_point() or value.is_complex())
    )


def _afford(function: Callable[..., Any], arguments: Sequence[Any], named: dict[str, Any]) -> None:
    """Raises ValueError when a call would take too much memory or time: tried first without numbers where it might."""
    plain = [*arguments, *named.values()]
    tensors = [t for a in plain for t in _parts(a)]
    factors = [max((t.numel() for t in tensors if isinstance(t, torch.Tensor)), default=1)]
    factors.append(max((len(t) for t in tensors if isinstance(t, torch.Tensor) and t.dim()), default=1))
    factors += [len(a) for a in plain if isinstance(a, (tuple, list, dict))]
    whole = [abs(int(a)) for a in plain if type(a) is int or _is_whole_number(a)]
    too_long = any(isinstance(a, (tuple, list, dict)) and len(tree_leaves(a)) > _LONGEST_LIST for a in plain)
    if too_long or max(whole, default=0) > _MOST_NUMBERS:
        raise ValueError("the arguments are too large for a check")
    if math.prod(max(1, factor) for factor in factors + whole) <= _SMALL:
        return

    def empty(value: Any) -> Any:
        if isinstance(value, _Module):
            return value.made([empty(part) for part in value.parts])
        if isinstance(value, torch.Tensor):
            return value if _is_whole_number(value) else torch.empty_like(value, device="meta")
        return type(value)(map(empty, value)) if isinstance(value, (tuple, list)) else value

    with _Measured():
        function(*map(empty, arguments), **{key: empty(value) for key, value in named.items()})
