"""``nbgrader export`` without a harm to grades.csv, which is `course grade`'s: the table has another name here."""

from __future__ import annotations

from nbgrader.api import Gradebook
from nbgrader.plugins import CsvExportPlugin

FILE = "grades-nbgrader.csv"


class CsvExport(CsvExportPlugin):
    """nbgrader's own table, in another file where none is named."""

    def export(self, gradebook: Gradebook) -> None:
        self.to = self.to or FILE
        super().export(gradebook)
