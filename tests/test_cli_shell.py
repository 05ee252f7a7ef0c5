"""Comfort at the shell: completion, JSON, colours, exit codes, help that can be read."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import crossfeed.cli
from crossfeed import open_store
from crossfeed.cli import app, completion
from crossfeed.description.reading import preset_names
from crossfeed.display.progress import for_stream

from .faults.cli import crossfeed_cli

PAGE = (Path(__file__).parents[1] / "docs" / "shell.md").read_text()
SCRIPT = Path(sys.executable).parent / "crossfeed"
COMMANDS = [[], *([name] for name in ("run", "show", "status", "report", "presets", "predict", "plan", "evaluate"))]
COMMANDS += [["collapse"], ["compare"], ["evidence"], ["doctor"], ["check"], ["explore"], ["forecast"]]
COMMANDS += [["extend"], ["slurm"], ["merge"], ["export"], ["import"], ["push"]]
COMMANDS += [["keys"], ["schema"]]
SMALL = ["--set", "generations=1", "--set", "n=20", "--set", "public.test=4", "--quiet"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """A folder with a run in ``runs/one``, of which one cell failed."""
    folder = tmp_path_factory.mktemp("shell")
    failing = ["--set", "ecosystem.alpha=0.5", "--set", "grid.learner.diverge_at=[null, 1]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "crossfeed.reporting.reports.report", lambda *_, **__: None
        )  # others look at it, and it takes time
        answer = crossfeed_cli("run", "fake", *SMALL, *failing, "--out", str(folder / "runs" / "one"), "--json")
    assert answer.code == 1, answer.err
    (folder / "runs" / "one.json").write_text(answer.out)
    return folder


def documented() -> dict[str, set[str]]:
    """Each command's keys, as the page says."""
    rows = re.findall(r"^\| (`crossfeed .*?) \| (`.*`) \|$", PAGE, flags=re.MULTILINE)
    return {
        name: set(re.findall(r"`(\w+)`", keys))
        for names, keys in rows
        for name in re.findall(r"crossfeed (\w+)", names)
    }


