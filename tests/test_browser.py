"""The student kit and the instructor's tree in JupyterLab, driven in a real Chromium.

Screenshots are kept in test-artifacts/.
"""

from __future__ import annotations

import base64
import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from lab_in_chromium import chromium, find_chromium, lab, open_notebook, run_all_cells
from miniature import CHECKOUT
from nbformat.v4 import new_code_cell

from autograder.kit import FOLDER, build_kit
from autograder.release import release_units
from course_utils.tree import Tree

UNIT = "02_variational_autoencoders"
SCREENSHOTS = CHECKOUT / "test-artifacts"
QUICK = {"COURSE_DATASET": "digits", "COURSE_BUDGET": "quick"}
# What a minute of training would give the explorer's cell: the names it uses, with models trained for a second.
QUICK_MODELS = '''
data = datasets.load()
train_images, test_images = data.train_images.flatten(1), data.test_images.flatten(1)

def train(beta):
    def loss_function(model, x):
        logits, mu, logvar = model(x)
        return {"loss": vae_loss(logits, x, mu, logvar, elbo_beta(beta, 784))[0]}
    return training.fit(models.VAE(784, [100], 5, reparameterize=reparameterize), loss_function, train_images,
                        epochs=3, progress=False)

beta_runs = {label: train(float(label)) for label in ("0", "0.001", "10")}
'''

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def instructors_tree(tmp_path_factory) -> Path:
    """The configuration and unit 02, released, in a folder of its own."""
    root = tmp_path_factory.mktemp("instructor") / "course"
    shutil.copytree(CHECKOUT / "notebooks" / UNIT, root / "notebooks" / UNIT)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    release_units(Tree(root), [UNIT])
    return root


@pytest.fixture(scope="module")
def kit(instructors_tree, tmp_path_factory) -> Path:
    """The student kit, unpacked; beside the released notebook of unit 02 lies a solved one."""
    folder = tmp_path_factory.mktemp("student")
    with zipfile.ZipFile(build_kit(Tree(instructors_tree))) as packed:
        packed.extractall(folder)
    unit = folder / FOLDER / "notebooks" / UNIT
    released = nbformat.read(unit / f"{UNIT}.ipynb", as_version=4)
    source = nbformat.read(instructors_tree / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
    nbformat.write(solve(released, source), unit / "solved.ipynb")
    return folder / FOLDER


@pytest.fixture(scope="module")
def students_lab(kit):
    with lab(kit, QUICK) as address_and_token:
        yield address_and_token


@pytest.fixture
def page():
    """A page whose own errors fail the test at its end."""
    with chromium() as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield page
        errors = [error for error in errors if not re.search("favicon|Failed to load resource", error)]
        assert not errors, f"the browser's console shows errors: {errors}"


def solve(released: nbformat.NotebookNode, source: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The released notebook with every exercise solved, up to its first explorer, which gets quickly trained models."""
    solutions = {grade_id(cell): cell.source for cell in source.cells if grade_id(cell) and cell.cell_type == "code"}
    cells = []
    for cell in released.cells:
        tags = cell.metadata.get("tags", [])
        if "explore.latent_space" in cell.source and cell.cell_type == "code":
            cells += [new_code_cell(QUICK_MODELS, metadata={"tags": ["experiment"]}), cell]
            break
        if "experiment" in tags or "predict" in tags:
            continue
        cell.source = re.sub(r"^ *### (BEGIN|END) SOLUTION\n", "", solutions.get(grade_id(cell), cell.source), flags=re.M)
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells, metadata=released.metadata)


def grade_id(cell: nbformat.NotebookNode) -> str | None:
    """The name of a cell that is graded or to be filled in."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def keep_screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_a_fresh_unit_runs_up_to_the_first_use_of_a_stub_which_names_the_exercise(students_lab, kit, page):
    released = nbformat.read(kit / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
    exercises = {grade_id(cell) for cell in released.cells if cell.cell_type == "code" and grade_id(cell)}
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/{UNIT}.ipynb")
    run_all_cells(page)
    error = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error'], "
                         ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").last  # fmt: skip
    error.scroll_into_view_if_needed()
    keep_screenshot(page, "student-stub")
    named = re.search(r"NotImplementedError: (\w+): not written yet", error.inner_text())
    assert named and named[1] in exercises, f"the run ended with: {error.inner_text()[-200:]}"


def test_validate_tells_a_solved_unit_that_it_passes(students_lab, page):
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/solved.ipynb")
    page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
    instructors = page.locator(".lm-Menu-itemLabel", has_text=re.compile("Formgrader|Create assignment"))
    assert instructors.count() == 0, f"a student's menu offers {instructors.all_inner_texts()}"
    keep_screenshot(page, "student-menu")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Validate").click()
    dialog = page.locator(".jp-Dialog-content")
    dialog.wait_for(timeout=60_000)
    keep_screenshot(page, "student-validate")
    assert "Success! Your notebook passes all the tests." in dialog.inner_text()


def test_arrow_keys_on_a_slider_of_the_explorer_change_the_picture(students_lab, page):
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/solved.ipynb")
    run_all_cells(page)
    picture = page.get_by_role("img", name=re.compile("^Image decoded by"))
    picture.wait_for(timeout=30_000)
    picture.scroll_into_view_if_needed()
    before, alt = picture.get_attribute("src"), picture.get_attribute("alt")
    assert "then z" not in alt, f"showing the explorer has moved a slider: {alt}"
    keep_screenshot(page, "explorer")

    page.locator(".widget-slider:visible [role=slider]").nth(1).focus()  # the first is the one over beta
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("before => document.querySelector(\"img[alt^='Image decoded by']\").src !== before", arg=before)
    page.wait_for_timeout(300)
    keep_screenshot(page, "explorer-moved")
    after = picture.get_attribute("src")
    assert png(after) != png(before)
    assert re.search(r"then z\d moved to", picture.get_attribute("alt"))

    page.locator(".widget-slider:visible [role=slider]").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("after => document.querySelector(\"img[alt^='Image decoded by']\").src !== after", arg=after)
    assert "decoded by 0.001" in picture.get_attribute("alt")


def png(source: str) -> bytes:
    """The bytes behind a data URI, which must be those of a PNG."""
    kind, data = source.split(",", 1)
    decoded = base64.b64decode(data)
    assert kind == "data:image/png;base64" and decoded.startswith(b"\x89PNG"), f"not a PNG: {source[:60]}"
    return decoded


def test_an_instructors_lab_opens_without_questions_and_its_formgrader_lists_the_unit(instructors_tree, page):
    with lab(instructors_tree, QUICK) as (address, token):
        page.goto(f"{address}/lab?token={token}&reset")
        page.locator(".jp-Launcher").wait_for(timeout=60_000)
        page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
        page.get_by_text("Formgrader", exact=True).click()
        assignments = page.frame_locator("iframe[src*='formgrader']").get_by_role("link", name=UNIT)
        assignments.wait_for(timeout=30_000)
        keep_screenshot(page, "instructor-formgrader")
        assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0, "JupyterLab asks or announces something"
