"""Positions of the explorer's sliders, and the experiment that they describe.

A page starts from an experiment of linear models (`Start.of`). Its sliders are a frozen value, `Sliders`, in which
None means "as the experiment describes it": entities may have weights of their own, or weights that change with the
generation, which one slider cannot show. `Start.describe` turns settings into an experiment again, in the words of any
other description, so that what the page shows is what `crossfeed predict` prints of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.entity import Entity
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import fields_of, preset_names, read_preset, validate
from crossfeed.errors import InvalidDescription
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.explorer.first_point import first_point
from crossfeed.settings import Frozen, Number, Share
from crossfeed.tasks.regression import RegressionSettings

__all__ = ["GENERATIONS", "Sliders", "Start", "first_start"]

#: How far trajectories go where the experiment asks for no generation after the first.
GENERATIONS: Final = 15
_MOST_ENTITIES: Final = 60
_MOST_DIMENSIONS: Final = 50
_MOST_NOISE: Final = 4.0
_OWN_DATA: Final = frozenset({"entities", "dimension", "rank"})


class Sliders(Frozen):
    """Positions of the sliders.

    Attributes:
        entities: K.
        dimension: d.
        rank: Rank of each entity's private features.
        alpha: Synthetic share of every entity's training set; None: as described.
        beta: Private share of the real data, of every entity; None: as described.
        share: Share of what is published that is the first entity's, all others having equal parts of the rest; None:
            as described.
        fresh_fraction: Share of each newly collected pool that is fresh human data.
        noise: sigma, standard deviation of human responses.
        generated_noise: sigma_g, standard deviation of generated responses.
        history: What the pool keeps.
        reads: Who reads whom: ``pool``: everybody reads one pool; a graph's name; ``described``: the description's own.
    """

    entities: Annotated[int, Field(ge=1)]
    dimension: Annotated[int, Field(ge=1)]
    rank: Annotated[int, Field(ge=1)]
    alpha: Share | None
    beta: Share | None
    share: Share | None
    fresh_fraction: Share
    noise: Annotated[Number, Field(ge=0.0)]
    generated_noise: Annotated[Number, Field(ge=0.0)]
    history: Literal["latest", "accumulate"]
    reads: Literal["pool", "ring", "star", "path", "described"]


@dataclass(frozen=True)
class Start:
    """Starting point of a page.

    Attributes:
        experiment: A description without a grid, of one seed.
        settings: What its sliders say.
        spans: From where to where each slider goes.
        locked: Settings that cannot be changed, each with the reason.
    """

    experiment: Experiment
    settings: Sliders
    spans: Mapping[str, tuple[float, float]]
    locked: Mapping[str, str]

    @classmethod
    def of(cls, experiment: Experiment) -> Start:
        """Start from an experiment as it is described; of a grid, at `first_point`.

        Args:
            experiment: An experiment of linear models.

        Raises:
            InvalidDescription: It has no linear theory; the message says why, and what to give instead.
            DataUnavailable: Features cannot be read.
        """
        one = experiment.cells()[first_point(experiment.grid) * len(experiment.seeds)].experiment
        try:
            eco = linear_ecosystem(one)
        except InvalidDescription as error:
            raise InvalidDescription(
                f"{error}. `crossfeed explore` takes one of {', '.join(_linear_presets())}, a description like theirs, "
                "or the folder of any run"
            ) from error
        if one.generations == 0:
            one = validate(Experiment, _parts(one) | {"generations": GENERATIONS})
        settings = _settings_of(one, eco.dimension, eco.sigma)
        return cls(one, settings, _spans(settings), MappingProxyType(_locked(one)))

    def change(self, changes: Mapping[str, Any]) -> Sliders:
        """Return the settings after some sliders were moved.

        The rank never exceeds the dimension: where it would, it is the dimension.

        Args:
            changes: What was moved, and where to.

        Raises:
            InvalidDescription: There is no such slider, it is locked, or does not go there.
        """
        for name, value in changes.items():
            if name in self.locked:
                raise InvalidDescription(f"{name}: {self.locked[name]}")
            low, high = self.spans.get(name, (-math.inf, math.inf))
            if isinstance(value, int | float) and not low <= value <= high:
                raise InvalidDescription(f"{name}: give a number from {low:g} to {high:g}; received {value}")
        moved = validate(Sliders, self.settings.model_dump() | dict(changes))
        moved = moved.model_copy(update={"rank": min(moved.rank, moved.dimension)})
        # One entity publishes everything, whatever its share is called, and of a network no share is left.
        shared = moved.entities > 1 and moved.reads == "pool"
        return moved if shared else moved.model_copy(update={"share": None})

    def describe(self, settings: Sliders) -> Experiment:
        """Return the experiment that settings describe.

        Args:
            settings: Positions of the sliders.

        Raises:
            InvalidDescription: It is impossible.
        """
        if settings == self.settings:
            return self.experiment
        parts = _parts(self.experiment)
        tasks, public, owners = self._data(settings)
        if settings.noise != self.settings.noise:
            tasks = {name: task.model_copy(update={"noise": settings.noise}) for name, task in tasks.items()}
            public = public.model_copy(update={"noise": settings.noise})
        if settings.generated_noise != self.settings.generated_noise:
            parts["learner"] = self.experiment.learner.model_copy(update={"noise": settings.generated_noise})
        ecosystem = self._ecosystem(settings, owners)
        changed = {"description": "", "tasks": tasks, "public": public, "ecosystem": ecosystem}
        return validate(Experiment, parts | changed)

    def _data(self, settings: Sliders) -> tuple[dict[str, Any], Any, tuple[Entity, ...]]:
        """Return tasks, public data and who owns what."""
        experiment, before = self.experiment, self.settings
        tasks, public = dict(experiment.tasks), experiment.public
        owners = experiment.ecosystem.entities
        if all(getattr(settings, name) == getattr(before, name) for name in _OWN_DATA):
            return tasks, public, owners
        if settings.entities != before.entities:
            names = [f"e{k}" for k in range(1, settings.entities + 1)]
            owners = tuple(Entity(name=name, private=name) for name in names)
        first = experiment.tasks[next(iter(experiment.ecosystem.entities[0].owned))]
        assert isinstance(first, RegressionSettings)  # noqa: S101 - for the type checker; others are locked
        assert isinstance(public, RegressionSettings)  # noqa: S101 - as above
        tasks = {
            next(iter(owner.owned)): _resized(first, settings.dimension, settings.rank, first.entity + k)
            for k, owner in enumerate(owners)
        }
        seen = _rank(public)
        whole = None if public.rank is None else settings.dimension
        rank = whole if seen == public.dimension else min(seen, settings.dimension)
        return tasks, _resized(public, settings.dimension, rank, public.entity), owners

    def _ecosystem(self, settings: Sliders, owners: tuple[Entity, ...]) -> Ecosystem:
        described, before = self.experiment.ecosystem, self.settings
        changes: dict[str, Any] = {"fresh_fraction": settings.fresh_fraction}
        own: dict[str, Any] = {}
        if (settings.alpha, settings.history) != (before.alpha, before.history):
            # replace and accumulate fix both; the fixed values are spelt out, so that one of them can change.
            decided = {"replace": 1.0, "accumulate": "proportional"}.get(described.update, described.alpha)
            changes |= {"update": "accumulate-and-subsample", "alpha": decided, "history": settings.history}
        if settings.alpha != before.alpha:
            changes["alpha"], own["alpha"] = settings.alpha, None
        if settings.beta != before.beta:
            changes["beta"], own["beta"] = settings.beta, None
        if settings.reads != before.reads:
            changes["reads"], own["reads"] = None if settings.reads == "pool" else settings.reads, None
            own["share"] = 1.0
        entities = tuple(owner.model_copy(update=own) for owner in owners)
        if settings.share is not None and (settings.share, settings.entities) != (before.share, before.entities):
            rest = (1.0 - settings.share) / (settings.entities - 1)
            shares = [settings.share] + [rest] * (settings.entities - 1)
            entities = tuple(e.model_copy(update={"share": w}) for e, w in zip(entities, shares, strict=True))
        return validate(Ecosystem, _parts(described) | changes | {"entities": entities})


def first_start() -> Start:
    """Return the default start of a page: the paper's Figure 2, whose grid opens at alpha = beta = 0.5."""
    return Start.of(Experiment.from_yaml(read_preset("figure-2")))