def document(*arguments: str, code: int = 0) -> dict:
    """The one JSON document that a command prints."""
    answer = crossfeed_cli(*arguments, "--json")
    assert answer.code == code, answer.err
    assert answer.out.count("\n") == 1
    return json.loads(answer.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_every_command_that_prints_a_table_speaks_json():
    from typer.main import get_command

    tables = {
        name
        for name, each in get_command(app).commands.items()
        if "--json" in {option for parameter in each.params for option in parameter.opts}
    }
    assert tables == documented().keys()
    assert get_command(app).commands.keys() - tables == {
        "report",
        "explore",
        "export",
        "import",
        "push",
        "slurm",
        "schema",
    }


def test_a_run_says_the_same_at_its_end_as_when_it_is_shown(ran):
    place = str(ran / "runs" / "one")
    shown = document("show", place)
    assert shown.keys() == documented()["show"]
    assert json.loads((ran / "runs" / "one.json").read_text()) == shown
    assert [cell["state"] for cell in shown["cells"]] == ["finished", "failed"]
    (failure,) = shown["failures"]
    assert failure["stage"] == "update"
    loss = [row for row in shown["changes"] if row["metric"] == "loss" and row["generation"] == 1]
    assert {row["initial_se"] for row in loss} == {None}, "one seed has no standard error, and JSON no nan"
    assert all(row["change"] == pytest.approx(row["final"] - row["initial"]) for row in loss)
    assert {row["verdict"] for row in loss} <= {"better", "worse", "same"}
    assert document("status", place).keys() == documented()["status"]


def test_what_a_growth_and_a_merger_print_is_on_the_page(ran, tmp_path):
    place = str(ran / "runs" / "one")
    assert document("extend", place, "--generations", "3", "--dry-run").keys() == documented()["extend"]
    other = str(tmp_path / "other")
    assert crossfeed_cli("run", f"{place}/experiment.yaml", "--set", "seeds=[1]", "--out", other, "-q").code == 1
    assert document("merge", place, other, "--out", str(tmp_path / "both"), "-q").keys() == documented()["merge"]


def test_benchmark_numbers_that_are_none_are_null(ran, monkeypatch):
    monkeypatch.setattr("crossfeed.evaluation.benchmarks.evaluate", lambda *_, **__: None)
    place = ran / "runs" / "one"
    row = {"cell": ["diverge_at-None_seed-0"], "task": ["sciq"], "value": [float("nan")], "stderr": [float("inf")]}
    open_store(place).write_result("evaluation", pa.table(row))
    found = document("evaluate", str(place), "--tasks", "sciq")
    assert found.keys() == documented()["evaluate"]
    assert (found["numbers"][0]["value"], found["numbers"][0]["stderr"]) == (None, None)
    (place / "evaluation.parquet").unlink()


def test_presets_as_json_are_whole_descriptions():
    found = document("presets")
    assert found.keys() == documented()["presets"]
    assert [each["name"] for each in found["presets"]] == list(preset_names())
    (one,) = document("presets", "fake")["presets"]
    assert one == found["presets"][preset_names().index("fake")]
    ids = json.loads((Path(__file__).parent / "golden" / "ids.json").read_text())
    assert one["id"] in json.dumps(ids)
    assert crossfeed_cli("presets", "nothing", "--json").code == 2


def test_theory_the_paper_and_the_doctor_speak_json(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    small = ["--set", "generations=1", "--set", "ecosystem.alpha=1", "--set", "ecosystem.beta=0.5"]
    predicted = document("predict", "figure-4", *small)
    assert predicted.keys() == documented()["predict"]
    assert {row["law"] for row in predicted["limit"]} == {"linear"}
    assert document("evidence").keys() == documented()["evidence"]
    monkeypatch.setattr("crossfeed.doctor.find_spec", lambda _: None)
    assert document("doctor").keys() == documented()["doctor"]
    assert not list(tmp_path.iterdir())


def test_plan_and_compare_have_the_documented_keys(monkeypatch):
    from crossfeed.reporting.paper import files as compare_files
    from crossfeed.reporting.theory import plain as theory_files

    for function, name in ((theory_files.plan_data, "plan"), (compare_files.comparison_data, "compare")):
        source = Path(function.__code__.co_filename).read_text().partition(f"def {function.__name__}")[2]
        body = source.partition("\ndef ")[0]
        keys = set(re.findall(r'^ {8}"(\w+)":', body, flags=re.MULTILINE))
        assert keys | ({"name", "id"} if name == "plan" else set()) == documented()[name]


def completed(shell: str, line: str) -> list[str]:
    """What a shell is offered after a line, through the protocol of its completion script."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (asked[shell] | {"_CROSSFEED_COMPLETE": f"complete_{shell}"}).items():
            patch.setenv(name, value)
        answer = crossfeed_cli()
    assert (answer.code, answer.err) == (0, "")
    return re.findall(r'"([^"]+)"', answer.out) if shell == "zsh" else answer.out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_values_complete_in_every_shell(shell, ran, monkeypatch):
    monkeypatch.chdir(ran)
    (ran / "quick.yaml").write_text("")
    (ran / "quick.txt").write_text("")
    assert completed(shell, "crossfeed run quick") == ["quickstart", "quick.yaml"]
    assert completed(shell, "crossfeed presets qui") == ["quickstart"]
    assert completed(shell, "crossfeed show ") == ["runs/one"]
    assert completed(shell, "crossfeed report runs/o") == ["runs/one"]
    assert completed(shell, f"crossfeed status {ran}/runs/") == [f"{ran}/runs/one"]
    assert completed(shell, "crossfeed explore runs/") == ["runs/one"]
    assert completed(shell, "crossfeed explore figure") == ["figure-2", "figure-4"]
    assert completed(shell, "crossfeed compare --paper 2") == ["2a", "2b", "2c"]
    assert completed(shell, "crossfeed run fake --executor r") == ["ray"]
    assert completed(shell, "crossfeed run fake --track t") == ["tensorboard", "trackio"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_for_every_shell_are_shown(shell):
    if not SCRIPT.exists() or not Path("/proc").is_dir():
        pytest.skip("needs the installed command, and /proc for a shell of another name")
    inner = f"{SCRIPT} --show-completion; exit $?"
    answer = subprocess.run(
        ["bash", "-c", f"exec -a {shell} bash -c '{inner}'"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "_CROSSFEED_COMPLETE" in answer.stdout
    assert f"complete_{shell}" in answer.stdout


def test_bash_itself_completes(ran):
    if not SCRIPT.exists():
        pytest.skip("needs the installed command")
    ask = 'COMP_WORDS=(crossfeed show runs/); COMP_CWORD=2; _crossfeed_completion crossfeed; echo "${COMPREPLY[@]}"'
    script = f'eval "$(_CROSSFEED_COMPLETE=source_bash crossfeed)"; {ask}'
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        ["bash", "-c", script], cwd=ran, capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | {"PATH": path},
    )  # fmt: skip
    assert answer.stdout.split() == ["runs/one"], answer.stderr


def test_completing_loads_nothing_heavy(ran):
    code = "import sys; from crossfeed.cli import main\ntry: main()\nexcept SystemExit: pass\nprint(*sys.modules)"
    asked = {"COMP_WORDS": "crossfeed run qui", "COMP_CWORD": "2", "_CROSSFEED_COMPLETE": "complete_bash"}
    answer = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['crossfeed']\n" + code],
        cwd=ran, env=os.environ | asked, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    completions, modules = answer.stdout.split("\n", 1)
    assert completions == "quickstart"
    assert not {name.split(".")[0] for name in modules.split()} & {
        "pandas", "torch", "numpy", "pyarrow", "matplotlib", "scipy", "yaml", "bokeh",
    }  # fmt: skip


def test_what_cannot_be_listed_completes_to_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert completion.runs("no/such/folder/") == []
    assert completion.runs("") == []
    assert completion.descriptions("no/such/x") == []


@pytest.mark.parametrize(
    ("given", "coloured", "styled"),
    [
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_are_where_they_are_wanted(ran, monkeypatch, given, coloured, styled):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (given | {"TERM": "xterm-256color"}).items():
        monkeypatch.setenv(name, value)
    out = crossfeed_cli("show", str(ran / "runs" / "one")).out
    assert bool(re.search(r"\x1b\[(\d+;)*3\d", out)) is coloured
    assert ("\x1b[" in out) is styled
    assert "\x1b" not in crossfeed_cli("show", str(ran / "runs" / "one"), "--json").out


def test_a_log_file_gets_plain_lines_whatever_is_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    log = io.StringIO()
    with for_stream(log) as progress, progress.stage("cells", 3):
        progress.log("t=1/1")
    assert log.getvalue() == "[  0:00] t=1/1\n"


def test_the_page_and_the_program_have_the_same_exit_codes():
    codes = sys.modules["crossfeed.cli.app"]
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)}
    assert table == {
        0,
        codes.NOT_ALL_WELL,
        codes.UNUSABLE,
        codes.BUG,
        codes.UNPRINTED,
        codes.STOPPED,
        codes.CLOSED_PIPE,
    }


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (RuntimeError, 70), (MemoryError, 2)])
def test_however_a_command_ends_its_code_says_so(monkeypatch, error, code):
    def fail(*_):
        raise error("by the test")

    monkeypatch.setattr("crossfeed.exact.prediction.predict", fail)
    answer = crossfeed_cli("predict", "figure-4")
    assert answer.code == code
    assert answer.out == ""
    assert ("Traceback" in answer.err) == (code == 70)
    assert ("crossfeed doctor" in answer.err) == (code == 70)


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_a_reader_that_stops_reading_is_no_failure(ran, arguments):
    name, *rest = arguments
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfeed", name, str(ran / "runs" / "one"), *rest],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert errors == ""


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "crossfeed")
def test_help_reads_well_at_80_columns(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    out = crossfeed_cli(*words, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out, "something is cut"
    assert "Example" in out or words == []
    assert crossfeed_cli(*words, "-h").out == out


def test_every_command_is_looked_at():
    from typer.main import get_command

    assert set(get_command(crossfeed.cli.app).commands) == {name for words in COMMANDS for name in words}
