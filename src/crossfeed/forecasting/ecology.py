"""An ecosystem as the surrogate knows it: tasks, sizes, and the data that each model trains on at every generation.

Everything about a mixture enters by its weights alone: alpha, beta, their schedules, shares, fresh data, history. So a
cell of a grid, to the surrogate, is three arrays (`Conditions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Experiment
from crossfeed.generation.calendar import Calendar
from crossfeed.generation.mixture import Source, mixture_weights
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC, Array

__all__ = ["Conditions", "Ecology", "conditions_of"]


@dataclass(frozen=True, eq=False)
class Ecology:
    """The part of a description that all cells of an experiment have in common.

    Attributes:
        own: ``(K,)`` index of each entity's private task.
        public: Index of the public task, which is the last one.
        tokens: ``(Q,)`` mean number of loss terms (tokens) of an item of each task.
        base: ``(K, Q)`` losses before generation 0; nan where they are not measured.
        guess: The loss of a uniform guess; None where there is no such thing.
        initial: ``(K, Q)`` weights of the tasks' real data at generation 0.
        initial_steps: ``(K,)`` training steps at generation 0.
        steps: Training steps of generation 1, of the entity with the fewest: the unit of time of the surrogate's rates.
    """

    own: NDArray[np.int64]
    public: int
    tokens: Array
    base: Array
    guess: float | None
    initial: Array
    initial_steps: Array
    steps: float

    @property
    def entities(self) -> int:
        """The number K of entities."""
        return len(self.own)

    @property
    def tasks(self) -> int:
        """The number Q of tasks, public ones and those without an owner included."""
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Conditions:
    """The data that the entities of one cell train on, generation by generation.

    Attributes:
        real: ``(T, K, Q)`` weights of each task's real data in the training sets of generations 1, ..., T.
        synthetic: ``(T, K, K)`` weights of each author's texts.
        steps: ``(T, K)`` training steps.
        accumulates: True if a generation draws evenly from all pools so far, False if from the newest.
    """

    real: Array
    synthetic: Array
    steps: Array
    accumulates: bool = False

    @property
    def generations(self) -> int:
        """The number T of generations."""
        return len(self.real)

    def until(self, generation: int) -> Conditions:
        """Return the conditions of the first generations alone.

        Args:
            generation: The last one that is kept.
        """
        return Conditions(
            self.real[:generation], self.synthetic[:generation], self.steps[:generation], self.accumulates
        )

    def neglects(self, own: NDArray[np.int64], public: int) -> bool:
        """Return True if, at some generation, some entity trains on no real data of its own task, or of the public one.

        What a model forgets of a task that it never sees again is an extrapolation, however well the rest is known.

        Args:
            own: ``(K,)`` index of each entity's private task.
            public: Index of the public task.
        """
        private = np.stack([self.real[:, k, task] for k, task in enumerate(own)], axis=1)
        return bool((private == 0).any() or (self.real[:, :, public] == 0).any())


def real_weights(ecosystem: Ecosystem, own: Sequence[int], tasks: int, generation: int) -> Array:
    """Return the weights of real data at a generation.

    Args:
        ecosystem: The ecosystem.
        own: Index of each entity's private task.
        tasks: The number Q of tasks; the last is the public one.
        generation: The generation t.

    Returns:
        ``(K, Q)`` weights; fresh data are of the public task.
    """
    weights = np.zeros((len(own), tasks))
    for k, task in enumerate(own):
        for source, weight in mixture_weights(Calendar(ecosystem, 0), generation, k).items():
            if source.name == PRIVATE:
                weights[k, task] += weight
            elif source.name in (PUBLIC, FRESH):
                weights[k, tasks - 1] += weight
    return weights


def conditions_of(
    experiment: Experiment, own: Sequence[int], tasks: int, steps: Callable[[int, int], float]
) -> Conditions:
    """Return the conditions of a cell.

    Args:
        experiment: The cell's experiment.
        own: Index of each entity's private task.
        tasks: The number Q of tasks; the last is the public one.
        steps: Returns the training steps of a generation t >= 1 and an entity k.
    """
    ecosystem, entities = experiment.ecosystem, range(len(own))
    generations = range(1, experiment.generations + 1)
    known: dict[tuple[bytes, bytes], tuple[Array, Array]] = {}
    real: list[Array] = []
    synthetic: list[Array] = []
    for t in generations:
        weights = ecosystem.alphas(t).tobytes(), ecosystem.betas(t).tobytes()
        if weights not in known:
            known[weights] = real_weights(ecosystem, own, tasks, t), _synthetic_weights(ecosystem, t)
        for kept, value in zip((real, synthetic), known[weights], strict=True):
            kept.append(value)
    counts = np.array([[steps(t, k) for k in entities] for t in generations], dtype=np.float64)
    shape = (len(generations), len(own))
    return Conditions(
        np.array(real).reshape(*shape, tasks),
        np.array(synthetic).reshape(*shape, len(own)),
        counts.reshape(shape),
        ecosystem.accumulates,
    )


def _synthetic_weights(ecosystem: Ecosystem, generation: int) -> Array:
    """Return the ``(K, K)`` weights of each author (columns) in each entity's training set, over all pools kept."""
    position = {name: j for j, name in enumerate(ecosystem.names)}
    weights = np.zeros((len(position), len(position)))
    for k in range(len(position)):
        each: dict[Source, float] = mixture_weights(Calendar(ecosystem, 0), generation, k)
        for source, weight in each.items():
            if source.name in position:
                weights[k, position[source.name]] += weight
    return weights
