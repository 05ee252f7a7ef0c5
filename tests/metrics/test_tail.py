"""The loss on the tail follows the items that were hardest at generation 0."""

from __future__ import annotations

import numpy as np
import pytest
from tests.metrics.test_metrics import HandMade, scores

from crossfeed import Run, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.metrics.tail import TailLossSettings
from crossfeed.store.memory import MemoryStore

DESCRIBED = """
ecosystem: {entities: [{name: a, private: warm}, {name: b, private: cold, from: 2}], alpha: 0.5, beta: 0.5}
learner: {kind: fake}
tasks: {warm: {source: fake, test: 40}, cold: {source: fake, test: 30}}
public: {source: fake, test: 5}
n: 40
generations: 3
metrics: {loss: {keep_items: true}, tail_loss: {share: 0.2}}
"""


class Later(HandMade):
    def scores_at(self, generation, task):
        assert generation == 0
        return {"a": scores([8, 2, 9, 1], [1, 1, 3, 0])}


def test_the_hardest_items_are_chosen_by_their_first_mean_losses():
    now = HandMade(entities=("a",), tasks={"x": None}, losses={"x": [scores([8, 2, 9, 1], [1, 1, 3, 0])]})
    half = TailLossSettings(share=0.5).build()
    assert [n.value for n in half.measure(now)] == [(8 + 9) / (1 + 3)]  # 8, 3 and 2 a term; the last has none
    later = Later(entities=("a", "new"), generation=4, tasks={"x": None})
    later.losses = {"x": [scores([1, 20, 6, 1], [1, 1, 3, 0]), scores([1, 1, 1, 1], [1, 1, 1, 1])]}
    assert [(n.model, n.value) for n in half.measure(later)] == [("a", (1 + 6) / (1 + 3))]


def test_one_item_is_the_least():
    one = HandMade(entities=("a",), tasks={"x": None}, losses={"x": [scores([5, 7], [1, 1])]})
    assert [n.value for n in TailLossSettings(share=0.01).build().measure(one)] == [7.0]


def test_it_is_that_of_the_losses_of_items(tmp_path):
    run(Experiment.from_yaml(DESCRIBED), open_store(tmp_path / "run"))
    finished = Run.load(tmp_path / "run")
    cell = finished.cells["cell"][0]
    found = finished.records[finished.records["metric"] == "tail_loss"]
    assert set(found["model"]) == {"a"}  # the other one arrives later
    kept = {t: finished.item_losses(cell, t).set_index(["model", "task", "item"]).sort_index() for t in range(4)}
    for row in found.to_dict("records"):
        first = kept[0].loc[(row["model"], row["task"])]
        worst = (first["loss"] / first["size"]).sort_values(ascending=False, kind="stable").index
        worst = worst[: int(np.ceil(0.2 * len(first)))]
        now = kept[row["generation"]].loc[(row["model"], row["task"])].loc[worst]
        assert row["value"] == pytest.approx(now["loss"].sum() / now["size"].sum(), rel=1e-12)


def test_the_losses_of_the_first_generation_alone_are_kept_for_it(tmp_path):
    run(Experiment.from_yaml(DESCRIBED, ("metrics.loss.keep_items=false",)), open_store(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run" / "losses").rglob("*.parquet")] == ["generation-000.parquet"]


def test_a_run_that_goes_on_gives_the_same(tmp_path):
    whole = run(Experiment.from_yaml(DESCRIBED), MemoryStore()).records
    store = open_store(tmp_path / "run")
    run(Experiment.from_yaml(DESCRIBED), store)
    for lost in (tmp_path / "run" / "records").rglob("generation-003.parquet"):
        lost.unlink()
    for lost in (tmp_path / "run" / "losses" / "shared").rglob("*.parquet"):
        lost.unlink()  # what chose the items is made again
    again = run(Experiment.from_yaml(DESCRIBED), open_store(tmp_path / "run")).records
    timed = [np.array(table.column("metric").to_pylist()) == "seconds" for table in (whole, again)]
    for name in whole.column_names:
        values = [np.array(table.column(name).to_pylist()) for table in (whole, again)]
        assert (values[0][~timed[0]] == values[1][~timed[1]]).all(), name
