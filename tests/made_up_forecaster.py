"""A forecaster that knows nothing but tells a lot, so that tests of runs can ask what the loop does with it."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pyarrow as pa

from crossfeed.environment import WORKER_NUMBER
from crossfeed.learners.fake import FakeLearner
from crossfeed.protocols import Learner
from crossfeed.running.session import Session

VALUE = 2.0
"""Every loss as it is forecast."""


class MadeUp:
    """Knows every cell of the first seed to within 2 %, once two cells are finished; notes which updates it saw."""

    half_width: ClassVar[float | None] = 0.02
    needed: ClassVar[int] = 2

    def __init__(self, session: Session) -> None:
        self.session = session
        self.finished = 0

    def traced(self, learner: Learner, cell: int) -> Learner:
        return Noting(learner, self.session, cell)

    def refresh(self) -> None:
        cells = self.session.setup.experiment.cells()
        open_ones = [cell for cell in cells if not self.session.is_finished(cell)]
        self.finished = len(cells) - len(open_ones)
        rows = [
            {"cell": cell.name, "generation": t, "model": model, "task": task, "metric": "loss", "value": VALUE}
            | {"basis": "forecast"}
            for cell in open_ones
            for t in range(1, cell.experiment.generations + 1)
            for model in cell.experiment.ecosystem.names
            for task in cell.experiment.tasks
        ]
        columns = ("cell", "generation", "model", "task", "metric", "value", "basis")
        self.session.setup.store.write_result("forecast", pa.table({n: [row[n] for row in rows] for n in columns}))

    def known(self, cell: str) -> float | None:
        first = {each.name for each in self.session.setup.experiment.cells() if each.seed == 0}
        return self.half_width if cell in first and self.finished >= self.needed else None


class Noting:
    """A learner that notes each update of a cell in the store of its run."""

    def __init__(self, learner: Learner, session: Session, cell: int) -> None:
        self._learner, self._store = learner, session.setup.store
        self._name = session.setup.experiment.cells()[cell].name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)

    def update(self, states, sets, keys, generation):
        self._store.write_document(f"curves/{self._name}-{generation}", {})
        return self._learner.update(states, sets, keys, generation)


def trace(self, states, sets, keys, generation, observer):
    """The trace of a model of single words, which learns in one step: there is nothing to be seen on the way."""
    return self.update(states, sets, keys, generation)


if WORKER_NUMBER in os.environ:  # in the process of the tests, a fixture does this and takes it back
    FakeLearner.trace = trace
