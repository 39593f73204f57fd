"""The `course` command, and what only the command needs."""

from __future__ import annotations


def main() -> None:
    """Run the command line; see `app.main`."""
    from .app import main

    main()
