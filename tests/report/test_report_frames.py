"""Opening run folders, whatever state they are in."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from crossfeed.errors import NewerSchema, StoreError, StoreMismatch
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import Columns, Group, columns_of
from crossfeed.store.schema import RECORD_COLUMNS, SCHEMA


@pytest.fixture
def copy(seeds, tmp_path):
    """A run's folder to tamper with."""
    return shutil.copytree(seeds.folder, tmp_path / "copy")


def test_records_are_those_of_the_file_with_their_point(seeds):
    stored = pq.read_table(seeds.folder / "records.parquet").to_pandas()
    pd.testing.assert_frame_equal(seeds.records[list(RECORD_COLUMNS)], stored)
    assert (seeds.records.groupby("point")["alpha"].first() == pd.Series([0.0, 0.5, 1.0])).all()
    assert list(seeds.cells["state"].unique()) == ["finished"]


def test_a_run_under_way_is_read_from_its_generations(copy):
    (copy / "records.parquet").unlink()
    (copy / "projection.parquet").unlink()
    shutil.rmtree(copy / "records" / "alpha-1_seed-2")
    (copy / "records" / "alpha-1_seed-1" / "generation-002.parquet").unlink()
    run = Run.load(copy)
    state = run.cells.set_index("cell")
    assert state.loc["alpha-1_seed-2", ["reached", "state"]].tolist() == [0, "unfinished"]
    assert state.loc["alpha-1_seed-1", ["reached", "state"]].tolist() == [1, "unfinished"]
    assert state.loc["alpha-1_seed-0", ["reached", "state"]].tolist() == [2, "finished"]
    assert run.projection.empty


def test_outputs_and_pool_are_found_by_cell(seeds):
    outputs = seeds.outputs("alpha-1_seed-2", 0)
    assert set(outputs["task"]) == {"warm", "cold", "public"}
    assert "embedding" not in outputs
    assert set(seeds.pool("alpha-1_seed-2", 1)["author"]) == {"warm", "cold"}
    assert seeds.pool("alpha-1_seed-2", 9).empty
    with pytest.raises(StoreError, match="no cell is named 'nothing'; cells: alpha-0_seed-0"):
        seeds.outputs("nothing", 0)


def test_what_is_not_a_run_is_refused_with_a_word(tmp_path):
    with pytest.raises(StoreError, match=r"not a crossfeed run \(no run.json"):
        Run.load(tmp_path)
    with pytest.raises(StoreError, match="not a crossfeed run"):
        Run.load(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(StoreError, match="no schema number"):
        Run.load(tmp_path)


def test_a_newer_schema_is_refused(copy):
    document = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(document | {"schema": SCHEMA + 1}))
    with pytest.raises(NewerSchema, match="upgrade crossfeed"):
        Run.load(copy)


def test_a_description_changed_afterwards_is_refused(copy):
    path = copy / "experiment.yaml"
    path.write_text(path.read_text().replace("generations: 2", "generations: 3"))
    with pytest.raises(StoreMismatch, match="it was changed after"):
        Run.load(copy)


def test_a_missing_description_and_a_broken_table_are_named(copy):
    (copy / "projection.parquet").write_bytes(b"nothing")
    with pytest.raises(StoreError, match=r"projection\.parquet: damaged"):
        _ = Run.load(copy).projection
    (copy / "experiment.yaml").unlink()
    with pytest.raises(StoreError, match=r"experiment\.yaml: cannot be read"):
        Run.load(copy)


def test_failures_are_listed_with_where_they_happened(partly):
    assert set(partly.failures["cell"]) == {"alpha-0.5_diverge_at-2_seed-0", "alpha-0.5_diverge_at-2_seed-1"}
    assert set(partly.failures["generation"]) == {2}
    assert set(partly.failures["stage"]) == {"update"}
    assert partly.cells.groupby("state")["reached"].max().to_dict() == {"failed": 1, "finished": 2}


def test_schedules_do_not_mix_cells(make):
    run = make("grid={ecosystem.alpha: [[0, 1], [0.5, 1], 1]}")
    assert run.points["alpha"].tolist() == ["0, 1", "0.5, 1", 1.0]
    assert columns_of(run.points).heads[0] == "alpha = 0, 1"
    assert run.cells["point"].tolist() == [0, 1, 2]


def test_rows_are_those_of_the_paper(grid):
    table = grid.change_table("loss")
    labels = [row.label for row in table.rows]
    assert labels[:3] == ["a on warm", "b on cold", "c on wild"]
    assert labels[3:9] == ["a on cold", "a on wild", "b on warm", "b on wild", "c on warm", "c on cold"]
    assert labels[9:] == ["a on public", "b on public", "c on public"]
    assert [group.label for group in table.columns.groups] == ["beta = 0.2", "beta = 0.8"]
    assert [group.points for group in table.columns.groups] == [(0, 1), (2, 3)]
    pairs = [row.label for row in grid.change_table("similarity").rows]
    assert pairs[:3] == ["a+b on warm", "a+c on warm", "b+c on warm"]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_pages_hold_every_column_once_and_break_no_group_that_fits(most):
    sizes = [1, 3, 2, 2, 7, 1]
    ends = np.cumsum(sizes)
    groups = tuple(Group(str(end), tuple(range(end - size, end))) for size, end in zip(sizes, ends, strict=True))
    pages = Columns("alpha", groups, {}, {}, "").pages(most)
    assert [point for page in pages for point in page.points] == list(range(sum(sizes)))
    assert all(0 < len(page.points) <= most for page in pages)
    for group in groups:
        if len(group.points) <= most:
            assert sum(group in page.groups for page in pages) == 1


def test_some_columns_keep_both_ends():
    groups = tuple(Group(str(n), tuple(range(10 * n, 10 * n + 10))) for n in range(7))
    some = Columns("alpha", groups, {}, {}, "").some(3, 4)
    assert [group.label for group in some.groups] == ["0", "3", "6"]
    assert [point - 60 for point in some.groups[-1].points] == [0, 3, 6, 9]


def test_any_field_can_be_a_column(partly):
    columns = columns_of(partly.points)
    assert columns.inner == "learner.diverge_at"
    assert columns.heads == {0: "diverge_at = 9", 1: "diverge_at = 2"}
    assert columns.fixed == "alpha = 0.5, beta = 0.5"
