"""Slurm: the share of a task in a job array, and the script that submits a run as one."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crossfeed.errors import InvalidInput

__all__ = ["ArrayJob", "array_script", "array_share"]

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_TIME: Final = re.compile(r"\d+(:\d\d?){0,2}|\d+-\d\d?(:\d\d?){0,2}")
_MEMORY: Final = re.compile(r"\d+[KMGT]?")
_PARTITION: Final = re.compile(r"[\w.,-]+")
_NOTICE: Final = 120
"""Seconds before its end at which a task is told to stop."""


def array_share(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the share of a task in a Slurm job array.

    Args:
        environment: The variables of the process.

    Returns:
        The number of the share, from 1, and the number of shares; None outside an array of several tasks.
    """
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP")
    given = [environment.get(name, "1" if name.endswith("STEP") else "") for name in names]
    if not all(_NUMBER.fullmatch(value) for value in given):
        return None
    task, first, count, step = map(int, given)
    if count < 2:
        return None
    # Numbers that are no sequence, such as 1,5,6, may give two tasks the same share: it is only where each begins.
    return (task - first) // max(step, 1) % count + 1, count


@dataclass(frozen=True)
class ArrayJob:
    """The requests of a job array.

    Attributes:
        tasks: The number of tasks.
        time: The time limit of each, as Slurm has it: ``24:00:00``, ``2-12``, ``90`` (minutes).
        partition: The partition, or several with commas; None for the cluster's default.
        cpus: CPUs of each task.
        gpus: GPUs of each task.
        memory: Memory of each task, such as ``8G``; None for the cluster's default.
    """

    tasks: int
    time: str = "24:00:00"
    partition: str | None = None
    cpus: int = 1
    gpus: int = 0
    memory: str | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("array", self.tasks, 1), ("cpus", self.cpus, 1), ("gpus", self.gpus, 0)):
            if not least <= value < math.inf:
                raise InvalidInput(f"--{name} {value}: give at least {least}")
        for name, text, form, example in (
            ("time", self.time, _TIME, "24:00:00, 2-12:00 (days-hours) or 90 (minutes)"),
            ("partition", self.partition, _PARTITION, "gpu or short,long"),
            ("memory", self.memory, _MEMORY, "8G"),
        ):
            if text is not None and form.fullmatch(text) is None:
                raise InvalidInput(f"--{name} {text}: give it as Slurm has it, such as {example}")


def array_script(name: str, run: Sequence[str], job: ArrayJob) -> str:
    """Return a script for ``sbatch`` whose tasks run the cells of one run together.

    Args:
        name: The job's name.
        run: The words of the command that each task runs, such as ``crossfeed run mine.yaml --out runs/mine``.
        job: What is requested.

    Returns:
        The text of the script, for bash.
    """
    requests = {
        "job-name": name,
        "array": f"1-{job.tasks}",
        "time": job.time,
        "partition": job.partition,
        "cpus-per-task": job.cpus,
        "gpus-per-task": job.gpus or None,
        "mem": job.memory,
        "output": "slurm-%A_%a.out",
        "open-mode": "append",
        "requeue": True,
        "signal": f"B:USR1@{_NOTICE}",
    }
    if job.gpus:
        requests["ntasks"] = 1
    directives = [
        f"#SBATCH --{key}" + ("" if value is True else f"={value}") for key, value in requests.items() if value
    ]
    return _SCRIPT.format(directives="\n".join(directives), command=shlex.join(run), notice=_NOTICE)


_SCRIPT: Final = """\
#!/bin/bash
{directives}

# The tasks run the cells of one run together, in one folder that all nodes see; the last one writes the records and the
# report. A task that is stopped is put back into the queue and goes on; a lost one's cells are run by the others.
# Options of sbatch win over the lines above: sbatch --array=1-16%4 --account=... job.sh

{command} &
run=$!
requeue=no
trap 'again=yes; requeue=yes; kill -TERM "$run"' USR1    # {notice} seconds before the time limit
trap 'again=yes; kill -TERM "$run"' TERM                 # cancelled, or preempted: then Slurm requeues the task itself

again=yes
while [ "$again" = yes ]; do    # a signal ends a wait, not the run
    again=no
    wait "$run"
    code=$?
done
if [ "$requeue" = yes ] && [ "$code" -eq 0 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""
