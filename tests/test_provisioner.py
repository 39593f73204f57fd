"""Sandboxed warm kernels, as nbclient and whatever else uses jupyter_client gets them."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerFactory
from nbformat.v4 import new_code_cell, new_notebook

from autograder.sandbox.client import probe

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernels are isolated on Linux")
STUDENT, INSTRUCTOR = "course-sandbox", "course-sandbox-instructor"


@contextmanager
def kernel(name: str, cwd, **environment: str):
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": name}
    manager.start_kernel(cwd=str(cwd), env={**os.environ, **environment})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        sockets = Path(manager.ip).parents[1]
        assert sockets.name.startswith("course-k-") and sockets.is_dir()
        manager.shutdown_kernel(now=True)
        assert not manager.is_alive(), "the kernel runs on after its shutdown"
        assert not sockets.exists(), f"left behind: {sockets}"


def run(client, code: str) -> tuple[str, list[dict]]:
    """What a cell printed, and its other outputs."""
    printed, shown = [], []

    def hear(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        elif message["msg_type"] in ("display_data", "execute_result", "error"):
            shown.append(message["content"])

    client.execute_interactive(code, timeout=60, output_hook=hear)
    return "".join(printed), shown


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def started(request, tmp_path_factory):
    """A kernel with its folder, at each level."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_ISOLATION", request.param)
        if probe() != request.param:
            pytest.skip(f"this machine does not have the level {request.param}")
        yield from start(tmp_path_factory)


def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unit") / "02_unit"
    folder.mkdir()
    (folder / "table.csv").write_text("1,2")
    (folder.parent / "secret").write_text("of others")
    with kernel(STUDENT, folder, MPLBACKEND="", COURSE_BUDGET="quick", SECRET="42") as (manager, client):
        yield folder, manager, client


def test_both_kinds_are_found_by_their_names():
    found = KernelProvisionerFactory.instance().get_provisioner_entries()
    assert {STUDENT, INSTRUCTOR} <= found.keys(), f"pip install -e . again: {found}"


def test_a_kernel_sees_a_copy_of_its_folder_and_nothing_beside_it(started):
    folder, _, client = started
    printed, _ = run(
        client,
        "import os; print(os.path.basename(os.getcwd()), open('table.csv').read())\n"
        "print('secret' in os.listdir('..'), os.environ.get('SECRET'), os.environ['COURSE_BUDGET'])\n"
        "open('table.csv', 'w').write('gone')",
    )
    assert printed.splitlines() == ["02_unit 1,2", "False None quick"]
    _, shown = run(client, f"open({str(folder.parent / 'secret')!r})")
    assert shown[0]["ename"] in ("FileNotFoundError", "PermissionError"), shown
    assert (folder / "table.csv").read_text() == "1,2"


def test_a_kernel_has_no_network_and_knows_no_law(started):
    _, shown = run(started[2], "import socket; socket.create_connection(('127.0.0.1', 80), 1)")
    assert shown[0]["ename"] in ("OSError", "PermissionError"), shown
    _, shown = run(started[2], "from course_utils.checks.engine.trusted import kl_terms")
    assert shown[0]["ename"] == "ModuleNotFoundError", shown


def test_figures_tables_and_results_appear(started):
    _, shown = run(started[2], "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()\n1 + 1")
    assert any("image/png" in output.get("data", {}) for output in shown), shown
    assert shown[-1]["data"]["text/plain"] == "2"


def test_an_interrupt_ends_a_cell_and_not_the_kernel(started):
    _, manager, client = started
    run(client, "x = 5")
    # without stop_on_error=False a kernel answers "aborted" to whatever it reads within the moment after the error
    asked = client.execute("import time\nwhile True: time.sleep(0.01)", stop_on_error=False)
    time.sleep(0.5)
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != asked:
        pass
    assert reply["content"].get("ename") == "KeyboardInterrupt", reply["content"]
    printed, _ = run(client, "print(x)")
    assert printed == "5\n"


def test_a_restarted_kernel_is_fresh_and_a_dead_one_is_noticed(tmp_path):
    with kernel(STUDENT, tmp_path) as (manager, client):
        run(client, "x = 5")
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        assert run(client, "print('x' in globals())")[0] == "False\n"
        client.execute("import os; os._exit(3)")
        until = time.monotonic() + 10
        while manager.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        assert not manager.is_alive(), "a kernel that has ended counts as alive"


def test_the_instructors_kind_judges_inside_and_reads_the_data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("data")
    with kernel(INSTRUCTOR, tmp_path, COURSE_DATA=str(tmp_path / "data")) as (_, client):
        printed, shown = run(
            client,
            "import os\nfrom course_utils import check\n"
            "print(open(os.environ['COURSE_DATA'] + '/x').read())\n"
            "check.elbo_beta(lambda beta_per_pixel, num_pixels: beta_per_pixel * num_pixels, points=4)",
        )
        assert printed == "data\n" and shown[-1]["data"]["text/plain"] == "4", (printed, shown)
        _, shown = run(client, "open(os.environ['COURSE_DATA'] + '/y', 'w')")
        assert shown and shown[0]["ename"] in ("OSError", "PermissionError"), shown


def test_nbclient_takes_them_by_the_environment_alone_and_leaves_nothing(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", STUDENT)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    notebook = new_notebook(cells=[new_code_cell("import torch, os\nos.path.basename(os.getcwd())")])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}, timeout=60).execute()
    assert notebook.cells[0].outputs[0]["data"]["text/plain"] == f"'{tmp_path.name}'"
    until = time.monotonic() + 5
    while (left := {p.pid for p in psutil.Process().children(recursive=True)} - before) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(left) <= 1, f"beside the warm process, which stays, there are left: {left}"
