"""How well a grid is forecast: a whole run beside a forecast of the same experiment made in a folder of its own.

::

    crossfeed run quickstart --set seeds=[1] --set 'grid={ecosystem.alpha: [0, 0.5, 1], ecosystem.beta: [0, 0.5, 1]}' \
        --out whole
    crossfeed forecast whole/experiment.yaml --out probes
    python examples/forecast_accuracy.py whole probes

Prints, of the losses after the last generation (cells with alpha = 1, which are one cell, counted once): the share of
directions that are right (dead band 0.1), median and 90th percentile of the relative error in per cent, over all cells
and for 0 < beta < 1; the coverage of the 80 % bands; the best alpha at the middle beta and what following the forecast
costs; the same errors of geometric extrapolation from two generations of every cell, and with two whole cells in the
fit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.forecasting.answer import Cost
from crossfeed.forecasting.forecasts import forecast_of
from crossfeed.forecasting.geometric import extrapolated
from crossfeed.forecasting.identification import identify
from crossfeed.forecasting.observations import Curve, Observations, Path
from crossfeed.forecasting.probing import probes_of
from crossfeed.forecasting.stored import Known, read_known
from crossfeed.protocols import Array, Store
from crossfeed.store import open_store

BAND = 0.1
"""Changes of at most this, in nats, are no direction."""


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Return cells that train on different mixtures: at alpha = 1 beta has no effect."""
    kept: dict[tuple[float, float], Cell] = {}
    for cell in cells:
        alpha, beta = weights(cell)
        kept.setdefault((alpha, beta if alpha < 1 else 0.0), cell)
    return list(kept.values())


def weights(cell: Cell) -> tuple[float, float]:
    """Return a cell's alpha and beta, of the first entity at generation 1."""
    ecosystem = cell.experiment.ecosystem
    return float(ecosystem.alphas(1)[0]), float(ecosystem.betas(1)[0])


def measured(known: Known, store: Store, cells: Sequence[Cell]) -> dict[str, Array]:
    """Return ``(T + 1, K, Q)`` losses of whole cells by name."""
    losses = {}
    for cell in cells:
        observed = replace(known, cells=(cell,)).observations(store, "loss")
        losses[cell.name] = np.stack([observed.first, *(curve.losses[-1] for curve in observed.paths[0].curves)])
    return losses


def figures(forecast: Array, truth: Array, cells: Sequence[Cell]) -> dict[str, float]:
    """Return shares and errors in per cent of ``(C, K, Q)`` last losses; `truth` is ``(C, T + 1, K, Q)``."""
    last, first = truth[:, -1], truth[:, 0]
    error = 100 * np.abs(forecast / last - 1)
    right = direction(forecast - first) == direction(last - first)
    alpha, beta = np.array([weights(cell) for cell in cells]).T
    between = (beta > 0) & (beta < 1) & (alpha < 1)
    known = np.isfinite(error)

    def over(which: Array, numbers: Array, how: str) -> float:
        values = numbers[which][known[which]]
        return float({"median": np.median, "p90": lambda v: np.quantile(v, 0.9), "mean": np.mean}[how](values))

    every = np.ones(len(cells), dtype=bool)
    return {
        "direction, all": 100 * over(every, right, "mean"),
        "direction, alpha > 0": 100 * over(alpha > 0, right, "mean"),
        "median, all": over(every, error, "median"),
        "p90, all": over(every, error, "p90"),
        "median, 0 < beta < 1": over(between, error, "median"),
        "p90, 0 < beta < 1": over(between, error, "p90"),
    }


def direction(change: Array) -> Array:
    """Return -1, 0 or 1."""
    return np.where(np.abs(change) < BAND, 0, np.sign(change))


