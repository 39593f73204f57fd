"""The course on a JupyterHub: a real hub on the loopback, nbgrader's exchange, and everything that both sides click."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import nbformat
import pytest
from extra_environment import JUPYTERHUB, jupyter_paths, python_with
from miniature import CHECKOUT, make_tree
from student_tree import grade_id, make_instructors_tree, solve

from autograder.grades_file import read_grades
from autograder.hub import hub_files, write_files
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT = "02_variational_autoencoders"
COURSE_ID = "latent-spaces"
PATIENCE = 300  # seconds for anything that a server has to do; none takes more than 20 here

HUB_OF_THE_TEST = """
load_subconfig({snippet!r})
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{ports[1]}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.http_timeout = c.Spawner.start_timeout = {patience}
c.Spawner.env_keep = ["PATH", "LANG", "JUPYTER_PATH", "OPENBLAS_NUM_THREADS"]
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers"]}}
]
"""


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Hub:
    """A running hub, and what people do on it."""

    def __init__(self, folder: Path, python: Path, data: str | None) -> None:
        self.folder, self.python = folder, python
        self.homes, self.exchange = folder / "homes", folder / "exchange"
        self.course = make_instructors_tree(self.homes / "prof" / "course", UNIT)
        self.token = secrets.token_hex(16)
        ports = free_ports(3)
        self.address = f"http://127.0.0.1:{ports[0]}"
        self.exchange.mkdir()
        self.exchange.chmod(0o777)
        options = ["--instructor", "prof", "--exchange", self.exchange, *(["--data", data] if data else [])]
        self.said = self.run("hub", folder / "course-hub", *options)
        config = folder / "jupyterhub_config.py"
        proxy = shutil.which("configurable-http-proxy", path=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
        config.write_text(
            HUB_OF_THE_TEST.format(
                snippet=str(folder / "course-hub" / "jupyterhub_config.py"),
                ports=ports,
                proxy=proxy,
                homes=str(self.homes),
                python=str(python),
                patience=PATIENCE,
                token=self.token,
            )
        )
        environment = os.environ | jupyter_paths(python) | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"PYTHONPATH": str(CHECKOUT)}  # where the packages of the kit would be installed
        self.log = folder / "hub.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", "jupyterhub", "-f", config], cwd=folder, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.wait_for(lambda: self.api("GET", "/hub/api/")["version"])

    def stop(self) -> None:
        for name in ("ada", "bob", "prof"):
            try:
                self.api("DELETE", f"/hub/api/users/{name}/server")
            except (OSError, AssertionError):
                pass
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if found := condition():
                    return found
            except (OSError, AssertionError, KeyError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the hub does not answer:\n" + self.log.read_text(errors="replace")[-3000:])
            time.sleep(0.3)

    def api(self, method: str, path: str, body: dict | None = None):
        """The JSON answer to a request in the name of the test's service."""
        request = urllib.request.Request(
            self.address + urllib.parse.quote(path, safe="/?=&%"),
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:2000].decode()}") from None
        return json.loads(content) if content.strip().startswith((b"{", b"[")) else content.decode()

    def log_in(self, name: str) -> str:
        """Through the form, in a browser of its own: the page that the student lands on."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        form = opener.open(f"{self.address}/hub/login", timeout=PATIENCE).read().decode()
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', form)[1]
        fields = {"username": name, "password": "any", "_xsrf": xsrf}
        opener.open(f"{self.address}/hub/login?next=", urllib.parse.urlencode(fields).encode(), timeout=PATIENCE)
        self.wait_for(lambda: self.api("GET", f"/hub/api/users/{name}")["servers"][""]["ready"])
        return opener.open(f"{self.address}/user/{name}/lab", timeout=PATIENCE).read().decode()

    def run(self, *arguments: object) -> str:
        """`course` in the instructor's terminal."""
        command = [sys.executable, "-m", "course_utils.cli", "--root", self.course, *arguments]
        done = subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def assignments(self, name: str, action: str = "", **body: str):
        """What the panel of the assignment list does."""
        if not action:
            return self.api("GET", f"/user/{name}/assignments?course_id={COURSE_ID}")
        body = {"course_id": COURSE_ID, "assignment_id": UNIT} | body
        return self.api("POST", f"/user/{name}/assignments/{action}", body)

    def formgrader(self, action: str) -> dict:
        """What formgrader's buttons do."""
        done = self.api("POST", f"/user/prof/formgrader/api/assignment/{UNIT}/{action}", {})
        assert done["success"], done
        return done

    def notebook(self, name: str) -> str:
        return f"/user/{name}/api/contents/{UNIT}/{UNIT}.ipynb"

    def do(self, name: str, only: str | None = None) -> None:
        """Fill in the notebook's exercises, or one of them, and save it."""
        content = nbformat.from_dict(self.api("GET", self.notebook(name))["content"])
        solution = nbformat.read(self.course / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
        solution.cells = [cell for cell in solution.cells if only in (None, grade_id(cell))]
        solve(content, solution)
        self.api("PUT", self.notebook(name), {"type": "notebook", "format": "json", "content": content})

    def environment_of(self, name: str) -> dict[str, str]:
        """What a single-user server was started with; it belongs to this test."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if b"jupyterhub.singleuser" not in (process / "cmdline").read_bytes():
                    continue
                items = (process / "environ").read_bytes().decode().split("\0")
            except OSError:
                continue
            found = dict(item.split("=", 1) for item in items if "=" in item)
            if found.get("JUPYTERHUB_USER") == name and found["HOME"] == str(self.homes / name):
                return found
        raise AssertionError(f"no server of {name}")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    if not sys.platform.startswith("linux"):
        pytest.skip("nbgrader's exchange and this test's hub need Linux")
    python = python_with(tmp_path_factory.mktemp("environment") / "venv", JUPYTERHUB)
    running = Hub(tmp_path_factory.mktemp("hub"), python, os.environ.get("COURSE_DATA"))
    yield running
    running.stop()


def disabled_in(page: str) -> set[str]:
    """The extensions that a page of JupyterLab leaves out."""
    settings = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    return set(json.loads(settings[1])["disabledExtensions"])


def grades(hub: Hub, student: str) -> dict[str, float | None]:
    return {row.exercise: row.score for row in read_grades(hub.course / "grades.csv") if row.student == student}


def test_from_release_to_feedback(hub):
    assert "load_subconfig" in hub.said
    # assign and release
    hub.run("release", "02")
    pages = {name: hub.log_in(name) for name in ("prof", "ada", "bob")}
    hub.formgrader("release")
    assert (hub.exchange / COURSE_ID / "outbound" / UNIT / f"{UNIT}.ipynb").is_file()

    # each has the panels of their role, and what the kernel needs
    for name in ("ada", "bob"):
        with pytest.raises(AssertionError, match="404"):
            hub.api("GET", f"/user/{name}/formgrader")
        assert {f"@jupyter/nbgrader:{panel}" for panel in ("formgrader", "create-assignment")} < disabled_in(
            pages[name]
        )
    assert disabled_in(pages["prof"]) == {"@jupyter/nbgrader:course-list", "@jupyter/nbgrader:formgrader"}
    assert "Manage Assignments" in hub.api("GET", "/user/prof/formgrader")
    environment = hub.environment_of("ada")
    assert environment["COURSE_RUNS"] == f"~/{COURSE_ID}-runs" and environment["COURSE_BUDGET"] == "quick"
    assert str(hub.course) not in environment["PYTHONPATH"] and hub.environment_of("prof")["PYTHONPATH"].startswith(
        str(hub.course)
    )

    # list, fetch, do, submit
    listed = hub.assignments("ada")["value"]
    assert [(each["assignment_id"], each["status"]) for each in listed] == [(UNIT, "released")]
    for name in ("ada", "bob"):
        fetched = hub.assignments(name, "fetch")["value"]
        assert [each["status"] for each in fetched] == ["fetched"]
    hub.do("ada")
    (hub.homes / "ada" / UNIT / "runs").mkdir()
    (hub.homes / "ada" / UNIT / "runs" / "vae.safetensors").write_bytes(bytes(1000))
    assert hub.assignments("ada", "submit")["success"]

    # bob renames his notebook, is told so, puts it right, and hands in twice
    own, other = hub.homes / "bob" / UNIT / f"{UNIT}.ipynb", hub.homes / "bob" / UNIT / "mine.ipynb"
    own.rename(other)
    refused = hub.assignments("bob", "submit")
    assert not refused["success"] and "missing notebooks" in refused["value"]
    other.rename(own)
    assert hub.assignments("bob", "submit")["success"]
    hub.do("bob", only="kl_divergence")
    assert hub.assignments("bob", "submit")["success"]

    # collect, grade, and a third student who handed in by mail
    assert "2 collected" in hub.formgrader("collect")["log"]
    submitted = hub.course / "submitted"
    assert sorted(path.name for path in (submitted / "ada" / UNIT).iterdir()) == sorted(
        [f"{UNIT}.ipynb", "submission_secret.txt", "timestamp.txt"]
    )
    by_mail = submitted / "carl" / UNIT / f"{UNIT}.ipynb"
    by_mail.parent.mkdir(parents=True)
    shutil.copy(submitted / "bob" / UNIT / by_mail.name, by_mail)
    hub.run("grade", "02")
    full = {
        row.exercise: row.max_score
        for row in read_grades(hub.course / "grades.csv")
        if not row.exercise.startswith("q_")
    }
    assert {name: grades(hub, "ada")[name] for name in full} == full, "a right solution has all automatic points"
    assert 0 < sum(grades(hub, "bob")[name] for name in full) < sum(full.values())

    # the page of marking on the instructor's server
    desk = "/user/prof/course-mark/api"
    assert 'id="answer"' in hub.api("GET", "/user/prof/course-mark")
    (waiting,) = hub.api("GET", f"{desk}/units")
    place = {"unit": UNIT, "question": waiting["questions"][0]["question"]}
    first = hub.api("GET", f"{desk}/question?{urllib.parse.urlencode(place | {'names': '1'})}")["answers"][0]
    save = {key: first[key] for key in ("token", "version", "digest")}
    save["state"] = {"score": 1, "items": [], "comment": "Name the table."}
    done = hub.api("POST", f"{desk}/mark", place | {"saves": [save], "marker": "prof"})
    assert len(done["saved"]) == 1 and done["conflicts"] == [] and done["saved"][0]["by"] == "prof"
    again = hub.api("POST", f"{desk}/mark", place | {"saves": [save]})
    assert again["saved"] == [] and again["conflicts"][0]["state"]["score"] == 1, "the first mark is not overwritten"
    hub.wait_for(lambda: grades(hub, first["name"])[place["question"]] == 1)

    # feedback back to the student
    hub.run("feedback", "02")
    log = hub.formgrader("release_feedback")["log"]
    assert "carl did not hand in through the exchange" in log
    for name in ("ada", "bob"):
        listed = hub.assignments(name, "fetch_feedback")["value"]
        path = [
            s["local_feedback_path"] for each in listed for s in each.get("submissions", []) if s["has_local_feedback"]
        ]
        assert len(path) == 1, "the one that was graded has its feedback, an earlier one none"
        page = hub.api("GET", f"/user/{name}/files/{path[0]}/{UNIT}.html")
        wanted = f"{sum(score or 0 for score in grades(hub, name).values()):g}"
        assert wanted in page and "MARK SCHEME" not in page

    # handed in again after the feedback: the old page is not taken for the new submission's
    hub.do("bob")
    hub.assignments("bob", "submit")
    assert "1 collected, 1 had already, 0 failed" in hub.formgrader("collect")["log"]
    hub.run("feedback", "02")
    hub.formgrader("release_feedback")
    listed = hub.assignments("bob", "fetch_feedback")["value"]
    has = [s["has_local_feedback"] for each in listed for s in each.get("submissions", [])]
    assert has.count(True) == 1 and len(has) == 3
    hub.run("grade", "02")
    assert {name: grades(hub, "bob")[name] for name in full} == full
    assert grades(hub, first["name"])[place["question"]] == 1, "the mark is kept where the answer is the same"
    hub.run("feedback", "02")
    hub.formgrader("release_feedback")
    listed = hub.assignments("bob", "fetch_feedback")["value"]
    assert [s["has_local_feedback"] for each in listed for s in each.get("submissions", [])].count(True) == 2


def test_the_files_are_written_once_and_replaced_only_when_told(tmp_path):
    tree = Tree(make_tree(tmp_path / "course"))
    files = hub_files(tree, tmp_path / "hub", ["prof"])
    assert "autograder.marking.server" in files["instructor/jupyter_server_config.json"]
    assert not any("marking" in content for name, content in files.items() if not name.startswith("instructor/"))
    assert set(write_files(files, tmp_path / "hub").values()) == {"written"}
    assert set(write_files(files, tmp_path / "hub").values()) == {"unchanged"}
    mine = tmp_path / "hub" / "jupyterhub_config.py"
    mine.write_text(mine.read_text() + "# my own line\n")
    (tmp_path / "hub" / "student" / "nbgrader_config.py").unlink()
    with pytest.raises(CourseError, match="jupyterhub_config.py; nothing was written"):
        write_files(files, tmp_path / "hub")
    assert "my own line" in mine.read_text() and not (tmp_path / "hub" / "student" / "nbgrader_config.py").exists()
    assert write_files(files, tmp_path / "hub", overwrite=True)["jupyterhub_config.py"] == "replaced"
    assert "my own line" not in mine.read_text()
    for name, content in files.items():
        compile(content, name, "exec") if name.endswith(".py") else json.loads(content)
