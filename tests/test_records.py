"""Records say what each entity had, and at which point of the grid."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossfeed import Run, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.exact.prediction import predict
from crossfeed.records import collect, scope_of, with_coordinates
from crossfeed.store.memory import MemoryStore
from crossfeed.store.schema import RECORD_COLUMNS

OWN = """
ecosystem:
  entities:
    - {name: free, private: warm, alpha: 0, beta: [0.9, 0.2]}
    - {name: fed, private: cold}
    - {name: late, private: cold, alpha: [0, 1]}
  beta: 0.5
learner: {kind: fake}
tasks: {warm: {source: fake, test: 4}, cold: {source: fake, test: 4}}
public: {source: fake, test: 4}
n: 60
generations: 2
metrics: {loss: {}, similarity: {}}
grid:
  ecosystem.alpha: [0.6, 1.0]
"""


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return run(Experiment.from_yaml(OWN), MemoryStore()).records.to_pylist()


def test_alpha_and_beta_are_those_that_the_entity_had(rows):
    assert set(RECORD_COLUMNS) == set(rows[0])
    for row in rows:
        t, point = max(row["generation"], 1), row["ecosystem.alpha"]
        alpha = {"free": 0.0, "fed": point, "late": float(t == 2)}
        beta = {"free": [0.9, 0.2][t - 1], "fed": 0.5, "late": 0.5}
        if row["model"] in alpha:
            assert (row["alpha"], row["beta"]) == (alpha[row["model"]], beta[row["model"]])
        assert row["cell"] == f"alpha-{point:g}_seed-0"
        assert row["ecosystem.beta"] == 0.5


def test_who_is_recorded_at_alpha_0_drew_nothing_synthetic_and_who_at_1_nothing_else(rows):
    for row in rows:
        if row["metric"] == "drawn" and row["generation"] > 0 and row["alpha"] in (0.0, 1.0):
            real = row["task"] in ("private", "public")
            assert row["value"] == 0 or real == (row["alpha"] == 0)


def test_numbers_of_several_entities_have_the_weights_that_these_share(rows):
    pairs = {(row["model"], row["ecosystem.alpha"], row["generation"]): row for row in rows if "+" in row["model"]}
    assert pairs
    for (model, point, t), row in pairs.items():
        one, other = model.split("+")
        own = {"free": 0.0, "fed": point, "late": float(t == 2)}
        assert row["alpha"] == (own[one] if own[one] == own[other] else None)
    assert {row["alpha"] for row in rows if row["metric"] == "seconds"} == {None}


def test_schedules_and_words_on_the_grid_are_text_as_it_is_written(fake):
    experiment = fake("generations=2", "n=20", "grid.ecosystem.alpha=[[0.1, 0.9], proportional, 0.5]")
    rows = run(experiment, MemoryStore()).records.to_pylist()
    had = {(row["ecosystem.alpha"], row["generation"]): row["alpha"] for row in rows}
    assert had["[0.1, 0.9]", 1] == 0.1
    assert had["[0.1, 0.9]", 2] == 0.9
    assert had["proportional", 2] == 2 / 3
    assert had["0.5", 0] == 0.5


def test_a_run_whose_collected_records_lack_the_grids_columns_is_read(tmp_path):
    store = open_store(tmp_path / "run")
    finished = run(Experiment.from_yaml(OWN), store).records
    older = finished.drop_columns(["ecosystem.alpha", "ecosystem.beta"])
    store.write_result("records", older)
    read = Run.load(tmp_path / "run").records
    assert list(read.columns) == [*finished.column_names, "point"]
    run(Experiment.from_yaml(OWN), open_store(tmp_path / "run"))
    assert (
        pq.read_table(tmp_path / "run" / "records.parquet").drop_columns("value").equals(finished.drop_columns("value"))
    )


def test_points_of_entities_that_all_have_their_own_alpha_say_so(fake, tmp_path):
    own = ("ecosystem.alpha=null", "ecosystem.entities.0.alpha=0.1", "ecosystem.entities.1.alpha=0.2")
    run(fake("generations=1", "n=20", *own), open_store(tmp_path))
    opened = Run.load(tmp_path)
    assert opened.points["alpha"].tolist() == ["own"]
    assert opened.records["ecosystem.alpha"].isna().all()
    of = opened.records.groupby("model")["alpha"].unique()
    assert sorted(float(of[name][0]) for name in opened.experiment.ecosystem.names) == [0.1, 0.2]


def test_a_prediction_has_the_same_columns():
    text = """
    ecosystem:
      entities: [{name: a, private: x, alpha: 0}, {name: b, private: y}]
      beta: 0.5
    learner: {kind: linear}
    tasks: {x: &rows {source: regression, dimension: 2, rank: 2, rows: 12}, y: {<<: *rows, entity: 1}}
    public: *rows
    generations: 2
    grid: {ecosystem.alpha: [0.2, 0.6]}
    """
    prediction = predict(Experiment.from_yaml(text))
    assert set(prediction.records.columns) == set(RECORD_COLUMNS)
    for table in (prediction.records, prediction.limit):
        had = table[table["model"] != ""]
        assert (had["alpha"] == had["ecosystem.alpha"].where(had["model"] == "b", 0.0)).all()


class Counting(MemoryStore):
    """A store that counts how often each table is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[tuple[str, str, int]] = Counter()

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        self.read[step, scope, generation] += 1
        return super().read_table(step, scope, generation)


def test_every_table_of_records_is_read_once_and_none_is_left_out():
    experiment, store = Experiment.from_yaml(OWN), Counting()
    run(experiment, store)
    store.read.clear()
    cells = experiment.cells()
    collected = collect(store, experiment, cells)
    assert set(store.read.values()) == {1}
    assert len(store.read) == 1 + 2 * len(cells)  # generation 0 is shared
    places = [(cell, t) for cell in cells for t in range(3)]
    tables = [(store.read_table("records", scope_of(cell, t), t), cell) for cell, t in places]
    assert collected.equals(pa.concat_tables([with_coordinates(table, cell, experiment) for table, cell in tables]))
