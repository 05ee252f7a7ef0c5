"""An experiment in the terms of the theory: its description as a `crossfeed.theory.LinearEcosystem`.

| description | theory |
|---|---|
| features X of a task | Gram matrix X'X of the entity that owns it, also of what that entity publishes |
| a task's ``truth`` and ``noise`` | theta*_k and sigma |
| the linear learner's ``noise`` | sigma_generated |
| its ``steps``, ``rate``, ``ridge`` | the same names; steps begin at the state of the generation before |
| alpha, beta, initial_beta, shares, history, update | the weights, shares and history of the same names |
| reads, clocks (every, phase, probability, from, until), stale, order | the network and clocks of the same names |
| prompts | Gram matrix of what an entity publishes |
| fresh_fraction | weight of fresh rows with the public data's Gram matrix |

A description without linear theory is refused; the message states what to give instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.entity import Entity
from crossfeed.description.experiment import Experiment
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.protocols import PUBLIC, Array
from crossfeed.settings import TaskSettings, identity
from crossfeed.tasks.regression import RegressionSettings, RegressionTask
from crossfeed.theory import LinearEcosystem
from crossfeed.theory.step_size import check_step_size

__all__ = ["RegressionData", "linear_ecosystem", "settled_from", "settled_weights"]


class RegressionData:
    """Regression tasks of experiments; equal descriptions are drawn or read once."""

    def __init__(self) -> None:
        self._drawn: dict[str, RegressionTask] = {}

    def of(self, experiment: Experiment) -> dict[str, RegressionTask]:
        """Return every task of an experiment by name, the public data last.

        Args:
            experiment: The experiment.

        Returns:
            The tasks, in the order of the description.

        Raises:
            InvalidDescription: A task is no regression task, or dimensions differ.
            DataUnavailable: Features cannot be read.
        """
        named = [*experiment.tasks.items(), (PUBLIC, experiment.public)]
        data = {name: self._task(name, settings) for name, settings in named}
        sizes = {name: each.features.shape[1] for name, each in data.items()}
        if len(set(sizes.values())) > 1:
            raise InvalidDescription(
                f"tasks: all features need the same dimension; received {_listed(sizes)}; give equal dimensions"
            )
        return data

    def _task(self, name: str, settings: TaskSettings) -> RegressionTask:
        key = f"{name} {identity(settings)}"
        if key not in self._drawn:
            if not isinstance(settings, RegressionSettings) or settings.family != "gaussian":
                raise InvalidDescription(
                    f"{name}: exact theory reads features with gaussian responses, and this is "
                    f"{_listed(settings.model_dump(include={'source', 'family'}))}; give {{source: regression, ...}}, "
                    "as the preset figure-4 does"
                )
            if settings.part is not None:
                raise InvalidDescription(
                    f"{name}: exact theory takes the data of tasks as independent, and parts of one corpus "
                    f"(part: {settings.part}) may overlap; leave part out, and give each task rows of its own"
                )
            self._drawn[key] = settings.build(name, None)
        return self._drawn[key]


def linear_ecosystem(experiment: Experiment, data: RegressionData | None = None) -> LinearEcosystem:
    """Return the theory's description of an experiment, with its grid, if any, at its first values.

    Args:
        experiment: An experiment with the linear learner and regression tasks.
        data: Regression data drawn or read before; default: none.

    Returns:
        The ecosystem of linear models.

    Raises:
        InvalidDescription: The description has no linear theory.
        DataUnavailable: Features cannot be read.
    """
    _check_linear(experiment)
    tasks = (data or RegressionData()).of(experiment)
    ecosystem, public = experiment.ecosystem, tasks[PUBLIC]
    own = [[tasks[task] for task in entity.owned] for entity in ecosystem.entities]
    asked = [[tasks[task] for task in _asked(ecosystem, entity)] for entity in ecosystem.entities]
    # Without a truth, the theory must not compute errors of biased estimates.
    has_truth = any(task.settings.truth is not None for task in [*(task for tasks in own for task in tasks), public])
    lasting = settled_from(ecosystem) == 1
    fresh = ecosystem.fresh_fraction
    # By name, since this module imports no learner: the settings of the kind "linear" have these fields.
    learner = experiment.learner.model_dump()
    eco = _described(
        list(map(_stacked, own)),
        public.features,
        None if asked == own else list(map(_stacked, asked)),
        alpha=_weight(ecosystem.alphas, lasting),
        beta=_weight(ecosystem.betas, lasting),
        initial_beta=ecosystem.initial_beta,
        **_world(ecosystem),
        generated_at=_redrawn(asked),
        sigma=_common_noise(experiment, tasks),
        sigma_generated=learner["noise"],
        fresh=public.features if fresh > 0 else None,
        fresh_fraction=fresh,
        history="accumulate" if ecosystem.accumulates else "latest",
        truths=np.array(list(map(_truth, ecosystem.entities, own))) if has_truth else None,
        truth_public=public.truth if has_truth else None,
        steps=learner["steps"],
        rate=learner["rate"],
        ridge=learner["ridge"],
        start="previous" if learner["steps"] is None else _common_start(ecosystem),
    )
    try:
        check_step_size(eco, max(1, experiment.generations))
    except InvalidInput as error:
        raise InvalidDescription(f"learner.rate: {error}") from error
    return eco


def _redrawn(asked: Sequence[Sequence[RegressionTask]]) -> Callable[[int], Array] | None:
    """Return the (K, d, d) Gram matrices of the rows labelled at a generation, a function of it; None if they stay."""
    if not any(task.settings.redraw for tasks in asked for task in tasks):
        return None

    def grams(generation: int) -> Array:
        rows = [np.concatenate([task.rows_at(generation) for task in tasks]) for tasks in asked]
        return np.stack([each.T @ each for each in rows])

    return grams


def _world(ecosystem: Ecosystem) -> dict[str, Any]:
    """Return who reads whom, and when, as arguments of the theory; nothing of clocks where all are in step."""
    network = ecosystem.network
    if network is None:
        world: dict[str, Any] = {"shares": ecosystem.shares}
    else:
        world = {"reads": network}
    if ecosystem.in_step:
        return world
    entities, never = ecosystem.entities, 10**9
    return world | {
        "every": [ecosystem.every_of(entity) for entity in entities],
        "phase": [ecosystem.phase_of(entity) for entity in entities],
        "probability": [ecosystem.probability_of(entity) for entity in entities],
        "stale": ecosystem.stale,
        "order": ecosystem.order,
        "arrives": [entity.from_ for entity in entities],
        "leaves": [never if entity.until is None else entity.until for entity in entities],
    }


def _described(*data: Any, **options: Any) -> LinearEcosystem:
    try:
        return LinearEcosystem.from_features(*data, **options)
    except InvalidInput as error:
        if not {"reads", "every"} & options.keys() and options["generated_at"] is None:
            raise
        raise InvalidDescription(f"ecosystem: {error}") from error  # options that do not close together


def _common_start(ecosystem: Ecosystem) -> Literal["previous", "base", "own"]:
    """Return where all updates begin, which matters to models that stop early."""
    chosen = {ecosystem.start_of(entity) for entity in ecosystem.entities}
    (start, *others) = sorted(chosen)
    if others or start == "scratch":
        raise InvalidDescription(
            f"ecosystem.start: theory has one start for all entities, previous, base or own; received "
            f"{', '.join(sorted(chosen))}"
        )
    return start


def _asked(ecosystem: Ecosystem, entity: Entity) -> list[str]:
    """Return the tasks whose rows an entity labels for the others."""
    prompts = ecosystem.prompts_of(entity)
    if isinstance(prompts, dict):
        return list(prompts)
    return [PUBLIC] if prompts == "public" else list(entity.owned)


def _stacked(tasks: Sequence[RegressionTask]) -> Array:
    """Return the features of tasks, one below the other."""
    return tasks[0].features if len(tasks) == 1 else np.concatenate([task.features for task in tasks])


def _truth(entity: Entity, tasks: Sequence[RegressionTask]) -> Array:
    """Return the coefficients that all of an entity's private data follow."""
    truths = [task.truth for task in tasks]
    if any(not np.array_equal(truth, truths[0]) for truth in truths[1:]):
        raise InvalidDescription(
            f"entity {entity.name!r}: its tasks {', '.join(entity.owned)} follow unlike truths, and theory has one for "
            "each entity's data; give tasks of equal truth, or one task"
        )
    return truths[0]


