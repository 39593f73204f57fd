"""A client of a Jupyter kernel that no lost wake-up holds up.

pyzmq's asyncio sockets hear of a message by a signal that is given once. When it comes while the socket is used, it can
be missed: the reply to a cell then lies there unread, and whoever waits for it without a time limit waits for ever.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

_LOOK_SECONDS = 1.0


class KernelChannel(AsyncZMQSocketChannel):
    """A channel that looks for a message every second, whether it was woken or not."""

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override]
        """The next message. Raises Empty when there is none within `timeout` seconds; None: no limit."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK_SECONDS if until is None else max(0.0, min(_LOOK_SECONDS, until - time.monotonic()))
            try:
                return await super().get_msg(left)
            except Empty:
                if until is not None and time.monotonic() >= until:
                    raise


class KernelClient(AsyncKernelClient):
    """jupyter_client's, whose channels of replies and outputs are such ones."""

    shell_channel_class = Type(KernelChannel)
    iopub_channel_class = Type(KernelChannel)
