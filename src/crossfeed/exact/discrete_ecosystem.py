"""An experiment in the terms of the theory of discrete models: its description as a `DiscreteEcosystem`.

| description | theory |
|---|---|
| a task's probabilities, ``train`` and ``part`` | true distribution and number of rows of the entity that owns it |
| n, initial_n, pool_size | sizes of training sets and of published pools |
| alpha, beta, initial_beta, shares, reads (who reads whom), history, update, fresh_fraction | those of the same names |
| the learner's ``prior`` and ``reads`` | the prior, and draws or everything |

Expectations are over everything random: real data, draws and generated items. A description without such a theory is
refused; the message states what to give instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Experiment
from crossfeed.errors import InvalidDescription
from crossfeed.protocols import PUBLIC, Array
from crossfeed.settings import TaskSettings, numbers_of
from crossfeed.tasks.categorical import CategoricalTaskSettings
from crossfeed.theory.discrete import DiscreteEcosystem

__all__ = ["check_world", "discrete_ecosystem", "is_discrete", "reading_weights", "truths_of"]


def is_discrete(experiment: Experiment) -> bool:
    """Return True for experiments with the categorical learner.

    Args:
        experiment: The experiment.
    """
    return experiment.learner.kind == "categorical"


def truths_of(experiment: Experiment) -> dict[str, Array]:
    """Return the true distribution of every task, the public data last.

    Args:
        experiment: An experiment with categorical tasks.

    Returns:
        Distributions (d,) by the task's name.

    Raises:
        InvalidDescription: A task has no known distribution, or numbers of symbols differ.
    """
    named = [*experiment.tasks.items(), (PUBLIC, experiment.public)]
    truths = {name: _categorical(name, task).truth_probabilities for name, task in named}
    if len({len(truth) for truth in truths.values()}) > 1:
        received = ", ".join(f"{name}: {len(truth)}" for name, truth in truths.items())
        raise InvalidDescription(f"tasks: all need one number of symbols; received {received}; give equal numbers")
    return truths


def discrete_ecosystem(experiment: Experiment) -> DiscreteEcosystem:
    """Return the theory's description of an experiment, with its grid, if any, at its first values.

    Args:
        experiment: An experiment with the categorical learner and categorical tasks.

    Returns:
        The ecosystem of discrete models.

    Raises:
        InvalidDescription: The description has no exact theory of discrete models.
    """
    check_world(experiment)
    for problem in _problems(experiment):
        raise InvalidDescription(problem)
    truths, ecosystem = truths_of(experiment), experiment.ecosystem
    own = [next(iter(entity.owned)) for entity in ecosystem.entities]
    tasks = {**experiment.tasks, PUBLIC: experiment.public}
    rows = np.array([float(_rows(name, tasks[name])) for name in [*own, PUBLIC]])
    times, everyone = range(experiment.generations + 1), range(len(own))
    draws = experiment.learner.reading() == "draws"
    return DiscreteEcosystem(
        truths=np.stack([truths[name] for name in [*own, PUBLIC]]),
        rows=rows,
        alpha=np.stack([ecosystem.alphas(t) for t in times]),
        beta=np.stack([ecosystem.betas(t) for t in times]),
        reads=reading_weights(ecosystem),
        published=np.stack([_published(experiment, t, rows) for t in times]),
        accumulates=ecosystem.accumulates,
        fresh=ecosystem.fresh_fraction,
        fresh_rows=rows[-1],
        drawn=np.array([[float(experiment.size(t, k)) for k in everyone] for t in times]) if draws else None,
        # By name, since this module imports no learner: the settings of the kind "categorical" have this field.
        prior=experiment.learner.model_dump()["prior"],
    )


def reading_weights(ecosystem: Ecosystem) -> Array:
    """Return the weights of authors (columns) for readers (rows), shape (K, K).

    Args:
        ecosystem: The ecosystem.
    """
    network = ecosystem.network
    return np.tile(ecosystem.shares, (len(ecosystem.names), 1)) if network is None else network


def _published(experiment: Experiment, t: int, rows: Array) -> Array:
    """Return the number of items of every author at a generation; without a size, an answer to each prompt."""
    size = experiment.published(max(t, 1))
    prompts = [rows[-1] if _answers_public(experiment.ecosystem, k) else rows[k] for k in range(len(rows) - 1)]
    return np.array(prompts) if size is None else np.full(len(rows) - 1, float(size))


def _answers_public(ecosystem: Ecosystem, entity: int) -> bool:
    return ecosystem.prompts_of(ecosystem.entities[entity]) == "public"


def _categorical(name: str, task: TaskSettings) -> CategoricalTaskSettings:
    if not isinstance(task, CategoricalTaskSettings):
        raise InvalidDescription(
            f"{name}: theory of discrete models reads symbols, and this is source: {task.model_dump()['source']}; give "
            "{source: categorical, ...}"
        )
    return task


def _rows(name: str, task: TaskSettings) -> int:
    """Return the number of training items."""
    settings = _categorical(name, task)
    if settings.part is None:
        return settings.train
    number, parts = numbers_of(settings.part)
    return len(range(number - 1, settings.train, parts))


def check_world(experiment: Experiment) -> None:
    """Refuse what no theory of discrete models describes, with sampling noise or without.

    Args:
        experiment: The experiment.

    Raises:
        InvalidDescription: The learner is not categorical, entities learn or are timed in unlike ways, or the pool is
            filtered or ranked.
    """
    for problem in _problems_of_world(experiment):
        raise InvalidDescription(problem)


def _problems_of_world(experiment: Experiment) -> Iterator[str]:
    ecosystem = experiment.ecosystem
    if not is_discrete(experiment):
        yield (
            f"learner: this theory is of discrete models, and the learner is of the kind {experiment.learner.kind!r}; "
            "give {kind: categorical}"
        )
    if ecosystem.curation:
        yield (
            f"ecosystem.curation: exact theory knows no filtered pool; received {', '.join(ecosystem.curation)}; leave "
            "it out (--set ecosystem.curation={})"
        )
    if ecosystem.access is not None:
        yield "ecosystem.access: exact theory knows no ranked pool; leave it out (--set ecosystem.access=null)"
    if not ecosystem.in_step:
        yield (
            "ecosystem: exact theory of discrete models is of entities that all train at every generation, together; "
            "leave every, phase, probability, from, until and order out"
        )
    if any(entity.learner for entity in ecosystem.entities):
        yield "ecosystem.entities: exact theory is of entities that all learn alike; leave their own learner out"


def _problems(experiment: Experiment) -> Iterator[str]:
    """Yield what the theory with sampling noise does not describe."""
    ecosystem, learner = experiment.ecosystem, experiment.learner.model_dump()
    if ecosystem.preferences is not None:
        yield (
            "ecosystem.preference: moments are exact where nobody chooses among candidates; leave it out "
            "(crossfeed predict has the choice without sampling noise)"
        )
    if learner["temperature"] != 1:
        yield (
            f"learner.temperature: moments are exact where items are drawn from the model itself; received "
            f"{learner['temperature']:g}; give 1 (crossfeed.theory.tempering has other temperatures without noise)"
        )
    if learner["prior"] > 0 and learner["reads"] == "everything":
        yield (
            f"learner.prior: received {learner['prior']:g} with reads: everything; theory has a prior where n items "
            "are drawn; give reads: draws, or prior: 0"
        )
    several = [entity.name for entity in ecosystem.entities if len(entity.owned) > 1]
    if several:
        yield (
            f"entity {several[0]!r}: exact theory of discrete models has one task for each entity; give one, with the "
            "mixture as its probabilities"
        )
    if experiment.published(1) is None and any(
        ecosystem.prompts_of(entity) not in ("private", "public") for entity in ecosystem.entities
    ):
        yield "ecosystem.prompts: the number of prompts is not known to the theory; give pool_size, or prompts: private"
    shared = _same_data({**experiment.tasks, PUBLIC: experiment.public}, ecosystem)
    if shared:
        yield (
            f"tasks: theory takes the data of entities as independent, and {shared} hold the same items; give each a "
            "task of its own"
        )


def _same_data(tasks: Mapping[str, TaskSettings], ecosystem: Ecosystem) -> str:
    """Return two owners of one set of items, or of parts that overlap; empty if there are none."""
    seen: dict[tuple[int, str], list[tuple[int, tuple[int, int], str]]] = {}
    for name in [*(task for entity in ecosystem.entities for task in entity.owned), PUBLIC]:
        settings = _categorical(name, tasks[name])
        number, parts = (1, 1) if settings.part is None else numbers_of(settings.part)
        drawn = parts, settings.train  # with other ones, other items of the corpus have the same random numbers
        known = seen.setdefault((settings.seed, settings.corpus(name)), [])
        for other_number, other_drawn, other in known:
            if other_drawn != drawn or other_number == number:
                return f"{other} and {name}" if other != name else f"two entities with the task {name}"
        known.append((number, drawn, name))
    return ""
