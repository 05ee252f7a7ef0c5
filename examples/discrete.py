"""Which symbols and which pairs of words are lost when models are trained on what models wrote?

Question. A model that counts can write again only what it has read. How fast do 1,000 symbols of Zipf's law die out,
for one model alone and for four on one pool? And how many of the pairs of words of human prose does a bigram model
still know after ten generations, alone and on one pool with four others?

Method. The presets `zipf-tails` (at K = 1 and at K = 4) and `bigrams`, run here (or gone on with) in FOLDER; means over
entities and replicates, a line for each ecosystem, over the generations. For symbols the expected heterozygosity is

    E H_t = (1 - 1/n) (1 - 1/(K n))^t H*,

with H* that of the truth and n = 10,000 draws, hardly two of which are of one item: pools are a hundred times larger.

    python examples/discrete.py FOLDER --only zipf-tails
    python examples/discrete.py FOLDER --data-root DATA      # DATA/bookcorpus/{train,validation,test}.parquet
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import for_stream
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png

MODELS = (1, 4)
RANKS = ((0, 100), (100, 300), (300, 1000))
READS = {"complete": "five on one pool", "graph: complete, self: 1": "each alone"}

Lines = Mapping[str, Mapping[str, np.ndarray]]
"""Means of each metric over the generations, by line and by metric."""


def finished(name: str, where: Path, changes: Sequence[str], data_root: Path | None) -> Run:
    """Run a preset, or go on with it, and read it."""
    described = Experiment.from_yaml(read_preset(name), tuple(changes))
    with for_stream(sys.stderr) as progress:
        outcome = run(described, open_store(str(where)), data_root=data_root, progress=progress)
    if outcome.failures:
        raise SystemExit(f"{where}: {outcome.failures}")
    return Run.load(where)


def means(read: Run, metric: str, line: str) -> dict[str, np.ndarray]:
    """Means over entities on their own tasks, by generation, for each value of a column."""
    records = read.records
    own = records[(records["metric"] == metric) & (records["model"] == records["task"])]
    return {
        str(value): part.groupby("generation")["value"].mean().to_numpy()
        for value, part in own.groupby(own[line].astype(str), sort=False)
    }


def panels(lines: Lines, titles: Mapping[str, tuple[str, str]]) -> list[Chart]:
    """A panel for each metric, a line for each ecosystem."""
    return [
        Chart(
            title,
            "generation",
            unit,
            [
                Curve(line, np.arange(len(values[metric]), dtype=float), values[metric])
                for line, values in lines.items()
                if metric in values
            ],
        )
        for metric, (title, unit) in titles.items()
    ]


def survivors(where: Path) -> dict[str, np.ndarray]:
    """Shares of the symbols that survive to the end, by their rank; means over entities and replicates."""
    counts = np.concatenate([np.load(path) for path in where.glob("checkpoints/*/generation-*/*/counts.npy")])
    alive = (counts > 0).mean(axis=0)
    return {f"share of symbols {a + 1} to {b}": alive[None, a:b].mean(axis=1) for a, b in RANKS if b <= len(alive)}


def zipf_tails(folder: Path, changes: Sequence[str], data_root: Path | None) -> tuple[Lines, list[Chart]]:
    lines: dict[str, dict[str, np.ndarray]] = {}
    for models in MODELS:
        own = (f"ecosystem.entities={models}", *changes)
        read = finished("zipf-tails", folder / f"zipf-tails-{models}", own, data_root)
        truth = next(iter(read.experiment.tasks.values())).truth_probabilities
        metrics = ("surviving_symbols", "heterozygosity", "total_variation")
        lines[f"K = {models}"] = {m: next(iter(means(read, m, "metric").values())) for m in metrics}
        lines[f"K = {models}"] |= survivors(folder / f"zipf-tails-{models}")
        n, t = read.experiment.n, np.arange(read.experiment.generations + 1)
        exact = (1 - 1 / n) * (1 - 1 / (models * n)) ** t * (1 - truth @ truth)
        lines[f"K = {models}, exact"] = {"heterozygosity": exact}
    titles = {
        "surviving_symbols": ("Symbols that survive", "symbols"),
        "heterozygosity": ("Heterozygosity", "probability"),
        "total_variation": ("Distance from the truth", "total variation"),
    }
    return lines, panels(lines, titles)


def bigrams(folder: Path, changes: Sequence[str], data_root: Path | None) -> tuple[Lines, list[Chart]]:
    read = finished("bigrams", folder / "bigrams", changes, data_root)
    of = {metric: means(read, metric, "ecosystem.reads") for metric in ("perplexity", "unseen_ngrams")}
    names = {line: READS.get(line, line) for line in of["perplexity"]}
    lines = {name: {metric: values[line] for metric, values in of.items()} for line, name in names.items()}
    titles = {
        "perplexity": ("Perplexity of human prose", "words"),
        "unseen_ngrams": ("Pairs of words without a count", "share of the test set's"),
    }
    return lines, panels(lines, titles)


PRESETS: dict[str, Callable[[Path, Sequence[str], Path | None], tuple[Lines, list[Chart]]]] = {
    "zipf-tails": zipf_tails,
    "bigrams": bigrams,
}


def main(
    folder: Path, only: Sequence[str] = tuple(PRESETS), changes: Sequence[str] = (), data_root: Path | None = None
) -> dict[str, float]:
    """Run what is missing, draw a figure for each preset, and return first and last values."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {}
    for name in only:
        lines, parts = PRESETS[name](folder, changes, data_root)
        figure = charts(parts, columns=len(parts), height=2.4)
        (folder / f"{name.replace('-', '_')}.png").write_bytes(to_png(figure))
        for line, values in lines.items():
            for metric, value in values.items():
                if len(value) > 1:
                    numbers[f"{name}, {line}, {metric}, first"] = float(value[0])
                numbers[f"{name}, {line}, {metric}, last"] = float(value[-1])
    return numbers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=list(PRESETS), metavar="PRESET")
    parser.add_argument("--data-root", type=Path)
    given = parser.parse_args()
    for name, value in main(given.folder, given.only, data_root=given.data_root).items():
        print(f"{name}: {value:.4g}")
