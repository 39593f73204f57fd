"""The little that depends on where the code runs: in a notebook, a terminal, or CI."""

from __future__ import annotations

import sys


def in_notebook() -> bool:
    """True in a Jupyter kernel (JupyterLab, nbclient, Colab, VS Code), False in scripts and terminal IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def show_html(markup: str, *, plain: str) -> None:
    """Show ``markup`` in a notebook, or print ``plain`` elsewhere; ``plain`` is also the notebook's text form."""
    if not in_notebook():
        print(plain)
        return
    from IPython.display import display

    display({"text/html": markup, "text/plain": plain}, raw=True)
