"""The command line: it parses, calls the library, and turns errors into one clear paragraph.

Exit codes: 0 all went well; 1 it was done, and some cells failed, or the doctor found something broken; 2 something
that was given cannot be used; 70 a mistake in crossfeed itself, with a traceback; 130 stopped by Ctrl-C; 141 nobody
reads on.
"""

from __future__ import annotations

import sys
import traceback

from crossfeed.cli import doctor, evaluation, paper, runs, theory
from crossfeed.cli import explorer as explore
from crossfeed.cli.app import BUG, STOPPED, UNUSABLE, app, complain
from crossfeed.errors import CrossfeedError

__all__ = ["app", "main"]

for _group in (runs, evaluation, theory, explore, paper, doctor):
    app.add_typer(_group.commands)


def main() -> None:
    """Run the command line; every error raised on purpose becomes one paragraph."""
    try:
        app()
    except CrossfeedError as error:
        complain(str(error))
        sys.exit(UNUSABLE)
    except MemoryError:
        complain("there is not enough memory for this; lower n, rows or replicates")
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:  # between two commands' own words for it
        sys.exit(STOPPED)
    except Exception:
        traceback.print_exc()
        complain("this is a mistake in crossfeed itself; please report it with the lines above and `crossfeed doctor`")
        sys.exit(BUG)