def best_alpha(forecast: Array, truth: Array, known: Known, cells: Sequence[Cell]) -> dict[str, float]:
    """Return the best alpha at the middle beta by measurement and by forecast, and the regret in per cent."""
    middle = sorted({weights(cell)[1] for cell in cells})
    beta = middle[len(middle) // 2]
    at = [i for i, cell in enumerate(cells) if weights(cell)[1] == beta or weights(cell)[0] == 1]
    private = sorted(set(known.own))

    def means(losses: Array) -> Array:
        return np.array([np.nanmean(losses[i][:, private]) for i in at])

    alphas, said, true = [weights(cells[i])[0] for i in at], means(forecast), means(truth[:, -1])
    chosen, best = int(np.argmin(said)), int(np.argmin(true))
    return {
        "best alpha": alphas[best],
        "best alpha, forecast": alphas[chosen],
        "regret": 100 * float(true[chosen] / true[best] - 1),
    }


def with_whole_cells(
    observed: Observations, known: Known, truth: Mapping[str, Array], whole: Sequence[Cell]
) -> Observations:
    """Return observations with the last losses of all generations of some cells besides."""
    paths = [
        Path(known.conditions(cell), tuple(Curve(np.ones(1), losses[None]) for losses in truth[cell.name][1:]))
        for cell in whole
    ]
    return replace(observed, paths=(*observed.paths, *paths))


def accuracy(run: str, probes: str, budget: float) -> dict[str, dict[str, float]]:
    """Return everything that is printed, by forecast and figure."""
    whole, store = open_store(run), open_store(probes)
    experiment = Experiment.from_yaml(whole.read_description())
    seed = experiment.seeds[0]
    known = read_known(store, experiment, seed)
    assert known is not None, f"{probes} holds no probes"
    cells = distinct(known.cells)
    losses = measured(known, whole, cells)
    truth = np.stack([losses[cell.name] for cell in cells])
    probed = [(probe.cell, probe.generations) for probe in probes_of(experiment, budget)]
    grid = {cell.name for cell in known.cells}
    more = [cell for cell, _ in probed if cell.name not in grid]
    observed = known.observations(store, "loss", more, only={cell.name: count for cell, count in probed})
    identified = identify(observed)
    forecast = np.stack([each[-1] for each in identified.forecast([known.conditions(cell) for cell in cells])])
    made = forecast_of(experiment, known, store, probed, Cost(0, 0, 0, 0), best=False)
    answer = {"forecast": figures(forecast, truth, cells) | best_alpha(forecast, truth, known, cells)}
    answer["forecast"] |= coverage(made.table.to_pylist(), losses, known, experiment.generations)
    answer["forecast"] |= {"misfit": 100 * identified.misfit, "parameters": len(identified.parameters)}
    if experiment.generations > 2:
        geometric = np.stack([extrapolated(each[:3], experiment.generations)[-1] for each in truth])
        answer["geometric extrapolation of two generations of every cell"] = figures(geometric, truth, cells)
    middle = sorted({weights(cell)[1] for cell in cells})
    beta = middle[len(middle) // 2]
    along = [cell for cell in cells if weights(cell)[1] == beta or weights(cell)[0] == 1]
    chosen = [cell for cell in along if weights(cell)[0] in (0.5, 1.0)]
    more_known = identify(with_whole_cells(observed, known, losses, chosen))
    unseen = [i for i, cell in enumerate(cells) if cell not in chosen]
    forecast = np.stack([each[-1] for each in more_known.forecast([known.conditions(cells[i]) for i in unseen])])
    answer["with two whole cells, cells not in the fit"] = figures(forecast, truth[unseen], [cells[i] for i in unseen])
    return answer


def coverage(
    rows: Sequence[Mapping[str, object]], losses: Mapping[str, Array], known: Known, last: int
) -> dict[str, float]:
    """Return the share of last losses, not measured by the probes, that lie in their 80 % bands, in per cent."""
    inside: dict[str, list[bool]] = {"forecast": [], "extrapolated": []}
    for row in rows:
        if (
            row["cell"] in losses
            and row["generation"] == last
            and row["metric"] == "loss"
            and row["basis"] != "measured"
        ):
            k, s = known.entities.index(str(row["model"])), known.tasks.index(str(row["task"]))
            true = losses[str(row["cell"])][-1, k, s]
            inside[str(row["basis"])].append(bool(row["lower"] <= true <= row["upper"]))  # type: ignore[operator]
    every = [each for kind in inside.values() for each in kind]
    shares = {f"in the 80 % band, {kind}": 100 * float(np.mean(kept)) for kind, kept in inside.items() if kept}
    return {"in the 80 % band": 100 * float(np.mean(every))} | shares


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("probes")
    parser.add_argument("--budget", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    answer = accuracy(given.run, given.probes, given.budget)
    if given.json:
        print(json.dumps(answer))
    else:
        for name, numbers in answer.items():
            print(name)
            for figure, value in numbers.items():
                print(f"  {figure:32} {value:8.2f}")
