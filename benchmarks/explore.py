"""What a slider's move costs at K = 50, d = 30, by its parts, in milliseconds of processor time.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/explore.py

Medians of processor time: wall time says the same on a machine that does nothing else. Data are drawn where K, d or the
rank moves. The whole answer is all that the page is told, figures and tables; the bar is 100. What the browser then
takes to draw is not in it. The map is computed after the answer, in slices of 20 ms, coarse first; it is kept while
alpha and beta move. At alpha = 1 there is no limit, and what grows has to be found out.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time

import numpy as np
from bokeh.document import Document
from tell import show

from crossfeed.exact.prediction import long_run
from crossfeed.explorer.answer import Data
from crossfeed.explorer.landscape import SIDES, Survey
from crossfeed.explorer.sliders import first_start
from crossfeed.explorer.theory_page import site
from crossfeed.theory import objective_value
from crossfeed.theory.influence import influence_shares

MOVED = {"entities": 50, "dimension": 30, "rank": 10}
RUNS = 15


def milliseconds(work):
    """Median processor time; the first run, which draws and caches, does not count."""
    work()
    spent = []
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - begun))
    return statistics.median(spent)


def asking(start, name, values):
    """Put question after question to a page that nobody looks at."""
    page, turns, value = Document(), itertools.count(1), itertools.cycle(values)
    site(start).page(page)
    state = page.get_model_by_name("state")

    def ask():
        state.asked = json.dumps({"turn": next(turns), "moved": MOVED | {name: next(value)}})
        for waiting in page.session_callbacks:  # the server answers once it has read all messages
            waiting.callback()

    return ask


def main():
    start = first_start()
    experiment, data = start.describe(start.change(MOVED)), Data()
    eco = data.ecosystem(experiment)
    parts = {
        "describe the experiment": lambda: start.describe(start.change(MOVED)),
        "data: draw 51 data sets": lambda: Data().ecosystem(experiment),
        "Gram matrices": lambda: data.ecosystem(experiment),
        "trajectories, t = 0 to 15": lambda: eco.moments(range(16)).mse,
        "limit and spectral radius": lambda: long_run(experiment.ecosystem, eco)[2].mse,
        "relative efficiency": eco.relative_efficiency,
        "influence matrix": lambda: influence_shares(eco),
        "a point of the map": lambda: objective_value(eco.with_weights(0.3, 0.7)),
        "a point of the map, alpha = 1": lambda: objective_value(eco.with_weights(1.0, 0.7)),
        "whole answer, alpha moves": asking(start, "alpha", np.linspace(0.1, 0.9, 801).tolist()),  # none twice
        "whole answer, given before": asking(start, "beta", [0.3, 0.6]),
        "whole answer, rank moves": asking(start, "rank", range(5, 25)),  # always new data
    }
    show(["part of a move", "ms"], [[name, milliseconds(work)] for name, work in parts.items()])
    rows, survey, begun = [], Survey(eco), time.process_time()
    while not survey.complete:
        if survey.advance(0.02) and (not rows or rows[-1][0] != f"{survey.side} x {survey.side}"):
            rows.append([f"{survey.side} x {survey.side}", 1000 * (time.process_time() - begun)])
    assert len(rows) == len(SIDES)
    show(["map, points", "ms since the move"], rows)


if __name__ == "__main__":
    main()
