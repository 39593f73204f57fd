"""Jupyter kernels from a warm process, in a sandbox: for nbgrader, nbclient, nbval and whatever else starts kernels.

Chosen by `JUPYTER_DEFAULT_PROVISIONER_NAME`, or by the `kernel_provisioner` of a kernelspec's metadata (see the page on
provisioners of jupyter_client's documentation). `course-sandbox` is for what students wrote: course_utils without the
laws. `course-sandbox-instructor` is for notebooks of one's own: the whole course_utils, so that checks run inside.

A kernel works on a copy of its folder's files, which goes with it. It sees the folder that $COURSE_DATA names, to read.
It talks through sockets in a folder of its own, because it has no network.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Bool

from course_utils.system.errors import CourseError

from ..examiner.inside.protocol import Channel
from ..submissions import other_files
from .client import Sandbox, own_address
from .limits import Limits

_LONGEST_FOLDER = 90  # a socket's path has at most 107 bytes
_PASSED_ON = ("MPLBACKEND", "OMP_NUM_THREADS", "NBGRADER_EXECUTION", "PYTHONHASHSEED", "TZ", "LANG", "LC_ALL")
_POLL_SECONDS = 0.02


class SandboxProvisioner(KernelProvisionerBase):
    """Starts each kernel as a fork of this process's warm process, which is started with the first."""

    whole_course = False
    unsafe = Bool(False, help="Run kernels also where they cannot be isolated.").tag(config=True)

    _sandbox: Sandbox | None = None
    _ended = False
    _folder: Path | None = None

    @property
    def has_process(self) -> bool:
        return self._sandbox is not None and not self._ended

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        manager = self._manager()
        if manager.transport != "ipc" or not os.path.isdir(os.path.dirname(manager.ip)):
            self._folder = _socket_folder()
            manager.transport, manager.ip = "ipc", str(self._folder / "s" / "k")
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        command = manager.format_kernel_cmd(extra_arguments=kwargs.pop("extra_arguments", []))
        return await super().pre_launch(cmd=command, **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        environment, folder = kwargs["env"], Path(kwargs.get("cwd") or os.getcwd())
        shown = [str(path) for path in _readable(environment)]
        self._ended = False
        self._sandbox = Sandbox(
            own_address(self.unsafe, kernels=True, whole_course=self.whole_course),
            Limits(),
            "grading_agent.kernel:enter",
            shared=[os.path.dirname(self._manager().ip)],
            readable=shown,
        )
        files, _ = other_files(folder)
        header = {
            "folder": folder.resolve().name,
            "files": [[name, len(data)] for name, data in files.items()],
            "arguments": _own_arguments(cmd),
            "connection": _as_text(self.connection_info),
            "environment": {
                name: value
                for name, value in environment.items()
                if name in _PASSED_ON or (name.startswith("COURSE_") and name != "COURSE_DATA")
            }
            | ({"COURSE_DATA": shown[0]} if shown else {}),
        }
        Channel(self._sandbox.connection).send(header, b"".join(files.values()), seconds=60)
        return self.connection_info

    async def poll(self) -> int | None:
        if self._sandbox is None:
            return 0
        status = self._sandbox.exit_status()
        self._ended = status is not None
        return status

    async def wait(self) -> int | None:
        while (status := await self.poll()) is None:
            await asyncio.sleep(_POLL_SECONDS)
        self._leave()
        return status

    async def send_signal(self, signum: int) -> None:
        if self._sandbox is None:
            return
        if signum == signal.SIGINT:
            self._sandbox.interrupt()
        elif signum in (signal.SIGTERM, signal.SIGKILL):
            self._sandbox.kill()

    async def kill(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        self._leave()
        if not restart and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _manager(self) -> Any:
        """The kernel manager that started this."""
        assert self.parent is not None
        return self.parent

    def _leave(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None


class InstructorProvisioner(SandboxProvisioner):
    """For notebooks of the course itself, whose checks run in the kernel."""

    whole_course = True


def _socket_folder() -> Path:
    """A folder whose name nobody guesses; in its ``s`` any user may make sockets: a kernel has a user id of its own."""
    above = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="course-k-", dir=above if len(above) < _LONGEST_FOLDER - 30 else "/tmp"))
    if len(str(folder)) > _LONGEST_FOLDER:
        raise CourseError(
            f"{folder} is too long a path for a kernel's sockets. Set TMPDIR to a shorter one, such as /tmp."
        )
    folder.chmod(0o711)
    (folder / "s").mkdir()
    (folder / "s").chmod(0o777)
    return folder


def _readable(environment: dict[str, str]) -> list[Path]:
    data = environment.get("COURSE_DATA")
    return [Path(data).resolve()] if data and os.path.isdir(data) else []


def _own_arguments(command: list[str]) -> list[str]:
    """What stands in a kernel's command beside the interpreter, the launcher and the connection file."""
    words = command[command.index("ipykernel_launcher") + 1 :] if "ipykernel_launcher" in command else command[1:]
    return [word for index, word in enumerate(words) if word != "-f" and (index == 0 or words[index - 1] != "-f")]


def _as_text(connection: KernelConnectionInfo) -> dict[str, Any]:
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in connection.items()}
