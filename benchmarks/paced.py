"""A `crossfeed.run` that stops after every generation until it is told to go on, so that others can be timed between.

What is timed is all of a generation as a person waits for it: generating, drawing, training, measuring, and writing
pool, checkpoints and records into the run folder. Worker processes that wait take no processor time.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from crossfeed import Experiment, open_executor, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.records import scope_of, state_scope_of

_MEASURED = re.compile(r"t=(\d+)/\d+")

QUICK = (
    "learner.base.scratch.steps=3",
    "learner.base.scratch.config.hidden_size=16",
    "learner.base.scratch.config.num_hidden_layers=1",
    "learner.generation.max_new_tokens=8",
    "n=32",
    "initial_n=32",
    "tasks={facts: {source: facts, test: 8}, math: {source: math, test: 8}}",
    "public={source: stdlib-docs, test: 8}",
)
"""Models of nothing: does everything run? Ratios mean nothing."""


def described(quick: bool, *overrides: str) -> Experiment:
    """The quickstart's cell at alpha = 0.5 with changes, on a CPU in fp32 as its rivals."""
    cell = ("grid={}", "ecosystem.alpha=0.5", "learner.device=cpu", "learner.precision=fp32")
    return Experiment.from_yaml(read_preset("quickstart"), (*cell, *(QUICK if quick else ()), *overrides))


class PacedRun:
    """One cell on its way; `turn` lets it go on by one generation.

    Args:
        experiment: With one cell.
        folder: The run's folder; it must not be there.
        workers: Worker processes, one thread each, as ``crossfeed run --workers``; 0 works in this process.

    Attributes:
        store: The run's folder, to be read.
    """

    def __init__(self, experiment: Experiment, folder: Path, workers: int) -> None:
        self.experiment, self._folder, self._workers = experiment, folder, workers
        (self.cell,) = experiment.cells()
        self.store = open_store(folder, worker=True)
        self._go = threading.Semaphore(0)
        self._done: queue.SimpleQueue[float | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def turn(self) -> float:
        """Seconds of the next generation; those of generation 0 hold the start of the workers and the base model."""
        begun = time.perf_counter()
        self._go.release()
        ended = self._done.get()
        if isinstance(ended, BaseException):
            raise ended
        return ended - begun

    def finish(self) -> float:
        """Seconds of what is left after the last generation."""
        seconds = self.turn()
        self._thread.join()
        return seconds

    def stages(self, generation: int) -> dict[str, float]:
        """Seconds of each stage of a generation, as the run recorded them."""
        return {row["task"]: row["value"] for row in self._records(generation) if row["metric"] == "seconds"}

    def numbers(self, generation: int) -> list[tuple[str, str, str, float]]:
        """What was measured at a generation, without times."""
        found = self._records(generation)
        return [(r["model"], r["task"], r["metric"], r["value"]) for r in found if r["metric"] != "seconds"]

    def checkpoints(self, generation: int) -> list[Path]:
        """The folders of the entities' states after a generation."""
        names = self.experiment.ecosystem.names
        return self.store.read_states(state_scope_of(self.cell, generation), generation, names, lambda folder: folder)

    def pool(self, generation: int):
        """What was published at a generation."""
        return self.store.read_table("pool", scope_of(self.cell, generation), generation)

    def _records(self, generation: int) -> list[dict]:
        return self.store.read_table("records", scope_of(self.cell, generation), generation).to_pylist()

    def _run(self) -> None:
        self._go.acquire()
        executor = open_executor("processes", self._workers) if self._workers else None
        try:
            outcome = run(
                self.experiment, open_store(self._folder), progress=self, executor=executor, spread="entities"
            )
            for failure in outcome.failures.values():
                raise RuntimeError(f"the run failed at {failure['stage']}: {failure['message']}")
            self._done.put(time.perf_counter())
        except BaseException as error:  # raised where it is waited for
            self._done.put(error)

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = ""):
        """Nothing is shown (see `crossfeed.protocols.Progress`)."""
        yield lambda steps: None

    def log(self, text: str) -> None:
        """A generation is told of once it is measured; when it is written, too, the run waits."""
        if found := _MEASURED.search(text):
            generation = int(found[1])
            while not self.store.has_table("records", scope_of(self.cell, generation), generation):
                time.sleep(0.001)
            self._done.put(time.perf_counter())
            self._go.acquire()
