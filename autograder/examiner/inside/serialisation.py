"""Modules and optimisers as data, and what a call has done to them.

Outside, `Outgoing` describes the arguments of a call. Inside, `Incoming` builds them anew and tells afterwards what the
call has changed in place; outside again, `Outgoing.apply` does the same to the originals.
"""

from __future__ import annotations

import importlib
import inspect
import math
import textwrap
from typing import Any

import torch
from torch import nn

from .protocol import Garbled, Packer, pack, raw, unpack

_OWN_FIELDS = set(nn.Module().__dict__)
_PLAIN = (type(None), bool, int, float, str)


class Outgoing:
    """The arguments of one call, with every module, optimiser and tensor named once."""

    def __init__(self) -> None:
        self.packer = Packer()
        self.modules: list[nn.Module] = []
        self.optimisers: list[torch.optim.Optimizer] = []
        self._module_records: list[dict[str, Any] | None] = []
        self._optimiser_records: list[dict[str, Any]] = []

    def spec(self, value: Any) -> list[Any]:
        """How `value` travels; lists, tuples and dicts may hold modules as well."""
        if isinstance(value, nn.Module):
            return ["module", self._module(value)]
        if isinstance(value, torch.optim.Optimizer):
            return ["optimiser", self._optimiser(value)]
        if isinstance(value, (tuple, list)):
            return ["tuple" if isinstance(value, tuple) else "list", [self.spec(item) for item in value]]
        if isinstance(value, dict):
            return ["dict", [[str(key), self.spec(item)] for key, item in value.items()]]
        handle = getattr(value, "handle_number", None)
        return pack(value, self.packer) if handle is None else ["handle", handle]

    def records(self) -> dict[str, list[Any]]:
        return {"modules": self._module_records, "optimisers": self._optimiser_records}

    def _module(self, module: nn.Module) -> int:
        for index, known in enumerate(self.modules):
            if known is module:
                return index
        index = len(self.modules)
        self.modules.append(module)
        self._module_records.append(None)
        self._module_records[index] = {
            **_class_of(module),
            "training": module.training,
            "settings": [
                [name, pack(value, self.packer)]
                for name, value in module.__dict__.items()
                if name not in _OWN_FIELDS and _is_plain(value)
            ],
            "parameters": [
                [name, None if p is None else self.packer.tensor(p)] for name, p in module._parameters.items()
            ],
            "buffers": [
                [name, None if b is None else self.packer.tensor(b), name not in module._non_persistent_buffers_set]
                for name, b in module._buffers.items()
            ],
            "children": [
                [name, None if child is None else self._module(child)] for name, child in module._modules.items()
            ],
        }
        return index

    def _optimiser(self, optimiser: torch.optim.Optimizer) -> int:
        for index, known in enumerate(self.optimisers):
            if known is optimiser:
                return index
        self.optimisers.append(optimiser)
        self._optimiser_records.append(
            {
                **_class_of(optimiser),
                "defaults": pack(dict(optimiser.defaults), self.packer),
                **optimiser_state(optimiser, self.packer),
            }
        )
        return len(self.optimisers) - 1

    def apply(self, effects: Any, tensors: list[torch.Tensor]) -> None:
        """Do to the originals what the call has done inside. Raises Garbled."""
        try:
            with torch.no_grad():
                for index, change in effects["tensors"]:
                    _change(self.packer.tensors[_index(index)], change, tensors)
                for index, change in effects["modules"]:
                    _change_module(self.modules[_index(index)], change, tensors)
                for index, state in effects["optimisers"]:
                    restore_state(self.optimisers[_index(index)], state, self.packer.tensors, tensors)
        except Garbled:
            raise
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise Garbled(f"effects of no known form ({type(error).__name__})") from None


