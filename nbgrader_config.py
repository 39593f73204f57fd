"""nbgrader on the layout of this course, for `course`, the `nbgrader` commands and formgrader alike.

Each step is one small class; the lists below compose them. Steps of your own may be added to every list, before or
after these; `course` runs them, too. It refuses at its start what it could not obey, and settings that nothing knows.
"""

import os

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader import preprocessors as nbgrader

try:
    from autograder import feedback_page
    from autograder import preprocessors as ours
    from course_utils.system.stubs import ANSWER_STUB
except ModuleNotFoundError:
    # A Jupyter server whose Python lacks this course. An error here would leave nbgrader's defaults, by which a
    # submission runs unprotected; steps that are named and cannot be had end every command that needs them.
    class _Named(str):
        placeholder = "raise NotImplementedError()"

    class _Absent:
        def __getattr__(self, name):
            return _Named(f"autograder.preprocessors.{name}")

    ours, feedback_page, ANSWER_STUB = _Absent(), None, ""

c = get_config()  # noqa: F821 (given by traitlets)

c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.CourseDirectory.course_id = "latent-spaces"
c.CourseDirectory.source_directory = "notebooks"
c.CourseDirectory.release_directory = "release"
c.CourseDirectory.solution_directory = "solutions"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "runs", "*.safetensors"]

# Release: what students get.
c.ClearSolutions.code_stub = {"python": ours.NameStub.placeholder}
c.ClearSolutions.text_stub = ANSWER_STUB
c.GenerateAssignment.preprocessors = [
    ours.IncludeHeaderFooter,
    nbgrader.LockCells,
    nbgrader.ClearSolutions,
    ours.NameStub,
    nbgrader.ClearOutput,
    ours.CleanMetadata,
    nbgrader.CheckCellMetadata,
    nbgrader.ComputeChecksums,
    ours.SaveCells,
    nbgrader.ClearHiddenTests,
    nbgrader.ClearMarkScheme,
    nbgrader.ComputeChecksums,
    nbgrader.CheckCellMetadata,
]

# Solutions: the sources executed, for the instructor.
c.GenerateSolution.preprocessors = [
    ours.IncludeHeaderFooter,
    nbgrader.LockCells,
    nbgrader.ClearOutput,
    nbgrader.ClearMarkScheme,
    nbgrader.Execute,
    ours.CleanMetadata,
]

# Grading: what happens to a submission.
c.Autograde.sanitize_preprocessors = [
    ours.RepairSubmission,
    nbgrader.CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    ours.ExecuteSubmission,
    ours.RequireVerdict,
    nbgrader.SaveAutoGrades,
    ours.SettleGrades,
    nbgrader.AssignLatePenalties,
    nbgrader.CheckCellMetadata,
]

# Feedback: what students get back.
c.GenerateFeedback.preprocessors = [
    ours.GetMarks,
    nbgrader.ClearHiddenTests,
    ours.LeaveOutRubric,
    CSSHTMLHeaderPreprocessor,
]
c.GenerateFeedback.exporter_class = "autograder.feedback_page.FeedbackExporter"

# `nbgrader export` writes its table beside grades.csv, which is `course grade`'s.
c.ExportApp.plugin_class = "autograder.export.CsvExport"

# The exchange of a hub: links in it are not followed, and one student's trouble stops nobody else.
c.ExchangeFactory.collect = "autograder.exchange.Collect"
c.ExchangeFactory.release_feedback = "autograder.exchange.ReleaseFeedback"
# Formgrader: its page of a submission, in which nothing acts but formgrader itself and nothing comes from elsewhere.
if feedback_page is not None:
    feedback_page.configure_formgrader(c)

# Seconds per cell. Validate and autograding leave the experiments out, so that the rest answers quickly; solutions run
# everything and take what they take.
c.Execute.timeout = None
c.Execute.record_timing = False
c.ExecuteSubmission.timeout = 60
# One submission's budget: seconds by the clock for its cells, its calls and what is started again for them; megabytes
# of memory and of files. docs/grading.md has the rest: what may be handed in, and what is kept of its outputs.
c.ExecuteSubmission.total_timeout = 600
c.ExecuteSubmission.memory_mb = 3000
c.ExecuteSubmission.files_mb = 512
c.Validator.Execute.timeout = 300
c.Validator.Execute.skip_cells_with_tag = "experiment"

# The history of a kernel stays in memory, and its log (a warning about TCP on the loopback) out of the way.
c.Execute.extra_arguments = ["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"]

# Waits for a cell with a client that no lost wake-up holds up.
c.AsyncKernelManager.client_class = "course_utils.cli.kernel_client.KernelClient"
