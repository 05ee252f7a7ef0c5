"""The assignment of a distributed cell's entities to workers, by the size of their training sets."""

from __future__ import annotations

from collections.abc import Sequence

from crossfeed.generation.calendar import Calendar
from crossfeed.generation.mixture import mixture_weights
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.running.session import Prepared

__all__ = ["assign", "expected_work"]


def assign(work: Sequence[float], workers: int) -> list[int]:
    """Assign entities to workers, longest processing time first, each to the worker with the least work so far.

    The busiest worker then has at most 4/3 of its work under the best assignment (Graham, 1969, "Bounds on
    multiprocessing timing anomalies"). Entities of equal work are assigned in turn.

    Args:
        work: ``(K,)`` expected work of each entity, in any unit.
        workers: The number of workers.

    Returns:
        The worker of each entity.
    """
    loads = [(0.0, 0, worker) for worker in range(workers)]
    owners = [0] * len(work)
    for entity in sorted(range(len(work)), key=lambda k: -work[k]):
        load, members, worker = min(loads)
        owners[entity], loads[worker] = worker, (load + work[entity], members + 1, worker)
    return owners


def expected_work(prepared: Prepared) -> list[float]:
    """Estimate the size of each entity's training sets over all generations.

    Generated items count as their author's private items, whose prompts they answer; generations t > 1 count as the
    first.

    Args:
        prepared: The cell and its data.

    Returns:
        ``(K,)`` expected bytes of each entity.
    """
    experiment, ecosystem = prepared.cell.experiment, prepared.cell.experiment.ecosystem
    sizes = {name: task.train.nbytes / task.train.num_rows for name, task in prepared.tasks.items()}
    generated = {
        entity.name: sum(share * sizes[task] for task, share in entity.owned.items()) for entity in ecosystem.entities
    }
    calendar, work = Calendar(ecosystem, prepared.cell.seed), []
    for k, own in enumerate(generated.values()):
        size = {**generated, FRESH: sizes[PUBLIC], PUBLIC: sizes[PUBLIC], PRIVATE: own}
        expected = 0.0
        for generation, times in ((0, 1), (1, experiment.generations)):
            weights = mixture_weights(calendar, generation, k)
            items = 1 if experiment.n is None else experiment.size(generation, k)
            expected += times * items * sum(weight * size[source.name] for source, weight in weights.items())
        work.append(expected)
    return work
