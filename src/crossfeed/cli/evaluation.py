"""The command `evaluate`: benchmarks on a run's checkpoints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crossfeed.cli.app import AsJson, DataRoot, Location, check_data_root, examples, print_json, terminal
from crossfeed.display.addresses import masked

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed evaluate runs/mine --tasks sciq,gsm8k,arc_challenge",
        "crossfeed evaluate runs/small --tasks sciq,gsm8k --data-root data/ --shots 0 --new-tokens 64",
    )
)
def evaluate(
    place: Location,
    tasks: Annotated[str, typer.Option(metavar="TASK,TASK", help="Tasks of lm-evaluation-harness.")],
    data_root: DataRoot = None,
    shots: Annotated[
        int | None, typer.Option(min=0, help="Worked examples in a prompt.", show_default="the task's")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first items of each task.", show_default="all")
    ] = None,
    new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest written answer.", show_default="the task's, else 256")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at once.")] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the tables at the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate every checkpoint that a run keeps on benchmarks of lm-evaluation-harness (extra `eval`)."""
    from crossfeed.display.progress import for_stream
    from crossfeed.evaluation.benchmarks import evaluate as evaluate_run
    from crossfeed.reporting.data.frames import Run
    from crossfeed.reporting.terminal.benchmarks import render_evaluation
    from crossfeed.reporting.terminal.run_data import evaluation_data

    check_data_root(data_root)
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    with for_stream(sys.stderr, quiet=quiet) as progress:
        evaluate_run(
            place,
            names,
            data_root=data_root,
            shots=shots,
            limit=limit,
            new_tokens=new_tokens,
            batch_size=batch_size,
            progress=progress,
        )
    evaluated = Run.load(place)
    if as_json:
        print_json(evaluation_data(evaluated))
        return
    render_evaluation(evaluated, terminal())
    typer.echo(f"numbers  {masked(place.rstrip('/'))}/evaluation.parquet")
    typer.echo(f"harness  {masked(place.rstrip('/'))}/evaluation/")
