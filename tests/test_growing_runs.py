"""A run's folder goes on with more generations, seeds, grid values and metrics, to the numbers of one made at once."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

import crossfeed.loop
from crossfeed import Experiment, MemoryStore, Run, open_executor, open_store, run
from crossfeed.description.growth import growth, obstacles
from crossfeed.description.reading import read_preset
from crossfeed.errors import StoreMismatch
from crossfeed.running.growth import plan_growth

from . import tiny
from .faults.cli import crossfeed_cli
from .runs import numbers

SMALL = ("n=30", "ecosystem.alpha=0.5")
"""One cell of single words."""


def described(*changes, preset="fake"):
    return Experiment.from_yaml(read_preset(preset), changes)


def checkpoints(folder):
    return sorted(path.relative_to(folder).as_posix() for path in (folder / "checkpoints").glob("*/*/*"))


def same_steps(first, second, experiment):
    """Two runs published and completed the same items."""
    for cell in experiment.cells():
        for step in ("pool", "outputs"):
            for generation in range(1, cell.experiment.generations + 1):
                there = [store.has_table(step, cell.name, generation) for store in (first, second)]
                assert there[0] == there[1]
                if there[0]:
                    one, other = (store.read_table(step, cell.name, generation) for store in (first, second))
                    assert one.to_pylist() == other.to_pylist()


WORLDS = {
    "one pool": (),
    "a grid": ("grid.ecosystem.alpha=[0, 0.5, 1]", "seeds=[0, 1]"),
    "kept models": ("checkpoints=all",),
    "no models kept": ("checkpoints=none",),
    "metrics now and then": (
        *("metrics.similarity.every=4", "metrics.distinct.every=5"),
        "metrics={loss: {}, similarity: {every: 4}, distinct: {every: 5}, accuracy: {every: 4}}",
    ),
    "accumulating": ("ecosystem.history=accumulate", "checkpoints=all"),
    "accumulating, all items": ("ecosystem.update=accumulate", "ecosystem.alpha=null", "checkpoints=all"),
    "clocks": ("ecosystem.entities.warm.every=3", "n=20", "pool_size=300"),
    "clocks, models kept": ("ecosystem.entities.warm.every=3", "n=20", "pool_size=300", "checkpoints=all"),
    "in turn": ("ecosystem.order=sequential",),
    "arrivals": ("ecosystem.entities.cold.from=1",),
    "coins": ("ecosystem.probability=0.6", "pool_size=300"),
    "from the own first model": ("ecosystem.start=own",),
    "a filter": ("ecosystem.curation={duplicates: {}}",),
    "a ranking": ("ecosystem.access={rank: popularity, top: 5}", "ecosystem.history=accumulate", "checkpoints=all"),
    "a network": ("ecosystem.reads=ring",),
    "prompts of the pool": ("ecosystem.prompts=pool", "ecosystem.entities.warm.every=2", "pool_size=100"),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("end", [1, 3])
def test_a_longer_run_has_the_numbers_of_one_made_at_once(tmp_path, world, end):
    changes = (SMALL[0], *WORLDS[world]) if world == "a grid" else (*SMALL, *WORLDS[world])
    longer = described(*changes, "generations=6")
    whole, store = open_store(tmp_path / "whole"), open_store(tmp_path / "grown")
    expected = run(longer, whole)
    run(described(*changes, f"generations={end}"), store)
    grown = run(longer, store)
    assert numbers(grown) == numbers(expected)
    assert numbers(store.read_result("records")) == numbers(expected)
    assert store.set_aside == []
    same_steps(store, whole, longer)
    loaded = Run.load(tmp_path / "grown")
    assert loaded.experiment == longer
    assert set(loaded.cells["state"]) == {"finished"}
    assert checkpoints(tmp_path / "grown") == checkpoints(tmp_path / "whole")


@pytest.mark.parametrize(
    "described", [tiny.TINY, tiny.ADAPTED, tiny.UNEQUAL, tiny.LINEAR], ids=["lm", "adapters", "unequal", "linear"]
)
def test_learners_of_all_kinds_go_on(tmp_path, described):
    run(Experiment.from_yaml(described, ("generations=1",)), open_store(tmp_path / "run"))
    longer = Experiment.from_yaml(described, ("generations=3",))
    assert numbers(run(longer, open_store(tmp_path / "run"))) == numbers(run(longer, MemoryStore()))


@pytest.mark.parametrize("changes", [("seeds=[0, 1, 2]",), ("grid.ecosystem.alpha=[0.5, 0, 0.25, 1]",)])
@pytest.mark.parametrize("kept", ["last", "all", "none"])
def test_more_cells_are_the_cells_of_the_larger_run(tmp_path, changes, kept):
    small = ("n=30", "generations=2", "grid.ecosystem.alpha=[0, 0.5]", "seeds=[0, 2]", f"checkpoints={kept}")
    larger = described(*small, *changes, "generations=4")
    folder = tmp_path / "run"
    run(described(*small), open_store(folder))
    assert numbers(run(larger, open_store(folder))) == numbers(run(larger, MemoryStore()))
    assert Run.load(folder).experiment == larger
    assert numbers(run(larger, open_store(folder))) == numbers(run(larger, MemoryStore()))


def test_a_run_grows_again_and_again_on_workers_too(tmp_path):
    store = open_store(tmp_path / "run")
    steps = (("generations=1",), ("generations=1", "seeds=[0, 1]"), ("generations=3", "seeds=[0, 1]"))
    for changes in steps:
        with_workers = run(described(*changes, "n=30"), store, executor=open_executor("processes", workers=2))
        assert numbers(with_workers) == numbers(run(described(*changes, "n=30"), MemoryStore()))
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["before"] == [described(*changes, "n=30").id for changes in steps[:2]]
    assert document["id"] == described(*steps[2], "n=30").id
    assert "grows" not in document


ADDED = "metrics={loss: {}, similarity: {items: 6}, distinct: {}, accuracy: {every: 2}}"
"""Metrics of losses, of completions and of embeddings, the last of fewer items than the one that is there."""


def in_order(outputs):
    return sorted(outputs, key=lambda row: [row[name] for name in ("model", "task", "item")])


def sorted_numbers(outcome):
    return sorted(numbers(outcome), key=str)


@pytest.mark.parametrize("before", ["metrics={loss: {}}", "metrics={similarity: {items: 6}}", "metrics={distinct: {}}"])
def test_a_metric_that_is_added_is_measured_from_kept_models(tmp_path, before):
    changes = ("n=30", "checkpoints=all", "generations=3", "grid.ecosystem.alpha=[0, 1]")
    measured = described(*changes, ADDED)
    folder = tmp_path / "run"
    run(described(*changes, before), open_store(folder))
    expected = run(measured, open_store(tmp_path / "whole"))
    assert sorted_numbers(run(measured, open_store(folder))) == sorted_numbers(expected)
    for cell in measured.cells():
        stores = [open_store(tmp_path / name) for name in ("run", "whole")]
        one, other = (store.read_table("outputs", cell.name, 2).to_pylist() for store in stores)
        assert in_order(one) == in_order(other)
    assert not list((folder / "added").glob("*.json"))
    assert sorted_numbers(run(measured, open_store(folder))) == sorted_numbers(expected)


def test_metrics_cells_and_generations_may_be_added_at_once(tmp_path):
    small = ("n=30", "checkpoints=all", "generations=2", "grid.ecosystem.alpha=[0, 1]", "metrics={loss: {}}")
    larger = described(*small[:2], "generations=4", "grid.ecosystem.alpha=[0, 0.5, 1]", "seeds=[0, 1]", ADDED)
    run(described(*small), open_store(tmp_path / "run"))
    assert sorted_numbers(run(larger, open_store(tmp_path / "run"))) == sorted_numbers(run(larger, MemoryStore()))


def test_where_models_were_not_kept_an_added_metric_is_measured_at_those_that_were(tmp_path):
    changes = ("n=30", "generations=3", "grid.ecosystem.alpha=[0, 1]")
    store = open_store(tmp_path / "run")
    run(described(*changes, "metrics={loss: {}}"), store)
    before = numbers(store.read_result("records"))
    after = run(described(*changes, "metrics={loss: {}, distinct: {}}"), store)
    assert [row for row in numbers(after) if dict(row)["metric"] == "loss"] == [
        row for row in before if dict(row)["metric"] == "loss"
    ]
    generations = {row["generation"] for row in after.records.to_pylist() if row["metric"] == "distinct_1"}
    assert generations == {3}
    answer = crossfeed_cli("show", str(tmp_path / "run"))
    assert answer.code == 0
    assert "distinct: added later, and not measured at 6 generations of cells, whose models were not kept" in " ".join(
        answer.out.split()
    )


def test_a_metric_that_reads_lost_outputs_is_refused(tmp_path):
    changes = ("n=30", "generations=3", "ecosystem.alpha=0.5")
    store = open_store(tmp_path / "run")
    run(described(*changes, "metrics={loss: {}}"), store)
    with pytest.raises(StoreMismatch, match=r"metrics.projection reads the outputs of every generation, and of gener"):
        run(described(*changes, "metrics={loss: {}, projection: {}}"), store)
    assert numbers(store.read_result("records")) == numbers(
        run(described(*changes, "metrics={loss: {}}"), MemoryStore())
    )


REFUSED = {
    "n=31": "n: 31, and there 30",
    "seeds=[1]": "seeds: without 0, which is there",
    "generations=1": "and more (generations: 1, and there 3)",
    "grid.ecosystem.alpha=[0]": "and more (grid: ecosystem.alpha without 1, which is there)",
    "grid.n=[30, 40]": "grid: it varies ecosystem.alpha, n, and there ecosystem.alpha",
    "metrics={similarity: {}}": "metrics: without loss, which is measured there",
    "metrics={loss: {items: 7}}": "metrics.loss: other settings than there",
    "ecosystem.beta=0.7": "ecosystem.beta: 0.7, and there its default",
    "tasks.warm.words=[red, blue]": "tasks.warm.words",
    "learner.reads_at_most=7": "learner.reads_at_most: 7, and there its default",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_does_not_go_on_is_refused_by_name_and_nothing_is_touched(tmp_path, change):
    changes = ("n=30", "generations=3", "grid.ecosystem.alpha=[0, 1]", "metrics={loss: {}}")
    folder = tmp_path / "run"
    run(described(*changes), open_store(folder))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(StoreMismatch) as refused:
        run(described(*changes, change), open_store(folder))
    assert REFUSED[change] in str(refused.value)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_longer_history_needs_the_models_that_wrote_it(tmp_path):
    changes = (*SMALL, "ecosystem.history=accumulate")
    run(described(*changes, "generations=2"), open_store(tmp_path / "run"))
    with pytest.raises(StoreMismatch, match=r"history accumulates.*checkpoints: last.*begin a run of its own"):
        run(described(*changes, "generations=4"), open_store(tmp_path / "run"))


def test_fresh_data_are_those_of_a_run_made_for_as_many_generations(tmp_path):
    changes = (*SMALL, "ecosystem.fresh_fraction=0.2", "public.train=200")
    run(described(*changes, "generations=2"), open_store(tmp_path / "run"))
    with pytest.raises(StoreMismatch, match=r"with a fresh_fraction public data are set aside"):
        run(described(*changes, "generations=4"), open_store(tmp_path / "run"))


def test_packed_cells_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(crossfeed.loop, "TOGETHER", 3)
    changes = ("n=20", "seeds=[0, 1, 2, 3]", "ecosystem.alpha=0.5", "checkpoints=all")
    folder = tmp_path / "run"
    run(described(*changes, "generations=2", "metrics={loss: {}}"), open_store(folder))
    assert list((folder / "packs").rglob("*.parquet"))
    larger = described(*changes, "generations=3", ADDED, "seeds=[0, 1, 2, 3, 4]")
    for executor in (open_executor("processes", workers=2), None):
        assert sorted_numbers(run(larger, open_store(folder), executor=executor)) == sorted_numbers(
            run(larger, MemoryStore())
        )
    assert not list((folder / "records").rglob("*.parquet"))


_AGAIN = """
import sys
from crossfeed import Experiment, open_store, run
run(Experiment.from_yaml(open(sys.argv[1]).read()), open_store(sys.argv[2]))
"""


@pytest.mark.parametrize("trial", range(6))
def test_a_growth_that_is_killed_goes_on(tmp_path, trial):
    changes = ("n=30", "checkpoints=all", "grid.ecosystem.alpha=[0, 1]")
    folder, after = tmp_path / "run", tmp_path / "after.yaml"
    run(described(*changes, "generations=2", "metrics={loss: {}}"), open_store(folder))
    larger = described(*changes, "generations=6", "seeds=[0, 1]", ADDED)
    after.write_text(larger.to_yaml())
    process = subprocess.Popen([sys.executable, "-c", _AGAIN, str(after), str(folder)])
    document = folder / "run.json"
    while json.loads(document.read_text()).get("id") != larger.id and process.poll() is None:
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.4))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sorted_numbers(run(larger, open_store(folder))) == sorted_numbers(run(larger, MemoryStore()))


_SHARE = """
import sys
from crossfeed import Experiment, open_store, run
experiment = Experiment.from_yaml(open(sys.argv[1]).read())
run(experiment, open_store(sys.argv[2]), cells=(int(sys.argv[3]), 3))
"""


def test_several_processes_let_one_run_grow(tmp_path):
    changes = ("n=30", "checkpoints=all", "grid.ecosystem.alpha=[0, 0.5, 1]")
    folder, after = tmp_path / "run", tmp_path / "after.yaml"
    run(described(*changes, "generations=2", "metrics={loss: {}}"), open_store(folder))
    larger = described(*changes, "generations=5", "seeds=[0, 1]", ADDED)
    after.write_text(larger.to_yaml())
    words = [sys.executable, "-c", _SHARE, str(after), str(folder)]
    processes = [subprocess.Popen([*words, str(number)]) for number in (1, 2, 3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    expected = sorted_numbers(run(larger, MemoryStore()))
    assert sorted_numbers(open_store(folder).read_result("records")) == expected
    document = json.loads((folder / "run.json").read_text())
    assert "grows" not in document
    assert len(document["before"]) == 1
    assert sorted_numbers(run(larger, open_store(folder))) == expected


def test_what_is_said_beforehand_is_what_is_done(tmp_path):
    small = ("n=30", "generations=2", "grid.ecosystem.alpha=[0, 1]", "metrics={loss: {}}")
    store = open_store(tmp_path / "run")
    before = described(*small)
    run(before, store)
    after = described(*small, "generations=5", "seeds=[0, 3]", "metrics={loss: {}, distinct: {}}")
    assert obstacles(before, after) == []
    assert growth(before, after).metrics == ("distinct",)
    plan = plan_growth(store, before, after)
    assert (plan.cells, plan.generations, plan.reused, plan.computed) == (4, 24, 6, 18)
    assert plan.begin_kept == ("alpha-0_seed-0", "alpha-1_seed-0")
    assert plan.begin_anew == ()
    assert plan.growth.cells == ("alpha-0_seed-3", "alpha-1_seed-3")
    assert plan.added == {"distinct": (2, 4)}
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert plan_growth(open_store(tmp_path / "run"), before, after).begin_kept == ()


def test_the_same_folder_is_found_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crossfeed.reporting.reports.report", lambda *_, **__: "no page")
    small = ["--quiet", "--set", "n=30", "--set", "grid.ecosystem.alpha=[0, 1]"]
    assert crossfeed_cli("run", "fake", *small, "--set", "generations=2").code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert crossfeed_cli("run", "fake", *small, "--set", "generations=4").code == 0
    said = crossfeed_cli("extend", str(folder), "--seeds", "0,1", "--dry-run")
    assert "computed: 10 generations of cells; reused: 10" in said.out
    answer = crossfeed_cli("extend", str(folder), "--seeds", "0,1", "--json", "--quiet")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["cells"]
    assert list((tmp_path / "runs").iterdir()) == [folder]
    expected = run(described("n=30", "grid.ecosystem.alpha=[0, 1]", "generations=4", "seeds=[0, 1]"), MemoryStore())
    assert numbers(open_store(folder).read_result("records")) == numbers(expected)
    for words in (["run", "fake", *small, "--set", "generations=2"], ["extend", str(folder), "--generations", "3"]):
        refused = crossfeed_cli(*words)
        assert refused.code == 2
        assert "and there 4" in refused.err
    assert crossfeed_cli("extend", str(folder)).code == 2
    assert crossfeed_cli("run", "fake", *small, "--set", "n=31", "--set", "generations=1").code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2
