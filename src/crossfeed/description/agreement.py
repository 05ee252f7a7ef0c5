"""Agreement of the parts of an experiment: names, sizes, and what a learner can do with the ecosystem.

Each function raises a `ValueError` that names the part and what to give instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.missing import Missing
from crossfeed.protocols import PUBLIC
from crossfeed.settings import LearnerSettings, MetricSettings

__all__ = [
    "refuse_absentees",
    "refuse_infinite_losses",
    "refuse_samples",
    "refuse_sizes",
    "refuse_starts",
    "refuse_unknown_tasks",
]


def refuse_unknown_tasks(ecosystem: Ecosystem, tasks: Collection[str]) -> None:
    """Refuse entities that own, or are asked, tasks that are not described.

    Args:
        ecosystem: The ecosystem.
        tasks: The names of the tasks.

    Raises:
        ValueError: A task is not there.
    """
    known = ", ".join(tasks)
    for entity in ecosystem.entities:
        for task in entity.owned:
            if task not in tasks:
                raise ValueError(f"entity {entity.name!r}: private is {task!r}, which is not under tasks: {known}")
        prompts = ecosystem.prompts_of(entity)
        for task in prompts if isinstance(prompts, dict) else ():
            if task not in tasks and task != PUBLIC:
                raise ValueError(
                    f"entity {entity.name!r}: prompts name {task!r}, which is not under tasks: {known} (and public)"
                )


def refuse_sizes(ecosystem: Ecosystem, learner: LearnerSettings, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of training sets that the update scheme or the learner has no place for, or that are missing.

    Args:
        ecosystem: The ecosystem.
        learner: The common learner.
        sizes: ``n``, ``initial_n`` and ``pool_size``.

    Raises:
        ValueError: One of them is in the way, or n is missing.
    """
    if ecosystem.update == "accumulate" and sizes["initial_n"] is not None:
        raise ValueError(
            "update: accumulate adds n examples at every generation to the n of generation 0; leave initial_n out"
        )
    if ecosystem.update == "accumulate" and not isinstance(sizes["n"], int | None):
        raise ValueError("update: accumulate adds n examples at every generation; give one number n")
    if learner.reading() == "draws":
        if sizes["n"] is None and not isinstance(learner, Missing):
            raise ValueError("n is missing: give the size of each training set")
        return
    given = [name for name, size in sizes.items() if size is not None]
    if given:
        raise ValueError(f"{', '.join(given)}: this learner weighs all the data and draws nothing; leave it out")
    own = [f"ecosystem.entities.{k}.n" for k, entity in enumerate(ecosystem.entities) if entity.n is not None]
    if own:
        raise ValueError(
            f"{', '.join(own)}: this learner weighs all the data and draws nothing, so that sizes of training sets "
            "have no place in it; leave it out, and give the entity's task more rows or fewer"
        )


def refuse_samples(ecosystem: Ecosystem) -> None:
    """Refuse what has a meaning for sampled items alone, where a learner weighs all the data.

    Args:
        ecosystem: The ecosystem.

    Raises:
        ValueError: There is a ranking, a choice among candidates, unequal weights of tasks, or prompts of the pool.
    """
    if ecosystem.access is not None:
        raise ValueError(
            "ecosystem.access: this learner weighs all the data and draws nothing, so that no ranking stands "
            "between it and the pool; leave it out, or give a learner that reads draws"
        )
    if ecosystem.preferences is not None:
        raise ValueError(
            "ecosystem.preference: this learner weighs all the data and draws nothing, so that there are no draws to "
            "choose for; leave it out, or give a learner that reads draws"
        )
    for entity in ecosystem.entities:
        prompts = ecosystem.prompts_of(entity)
        several = {"private": entity.owned, "prompts": prompts if isinstance(prompts, dict) else {}}
        for field, weights in several.items():
            if len(set(weights.values())) > 1:
                raise ValueError(
                    f"entity {entity.name!r}: {field} has unequal weights, and this learner weighs all rows alike; "
                    "give equal weights"
                )
        if prompts == "pool":
            raise ValueError(
                f"entity {entity.name!r}: prompts: pool samples prompts, and this learner answers every one once; "
                "give private, public or tasks"
            )


def refuse_absentees(ecosystem: Ecosystem, generations: int) -> None:
    """Refuse entities that arrive when the run is over.

    Args:
        ecosystem: The ecosystem.
        generations: The last generation T.

    Raises:
        ValueError: An entity arrives after it.
    """
    for entity in ecosystem.entities:
        if entity.from_ > generations:
            raise ValueError(
                f"entity {entity.name!r}: from = {entity.from_}, and the last generation is {generations}: it never "
                "arrives; give more generations, or leave it out"
            )


def refuse_starts(ecosystem: Ecosystem, learners: Sequence[LearnerSettings]) -> None:
    """Refuse updates that begin where there is nothing to begin from.

    Args:
        ecosystem: The ecosystem.
        learners: Each entity's learner.

    Raises:
        ValueError: A learner has no base that can be made anew, or an entity no model of generation 0.
    """
    for entity, learner in zip(ecosystem.entities, learners, strict=True):
        start = ecosystem.start_of(entity)
        if start == "scratch" and not learner.restarts:
            raise ValueError(
                f"entity {entity.name!r}: start: scratch makes new weights as a base from scratch is made, and its "
                f"learner, of the kind {learner.kind!r}, has no such base; give start: base"
            )
        if start == "own" and entity.from_ > 0:
            raise ValueError(
                f"entity {entity.name!r}: start: own is the model of generation 0, and it arrives at "
                f"{entity.from_}; give start: base or previous"
            )


def refuse_infinite_losses(learners: Sequence[LearnerSettings], metrics: Mapping[str, MetricSettings]) -> None:
    """Refuse metrics that end a cell where they are infinite, for models that can give an item the probability 0.

    Args:
        learners: Each entity's learner.
        metrics: The metrics by name.

    Raises:
        ValueError: There is such a metric, and such a model.
    """
    lost = sorted({learner.kind for learner in learners if not learner.finite_losses})
    names = [name for name, each in metrics.items() if any(measure.finite for measure in each.measures)]
    if lost and names:
        raise ValueError(
            f"metrics: {', '.join(names)}: a model of the kind {' or '.join(lost)} without a prior gives what it never "
            "read the probability 0 and an infinite loss, which would end the run; give learner.prior a value above 0, "
            "or name metrics without a loss, such as {heterozygosity: {}} or {unseen_ngrams: {}}"
        )
