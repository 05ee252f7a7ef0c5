"""A run's folder goes on with more generations, seeds, grid values and metrics, to the numbers of one made at once."""

from __future__ import annotations


import pytest

from crossfeed import Experiment, MemoryStore, Run, open_executor, open_store, run
from crossfeed.description.growth import growth, obstacles
from crossfeed.description.reading import read_preset
from crossfeed.errors import StoreMismatch

from .runs import numbers


def described(*changes, preset="fake"):
    return Experiment.from_yaml(read_preset(preset), changes)


SMALL = ("n=30", "ecosystem.alpha=0.5")
"""One cell of single words."""


def same_pools(first, second, experiment):
    """Two runs published the same items."""
    for cell in experiment.cells():
        for generation in range(1, cell.experiment.generations + 1):
            there = [store.has_table("pool", cell.name, generation) for store in (first, second)]
            assert there[0] == there[1]
            if there[0]:
                one, other = (store.read_table("pool", cell.name, generation) for store in (first, second))
                assert one.to_pylist() == other.to_pylist()


WORLDS = {
    "one pool": (),
    "a grid": ("grid.ecosystem.alpha=[0, 0.5, 1]", "seeds=[0, 1]"),
    "kept models": ("checkpoints=all",),
    "no models kept": ("checkpoints=none",),
    "metrics now and then": ("metrics.similarity.every=4", "metrics.distinct.every=5"),
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
    changes = (*SMALL, *WORLDS[world])
    if "grid.ecosystem.alpha=[0, 0.5, 1]" in changes:
        changes = tuple(each for each in changes if each != "ecosystem.alpha=0.5")
    longer = described(*changes, "generations=6")
    whole, store = open_store(tmp_path / "whole"), open_store(tmp_path / "grown")
    expected = run(longer, whole)
    run(described(*changes, f"generations={end}"), store)
    grown = run(longer, store)
    assert numbers(grown) == numbers(expected)
    assert numbers(store.read_result("records")) == numbers(expected)
    same_pools(store, whole, longer)
    assert Run.load(tmp_path / "grown").experiment.generations == 6
    assert sorted(p.name for p in (tmp_path / "grown" / "checkpoints").glob("*/*")) == sorted(
        p.name for p in (tmp_path / "whole" / "checkpoints").glob("*/*")
    )
