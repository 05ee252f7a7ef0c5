"""TensorBoard's event files: a folder for each cell, a scalar for each number, the generation as the step.

Written with the package `tensorboard` alone, so that runs without torch can be shown. Numbers are in single precision:
those in double precision TensorBoard's fast reader leaves out. All numbers of a generation are one event, so that a
process that is killed leaves all of them or none.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.errors import MissingDependency

__all__ = ["TensorBoard"]


class TensorBoard:
    """Event files of a run.

    Args:
        folder: What ``tensorboard --logdir`` is given.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A file of this process alone: one that an earlier process was killed in may end in the middle.
        self._file = f"events.out.tfevents.{time.time_ns()}.{platform.node()}.{os.getpid()}"

    def begin(self, experiment: Experiment) -> None:
        """Import the package; the description is in the run's folder.

        Args:
            experiment: The experiment.

        Raises:
            MissingDependency: It is not installed.
        """
        try:
            from tensorboard.summary.writer import record_writer
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "tensorboard":
                raise  # it is there, and something that it needs is not
            raise MissingDependency("TensorBoard is not installed: pip install 'crossfeed[track]'") from error
        self._records = record_writer.RecordWriter

    def logged(self, cell: Cell) -> int:
        """Return the largest step of the cell's event files.

        Args:
            cell: The cell.
        """
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event

        steps = [-1]
        for path in sorted((self._folder / cell.name).glob("*tfevents*")):
            events = map(Event.FromString, RawEventFileLoader(str(path)).Load())
            steps += [event.step for event in events if event.HasField("summary")]
        return max(steps)

    def log(self, cell: Cell, generation: int, numbers: Mapping[str, float]) -> None:
        """Append one event.

        Args:
            cell: The cell.
            generation: The generation t.
            numbers: Numbers by name.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        path = self._folder / cell.name / self._file
        path.parent.mkdir(parents=True, exist_ok=True)
        now = time.time()
        events = [Event(wall_time=now, step=generation, summary=Summary(value=values))]
        if not path.exists():
            events.insert(0, Event(wall_time=now, file_version="brain.Event:2"))
        with path.open("ab") as file:
            writer = self._records(file)
            for event in events:
                writer.write(event.SerializeToString())

    def end(self) -> None:
        """Do nothing: no file is open."""
