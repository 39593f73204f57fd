"""Every submission of an export is collected or listed, whatever the platform, the packing and the student do."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import zipfile
from pathlib import Path

import nbformat
import pytest
from miniature import make_tree
from platform_exports import PACKINGS, SHAPES, Person, own_zip, unpacked, zip_in_zip, zipped

from autograder.collect import ROSTER, collect, read_roster
from course_utils.cli.handin import MOST_BYTES
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT, NEXT = "01_double", "02_other"
NAMES = ["Ada Lovelace", "Jürgen Groß", "O'Neil, Ann-Marie", "李小龙", "CON", "Ada Lovelace", "E" * 120, "Zoë 🦊 Ünal"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree") / "course")


@pytest.fixture
def tree(place, tmp_path):
    """The course without submissions, made once and linked: collecting writes to submitted/ alone."""
    root = tmp_path / "course"
    root.mkdir()
    for path in place.iterdir():
        (root / path.name).symlink_to(path)
    return Tree(root)


def notebook(place: Path, author: str, unit: str = UNIT) -> bytes:
    content = nbformat.read(place / "notebooks" / unit / f"{unit}.ipynb", as_version=4)
    content.cells[0].source = f"# {author}"
    return nbformat.writes(content).encode()


def in_many_ways(place: Path, index: int, unit: str) -> tuple[dict[str, bytes], bytes | None]:
    """What one student hands in, and what must come in of it; None: nothing can, and the student is listed."""
    right, other = notebook(place, f"student {index}", unit), notebook(place, "x", NEXT if unit == UNIT else UNIT)
    notes = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    return [
        ({f"{unit}.ipynb": right}, right),
        ({"homework.ipynb.txt": right, "helper.py": b"x = 1"}, right),
        ({"zz notes.ipynb": notes, "Hausübung.json": right}, right),
        ({f"{unit}.ipynb": other, "mine.ipynb": right}, right),
        ({"essay.pdf": b"%PDF-1.4 of " + str(index).encode()}, None),
        ({f"{unit}.ipynb": other}, None),
        ({f"{unit}.ipynb": right[: len(right) // 2]}, right[: len(right) // 2]),
        ({"hw.zip": own_zip({"what ever.ipynb": right, "timestamp.txt": b"2020-01-01 00:00:00 UTC"})}, right),
    ][index % 8]


def make_class(place: Path, turn: int, unit: str, first_number: int) -> tuple[list[Person], dict[int, bytes | None]]:
    people, wanted = [], {}
    for index in range(4):
        files, expected = in_many_ways(place, turn + index * 3, unit)
        name = NAMES[(turn * 3 + index) % len(NAMES)]
        name = name if name.strip("E") else f"{name[:60]}{turn}"
        people.append(Person(name, 500 + index, first_number + index, files))
        wanted[index] = expected
    return people, wanted


def everything(tree: Tree) -> dict[str, bytes]:
    root = tree.root / "submitted"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


VARIANTS = [
    (shape, packing, turn)
    for turn, (shape, packing) in itertools.product(range(4), itertools.product(SHAPES, PACKINGS))
]


@pytest.mark.parametrize(("shape", "packing", "turn"), VARIANTS)
def test_nothing_is_lost_and_everybody_is_named(place, tree, tmp_path, shape, packing, turn):
    turn = turn + 2 * list(SHAPES).index(shape) + list(PACKINGS).index(packing)
    people, wanted = make_class(place, turn, UNIT, 1000)
    source = PACKINGS[packing](SHAPES[shape](people), tmp_path / "export.zip")
    result = collect(tree, UNIT, source)
    collected = [data for data in wanted.values() if data is not None]
    assert result.complete and result.submissions == len(people), result
    assert len(result.students) == len(collected) and len(result.without) == len(people) - len(collected), result
    came = [(tree.root / "submitted" / folder / UNIT / f"{UNIT}.ipynb").read_bytes() for folder in result.students]
    assert sorted(came) == sorted(collected)
    assert all(any(line.startswith(folder) for line in result.left_out) for folder in result.without), result
    assert not any(b"2020" in data for name, data in everything(tree).items() if name.endswith("timestamp.txt"))
    before = everything(tree)
    again = collect(tree, UNIT, source)
    assert (again.students, again.left_out, everything(tree)) == (result.students, result.left_out, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_next_units_export_finds_the_same_folders(place, tree, tmp_path, shape):
    def hand_in(unit, numbers):
        return [
            Person(name, 500 + index, numbers + index, {"work.ipynb": notebook(place, name, unit)})
            for index, name in enumerate(["Ada Lovelace", "Jürgen Groß", "Zoë Ünal"])
        ]

    anonymous = "blind" in shape
    first = collect(tree, UNIT, zipped(SHAPES[shape](hand_in(UNIT, 1000)), tmp_path / "first.zip"))
    second = collect(
        tree, NEXT, zipped(SHAPES[shape](hand_in(NEXT, 1000 if anonymous else 1002)), tmp_path / "second.zip")
    )
    assert set(first.students) == set(second.students) and len(first.students) == 3


@pytest.mark.parametrize("shape", [name for name in SHAPES if "folders" not in name or "moodle" in name])
def test_two_of_one_name_stay_two_and_are_found_again(place, tree, tmp_path, shape):
    def export(unit, order):
        people = [Person("Ada Lovelace", 500 + n, 1000 + n, {"w.ipynb": notebook(place, f"{n}", unit)}) for n in order]
        return zipped(SHAPES[shape](people), tmp_path / f"{unit}.zip")

    collect(tree, UNIT, export(UNIT, [1, 2]))
    collect(tree, NEXT, export(NEXT, [2, 1]))
    folders = sorted(path for path in (tree.root / "submitted").iterdir() if path.is_dir())
    assert len(folders) == 2
    for folder in folders:
        texts = {nbformat.read(folder / unit / f"{unit}.ipynb", as_version=4).cells[0].source for unit in (UNIT, NEXT)}
        assert len(texts) == 1, folder


def moodle(place, *people: tuple[str, int], unit: str = UNIT):
    return SHAPES["moodle_folders"](
        [Person(n, 0, i, {"w.ipynb": notebook(place, f"{n} {i}", unit)}) for n, i in people]
    )


def test_who_cannot_be_told_from_a_namesake_gets_a_folder_of_their_own(place, tree, tmp_path):
    collect(tree, UNIT, zipped(moodle(place, ("Ada", 11), ("Ada", 12), ("Bob", 13)), tmp_path / "1.zip"))
    result = collect(tree, NEXT, zipped(moodle(place, ("Ada", 31), ("Bob", 11), unit=NEXT), tmp_path / "2.zip"))
    assert sorted(result.students) == ["Ada 31", "Bob"] and any("which Ada" in note for note in result.notes)
    assert (tree.root / "submitted" / "Ada 12" / UNIT).is_dir()


def test_another_number_in_the_same_assignment_is_another_person(place, tree, tmp_path):
    collect(tree, UNIT, zipped(moodle(place, ("Ada", 11)), tmp_path / "1.zip"))
    result = collect(tree, UNIT, zipped(moodle(place, ("Ada", 12)), tmp_path / "2.zip"))
    assert list(result.students) == ["Ada 12"]


def test_an_old_roster_is_carried_over(place, tree, tmp_path):
    (tree.root / "submitted" / "Ada").mkdir(parents=True)
    (tree.root / "submitted" / ROSTER).write_text('{"Ada": {"id": "500", "name": "ada"}, "Bo": 3}')
    collect(tree, UNIT, zipped({f"ada_500_7001_{UNIT}.ipynb": notebook(place, "a")}, tmp_path / "1.zip"))
    roster = read_roster(tree)
    assert list(roster) == ["Ada"] and roster["Ada"]["units"][UNIT]["attachment"] == "7001"


def test_an_interrupted_run_finds_the_folders_again(place, tree, tmp_path, monkeypatch):
    from autograder.collect import collecting

    export = zipped(moodle(place, ("Ada", 11), ("Ada", 12), ("Bob", 13)), tmp_path / "1.zip")
    with monkeypatch.context() as patch:
        patch.setattr(collecting, "remember", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect(tree, UNIT, export)
    assert sorted(collect(tree, UNIT, export).students) == ["Ada 11", "Ada 12", "Bob"]
    assert sorted(p.name for p in (tree.root / "submitted").iterdir() if p.is_dir()) == ["Ada 11", "Ada 12", "Bob"]


def test_a_damaged_roster_is_put_aside_and_people_keep_their_folders(place, tree, tmp_path):
    collect(tree, UNIT, zipped(moodle(place, ("Ada", 11)), tmp_path / "1.zip"))
    (tree.root / "submitted" / ROSTER).write_text("{broken")
    assert list(collect(tree, NEXT, zipped(moodle(place, ("Ada", 21), unit=NEXT), tmp_path / "2.zip")).students) == [
        "Ada"
    ]
    assert (tree.root / "submitted" / f"{ROSTER}.damaged").read_text() == "{broken"


def test_of_what_canvas_exports_again_the_newest_counts_and_an_older_export_replaces_nothing(place, tree, tmp_path):
    old, new = notebook(place, "old"), notebook(place, "new")
    both = zipped({f"ada_5_72_{UNIT}-1.ipynb": new, f"ada_5_71_{UNIT}.ipynb": old}, tmp_path / "both.zip")
    target = tree.root / "submitted" / "ada" / UNIT / f"{UNIT}.ipynb"
    assert any("handed in before" in line for line in collect(tree, UNIT, both).left_out) and target.read_bytes() == new
    with pytest.raises(CourseError, match="older than what was collected"):
        collect(tree, UNIT, zipped({f"ada_5_71_{UNIT}.ipynb": old}, tmp_path / "old.zip"))
    assert target.read_bytes() == new
    newest = zipped({f"ada_5_80_{UNIT}-2.ipynb": notebook(place, "3")}, tmp_path / "3.zip")
    assert any("replaces the notebook" in note for note in collect(tree, UNIT, newest).notes)


@pytest.mark.parametrize(
    ("shape", "stamp"),
    [("gradescope", "2026-01-31 23:00:00 UTC"), ("moodle_folders", None), ("canvas_late", None), ("canvas", None)],
)
def test_the_time_of_handing_in_is_the_platforms_or_none(place, tree, tmp_path, shape, stamp):
    people = [Person("Ada", 5, 6, {"w.ipynb": notebook(place, "a"), "timestamp.txt": b"2020-01-01"})]
    result = collect(tree, UNIT, zipped(SHAPES[shape](people), tmp_path / "1.zip"))
    path = next((tree.root / "submitted").rglob("timestamp.txt"), None)
    assert (path.read_text() if path else None) == stamp
    assert any("handed in late" in note for note in result.notes) == (shape == "canvas_late")
    assert any("mean something to the grader" in line for line in result.left_out)


@pytest.mark.parametrize("separator", [",", ";"])
def test_times_of_a_worksheet_beside_moodles_folders(place, tree, tmp_path, separator):
    rows = 'Identifier%sLast modified (submission)\r\nParticipant 11%s"Saturday, 31 January 2026, 11:59 PM"\r\n'
    rows = rows.replace("%s", separator)
    export = moodle(place, ("Ada", 11), ("Bob", 12)) | {"Grades.csv": rows.encode()}
    collect(tree, UNIT, zipped(export, tmp_path / "1.zip"))
    stamps = {path.parts[-3]: path.read_text()[:15] for path in (tree.root / "submitted").rglob("timestamp.txt")}
    assert list(stamps) == ["Ada"] and stamps["Ada"].startswith(("2026-01-31 ", "2026-02-01 "))


@pytest.mark.parametrize(
    "name",
    [
        "submission_secret.txt",
        "nbgrader_config.py",
        "sitecustomize.py",
        ".roster.json",
        "TIMESTAMP.TXT",
        "course_utils/__init__.py",
        "x.pth",
    ],
)
def test_what_means_something_to_the_grader_is_not_taken(place, tree, tmp_path, name):
    people = [Person("Ada", 5, 6, {f"{UNIT}.ipynb": notebook(place, "a"), name: b"1", "helper.py": b"2"})]
    result = collect(tree, UNIT, zipped(SHAPES["moodle_folders"](people), tmp_path / "1.zip"))
    assert result.students == {"Ada": [f"{UNIT}.ipynb", "helper.py"]} and any(name in x for x in result.left_out)


def test_one_whose_folder_is_in_the_way_is_named_and_the_others_come_in(place, tree, tmp_path):
    export = zipped(moodle(place, ("Ada", 11), ("Bob", 12)), tmp_path / "1.zip")
    collect(tree, UNIT, export)
    (tree.root / "submitted" / "Ada").rename(tmp_path / "away")
    (tree.root / "submitted" / "Ada").symlink_to(tmp_path)
    result = collect(tree, UNIT, export)
    assert list(result.students) == ["Bob"] and result.failed == ["Ada"] and not result.complete
    assert "in the way" in result.without["Ada"] and not (tmp_path / UNIT).exists()


def test_what_lies_beside_the_submissions_is_nobodys(place, tree, tmp_path):
    export = moodle(place, ("Ada", 11)) | {"grades.csv": b"a,b", "readme.txt": b"x"}
    result = collect(tree, UNIT, zipped(export, tmp_path / "1.zip"))
    assert result.submissions == 1 and len(result.left_out) == 2
    brightspace = SHAPES["brightspace"]([Person("Bob", 5, 6, {"w.ipynb": notebook(place, "b")})])
    result = collect(tree, UNIT, zipped(brightspace | {"index.html": b"x"}, tmp_path / "2.zip"))
    assert list(result.students) == ["Bob"] and not result.left_out


def test_a_downloaded_zip_within_the_folder_given(place, tree, tmp_path):
    source = zip_in_zip(moodle(place, ("Ada", 11), ("Bob", 12)), tmp_path / "1.zip")
    assert sorted(collect(tree, UNIT, source).students) == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("files", "students"),
    [
        (["ada.ipynb", "bob.ipynb"], ["ada", "bob"]),
        (["export/ada.ipynb", "export/bob.ipynb"], ["ada", "bob"]),
        (["ada/x.ipynb", "bob/code/x.ipynb"], ["ada", "bob"]),
        (["ada/01_double/01_double.ipynb", "bob/01_double/01_double.ipynb"], ["ada", "bob"]),
        (["submitted/ada/01_double/x.ipynb"], ["ada"]),
        (["a/ada/x.ipynb", "a/bob/x.ipynb", "b/carl/x.ipynb", "b/dan/x.ipynb"], ["ada", "bob", "carl", "dan"]),
        (["a/ada/x.ipynb", "b/ada/x.ipynb", "b/dan/x.ipynb"], ["a ada", "b ada", "dan"]),
        (["c/g/ada/hw/x.ipynb", "c/g/bob/hw/x.ipynb"], ["ada", "bob"]),
        (["ada/x.ipynb", "group/bob/x.ipynb", "group/carl/x.ipynb"], ["ada", "bob", "carl"]),
        (["ada/work.ipynb", "ada/work-Copy1.ipynb"], ["ada"]),
        (["Ada.ipynb", "ada.ipynb"], ["Ada", "ada (2)"]),
        (["export/01_double_ada.ipynb", "export/01_double_bob.ipynb"], ["01_double_ada", "01_double_bob"]),
        (["ada/01_double.ipynb", "ada/01_double final (2).ipynb"], ["ada"]),
        (["multi_feedback_u_9/S_Ada_a_1/x.ipynb", "multi_feedback_u_9/S_Bob_b_2/x.ipynb"], ["Ada S", "Bob S"]),
        (["S_Ada_a_1/my_own_folder_1/x.ipynb", "S_Bob_b_2/my_own_folder_2/x.ipynb"], ["Ada S", "Bob S"]),
    ],
)
def test_folders_of_folders(place, tree, tmp_path, files, students):
    export = {name: notebook(place, name) for name in files}
    for number, source in enumerate((zipped(export, tmp_path / "1.zip"), unpacked(export, tmp_path / "2.zip"))):
        result = collect(tree, UNIT, source)
        assert sorted(result.students) == students, number


def tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("etc")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    return packed.getvalue()


def test_archives_of_every_kind_and_names_that_only_say_archive(place, tree, tmp_path):
    def by(author: str) -> bytes:
        return notebook(place, author)

    handed = {
        "tgz": {"hw.tgz": tar({"hw/w.ipynb": by("tgz"), "hw/._w.ipynb": b"Mac", "../helper.py": b"x = 1"})},
        "tar in zip": {"hw.zip": own_zip({"hw.tar.gz": tar({"w.ipynb": by("tar in zip")})})},
        "gz": {"w.ipynb.gz": gzip.compress(by("gz"))},
        "renamed": {"w.ipynb.zip": by("renamed")},
        "rar": {"hw.rar": b"Rar!"},
        "broken": {"hw.tar.gz": b"broken"},
        "bomb": {"hw.gz": gzip.compress(bytes(MOST_BYTES + 2))},
    }
    people = [Person(name, 0, 10 + index, files) for index, (name, files) in enumerate(handed.items())]
    result = collect(tree, UNIT, zipped(SHAPES["moodle_folders"](people), tmp_path / "1.zip"))
    assert set(result.students) == {"tgz", "tar in zip", "gz", "renamed"}, result
    assert result.students["tgz"] == [f"{UNIT}.ipynb", "helper.py"]
    for name in result.students:
        assert (tree.root / "submitted" / name / UNIT / f"{UNIT}.ipynb").read_bytes() == by(name)
    assert "not opened here" in result.without["rar"] and "hw.tar.gz" in result.without["broken"]
    assert "MB" in result.without["bomb"] and set(result.failed) == {"broken", "bomb"} and not result.complete


def test_an_empty_folder_is_listed_and_what_lies_beside_is_nobodys(place, tree, tmp_path):
    files = SHAPES["ilias"]([Person("Ada", 5, 6, {"w.ipynb": notebook(place, "a")})])
    folder = "Abgaben/Bob_B_bob_6"
    more = {f"{folder}/": b"", f"{folder}/.DS_Store": b"x", "Abgaben/Unit 1.xlsx": b"PK", "__MACOSX/": b""}
    result = collect(tree, UNIT, zipped(files | more, tmp_path / "1.zip"))
    assert result.without == {folder: "nothing in it can be taken"} and result.submissions == 2 and result.complete
    assert any("Unit 1.xlsx: it lies beside" in line for line in result.left_out) and len(result.students) == 1


def test_logins_that_end_alike_stay_two_where_blackboard_gives_no_receipts(place, tree, tmp_path):
    def export(unit, *logins):
        files = {f"U_1_{who}_attempt_2026-01-31-23-59-00_w.ipynb": notebook(place, who, unit) for who in logins}
        return zipped(files, tmp_path / f"{unit}.zip")

    assert set(collect(tree, UNIT, export(UNIT, "jo_b", "ann_b")).students) == {"jo_b", "ann_b"}
    assert set(collect(tree, NEXT, export(NEXT, "ann_b", "jo_b", "carl")).students) == {"jo_b", "ann_b", "carl"}


def test_brightspace_names_hold_hyphens_and_the_time_is_read(place, tree, tmp_path):
    person = Person("Bob-Ann Smith-Jones", 5, 6, {"w.ipynb": notebook(place, "b")})
    files = SHAPES["brightspace"]([person])
    files |= {"6-4711 - Ada-Mae - Jan 31, 2026 1159 PM - w.ipynb": notebook(place, "a")}
    result = collect(tree, UNIT, zipped(files, tmp_path / "1.zip"))
    assert set(result.students) == {"Bob-Ann Smith-Jones", "Ada-Mae"}
    assert len(list((tree.root / "submitted").rglob("timestamp.txt"))) == 2


def test_of_numbered_versions_the_last_counts(place, tree, tmp_path):
    files = {f"Submitted files/{who}/U/Version {n}/w.ipynb": notebook(place, f"{n}") for who in "ab" for n in (2, 10)}
    result = collect(tree, UNIT, zipped(files, tmp_path / "1.zip"))
    assert set(result.students) == {"a", "b"} and all("handed in before" in line for line in result.left_out)
    assert (tree.root / "submitted" / "a" / UNIT / f"{UNIT}.ipynb").read_bytes() == notebook(place, "10")


def test_a_mac_that_does_not_say_that_names_are_utf8(place, tree, tmp_path):
    name = f"Jürgen_11_assignsubmission_file_/{UNIT}.ipynb"
    _without_flag(tmp_path / "1.zip", name.encode(), notebook(place, "a"))
    assert list(collect(tree, UNIT, tmp_path / "1.zip").students) == ["Jürgen"]


def _without_flag(path: Path, name: bytes, data: bytes) -> None:
    """A zip whose one name is bytes, with no word about their encoding."""

    class Raw(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):
            return name, 0

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(Raw("x"), data)
