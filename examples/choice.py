"""Does it help a model if its users choose what is published, and whom else does it help?

Question. Users choose the best of some answers. Alone, a model that is trained on what they chose moves to their taste.
What if it reads what the users of another model chose, who like the opposite? What if tastes drift towards what is
seen? And what is a detector's score worth, if it is used as a weight in place of a verdict?

Method. The presets below, run here (or gone on with) in FOLDER: means over models and seeds, with their standard error
over seeds, over the generations. Rewards are by a model's own taste as it was at first, less that of generation 0; of
losses, the means over generations 1 to the last are printed.
Of `opposite-tastes-symbols` what is exact (`crossfeed predict`) is printed beside it: no sampling noise.

    python examples/choice.py FOLDER                                       # all, about an hour on two cores
    python examples/choice.py FOLDER --only opposite-tastes taste-drift
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crossfeed import Experiment, open_store, predict, run
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import for_stream
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png

PRESETS = {
    "opposite-tastes-symbols": ("ecosystem.reads.self", "reward"),
    "opposite-tastes": ("ecosystem.reads.self", "reward"),
    "opposite-tastes-digits": ("ecosystem.reads.self", "reward"),
    "opposite-tastes-language": ("ecosystem.reads.self", "reward"),
    "taste-drift": ("ecosystem.preference.drift", "reward"),
    "detector-scores": ("ecosystem.curation", "loss"),
}
"""What is on the grid of each preset, and the metric that is shown."""

UNITS = {"reward": "reward, less that at t = 0", "loss": "nats a point, more than at t = 0"}


def finished(name: str, where: Path, changes: Sequence[str]) -> Run:
    """Run a preset, or go on with it, and read it."""
    described = Experiment.from_yaml(read_preset(name), tuple(changes))
    with for_stream(sys.stderr) as progress:
        outcome = run(described, open_store(str(where)), progress=progress)
    if outcome.failures:
        raise SystemExit(f"{where}: {outcome.failures}")
    return Run.load(where)


def changes_of(records: pd.DataFrame, metric: str, field: str, own: dict[str, str]) -> dict[str, np.ndarray]:
    """Changes since generation 0, by value of the grid: ``(generations, seeds)`` means over models on own tasks."""
    there = records[(records["metric"] == metric) & (records["task"] == records["model"].map(own))]
    found = {}
    for value, part in there.groupby(there[field].astype(str), sort=False):
        means = part.pivot_table(index="generation", columns="seed", values="value", aggfunc="mean").to_numpy()
        found[str(value)] = means - means[0]
    return found


def figure_of(name: str, folder: Path, changes: Sequence[str]) -> tuple[Chart, dict[str, float]]:
    """The chart of one preset, and its numbers: of rewards the last ones, of losses their means over generations."""
    field, metric = PRESETS[name]
    read = finished(name, folder / name, changes)
    own = {entity.name: next(iter(entity.owned)) for entity in read.experiment.ecosystem.entities}
    word = field.rpartition(".")[2]
    curves, numbers, by_line = [], {}, {}
    for value, change in changes_of(read.records, metric, field, own).items():
        line = {"": "nothing is judged"}.get(value, value) if word == "curation" else f"{word} {value}"
        line = "weights" if "score" in line else "verdicts" if "detector" in line else line
        curves.append(Curve(line, np.arange(len(change), dtype=float), change.mean(axis=1)))
        by_line[line] = change[-1] if metric == "reward" else change[1:].mean(axis=0)
        numbers |= with_error(f"{name}, {line}", by_line[line])
    if name == "detector-scores":
        numbers |= with_error(f"{name}, weights less verdicts", by_line["weights"] - by_line["verdicts"])
    if name == "opposite-tastes-symbols":
        exact = changes_of(predict(read.experiment).records, metric, field, own)
        numbers |= {f"{name}, {word} {value}, exact": float(change[-1].mean()) for value, change in exact.items()}
    return Chart(name.replace("-", " ").capitalize(), "generation", UNITS[metric], curves), numbers


def with_error(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean over seeds, and its standard error."""
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
    return {name: float(values.mean()), f"{name}, standard error": error}


def main(folder: Path, only: Sequence[str] = tuple(PRESETS), changes: Sequence[str] = ()) -> dict[str, float]:
    """Run what is missing, draw a figure for each preset, and return last values."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {}
    for name in only:
        chart, found = figure_of(name, folder, changes)
        (folder / f"{name.replace('-', '_')}.png").write_bytes(to_png(charts([chart], columns=1, height=2.6)))
        numbers |= found
    return numbers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=list(PRESETS), metavar="PRESET")
    given = parser.parse_args()
    for name, value in main(given.folder, given.only).items():
        print(f"{name}: {value:.4f}")
