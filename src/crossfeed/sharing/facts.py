"""Facts that cards and metadata tell of a run: its data sets and their licences, its models, their prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from crossfeed.description.entity import words_of
from crossfeed.description.experiment import Experiment
from crossfeed.reporting.data.frames import Run
from crossfeed.settings import LearnerSettings, TaskSettings
from crossfeed.sharing.traces import REMOVED

__all__ = ["FROM_NOTHING", "UNKNOWN", "Author", "DataSet", "Facts", "facts_of"]

UNKNOWN: Final = "unknown"
"""The hub's word for a licence that is not known."""

FROM_NOTHING: Final = "trained from nothing"
"""The words for a model without a base."""

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class DataSet(NamedTuple):
    """A data set that a run used.

    Attributes:
        name: Its name in the description; ``public`` for the public data.
        source: Its source's name.
        repository: Its id on the hub; empty without one.
        licence: Its licence, as the hub abbreviates it.
        content: The hash of its items; of several, where a grid varies the data.
    """

    name: str
    source: str
    repository: str
    licence: str
    content: str


class Author(NamedTuple):
    """An entity, of whose models published items are.

    Attributes:
        name: Its name.
        kind: The kind of its learner.
        base: What its first model was trained from.
        private: The data that it owns.
        prompts: Where the prompts come from that its items answer.
    """

    name: str
    kind: str
    base: str
    private: str
    prompts: str


@dataclass(frozen=True)
class Facts:
    """The facts of a run.

    Attributes:
        id: The run's id.
        experiment: Its description, without traces of the machine.
        data: The data sets.
        authors: The entities.
        begun: The day on which the run was begun, as ``2026-11-30``; empty if it is not known.
        packages: Versions of packages by name.
        models: Names and hashes of models from outside.
    """

    id: str
    experiment: Experiment
    data: list[DataSet]
    authors: list[Author]
    begun: str
    packages: Mapping[str, str]
    models: list[tuple[str, str]]

    @property
    def licences(self) -> list[str]:
        """The licences of the data, each once."""
        return list(dict.fromkeys(each.licence for each in self.data))

    @property
    def repositories(self) -> list[str]:
        """The ids of the data on the hub, each once."""
        return list(dict.fromkeys(each.repository for each in self.data if each.repository))

    def base_on_hub(self, entity: str) -> str | None:
        """Return the hub's id of the model that an entity began from; None if it is not from there.

        Args:
            entity: The entity's name.
        """
        base = next(each.base for each in self.authors if each.name == entity)
        return base if _HUB_ID.fullmatch(base) else None


def facts_of(run: Run, experiment: Experiment) -> Facts:
    """Collect what cards say of a run; nothing is loaded or downloaded.

    Args:
        run: The run, already without traces of the machine.
        experiment: Its description.
    """
    document = run.store.read_document("run") or {}
    contents = document.get("data", {})
    tasks = dict(experiment.tasks) | {"public": experiment.public}
    first = next(iter(run.store.documents("sittings")), None)
    sitting = (run.store.read_document(first) if first else None) or {}
    models = [run.store.read_document(name) or {} for name in run.store.documents("models")]
    ecosystem = experiment.ecosystem
    return Facts(
        id=run.id,
        experiment=experiment,
        data=[_data_set(name, settings, contents.get(name, "")) for name, settings in tasks.items()],
        authors=[
            Author(each.name, learner.kind, _base(learner), ", ".join(each.owned), _prompts(ecosystem.prompts_of(each)))
            for each, learner in zip(ecosystem.entities, experiment.learners, strict=True)
        ],
        begun=str(sitting.get("begun", ""))[:10],
        packages=run.environment.get("packages", {}),
        models=sorted((each.get("name", ""), each.get("content", "")) for each in models),
    )


def _data_set(name: str, settings: TaskSettings, content: str) -> DataSet:
    return DataSet(name, settings.source, settings.repository, settings.licence or UNKNOWN, content)


def _base(learner: LearnerSettings) -> str:
    """Return what a learner's first model is trained from: a model's name, a package, or nothing."""
    base = getattr(learner, "base", None)
    found = [getattr(base, name, None) for name in ("model", "package")]
    named = next((str(each) for each in found if each is not None), None)
    if named is None:
        return FROM_NOTHING
    return named.replace(REMOVED, "a local folder") if named.startswith(REMOVED) else named


def _prompts(prompts: Any) -> str:
    words = {
        "private": "its private training items",
        "public": "the public training items",
        "pool": "what items that it read were answers to",
    }
    return words.get(prompts, "") if isinstance(prompts, str) else f"training items of {words_of(prompts)}"
