"""What changes when the ecosystem is not one pool in step?

Question. The paper's entities read one pool, all at once, each from its last weights, and publish answers to their own
prompts. What do small language models lose and learn from each other when they read by a network, arrive late, retrain
seldom, begin from a base, train longer, are asked by others, find what they read by a ranking, or own segments of one
corpus?

Method. One preset for each, run here (or gone on with) in FOLDER; means over entities of the loss on their own task, on
the other tasks and on public text, a line for each point of the grid, over the generations and two seeds.

    python examples/worlds.py FOLDER                         # all of them: an hour or so on two cores
    python examples/worlds.py FOLDER --only late-entrant
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crossfeed import Experiment, open_store, predict, run
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import for_stream
from crossfeed.executors import executor_for
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png

SEGMENTS = (1, 2, 4, 8)
KINDS = {"own": "own task", "other": "others' tasks", "public": "public text"}
SHORT = {
    "graph: cliques, count: 2": "two cliques",
    "graph: watts_strogatz_graph, k: 4, p: 0.2, self: 0.2": "small world",
    "facts: 1.0, math: 1.0, reason: 1.0": "everybody's prompts",
    "rank: popularity, top: 100": "popularity",
    "rank: bm25, top: 10": "bm25",
    "rank: embedding, top: 10": "embedding",
}

Table = pd.DataFrame
"""Columns ``line, kind, generation, value``: the mean of some numbers, for each line of a figure."""


def finished(name: str, folder: Path, changes: Sequence[str] = (), place: str = "") -> Run:
    """Run a preset, or go on with it, and read it."""
    described = Experiment.from_yaml(read_preset(name), tuple(changes))
    where = folder / (place or name)
    with for_stream(sys.stderr) as progress:
        outcome = run(described, open_store(str(where)), progress=progress, executor=executor_for(described))
    if outcome.failures:
        raise SystemExit(f"{where}: {outcome.failures}")
    return Run.load(where)


def means(read: Run, line: Callable[[pd.DataFrame], pd.Series], metric: str = "loss") -> Table:
    """Means over entities and seeds by kind of task."""
    eco, records = read.experiment.ecosystem, read.records
    found = records[records["metric"] == metric].copy()
    pairs = zip(found["model"], found["task"], strict=True)
    found["kind"] = [
        "own" if task in eco.owned.get(model, ()) else task if task == "public" else "other" for model, task in pairs
    ]
    found["line"] = line(found).map(lambda value: SHORT.get(str(value), str(value)))
    return found.groupby(["line", "kind", "generation"], sort=False)["value"].mean().reset_index()


def panels(table: Table, kinds: dict[str, str], unit: str = "nats a token") -> list[Chart]:
    """A panel for each kind of task, a line for each point."""
    made = []
    for kind, title in kinds.items():
        part = table[table["kind"] == kind]
        lines = [
            Curve(str(line), own["generation"].to_numpy(float), own["value"].to_numpy(float))
            for line, own in part.groupby("line", sort=False)
        ]
        made.append(Chart(f"Loss on {title}", "generation", unit, lines))
    return made


def _field(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda found: found[name].astype(object).where(found[name].notna(), "all of the pool")


def reading_networks(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    table = means(finished("reading-networks", folder, changes), _field("ecosystem.reads"))
    return table, panels(table, KINDS)


def reading_networks_linear(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    """The linear twin: exact losses as lines, the run's beside them under the same names."""
    exact = predict(Experiment.from_yaml(read_preset("reading-networks-linear"), tuple(changes))).records
    read = finished("reading-networks-linear", folder, changes)
    seen = means(read, _field("ecosystem.reads"))
    exact = exact[exact["metric"] == "loss"].assign(line=exact["ecosystem.reads"].map(lambda v: SHORT.get(v, v)))
    exact["kind"] = np.where(
        exact["model"] == exact["task"], "own", np.where(exact["task"] == "public", "public", "other")
    )
    theory = exact.groupby(["line", "kind", "generation"], sort=False)["value"].mean().reset_index()
    table = pd.concat([theory.assign(line=theory["line"] + ", exact"), seen.assign(line=seen["line"] + ", run")])
    return table, panels(theory, {"own": "own task", "public": "public data"}, "squared error")


