"""Identifying a surrogate and forecasting with it, and its derivatives against two-point differences.

    python benchmarks/forecast.py             # 2 and 10 entities
    python benchmarks/forecast.py --quick     # does everything run?

The losses are those of a surrogate with parameters near what is expected, so that no model is trained: curves of
generation 0 and of two cells over two generations, as `crossfeed forecast` has them. Ten entities are measured on their
own tasks, on the public one and on three that nobody owns, as in the preset many-entities. Both derivatives are of all
fitted losses in all parameters, in turns. Processor seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from tell import show

from crossfeed.forecasting.ecology import Conditions, Ecology
from crossfeed.forecasting.identification import _Problem, identify
from crossfeed.forecasting.observations import Curve, Observations, Path
from crossfeed.forecasting.parameters import layout_of
from crossfeed.forecasting.surrogate import ENDS, INITIAL_ENDS, Surrogate

GENERATIONS = 6


def observed(entities: int, unowned: int) -> tuple[Observations, Callable[[float, float, int], Conditions]]:
    """Return losses of an ecosystem, and its conditions at an alpha and beta."""
    tasks, own = entities + unowned + 1, np.arange(entities)
    measured = np.zeros((entities, tasks), dtype=bool)
    measured[own, own] = measured[:, entities:] = True
    measured |= entities == 2
    initial = np.zeros((entities, tasks))
    initial[own, own] = initial[:, -1] = 0.5
    base = np.where(measured, np.where(np.arange(tasks) == tasks - 1, 3.2, 8.0), np.nan)
    steps = 40.0 if entities == 2 else 20.0
    ecology = Ecology(own, tasks - 1, np.full(tasks, 60.0), base, 6.9, initial, np.full(entities, 200.0), steps)

    def conditions(alpha: float, beta: float, generations: int) -> Conditions:
        real = np.zeros((generations, entities, tasks))
        real[:, own, own], real[:, :, -1] = (1 - alpha) * beta, (1 - alpha) * (1 - beta)
        synthetic = np.full((generations, entities, entities), alpha / entities)
        return Conditions(real, synthetic, np.full((generations, entities), steps))

    layout = layout_of(ecology, 0.6 * base)
    truth = layout.expected + 0.2 * np.random.default_rng(0).standard_normal(len(layout)) * layout.width
    surrogate = Surrogate(ecology, layout)
    start = surrogate.initial(truth[None])

    def curve(losses: np.ndarray, ends: np.ndarray, marks: tuple[float, ...]) -> Curve:
        at = [int(np.argmin(np.abs(ends - mark))) for mark in marks]
        return Curve(ends[at], np.where(measured, losses[at], np.nan))

    paths = []
    for alpha, beta in ((1.0, 0.5), (0.0, 1.0)):
        cell = conditions(alpha, beta, 2)
        simulated = surrogate.continued(truth[None], start, [cell])
        curves = [curve(losses[0, :, 0], ENDS, (0.125, 0.25, 0.5, 1.0)) for _, losses in simulated]
        paths.append(Path(cell, tuple(curves)))
    first = curve(start.losses[0], INITIAL_ENDS, (0.02, 0.07, 0.2, 0.32, 0.5, 0.75, 1.0))
    return Observations(ecology, first, tuple(paths)), conditions


def processor_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def row(entities: int, unowned: int, rounds: int) -> list[object]:
    observations, conditions = observed(entities, unowned)
    identified = identify(observations)
    seconds = statistics.median(processor_seconds(lambda: identify(observations)) for _ in range(rounds))
    grid = [conditions(a, b, GENERATIONS) for a in np.linspace(0, 1, 11) for b in np.linspace(0, 1, 11)]
    cell = processor_seconds(lambda: identified.forecast(grid)) / len(grid)
    problem = _Problem(observations, layout_of(observations.ecology, observations.first))
    x = identified.parameters

    def differences() -> None:
        for step in 1e-7 * np.eye(len(x)):
            problem.residuals(x + step)

    pairs = [
        (processor_seconds(lambda: problem.jacobian(x)), processor_seconds(differences)) for _ in range(max(rounds, 1))
    ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [entities, len(x), observations.count, seconds, 1000 * cell, ours, theirs, theirs / ours]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="two entities, once: ratios mean nothing")
    given = parser.parse_args()
    sizes, rounds = ([(2, 0)], 1) if given.quick else ([(2, 0), (10, 3)], given.rounds)
    columns = ["K", "parameters", "losses", "identify, s", "forecast a cell of 121, ms"]
    columns += ["derivatives, s", "by differences, s", "ratio"]
    show(columns, [row(*size, rounds) for size in sizes])


if __name__ == "__main__":
    main()
