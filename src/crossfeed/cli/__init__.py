"""The command line.

Commands parse arguments, call the library and print its results; every error raised on purpose is printed as one
paragraph. Exit codes: 0 success, or stopped by SIGTERM with all that is finished kept; 1 finished, but some cells
failed, or the doctor found a problem; 2 an argument or a file cannot be used; 70 a bug in crossfeed, with a traceback;
74 what was to be printed is lost; 130 stopped by Ctrl-C; 141 the reader of the output is gone.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from pathlib import Path
from typing import Final

import typer

from crossfeed.cli import (
    cluster,
    collapse,
    doctor,
    evaluation,
    explorer,
    forecasts,
    growth,
    keys,
    paper,
    plans,
    runs,
    sharing,
    theory,
)
from crossfeed.cli.app import BUG, CLOSED_PIPE, STOPPED, UNPRINTED, UNUSABLE, app, complain
from crossfeed.display.addresses import masked
from crossfeed.display.formatting import reason
from crossfeed.display.streams import LossyStream, open_standard_streams
from crossfeed.errors import CrossfeedError
from crossfeed.interrupts import raise_again

__all__ = ["app", "main"]

# Objects allocated between two collections of garbage. Libraries that are loaded and figures that are drawn are a
# million objects, of which nothing can be freed yet; Python's usual 700 take a tenth of the time of a command.
_ALLOCATED: Final = 20_000

for _group in (
    runs,
    growth,
    keys,
    cluster,
    collapse,
    evaluation,
    forecasts,
    theory,
    plans,
    explorer,
    paper,
    sharing,
    doctor,
):
    app.add_typer(_group.commands)


def main() -> None:
    """Run the command line; print every error raised on purpose as one paragraph.

    A terminal that was closed or a disk that is full ends no run: what was to be printed is lost, which exit code 74
    says where it was standard output and all else went well. A stream that was closed before is as the null device.
    """
    open_standard_streams()
    streams = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        out = LossyStream(streams[0] or nowhere, pipes=False)
        sys.stdout = out
        sys.stderr = LossyStream(streams[1] or nowhere, pipes=True)
        try:
            code = _main()
            out.flush()
            if out.lost is not None:
                complain(f"what was to be printed is lost: standard output cannot be written ({reason(out.lost)})")
                code = code or UNPRINTED
        except BrokenPipeError:
            code = CLOSED_PIPE
        finally:
            sys.stdout, sys.stderr = streams
    sys.exit(code)


def _main() -> int:
    """Run the command line and return its exit code."""
    gc.set_threshold(_ALLOCATED)
    try:
        # By its name however it was started: completion's variable, and what a shell completes, are named after it.
        with raise_again():
            app(prog_name="crossfeed")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except CrossfeedError as error:
        complain(str(error))
        return UNUSABLE
    except MemoryError:
        complain("there is not enough memory for this; lower n, rows or replicates")
        return UNUSABLE
    except KeyboardInterrupt:  # where no command handles it
        return STOPPED
    except Exception:
        typer.echo(masked(traceback.format_exc()), err=True)
        complain("this is a mistake in crossfeed itself; please report it with the lines above and `crossfeed doctor`")
        return BUG
    return 0
