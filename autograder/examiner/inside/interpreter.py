"""Runs the cells of a notebook in IPython and collects their outputs, within a number of bytes."""

from __future__ import annotations

import atexit
import io
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

MOST_BYTES = 2_000_000  # of one cell's outputs
_CUT = "\n[The rest of the output is left out.]\n"


class Outputs:
    """The outputs of one cell, as nbformat has them."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._shown: dict[str, dict[str, Any]] = {}
        self._left = MOST_BYTES
        self._clear_first = False

    def stream(self, name: str, text: str) -> None:
        if self._left <= 0 or not text:
            return
        self._make_room()
        text = text[: self._left + 1]
        size = len(json.dumps(text))  # as it travels: a letter that is not ASCII takes six bytes
        kept = text if size <= self._left else text[: self._left // 6]
        self._left -= size
        if self._left <= 0:
            kept += _CUT
        if self.items and self.items[-1].get("name") == name:
            self.items[-1]["text"].append(kept)
        else:
            self.items.append({"output_type": "stream", "name": name, "text": [kept]})

    def show(
        self, kind: str, data: dict[str, Any], metadata: dict[str, Any], name: str | None = None, **more: Any
    ) -> None:
        size = len(json.dumps(data, default=str))
        if size > self._left:
            return self.stream("stdout", _CUT)
        self._left -= size
        self._make_room()
        record = {"output_type": kind, "data": data, "metadata": metadata, **more}
        if name is not None:
            self._shown[name] = record
        self.items.append(record)

    def update(self, name: str | None, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        size = len(json.dumps(data, default=str))
        if name in self._shown and size <= self._left:
            self._left -= size
            self._shown[name].update(data=data, metadata=metadata)

    def clear(self, wait: bool) -> None:
        self._clear_first = True
        if not wait:
            self._make_room()

    def finish(self) -> list[dict[str, Any]]:
        for item in self.items:
            if item["output_type"] == "stream":
                item["text"] = "".join(item["text"])
        return self.items

    def _make_room(self) -> None:
        if self._clear_first:
            self.items.clear()
            self._clear_first = False


class _Stream(io.TextIOBase):
    def __init__(self, name: str, interpreter: Interpreter) -> None:
        super().__init__()
        self._name, self._interpreter = name, interpreter

    encoding = "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._interpreter.outputs.stream(self._name, str(text))
        return len(text)


class _Publisher(DisplayPublisher):
    shell: Interpreter

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: str | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        name = (transient or {}).get("display_id")
        if update:
            self.shell.outputs.update(name, _as_text(data), metadata or {})
        else:
            self.shell.outputs.show("display_data", _as_text(data), metadata or {}, name)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.outputs.clear(wait)


class _Hook(DisplayHook):
    shell: Interpreter

    def start_displayhook(self) -> None:
        pass

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        self.shell.outputs.show(
            "execute_result", _as_text(format_dict), md_dict or {}, execution_count=self.shell.execution_count
        )

    def finish_displayhook(self) -> None:
        pass


class Interpreter(InteractiveShell):
    """IPython without a terminal, a history or a kernel's sockets."""

    def __init__(self, **kwargs: Any) -> None:
        self.outputs = Outputs()
        super().__init__(displayhook_class=_Hook, display_pub_class=_Publisher, **kwargs)  # type: ignore[no-untyped-call]
        self.kernel = SimpleNamespace(shell=self)  # by which code knows that it runs in a notebook

    def run(self, source: str) -> dict[str, Any]:
        """Run one cell; its outputs, its number, and whether it failed."""
        self.outputs = Outputs()
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Stream("stdout", self), _Stream("stderr", self)
        try:
            result = self.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]
        finally:
            sys.stdout, sys.stderr = streams
        return {"outputs": self.outputs.finish(), "count": self.execution_count - 1, "failed": not result.success}

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        try:
            message = str(evalue)
        except BaseException:
            message = "(its message cannot be shown)"
        self.outputs.items.append(
            {
                "output_type": "error",
                "ename": etype.__name__,
                "evalue": message[:10_000],
                "traceback": [str(line)[:10_000] for line in stb][:200],
            }
        )

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        """A magic of an extension that is not here, a formatter say, is left out and costs no exercise."""
        try:
            if self.find_line_magic(magic_name) is not None:  # type: ignore[no-untyped-call]
                return super().run_line_magic(magic_name, line, _stack_depth + 1)
        except ModuleNotFoundError:
            if not magic_name.endswith("load_ext"):
                raise
        sys.stderr.write(f"%{magic_name} {line}".rstrip() + " is not there while this is graded, and was left out.\n")

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """The same of a magic of a whole cell, whose code is run."""
        if self.find_cell_magic(magic_name) is not None:  # type: ignore[no-untyped-call]
            return super().run_cell_magic(magic_name, line, cell)  # type: ignore[no-untyped-call]
        sys.stderr.write(f"%%{magic_name} is not there while this is graded, and was left out.\n")
        self.ex(self.transform_cell(cell))  # type: ignore[no-untyped-call]

    def enable_gui(self, gui: str | None = None) -> None:
        pass

    def ask_exit(self) -> None:
        pass

    def system_piped(self, command: str) -> None:
        import subprocess

        done = subprocess.run(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=os.getcwd(),
        )
        sys.stdout.write(done.stdout.decode(errors="replace"))

    system = system_piped


def new_interpreter() -> Interpreter:
    """An interpreter ready to run cells, with figures drawn below them. It starts no thread, so that it may be made
    before a fork."""
    from IPython.core.history import HistoryManager
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    HistoryManager.enabled = False  # type: ignore[assignment]  # a trait takes its plain value
    interpreter = Interpreter.instance(config=config)
    atexit.unregister(interpreter.atexit_operations)  # it asks for the working folder, which may be gone by then
    try:
        interpreter.enable_matplotlib("inline")  # type: ignore[no-untyped-call]
    except ImportError:
        pass
    return interpreter


def _as_text(data: dict[str, Any]) -> dict[str, Any]:
    """A MIME bundle that JSON can hold."""
    import base64

    return {
        str(kind): base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }
