"""What this computer has before anything is installed: whether PyTorch is made for it, disk, paths, uv, pip's settings,
and where the packages of the course go. install.py asks; nothing here changes anything.

Runs before anything is installed: standard library only, no import of this package.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.parse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)  # as in pyproject.toml and the start scripts
NAME = "latent-space-course"
WINDOWS = os.name == "nt"
LONGEST_IN_PACKAGES = 150  # characters of the longest path below Lib\site-packages, and some to spare
LONGEST_IN_KIT = 110  # of a notebook's checkpoint or a model below the kit's folder
# pip's settings that say where packages come from. Others (user, target, prefix, dry-run ...) say where they go or
# whether at all, and would break the installation into an environment of its own.
SENSIBLE_HERE = {
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "cert",
    "client-cert",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "constraint",
    "cache-dir",
    "no-cache-dir",
    "keyring-provider",
}
BAD_FOR_UV = {"UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_PROJECT", "UV_TARGET", "UV_PREFIX"}


def unsupported() -> str:
    """Why torch cannot be installed on this machine and what works instead; empty where it can."""
    system, machine, implementation = platform.system(), platform.machine().lower(), platform.python_implementation()
    if not OLDEST <= sys.version_info[:2] <= NEWEST or implementation != "CPython" or sys.maxsize < 2**32:
        this = f"{implementation} {platform.python_version()}, {64 if sys.maxsize > 2**32 else 32}-bit"
        return f"64-bit CPython {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} is needed, and this is {this}."
    if system == "Darwin":
        problem = unsupported_mac(machine, platform.mac_ver()[0])
    elif system == "Windows":
        problem = (
            "PyTorch is not made for Windows on ARM. Install the 64-bit Intel Python, which runs there too, or use WSL"
        )
        problem = problem if machine == "arm64" else ""
    else:
        problem = unsupported_linux(machine, *platform.libc_ver())
    elsewhere = "Or use your institution's JupyterHub, Google Colab or another computer."
    return f"{problem}. {elsewhere}" if problem else ""


def unsupported_mac(machine: str, version: str) -> str:
    """`unsupported` for a Mac with this processor and version of macOS."""
    if machine == "x86_64":
        asked = subprocess.run(["sysctl", "-n", "sysctl.proc_translated"], capture_output=True, text=True)
        if asked.stdout.strip() == "1":
            return "this Python is the one for Intel, on a Mac that is not. Install the universal one from python.org"
        return "PyTorch is no longer made for Macs with Intel processors"
    if int(version.split(".")[0] or 14) < 14:
        return f"PyTorch needs macOS 14 or later, and this is {version}. Update macOS"
    return ""


def unsupported_linux(machine: str, library: str, version: str) -> str:
    """`unsupported` for a Linux with this processor and C library."""
    if machine not in ("x86_64", "aarch64"):
        return f"PyTorch is not made for Linux on {machine}"
    if library != "glibc":
        return "PyTorch is not made for a Linux without glibc. Use Debian or Ubuntu, also in a container"
    if tuple(map(int, version.split(".")[:2])) < (2, 28):
        return f"PyTorch needs glibc 2.28 or later, and this is {version}. Use a newer Linux, also in a container"
    return ""


def too_little_disk(place: Path, has_torch: bool) -> str:
    """Why the packages would not fit into ``place``, or empty: about 6 GB for the CUDA build of torch that Linux gets,
    2 GB elsewhere, little once torch is here."""
    gigabytes = 0.5 if has_torch else 6.5 if sys.platform == "linux" else 2
    folder = place
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    if free >= gigabytes:
        return ""
    return (
        f"the packages need {gigabytes:g} GB of free disk and {folder} has {free:.1f} GB. Free some space, or "
        "set COURSE_VENV to a folder on another disk, then run this again."
    )


def too_long(place: Path, root: Path) -> str:
    """On Windows paths end at 260 characters unless it is told otherwise: why that will not do here, or empty."""
    if not WINDOWS or long_paths_allowed():
        return ""
    return longer_than_windows_allows(str(place), str(root))


def longer_than_windows_allows(place: str, root: str) -> str:
    """The sentence of `too_long` for an environment in ``place`` and a course in ``root``."""
    if len(place) + len("\\Lib\\site-packages\\") + LONGEST_IN_PACKAGES > 259:
        return f"{place} is too long a path for Windows. Set COURSE_VENV to a short one, such as C:\\course-packages."
    if len(root) + 1 + LONGEST_IN_KIT > 259:
        return (
            f"{root} is too long a path for Windows. Move the folder, for example to C:\\course, then run this again."
        )
    return ""


def long_paths_allowed() -> bool:
    """Whether Windows' own limit on the length of paths is off."""
    if sys.platform != "win32":
        return False
    try:
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except (ImportError, OSError):
        return False


def cache() -> Path:
    """The user's cache folder for environments: nothing that OneDrive or iCloud would copy; short on Windows."""
    if WINDOWS:
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lsc"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / NAME / "environments"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / NAME / "environments"


def environment_maker(place: Path) -> list[str]:
    """The command that makes a virtual environment with pip in ``place``; empty where this Python has no venv and
    there is no uv."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return [base, "-I", "-m", "venv", str(place)]
    uv = find_uv()
    return [uv, "venv", "--quiet", "--no-project", "--seed", "--python", base, str(place)] if uv else []


def folder_of(address: str) -> str:
    """The folder that an address with file:// names."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(address).path)
    return path.lstrip("/") if WINDOWS else path


def find_uv() -> str | None:
    """uv on the path, but never in the folder where the command was typed."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        program = Path(folder) / ("uv.exe" if WINDOWS else "uv")
        if os.path.isabs(folder) and os.access(program, os.X_OK) and program.is_file():
            return str(program)
    return None


def has_nvidia() -> bool:
    """Whether this Linux has an NVIDIA GPU with its driver."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


def python_version(python: Path) -> str:
    """Version of a Python by asking it."""
    ask = [str(python), "-I", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(ask, capture_output=True, text=True).stdout.strip()


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead Python or pip to other packages."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "CONDA_PREFIX"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    folder = kept.get("TMPDIR")
    if folder and (len(folder) > 60 or not os.access(folder, os.W_OK)) and os.access("/tmp", os.W_OK):
        del kept["TMPDIR"]  # sockets below it would get names that are too long
    return kept | {"PYTHONNOUSERSITE": "1"}


def sensible_pip_settings(lines: list[str]) -> dict[str, str]:
    """Of what ``pip config list`` prints, the settings that make sense for an environment of its own."""
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # the later ones count more
        found = [re.fullmatch(rf"{section}\.([\w-]+)=(['\"])(.*)\2", line) for line in lines]
        settings |= {line[1]: line[3].replace("\\n", "\n") for line in found if line}
    return {name: value for name, value in settings.items() if name in SENSIBLE_HERE}


def pip_settings_for_uv(settings: dict[str, str]) -> dict[str, str]:
    """uv does not read pip's settings: the same index, files and certificates as uv's environment variables."""
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "trusted-host": "UV_INSECURE_HOST"}
    given = {names[key]: " ".join(value.split()) for key, value in settings.items() if key in names}
    if "extra-index-url" in settings:
        given |= {"UV_INDEX": " ".join(settings["extra-index-url"].split()), "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if "find-links" in settings:
        given["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "proxy" in settings:
        given |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), settings["proxy"])
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        given["UV_NO_INDEX"] = "1"
    return given | {"UV_SYSTEM_CERTS": "1"}


def num_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions(*packages: str) -> dict[str, str]:
    """Of those packages that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
