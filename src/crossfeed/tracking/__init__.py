"""Trackers that show a run's numbers while it goes on: TensorBoard, Trackio, or Weights & Biases.

A tracker is fed from the store, by the process that a person started: it shows the stored numbers, on every executor,
and a resumed run continues in the tracker where it stopped there. A tracker that fails, also at its start, is reported
once and left out.

::

    run(experiment, open_store("runs/mine"), tracker=open_tracker("tensorboard", "runs/mine"))
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from crossfeed.errors import InvalidInput
from crossfeed.store.inside import refuse_links
from crossfeed.tracking.follow import Tracker, followed

__all__ = ["TRACKERS", "Tracker", "followed", "open_tracker"]

TRACKERS: Final = ("tensorboard", "trackio", "wandb")
"""The names of all trackers."""


def open_tracker(name: str, folder: str | Path) -> Tracker:
    """Create a tracker by name, for `crossfeed.run`.

    Args:
        name: ``tensorboard``, ``trackio``, or ``wandb`` (Weights & Biases; ``WANDB_MODE=offline`` keeps all on this
            machine).
        folder: The parent of the tracker's folder, such as the run's own; the files of an earlier process there are
            continued. Trackio keeps all projects in a folder of its own (``TRACKIO_DIR``).

    Returns:
        The tracker, not begun yet.

    Raises:
        InvalidInput: There is no such tracker.
        StoreError: There are links in the folder, which the tracker would follow.
    """
    refuse_links(Path(folder))
    if name == "tensorboard":
        from crossfeed.tracking.tensorboard import TensorBoard

        return TensorBoard(Path(folder) / name)
    if name == "trackio":
        from crossfeed.tracking.trackio import Trackio

        return Trackio()
    if name == "wandb":
        from crossfeed.tracking.wandb import WeightsAndBiases

        return WeightsAndBiases(Path(folder))
    raise InvalidInput(f"unknown tracker {name!r} (known: {', '.join(TRACKERS)})")
