"""The start scripts: they find a Python that will do, hand everything over to install.py, and say what is missing."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from miniature import CHECKOUT

from course_utils.system import machine

SCRIPTS = {"course": CHECKOUT / "course", "start.sh": CHECKOUT / "autograder/student_kit/start.sh"}
BATCH = CHECKOUT / "autograder/student_kit/start.bat"
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX shell scripts")

STUB = """#!/bin/sh
# {name}: a Python {version}
if [ "$2" = -c ]; then [ "{version}" = good ]; exit $?; fi
printf '%s|' "{name}" "$@"
exit ${{STUB_EXIT:-0}}
"""


def stub(folder: Path, name: str, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(STUB.format(name=name, version=version))
    (folder / name).chmod(0o755)


@pytest.fixture(params=SCRIPTS)
def place(request, tmp_path):
    """A folder with an awkward name that holds the script, and a path with the few programs that it needs."""
    folder = tmp_path / "Übung (a) & b's"
    folder.mkdir()
    shutil.copy(SCRIPTS[request.param], folder / "start")
    (tmp_path / "bin").mkdir()
    for program in ("sh", "dirname"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program))
    return folder


def start(place, *arguments, shell="dash", **variables):
    shell = shutil.which(shell) or "/bin/sh"
    bin_folder = place.parent / "bin"
    environment = {"PATH": str(bin_folder), "HOME": str(place.parent)} | variables
    here = place.parent / "elsewhere"
    here.mkdir(exist_ok=True)
    command = [shell, str(place / "start"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=here)


@posix
@pytest.mark.parametrize(
    "pythons, found",
    [
        ({"python3": "good"}, "python3"),
        ({"python3": "old", "python3.12": "good"}, "python3.12"),
        ({"python3": "old", "python3.11": "good", "python3.13": "good"}, "python3.13"),
        ({"python": "good"}, "python"),
    ],
)
def test_a_python_is_found_under_whichever_name(place, pythons, found):
    for name, version in pythons.items():
        stub(place.parent / "bin", name, version)
    if "python3" not in pythons:
        stub(place.parent / "bin", "python3", "old")
    text = (place / "start").read_text().replace("/usr/bin/python3 ", "")  # this machine's own is not the question
    (place / "start").write_text(text)
    done = start(place, "submit", "02", "--notebook", "a file & more.ipynb")
    assert done.returncode == 0, done.stderr
    wanted = ["-I", f"{place}/course_utils/system/install.py", "submit", "02", "--notebook", "a file & more.ipynb", ""]
    assert done.stdout.split("|") == [found, *wanted]


@posix
def test_no_python_is_one_line_that_says_what_to_install(place):
    text = (place / "start").read_text().replace("/usr/bin/python3 ", "")
    (place / "start").write_text(text)
    stub(place.parent / "bin", "python3", "old")
    done = start(place)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "Python 3.11 to 3.14 is needed" in done.stderr and "sudo apt install" in done.stderr


@posix
def test_uv_brings_a_python_where_there_is_none(place):
    text = (place / "start").read_text().replace("/usr/bin/python3 ", "")
    (place / "start").write_text(text)
    stub(place.parent / "bin", "python3", "old")
    stub(place.parent / "brought", "uvs-python", "good")
    uv = place.parent / "bin" / "uv"
    uv.write_text(f"#!/bin/sh\n[ \"$2\" = install ] || printf '%s\\n' '{place.parent}/brought/uvs-python'\n")
    uv.chmod(0o755)
    done = start(place, "doctor")
    assert done.stdout.split("|")[0] == "uvs-python", done.stderr


@posix
def test_course_python_decides_also_with_a_space_in_its_name(place):
    stub(place.parent / "my pythons", "python", "good")
    done = start(place, COURSE_PYTHON=str(place.parent / "my pythons" / "python"))
    assert done.stdout.startswith("python|-I|")
    stub(place.parent / "my pythons", "python", "old")
    done = start(place, COURSE_PYTHON=str(place.parent / "my pythons" / "python"))
    assert done.returncode == 1 and "COURSE_PYTHON is" in done.stderr and done.stderr.count("\n") == 1


@posix
def test_the_exit_code_is_the_commands(place):
    stub(place.parent / "bin", "python3", "good")
    assert start(place, STUB_EXIT="2").returncode == 2


@posix
def test_the_folder_where_it_is_typed_decides_nothing(place, tmp_path):
    here = tmp_path / "elsewhere"
    here.mkdir()
    for name in ("sys", "typer", "json", "pathlib", "tomllib"):
        (here / f"{name}.py").write_text("open('OWNED', 'w')\n")
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    (place / "course_utils/system").mkdir(parents=True)
    (place / "course_utils/system/install.py").write_text(
        "import sys, json, pathlib, tomllib\nprint(sys.flags.isolated)\n"
    )
    done = start(place, PYTHONPATH=str(here), PYTHONHOME=str(here))
    assert done.stdout == "1\n", done.stderr
    assert not (here / "OWNED").exists()


def test_the_range_of_pythons_is_the_same_everywhere():
    oldest, newest = ".".join(map(str, machine.OLDEST)), ".".join(map(str, machine.NEWEST))
    after = f"3.{machine.NEWEST[1] + 1}"
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={oldest},<{after}"
    for path in [*SCRIPTS.values(), BATCH]:
        text = path.read_text(encoding="utf-8")
        assert f"({oldest.replace('.', ', ')}) <= sys.version_info < ({after.replace('.', ', ')})" in text, path
        assert f"Python {oldest} to {newest}" in text, path
        for minor in range(machine.OLDEST[1], machine.NEWEST[1] + 1):
            assert re.search(rf"python3\.{minor}\b|py -3\.{minor}\b", text), f"{path} does not look for 3.{minor}"
    for path in (CHECKOUT / "README.md", CHECKOUT / "autograder/student_kit/README.md"):
        assert f"Python {oldest} to {newest}" in path.read_text(encoding="utf-8"), path


def batch_lines() -> list[str]:
    lines = BATCH.read_text(encoding="ascii").splitlines()
    return [line for line in lines if line and not line.lower().startswith("rem ")]


def test_start_bat_uses_only_what_every_cmd_can_do():
    for line in batch_lines():
        assert "&&" not in line and "||" not in line, line
        outside = re.sub(r'"[^"]*"', "", line)
        assert not re.search(r"[()]", outside), f"a path with brackets would end this block: {line}"
        assert "&" not in outside.replace("2>&1", ""), line
        assert "!" not in line, line
        for variable in re.findall(r"%~dp0|%COURSE_PYTHON%|%TEST%", line):
            assert re.search(rf'"[^"]*{re.escape(variable)}[^"]*"', line), f"{variable} needs quotes: {line}"
    labels = {line[1:].split()[0] for line in batch_lines() if line.startswith(":")}
    used = set(re.findall(r"goto (\w+)", "\n".join(batch_lines()))) | set(
        re.findall(r"call :(\w+)", "\n".join(batch_lines()))
    )
    assert used == labels


WINE = shutil.which("wine64") or shutil.which("wine")
SITUATIONS = (
    "no Python",
    "only py",
    "only python",
    "spaces",
    "umlauts",
    "ampersand and brackets",
    "inside the zip",
    "installation fails",
    "quoted arguments",
)
PYTHON_BAT = """@echo off
if "%~3"=="-c" exit /b 0
if "%~4"=="-c" exit /b 0
echo {name} got %*
exit /b {exit_code}
"""


def windows_stub(folder: Path, name: str, exit_code: int) -> None:
    """NAME.exe that runs a batch file: the launcher that pip brings for scripts, told to start cmd."""
    distlib = pytest.importorskip("pip._vendor.distlib")
    launcher = Path(distlib.__file__).with_name("t64.exe")
    if not launcher.is_file():
        pytest.skip("this pip brings no launcher for Windows, of which the stub Python is made")
    batch = folder / f"stub-{name}.bat"
    batch.write_bytes(PYTHON_BAT.format(name=name, exit_code=exit_code).replace("\n", "\r\n").encode())
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("__main__.py", "")
    line = f"#!C:\\windows\\system32\\cmd.exe /c {windows(batch)}\n".encode()
    (folder / f"{name}.exe").write_bytes(launcher.read_bytes() + line + content.getvalue())


@pytest.mark.skipif(not WINE, reason="wine is not installed, so start.bat cannot be run here")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_start_bat_under_wine(situation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wine")
    names = {"spaces": "my kit here", "umlauts": "Übung", "ampersand and brackets": "a & b (1)"}
    kit = folder / names.get(situation, "kit")
    (kit / "course_utils/system").mkdir(parents=True)
    if situation != "inside the zip":
        (kit / "course_utils/system/install.py").touch()
    (kit / "start.bat").write_bytes(BATCH.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    programs = folder / "programs"
    programs.mkdir()
    name = "py" if situation == "only py" else "python"
    if situation != "no Python":
        windows_stub(programs, name, exit_code=3 if situation == "installation fails" else 0)
    environment = os.environ | {
        "WINEPREFIX": str(wine_prefix(tmp_path_factory)),
        "WINEDEBUG": "-all",
        "WINEPATH": windows(programs),
    }
    arguments = ["submit", "02", "--notebook", "my notebook.ipynb"] if situation == "quoted arguments" else ["doctor"]
    command = [WINE, "cmd", "/c", ".\\start.bat", *arguments]  # /c takes quotes off a name with & in it
    done = subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, timeout=120, cwd=kit)
    said = done.stdout.decode("utf-8", errors="replace")
    if situation == "no Python":
        assert done.returncode == 1 and "Python 3.11 to 3.14 is needed" in said, said
    elif situation == "inside the zip":
        assert done.returncode == 1 and "unpack the zip first" in said, said
    else:
        assert f"{name} got" in said and "install.py" in said and arguments[-1] in said, said
        assert done.returncode == (3 if situation == "installation fails" else 0), said
        if situation == "quoted arguments":
            assert '"my notebook.ipynb"' in said


def wine_prefix(factory) -> Path:
    return factory.getbasetemp() / "wine-prefix"


def windows(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")
