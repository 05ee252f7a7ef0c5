"""Streams that cannot be written: the run goes on, records and report are whole, and the exit code says the rest."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import for_stream
from crossfeed.display.streams import LossyStream
from crossfeed.loop import run
from crossfeed.store import open_store
from tests.faults.test_links import TEXT
from tests.runs import numbers

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
PROGRAM = [sys.executable, "-m", "crossfeed"]


@pytest.fixture
def described(tmp_path) -> list[str]:
    (tmp_path / "linked.yaml").write_text(TEXT)
    return [*PROGRAM, "run", str(tmp_path / "linked.yaml"), "--out", str(tmp_path / "run")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[tuple]:
    return numbers(run(Experiment.from_yaml(TEXT), open_store(tmp_path_factory.mktemp("alone") / "run")))


def is_whole(folder: Path, undisturbed: list[tuple]) -> bool:
    return numbers(open_store(folder).read_result("records")) == undisturbed and (folder / "report/index.html").exists()


# The shell's own words for streams, and what the command then ends with.
STREAMS = {
    ">/dev/full": 74,
    "2>/dev/full": 0,
    ">/dev/full 2>/dev/full": 74,
    "2>&-": 0,
    ">&- 2>&- <&-": 0,
    "| head -c 1": 141,
}


@pytest.mark.parametrize(("words", "code"), STREAMS.items(), ids=STREAMS)
def test_a_run_is_whole_whatever_becomes_of_its_streams(described, undisturbed, tmp_path, words, code):
    # The exit code of the command itself, also in a pipeline.
    line = f'( "$@"; echo $? >"$CODE" ) {words}' if words.startswith("|") else f'( "$@" {words}; echo $? >"$CODE" )'
    kept = tmp_path / "code"
    answer = subprocess.run(
        ["sh", "-c", line, "sh", *described], env=os.environ | {"CODE": str(kept)}, capture_output=True, check=False
    )
    said = answer.stderr.decode()
    assert int(kept.read_text()) == code, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert ("lost" in said) == (words == ">/dev/full")
    assert is_whole(tmp_path / "run", undisturbed)


def test_a_run_is_whole_after_its_terminal_was_closed(described, undisturbed, tmp_path):
    """Closed at the first sign of life: all that follows is written to a terminal that is gone."""
    seen, shown = os.openpty()
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(described, stdout=out, stderr=shown, start_new_session=True)
        os.close(shown)
        assert os.read(seen, 1)
        os.close(seen)
        assert process.wait(timeout=120) == 0
    assert "report" in (tmp_path / "out").read_text()
    assert is_whole(tmp_path / "run", undisturbed)


class Gone(io.StringIO):
    """A terminal that was closed after some writes."""

    writes = 3

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes -= 1
        if self.writes < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().write(text)


@pytest.mark.parametrize("writes", range(6))
def test_a_live_view_outlives_its_terminal(writes):
    stream = Gone()
    stream.writes = writes
    with for_stream(stream) as progress, progress.stage("update", 3) as advance:
        for _ in range(3):
            advance(1)
            progress.log("a line")
    assert stream.writes < 0


def test_a_stream_drops_all_from_the_first_failure_on_and_raises_what_is_not_its_own():
    stream = Gone()
    stream.writes = 1
    lossy = LossyStream(stream, pipes=True)
    for text in ("a", "b", "c"):
        assert lossy.write(text) == 1
    assert stream.getvalue() == "a"
    assert isinstance(lossy.lost, OSError)
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with pytest.raises(UnicodeEncodeError):
        LossyStream(ascii_only, pipes=True).write("é")
    closed = io.StringIO()
    closed.close()
    gone = LossyStream(closed, pipes=True)
    gone.write("x")
    gone.flush()
    assert isinstance(gone.lost, ValueError)


@pytest.mark.parametrize("pipes", [True, False])
def test_a_closed_pipe_is_dropped_or_raised(pipes):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stream = LossyStream(Closed(), pipes=pipes)
    if pipes:
        stream.write("x")
        assert isinstance(stream.lost, BrokenPipeError)
    else:
        with pytest.raises(BrokenPipeError):
            stream.write("x")