def settled_weights(ecosystem: Ecosystem) -> tuple[Array, Array] | None:
    """Return the (K,) alphas and betas that hold from some generation on; None if they never settle."""
    settled = settled_from(ecosystem)
    return None if settled is None else (ecosystem.alphas(settled), ecosystem.betas(settled))


def settled_from(ecosystem: Ecosystem) -> int | None:
    """Return the first generation from which all weights are constant; None if they never settle."""
    common = ecosystem.alpha
    proportional = common == "proportional" or ecosystem.update == "accumulate"
    if proportional and any(entity.alpha is None for entity in ecosystem.entities):
        return None
    own = [weight for entity in ecosystem.entities for weight in (entity.alpha, entity.beta)]
    return max(len(each) if isinstance(each, tuple) else 1 for each in [common, ecosystem.beta, *own])


def _weight(at: Callable[[int], Array], lasting: bool) -> float | Array | Callable[[int], Array]:
    """Return a weight as the theory takes it: one number is fastest, a function of the generation slowest."""
    if not lasting:
        return at
    values = at(1)
    return float(values[0]) if (values == values[0]).all() else values


def _check_linear(experiment: Experiment) -> None:
    if experiment.learner.kind != "linear":
        raise InvalidDescription(
            f"learner: exact theory is of linear models and of discrete ones, and this experiment's learner is of the "
            f"kind {experiment.learner.kind!r}; give a description with learner: {{kind: linear}} and tasks of "
            "{source: regression, ...}, such as the preset figure-4, or with {kind: categorical} and {source: "
            "categorical, ...}, such as zipf-tails"
        )
    if experiment.learner.reading() != "everything":
        raise InvalidDescription(
            "learner.reads: exact theory is of learners that weigh all the data; give reads: everything"
        )
    if experiment.ecosystem.curation:
        given = ", ".join(experiment.ecosystem.curation)
        raise InvalidDescription(
            f"ecosystem.curation: exact theory knows no curated pool; received {given}; leave it out "
            "(--set ecosystem.curation={})"
        )
    if any(entity.learner for entity in experiment.ecosystem.entities):
        raise InvalidDescription(
            "ecosystem.entities: exact theory is of entities that all learn alike; leave their own learner out"
        )
    owned = [task for entity in experiment.ecosystem.entities for task in entity.owned]
    twice = sorted({task for task in owned if owned.count(task) > 1})
    if twice:
        raise InvalidDescription(
            f"ecosystem: theory takes private data as independent, and {', '.join(twice)} belongs to more than one "
            "entity; give each a task of its own"
        )


def _common_noise(experiment: Experiment, tasks: Mapping[str, RegressionTask]) -> float:
    used = [*experiment.ecosystem.owned_tasks, PUBLIC]
    noises = {name: tasks[name].noise for name in used}
    if len(set(noises.values())) > 1:
        raise InvalidDescription(
            f"tasks: theory has one noise for all human data; received {_listed(noises)}; give equal noise (features "
            "may be scaled instead)"
        )
    return noises[PUBLIC]


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())
