"""``course doctor``: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from course_utils.system.machine import NEWEST, OLDEST
from course_utils.system.tree import Tree

OK, NOTE, MISSING = "ok", "note", "missing"
NEEDED_GB, NEEDED_MEMORY_GB = 2, 4


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``level`` is ok, note (works without) or missing (does not); ``advice`` what to do."""

    name: str
    level: str
    text: str
    advice: str = ""


def diagnose(tree: Tree) -> list[Finding]:
    """Look at everything the course uses. A probe that fails is itself a finding.

    Other packages add probes through the entry-point group ``course.probes``; a student kit has none of them.
    """
    probes: list[Callable[[Tree], Iterator[Finding]]] = [
        _course,
        _python,
        _packages,
        _device,
        _memory,
        _disk,
        _unused,
        _data,
        _kernel,
        _extensions,
    ]
    if not tree.is_kit:
        probes += [probe.load() for probe in entry_points(group="course.probes")]
    findings: list[Finding] = []
    for probe in probes:
        try:
            findings += probe(tree)
        except Exception as error:
            name = probe.__name__.strip("_")
            findings.append(Finding(name, MISSING, f"could not be examined: {error}", "Install the course again."))
    return findings


def report(findings: list[Finding]) -> None:
    """Print the findings, one line each, with the advice below what is not ok."""
    for finding in findings:
        print(f"{finding.level:8}{finding.name:12}{finding.text}")
        if finding.advice:
            print(f"{'':20}-> {finding.advice}")
    lacking = sum(finding.level == MISSING for finding in findings)
    print(f"\nNecessary and missing: {lacking}." if lacking else "\nEverything necessary is here.")


def _course(tree: Tree) -> Iterator[Finding]:
    units = tree.units()
    kind = "student kit" if tree.is_kit else "instructor's checkout"
    text = f"{kind} in {tree.root}, {len(units)} units"
    advice = "" if units else f"{tree.folder_name('source')}/ is empty: get the course again."
    yield Finding("course", OK if units else MISSING, text, advice)
    own, used = tree.root / "course_utils", Path(__file__).resolve().parents[1]
    if own.is_dir() and not own.samefile(used):  # a moved or copied folder, or packages of another one
        start = "start.sh (Windows: start.bat)" if tree.is_kit else "./course"
        yield Finding("course", MISSING, f"notebooks would import {used}, not {own}", f"Use {start} of this folder.")


def _python(tree: Tree) -> Iterator[Finding]:
    text = f"{platform.python_version()} in {sys.prefix} on {platform.system()} {platform.machine()}"
    fine = OLDEST <= sys.version_info[:2] <= NEWEST
    yield Finding("python", OK if fine else MISSING, text, "" if fine else "Install Python 3.13.")


def _packages(tree: Tree) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    found, absent = [], []
    for name in (
        "torch",
        "torchvision",
        "jupyterlab",
        "ipywidgets",
        "anywidget",
        "nbgrader",
        "matplotlib",
        "scikit-learn",
    ):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        advice = "Run: pip install -c constraints.txt -e ."
        yield Finding("packages", MISSING, f"not installed: {', '.join(absent)}", advice)
    else:
        yield Finding("packages", OK, ", ".join(found))


def _device(tree: Tree) -> Iterator[Finding]:
    import torch

    from course_utils.system.device import describe, get_device

    device = get_device()
    text = f"{describe(device)}, {os.cpu_count()} cores"
    if device.type == "cpu" and shutil.which("nvidia-smi") and torch.version.cuda is None:
        yield Finding(
            "device",
            NOTE,
            f"{text}; an NVIDIA GPU is here that this torch cannot use",
            "Install torch with CUDA (pytorch.org), or go on: the course needs no GPU.",
        )
    else:
        yield Finding("device", OK, text)


def _memory(tree: Tree) -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    tight = memory.available < NEEDED_MEMORY_GB * 1e9
    advice = f"Under {NEEDED_MEMORY_GB} GB free: close other programs before training." if tight else ""
    yield Finding("memory", NOTE if tight else OK, text, advice)


def _disk(tree: Tree) -> Iterator[Finding]:
    free = shutil.disk_usage(tree.root).free
    tight = free < NEEDED_GB * 1e9
    advice = f"Free some space: data, models and notebooks need {NEEDED_GB} GB." if tight else ""
    yield Finding("disk", MISSING if tight else OK, f"{free / 1e9:.1f} GB free where the course lies", advice)
    if not os.access(tree.root, os.W_OK):
        yield Finding("disk", MISSING, f"{tree.root} cannot be written to", "Move the course to a folder of your own.")


def _unused(tree: Tree) -> Iterator[Finding]:
    from .unused import described, unused

    found = unused()
    if found:
        text = f"packages that no kit uses any more: {'; '.join(map(described, found))}"
        yield Finding(
            "unused", NOTE, text, f"To get the space back: {tree.typed('doctor --remove-unused')} (it asks first)."
        )


def _data(tree: Tree) -> Iterator[Finding]:
    from course_utils import datasets

    for name, folder, line in datasets.status():
        here = folder is not None or "embedded" in line
        instead = "toy animals" if name == "awa2" else "digits"
        yield Finding(
            "data",
            OK if here else NOTE,
            f"{name}: {folder or line.partition('; get it with')[0]}",
            "" if here else f"Run: {tree.typed(f'data fetch {name}')} (without it the embedded {instead} are used)",
        )


def _kernel(tree: Tree) -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Finding("kernel", MISSING, "no Jupyter kernel python3", "Run: pip install ipykernel")
        return
    program = spec.argv[0] if spec.argv else ""
    ours = program in ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}", sys.executable)
    advice = f"It starts {program}, not this Python. Run: {sys.executable} -m ipykernel install --sys-prefix"
    yield Finding("kernel", OK if ours else NOTE, f"python3, {spec.resource_dir or 'built in'}", "" if ours else advice)


def _extensions(tree: Tree) -> Iterator[Finding]:
    from jupyter_core.paths import jupyter_config_path, jupyter_path

    folders = jupyter_path("labextensions")
    parts = {
        "Validate button": [f"{folder}/@jupyter/nbgrader" for folder in folders],
        "widgets (ipywidgets)": [f"{folder}/@jupyter-widgets/jupyterlab-manager" for folder in folders],
        "cockpit (anywidget)": [f"{folder}/anywidget" for folder in folders],
        "nbgrader server": [f"{folder}/jupyter_server_config.d/nbgrader.json" for folder in jupyter_config_path()],
    }
    absent = [name for name, places in parts.items() if not any(map(os.path.exists, places))]
    if absent:
        yield Finding(
            "extensions",
            MISSING,
            f"JupyterLab lacks: {', '.join(absent)}",
            "Run: pip install --force-reinstall nbgrader jupyterlab_widgets",
        )
    else:
        yield Finding("extensions", OK, f"JupyterLab has: {', '.join(parts)}")
