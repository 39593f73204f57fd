"""JupyterLab as ``course lab`` starts it, and the system's Chromium looking at it; for tests and for pictures.

Screenshots are kept in test-artifacts/ of the checkout, which git ignores.
"""

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
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 60
SCREENSHOTS = Path(__file__).resolve().parent.parent / "test-artifacts"
# All cells stay in the page, so that a test finds those that are out of sight.
ALL_CELLS = '{"windowingMode": "none"}'


def find_chromium() -> str | None:
    """The system's Chromium or a relative of it; None where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@contextmanager
def lab(root: Path, environment: dict[str, str], at: tuple[str, str] = ("", "")) -> Iterator[tuple[str, str]]:
    """``course lab`` on the course folder ``root``, on a free port of the loopback: yields (address, token), ``at`` if
    given: where one was that is no more.

    The kernels import ``course_utils`` from ``root``. On leaving, the server stops and takes its kernels with it.
    """
    token, port = at[1] or secrets.token_hex(16), at[0].rpartition(":")[2] or _free_port()
    command = [sys.executable, "-m", "course_utils.cli", "lab", "--no-browser", "--port", str(port)]
    settings = {
        "JUPYTER_TOKEN": token,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")])),
        "IPYTHONDIR": str(root / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(root / ".jupyter"),
        "JUPYTER_DATA_DIR": str(root / ".jupyter-data"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / ".lab-settings"),
    }
    address = f"http://127.0.0.1:{port}"
    notebook_settings = root / ".lab-settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    notebook_settings.parent.mkdir(parents=True, exist_ok=True)
    notebook_settings.write_text(ALL_CELLS)
    with open(root / "lab.log", "wb") as log:
        server = subprocess.Popen(
            command, cwd=root, env=os.environ | settings | environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_until_it_answers(server, address, token, root / "lab.log")
            yield address, token
        finally:
            _stop(server)


@contextmanager
def chromium(width: int = 1400, height: int = 1000, scale: float = 1) -> Iterator:
    """A fresh page (playwright) of the system's Chromium, which keeps nothing when it closes.

    AssertionError at the end if anything in it, of any page, frame or window, asked another machine for something.
    """
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    held_back: list[str] = []  # by the page's policy or the browser's own rules, before anything was sent
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS))
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
            context.on("request", lambda request: asked.append(request.url))
            context.on("requestfailed", lambda r: held_back.append(r.url) if r.failure in ("csp", "origin") else None)
            page = context.new_page()
            page.on("websocket", lambda socket: asked.append(socket.url))
            yield page
        finally:
            browser.close()
    for url in held_back:
        asked.remove(url)
    assert not (elsewhere := [url for url in asked if leaves(url)]), f"other hosts are asked: {elsewhere[:5]}"


def leaves(url: str) -> bool:
    """Whether a request goes to another machine."""
    return not re.match(r"(data|blob|file|about|chrome|devtools):|(https?|wss?)://(127\.0\.0\.1|localhost)[:/]", url)


@contextmanager
def chromium_without_errors(*known: str, **window) -> Iterator:
    """``chromium`` (with its arguments), and at the end AssertionError if the pages' own scripts reported an error.
    ``known``: patterns of errors that are not ours."""
    with chromium(**window) as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield page
        errors = [each for each in errors if not re.search("|".join(("favicon|Failed to load resource", *known)), each)]
        assert not errors, f"the browser's console shows errors: {errors}"


def keep_screenshot(page, name: str, **options) -> None:
    """Keep what the page shows as test-artifacts/<name>.png."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)


