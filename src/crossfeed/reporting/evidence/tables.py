"""The survey in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crossfeed.reporting.evidence.survey import SOURCES, Evidence
from crossfeed.reporting.terminal.tables import ascii_for, say

__all__ = ["beta_words", "render_evidence"]

_MARKS: Final = {"stated": "x", "overlap": "o"}


def render_evidence(survey: Evidence, console: Console) -> None:
    """Print which models state which sources, how far they overlap, what was reused, and what follows for beta.

    Args:
        survey: The survey.
        console: Where to.
    """
    say(console, "What makers of language models say they trained on", "bold")
    say(console, "The paper's survey (Tables 1, 5 and 6). x: stated; o: not stated, overlap expected.", "dim")
    console.print(_sources(survey))
    console.print()
    say(console, "Overlap of two families: kinds that both name, of those that either names", "bold")
    console.print(_overlaps(survey))
    console.print()
    say(console, "Kinds of sources kept from version to version", "bold")
    console.print(_reuse(survey))
    console.print()
    say(console, "Makers that name no data set, in our words", "bold")
    for row in survey.undisclosed.to_dict("records"):
        told = "; ".join(part for part in (row["pretraining"], _fine_tuning(row["fine_tuning"])) if part)
        _item(console, f"{row['model']} ({row['reference']}): {told or 'nothing is said'}")
    console.print()
    say(console, "Where Tables 1 and 6 differ (either counts)", "bold")
    for row in survey.differences.to_dict("records"):
        _item(
            console, f"{row['model']}: {row['source']} is in Table {row['named_in']}, not in Table {row['missing_in']}"
        )
    console.print()
    say(console, "Where a default beta could come from", "bold")
    for line in beta_words(survey):
        say(console, line)


def beta_words(survey: Evidence) -> list[str]:
    """Return readings of the overlaps as beta, the private share of the real data, and why they do not settle it.

    Args:
        survey: The survey.
    """
    public, pairs = survey.public, len(survey.overlap)
    return [
        f"Two families share {public.mean:.2f} of the kinds of sources that they name ({public.low:.2f} to "
        f"{public.high:.2f} over {pairs} pairs; {public.stated:.2f} if only what is stated counts). If that were the "
        f"public share of their real data, 1 - beta = {public.mean:.2f} and beta = {1 - public.mean:.2f}.",
        f"Of the kinds that a family names, {public.anyone:.2f} are named by another family too. Read that way, "
        f"beta = {1 - public.anyone:.2f}.",
        "The two readings are far apart, and neither is a measurement: this is a survey of statements. It counts "
        "names, not amounts of text; what is not stated is missing, private data first of all; and it ends where "
        "makers stopped naming their sources. The presets take the paper's beta = 0.5 and vary it; nothing here "
        "confirms it.",
    ]


def _grid(head: list[str], gap: int = 1) -> Table:
    grid = Table(box=SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False)
    for name in head:
        grid.add_column(name)
    return grid


def _sources(survey: Evidence) -> Table:
    models = list(dict.fromkeys(survey.mentions["model"]))
    grid = _grid(["", *(model.replace(" ", "\n") for model in models)], gap=0)  # eleven models in 80 columns
    how = {(row["model"], row["source"]): row["how"] for row in survey.mentions.to_dict("records")}
    for source in SOURCES:
        grid.add_row(source, *(_MARKS.get(how.get((model, source), ""), "") for model in models))
    return grid


def _overlaps(survey: Evidence) -> Table:
    families = list(dict.fromkeys([*survey.overlap["a"], *survey.overlap["b"]]))
    values = {(row["a"], row["b"]): row["jaccard"] for row in survey.overlap.to_dict("records")}
    grid = _grid(["", *families[:-1]])
    for number, b in enumerate(families[1:], start=1):
        grid.add_row(b, *(f"{values[a, b]:.2f}" for a in families[:number]))
    return grid


def _reuse(survey: Evidence) -> Table:
    grid = _grid(["", "kept", "new"])
    for row in survey.reuse.to_dict("records"):
        label = f"{row['family']} {row['before']} to {row['after']}"
        grid.add_row(label, f"{row['kept']} of {row['named']}", str(row["new"]))
    return grid


def _fine_tuning(text: str) -> str:
    return f"fine-tuning: {text}" if text else ""


def _item(console: Console, text: str) -> None:
    console.print(Padding(Text(ascii_for(text, console)), (0, 0, 0, 2)))
