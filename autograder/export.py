"""``nbgrader export`` without a harm to grades.csv, which is `course grade`'s: the table has another name here."""

from __future__ import annotations

from nbgrader.plugins import CsvExportPlugin
from traitlets import Unicode


class CsvExport(CsvExportPlugin):
    """nbgrader's own table, in another file where none is named."""

    to = Unicode("grades-nbgrader.csv", help="Where to write the table.").tag(config=True)
