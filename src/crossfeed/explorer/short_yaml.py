"""An experiment as YAML that a person can read: without what is a default, and without fifty tasks that are one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crossfeed.description.experiment import Experiment
from crossfeed.description.strict_yaml import dump_yaml
from crossfeed.settings import LearnerSettings, TaskSettings

__all__ = ["short_yaml"]

_NUMBER: Final = "{k}"


def short_yaml(experiment: Experiment, *, comment: str = "") -> str:
    """Return a description that reads back as an equal experiment.

    Entities ``e1`` to ``eK`` whose tasks differ in their number alone are described by K
    (`crossfeed.description.many_entities`).

    Args:
        experiment: What to describe.
        comment: Lines to begin with.
    """
    data = experiment.model_dump(mode="json", exclude_defaults=True)
    data["ecosystem"].setdefault("beta", experiment.ecosystem.beta)  # half and half is worth a word
    data["learner"] = _told(experiment.learner, "kind")
    data["public"] = _told(experiment.public, "source")
    data["tasks"] = {name: _told(task, "source") for name, task in experiment.tasks.items()}
    if each := _each(data, experiment.ecosystem.names):
        data["ecosystem"]["entities"], data["tasks"] = len(data["ecosystem"]["entities"]), {"each": each}
    return "".join(f"# {line}\n" for line in comment.splitlines()) + dump_yaml(data)


def _told(settings: LearnerSettings | TaskSettings, kind: str) -> dict[str, Any]:
    """Return a part's fields; its kind comes first, even where it is the default."""
    return {kind: getattr(settings, kind), **settings.model_dump(mode="json", exclude_defaults=True)}


def _each(data: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the tasks' common description, without the entity's number; None if tasks or entities differ in more."""
    numbered = {f"e{k}": {"name": f"e{k}", "private": f"e{k}"} for k in range(1, len(names) + 1)}
    if data["ecosystem"]["entities"] != list(numbered.values()) or list(data["tasks"]) != list(numbered):
        return None
    tasks = list(data["tasks"].values())
    each: dict[str, Any] = tasks[0] | {"entity": _NUMBER}
    return each if [each | {"entity": k} for k in range(1, len(names) + 1)] == tasks else None
