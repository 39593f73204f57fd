"""A training step that the host launches as one: recorded in a CUDA graph, then replayed batch after batch.

On a GPU a small network's step is a hundred short kernels, and launching them takes longer than running them. A graph
launches them together (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_utils.system.errors import CourseError

WARM_UP = 3  # steps before the recording; libraries set themselves up in them

Values = dict[str, "Tensor | float"]


class CudaRecorder:
    """Records on the current GPU."""

    def aside(self, function: Callable[[], Values]) -> Values:
        """Run ``function`` on a stream of its own, as what is recorded later must have been run before."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            values = function()
        torch.cuda.current_stream().wait_stream(stream)
        return values

    def record(self, function: Callable[[], Values]) -> tuple[Values, Callable[[], None]]:
        """What ``function`` returned, not yet computed, and what computes it; its tensors stay where they are.

        Raises:
            CourseError: the function waits for the GPU or needs the host otherwise.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                values = function()
        except RuntimeError as error:
            raise CourseError(
                f"This training step cannot be recorded in a CUDA graph ({str(error).splitlines()[0]}). "
                "Does the loss look at a number on the host (.item(), float(), an if)? Train without a CUDA graph."
            ) from error
        return values, graph.replay


class RecordedStep:
    """A step like ``step``, recorded after ``WARM_UP`` calls, which run as they are and count like all others.

    Args:
        step: called with the batches, a sequence of tensors; returns a dict of scalars. What it does on the host, such
            as counting or changing a weight with time, happens at the recording and never again.
        recorder: what records.
    """

    def __init__(self, step: Callable[[Sequence[Tensor]], Values], recorder: Any = None) -> None:
        self._step, self._recorder = step, recorder or CudaRecorder()
        self._calls = 0
        self._values: Values = {}
        self._replay: Callable[[], None] | None = None

    def __call__(self, batches: Sequence[Tensor]) -> Values:
        """One step on batches of the shapes of the first call; numbers that later steps leave alone."""
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._recorder.aside(lambda: self._step(batches))
        replay = self._replay
        if replay is None:
            self._inputs = [batch.clone() for batch in batches]
            self._values, replay = self._recorder.record(lambda: self._step(self._inputs))
            self._replay = replay
        for mine, batch in zip(self._inputs, batches, strict=True):
            if mine.shape != batch.shape:
                raise ValueError(
                    f"a batch of {tuple(batch.shape)} for a step recorded with {tuple(mine.shape)}; "
                    "expected batches of one shape."
                )
            mine.copy_(batch)
        replay()
        return {key: value.clone() if isinstance(value, Tensor) else value for key, value in self._values.items()}