class Incoming:
    """The arguments of one call, built from what came with the message."""

    def __init__(self, header: dict[str, Any], tensors: list[torch.Tensor], handles: dict[int, Any]) -> None:
        self._handles = handles
        self.leaves: list[torch.Tensor] = tensors  # what gradients are asked for
        self.tensors = [_with_flags(value, entry) for value, entry in zip(tensors, header["tensors"], strict=True)]
        for value, entry in zip(self.leaves, header["tensors"], strict=True):
            if entry["grad"] is not None:
                value.grad = tensors[entry["grad"]]
        self._is_parameter = {index for record in header["modules"] for _, index in record["parameters"]}
        for index in self._is_parameter - {None}:
            flag = self.leaves[index].requires_grad
            parameter = nn.Parameter(self.leaves[index].detach(), requires_grad=flag)
            parameter.grad = self.leaves[index].grad
            self.leaves[index] = self.tensors[index] = parameter
        self.modules = [_new_module(record) for record in header["modules"]]
        for module, record in zip(self.modules, header["modules"], strict=True):
            self._furnish(module, record)
        self.optimisers = [_new_optimiser(record, self.tensors) for record in header["optimisers"]]
        self._records = header["modules"]
        self.values = [self.value(spec) for spec in header["args"]]
        self._before = [raw(value) for value in self.tensors]
        self._grads_before = [None if value.grad is None else raw(value.grad) for value in self.leaves]
        self._flags_before = [value.requires_grad for value in self.leaves]

    def value(self, spec: list[Any]) -> Any:
        kind, content = spec
        if kind == "module":
            return self.modules[content]
        if kind == "optimiser":
            return self.optimisers[content]
        if kind == "handle":
            return self._handles[content]
        if kind in ("tuple", "list"):
            items = [self.value(item) for item in content]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {key: self.value(item) for key, item in content}
        return unpack(spec, self.tensors)

    def effects(self, packer: Packer) -> dict[str, list[Any]]:
        """What is no longer as it came."""
        changed = []
        for index, (value, leaf) in enumerate(zip(self.tensors, self.leaves, strict=True)):
            change: dict[str, Any] = {}
            if raw(value) != self._before[index]:
                change["value"] = packer.tensor(value.detach())
            grad = None if leaf.grad is None else raw(leaf.grad)
            if grad != self._grads_before[index]:
                change["grad"] = None if leaf.grad is None else packer.tensor(leaf.grad.detach())
            if value is not leaf and value.grad_fn is None:
                change["detached"] = True
            if leaf.requires_grad != self._flags_before[index]:
                change["requires_grad"] = leaf.requires_grad
            if change:
                changed.append([index, change])
        return {
            "tensors": changed,
            "modules": [
                [index, self._module_effects(module, record, packer)]
                for index, (module, record) in enumerate(zip(self.modules, self._records, strict=True))
            ],
            "optimisers": [
                [index, optimiser_state(optimiser, packer, self.tensors)]
                for index, optimiser in enumerate(self.optimisers)
            ],
        }

    def _module_effects(self, module: nn.Module, record: dict[str, Any], packer: Packer) -> dict[str, Any]:
        replaced = [
            [name, packer.tensor(value.detach())]
            for name, index, *_ in record["parameters"] + record["buffers"]
            if index is not None
            and (value := getattr(module, name, None)) is not self.tensors[index]
            and isinstance(value, torch.Tensor)
        ]
        return {"training": bool(module.training), "replaced": replaced}

    def _furnish(self, module: nn.Module, record: dict[str, Any]) -> None:
        module.training = record["training"]
        module.__dict__.update({name: unpack(spec, self.tensors) for name, spec in record["settings"]})
        for name, index in record["parameters"]:
            module.register_parameter(name, None if index is None else self.tensors[index])
        for name, index, persistent in record["buffers"]:
            module.register_buffer(name, None if index is None else self.tensors[index], persistent=persistent)
        for name, index in record["children"]:
            module.add_module(name, None if index is None else self.modules[index])


def optimiser_state(
    optimiser: torch.optim.Optimizer, packer: Packer, table: list[torch.Tensor] | None = None
) -> dict[str, Any]:
    """Groups and state; parameters by their number in `table` (default: they are packed as well)."""

    def number(parameter: torch.Tensor) -> int:
        if table is None:
            return packer.tensor(parameter)
        return next((index for index, known in enumerate(table) if known is parameter), -1)

    def travels(value: Any) -> bool:
        return isinstance(value, torch.Tensor) or _is_plain(value)

    groups = [
        {
            "parameters": [number(p) for p in group["params"]],
            "settings": [
                [key, pack(value, packer)] for key, value in group.items() if key != "params" and travels(value)
            ],
        }
        for group in optimiser.param_groups
    ]
    state = [
        [number(parameter), [[key, pack(value, packer)] for key, value in entries.items() if travels(value)]]
        for parameter, entries in optimiser.state.items()
    ]
    return {"groups": groups, "state": state}


