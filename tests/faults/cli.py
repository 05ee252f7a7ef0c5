"""Commands run in this process, with a watch over them."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import crossfeed.cli

__all__ = ["Answer", "accept", "check_refused", "check_tame", "crossfeed_cli", "empty_report", "watched"]

_PATIENCE = 60.0
_MOST_WORDS = 12_000


class Hang(BaseException):
    """Nothing of the program's own may catch it."""


class Accepted(BaseException):
    """Raised in place of running, where it is enough to know that an experiment would be run."""


@dataclass(frozen=True)
class Answer:
    """What a command did.

    Attributes:
        code: Its exit code; None if it ended in any other way.
        out: What it printed.
        err: What it complained of, or a traceback.
    """

    code: int | None
    out: str
    err: str


@contextlib.contextmanager
def watched(seconds: float = _PATIENCE) -> Iterator[None]:
    """Give up on what hangs."""

    def give_up(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def crossfeed_cli(*arguments: str) -> Answer:
    """Run a command as its entry point does."""
    out, err = io.StringIO(), io.StringIO()
    code: int | None = 0
    argv, sys.argv = sys.argv, ["crossfeed", *arguments]
    try:
        with watched(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            crossfeed.cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Accepted:
        pass
    except (Exception, Hang):
        code = None
        err.write(traceback.format_exc())
    finally:
        sys.argv = argv
    return Answer(code, out.getvalue(), err.getvalue())


def accept(*_: object, **__: object) -> None:
    """Stands for running: what was given has been understood."""
    raise Accepted


def empty_report(run: object, folder: Path, figure_width: float | None = None) -> Path:
    """Stands for writing a report: an empty page, for drawing its figures takes seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text("a page")
    return folder / "index.html"


def check_refused(answer: Answer, words: tuple[str, ...]) -> None:
    """One paragraph that names what was wrong, and moves no cursor."""
    assert answer.code == 2, answer.err[-2000:]
    for word in words:
        assert word in answer.err
    check_tame(answer)


def check_tame(answer: Answer) -> None:
    assert "Traceback" not in answer.out + answer.err
    assert len(answer.out + answer.err) < _MOST_WORDS
    assert not [c for c in answer.out + answer.err if c != "\n" and not c.isprintable()]
