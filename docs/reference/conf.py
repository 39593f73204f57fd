"""Sphinx: the reference of the public API, from its docstrings: sphinx-build -W docs/reference build/reference"""

project = "Latent space course"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
napoleon_numpy_docstring = False
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "200px"}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
exclude_patterns = ["build"]


def setup(app) -> None:
    """Docstrings write |z| and KL(q || p) as formulas have them; reStructuredText would take | for a substitution."""

    def escape(app, what, name, obj, options, lines: list[str]) -> None:
        lines[:] = [
            "``".join(part if i % 2 else part.replace("|", r"\|") for i, part in enumerate(line.split("``")))
            for line in lines
        ]

    app.connect("autodoc-process-docstring", escape)
