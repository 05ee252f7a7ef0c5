"""One entity of an ecosystem: what it owns, whom it reads, when it trains, from where, and what it is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from crossfeed.description.preference import Preference
from crossfeed.description.schedules import Growth, Schedule, SizeSchedule
from crossfeed.display.formatting import shown
from crossfeed.display.notebook import listed
from crossfeed.schema_rules import CHOSEN
from crossfeed.settings import Count, Frozen, Name, Number, Share

__all__ = ["Entity", "Prompts", "Start", "owned_words", "weights_of", "words_of"]

Start = Literal["previous", "base", "own", "scratch"]
"""Weights that an update begins from, see `Ecosystem.start`."""

_PROMPTS = ("private", "public", "pool")


def weights_of(value: Any) -> dict[str, float]:
    """Read relative weights by name.

    Args:
        value: A mapping.

    Raises:
        ValueError: It is none, or a weight is no number of at least 0, or all are 0.
    """
    if not isinstance(value, dict) or not value:
        raise ValueError("give weights by name, {name: weight, ...}")
    for name, weight in value.items():
        if not isinstance(name, str) or isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"give weights by name, {{name: weight, ...}}; received {shown(value)}")
        if not 0 <= weight <= 1e9:
            raise ValueError(f"{name}: a weight is a number of at least 0 and at most 1e9; received {shown(weight)}")
    if not any(value.values()):
        raise ValueError("all weights are 0; give at least one above 0")
    return {name: float(weight) for name, weight in value.items()}


def _private(value: Any) -> Any:
    if isinstance(value, dict):
        return weights_of(value)
    if not isinstance(value, str):
        raise ValueError("give the name of a task, or tasks with weights, {task: weight, ...}")
    return value


def _prompts(value: Any) -> Any:
    if value is None or isinstance(value, str):
        if value is not None and value not in _PROMPTS:
            raise ValueError(f"give {', '.join(_PROMPTS)}, or tasks with weights, {{task: weight, ...}}")
        return value
    return weights_of(value)


Weights = Annotated[dict[Name, Annotated[float, Field(ge=0.0, le=1e9)]], Field(min_length=1)]
"""The form in which `weights_of` takes weights."""

Prompts = Annotated[
    Literal["private", "public", "pool"] | dict[Name, Number],
    BeforeValidator(_prompts, json_schema_input_type=Literal["private", "public", "pool"] | Weights),
]
"""The origin of prompts, see `Ecosystem.prompts`."""


class Entity(Frozen):
    """One provider: its private data, its own weights where they differ, and its share of the published items.

    Attributes:
        name: A name, unique in the ecosystem.
        private: The task whose training data the entity owns; or several, with the weights at which its private draws
            come from each, ``{facts: 2, math: 1}``.
        alpha: Its own synthetic share, where it differs from the ecosystem's.
        beta: Its own private share of the real data from generation 1 on, where it differs.
        n: Its own size of training sets, where it differs from the experiment's n; also of those of generation 0,
            unless `initial_n` is given. It publishes `pool_size` items, as the others do.
        share: Its share of the published items, relative to the other entities' (all equal by default).
        reads: Whom it reads, where that differs: relative weights by author.
        every: Its own `Ecosystem.every`, where it differs.
        phase: Its own `Ecosystem.phase`, where it differs.
        probability: Its own `Ecosystem.probability`, where it differs.
        from_: ``from`` in YAML: the generation at which it arrives. It trains its first model then, on the mix of that
            generation, and publishes from the next one on.
        until: The last generation at which it trains and publishes; default it stays.
        start: Its own `Ecosystem.start`, where it differs.
        prompts: Its own `Ecosystem.prompts`, where they differ.
        learner: Fields in which its learner differs from the experiment's, laid over the common ones; with a `kind`, a
            whole description that takes nothing from the common one. Read by `Experiment.learners`.
        preference: Its own `Ecosystem.preference`, whole, where it differs.
    """

    name: Name
    private: Annotated[Name | dict[Name, Number], BeforeValidator(_private, json_schema_input_type=Name | Weights)]
    alpha: Schedule | None = None
    beta: Schedule | None = None
    n: SizeSchedule | None = None
    share: Annotated[Number, Field(ge=0.0, le=1e9)] = 1.0
    reads: Annotated[dict[Name, Number], BeforeValidator(weights_of, json_schema_input_type=Weights)] | None = None
    every: Count | None = None
    phase: Annotated[int, Field(ge=0)] | None = None
    probability: Annotated[Share, Field(gt=0.0)] | None = None
    from_: Annotated[int, Field(ge=0, le=10_000)] = Field(0, alias="from")
    until: Annotated[int, Field(ge=0)] | None = None
    start: Start | None = None
    prompts: Prompts | None = None
    learner: Annotated[dict[str, Any], WithJsonSchema({CHOSEN: "own_learner"})] | None = None
    preference: Preference | None = None

    @property
    def owned(self) -> dict[str, float]:
        """The tasks that it owns, with the shares of its private draws that come from each."""
        if isinstance(self.private, str):
            return {self.private: 1.0}
        total = sum(self.private.values())
        return {task: weight / total for task, weight in self.private.items()}


def words_of(value: object) -> str:
    """Return an entity's own value, or an experiment's size, as text; empty if there is none."""
    if value is None:
        return ""
    if isinstance(value, Growth):
        step = f"+ {value.add:g} a generation" if value.factor is None else f"times {value.factor:g} a generation"
        return f"{value.first} {step}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {weight:.3g}" for name, weight in value.items())
    return listed(value if isinstance(value, tuple) else [value])


def owned_words(entity: Entity) -> str:
    """Return the tasks that an entity owns as text, with their shares if there are several."""
    return next(iter(entity.owned)) if len(entity.owned) == 1 else words_of(entity.owned)
