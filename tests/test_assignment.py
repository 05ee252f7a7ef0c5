"""Entities are assigned to workers by how much they read."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from crossfeed.executors.assignment import assign, expected_work
from crossfeed.executors.distributed import DistributedLearner
from crossfeed.generation.turn import compose
from crossfeed.running.session import Prepared
from tests.test_generation import context_of

LONG_WORDS = "tasks.cold.words=[incomprehensibilities, uncharacteristically, counterrevolutionaries]"


def busiest(work, owners, workers) -> float:
    return max(sum(each for each, own in zip(work, owners, strict=True) if own == worker) for worker in range(workers))


@pytest.mark.parametrize("seed", range(20))
def test_the_busiest_worker_has_at_most_a_third_more_than_in_the_best_assignment(seed):
    random = np.random.default_rng()
    entities, workers = random.integers(1, 8), int(random.integers(1, 4))
    work = random.exponential(size=entities).tolist()
    best = min(busiest(work, owners, workers) for owners in itertools.product(range(workers), repeat=len(work)))
    assert best <= busiest(work, assign(work, workers), workers) * (1 + 1e-12) <= best * (4 / 3 + 1e-9)


def test_pairs_of_like_entities_are_split_and_equal_ones_assigned_in_turn():
    assert busiest([1, 2, 1, 2], assign([1, 2, 1, 2], 2), 2) == 3  # in turn it would be 4
    assert assign([1] * 5, 2) == assign([0] * 5, 2) == [0, 1, 0, 1, 0]
    assert assign([1, 1], 3) == [0, 1]


def test_expected_work_is_what_training_sets_hold_on_average(fake):
    """Without synthetic data nothing has to be generated to know; in standard errors over seeds."""
    seeds = list(range(40))
    experiment = fake("grid={}", "ecosystem.alpha=0", "n=50", "initial_n=120", LONG_WORDS, f"seeds={seeds}")
    held = np.zeros((len(seeds), 2))
    for cell in range(len(seeds)):
        context = context_of(experiment, cell)
        for generation in range(experiment.generations + 1):
            sets = compose(context, generation, {})
            held[cell] += [sum(part.items.nbytes for part in drawn.parts) for drawn in sets]
    expected = expected_work(Prepared(context.cell, context.tasks, context.fresh))
    assert expected[1] > 1.2 * expected[0]
    error = held.std(axis=0, ddof=1) / np.sqrt(len(seeds))
    assert np.all(np.abs(held.mean(axis=0) - expected) < 6 * error + 1e-3 * np.array(expected))


def test_what_authors_write_counts_as_their_own_items(fake):
    experiment = fake("grid={}", "ecosystem.alpha=1", "ecosystem.beta=1", LONG_WORDS)
    context = context_of(experiment)
    warm, cold = (context.private(k).nbytes / context.private(k).num_rows for k in range(2))
    later = experiment.generations * (warm + cold) / 2
    expected = expected_work(Prepared(context.cell, context.tasks, context.fresh))
    assert expected == pytest.approx([experiment.n * (own + later) for own in (warm, cold)])


class _Workers:
    """Workers that number what they make."""

    executor = type("Executor", (), {"workers": 2})

    def request(self, requests):
        made = {w: request.get("arguments", {}).get("entities", [0]) for w, request in requests.items()}
        return {w: {"reply": "result", "value": list(range(len(m)))} for w, m in made.items()}


def test_started_or_read_every_state_is_where_its_entity_belongs(tmp_path: Path):
    (tmp_path / "state").write_bytes(b"x")
    owners = assign([1, 2, 1, 2], 2)
    learner = DistributedLearner(_Workers(), 0, "draws", owners)
    assert [state.worker for state in learner.start(range(4))] == owners
    for _ in range(2):
        assert [learner.load(tmp_path).worker for _ in range(4)] == owners