def late_entrant(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    def line(found: pd.DataFrame) -> pd.Series:
        late = np.where(found["ecosystem.entities.2.from"] > 0, "arrives at t = 4", "there from t = 0")
        who = np.where(found["model"] == "reason", "the entrant", "the others")
        return pd.Series(who, found.index) + ", " + pd.Series(late, found.index)

    table = means(finished("late-entrant", folder, changes), line)
    return table, panels(table, KINDS)


def slow_lab(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    def line(found: pd.DataFrame) -> pd.Series:
        every = found["ecosystem.entities.2.every"].astype(int)
        who = np.where(found["model"] == "reason", "the lab", "the others")
        pace = np.where(every == 1, "in step", "every 4, " + found["ecosystem.stale"])
        return pd.Series(who, found.index) + ": " + pd.Series(pace, found.index)

    table = means(finished("slow-lab", folder, changes), line)
    return table, panels(table, KINDS)


def starts(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    table = means(finished("starts", folder, changes), _field("ecosystem.start"))
    return table, panels(table, KINDS)


def training_length(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    def line(found: pd.DataFrame) -> pd.Series:
        steps, alpha = found["learner.training.steps"].astype(int), found["ecosystem.alpha"]
        return steps.astype(str) + " steps, alpha " + alpha.map("{:g}".format)

    table = means(finished("training-length", folder, changes), line)
    return table, panels(table, KINDS)


def asked_by_people(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    table = means(finished("asked-by-people", folder, changes), _field("ecosystem.prompts"))
    return table, panels(table, KINDS)


def ranked_reader(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    """Losses, and how much of what an entity reads of the pool is its own: offered and exposed."""
    read = finished("ranked-reader", folder, changes)
    table = means(read, _field("ecosystem.access"))
    rows = read.records[
        read.records["metric"].isin(["exposed", "offered"]) & (read.records["model"] == read.records["task"])
    ]
    rows = rows.assign(line=_field("ecosystem.access")(rows).map(lambda v: SHORT.get(v, v)) + ", " + rows["metric"])
    own = rows.groupby(["line", "generation"], sort=False)["value"].mean().reset_index().assign(kind="own texts")
    lines = [
        Curve(line.removesuffix(", exposed"), part["generation"].to_numpy(float), part["value"].to_numpy(float))
        for line, part in own[own["line"].str.endswith("exposed")].groupby("line", sort=False)
    ]
    chart = Chart("Own texts read", "generation", "share", lines, levels={"share of the pool": 1 / 3})
    return pd.concat([table, own]), [*panels(table, KINDS), chart]


def segments(folder: Path, changes: Sequence[str]) -> tuple[Table, list[Chart]]:
    """One corpus of 1,800 items in M parts, M models, nothing real after generation 0."""
    tables = []
    for number in SEGMENTS:
        own = (f"ecosystem.entities={number}", f"tasks.each.train={1800 // number}", *changes)
        read = finished("segments", folder, own, f"segments-{number}")
        found = read.records[(read.records["metric"] == "loss") & (read.records["task"] == "whole")]
        value = found.groupby("generation")["value"].mean()
        tables.append(
            pd.DataFrame({"line": f"M = {number}", "kind": "whole", "generation": value.index, "value": value.values})
        )
    table = pd.concat(tables)
    return table, panels(table, {"whole": "the whole corpus"})


WORLDS: dict[str, Callable[[Path, Sequence[str]], tuple[Table, list[Chart]]]] = {
    "reading-networks": reading_networks,
    "reading-networks-linear": reading_networks_linear,
    "late-entrant": late_entrant,
    "slow-lab": slow_lab,
    "starts": starts,
    "training-length": training_length,
    "asked-by-people": asked_by_people,
    "ranked-reader": ranked_reader,
    "segments": segments,
}


def main(folder: Path, only: Sequence[str] = tuple(WORLDS), changes: Sequence[str] = ()) -> dict[str, float]:
    """Run what is missing, draw a figure for each world, and return first and last values."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {}
    for name in only:
        table, parts = WORLDS[name](folder, changes)
        figure = charts(parts, columns=2 if len(parts) == 4 else min(len(parts), 3), height=2.4)
        (folder / f"{name.replace('-', '_')}.png").write_bytes(to_png(figure))
        for (line, kind), own in table.groupby(["line", "kind"], sort=False):
            in_order = own.sort_values("generation")["value"]
            numbers[f"{name}, {line}, {kind}, first"] = float(in_order.iloc[0])
            numbers[f"{name}, {line}, {kind}, last"] = float(in_order.iloc[-1])
    return numbers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(WORLDS), choices=list(WORLDS), metavar="PRESET")
    given = parser.parse_args()
    for name, value in main(given.folder, given.only).items():
        print(f"{name}: {value:.4g}")
