"""Runs of one experiment in several folders become one run with the numbers of one made at once."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pytest

import crossfeed.running.merging
from crossfeed import Experiment, MemoryStore, Run, merge, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidInput, StoreMismatch

from .faults.cli import crossfeed_cli
from .runs import numbers

SMALL = ("n=20", "generations=2", "tasks.warm.test=4", "tasks.cold.test=4", "public.test=4")


def described(*changes):
    return Experiment.from_yaml(read_preset("fake"), (*SMALL, *changes))


def run_in(folder, *changes):
    run(described(*changes), open_store(folder))
    return folder


SPLITS = {
    "seeds": ((("seeds=[0, 2]",), ("seeds=[1]",)), ("seeds=[0, 1, 2]",)),
    "values of the grid": (
        (("grid.ecosystem.alpha=[0.5]",), ("grid.ecosystem.alpha=[1, 0]",)),
        ("grid.ecosystem.alpha=[0, 0.5, 1]",),
    ),
    "a single field": (
        (("ecosystem.alpha=1",), ("ecosystem.alpha=0",), ("ecosystem.alpha=0.25",)),
        ("grid.ecosystem.alpha=[0, 0.25, 1]",),
    ),
    "a grid and a single field": (
        (("grid.ecosystem.alpha=[0, 1]", "n=30"), ("grid.ecosystem.alpha=[0, 1]",)),
        ("grid.ecosystem.alpha=[0, 1]", "grid.n=[20, 30]"),
    ),
    "an entity's field": (
        (
            ("ecosystem.alpha=0.5", "ecosystem.entities.warm.n=7"),
            ("ecosystem.alpha=0.5", "ecosystem.entities.warm.n=9"),
        ),
        ("ecosystem.alpha=0.5", "grid.ecosystem.entities.0.n=[7, 9]"),
    ),
    "an entity that arrives later": (
        tuple((f"seeds=[{seed}]", "ecosystem.entities.cold.from=2", "checkpoints=all") for seed in (0, 1)),
        ("seeds=[0, 1]", "ecosystem.entities.cold.from=2", "checkpoints=all"),
    ),
    "chosen among candidates": (
        tuple((f"seeds=[{seed}]", "ecosystem.preference={reward: answer, best_of: 3, drift: 0.2}") for seed in (0, 1)),
        ("seeds=[0, 1]", "ecosystem.preference={reward: answer, best_of: 3, drift: 0.2}"),
    ),
    "cells that both have": (
        (("seeds=[0, 1]", "ecosystem.alpha=1"), ("seeds=[1, 2]", "ecosystem.alpha=1")),
        ("seeds=[0, 1, 2]", "ecosystem.alpha=1"),
    ),
}


def as_set(table):
    """Numbers by their places, whatever the order of cells."""
    return sorted(numbers(table), key=str)


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_merged_is_the_run_made_at_once(tmp_path, split):
    parts, whole = SPLITS[split]
    folders = [run_in(tmp_path / f"part-{i}", *changes) for i, changes in enumerate(parts)]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    merged = merge(folders, tmp_path / "merged")
    assert merged.missing == ()
    expected = run(described(*whole), MemoryStore())
    assert as_set(open_store(tmp_path / "merged").read_result("records")) == as_set(expected)
    assert {path: path.read_bytes() for path in before} == before
    loaded = Run.load(tmp_path / "merged")
    assert set(loaded.cells["state"]) == {"finished"}
    for cell in merged.experiment.cells():
        pool = loaded.pool(cell.name, 1)
        assert set(pool.get("cell", [cell.name])) == {cell.name}
    assert as_set(run(merged.experiment, open_store(tmp_path / "merged"))) == as_set(expected)


def test_a_merged_run_goes_on_from_the_models_that_were_kept(tmp_path):
    folders = [run_in(tmp_path / str(seed), f"seeds=[{seed}]", "ecosystem.alpha=0.5") for seed in (4, 3)]
    merged = merge(folders, tmp_path / "merged").experiment
    longer = Experiment.from_yaml(merged.to_yaml(), ("generations=5", "seeds=[3, 4, 5]"))
    assert as_set(run(longer, open_store(tmp_path / "merged"))) == as_set(run(longer, MemoryStore()))
    assert json.loads((tmp_path / "merged" / "run.json").read_text())["merged"]


def test_cells_that_no_run_has_are_named_and_can_be_run(tmp_path, monkeypatch):
    monkeypatch.setattr("crossfeed.reporting.reports.report", lambda *_, **__: "no page")
    one = run_in(tmp_path / "one", "grid.ecosystem.alpha=[0]", "grid.ecosystem.beta=[0.2]")
    two = run_in(tmp_path / "two", "grid.ecosystem.alpha=[1]", "grid.ecosystem.beta=[0.8]")
    answer = crossfeed_cli("merge", str(one), str(two), "--out", str(tmp_path / "merged"), "--quiet")
    assert answer.code == 0, answer.err
    assert "2 of 4 cells, from 2 runs" in answer.out
    assert "missing  2 cells of the grid, such as alpha-0_beta-0.8_seed-0" in answer.out
    assert crossfeed_cli("run", str(tmp_path / "merged"), "--quiet").code == 0
    whole = described("grid.ecosystem.alpha=[0, 1]", "grid.ecosystem.beta=[0.2, 0.8]")
    expected = as_set(run(whole, MemoryStore()))
    assert as_set(open_store(tmp_path / "merged").read_result("records")) == expected
    again = crossfeed_cli("merge", str(one), str(two), "--out", str(tmp_path / "merged"), "--quiet", "--json")
    assert json.loads(again.out)["missing"] == []
    assert as_set(open_store(tmp_path / "merged").read_result("records")) == expected


def test_a_merger_that_was_stopped_is_done_again(tmp_path, monkeypatch):
    folders = [run_in(tmp_path / str(seed), f"seeds=[{seed}]") for seed in (0, 1)]
    copied = crossfeed.running.merging._copy_generation
    calls = iter(range(1000))

    def stopped(*arguments):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return copied(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(crossfeed.running.merging, "_copy_generation", stopped)
        with pytest.raises(KeyboardInterrupt):
            merge(folders, tmp_path / "merged")
    merge(folders, tmp_path / "merged")
    expected = run(described("seeds=[0, 1]"), MemoryStore())
    assert as_set(open_store(tmp_path / "merged").read_result("records")) == as_set(expected)


def test_many_cells_are_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(crossfeed.running.merging, "TOGETHER", 3)
    folders = [run_in(tmp_path / str(seed), f"seeds=[{seed}]") for seed in (0, 1)]
    merge(folders, tmp_path / "merged")
    assert not list((tmp_path / "merged" / "records").rglob("*.parquet"))
    expected = run(described("seeds=[0, 1]"), MemoryStore())
    assert as_set(Run.load(tmp_path / "merged").store.read_result("records")) == as_set(expected)


def test_a_cell_that_failed_is_a_failure_unless_another_run_has_it(tmp_path):
    one = run_in(tmp_path / "one", "grid.learner.diverge_at=[1]", "ecosystem.alpha=0.5")
    two = run_in(tmp_path / "two", "grid.learner.diverge_at=[null]", "ecosystem.alpha=0.5")
    merged = merge([one, two], tmp_path / "merged")
    assert len(merged.missing) == 1
    failures = Run.load(tmp_path / "merged").failures
    assert list(failures["cell"]) == list(merged.missing)


REFUSED = {
    "metrics": (("metrics={loss: {}}",), "metrics: accuracy, completion_loss, distinct, projection, similarity not"),
    "generations": (("generations=3",), "generations: 2 in .*extend the shorter one first: crossfeed extend"),
    "tasks": (("tasks.third={source: fake, words: [a, b]}",), "tasks.third.source is 'fake', and .* has none"),
    "entities": (
        ("ecosystem.entities=[{name: warm, private: warm}]",),
        r"ecosystem.entities.1.name is 'cold', and .* has none",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_grid_varies_is_refused_by_name(tmp_path, what):
    changes, word = REFUSED[what]
    folders = [run_in(tmp_path / "one", "seeds=[0]"), run_in(tmp_path / "two", "seeds=[1]", *changes)]
    with pytest.raises(InvalidInput, match=word):
        merge(folders, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_contradictions_are_refused_by_name(tmp_path):
    one, two = (run_in(tmp_path / name, "seeds=[0]", "ecosystem.alpha=0.5") for name in ("one", "two"))
    store = open_store(two)
    document = store.read_document("run")
    store.begin(store.read_description(), {key: value for key, value in document.items() if key != "description"})
    table = store.read_table("records", "seed-0", 2)
    values = table.column("value").to_pylist()
    store.write_table("records", "seed-0", 2, table.set_column(4, "value", pa.array([values[0] + 1, *values[1:]])))
    store.end()
    with pytest.raises(StoreMismatch, match=r"seed-0, generation 2: loss of warm on warm is .*, and .* not merged"):
        merge([one, two], tmp_path / "merged")


def test_other_data_and_other_precision_are_refused_by_name(tmp_path, monkeypatch):
    one = run_in(tmp_path / "one", "seeds=[0]")
    with monkeypatch.context() as patch:
        patch.setattr("crossfeed.learners.fake.address", lambda *path: 1)
        two = run_in(tmp_path / "two", "seeds=[1]")
    with pytest.raises(StoreMismatch, match=r"the data of warm are not the same in .*one and .*two"):
        merge([one, two], tmp_path / "merged")
    three = run_in(tmp_path / "three", "seeds=[1]")
    store = open_store(three)
    document = store.read_document("run")
    store.begin(store.read_description(), {key: value for key, value in document.items() if key != "description"})
    environment = store.read_document("environment")
    changed = environment | {"learner": environment["learner"] | {"device": "cuda:0"}}
    store.write_document("environment", changed)
    store.end()
    with pytest.raises(StoreMismatch, match=r"one and .*three: this run was begun with device"):
        merge([one, three], tmp_path / "merged")


def test_folders_that_cannot_be_merged_as_they_are_are_refused(tmp_path):
    one, two = (run_in(tmp_path / str(seed), f"seeds=[{seed}]") for seed in (0, 1))
    with pytest.raises(InvalidInput, match="two runs or more"):
        merge([one], tmp_path / "merged")
    for locations, out in (([one, one], "merged"), ([one, two], one)):
        with pytest.raises(InvalidInput, match="given twice"):
            merge(locations, tmp_path / out)
    shutil.copytree(one, tmp_path / "other")
    with pytest.raises(StoreMismatch, match="never mixed"):
        merge([one, two], tmp_path / "other")
    store = open_store(two)
    document = store.read_document("run")
    store.begin(store.read_description(), {key: value for key, value in document.items() if key != "description"})
    with pytest.raises(InvalidInput, match="is at work on it"):
        merge([one, two], tmp_path / "merged")
    store.end()
    missing = crossfeed_cli("merge", str(one), str(tmp_path / "none"), "--out", str(tmp_path / "merged"))
    assert missing.code == 2
    assert "not a crossfeed run" in missing.err
