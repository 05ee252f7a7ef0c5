"""Losses of single test items: kept on request, in step with the mean, read again by metrics that look back."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed import Run, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.store.memory import MemoryStore

DESCRIBED = """
ecosystem: {entities: [{name: a, private: warm}, {name: b, private: cold}], alpha: 0.5, beta: 0.5}
learner: {kind: fake}
tasks: {warm: {source: fake, test: 6}, cold: {source: fake, test: 4}}
public: {source: fake, test: 5}
n: 40
generations: 3
metrics: {loss: {keep_items: true, every: 2}, completion_loss: {items: 3}}
grid:
  ecosystem.alpha: [0.2, 0.6]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "run"
    run(Experiment.from_yaml(DESCRIBED), open_store(folder))
    return Run.load(folder)


def test_the_mean_is_that_of_the_items(finished):
    losses = finished.records[finished.records["metric"] == "loss"]
    assert set(losses["generation"]) == {0, 2, 3}
    for row in losses.to_dict("records"):
        kept = finished.item_losses(row["cell"], row["generation"])
        own = kept[(kept["model"] == row["model"]) & (kept["task"] == row["task"])]
        assert list(own["item"]) == list(range({"warm": 6, "cold": 4, "public": 5}[row["task"]]))
        assert own["loss"].sum() / own["size"].sum() == pytest.approx(row["value"], rel=1e-12)


def test_generations_that_are_not_due_keep_none(finished):
    assert finished.item_losses(finished.cells["cell"][0], 1).empty


def test_none_are_kept_unasked(tmp_path):
    experiment = Experiment.from_yaml(DESCRIBED, ("metrics.loss.keep_items=false",))
    run(experiment, open_store(tmp_path / "run"))
    assert not (tmp_path / "run" / "losses").exists()


def test_a_generation_without_its_items_is_measured_again(tmp_path, finished):
    store = open_store(tmp_path / "run")
    run(Experiment.from_yaml(DESCRIBED), store)
    lost = sorted((tmp_path / "run" / "losses").rglob("generation-002.parquet"))
    assert len(lost) == 2
    lost[0].unlink()
    run(Experiment.from_yaml(DESCRIBED), open_store(tmp_path / "run"))
    again = Run.load(tmp_path / "run")
    for cell in again.cells["cell"]:
        assert again.item_losses(cell, 2).equals(finished.item_losses(cell, 2))


def test_a_run_in_memory_keeps_them_too():
    store = MemoryStore()
    run(Experiment.from_yaml(DESCRIBED), store)
    cell = Experiment.from_yaml(DESCRIBED).cells()[0]
    kept = store.read_table("losses", cell.name, 3)
    assert np.isfinite(kept.column("loss").to_numpy()).all()
    assert kept.num_rows == 2 * (6 + 4 + 5)
