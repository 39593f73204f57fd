"""Turns a freshly forked process into a Jupyter kernel: what a provisioner asks for instead of a grading agent."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .protocol import Channel

_BACKEND = "module://matplotlib_inline.backend_inline"


def enter(connection: socket.socket, shell: Any) -> None:
    """Read what is wanted, put the files in place, and serve until told to end."""
    order, body = Channel(connection, most_header=1 << 26, most_body=1 << 31).receive()
    _go_to(order["folder"], order["files"], body)
    os.environ.pop("NBGRADER_EXECUTION", None)
    os.environ.update(order["environment"])
    for name in ("COURSE_BUDGET", "COURSE_DATASET"):
        if name not in order["environment"]:
            os.environ.pop(name, None)
    seed = int.from_bytes(os.urandom(4), "big")
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    file = Path(os.environ["TMPDIR"]) / "connection.json"
    file.write_text(json.dumps(order["connection"]))
    _serve(shell, ["-f", str(file), *order["arguments"]])


def _serve(shell: Any, arguments: list[str]) -> None:
    from ipykernel.kernelapp import IPKernelApp

    type(shell).clear_instance()  # there is one shell in a process, and a kernel brings its own
    sys.argv = ["ipykernel_launcher", *arguments]
    sys.stdin = open(os.devnull)  # noqa: SIM115 (as long as the process lives)
    app = IPKernelApp.instance()
    app.initialize(arguments)
    _draw_in(app.shell)
    app.start()


def _draw_in(shell: Any) -> None:
    """Figures appear below the cells of this shell, not of the one that was there while everything was imported."""
    from matplotlib import pyplot
    from matplotlib_inline import backend_inline
    from matplotlib_inline.config import InlineBackend

    backend = os.environ.get("MPLBACKEND") or _BACKEND
    if backend != _BACKEND:
        pyplot.switch_backend(backend)
        return
    InlineBackend.clear_instance()
    vars(backend_inline.configure_inline_support).pop("current_backend", None)
    shell.enable_matplotlib("inline")


def _go_to(folder: str, files: list[list[Any]], body: bytes) -> None:
    """Work in a folder of the same name as the notebook's, with a copy of the files beside it."""
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    start = 0
    for name, length in files:
        os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
        Path(name).write_bytes(body[start : start + length])
        start += length
