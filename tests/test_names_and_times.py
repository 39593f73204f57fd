"""The border: names of files in any encoding and times of any kind are made safe once."""

from __future__ import annotations

import os

import pytest

from autograder.submissions import other_files
from course_utils.cli.handin import readable_name, safe_time, shown


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"plain.txt", "plain.txt"),
        ("Übung.txt".encode(), "Übung.txt"),
        ("Übung.txt".encode("latin-1"), "Übung.txt"),
        ("x’y.txt".encode("cp1252"), "x’y.txt"),
        (b"\x81.txt", "\ufffd.txt"),
    ],
)
def test_names_of_files_in_any_encoding_are_read(written, read):
    assert readable_name(os.fsdecode(written)) == read


def test_half_a_character_in_a_name_is_shown_and_a_line_stays_one():
    assert readable_name("a\ud83db\0c") == "a\ufffdbc"
    assert shown("a\nb\x1b[2J\ud83d") == "a?b?[2J\ufffd"


def test_two_names_that_read_alike_are_two_files_or_one_is_named(tmp_path):
    for name in (b"\x81.txt", b"\x8d.txt"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    files, notes = other_files(tmp_path)
    assert list(files) == ["\ufffd.txt"] and len(notes) == 1 and "\ufffd.txt was left out" in notes[0]


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "99999-01-01 00:00:00 UTC", "0001-01-01 00:00:00 +14:00", "\0", "2026-13-45", "\ud83d"],
)
def test_a_time_that_is_none_is_none(text):
    assert safe_time(text.encode("utf-8", "surrogatepass")) is None


@pytest.mark.parametrize(
    "data", [b"2026-01-31 23:59:00 UTC", b"\xef\xbb\xbf2026-01-31 23:59:00 UTC\r\n", b"2026-02-01 00:59:00 +01:00"]
)
def test_a_time_is_read_in_utc(data):
    assert str(safe_time(data)) == "2026-01-31 23:59:00"
