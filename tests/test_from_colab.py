"""A notebook that was worked on in Colab is handed in and graded like any other, whatever Colab has made of it."""

from __future__ import annotations

import json
import os
import zipfile

import pytest
from miniature import make_tree
from student_tree import unpack_kit

from autograder.release import release_units
from autograder.repair import repair
from course_utils.cli.handin import parse_notebook, template_of
from course_utils.cli.submit import submit_unit
from course_utils.system.tree import Tree, notebook_path

UNIT = "01_double"
ANSWERS = {
    "double": "def double(x):\n    return 2 * x",
    "triple": "def triple(x):\n    return 3 * x",
    "q_double": "It.",
}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("course") / "tree"))
    release_units(tree, tree.units())
    return tree


@pytest.fixture
def kit(course, tmp_path):
    return Tree(unpack_kit(course.root, tmp_path))


def as_colab_saves_it(released: str, ids: bool, marks: bool, tags: bool) -> dict:
    """The solved notebook as Colab downloads it: format 4.0, its own metadata everywhere, an id in the metadata.

    ``ids``: cells keep the ids that they had. ``marks``: and the metadata of nbgrader. ``tags``: and their tags.
    """
    notebook = json.loads(released)
    notebook["nbformat_minor"] = 5 if ids else 0
    notebook["metadata"] = {
        "accelerator": "GPU",
        "colab": {"provenance": [{"file_id": "1x", "timestamp": 1}], "gpuType": "T4", "toc_visible": True, "name": "x"},
        "kernelspec": {"display_name": "Python 3", "name": "python3"},
        "language_info": {"name": "python"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"1": {"model_name": "HTMLModel", "state": {}}}},
    }
    for number, cell in enumerate(notebook["cells"]):
        nbgrader = cell["metadata"].get("nbgrader", {})
        cell["source"] = ANSWERS.get(nbgrader.get("grade_id"), "".join(cell["source"])).splitlines(keepends=True)
        if not ids:
            cell.pop("id", None)
        if not marks:
            cell["metadata"].pop("nbgrader", None)
        if not tags:
            cell["metadata"].pop("tags", None)
        cell["metadata"] |= {"id": f"aB3{number}xyz", "colab": {"base_uri": "https://localhost:8080/", "height": 35}}
        if cell["cell_type"] == "code":
            cell["metadata"]["outputId"] = "1e2b-44"
            cell["execution_count"] = number
            data = {"text/plain": ["2"], "application/vnd.google.colaboratory.intrinsic+json": {"type": "string"}}
            result = {"output_type": "execute_result", "metadata": {}, "execution_count": number, "data": data}
            stream = {"output_type": "stream", "name": "stdout", "text": ["hello\n"]}
            cell["outputs"] = [result | {"data": data}, stream]
    return notebook


@pytest.mark.parametrize("ids", [True, False], ids=["ids kept", "ids lost"])
@pytest.mark.parametrize("marks", [True, False], ids=["marks kept", "marks lost"])
@pytest.mark.parametrize("tags", [True, False], ids=["tags kept", "tags lost"])
def test_a_copy_from_colab_is_handed_in_and_found_whole(course, kit, tmp_path, capsys, ids, marks, tags):
    released = notebook_path(kit.source, UNIT).read_text(encoding="utf-8")
    copy = tmp_path / f"Copy of {UNIT}.ipynb"
    copy.write_text(json.dumps(as_colab_saves_it(released, ids, marks, tags), indent=2), encoding="utf-8")
    archive = submit_unit(kit, UNIT, copy, tmp_path)
    told = capsys.readouterr()
    assert "3 of 3 exercises are written" in told.out and "no longer in the notebook" not in told.err, told
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == [f"{UNIT}/{UNIT}.ipynb"]
        handed_in = packed.read(f"{UNIT}/{UNIT}.ipynb")
    repaired = repair(parse_notebook(handed_in, UNIT), template_of(course, UNIT), UNIT)
    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in repaired.notebook.cells}
    assert {name: cells[name].source for name in ANSWERS} == ANSWERS
    assert {"test_double", "test_triple"} <= cells.keys()


def test_a_newer_copy_beside_the_notebook_is_named(kit, tmp_path, capsys):
    path = notebook_path(kit.source, UNIT)
    copy = path.with_name(f"Copy of {UNIT}.ipynb")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, (path.stat().st_mtime + 60,) * 2)
    submit_unit(kit, UNIT, None, tmp_path)
    assert f"{copy.name} in the same folder is newer" in capsys.readouterr().err
    os.utime(copy, (path.stat().st_mtime - 60,) * 2)
    submit_unit(kit, UNIT, None, tmp_path)
    assert "newer" not in capsys.readouterr().err
