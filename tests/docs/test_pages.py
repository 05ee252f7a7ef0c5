"""Every page's descriptions, commands and programs, one after the other in one folder, as a reader goes through them.

Whole descriptions become the files that they name, commands after a ``$`` are run, programs are run in one namespace;
what the page says that they print is what they print.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossfeed import Experiment, Run, open_store, run
from crossfeed.cli import app
from crossfeed.description.reading import read_preset
from tests.docs.blocks import (
    PAGES,
    ROOT,
    Block,
    blocks,
    commands_in,
    described,
    is_excerpt,
    name_of,
    write_descriptions,
)

LIVE = {
    name_of(page): page
    for page in PAGES
    if any(
        not each.why_not and not is_excerpt(each.text) and (each.language == "python" or "\n" in each.text.strip())
        for each in blocks(page, "python", "console")
    )
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A finished run of fake models."""
    place = tmp_path_factory.mktemp("ran") / "run"
    run(Experiment.from_yaml(read_preset("fake"), ("generations=2", "n=40")), open_store(str(place)))
    return place


def _mine(folder: Path) -> None:
    """The experiment `mine` is of two large models: here it is one of models of single words."""
    (folder / "mine.yaml").write_text(read_preset("fake").replace("generations: 5", "generations: 1"))
    shutil.rmtree(folder / "runs" / "mine")


def _readme(folder: Path) -> None:
    """`mine`, and the linear regressions of the tutorial."""
    _mine(folder)
    (linear,) = [block.text for block in blocks(ROOT / "docs" / "tutorial.md", "yaml") if described(block)[1]]
    (folder / "linear.yaml").write_text(linear.replace("replicates: 1000", "replicates: 10"))


def _languages(folder: Path) -> None:
    """Runs of the preset languages with models of single words in place of its own."""
    words = {"source": "fake", "words": ["un", "deux", "trois", "quatre"]}
    for place, seed in (("runs/languages", 0), ("runs/languages-1", 1)):
        told = Experiment.from_yaml(read_preset("languages")).model_dump(mode="json")
        told |= {"learner": {"kind": "fake"}, "public": words, "tasks": dict.fromkeys(told["tasks"], words)}
        told |= {"n": 20, "initial_n": None, "pool_size": None, "generations": 1, "seeds": [seed]}
        run(Experiment.model_validate(told | {"metrics": {"completion_loss": {}}}), open_store(str(folder / place)))


PREPARED = {"README.md": _readme, "docs/how-to/commands.md": _mine, "docs/languages.md": _languages}


def _unreported(_: Run, folder: Path, figure_width: float | None = None) -> Path:
    """In place of a report, which has tests of its own and takes longer than all else that the pages do."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "index.html"


@pytest.mark.parametrize("page", LIVE)
def test_a_page_does_what_it_says(page, ran, tmp_path, monkeypatch, capsys):
    shutil.copytree(ran, tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("crossfeed.reporting.html.write_report", _unreported)
    write_descriptions(LIVE[page], tmp_path)
    PREPARED.get(page, lambda folder: None)(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    found = blocks(LIVE[page])
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.why_not or is_excerpt(block.text):
            continue
        if block.language == "python":
            capsys.readouterr()
            exec(compile("\n" * block.line + block.text, page, "exec", dont_inherit=True), names)
            if after is not None and after.language == "text" and after.follows(block):
                assert_shown(capsys.readouterr().out, after.text, block)
        if block.language == "console":
            for command in commands_in(block):
                answer = CliRunner().invoke(app, list(command.words[1:]))
                assert answer.exit_code == 0, f"{block.name}: {command}: {answer.output}"
                assert_shown(answer.stdout, command.printed, block)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def assert_shown(printed: str, shown: str, block: Block) -> None:
    """Every line that the page shows is printed, in that order and side by side; ``...`` stands for lines left out."""
    lines = [line.rstrip() for line in printed.splitlines()]
    at = 0
    for piece in re.split(r"^\.\.\.$", shown, flags=re.M):
        wanted = [line.rstrip() for line in piece.strip("\n").splitlines()]
        starts = [i for i in range(at, len(lines) - len(wanted) + 1) if lines[i : i + len(wanted)] == wanted]
        missing = [line for line in wanted if line not in lines]
        assert starts, f"{block.name}: not printed: {missing or wanted}; printed:\n{printed}"
        at = starts[0] + len(wanted)


def test_the_columns_that_the_pages_promise_are_there(ran):
    told = re.findall(
        r"^\| ((?:`[\w.]+`(?:, )?)+) \|", _section("docs/reference/run-folder.md", "records.parquet"), re.M
    )
    names = [name for row in told for name in re.findall(r"`([\w.]+)`", row)]
    assert [*names, "point"] == list(Run.load(ran).records.columns)


def _section(page: str, title: str) -> str:
    root = Path(__file__).parents[2]
    return (root / page).read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
