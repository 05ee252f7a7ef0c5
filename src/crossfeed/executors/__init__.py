"""Executors of a run's work: this process, worker processes, or a Ray cluster."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from crossfeed.errors import InvalidInput

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment
    from crossfeed.executors.executor import Executor

__all__ = ["EXECUTORS", "executor_for", "open_executor"]

EXECUTORS = ("serial", "processes", "ray")
"""The names of all executors."""


def open_executor(
    name: str, workers: int = 1, *, threads: int = 1, address: str | None = None, gpus: float = 0.0
) -> Executor:
    """Create an executor by name; `crossfeed.run` starts and ends its workers.

    Args:
        name: ``serial``, ``processes`` or ``ray``.
        workers: The number of workers; ``serial`` has one, this process.
        threads: CPU threads of each worker: the numerical libraries of processes use no more, on Ray each worker takes
            as many CPUs.
        address: A Ray cluster (``ray://host:port``, ``host:port`` or ``auto``); None starts one here for the run.
        gpus: GPUs, or a fraction of one, that each worker takes on Ray.

    Returns:
        The executor, not opened yet.

    Raises:
        InvalidInput: There is no such executor, or it does not take these values.
        MissingDependency: Ray is not installed.
    """
    if workers < 1 or threads < 1:
        received = f"workers = {workers}" if workers < 1 else f"threads = {threads}"
        raise InvalidInput(f"{received}: give at least 1")
    if not 0 <= gpus < math.inf:
        raise InvalidInput(f"gpus = {gpus}: give a number of GPUs, or a fraction of one")
    if name != "ray" and (address is not None or gpus):
        raise InvalidInput(f"an address or a number of GPUs is for executor ray, not for {name!r}")
    if name == "serial":
        if workers > 1:
            raise InvalidInput(f"executor serial has one worker, not {workers}; give processes or ray")
        from crossfeed.executors.serial import SerialExecutor

        return SerialExecutor()
    if name == "processes":
        from crossfeed.executors.processes import ProcessExecutor

        return ProcessExecutor(workers, threads)
    if name == "ray":
        from crossfeed.executors.ray import RayExecutor

        return RayExecutor(workers, threads, address, gpus)
    raise InvalidInput(f"unknown executor {name!r} (known: {', '.join(EXECUTORS)})")


def executor_for(
    experiment: Experiment,
    name: str = "auto",
    *,
    workers: int | None = None,
    address: str | None = None,
    gpus: float = 0.0,
) -> Executor:
    """Create the executor that suits an experiment and this machine, unless one is named.

    Args:
        experiment: The experiment to run.
        name: As for `open_executor`; ``auto`` is worker processes if there is work for several, else this process.
        workers: The greatest number of workers; default as many as the machine has cores (or accelerators) for. There
            are no more than the experiment has cells or entities.
        address: See `open_executor`.
        gpus: See `open_executor`.

    Returns:
        The executor, not opened yet.

    Raises:
        InvalidInput: As `open_executor`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    suitable, threads = experiment.learner.workers(cores)
    busy = max(len(experiment.cells()), len(experiment.ecosystem.names))
    if workers is None:
        workers = 1 if name == "serial" else max(suitable, 1)
    workers = min(workers, busy)  # others would have nothing to do
    if name == "auto":
        name = "serial" if workers == 1 and address is None else "processes" if address is None else "ray"
    return open_executor(name, workers, threads=threads, address=address, gpus=gpus)
