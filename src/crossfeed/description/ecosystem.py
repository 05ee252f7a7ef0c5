r"""The description of an ecosystem of generative models: its entities and the data that each trains on.

K entities each own private data and share public data. At generation t >= 1 an entity draws each training example
from its private data, the public data, or the pool of published items with the weights (paper, Section 4)

.. math:: \bar\alpha_t \beta_t, \qquad \bar\alpha_t \bar\beta_t, \qquad \alpha_t w_j \ (\text{author } j),

where bars are complements and w are the shares of what is published (1/K in the paper). A fraction of each newly
collected pool may be fresh human data. At generation 0 nothing has been published yet: alpha is 0 and the private
share is `initial_beta`, a parameter of its own. A pool may be curated: then a draw from it is a draw from the items
that pass (`crossfeed.generation.curation`); it may be read through a ranking (`crossfeed.generation.access`).

Beyond the paper, who reads whom can be a network (`crossfeed.description.networks`), and entities have clocks: they
train at some generations only, arrive and leave. What a model generates is published once, at the generation after it
was trained; there it stays until its author's next publication.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from crossfeed.description.access import Access
from crossfeed.description.entity import Entity, Prompts, Start, owned_words, words_of
from crossfeed.description.networks import matrix_of, read_network, relative_row
from crossfeed.description.parts import Filters
from crossfeed.description.preference import Preference
from crossfeed.description.schedules import SHARES, Schedule, at_generation, share_or_schedule
from crossfeed.display.notebook import page
from crossfeed.schema_rules import CHOSEN
from crossfeed.settings import Count, Frozen, Sequence_, Share

__all__ = ["Ecosystem"]


def _alpha(value: Any) -> float | tuple[float, ...] | str | None:
    if value is None or value == "proportional":
        return value  # type: ignore[no-any-return]
    try:
        return share_or_schedule(value)
    except ValueError as error:
        raise ValueError(f"{error}; or proportional") from error


def _access(value: Any) -> Any:
    if value is None or isinstance(value, dict | Access):
        return value
    raise ValueError("give a ranking and how much of it is seen, such as {rank: bm25, top: 10}")


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
        reads: Whom the entities read; default everybody reads one pool by the authors' shares. See
            `crossfeed.description.networks`.
        every: An entity trains at generations t >= 1 with t = `phase` modulo this; at generation 0 all do.
        phase: See `every`.
        probability: The probability with which an entity trains at a generation at which its clock says so.
        stale: ``keep``: texts stay in the pool until their author's next publication. ``drop``: they are in it only at
            the generation at which they are published.
        order: ``together``: at a generation all entities publish, then all train. ``sequential``: they train in turn,
            each publishes as soon as it is trained, and so each reads the newest texts of those before it.
        start: Weights that an update begins from, at generations t >= 1. ``previous``: the entity's last ones.
            ``base``: those that generation 0 began from. ``own``: its model of generation 0. ``scratch``: new ones,
            which are made as a base from scratch is.
        prompts: The prompts that published texts answer: the author's ``private`` training items; the ``public`` ones;
            those of the ``pool`` that the author read at the generation before; or items of tasks, by weight.
        access: A ranking through which the pool is read; default: every draw is from all of it.
        preference: A choice among candidates of what is drawn from the pool; default: every item is taken as it is.
    """

    entities: Annotated[Sequence_[Entity], Field(min_length=1)]
    alpha: Annotated[
        float | tuple[float, ...] | Literal["proportional"] | None,
        BeforeValidator(_alpha, json_schema_input_type=SHARES | Literal["proportional"] | None),
    ] = None
    beta: Schedule = 0.5
    initial_beta: Share | None = None
    history: Literal["latest", "accumulate"] | None = None
    fresh_fraction: Share = 0.0
    update: Literal["replace", "accumulate", "accumulate-and-subsample"] = "accumulate-and-subsample"
    curation: Filters = Field(default_factory=dict)
    reads: Annotated[Any, BeforeValidator(read_network), WithJsonSchema({CHOSEN: "network"})] = None
    every: Count = 1
    phase: Annotated[int, Field(ge=0)] = 0
    probability: Annotated[Share, Field(gt=0.0)] = 1.0
    stale: Literal["keep", "drop"] = "keep"
    order: Literal["together", "sequential"] = "together"
    start: Start = "previous"
    prompts: Prompts = "private"
    access: Annotated[Access | None, BeforeValidator(_access)] = None
    preference: Preference | None = None

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

    @model_validator(mode="after")
    def _readers_fit(self) -> Self:
        """Refuse a network that does not fit the entities, or that contradicts their shares."""
        unequal = [entity.name for entity in self.entities if entity.share != self.entities[0].share]
        if self.reads is not None and unequal:
            raise ValueError(
                f"reads gives every weight, and {unequal[0]} has a share of the pool; leave one of them out"
            )
        _ = self.network
        return self

    @model_validator(mode="after")
    def _choice_fits(self) -> Self:
        """Refuse a choice among candidates where it is not known beforehand what has to be generated."""
        if self.preferences is None:
            return self
        if self.access is not None:
            raise ValueError(
                "preference and access: what a ranking shows is known only when all items are, and candidates are "
                "generated before; leave one of them out"
            )
        if self.order == "sequential":
            raise ValueError(
                "preference: candidates are rated when all models of a generation are there, and with order: "
                "sequential they publish in turn; give order: together, or leave preference out"
            )
        return self

    @model_validator(mode="after")
    def _clocks_fit(self) -> Self:
        for entity in self.entities:
            every, phase = self.every_of(entity), self.phase_of(entity)
            if phase >= every:
                raise ValueError(
                    f"entity {entity.name!r}: phase = {phase} and every = {every}; give a phase below every"
                )
            if entity.until is not None and entity.until < entity.from_:
                raise ValueError(f"entity {entity.name!r}: until = {entity.until} is before from = {entity.from_}")
        if all(entity.from_ > 0 for entity in self.entities):
            raise ValueError("entities: nobody is there at generation 0; give at least one entity from: 0")
        return self

    def every_of(self, entity: Entity) -> int:
        """Return the number of generations from one training of an entity to the next.

        Args:
            entity: One of the entities.

        Returns:
            `Entity.every`, or the common one.
        """
        return self.every if entity.every is None else entity.every

    def phase_of(self, entity: Entity) -> int:
        """Return the phase of an entity's clock.

        Args:
            entity: One of the entities.

        Returns:
            `Entity.phase`, or the common one.
        """
        return self.phase if entity.phase is None else entity.phase

    def probability_of(self, entity: Entity) -> float:
        """Return the probability with which an entity trains when its clock says so.

        Args:
            entity: One of the entities.

        Returns:
            `Entity.probability`, or the common one.
        """
        return self.probability if entity.probability is None else entity.probability

    def start_of(self, entity: Entity) -> Start:
        """Return the weights that an entity's updates begin from.

        Args:
            entity: One of the entities.

        Returns:
            `Entity.start`, or the common one.
        """
        return entity.start or self.start

    def prompts_of(self, entity: Entity) -> Literal["private", "public", "pool"] | dict[str, float]:
        """Return the origin of the prompts that an entity's texts answer.

        Args:
            entity: One of the entities.

        Returns:
            `Entity.prompts`, or the common ones.
        """
        return self.prompts if entity.prompts is None else entity.prompts

    def preference_of(self, entity: Entity) -> Preference | None:
        """Return the choice among candidates of what an entity reads.

        Args:
            entity: One of the entities.

        Returns:
            `Entity.preference`, or the common one; None if items are taken as they are.
        """
        return self.preference if entity.preference is None else entity.preference

    @cached_property
    def preferences(self) -> tuple[Preference | None, ...] | None:
        """Each entity's choice among candidates, in order; None if nobody chooses."""
        known = tuple(map(self.preference_of, self.entities))
        return known if any(each is not None for each in known) else None

    @property
    def in_step(self) -> bool:
        """True if every entity trains and publishes at every generation, and all do so together."""
        return self.order == "together" and all(
            (self.every_of(e), self.probability_of(e), e.from_, e.until) == (1, 1.0, 0, None) for e in self.entities
        )

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
        if self.preference is not None:
            facts["preference"] = str(self.preference)
        return page(f"Ecosystem of {len(self.entities)}", facts, {"": self.columns})

    @property
    def columns(self) -> dict[str, list[object]]:
        """Columns of a table of the entities, by name; weights and sizes of their own if any entity has one."""
        own: dict[str, list[object]] = {
            f"own {name}": [getattr(entity, name) for entity in self.entities]
            for name in ("alpha", "beta", "n", "every", "phase", "probability", "start", "prompts")
        }
        own["from"] = [entity.from_ or None for entity in self.entities]
        own["until"] = [entity.until for entity in self.entities]
        return {
            "entity": list(self.names),
            "private data": [owned_words(entity) for entity in self.entities],
            "share of the pool": self.shares.tolist(),
            **{name: list(map(words_of, values)) for name, values in own.items() if any(v is not None for v in values)},
        }

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The entities' names, in order."""
        return tuple(entity.name for entity in self.entities)

    @cached_property
    def owned(self) -> dict[str, tuple[str, ...]]:
        """The tasks that each entity owns, by its name."""
        return {entity.name: tuple(entity.owned) for entity in self.entities}

    @cached_property
    def owned_tasks(self) -> tuple[str, ...]:
        """The tasks that some entity owns, each once."""
        return tuple(dict.fromkeys(task for tasks in self.owned.values() for task in tasks))

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

    @property
    def network(self) -> NDArray[np.float64] | None:
        """``(K, K)`` weights of authors (columns) for readers (rows), or None if everybody reads by the shares."""
        if self.reads is None and all(entity.reads is None for entity in self.entities):
            return None
        if self.reads is None:
            matrix = np.tile(self.shares, (len(self.entities), 1))
        else:
            matrix = matrix_of(self.reads, self.names)
        for k, entity in enumerate(self.entities):
            if entity.reads is not None:
                matrix[k] = relative_row(entity.reads, self.names, k)
        return matrix

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
