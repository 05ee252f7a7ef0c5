"""Links in a run's folder: refused by name, before anything that they lead to is read or written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.errors import StoreError
from crossfeed.loop import run
from crossfeed.reporting.reports import report
from crossfeed.store import open_store
from crossfeed.store.inside import read_inside, refuse_links, write_inside
from crossfeed.tracking import open_tracker
from tests.faults.cli import check_refused, crossfeed_cli

TEXT = """
name: linked
ecosystem: {entities: [{name: a, private: p}], alpha: 0.5, beta: 0.5}
learner: {kind: fake}
tasks: {p: {source: fake, train: 6, test: 2}}
public: {source: fake, train: 6, test: 2}
generations: 1
n: 4
"""
KEPT = "a file of somebody's\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("finished") / "run"
    run(Experiment.from_yaml(TEXT), open_store(place))
    return place


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A folder that has nothing to do with the run."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "kept").write_text(KEPT)
    return folder


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def described(folder: Path) -> str:
    file = folder / "linked.yaml"
    file.write_text(TEXT)
    return str(file)


def linked(folder: Path, name: str, to: Path) -> Path:
    """Put a link in place of what is there."""
    link = folder / name
    if link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(to)
    return link


def is_untouched(folder: Path) -> bool:
    return sorted(path.name for path in folder.iterdir()) == ["kept"] and (folder / "kept").read_text() == KEPT


FILES = [".lock", ".partial-0-run.json", "run.json", "records.parquet", "experiment.yaml", "report/.made-from"]
FILES += ["report/index.html", "report/.partial-index.html", "records/cell/generation-001.parquet", "notes/x.json"]
FOLDERS = [
    "report",
    "report/figures",
    "records",
    "records/cell",
    "pool",
    "outputs",
    "checkpoints",
    "failures",
    "status",
]


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_run_is_not_written_through_a_link(copied, elsewhere, tmp_path, name):
    cell = Experiment.from_yaml(TEXT).cells()[0].name
    link = linked(copied, name.replace("cell", cell), elsewhere / "kept" if name in FILES else elsewhere)
    check_refused(crossfeed_cli("run", described(tmp_path), "--out", str(copied), "-q"), (str(link), "is a link"))
    assert is_untouched(elsewhere)
    link.unlink()
    if name != "run.json":
        assert run(Experiment.from_yaml(TEXT), open_store(copied)).failures == {}


@pytest.mark.parametrize("name", ["report", "report/figures", "records.parquet", "failures/x.json"])
def test_a_report_is_not_written_through_a_link(copied, elsewhere, name):
    folder = name.startswith("report")
    link = linked(copied, name, elsewhere if folder else elsewhere / "kept")
    check_refused(crossfeed_cli("report", str(copied)), (str(link), "is a link"))
    assert is_untouched(elsewhere)


def test_a_link_in_a_report_is_refused_whatever_it_is_called(copied, elsewhere):
    for name in ("index.html", ".made-from", "figures/loss.png"):
        link = linked(copied / "report", name, elsewhere / "kept")
        check_refused(crossfeed_cli("report", str(copied)), (str(link), "is a link"))
        assert is_untouched(elsewhere)
        link.unlink()
    linked(copied / "report", ".partial-index.html", elsewhere / "kept")  # a name that nothing is written to
    assert crossfeed_cli("report", str(copied)).code == 0
    assert is_untouched(elsewhere)


@pytest.mark.parametrize("name", ["run.json", "records"])
def test_a_run_is_not_read_through_a_link(copied, elsewhere, name):
    link = copied / name
    kept = elsewhere / Path(name).name
    link.rename(kept)
    link.symlink_to(kept)
    for command in ("show", "status", "report"):
        check_refused(crossfeed_cli(command, str(copied)), (str(link), "is a link"))


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(copied):
    table = next(copied.glob("records/*/generation-001.parquet"))
    table.unlink()
    os.mkfifo(table)
    check_refused(crossfeed_cli("show", str(copied)), (str(table), "is no file"))


def test_a_lock_with_a_second_name_is_refused(copied, elsewhere, tmp_path):
    (copied / ".lock").unlink()
    os.link(elsewhere / "kept", copied / ".lock")
    check_refused(crossfeed_cli("run", described(tmp_path), "--out", str(copied), "-q"), (".lock", "second name"))
    assert is_untouched(elsewhere)


def test_trackers_are_given_no_folder_with_links(copied, elsewhere):
    link = linked(copied, "tensorboard", elsewhere)
    with pytest.raises(StoreError, match="is a link"):
        open_tracker("tensorboard", copied)
    link.unlink()
    own = copied / "wandb"
    (own / "run-1").mkdir(parents=True)
    (own / "latest-run").symlink_to("run-1")
    refuse_links(copied)
    (own / "latest-run").unlink()
    (own / "latest-run").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="latest-run: is a link"):
        refuse_links(copied)


def test_a_runs_folder_may_be_reached_through_a_link(copied, tmp_path):
    (tmp_path / "shortcut").symlink_to(copied)
    answer = crossfeed_cli("run", described(tmp_path), "--out", str(tmp_path / "shortcut"), "-q")
    assert answer.code == 0, answer.err
    assert report(tmp_path / "shortcut").exists()


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path):
    write_inside(tmp_path, "a/b", b"first")
    write_inside(tmp_path, "a/b", b"second")
    assert read_inside(tmp_path, "a/b") == b"second"
    (tmp_path / "a" / "c").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_inside(tmp_path, "a/c", b"third")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b", "c"]
