"""What happens to language models as more and more of them feed one pool?

Question. The paper trains two and three entities. With K models that own a small task each, what does each lose on its
own task, what do they learn of tasks that nobody owns, and how alike do they become?

Method. The preset `many-entities` at alpha = beta = 0.5, for several K; entity k owns topic k (kinds of facts, of word
problems and of multiple choice in turn), whatever K is. All read the same public text. Change from generation 0 to the
last one, means over entities. Runs are kept in FOLDER and gone on with.

    python examples/many_models.py FOLDER                                  # K = 2, 4, 8, 16 and ten generations
    python examples/many_models.py FOLDER --sizes 16 --generations 50
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import for_stream
from crossfeed.executors import executor_for
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png

SHARED = {"facts": "facts of all kinds", "math": "word problems", "reason": "multiple choice", "public": "public text"}


def experiment(size: int, generations: int, changes: Sequence[str] = ()) -> Experiment:
    """The preset with K entities and one alpha."""
    every = max(1, generations)
    changed = (
        f"ecosystem.entities={size}",
        f"generations={generations}",
        "grid.ecosystem.alpha=[0.5]",
        f"metrics={{loss: {{}}, similarity: {{items: 20, every: {every}}}}}",
    )
    return Experiment.from_yaml(read_preset("many-entities"), (*changed, *changes))


def measures(place: Path) -> pd.DataFrame:
    """Means over entities at every generation: `own`, each shared task, `similarity`."""
    records = Run.load(place).records
    losses = records[records["metric"] == "loss"]
    found = {"own": losses[losses["model"] == losses["task"]].groupby("generation")["value"].mean()}
    for task in SHARED:
        found[task] = losses[losses["task"] == task].groupby("generation")["value"].mean()
    alike = records[(records["metric"] == "similarity") & (records["task"] != "public")]
    found["similarity"] = alike.groupby("generation")["value"].mean()
    return pd.DataFrame(found)


def main(
    folder: Path, sizes: Sequence[int] = (2, 4, 8, 16), generations: int = 10, changes: Sequence[str] = ()
) -> dict[str, float]:
    """Run what is missing, draw the figure and return the numbers."""
    found = {}
    for size in sizes:
        described = experiment(size, generations, changes)
        place = folder / f"{size}-entities-{generations}-generations"
        with for_stream(sys.stderr) as progress:
            executor = executor_for(described)
            outcome = run(described, open_store(str(place)), progress=progress, executor=executor)
        if outcome.failures:
            raise SystemExit(f"{place}: {outcome.failures}")
        found[size] = measures(place)
    (folder / "many_models.png").write_bytes(to_png(charts(_panels(found, generations), columns=2, height=2.4)))
    numbers = {}
    for size, table in found.items():
        for name in ("own", *SHARED, "similarity"):
            values = table[name].dropna()
            numbers[f"K = {size}, {name}, first"] = float(values.iloc[0])
            numbers[f"K = {size}, {name}, last"] = float(values.iloc[-1])
    return numbers


def _panels(found: dict[int, pd.DataFrame], generations: int) -> list[Chart]:
    """Against K if there are several, against the generation otherwise."""
    if len(found) == 1:
        ((size, table),) = found.items()
        x, title = table.index.to_numpy(dtype=float), f"K = {size}"
        losses = {"own task": table["own"], **{label: table[name] for name, label in SHARED.items()}}
        alike = table["similarity"].dropna()
        return [
            Chart(f"Losses, {title}", "generation", "mean loss (nats a token)",
                  [Curve(label, x, y.to_numpy()) for label, y in losses.items()]),
            Chart(f"Similarity of outputs, {title}", "generation", "mean cosine",
                  [Curve("all pairs", alike.index.to_numpy(dtype=float), alike.to_numpy())]),
        ]  # fmt: skip
    x = np.array(list(found), dtype=float)

    def change(name: str) -> np.ndarray:
        values = [table[name].dropna() for table in found.values()]
        return np.array([each.iloc[-1] - each.iloc[0] for each in values])

    lines = [Curve(label, x, change(name)) for name, label in SHARED.items()]
    alike = [(table["similarity"].dropna().iloc[0], table["similarity"].dropna().iloc[-1]) for table in found.values()]
    first, last = np.array(alike).T
    return [
        Chart(f"Change of the loss in {generations} generations", "number of models K", "nats a token",
              [Curve("own task", x, change("own")), *lines], log="x"),
        Chart("Similarity of outputs", "number of models K", "mean cosine",
              [Curve("generation 0", x, first), Curve(f"generation {generations}", x, last)], log="x"),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 4, 8, 16], metavar="K")
    parser.add_argument("--generations", type=int, default=10, metavar="T")
    given = parser.parse_args()
    for name, value in main(given.folder, given.sizes, given.generations).items():
        print(f"{name}: {value:.4g}")
