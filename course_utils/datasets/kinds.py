"""What a file is, by its first bytes, for messages about files that are not what they should be."""

from __future__ import annotations

_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x07\x08", "one part of a zip archive that was split"),
    (b"\x1f\x8b", "a gzip file (.gz, .tgz)"),
    (b"BZh", "a bzip2 file (.bz2)"),
    (b"\xfd7zXZ\x00", "an xz file (.xz)"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file (.zst)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive (.7z)"),
    (b"Rar!\x1a\x07", "a RAR archive (.rar)"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)
_TEXT = ((b"<!doctype html", b"<html"), b"<?xml", b"{", b"[")


def kind_of(beginning: bytes) -> str | None:
    """``a RAR archive (.rar)`` and the like, from the first 512 bytes of a file; None where they tell nothing."""
    if not beginning:
        return "an empty file"
    if not beginning.strip(b"\0"):
        return "nothing but zeros, as a download leaves that reserved its space and broke off"
    if beginning[257:262] == b"ustar":
        return "a tar archive (.tar)"
    for signature, name in _SIGNATURES:
        if beginning.startswith(signature):
            return name
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    pages, xml, *json = _TEXT
    if text.startswith(pages):
        return "a web page, such as one that asks to log in"
    if text.startswith(xml):
        return "an XML page, such as a server's message of an error"
    if text.startswith(tuple(json)):
        return "JSON, such as a server's message of an error"
    return None
