"""What passes between examiner and sandbox: JSON for structure, raw bytes for tensors; never pickles, never code.

A message is a header (JSON) and a body (the bytes of its tensors). Whoever reads believes nothing: lengths are capped
before anything is read, and every tensor's kind, shape and number of bytes must agree.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
from typing import Any

import torch

MEGABYTE = 1 << 20
_LENGTHS = struct.Struct("!IQ")
_MOST_DIMENSIONS, _DEEPEST = 16, 12
_KINDS = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
)
_KIND_OF = {getattr(torch, name): name for name in _KINDS}


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """No answer in time."""


class Garbled(Exception):
    """What came is not a message, or larger than allowed."""


class Channel:
    """Messages over a socket."""

    def __init__(
        self, connection: socket.socket, most_header: int = 4 * MEGABYTE, most_body: int = 64 * MEGABYTE
    ) -> None:
        self._socket, self._most_header, self._most_body = connection, most_header, most_body
        self._read = bytearray()  # what has come of the next message
        connection.setblocking(True)

    def send(self, header: dict[str, Any], body: bytes = b"", seconds: float | None = None) -> None:
        """Raises Closed, or Late when the other side does not take the message within `seconds`."""
        text = json.dumps(header, separators=(",", ":")).encode()
        data = memoryview(_LENGTHS.pack(len(text), len(body)) + text + body)
        deadline = None if seconds is None else time.monotonic() + seconds
        while data:
            self._wait(deadline, writing=True)
            try:
                data = data[self._socket.send(data, socket.MSG_DONTWAIT if deadline else 0) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Closed(str(error)) from None

    def receive(self, seconds: float | None = None) -> tuple[dict[str, Any], bytes]:
        """Raises Closed, Late or Garbled."""
        deadline = None if seconds is None else time.monotonic() + seconds
        header_length, body_length = _LENGTHS.unpack(self._exactly(_LENGTHS.size, deadline))
        if header_length > self._most_header or body_length > self._most_body:
            raise Garbled(
                f"a message of {(header_length + body_length) / MEGABYTE:.0f} MB; at most "
                f"{self._most_body / MEGABYTE:.0f} MB are taken"
            )
        text, body = self._exactly(header_length, deadline), self._exactly(body_length, deadline)
        try:
            header = json.loads(bytes(text))
        except (ValueError, RecursionError):
            raise Garbled("a message that is not JSON") from None
        if not isinstance(header, dict):
            raise Garbled("a message that is not a record")
        return header, bytes(body)

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, count: int, deadline: float | None) -> bytearray:
        while len(self._read) < count:
            self._wait(deadline, writing=False)
            try:
                chunk = self._socket.recv(MEGABYTE)
            except OSError as error:
                raise Closed(str(error)) from None
            if not chunk:
                raise Closed("the other side hung up")
            self._read += chunk
        data = self._read[:count]
        del self._read[:count]
        return data

    def _wait(self, deadline: float | None, writing: bool) -> None:
        if deadline is None:
            return
        left = deadline - time.monotonic()
        own = [self._socket]
        if left <= 0 or not any(select.select([] if writing else own, own if writing else [], [], left)):
            raise Late


class Packer:
    """Collects the tensors of one message, each once, however often it is named."""

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []
        self._index: dict[int, int] = {}

    def tensor(self, value: torch.Tensor) -> int:
        """The number under which this tensor object travels."""
        if id(value) not in self._index:
            self._index[id(value)] = len(self.tensors)
            self.tensors.append(value)
        return self._index[id(value)]

    def finish(self) -> tuple[list[dict[str, Any]], bytes]:
        """The table of tensors for the header, and the body. A tensor's gradient travels with it."""
        for value in self.tensors:  # grows while it is walked
            if value.is_leaf and value.grad is not None:
                self.tensor(value.grad)
        table, body = [], []
        for value in self.tensors:
            data = raw(value)
            grad = value.grad if value.is_leaf else None
            table.append(
                {
                    "kind": _KIND_OF[value.dtype],
                    "shape": list(value.shape),
                    "bytes": len(data),
                    "requires_grad": value.requires_grad,
                    "leaf": value.is_leaf,
                    "grad": None if grad is None else self._index[id(grad)],
                }
            )
            body.append(data)
        return table, b"".join(body)


def raw(value: torch.Tensor) -> bytes:
    """The numbers of a tensor as bytes."""
    if value.dtype not in _KIND_OF:
        raise TypeError(f"a tensor of {value.dtype} cannot travel")
    plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


def unpack_tensors(table: Any, body: bytes) -> list[torch.Tensor]:
    """The tensors of a message, as plain values; flags and gradients are left to the caller. Raises Garbled."""
    values, start = [], 0
    if not isinstance(table, list):
        raise Garbled("a table of tensors that is not a list")
    for entry in table:
        try:
            kind, shape, length = entry["kind"], entry["shape"], entry["bytes"]
        except (TypeError, KeyError):
            raise Garbled("a tensor without kind, shape or length") from None
        numbers = [length, *shape] if isinstance(shape, list) and len(shape) <= _MOST_DIMENSIONS else [None]
        if kind not in _KINDS or not all(type(n) is int and 0 <= n < 1 << 40 for n in numbers):
            raise Garbled("a tensor of an unknown kind or shape")
        dtype = getattr(torch, kind)
        if math.prod(shape) * dtype.itemsize != length or start + length > len(body):
            raise Garbled(f"a tensor of shape {tuple(shape)} with {length} bytes")
        if length:
            values.append(torch.frombuffer(bytearray(body[start : start + length]), dtype=dtype).reshape(shape))
        else:
            try:
                values.append(torch.empty(shape, dtype=dtype))
            except RuntimeError:  # no numbers, and sides whose product nobody can count
                raise Garbled("a tensor of an impossible shape") from None
        start += length
    if start != len(body):
        raise Garbled("bytes that belong to no tensor")
    return values


def pack(value: Any, packer: Packer) -> list[Any]:
    """Plain data as JSON; tensors by number. Raises TypeError for anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return ["v", value]
    if isinstance(value, torch.Tensor):
        return ["t", packer.tensor(value)]
    if isinstance(value, (tuple, list)):
        return ["tuple" if isinstance(value, tuple) else "list", [pack(item, packer) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[str(key), pack(item, packer)] for key, item in value.items()]]
    raise TypeError(f"{type(value).__name__} cannot travel")


def unpack(spec: Any, tensors: list[torch.Tensor], depth: int = 0) -> Any:
    """Undo `pack`. Raises Garbled."""
    if not isinstance(spec, list) or len(spec) != 2 or depth > _DEEPEST:
        raise Garbled("a value of no known form")
    kind, content = spec
    if kind == "v" and (content is None or isinstance(content, (bool, int, float, str))):
        return content
    if kind == "t" and type(content) is int and 0 <= content < len(tensors):
        return tensors[content]
    if kind in ("tuple", "list") and isinstance(content, list):
        items = [unpack(item, tensors, depth + 1) for item in content]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict" and isinstance(content, list) and all(isinstance(p, list) and len(p) == 2 for p in content):
        return {str(key): unpack(item, tensors, depth + 1) for key, item in content}
    raise Garbled("a value of no known form")
