r"""The description of an ecosystem of generative models: its entities and the data that each trains on.

K entities each own private data and share public data. At generation t >= 1 an entity draws each training example
from its private data, the public data, or the pool of published items with the weights (paper, Section 4)

.. math:: \bar\alpha_t \beta_t, \qquad \bar\alpha_t \bar\beta_t, \qquad \alpha_t w_j \ (\text{author } j),

where bars are complements and w are the shares of what is published (1/K in the paper). A fraction of each newly
collected pool may be fresh human data. At generation 0 nothing has been published yet: alpha is 0 and the private
share is `initial_beta`, a parameter of its own. A pool may be curated: then a draw from it is a draw from the items
that pass (`crossfeed.generation.curation`); it may be read through a ranking (`crossfeed.generation.access`).
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator, model_validator

from crossfeed.description.access import Access
from crossfeed.description.parts import Filters
from crossfeed.display.notebook import listed, page
from crossfeed.settings import Frozen, Name, Number, Sequence_, Share, Size

__all__ = ["Ecosystem", "Entity", "Schedule", "at_generation"]


def _own(value: float | tuple[float, ...] | None) -> str:
    """Return an entity's own weight as text."""
    return "" if value is None else listed(value if isinstance(value, tuple) else [value])


def _schedule(value: Any) -> float | tuple[float, ...]:
    if isinstance(value, list | tuple) and value:
        return tuple(_share(entry) for entry in value)
    return _share(value)


