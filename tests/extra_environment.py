"""An environment with packages that the course does not need, for tests of what others run it in: JupyterHub, nbgitpuller."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

NBGITPULLER = ("nbgitpuller==1.3.0",)
JUPYTERHUB = ("jupyterhub==6.1.1", "configurable-http-proxy==0.4.0")  # the proxy in Python: no Node.js is needed


def python_with(folder: Path, requirements: tuple[str, ...]) -> Path:
    """A Python that has these packages and all of this environment's: this one, or a new one in ``folder``, which sees
    this one's packages. Skips the test where they cannot be had."""
    if all(_is_here(requirement.partition("==")[0]) for requirement in requirements):
        return Path(sys.executable)
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python3*/site-packages"))
    ours = [path for path in sys.path if path.endswith("-packages")]
    (packages / "this.pth").write_text("\n".join(ours) + "\n")
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        "--no-input",
        *requirements,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        pytest.skip(f"{', '.join(requirements)} cannot be installed here: {said[-1]}")
    return python


def jupyter_paths(python: Path) -> dict[str, str]:
    """Where a server of that Python finds the extensions of this environment."""
    if python == Path(sys.executable):
        return {}
    data = Path(sysconfig.get_path("data"))
    return {"JUPYTER_PATH": str(data / "share" / "jupyter"), "JUPYTER_CONFIG_PATH": str(data / "etc" / "jupyter")}


def _is_here(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