def restore_state(
    optimiser: torch.optim.Optimizer,
    record: dict[str, Any],
    parameters: list[torch.Tensor],
    tensors: list[torch.Tensor],
) -> None:
    """Give an optimiser the settings and the state of a record; what concerns unknown parameters is left out."""
    for group, known in zip(optimiser.param_groups, record["groups"], strict=False):
        for key, spec in known["settings"]:
            if key in group:
                group[key] = unpack(spec, tensors)
    optimiser.state.clear()
    for number, entries in record["state"]:
        if _index(number, -1) >= 0:
            optimiser.state[parameters[number]] = {str(key): unpack(spec, tensors) for key, spec in entries}


def _class_of(thing: Any) -> dict[str, str]:
    kind = type(thing)
    if kind.__module__.startswith("torch."):
        return {"class": f"{kind.__module__}:{kind.__qualname__}"}
    return {"class": kind.__name__, "source": textwrap.dedent(inspect.getsource(kind))}


def _find_class(record: dict[str, Any]) -> Any:
    if "source" in record:
        names: dict[str, Any] = {
            "torch": torch,
            "nn": nn,
            "F": nn.functional,
            "math": math,
            "__name__": "grading_agent",
        }
        exec(compile("from __future__ import annotations\n" + record["source"], "<given>", "exec"), names)
        return names[record["class"]]
    module, _, name = record["class"].partition(":")
    return getattr(importlib.import_module(module), name)


def _new_module(record: dict[str, Any]) -> nn.Module:
    kind = _find_class(record)
    module: nn.Module = kind.__new__(kind)
    nn.Module.__init__(module)
    return module


def _new_optimiser(record: dict[str, Any], tensors: list[torch.Tensor]) -> torch.optim.Optimizer:
    kind = _find_class(record)
    optimiser: torch.optim.Optimizer = kind.__new__(kind)
    groups = [
        {
            "params": [tensors[index] for index in group["parameters"]],
            **{key: unpack(spec, tensors) for key, spec in group["settings"]},
        }
        for group in record["groups"]
    ]
    torch.optim.Optimizer.__init__(optimiser, groups, unpack(record["defaults"], tensors))
    restore_state(optimiser, record, tensors, tensors)
    return optimiser


def _with_flags(value: torch.Tensor, entry: dict[str, Any]) -> torch.Tensor:
    """As it was outside: a leaf, or the result of something, on which operations in place are allowed."""
    if entry["requires_grad"] and value.is_floating_point():
        value.requires_grad_()
        return value if entry["leaf"] else value.clone()
    return value


def _change(original: torch.Tensor, change: dict[str, Any], tensors: list[torch.Tensor]) -> None:
    if "value" in change:
        value = tensors[_index(change["value"])]
        if value.shape == original.shape:
            original.data.copy_(value)
        else:
            original.data = value.to(original.dtype)
    if "grad" in change:
        grad = None if change["grad"] is None else tensors[_index(change["grad"])]
        original.grad = None if grad is None else grad.to(original.dtype).reshape(original.shape)
    if change.get("detached") is True and not original.is_leaf:
        original.detach_()
    if "requires_grad" in change and original.is_leaf:
        original.requires_grad_(bool(change["requires_grad"]))


def _change_module(module: nn.Module, change: dict[str, Any], tensors: list[torch.Tensor]) -> None:
    module.training = bool(change["training"])
    for name, index in change["replaced"]:
        current = module._parameters.get(name, module._buffers.get(name))
        if current is not None:
            current.data = tensors[_index(index)].to(current.dtype)


def _index(value: Any, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise Garbled("a number that names nothing")
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return isinstance(value, _PLAIN)