def _share(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError("give a share between 0 and 1, or a list of shares, one for each generation from 1 on")


def _alpha(value: Any) -> float | tuple[float, ...] | str | None:
    if value is None or value == "proportional":
        return value  # type: ignore[no-any-return]
    try:
        return _schedule(value)
    except ValueError as error:
        raise ValueError(f"{error}; or proportional") from error


Schedule = Annotated[float | tuple[float, ...], BeforeValidator(_schedule)]
"""A share: one number, or a list whose t-th entry holds at generation t = 1, 2, ... and whose last one lasts."""


def at_generation(schedule: float | tuple[float, ...], generation: int) -> float:
    """Return the value of a schedule at a generation t >= 1."""
    if isinstance(schedule, tuple):
        return schedule[min(generation, len(schedule)) - 1]
    return schedule


class Entity(Frozen):
    """One provider: its private data, its own weights where they differ, and its share of the published items.

    Attributes:
        name: A name, unique in the ecosystem.
        private: The task whose training data the entity owns.
        alpha: Its own synthetic share, where it differs from the ecosystem's.
        beta: Its own private share of the real data from generation 1 on, where it differs.
        n: Its own size of training sets, where it differs from the experiment's n; also of those of generation 0,
            unless `initial_n` is given. It publishes `pool_size` items, as the others do.
        share: Its share of the published items, relative to the other entities' (all equal by default).
        learner: Fields in which its learner differs from the experiment's, laid over the common ones; with a `kind`, a
            whole description that takes nothing from the common one. Read by `Experiment.learners`.
    """

    name: Name
    private: Name
    alpha: Schedule | None = None
    beta: Schedule | None = None
    n: Size | None = None
    share: Annotated[Number, Field(ge=0.0, le=1e9)] = 1.0
    learner: dict[str, Any] | None = None


class Ecosystem(Frozen):
    """The K entities and how they train on each other's outputs.

    Attributes:
        entities: One or more entities.
        alpha: Synthetic share of each training set at generations t >= 1; a number, a list over generations
            (the last one lasts), or ``proportional``: t/(t+1), every generation has the weight of the real data. May
            be left out if every entity has its own.
        beta: Private share of the real data at generations t >= 1; a number or a list.
        initial_beta: Private share at generation 0; default: each entity's beta at
            generation 1.
        history: ``latest``: the pool is the newest generation alone (the paper). ``accumulate``: every
            generation stays in the pool with equal weight.
        fresh_fraction: Share of each newly collected pool that is fresh human data, public data that no
            training set has held before.
        update: ``accumulate-and-subsample`` (Kazdan et al., 2025; the paper): training sets keep their size n and
            are drawn by alpha and beta. ``replace`` (Shumailov et al., 2024): from generation 1 on, synthetic data
            of the newest generation alone. ``accumulate`` (Gerstgrasser et al., 2024): every generation adds n
            synthetic examples to the real ones, so sets grow to n (t+1) and alpha is t/(t+1).
        curation: Filters by name; an item that any of them rejects is never drawn from the pool.
        access: A ranking through which the pool is read; default: every draw is from all of it.
    """

    entities: Annotated[Sequence_[Entity], Field(min_length=1)]
    alpha: Annotated[float | tuple[float, ...] | Literal["proportional"] | None, BeforeValidator(_alpha)] = None
    beta: Schedule = 0.5
    initial_beta: Share | None = None
    history: Literal["latest", "accumulate"] | None = None
    fresh_fraction: Share = 0.0
    update: Literal["replace", "accumulate", "accumulate-and-subsample"] = "accumulate-and-subsample"
    curation: Filters = Field(default_factory=dict)
    access: Access | None = None

    @field_validator("entities")
    @classmethod
    def _distinct(cls, entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
        named = Counter(entity.name for entity in entities)
        twice = sorted(name for name, count in named.items() if count > 1)
        if twice:
            raise ValueError(f"entity names must differ; given more than once: {', '.join(twice)}")
        if not any(entity.share > 0 for entity in entities):
            raise ValueError("at least one entity must have a share above 0, or nothing is published")
        return entities

    @model_validator(mode="after")
    def _scheme_decides(self) -> Self:
        """Refuse an alpha or history that contradicts the update scheme `replace` or `accumulate`."""
        implied: dict[str, tuple[object, str]] = {
            "replace": (1.0, "latest"),
            "accumulate": ("proportional", "accumulate"),
        }
        if self.update in implied:
            alpha, history = implied[self.update]
            own = [entity.name for entity in self.entities if entity.alpha is not None]
            if self.alpha not in (None, alpha) or own:
                raise ValueError(f"update: {self.update} means alpha: {alpha} for every entity; leave alpha out")
            if self.history not in (None, history):
                raise ValueError(f"update: {self.update} means history: {history}; leave history out")
        elif self.alpha is None and any(entity.alpha is None for entity in self.entities):
            raise ValueError("alpha is missing: give a share in [0, 1], a list of shares, or proportional")
        return self

    def __repr__(self) -> str:
        names = ", ".join(self.names[:4]) + (", ..." if len(self.names) > 4 else "")
        return f"Ecosystem({len(self.names)} entities: {names}; alpha: {self.alpha}, beta: {self.beta})"

    def _repr_html_(self) -> str:
        alpha = "own" if self.alpha is None else self.alpha
        facts = {"alpha": alpha, "beta": self.beta, "history": "all" if self.accumulates else "latest"}
        facts |= {"update": self.update, "fresh fraction": self.fresh_fraction}
        if self.curation:
            facts["curation"] = ", ".join(self.curation)
        if self.access is not None:
            facts["access"] = f"the first {self.access.top} by {self.access.rank}"
        return page(f"Ecosystem of {len(self.entities)}", facts, {"": self.columns})

    @property
    def columns(self) -> dict[str, list[object]]:
        """Columns of a table of the entities, by name; weights and sizes of their own if any entity has one."""
        own: dict[str, list[float | tuple[float, ...] | None]] = {
            "own alpha": [entity.alpha for entity in self.entities],
            "own beta": [entity.beta for entity in self.entities],
            "own n": [entity.n for entity in self.entities],
        }
        return {
            "entity": list(self.names),
            "private data": [entity.private for entity in self.entities],
            "share of the pool": self.shares.tolist(),
            **{name: list(map(_own, values)) for name, values in own.items() if any(v is not None for v in values)},
        }

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The entities' names, in order."""
        return tuple(entity.name for entity in self.entities)

    @property
    def accumulates(self) -> bool:
        """True if older generations stay in the pool."""
        return self.update == "accumulate" or self.history == "accumulate"

    @property
    def shares(self) -> NDArray[np.float64]:
        """``(K,)`` shares w of the published items; they sum to 1."""
        relative = np.array([entity.share for entity in self.entities], dtype=np.float64)
        shares: NDArray[np.float64] = relative / relative.sum()
        return shares

    def alphas(self, generation: int) -> NDArray[np.float64]:
        """Return every entity's synthetic share at a generation.

        Args:
            generation: The generation t >= 0.

        Returns:
            ``(K,)`` shares alpha; 0 at generation 0.
        """
        if generation == 0:
            return np.zeros(len(self.entities))
        common = self.common_alpha(generation)
        return np.array([common if e.alpha is None else at_generation(e.alpha, generation) for e in self.entities])

    def betas(self, generation: int) -> NDArray[np.float64]:
        """Return every entity's private share of the real data at a generation.

        Args:
            generation: The generation t >= 0.

        Returns:
            ``(K,)`` shares beta.
        """
        if generation == 0:
            return self.betas(1) if self.initial_beta is None else np.full(len(self.entities), self.initial_beta)
        common = self.common_beta(generation)
        return np.array([common if e.beta is None else at_generation(e.beta, generation) for e in self.entities])

    def set_size(self, n: int, generation: int) -> int:
        """Return the size of each training set at a generation.

        Args:
            n: The size at generation 0.
            generation: The generation t >= 0.

        Returns:
            The number of examples.
        """
        return n * (generation + 1) if self.update == "accumulate" else n

    def common_alpha(self, generation: int) -> float:
        """Return the synthetic share of entities without one of their own.

        Args:
            generation: The generation t >= 1.

        Returns:
            The share alpha; NaN if every entity has its own.
        """
        if self.update == "replace":
            return 1.0
        if self.update == "accumulate" or self.alpha == "proportional":
            return generation / (generation + 1)
        if self.alpha is None:
            return float("nan")
        return at_generation(self.alpha, generation)

    def common_beta(self, generation: int) -> float:
        """Return the private share of the real data of entities without one of their own.

        Args:
            generation: The generation t >= 1.

        Returns:
            The share beta.
        """
        return at_generation(self.beta, generation)
