"""A run's numbers in a tracker while it goes on: TensorBoard, or Weights & Biases.

A tracker is fed from the store, by the process that a person started: what it shows is what is kept, on every executor,
and a run that was stopped goes on in the tracker where it stopped there. A tracker that fails is reported once and then
left out.

::

    run(experiment, open_store("runs/mine"), tracker=open_tracker("tensorboard", "runs/mine"))
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from crossfeed.errors import InvalidInput
from crossfeed.tracking.follow import Tracker, followed

__all__ = ["TRACKERS", "Tracker", "followed", "open_tracker"]

TRACKERS: Final = ("tensorboard", "wandb")


def open_tracker(name: str, folder: str | Path) -> Tracker:
    """Return a tracker by name, for `crossfeed.run`.

    Args:
        name: ``tensorboard``, or ``wandb`` (Weights & Biases; ``WANDB_MODE=offline`` keeps all on this machine).
        folder: Where a folder of its name goes, such as the run's own; what an earlier process left there is gone on
            with.

    Raises:
        InvalidInput: There is no such tracker, or it would upload and has no key.
        MissingDependency: Its package is not installed.
    """
    if name == "tensorboard":
        from crossfeed.tracking.tensorboard import TensorBoard

        return TensorBoard(Path(folder) / name)
    if name == "wandb":
        from crossfeed.tracking.wandb import WeightsAndBiases

        return WeightsAndBiases(Path(folder))
    raise InvalidInput(f"unknown tracker {name!r} (known: {', '.join(TRACKERS)})")
