"""Runs of other versions: a newer schema is refused, an older one reads, and ids stay what they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crossfeed import run
from crossfeed.errors import StoreError
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.html import write_report
from crossfeed.store import open_store
from crossfeed.store.schema import SCHEMA
from tests.faults.conftest import refused
from tests.runs import numbers

OLDER = Path(__file__).parents[1] / "golden" / "schema-1"
FAILED, WHOLE = "alpha-0.5_diverge_at-2_seed-0", "alpha-0.5_diverge_at-null_seed-0"


@pytest.fixture
def older(tmp_path) -> Path:
    """A run of the first schema, written by the version that had it: one cell finished, one failed."""
    return shutil.copytree(OLDER, tmp_path / "older")


def test_an_older_run_reads(older):
    opened = Run.load(older)
    assert opened.cells.set_index("cell")["state"].to_dict() == {FAILED: "failed", WHOLE: "finished"}
    stored = opened.store.read_result("records")
    assert stored.num_rows == len(opened.records) > 50
    assert opened.records["value"].tolist() == stored.column("value").to_pylist()
    assert opened.failures["message"].tolist() == ["entity 0 at generation 2, step 1: the loss is nan"]
    assert opened.environment["packages"]["crossfeed"] == "0.1.0"
    assert not opened.projection.empty
    for generation in range(3):
        assert set(opened.outputs(WHOLE, generation)["task"]) == {"warm", "cold", "public"}
    assert set(opened.pool(WHOLE, 2)["author"]) == {"warm", "cold"}


@pytest.mark.usefixtures("figures_unsaved")
def test_an_older_run_is_shown_and_reported(older, crossfeed, tmp_path):
    shown = crossfeed("show", older)
    assert shown.returncode == 0, shown.stderr
    assert "warm on warm" in shown.stdout
    assert "the loss is nan" in " ".join(shown.stdout.split())
    assert "warm on warm" in write_report(Run.load(older), tmp_path / "report").read_text()


def test_an_older_run_is_not_gone_on_with(older, crossfeed):
    before = {path: path.read_bytes() for path in older.rglob("*") if path.is_file()}
    message = refused(crossfeed("run", older / "experiment.yaml", "--out", older))
    assert "written with schema 1" in message
    assert "shown and reported, but not gone on with" in " ".join(message.split())
    assert {path: path.read_bytes() for path in older.rglob("*") if path.is_file()} == before


def test_an_older_run_whose_description_was_changed_is_refused(older):
    path = older / "experiment.yaml"
    path.write_text(path.read_text().replace("- 2\n  - null", "- 1\n  - null"))
    with pytest.raises(StoreError, match="describes other cells"):
        Run.load(older)


def test_the_numbers_of_an_older_run_are_those_of_today(older, tmp_path):
    opened = Run.load(older)
    today = run(opened.experiment, open_store(tmp_path / "today"))
    older_columns = today.records.drop_columns(["ecosystem.alpha", "ecosystem.beta"])
    assert numbers(older_columns) == numbers(opened.store.read_result("records"))


@pytest.mark.parametrize("cells", [None, 3, [3], [{"cell": "x"}], {"a": 1}])
def test_an_older_run_with_a_broken_list_of_cells_is_refused(older, cells):
    document = json.loads((older / "run.json").read_text())
    (older / "run.json").write_text(json.dumps(document | {"cells": cells}))
    with pytest.raises(StoreError, match=r"run\.json|other cells"):
        Run.load(older)


@pytest.mark.parametrize("zero", ["../../x", ["x"]])
def test_an_older_run_leads_nowhere_else(older, zero):
    document = json.loads((older / "run.json").read_text())
    document["cells"] = [cell | {"zero": zero} for cell in document["cells"]]
    (older / "run.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match=r"run\.json: damaged: of a cell, its zero is not a name"):
        Run.load(older)


def test_a_newer_run_is_refused_by_every_command(small, crossfeed, described, tmp_path):
    folder = tmp_path / "run"
    run(small, open_store(folder))
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(document | {"schema": SCHEMA + 1, "unheard": "of"}))
    for command in (["show", folder], ["report", folder], ["run", described, "--out", folder]):
        message = " ".join(refused(crossfeed(*command)).split())
        assert f"written with schema {SCHEMA + 1}, this crossfeed reads up to {SCHEMA}; upgrade crossfeed" in message


def test_a_folder_that_says_it_is_older_is_not_believed(small, tmp_path):
    """Files of schema 1 have no checksums; a damaged number must not switch those of schema 2 off."""
    run(small, open_store(tmp_path))
    document = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(document | {"schema": 1}))
    with pytest.raises(StoreError, match=r"run\.json: damaged: its checksum does not match"):
        Run.load(tmp_path)
