"""Clocks, arrivals, sizes that grow, private data of several tasks: what each field means, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crossfeed import Ecosystem, Entity, MemoryStore, run
from crossfeed.description.schedules import Growth, size_at
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.generation.calendar import Calendar
from crossfeed.generation.shelf import Shelf


def calendar(*entities, seed=0, **fields) -> Calendar:
    named = [Entity(name=f"e{k}", private="x", **own) for k, own in enumerate(entities)]
    return Calendar(Ecosystem(entities=tuple(named), alpha=0.5, **fields), seed)


def trained(found: Calendar, k: int, last: int = 12) -> list[int]:
    return [t for t in range(last + 1) if found.trains(t)[k]]


def test_clocks_say_when_one_trains_and_arrivals_when_one_begins():
    found = calendar({}, {"every": 4}, {"every": 3, "phase": 1}, {"from": 5, "until": 9, "every": 2})
    assert trained(found, 0) == list(range(13))
    assert trained(found, 1) == [0, 4, 8, 12]
    assert trained(found, 2) == [0, 1, 4, 7, 10]
    assert trained(found, 3) == [5, 6, 8]
    assert [t for t in range(13) if found.present(t)[3]] == [5, 6, 7, 8, 9]


def test_texts_stay_until_the_next_ones_or_are_dropped():
    kept, dropped = (calendar({}, {"every": 3}, stale=stale) for stale in ("keep", "drop"))
    assert [kept.born(t, 0)[1] for t in range(1, 9)] == [1, 1, 1, 4, 4, 4, 7, 7]
    assert [dropped.born(t, 0)[1] for t in range(1, 9)] == [1, 0, 0, 4, 0, 0, 7, 0]
    assert kept.readers(4, 8) == [4, 5, 6]  # of e0's texts 4 alone, of e1's all three


def test_in_turn_one_reads_what_those_before_just_wrote():
    found = calendar({}, {}, {}, order="sequential")
    assert found.born(3, 1).tolist() == [4, 3, 3]
    assert found.readers(4, 8) == [3, 4]


def test_coins_are_fair_and_of_the_seed():
    found = [calendar({}, seed=seed, probability=0.3) for seed in range(40)]
    counts = np.array([len(trained(each, 0, 100)) - 1 for each in found])
    assert stats.binomtest(int(counts.sum()), 4000, 0.3).pvalue > 1e-6
    assert trained(found[0], 0, 50) == trained(calendar({}, seed=0, probability=0.3), 0, 50)
    assert len({tuple(trained(each, 0, 50)) for each in found}) > 30


def test_a_shelf_is_drawn_from_by_the_weights_of_its_tasks():
    shelf = Shelf((10, 40, 5), (0.5, 0.2, 0.3))
    rows = shelf.rows(np.random.default_rng(0).random(200_000))
    expected = np.repeat([0.5 / 10, 0.2 / 40, 0.3 / 5], [10, 40, 5]) * 200_000
    assert stats.chisquare(np.bincount(rows, minlength=55), expected).pvalue > 1e-6
    assert Shelf((3, 4), (0.0, 1.0)).rows(np.array([0.0, 0.5, 1 - 1e-16])).tolist() == [3, 5, 6]


def test_sizes_grow_by_a_rule():
    assert [size_at((3, 5), t) for t in range(4)] == [3, 3, 5, 5]
    assert [size_at(Growth(first=10, add=5), t) for t in range(4)] == [10, 10, 15, 20]
    assert [size_at(Growth(first=10, factor=1.5), t) for t in range(5)] == [10, 10, 15, 22, 34]
    assert size_at(Growth(first=10, add=-3), 4) == 1
    for growth in (Growth(first=10, add=-9), Growth(first=10, factor=1e9), Growth(first=10, factor=1e300)):
        with pytest.raises(ValueError, match="sizes are from 1 to"):
            growth.at(9)


def test_an_entity_of_a_path_may_be_named(fake):
    by_name, by_place = (fake(f"ecosystem.entities.{k}.every=2", "ecosystem.alpha=0.5") for k in ("cold", "1"))
    assert by_name.id == by_place.id
    assert [entity.every for entity in by_name.ecosystem.entities] == [None, 2]
    varied = fake("grid={ecosystem.entities.cold.every: [1, 2], ecosystem.alpha: [0.5]}")
    assert [cell.experiment.ecosystem.entities[1].every for cell in varied.cells()] == [1, 2]


def test_training_sets_have_the_sizes_of_their_generations(fake):
    changes = ("n={first: 20, add: 10}", "initial_n=90", "pool_size=[5, 7]", "ecosystem.entities.1.from=2", "grid={}")
    outcome = run(fake(*changes, "ecosystem.alpha=0.5", "generations=3"), MemoryStore())
    drawn: dict[tuple, float] = {}
    for row in outcome.records.to_pylist():
        if row["metric"] == "drawn":
            place = row["model"], row["generation"]
            drawn[place] = drawn.get(place, 0) + row["value"]
    assert drawn == {
        ("warm", 0): 90,
        ("warm", 1): 20,
        ("warm", 2): 30,
        ("warm", 3): 40,
        ("cold", 2): 90,
        ("cold", 3): 40,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["ecosystem.phase=1"], ["phase = 1", "every = 1"]),
        (["ecosystem.entities.0.from=3", "ecosystem.entities.0.until=2"], ["until = 2", "from = 3"]),
        (["ecosystem.entities.0.from=3", "ecosystem.entities.1.from=1"], ["nobody is there at generation 0"]),
        (["ecosystem.probability=0"], ["probability", "greater than 0"]),
        (["ecosystem.entities.0.private={warm: 0}"], ["all weights are 0"]),
        (["ecosystem.entities.0.private={warm: 1, hot: 1}"], ["'hot'", "warm, cold"]),
        (["ecosystem.prompts={hot: 1}"], ["'hot'", "warm, cold"]),
        (["ecosystem.prompts=people"], ["private, public, pool", "people"]),
        (["ecosystem.start=own", "ecosystem.entities.0.from=1"], ["start: own", "arrives at 1"]),
        (["n={first: 3}"], ["either add or factor", "neither"]),
        (["n={first: 3, factor: 1e9}"], ["n: it is", "at generation 5", "100,000,000"]),
        (["pool_size={first: 3, add: -1}"], ["pool_size: it is -1", "at generation 5"]),
        (["ecosystem.entities.0.n={first: 3, add: -1}"], ["ecosystem.entities.0.n: it is -1"]),
        (["ecosystem.entities.0.from=6"], ["from = 6", "last generation is 5", "never arrives"]),
        (["ecosystem.entities.0.private=[warm]"], ["name of a task, or tasks with weights"]),
        (["ecosystem.access=bm25"], ["{rank: bm25, top: 10}"]),
        (["ecosystem.entities.hot.every=2"], ["'hot'", "nor the name of one"]),
        (["n={first: 3, ad: 1}"], ["n.ad", "add"]),
        (["n=[]"], ["n:", "integer"]),
        (["n=[3, 0]"], ["n:", "greater than or equal to 1"]),
        (["ecosystem.update=accumulate", "grid={}", "n=[2, 3]"], ["one number n"]),
        (["learner={kind: linear}", "ecosystem.start=scratch", "n=null"], ["start: scratch", "'linear'", "base"]),
    ],
)
def test_impossible_worlds_are_refused_by_name(fake, changes, words):
    with pytest.raises(InvalidDescription) as error:
        fake(*changes).cells()
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["ecosystem.order=sequential", "ecosystem.curation={loss: {quantile: 0.5}}"], ["curation", "sequential"]),
        (["ecosystem.order=sequential", "ecosystem.access={rank: popularity, top: 3}"], ["access", "sequential"]),
        (["ecosystem.prompts=pool", "ecosystem.curation={exact_answer: {}}"], ["curation", "several, or of the pool"]),
    ],
)
def test_what_reads_a_whole_pool_needs_one(fake, changes, words):
    with pytest.raises(InvalidInput) as error:
        run(fake(*changes), MemoryStore())
    for word in words:
        assert word in str(error.value), str(error.value)
