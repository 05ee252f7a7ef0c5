"""The command line.

Commands parse arguments, call the library and print its results; every error raised on purpose is printed as one
paragraph. Exit codes: 0 success; 1 finished, but some cells failed, or the doctor found a problem; 2 an argument or a
file cannot be used; 70 a bug in crossfeed, with a traceback; 130 stopped by Ctrl-C; 141 the reader of the output is
gone.
"""

from __future__ import annotations

import gc
import sys
import traceback
from typing import Final

from crossfeed.cli import doctor, evaluation, explorer, paper, runs, theory
from crossfeed.cli.app import BUG, STOPPED, UNUSABLE, app, complain
from crossfeed.errors import CrossfeedError

__all__ = ["app", "main"]

# Objects allocated between two collections of garbage. Libraries that are loaded and figures that are drawn are a
# million objects, of which nothing can be freed yet; Python's usual 700 take a tenth of the time of a command.
_ALLOCATED: Final = 20_000

for _group in (runs, evaluation, theory, explorer, paper, doctor):
    app.add_typer(_group.commands)


def main() -> None:
    """Run the command line; print every error raised on purpose as one paragraph."""
    gc.set_threshold(_ALLOCATED)
    try:
        app()
    except CrossfeedError as error:
        complain(str(error))
        sys.exit(UNUSABLE)
    except MemoryError:
        complain("there is not enough memory for this; lower n, rows or replicates")
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:  # where no command handles it
        sys.exit(STOPPED)
    except Exception:
        traceback.print_exc()
        complain("this is a mistake in crossfeed itself; please report it with the lines above and `crossfeed doctor`")
        sys.exit(BUG)
