"""Small runs of the fake learner, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.loop import run
from crossfeed.reporting.data.frames import Run
from crossfeed.store import open_store

SMALL = ("generations=2", "n=40", "tasks.warm.test=4", "tasks.cold.test=4", "public.test=4")
THREE = (
    "ecosystem.entities=[{name: a, private: warm}, {name: b, private: cold}, {name: c, private: wild}]",
    "tasks.wild={source: fake, words: [fox, owl], test: 4}",
)


@pytest.fixture(scope="session")
def make(tmp_path_factory) -> Callable[..., Run]:
    """Make a run with overrides and open it; equal ones are made once."""
    made: dict[tuple[str, ...], Path] = {}

    def build(*overrides: str) -> Run:
        if overrides not in made:
            folder = tmp_path_factory.mktemp("run") / "run"
            run(Experiment.from_yaml(read_description("fake"), (*SMALL, *overrides)), open_store(folder))
            made[overrides] = folder
        return Run.load(made[overrides])

    return build


@pytest.fixture(scope="session")
def seeds(make) -> Run:
    """Three alphas, three seeds."""
    return make("seeds=[0,1,2]")


@pytest.fixture(scope="session")
def grid(make) -> Run:
    """Three models over alpha and beta."""
    return make(*THREE, "grid={ecosystem.beta: [0.2, 0.8], ecosystem.alpha: [0, 1]}")


@pytest.fixture(scope="session")
def partly(make) -> Run:
    """Two seeds of two cells, of which one kind diverges at generation 2."""
    return make("seeds=[0,1]", "grid={ecosystem.alpha: [0.5], learner.diverge_at: [9, 2]}")
