"""install.py: what is installed where, with which of pip's settings; what it says when it cannot; how it goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from miniature import CHECKOUT

from course_utils.system import environment as environments
from course_utils.system import install, installer, machine

PROGRAM = Path(install.__file__)
NO_NETWORK = "NewConnectionError: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution"


@pytest.mark.parametrize(
    "said, expected",
    [
        (NO_NETWORK, "cannot be reached"),
        ("error: Request failed\n  Caused by: dns error\n  Caused by: failed to lookup address", "cannot be reached"),
        ("ProxyError('Cannot connect to proxy.', timeout('timed out'))", "proxy refuses"),
        ("SSLCertVerificationError: certificate verify failed: self-signed certificate in chain", "SSL_CERT_FILE"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: Failed to install: torch\n  Caused by: No space left on device (os error 28)", "disk is full"),
        ("ERROR: [Errno 13] Permission denied: '/opt/x'", "cannot be written"),
        ("OSError: [Errno 30] Read-only file system: '/mnt/kit'", "cannot be written"),
        ("ERROR: No matching distribution found for torch==2.14.1", "has no torch==2.14.1"),
        ("Because torch==2.14.1 has no wheels with a matching platform tag", "has no torch==2.14.1"),
        ("Because soupsieve was not found in the package registry and ...", "has no soupsieve"),
        ("something new", ""),
    ],
)
def test_a_failure_has_its_cause_in_one_line(said, expected):
    told = installer.cause(said)
    assert expected in told and "\n" not in told
    assert bool(expected) == bool(told)


@pytest.mark.parametrize(
    "processor, library, version, expected",
    [
        ("x86_64", "glibc", "2.36", ""),
        ("aarch64", "glibc", "2.28", ""),
        ("x86_64", "glibc", "2.17", "glibc 2.28"),
        ("x86_64", "", "", "without glibc"),
        ("armv7l", "glibc", "2.36", "armv7l"),
    ],
)
def test_a_linux_without_torch_is_told_what_works(processor, library, version, expected):
    told = machine.unsupported_linux(processor, library, version)
    assert expected in told and bool(expected) == bool(told)


@pytest.mark.parametrize(
    "processor, version, translated, expected",
    [
        ("arm64", "14.2", "", ""),
        ("arm64", "13.6", "", "macOS 14"),
        ("x86_64", "14.2", "0", "Intel processors"),
        ("x86_64", "14.2", "1", "not"),
    ],
)
def test_a_mac_without_torch_is_told_what_works(monkeypatch, processor, version, translated, expected):
    asked = subprocess.CompletedProcess([], 0, stdout=translated + "\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: asked)
    told = machine.unsupported_mac(processor, version)
    assert expected in told and bool(expected) == bool(told)


def test_every_refusal_of_a_platform_names_another_way(monkeypatch):
    monkeypatch.setattr(machine.platform, "system", lambda: "Windows")
    monkeypatch.setattr(machine.platform, "machine", lambda: "ARM64")
    assert "WSL" in machine.unsupported() and "JupyterHub" in machine.unsupported()
    monkeypatch.setattr(machine.platform, "machine", lambda: "AMD64")
    assert machine.unsupported() == ""


@pytest.mark.parametrize(
    "root",
    [
        r"C:\Users\anna-katharina.musterfrau\OneDrive - Universität Beispielstadt\Dokumente\Semester 5\course-student-kit",
        r"C:\Users\student\OneDrive\Desktop\course-student-kit",
        r"C:\Users\student\Downloads\course-student-kit (1)\course-student-kit",
    ],
)
def test_usual_folders_are_short_enough_for_windows(root):
    user = "\\".join(root.split("\\")[:3])
    assert machine.longer_than_windows_allows(rf"{user}\AppData\Local\lsc\12345678-py313", root) == ""


def test_a_folder_too_deep_for_windows_is_told():
    place, deep = r"C:\Users\a\AppData\Local\lsc\12345678-py313", "C:\\" + "deeper\\" * 22
    assert "Move the folder" in machine.longer_than_windows_allows(place, deep)
    assert "COURSE_VENV" in machine.longer_than_windows_allows(deep, "C:\\kit")


def test_the_longest_paths_are_known():
    packages = Path(next(p for p in sys.path if p.endswith("site-packages")))
    files = (path.relative_to(packages) for path in packages.rglob("*") if "nvidia" not in path.parts[-8:])
    kept = [
        str(p) for p in files if p.parts[0] not in ("playwright", "triton", "cuda") and "__pycache__" not in p.parts
    ]
    assert max(map(len, kept)) <= machine.LONGEST_IN_PACKAGES, max(kept, key=len)
    units = [path.name for path in (CHECKOUT / "notebooks").iterdir()]
    longest = max(len(f"notebooks/{unit}/.ipynb_checkpoints/{unit}-checkpoint.ipynb") for unit in units)
    assert longest <= machine.LONGEST_IN_KIT


def test_only_sensible_settings_of_pip_are_used():
    lines = [
        ":env:.user='1'",
        "global.target='/x'",
        "install.prefix='/y'",
        "global.index-url='https://one'",
        "global.extra-index-url='https://two\\nhttps://three'",
        ":env:.index-url='https://four'",
        "global.proxy='http://p:1'",
    ]
    settings = machine.sensible_pip_settings(lines)
    assert settings.keys() == {"index-url", "extra-index-url", "proxy"} and settings["index-url"] == "https://four"
    given = machine.pip_settings_for_uv(settings)
    assert given["UV_DEFAULT_INDEX"] == "https://four" and given["UV_INDEX"] == "https://two https://three"
    assert given["HTTPS_PROXY"] == "http://p:1"


def test_variables_that_lead_elsewhere_are_not_passed_on(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 70)
    deep.mkdir()
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("TMPDIR", str(deep))
    assert not {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "TMPDIR"} & machine.clean_environment().keys()


def make_course(root: Path, kit: bool) -> Path:
    """A course whose one dependency is tiny, with the real install.py."""
    for name in ("install.py", "kit_update.py", "environment.py", "installer.py", "machine.py"):
        target = root / "course_utils/system" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROGRAM.with_name(name), target)
    (root / "course_utils/__init__.py").touch()
    (root / "course_utils/cli.py").write_text(
        "import json, os, sys, course_utils\n"
        "print(json.dumps([sys.argv[1:], course_utils.__file__, sys.prefix, sys.flags.safe_path, os.getcwd()]))\n"
    )
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling>=1.27"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{machine.NAME}"\nversion = "1"\nrequires-python = ">=3.11,<3.15"\n'
        'dependencies = ["iniconfig"]\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["course_utils"]\n'
    )
    pins = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in pins if not line.startswith("torch")]  # so that little disk is asked for
    (root / "constraints.txt").write_text("\n".join(pins) + "\n")
    if kit:
        about = {"course": "latent-space-course", "version": "1", "units": {}, "files": {}}
        (root / "kit.json").write_text(json.dumps(about))
    return root


def environment(root, kit, monkeypatch, tmp_path, **variables):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_VENV", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return environments.Environment(root, kit)


@pytest.mark.skipif(os.name != "posix", reason="the cache folder's name is another elsewhere")
def test_where_the_packages_go(monkeypatch, tmp_path):
    checkout = make_course(tmp_path / "checkout", kit=False)
    assert environment(checkout, False, monkeypatch, tmp_path).place == checkout / ".venv"
    kit = make_course(tmp_path / "kit", kit=True)
    other = make_course(tmp_path / "other kit", kit=True)
    first = environment(kit, True, monkeypatch, tmp_path).place
    if sys.platform == "linux":
        assert (tmp_path / "cache") in first.parents
    assert environment(other, True, monkeypatch, tmp_path).place == first, "kits of one list share their packages"
    (other / "constraints.txt").write_text("iniconfig==1.1.1\n")
    assert environment(other, True, monkeypatch, tmp_path).place != first
    (kit / ".venv").mkdir()
    assert environment(kit, True, monkeypatch, tmp_path).place == kit / ".venv", "an old kit keeps what it has"
    chosen = environment(kit, True, monkeypatch, tmp_path, COURSE_VENV=str(tmp_path / "mine"))
    assert chosen.place == tmp_path / "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(installer.Refused, match="other things"):
        environment(kit, True, monkeypatch, tmp_path, COURSE_VENV=str(tmp_path / "mine"))


def test_little_disk_is_refused_with_what_is_needed_where(monkeypatch, tmp_path):
    here = environment(make_course(tmp_path / "kit", kit=True), True, monkeypatch, tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9e9, 9e9, 1e9))
    for system, needed in (("darwin", "2 GB"), ("linux", "6.5 GB")):
        monkeypatch.setattr(machine.sys, "platform", system)
        assert f"need {needed}" in machine.too_little_disk(here.place, here._has_torch())
    installed = here.place / "lib/python3.11/site-packages/torch-2.14.1+cpu.dist-info"
    installed.mkdir(parents=True)
    (installed / "RECORD").touch()
    here.constraints.write_text("torch==2.14.1\n")
    assert machine.too_little_disk(here.place, here._has_torch()) == ""


def test_a_package_with_a_missing_or_short_file_is_not_whole(tmp_path):
    record = tmp_path / "p-1.dist-info" / "RECORD"
    record.parent.mkdir()
    (tmp_path / "p.py").write_text("x = 1\n")
    record.write_text("p.py,sha256=x,6\np-1.dist-info/RECORD,,\n__pycache__/p.pyc,,\n")
    assert environments.whole(record)
    (tmp_path / "p.py").write_text("x")
    assert not environments.whole(record)
    (tmp_path / "p.py").unlink()
    assert not environments.whole(record)


def test_one_start_at_a_time_installs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(machine, "cache", lambda: tmp_path)
    order = []

    def other():
        with environments.lock(tmp_path / "place"):
            order.append("second")

    with environments.lock(tmp_path / "place"):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(1.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"] and "waiting for it" in capsys.readouterr().err


def test_what_an_installer_does_is_shown(capsys):
    assert (
        installer.activity("  Downloading torch-2.14.1-cp313-none-macosx_14_0_arm64.whl (79.1 MB)")
        == "Downloading torch (79.1 MB)"
    )
    assert installer.activity("Collecting numpy>=2 (from -r x)") == "Collecting numpy>=2 (from"
    assert installer.activity("Resolved 139 packages in 2s") == "Resolved 139 packages"
    assert installer.activity("  note: nothing") == ""


@pytest.fixture(scope="module")
def index():
    """Skips where the package index cannot be reached."""
    asked = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--retries",
        "0",
        "--timeout",
        "20",
        "iniconfig",
    ]
    here = Path(os.environ.get("TMPDIR", "/tmp")) / f"index-{os.getpid()}"
    done = subprocess.run([*asked, "--dest", here], capture_output=True, text=True)
    shutil.rmtree(here, ignore_errors=True)
    if done.returncode:
        pytest.skip("the package index cannot be reached")


def start(root, *arguments, cwd=None, **variables):
    command = [sys.executable, "-I", str(root / "course_utils/system/install.py"), *arguments]
    env = os.environ | variables
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd or root, timeout=300)


@pytest.mark.skipif(os.name != "posix", reason="makes environments as POSIX has them")
@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_install_start_move_copy_and_mend(index, tmp_path, installer):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "pip.conf").write_text("[global]\nuser = true\nprefix = /nowhere/at/all\n[install]\ntarget = /nowhere\n")
    settings = {
        "PIP_CONFIG_FILE": str(bad / "pip.conf"),
        "PIP_USER": "1",
        "PIP_TARGET": str(bad),
        "PIP_ROOT": str(bad),
        "PYTHONPATH": str(bad),
        "PYTHONHOME": str(bad),
        "COURSE_INSTALLER": installer,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path / ("long" * 30)),
    }
    settings |= {name: value for name, value in os.environ.items() if name in ("UV_CACHE_DIR",)}
    root = make_course(tmp_path / "my course (ä)", kit=False)
    first = start(root, "doctor", "a b", **settings)
    assert first.returncode == 0, first.stderr
    arguments, package, prefix, safe, _ = json.loads(first.stdout)
    assert arguments == ["doctor", "a b"] and package == str(root / "course_utils/__init__.py") and safe
    assert prefix == str(root / ".venv") and [path.name for path in bad.iterdir()] == ["pip.conf"]

    begun = time.monotonic()
    again = start(root, **settings)
    assert again.returncode == 0 and again.stderr == "", again.stderr
    assert time.monotonic() - begun < 5

    offline = settings | {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    moved = tmp_path / "moved"
    root.rename(moved)
    done = start(moved, **offline)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1:3] == [str(moved / "course_utils/__init__.py"), str(moved / ".venv")]
    script = subprocess.run([moved / ".venv/bin/pip", "--version"], capture_output=True, text=True)
    assert script.returncode == 0 and str(moved) in script.stdout, script.stderr

    copy = tmp_path / "copy"
    shutil.copytree(moved, copy, symlinks=True)
    assert json.loads(start(copy, **offline).stdout)[1] == str(copy / "course_utils/__init__.py")
    assert json.loads(start(moved, **offline).stdout)[1] == str(moved / "course_utils/__init__.py")

    linked = make_course(tmp_path / "linked", kit=False)
    (linked / ".venv").symlink_to(moved / ".venv")
    refused = start(linked, **offline)
    assert refused.returncode == 1 and "belong to" in refused.stderr and refused.stderr.count("\n") == 1

    packages = next((moved / ".venv/lib").glob("python3*/site-packages"))
    (packages / "iniconfig/__init__.py").unlink()  # as an interrupted installation leaves it
    (moved / ".venv" / environments.STAMP).unlink()
    assert start(moved, **settings).returncode == 0
    assert (packages / "iniconfig/__init__.py").stat().st_size > 0


@pytest.mark.skipif(os.name != "posix", reason="makes environments as POSIX has them")
def test_two_kits_share_packages_and_each_uses_its_own_course_utils(index, tmp_path):
    settings = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    kits = [make_course(tmp_path / name, kit=True) for name in ("one", "two")]
    for kit in (*kits, kits[0]):
        done = start(kit, cwd=tmp_path, **settings)
        assert done.returncode == 0, done.stderr
        arguments, package, prefix, _, here = json.loads(done.stdout)
        assert arguments == ["lab"] and package == str(kit / "course_utils/__init__.py") and here == str(kit)
        assert str(tmp_path / "cache") in prefix
    assert len(list((tmp_path / "cache" / machine.NAME / "environments").glob("*-py3*"))) == 1


@pytest.mark.skipif(os.name != "posix", reason="makes environments as POSIX has them")
def test_without_a_network_it_says_so_in_one_line_and_goes_on_later(index, tmp_path):
    root = make_course(tmp_path / "kit", kit=True)
    settings = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_RETRIES": "1"}
    dead = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_CACHE_DIR": "1"}
    failed = start(root, **settings, **dead, COURSE_INSTALLER="pip")
    last = failed.stderr.splitlines()[-1]
    assert failed.returncode == 1 and "cannot be reached" in last and last.startswith("course: "), failed.stderr
    assert start(root, **settings).returncode == 0
