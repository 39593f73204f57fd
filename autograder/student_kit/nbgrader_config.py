"""nbgrader in the student kit: the Validate button leaves the experiments out, so that it answers quickly."""

c = get_config()  # noqa: F821 (given by traitlets)

c.Validator.Execute.timeout = 300
c.Validator.Execute.skip_cells_with_tag = "experiment"
c.Execute.extra_arguments = ["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"]
# Waits for a cell with a client that no lost wake-up holds up.
c.AsyncKernelManager.client_class = "course_utils.cli.kernel_client.KernelClient"
