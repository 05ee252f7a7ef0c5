"""The command line: it parses, calls the library, and turns errors into one clear paragraph.

Exit codes: 0 all went well; 1 some cells failed; 2 something that was given cannot be used; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys

from crossfeed.cli import evaluation, paper, runs, theory
from crossfeed.cli.app import app, complain
from crossfeed.errors import CrossfeedError

__all__ = ["app", "main"]

for _group in (runs, evaluation, theory, paper):
    app.add_typer(_group.commands)


def main() -> None:
    """Run the command line; every error raised on purpose becomes one paragraph and exit code 2."""
    try:
        app()
    except CrossfeedError as error:
        complain(str(error))
        sys.exit(2)
    except MemoryError:
        complain("there is not enough memory for this; lower n, rows or replicates")
        sys.exit(2)
