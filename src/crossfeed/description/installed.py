"""The refusal to run an experiment whose packages are not installed here; reading it is another matter (`missing`)."""

from __future__ import annotations

from crossfeed.description.experiment import Experiment
from crossfeed.description.missing import Missing
from crossfeed.errors import MissingDependency
from crossfeed.settings import Frozen

__all__ = ["check_installed"]


def check_installed(experiment: Experiment) -> None:
    """Refuse to run an experiment with parts whose package is not installed here.

    Args:
        experiment: The experiment.

    Raises:
        MissingDependency: The message names all such parts.
    """
    parts: dict[str, Frozen] = {"public": experiment.public, "learner": experiment.learner}
    parts |= {f"tasks.{name}": task for name, task in experiment.tasks.items()}
    owners = zip(experiment.ecosystem.names, experiment.learners, strict=True)
    parts |= {f"the learner of {name}": own for name, own in owners if own != experiment.learner}
    parts |= {f"metrics.{name}": metric for name, metric in experiment.metrics.items()}
    parts |= {f"ecosystem.curation.{name}": each for name, each in experiment.ecosystem.curation.items()}
    missing = [f"{place}{_called(part)}" for place, part in parts.items() if isinstance(part, Missing)]
    if missing:
        raise MissingDependency(
            f"{', '.join(missing)}: of a package that is not installed here, or not in the version that this was "
            "described with; it can be shown and reported, but not run: install that package"
        )


def _called(part: Frozen) -> str:
    """Return ``: kind`` of a part whose place does not say what it is."""
    name = getattr(part, "kind", None) or getattr(part, "source", None)
    return f" ({name})" if name else ""
