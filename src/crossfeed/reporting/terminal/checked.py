"""The check of an experiment, and of a model folder, in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.console import Console

from crossfeed.display.formatting import clip
from crossfeed.protocols import Examination
from crossfeed.reporting.terminal.diagnosis import bytes_text, print_rows
from crossfeed.reporting.terminal.tables import say
from crossfeed.running.cell_runner import duration

if TYPE_CHECKING:
    from crossfeed.doctor.cost import Cost
    from crossfeed.doctor.experiment import Checked

__all__ = ["render_checked", "render_examination"]

_LONGEST: Final = 800


def render_checked(checked: Checked, console: Console) -> None:
    """Print what a run would do, what to know of its data, and what is in its way.

    Args:
        checked: The check of an experiment.
        console: Where to.
    """
    size = f"{len(checked.entities)} models, {checked.generations} generations, {checked.cells} cells"
    say(console, f"{checked.name} ({checked.id}): {size}", "bold")
    console.print()
    for task in checked.tasks:
        counts = ", ".join(f"{count:,} {split}" for split, count in task.items.items())
        print_rows(task.name, [("items", counts), *_samples(task.samples)], console)
    print_rows("Data and models", [("", sentence) for sentence in checked.notes], console)
    if checked.cost is not None:
        print_rows("A run is expected to take", list(_cost(checked.cost)), console)
    _print_problems(checked.problems, "It can be run.", console)


def render_examination(folder: str, found: Examination, console: Console) -> None:
    """Print what is known of a model folder.

    Args:
        folder: The folder.
        found: What was found.
        console: Where to.
    """
    print_rows(folder, list(found.facts.items()), console)
    print_rows("Items as it reads them", list(_samples(found.samples)), console)
    print_rows("To know", [("", sentence) for sentence in found.notes], console)
    _print_problems(found.problems, "A run can use it.", console)


def _samples(samples: list[str]) -> Iterator[tuple[str, str]]:
    """Yield samples with line breaks as signs: a token's end is to be seen, not a line's."""
    for sample in samples:
        yield "read as", clip(sample.replace("\n", "⏎"), _LONGEST)


def _cost(cost: Cost) -> Iterator[tuple[str, str]]:
    stages = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in cost.seconds.items() if seconds >= 0.5)
    at_work = "one worker" if cost.workers == 1 else f"{cost.workers} workers"
    yield "time", f"about {duration(cost.total)}" + (f" with {at_work}: {stages} of work" if stages else "")
    yield "disk", f"about {bytes_text(int(cost.bytes))}"
    yield "from", f"a trial of {duration(cost.pilot)}, on the machine as it is now; expect a half more or less"


def _print_problems(problems: tuple[str, ...] | list[str], well: str, console: Console) -> None:
    for problem in problems:
        say(console, f"PROBLEM: {clip(problem, _LONGEST)}", "bold red")
    if not problems:
        say(console, well, "bold green")