def wait_until(page, true: str, seconds: float = 60) -> None:
    """Wait until an expression is true; also in a page whose policy forbids the way in which playwright waits."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(true):
        assert time.monotonic() < deadline, f"never: {true}"
        page.wait_for_timeout(50)


def hides_the_picture(page) -> list[str]:
    """Controls of the first cockpit that, scrolled into sight, put its picture out of sight."""
    found = []
    controls = page.locator(".cockpit").first.locator(".cockpit-columns :is(input, select, button), .cockpit-map")
    for control in (each for each in controls.all() if each.is_visible()):
        control.scroll_into_view_if_needed()
        control.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if not page.evaluate(_PICTURE_IS_SEEN):
            found.append(control.evaluate("(each) => each.outerHTML.slice(0, 100)"))
    return found


# The corners of the picture, a little inside, are what is on top there.
_PICTURE_IS_SEEN = """() => {
    const picture = document.querySelector(".cockpit-large"), box = picture.getBoundingClientRect();
    return [[box.left, box.top], [box.right, box.bottom]].every(([x, y], i) =>
        document.elementFromPoint(x + (i ? -3 : 3), y + (i ? -3 : 3)) === picture);
}"""


def serious_faults(page) -> list[str]:
    """What axe-core finds in the page that keeps people out."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def unseen_in_forced_colours(page, selector: str, *properties: str) -> list[str]:
    """Elements whose colour, by one of these CSS properties, is not that of text where the reader's own colours, here
    light on dark, take the place of a page's: SVG keeps what a page gives it."""
    page.emulate_media(forced_colors="active", color_scheme="dark")
    try:
        return page.evaluate(_UNSEEN, [selector, properties])
    finally:
        page.emulate_media(forced_colors="none", color_scheme="light")


_UNSEEN = """([selector, properties]) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = "CanvasText";
    const text = getComputedStyle(probe).color, found = [];
    probe.remove();
    for (const each of document.querySelectorAll(selector))
        for (const property of properties)
            if (getComputedStyle(each)[property] !== text) found.push(`${each.outerHTML.slice(0, 80)}: ${property}`);
    return found;
}"""


def nbgraders_menu(page) -> set[str]:
    """What JupyterLab's menu Nbgrader offers."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
    offered = set(page.locator(".lm-Menu-itemLabel").all_inner_texts()) - {""}
    page.keyboard.press("Escape")
    return offered


def open_welcome(page, address: str, token: str) -> None:
    """Follow the address that ``course lab`` prints, and wait for the welcome page, rendered."""
    page.goto(f"{address}/?token={token}")
    page.locator(".jp-MarkdownViewer table").wait_for(timeout=60_000)


def open_notebook(page, address: str, token: str, path: str) -> None:
    """Open a notebook, given by its path in the course folder, and wait until its kernel is idle."""
    page.goto(f"{address}/lab/tree/{path}?token={token}&reset")
    wait_until_open(page)


def wait_until_open(page) -> None:
    """Wait until the notebook is there and its kernel idle."""
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    wait_until_idle(page)


def wait_until_idle(page, seconds: float = 90) -> None:
    """Wait until the kernel is there with nothing left to do, and no cell waits for it."""
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=1000 * seconds)
    page.locator(".jp-InputPrompt", has_text="[*]").first.wait_for(state="detached", timeout=1000 * seconds)


def run_all_cells(page, seconds: float = 90) -> None:
    """Menu Run, Run All Cells; wait until all have run, or one has failed."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    page.wait_for_selector(".jp-InputPrompt:text-matches('\\\\[[0-9*]+\\\\]')", state="attached", timeout=20_000)
    wait_until_idle(page, seconds)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(server: subprocess.Popen, address: str, token: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"`course lab` did not answer; its log ends:\n{log.read_text(errors='replace')[-2000:]}")


def kill_lab(address: str, root: Path) -> None:
    """End the server at ``address`` as a machine that fails does: without a word to it."""
    place = "http://127.0.0.1:{port}"
    written = (json.loads(path.read_text()) for path in (root / ".jupyter-data" / "runtime").glob("jpserver-*.json"))
    pid = next(each["pid"] for each in written if place.format(**each) == address)
    os.kill(pid, signal.SIGKILL)


def _stop(server: subprocess.Popen) -> None:
    """Stop the server's process group: politely, so that it stops its kernels, and after ten seconds for good."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, stop)
        except ProcessLookupError:
            break
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            continue
        if not _group_lives(server.pid, seconds=10):
            break


def _group_lives(group: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True
