"""One sandbox with a notebook in it: runs cells and passes questions in; everything that comes back is checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from autograder.sandbox.client import Sandbox
from autograder.sandbox.limits import Limits

from .inside.protocol import Channel, Closed, Garbled, Late, unpack_tensors
from .lending import Lending

_OUTPUT_KINDS = ("stream", "display_data", "execute_result", "error")
_SET_UP_SECONDS = 60.0


class Ended(Exception):
    """The sandbox is gone: it died (`crashed`), had to be killed (`timed_out`) or answered nonsense (`crashed`)."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Session:
    """A student's notebook in a sandbox, from the first cell on."""

    def __init__(
        self, address: str, limits: Limits, files: dict[str, bytes], call_limits: dict[str, float], seed: int
    ) -> None:
        """`seed` is for the global generators that the first cell finds."""
        self._sandbox = Sandbox(address, limits)
        self._channel = Channel(self._sandbox.connection)
        self._number = 0
        self.ended: Ended | None = None
        self.level = self._sandbox.level
        blobs = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files.values() if data]
        names = [[name, ["t", i]] for i, name in enumerate(name for name, data in files.items() if data)]
        table = [
            {"kind": "uint8", "shape": [len(b)], "bytes": len(b), "requires_grad": False, "leaf": True, "grad": None}
            for b in blobs
        ]
        body = b"".join(data for data in files.values() if data)
        self.ask(
            {"do": "set_up", "files": names, "limits": call_limits, "seed": seed, "tensors": table},
            body,
            seconds=_SET_UP_SECONDS,
        )

    def ask(
        self,
        header: dict[str, Any],
        body: bytes = b"",
        *,
        seconds: float,
        too_slow: str = "the check did not finish in time; an endless loop?",
        lending: Lending | None = None,
    ) -> tuple[dict[str, Any], list[torch.Tensor]]:
        """One question, one answer; in between, calls of what `lending` lends. Raises Ended when there is no answer, or
        one that cannot be an answer."""
        if self.ended is not None:
            raise self.ended
        self._number += 1
        deadline = time.monotonic() + seconds
        message = {"tensors": [], **header}
        try:
            while True:
                self._channel.send({**message, "id": self._number}, body, deadline - time.monotonic())
                answer, data = self._channel.receive(deadline - time.monotonic())
                if answer.get("id") != self._number:
                    raise Garbled("an answer to another question")
                tensors = unpack_tensors(answer.get("tensors"), data)
                if "lend" not in answer:
                    return answer, tensors
                if lending is None:
                    raise Garbled("it asks for what is not lent")
                message, body = lending.answer(answer, tensors)
        except Late:
            self._end("timed_out", too_slow)
        except Closed:
            self._end("crashed", self._sandbox.cause_of_death())
        except Garbled as error:
            self._end("crashed", f"the notebook's Python process gave an answer that cannot be one: {error}")

    @property
    def number(self) -> int:
        """The number of the last question."""
        return self._number

    def run_cell(self, source: str, seconds: float) -> dict[str, Any]:
        """Outputs (as nbformat has them), execution count and whether the cell failed."""
        answer, _ = self.ask(
            {"do": "cell", "source": source},
            seconds=seconds,
            too_slow=f"a cell ran for more than {seconds:g} seconds and was ended; an endless loop?",
        )
        return self._checked(
            lambda: {
                "outputs": [_output(item) for item in answer["outputs"]],
                "count": _count(answer["count"]),
                "failed": bool(answer["failed"]),
            },
        )

    def knows(self, name: str) -> bool:
        """Is there anything by this name in the notebook's namespace?"""
        answer, _ = self.ask({"do": "find", "name": name}, seconds=_SET_UP_SECONDS)
        return answer.get("there") is True

    def _checked(self, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return read()
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            self._end(
                "crashed", f"the notebook's Python process gave an answer that cannot be one ({type(error).__name__})"
            )

    def nonsense(self, what: str) -> NoReturn:
        """End the session because of an answer. Raises Ended."""
        self._end("crashed", f"the notebook's Python process gave an answer that cannot be one: {what}")

    def _end(self, status: str, reason: str) -> NoReturn:
        self.ended = Ended(status, reason)
        self.close()
        raise self.ended

    def close(self) -> None:
        self._sandbox.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _count(value: Any) -> int:
    """An execution count that a notebook can hold. Raises for anything else."""
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ValueError(value)
    return value


def _output(item: dict[str, Any]) -> dict[str, Any]:
    """One output with the fields that nbformat knows, and no others. Raises for anything else."""
    kind = item["output_type"]
    if kind not in _OUTPUT_KINDS:
        raise ValueError(kind)
    if kind == "stream":
        return {
            "output_type": kind,
            "name": "stderr" if item["name"] == "stderr" else "stdout",
            "text": str(item["text"]),
        }
    if kind == "error":
        return {
            "output_type": kind,
            "ename": str(item["ename"]),
            "evalue": str(item["evalue"]),
            "traceback": [str(line) for line in item["traceback"]],
        }
    data = {str(mime): value if isinstance(value, str) else str(value) for mime, value in dict(item["data"]).items()}
    record = {"output_type": kind, "data": data, "metadata": {}}
    return record | ({"execution_count": None} if kind == "execute_result" else {})
