"""The command `slurm`: the script that submits a run to a cluster."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from crossfeed.cli.app import DataRoot, Out, Overrides, PresetFileOrRun, check_data_root, examples, names_run, run_of

__all__ = ["commands"]

_TASKS: Final = 8
"""Tasks of an array, unless another number is given or there are fewer cells."""

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed slurm mine.yaml > job.sh && sbatch job.sh",
        "crossfeed slurm mine.yaml --array 16 --time 4:00:00 --partition gpu --gpus 1 --memory 32G > job.sh",
    )
)
def slurm(
    source: PresetFileOrRun,
    overrides: Overrides = None,
    out: Out = None,
    data_root: DataRoot = None,
    array: Annotated[
        int | None,
        typer.Option(metavar="TASKS", help="How many tasks.", show_default=f"one for each cell, at most {_TASKS}"),
    ] = None,
    time: Annotated[
        str, typer.Option(metavar="TIME", help="Each task's limit: 4:00:00, 2-12, or minutes.")
    ] = "24:00:00",
    partition: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where they run; several with commas.", show_default="the cluster's own"),
    ] = None,
    cpus: Annotated[int, typer.Option(help="CPUs of each task; without GPUs as many worker processes.")] = 1,
    gpus: Annotated[int, typer.Option(help="GPUs of each task, each with a worker process.")] = 0,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory of each task: 8G.", show_default="the cluster's own")
    ] = None,
) -> None:
    """Print a script for sbatch: a job array whose tasks run one run's cells together, and go on when preempted."""
    from crossfeed.executors.slurm import ArrayJob, array_script

    experiment, place = run_of(source, overrides, out)
    check_data_root(data_root)
    tasks = min(_TASKS, len(experiment.cells())) if array is None else array
    job = ArrayJob(tasks, time, partition, cpus, gpus, memory)
    words = ["crossfeed", "run", source]
    for assignment in overrides or ():
        words += ["--set", assignment]
    if not names_run(source):
        words += ["--out", place]
    if data_root is not None:
        words += ["--data-root", str(data_root)]
    words += ["--workers", str(gpus or cpus)]  # a node may show a task more of both than it is given
    typer.echo(array_script(experiment.name, words, job), nl=False)
