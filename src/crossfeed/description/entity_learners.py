"""Each entity's learner: the experiment's, with the fields of the entity's own `learner` laid over it."""

from __future__ import annotations

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.entity import Entity
from crossfeed.description.missing import read_part
from crossfeed.description.registry import learner_settings
from crossfeed.settings import LearnerSettings

__all__ = ["learners_of"]


def learners_of(common: LearnerSettings, ecosystem: Ecosystem) -> tuple[LearnerSettings, ...]:
    """Return each entity's learner.

    Entities may differ in their learner, but not in how it reads, nor in fields that all entities share.

    Args:
        common: The experiment's learner.
        ecosystem: The entities.

    Returns:
        The learners' settings, in the order of the entities.

    Raises:
        ValueError: An entity's own fields, laid over the common ones, are no learner, or not one that reads alike; the
            message names the field.
    """
    return tuple(
        common if entity.learner is None else _own(common, entity, f"ecosystem.entities.{place}.learner")
        for place, entity in enumerate(ecosystem.entities)
    )


def _own(common: LearnerSettings, entity: Entity, where: str) -> LearnerSettings:
    own = entity.learner or {}
    try:
        described = own if "kind" in own else common.changed(own)
        known = learner_settings(described["kind"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    learner = read_part(known, described, where)
    shared = sorted(learner.shared & set(own))
    if shared:
        raise ValueError(f"{where}: entities cannot differ in {', '.join(shared)}; set learner.{shared[0]}")
    if learner.reading() != common.reading():
        raise ValueError(
            f"{where}: it reads {learner.reading()}, and the common learner reads {common.reading()}; give learners "
            "that read alike"
        )
    return learner
