"""The description of a stored run, read whatever packages it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossfeed.description.experiment import Experiment
from crossfeed.description.missing import packages_may_be_missing
from crossfeed.errors import InvalidDescription

__all__ = ["read_stored"]


def read_stored(text: str, overrides: tuple[str, ...], document: Mapping[str, Any]) -> Experiment:
    """Read the description of a stored run.

    Args:
        text: YAML.
        overrides: See `Experiment.from_yaml`.
        document: The run's ``run.json``.

    Returns:
        The experiment; parts of packages that are not installed are `crossfeed.description.missing.Missing`, and ids
        are then those that the run was written with.

    Raises:
        InvalidDescription: It cannot be understood.
    """
    try:
        return Experiment.from_yaml(text, overrides)
    except InvalidDescription:
        listed = document.get("cells")
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        with packages_may_be_missing():
            experiment = Experiment.from_yaml(text, overrides)
            experiment.keep_written(
                str(document.get("id")), {str(entry.get("cell")): entry.get("start") for entry in entries}
            )
        return experiment
