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


class Line:
    """In a notebook one line of output that is replaced, so that a saved notebook keeps its last state only; elsewhere
    standard output."""

    def __init__(self) -> None:
        self._handle = None

    def write(self, text: str) -> None:
        """Show ``text`` in place of what was there."""
        if in_notebook():
            self._update(text.strip("\r\n "))
        else:
            sys.stdout.write(text)

    def finish(self, text: str) -> None:
        """The line that stays."""
        if in_notebook():
            self._update(text)
        else:
            print(text, flush=True)

    def _update(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
