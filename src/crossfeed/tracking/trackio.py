"""Trackio's own database on this machine: a project for an experiment, a run for each cell, the generation as the step.

Rows are written by its storage, and not by its verb ``init``: that starts a thread for every run and writes half a
second later, asks the hub who is logged in, prints to standard output, and sends numbers wherever a variable of the
environment says. Here each generation is one row, written when `log` returns, and nothing leaves this machine;
``trackio sync`` sends a project to a Space when somebody types it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.errors import MissingDependency

__all__ = ["Trackio"]


class Trackio:
    """A project of Trackio, in the folder of all its projects: ``TRACKIO_DIR``, by default within the hub's cache."""

    def begin(self, experiment: Experiment) -> None:
        """Import the package; the project is made with its first row.

        Args:
            experiment: The experiment.

        Raises:
            MissingDependency: It is not installed.
        """
        try:
            from trackio.sqlite_storage import SQLiteStorage
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "trackio":
                raise  # it is there, and something that it needs is not
            raise MissingDependency("Trackio is not installed: pip install 'crossfeed[track]'") from error
        self._storage: Any = SQLiteStorage
        self._project = f"{experiment.name}-{experiment.id}"

    def logged(self, cell: Cell) -> int:
        """Return the largest step of the cell's rows.

        Args:
            cell: The cell.
        """
        step = self._storage.get_max_step_for_run(self._project, cell.name)
        return -1 if step is None else int(step)

    def log(self, cell: Cell, generation: int, numbers: Mapping[str, float]) -> None:
        """Write one row; the first one of a cell brings its description.

        Args:
            cell: The cell.
            generation: The generation t.
            numbers: Numbers by name.
        """
        now = datetime.now(UTC).isoformat()
        config = _described(cell) | {"_Created": now} if generation == 0 else None
        self._storage.bulk_log(
            self._project, cell.name, [dict(numbers)], steps=[generation], timestamps=[now], config=config
        )

    def end(self) -> None:
        """Do nothing: no file is open."""


def _described(cell: Cell) -> dict[str, Any]:
    return {"seed": cell.seed, **cell.point, "experiment": cell.experiment.model_dump(mode="json")}
