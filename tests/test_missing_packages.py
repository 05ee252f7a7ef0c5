"""Runs outlive the packages that made them: everything that reads a run works without, and only `run` asks for them."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tomllib
from functools import partial

import pytest
from rich.console import Console

from crossfeed import Experiment, MemoryStore, Run, compare, figures, open_store, plan, report, run
from crossfeed.description.missing import Missing
from crossfeed.description.reading import read_preset
from crossfeed.description.stored import read_stored
from crossfeed.errors import InvalidDescription, MissingDependency, StoreError
from crossfeed.records import state_scope_of
from crossfeed.reporting.terminal.run_data import run_data
from crossfeed.reporting.terminal.tables import render

from .faults.cli import crossfeed_cli
from .runs import numbers
from .test_extending import EXAMPLE, TOY, install

TOYS = {
    "crossfeed.metrics": {"toy": "toys_of_tests:ToySettings"},
    "crossfeed.learners": {"plaything": "toys_of_tests:PlaythingSettings"},
}
PLAYTHING = """
from typing import Literal
from crossfeed.learners.fake import FakeSettings

class PlaythingSettings(FakeSettings):
    kind: Literal["plaything"] = "plaything"
    springs: int = 2
"""


class Site:
    """A folder of packages that are installed, and then no longer."""

    def __init__(self, folder, patch) -> None:
        self.folder, self._patch = folder, patch
        patch.syspath_prepend(str(folder))

    def uninstall(self) -> None:
        sys.path.remove(str(self.folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in ("letters", "toys_of_tests")]:
            self._patch.delitem(sys.modules, name)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A run of the documented example, and what was printed of it, when its package was installed."""
    folder = tmp_path_factory.mktemp("letters")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "letters", folder / "site" / "letters", ignore=shutil.ignore_patterns("__pycache__"))
    install(folder / "site", project["name"], project["entry-points"], project["version"])
    with pytest.MonkeyPatch.context() as patch:
        site = Site(folder / "site", patch)
        described = Experiment.from_yaml((EXAMPLE / "experiment.yaml").read_text(), ("generations=2",))
        run(described, open_store(folder / "run"))
        opened = Run.load(folder / "run")
        before = described.id, run_data(opened), printed(opened)
        site.uninstall()
    return folder, before


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A package with a metric and a learner, installed."""
    site = tmp_path / "site"
    install(site, "toys", TOYS)
    (site / "toys_of_tests.py").write_text(TOY + PLAYTHING)
    yield Site(site, monkeypatch)
    sys.modules.pop("toys_of_tests", None)  # the next test's is another one


def printed(opened: Run) -> str:
    console = Console(file=io.StringIO(), width=120)
    render(opened, console)
    return console.file.getvalue()


def test_a_run_without_its_package_is_the_same_run(letters):
    folder, (content_id, data, tables) = letters
    opened = Run.load(folder / "run")
    experiment = opened.experiment
    parts = [experiment.learner, experiment.public, *experiment.tasks.values(), experiment.metrics["letter_entropy"]]
    assert all(isinstance(part, Missing) for part in [*parts, *experiment.ecosystem.curation.values()])
    assert not isinstance(experiment.metrics["loss"], Missing)
    assert opened.id == experiment.id == content_id
    assert experiment.to_yaml() == (folder / "run" / "experiment.yaml").read_text()
    assert run_data(opened) == data
    assert printed(opened) == tables


def test_every_command_that_reads_a_run_works_without_its_package(letters, tmp_path, monkeypatch):
    folder, (content_id, data, _) = letters
    place = str(folder / "run")
    monkeypatch.chdir(tmp_path)
    for words in (
        ["show", place],
        ["status", place],
        ["status", place, "--json"],
        ["report", place, "--out", "page"],
        ["report", place, str(shutil.copytree(place, "again")), "--out", "pages"],
        ["plan", place],
        ["plan", place, "--json"],
    ):
        answer = crossfeed_cli(*words)
        assert (answer.code, answer.err) == (0, ""), words
    shown = json.loads(crossfeed_cli("show", place, "--json").out)
    assert shown["id"] == content_id
    assert shown["changes"] == json.loads(json.dumps(data["changes"]))
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "Letter entropy" in page
    # What these refuse, they refuse for reasons of their own.
    assert "no table of these entities" in crossfeed_cli("compare", place).err
    assert "put to language models" in crossfeed_cli("evaluate", place, "--tasks", "sciq").err


def test_every_function_that_reads_a_run_works_without_its_package(letters, tmp_path):
    folder, (content_id, *_) = letters
    opened = Run.load(folder / "run")
    assert opened.experiment.name in opened._repr_html_()
    assert "alphabet" in opened.experiment._repr_html_()
    assert len(opened.outputs("alpha-0.5_seed-0", 1)) > 0
    assert len(opened.pool("alpha-0.5_seed-0", 1)) > 0
    assert report(opened, tmp_path / "page").is_file()
    assert plan(opened).run.id == content_id
    for draw in (figures.loss_matrix, partial(figures.mixture_shares, model="forward")):
        draw(opened, where={"alpha": 0.5})


def test_the_explorer_shows_a_run_without_its_package(letters):
    pytest.importorskip("bokeh", reason="needs the extra 'explore'")
    from bokeh.document import Document

    from crossfeed.explorer.run_page import site

    document = Document()
    site(str(letters[0] / "run")).page(document)
    page = json.loads(document.get_model_by_name("state").told)["html"]
    assert "finished" in "".join(map(str, page.values()))


def test_states_are_found_where_they_were_written(toys, tmp_path):
    own = ("n=20", "generations=1", "checkpoints=all", "learner={kind: plaything}", "grid={ecosystem.alpha: [0, 0.5]}")
    described = Experiment.from_yaml(read_preset("fake"), own)
    run(described, open_store(tmp_path / "run"))
    toys.uninstall()
    opened = Run.load(tmp_path / "run")
    for before, after in zip(described.cells(), opened.experiment.cells(), strict=True):
        for generation in (0, 1):
            scope = state_scope_of(after, generation)
            assert scope == state_scope_of(before, generation)
            assert opened.store.has_states(scope, generation)


def test_running_names_every_part_and_the_package(letters, tmp_path, monkeypatch):
    folder, _ = letters
    place = shutil.copytree(folder / "run", tmp_path / "run")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    refused = crossfeed_cli("run", str(place))
    assert refused.code == 2
    for part in ("learner (letters)", "tasks.forward (alphabet)", "public (alphabet)", "metrics.letter_entropy"):
        assert part in refused.err
    assert "ecosystem.curation.stutter" in refused.err
    assert "install that package (crossfeed-letters==1.0, where this run was begun)" in refused.err
    assert before == {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(MissingDependency, match=r"metrics\.letter_entropy"):
        run(Run.load(place).experiment, MemoryStore())
    described = crossfeed_cli("run", str(place / "experiment.yaml"))
    assert described.code == 2
    assert "unknown metric 'letter_entropy'" in described.err
    assert "once that package is installed" in " ".join(described.err.split())
    # Back again, it is the run that it was.
    monkeypatch.syspath_prepend(str(folder / "site"))
    monkeypatch.setattr("crossfeed.reporting.reports.report", lambda *_, **__: None)
    again = crossfeed_cli("run", str(place), "--quiet", "--json")
    assert again.code == 0, again.err


def test_a_metric_of_a_package_that_is_gone_is_a_plain_number(toys, tmp_path):
    changes = ("n=20", "generations=1", "metrics={loss: {}, toy: {worth: 2}}", "grid={metrics.toy.worth: [1.0, 2.0]}")
    described = Experiment.from_yaml(read_preset("fake"), (*changes, "ecosystem.alpha=0.5"))
    outcome = run(described, open_store(tmp_path / "run"))
    toys.uninstall()
    opened = Run.load(tmp_path / "run")
    assert [cell.point for cell in opened.experiment.cells()] == [cell.point for cell in described.cells()]
    assert opened.points["metrics.toy.worth"].tolist() == [1.0, 2.0]
    assert opened.records["value"].tolist() == outcome.records.column("value").to_pylist()
    (cost,) = [measure for measure in opened.measures if measure.metric == "toy_cost"]
    assert (cost.title, cost.words) == ("Toy cost", ("down", "up"))
    assert "Toy cost, initial to final" in printed(opened)


def test_an_entitys_own_learner_of_a_package_that_is_gone(toys, tmp_path):
    own = ("n=20", "generations=1", "ecosystem.entities.0.learner={kind: plaything, springs: 3}")
    described = Experiment.from_yaml(read_preset("fake"), own)
    outcome = run(described, open_store(tmp_path / "run"))
    toys.uninstall()
    opened = Run.load(tmp_path / "run")
    assert opened.experiment.id == described.id
    assert opened.experiment.learners[0].model_dump()["springs"] == 3
    assert numbers(opened.store.read_result("records")) == numbers(outcome)
    with pytest.raises(MissingDependency, match=r"the learner of warm \(plaything\)"):
        run(opened.experiment, MemoryStore())


@pytest.mark.parametrize(
    "now",
    ["raise ImportError('a library of its own')", TOY.replace("worth: float = 1.0", "price: float = 1.0")],
    ids=["breaks when imported", "another version"],
)
def test_a_package_that_cannot_read_what_it_wrote_is_as_one_that_is_gone(toys, tmp_path, now):
    described = Experiment.from_yaml(read_preset("fake"), ("n=20", "generations=1", "metrics={toy: {worth: 2}}"))
    run(described, open_store(tmp_path / "run"))
    (toys.folder / "toys_of_tests.py").write_text(now)
    shutil.rmtree(toys.folder / "__pycache__", ignore_errors=True)
    sys.modules.pop("toys_of_tests")
    opened = Run.load(tmp_path / "run")
    assert opened.experiment.id == described.id
    assert opened.experiment.metrics["toy"].model_dump() == {"every": 1, "worth": 2.0}
    assert "Toy cost" in printed(opened) or "Cost of toys" in printed(opened)
    with pytest.raises(MissingDependency, match=r"metrics\.toy"):
        run(opened.experiment, MemoryStore())


def test_a_run_beside_the_paper_needs_no_package_of_a_metric(toys, tmp_path):
    tasks = "tasks={sciq: {source: fake, test: 4}, gsm8k: {source: fake, test: 4, seed: 1}}"
    owners = "ecosystem.entities=[{name: a, private: sciq}, {name: b, private: gsm8k}]"
    changes = (tasks, owners, "n=20", "generations=1", "metrics={loss: {}, toy: {}}", "grid.ecosystem.alpha=[0, 0.5]")
    run(Experiment.from_yaml(read_preset("fake"), changes), open_store(tmp_path / "run"))
    before = compare(Run.load(tmp_path / "run")).cells
    toys.uninstall()
    after = compare(Run.load(tmp_path / "run")).cells
    assert len(after) > 0
    assert after.equals(before)


@pytest.mark.parametrize("cells", [None, 3, [3], [{"cell": "x"}]])
def test_a_broken_list_of_cells_is_told_as_such(letters, tmp_path, cells):
    place = shutil.copytree(letters[0] / "run", tmp_path / "run")
    document = json.loads((place / "run.json").read_text())
    document["cells"] = cells
    document.pop("checksum", None)
    store = open_store(place)
    store.write_document("run", document)
    with pytest.raises(StoreError, match=r"run\.json"):
        Run.load(place)


def test_descriptions_that_are_no_runs_are_read_strictly():
    with pytest.raises(InvalidDescription, match="unknown metric 'toy'"):
        Experiment.from_yaml(read_preset("fake"), ("metrics={toy: {}}",))
    text = Experiment.from_yaml(read_preset("fake")).to_yaml()
    with pytest.raises(InvalidDescription, match="unknown key"):
        read_stored(text.replace("kind: fake", "kind: fake\n  wheels: 4"), (), {"id": "0" * 12})