def _linear_presets() -> list[str]:
    names = []
    for name in preset_names():
        experiment = Experiment.from_yaml(read_preset(name))
        if experiment.learner.kind == "linear" and experiment.learner.reading() == "everything":
            names.append(name)
    return names


def _settings_of(experiment: Experiment, dimension: int, noise: float) -> Sliders:
    ecosystem = experiment.ecosystem
    first = experiment.tasks[next(iter(ecosystem.entities[0].owned))]
    own_alpha = any(entity.alpha is not None for entity in ecosystem.entities)
    own_beta = any(entity.beta is not None for entity in ecosystem.entities)
    return Sliders(
        entities=len(ecosystem.entities),
        dimension=dimension,
        rank=_rank(first) if isinstance(first, RegressionSettings) and first.features is None else dimension,
        alpha=ecosystem.alpha if isinstance(ecosystem.alpha, float) and not own_alpha else None,
        beta=ecosystem.beta if isinstance(ecosystem.beta, float) and not own_beta else None,
        share=_leading_share(ecosystem),
        fresh_fraction=ecosystem.fresh_fraction,
        noise=noise,
        generated_noise=experiment.learner.model_dump()["noise"],
        history="accumulate" if ecosystem.accumulates else "latest",
        reads=_reads_of(ecosystem),
    )


