"""The command as a person types it, where it ends at once: what it refuses, and in which words."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crossfeed.cli import app
from crossfeed.cli import explorer as explore
from crossfeed.errors import CrossfeedError, MissingDependency


def refused(*arguments):
    answer = CliRunner().invoke(app, ["explore", "--no-browser", *map(str, arguments)])
    assert isinstance(answer.exception, CrossfeedError), answer
    return str(answer.exception)


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("--port", port) == (
            f"--port {port}: is taken by another program; give another, or leave it out for one that is free"
        )


def test_without_bokeh_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(explore, "find_spec", lambda name: None)
    answer = CliRunner().invoke(app, ["explore"])
    assert isinstance(answer.exception, MissingDependency)
    assert str(answer.exception) == "the explorer needs Bokeh: pip install 'crossfeed[explore]'"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fake"], "learner: exact theory is of linear models"),
        (["figure-5"], "'figure-5' is neither a preset nor a file"),
        (["--set", "ecosystem.alpha=1"], "--set ecosystem.alpha=1: of what?"),
        (["figure-2", "--set", "ecosystem.alpha=2"], "ecosystem.alpha: "),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, said):
    assert refused(*arguments).startswith(said)


def test_a_folder_without_a_run_and_a_run_that_is_set_are_refused(tmp_path):
    assert "not a crossfeed run" in refused(tmp_path)
    assert "is a run, which is shown as it is" in refused(tmp_path, "--set", "n=3")


def test_the_command_loads_no_bokeh_before_it_is_called_and_theory_loads_no_torch():
    code = (
        "import sys, crossfeed.cli\n"
        "assert 'bokeh' not in sys.modules\n"
        "import crossfeed.explorer.theory_page, crossfeed.explorer.run_page, crossfeed.explorer.sliders as s\n"
        "s.first_start()\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'torch', 'transformers', 'matplotlib', 'sklearn'})\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
