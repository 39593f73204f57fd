"""Inside the sandbox: runs cells, calls the student's functions with what the examiner sends, and says what came.

It shares a process with the student's code and is not believed: every answer is taken for the student's answer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections import deque
from typing import Any

import torch

from course_utils.checks.engine import candidate as seam
from course_utils.checks.engine.plain import Array, ModuleHandle, Truth, Unusable
from course_utils.checks.engine.surroundings import seed_generators
from course_utils.checks.engine.verdict import CallFailed

from .interpreter import Interpreter
from .lent import Lender
from .protocol import Channel, Closed, Packer, pack, unpack, unpack_tensors
from .serialisation import Incoming

_KEPT_CALLS = 16  # whose gradients may still be asked for


class Agent:
    """One examination: an interpreter, and what has been asked about its functions."""

    def __init__(self, channel: Channel, interpreter: Interpreter) -> None:
        self._channel, self._interpreter = channel, interpreter
        self._lender = Lender(channel)
        self._candidates: dict[str, seam.LocalCandidate] = {}
        self._handles: dict[int, ModuleHandle] = {}
        self._calls: dict[int, tuple[list[torch.Tensor], list[torch.Tensor], seam.LocalCandidate]] = {}
        self._order: deque[int] = deque()
        self._tasks = {name[4:]: getattr(self, name) for name in dir(Agent) if name.startswith("_do_")}

    def serve(self) -> None:
        """Answer requests until the examiner hangs up."""
        while True:
            try:
                header, body = self._channel.receive()
            except Closed:
                return
            lends = (
                self._lender.during(header["id"], header["seed"]) if header.get("lending") else contextlib.nullcontext()
            )
            with lends:
                answer, packer = self._answer(header, body)
            table, data = packer.finish()
            self._channel.send({**answer, "id": header["id"], "tensors": table}, data)

    def _answer(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], Packer]:
        packer = Packer()
        try:
            return self._tasks[header["do"]](header, unpack_tensors(header.get("tensors", []), body), packer), packer
        except CallFailed as failed:
            return {"failed": [failed.kind, failed.message]}, Packer()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            return {"failed": ["raised", f"{type(error).__name__}: {str(error)[:400]}"]}, Packer()

    # ------------------------------------------------------------------------------------------------- notebook

    def _do_set_up(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        """Put the submission's own files in place."""
        for name, spec in header["files"]:
            with contextlib.suppress(OSError):  # a name that is too long here: the others are still put in place
                os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
                with open(name, "wb") as file:
                    file.write(unpack(spec, tensors).numpy().tobytes())
        sys.path.insert(0, "")  # as in Jupyter: modules that lie beside the notebook, or that it writes
        for name, value in header["limits"].items():
            setattr(seam.LIMITS, name, value)
        seed_generators(header["seed"])
        return {}

    def _do_cell(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        return self._interpreter.run(header["source"])

    def _do_find(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        return {"there": header["name"] in self._interpreter.user_ns}

    # ---------------------------------------------------------------------------------------------------- calls

    def _do_open(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        candidate = seam.LocalCandidate(self._interpreter.user_ns[header["name"]])
        self._candidates[header["name"]] = candidate
        candidate.open()
        return {
            "compiled": bool(getattr(seam, "_is_compiled", lambda f: False)(self._interpreter.user_ns[header["name"]]))
        }

    def _do_close(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        self._candidates.pop(header["name"]).close()
        self._calls.clear()
        self._handles.clear()
        return {}

    def _do_call(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        candidate = self._candidates[header["name"]]
        arguments = Incoming(header, tensors, self._handles)
        candidate.next_seed = header["seed"]
        answer: dict[str, Any] = {"failed": None, "value": None}
        try:
            if header["handle"] is None:
                candidate.lent = {name: self._lender.function(name, arguments.modules) for name in header["replacing"]}
                value = candidate(*arguments.values)
            else:
                value = self._handles[header["handle"]](*arguments.values)
            outputs: list[torch.Tensor] = []
            answer["value"] = self._spec(value, packer, outputs)
            self._keep(header["id"], outputs, arguments.leaves, candidate)
        except CallFailed as failed:
            answer["failed"] = [failed.kind, failed.message]
        answer["effects"] = arguments.effects(packer)
        return {**answer, **_behaviour(candidate)}

    def _do_gradients(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        """Vector-Jacobian products of the outputs of an earlier call."""
        outputs, leaves, candidate = self._calls[header["call"]]
        pairs = [(outputs[index], tensors[number]) for index, number in header["cotangents"]]
        wanted = [leaves[index] for index in header["wanted"]]
        candidate.next_seed = header["seed"]
        with torch.enable_grad():
            total = [output for output, _ in pairs if output.requires_grad]
            weights = [weight.to(output.dtype) for output, weight in pairs if output.requires_grad]
            found = candidate.guarded(
                lambda: torch.autograd.grad(total, wanted, weights, allow_unused=True)  # and once only, as at home
            )
        return {
            "grads": [None if grad is None else packer.tensor(grad.detach()) for grad in found],
            **_behaviour(candidate),
        }

    def _do_module(self, header: dict[str, Any], tensors: list[torch.Tensor], packer: Packer) -> dict[str, Any]:
        """A question about a module that the student's function has returned."""
        handle, question = self._handles[header["handle"]], header["question"]
        self._candidates[header["name"]].next_seed = header["seed"]
        if question not in (
            "train",
            "identity",
            "parameters",
            "shapes",
            "load",
            "buffers",
            "load_buffers",
            "gradients",
        ):
            raise ValueError(f"no question {question!r}")
        value = getattr(handle, question)(*[unpack(spec, tensors) for spec in header["args"]])
        return {"value": pack(_detached(value), packer)}

    def _spec(self, value: Any, packer: Packer, outputs: list[torch.Tensor]) -> list[Any]:
        if isinstance(value, torch.Tensor):
            outputs.append(value)
            return ["output", packer.tensor(value)]
        if isinstance(value, tuple):
            return ["tuple", [self._spec(item, packer, outputs) for item in value]]
        if isinstance(value, ModuleHandle):
            number = len(self._handles) + 1
            self._handles[number] = value
            return ["handle", [number, value.short()]]
        if isinstance(value, Truth):
            return ["truth", value.value]
        if isinstance(value, Array):
            return ["array", packer.tensor(value.values)]
        if isinstance(value, Unusable):
            return ["unusable", value.words]
        return pack(value, packer)

    def _keep(
        self, number: int, outputs: list[torch.Tensor], leaves: list[torch.Tensor], candidate: seam.LocalCandidate
    ) -> None:
        self._calls[number] = (outputs, leaves, candidate)
        self._order.append(number)
        while len(self._order) > _KEPT_CALLS:
            self._calls.pop(self._order.popleft(), None)


def _behaviour(candidate: seam.LocalCandidate) -> dict[str, Any]:
    return {
        "reseeded": sorted(candidate.reseeded),
        "switched": sorted(candidate.switched),
        "printed": candidate.printed,
    }


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    return type(value)(_detached(item) for item in value) if isinstance(value, (tuple, list)) else value


def enter(connection: socket.socket, interpreter: Interpreter) -> None:
    """What a freshly forked process does. Its random numbers come with the first request."""
    torch.set_num_threads(1)
    Agent(Channel(connection, most_header=1 << 26, most_body=1 << 31), interpreter).serve()
