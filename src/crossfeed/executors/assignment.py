"""Which worker has which entities of a cell that is spread: by how much each one's training sets hold."""

from __future__ import annotations

from collections.abc import Sequence

from crossfeed.generation.mixture import mixture_weights
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.running.session import Prepared

__all__ = ["deal", "expected_work"]


def deal(work: Sequence[float], workers: int) -> list[int]:
    """A worker for each entity: the largest work first, each to the worker that has the least so far.

    The busiest worker then has at most 4/3 of what it would have in the best of all deals (Graham, 1969, "Bounds on
    multiprocessing timing anomalies"). Equal work is dealt out in turn.

    Args:
        work: Of each entity, in any unit.
        workers: How many there are.
    """
    has = [(0.0, 0, worker) for worker in range(workers)]
    owners = [0] * len(work)
    for entity in sorted(range(len(work)), key=lambda k: -work[k]):
        total, members, worker = min(has)
        owners[entity], has[worker] = worker, (total + work[entity], members + 1, worker)
    return owners


def expected_work(one: Prepared) -> list[float]:
    """Bytes that each entity's training sets of all generations can be expected to hold.

    What an author writes counts as its private items, whose prompts it answers; generations t > 1 count as the first.

    Args:
        one: The cell.
    """
    experiment, ecosystem = one.cell.experiment, one.cell.experiment.ecosystem
    sizes = {name: task.train.nbytes / task.train.num_rows for name, task in one.tasks.items()}
    written = {entity.name: sizes[entity.private] for entity in ecosystem.entities}
    work = []
    for k, own in enumerate(written.values()):
        size = {**written, FRESH: sizes[PUBLIC], PUBLIC: sizes[PUBLIC], PRIVATE: own}
        expected = 0.0
        for generation, times in ((0, 1), (1, experiment.generations)):
            weights = mixture_weights(ecosystem, generation, k)
            items = 1 if experiment.n is None else experiment.size(generation)
            expected += times * items * sum(weight * size[source.name] for source, weight in weights.items())
        work.append(expected)
    return work