def _reads_of(ecosystem: Ecosystem) -> Literal["pool", "ring", "star", "path", "described"]:
    if ecosystem.network is None:
        return "pool"
    name = ecosystem.reads.get("graph") if isinstance(ecosystem.reads, dict) and len(ecosystem.reads) == 1 else None
    known: dict[object, Literal["ring", "star", "path"]] = {"ring": "ring", "star": "star", "path": "path"}
    own = any(entity.reads is not None for entity in ecosystem.entities)
    return "described" if own else known.get(name, "described")


def _leading_share(ecosystem: Ecosystem) -> float | None:
    """Return the first entity's share where all others have equal ones, and not the same as it."""
    first, *others = ecosystem.shares.tolist()
    return first if others and len(set(others)) == 1 and first != others[0] else None


def _spans(settings: Sliders) -> Mapping[str, tuple[float, float]]:
    noise = max(_MOST_NOISE, 2 * settings.noise, 2 * settings.generated_noise)
    entities, dimension = max(_MOST_ENTITIES, settings.entities), max(_MOST_DIMENSIONS, settings.dimension)
    shares = dict.fromkeys(("alpha", "beta", "share", "fresh_fraction"), (0.0, 1.0))
    counts = {"entities": (1.0, float(entities)), "dimension": (1.0, float(dimension)), "rank": (1.0, float(dimension))}
    return MappingProxyType({**counts, **shares, "noise": (0.0, noise), "generated_noise": (0.0, noise)})


def _locked(experiment: Experiment) -> dict[str, str]:
    """Return the settings that cannot be changed without inventing data, each with the reason."""
    owners = experiment.ecosystem.entities
    told = [experiment.tasks[task] for owner in owners for task in owner.owned]
    if not _drawn_alike(told, experiment) or len(experiment.tasks) != len(owners):
        return dict.fromkeys(_OWN_DATA, "the data are described one by one, and more or others cannot be made up")
    locked = {}
    differ = any(owner.alpha is not None or owner.beta is not None for owner in owners)
    if differ or (_leading_share(experiment.ecosystem) is None and len({owner.share for owner in owners}) > 1):
        locked["entities"] = "entities differ in their weights or shares, and more of them cannot be made up"
    eco = experiment.ecosystem
    if any(_has_own_world(owner) for owner in owners):
        locked["entities"] = (
            "entities read, train or are asked in ways of their own, and more of them cannot be made up"
        )
    if eco.network is not None and not (isinstance(eco.reads, dict) and "graph" in eco.reads):
        locked["entities"] = "a network lists who reads whom, and more readers cannot be made up"
    truths = [task.truth for task in [told[0], experiment.public] if isinstance(task, RegressionSettings)]
    if any(isinstance(truth, tuple) for truth in truths):
        locked["dimension"] = "the description gives theta* number by number, so it decides d"
    return locked


def _has_own_world(entity: Entity) -> bool:
    own = (entity.reads, entity.every, entity.phase, entity.probability, entity.until, entity.start, entity.prompts)
    return entity.from_ > 0 or any(value is not None for value in own)


def _drawn_alike(told: list[Any], experiment: Experiment) -> bool:
    """Return True if the entities' data differ only in their number, which counts up."""
    tasks = [*told, experiment.public]
    if not all(isinstance(task, RegressionSettings) and task.features is None for task in tasks):
        return False
    first = told[0]
    return all(task == first.model_copy(update={"entity": first.entity + k}) for k, task in enumerate(told))


def _rank(task: RegressionSettings) -> int:
    """Return the rank of drawn features."""
    assert task.dimension is not None  # noqa: S101 - for the type checker; drawn features have both
    assert task.rows is not None  # noqa: S101 - as above
    return task.rank or min(task.dimension, task.rows)


def _resized(task: RegressionSettings, dimension: int, rank: int | None, entity: int) -> RegressionSettings:
    """Return the same data with other features; rows are added only where the rank needs them."""
    assert task.rows is not None  # noqa: S101 - for the type checker; drawn features have them
    rows = max(task.rows, rank or dimension)
    sizes = {"dimension": dimension, "rank": rank, "rows": rows, "entity": entity}
    return validate(RegressionSettings, _parts(task) | sizes)


def _parts(value: Frozen) -> dict[str, Any]:
    """Return a description's fields, so that some can be replaced and all of it be checked again."""
    return fields_of(value)
