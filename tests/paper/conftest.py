"""Fake runs with the paper's tasks, and records of our making in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from crossfeed import paper
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.loop import run
from crossfeed.reporting.data.frames import Run
from crossfeed.store import open_store

GRID = "grid={ecosystem.alpha: [0, 0.5, 1], ecosystem.beta: [0, 0.5, 1]}"
TWO = (
    "ecosystem.entities=[{name: s, private: sciq}, {name: g, private: gsm8k}]",
    "tasks={sciq: {source: fake, words: [red, sun], test: 4}, gsm8k: {source: fake, words: [blue, ice], test: 4}}",
    "ecosystem.initial_beta=0.5",
    "generations=1",
    "n=20",
    "public.test=4",
    "metrics={loss: {}, similarity: {}, projection: {}}",
    "checkpoints=none",
)
THREE = (
    *TWO,
    "ecosystem.entities=[{name: s, private: sciq}, {name: g, private: gsm8k}, {name: a, private: arc}]",
    "tasks.arc={source: fake, words: [fox, owl], test: 4}",
    "metrics={loss: {}}",
)
OWNED = {"s": "sciq", "g": "gsm8k", "a": "arc_challenge", "s+g": "sciq+gsm8k"}


@pytest.fixture(scope="session")
def make(tmp_path_factory) -> Callable[..., Run]:
    """Make a fake run of the paper's tasks with overrides and open it; equal ones are made once."""
    made: dict[tuple[str, ...], Path] = {}

    def build(*overrides: str, base: tuple[str, ...] = TWO) -> Run:
        key = (*base, *overrides)
        if key not in made:
            folder = tmp_path_factory.mktemp("run") / "run"
            outcome = run(Experiment.from_yaml(read_description("fake"), key), open_store(folder))
            assert not outcome.failures
            made[key] = folder
        return Run.load(made[key])

    return build


@pytest.fixture
def whole(make) -> Run:
    """All nine cells, one seed."""
    return make(GRID)


@pytest.fixture(scope="session")
def source() -> Path:
    """The folder that the tables were copied from, where there is one."""
    folder = Path(os.environ.get("CROSSFEED_PAPER", Path(__file__).parents[3] / "shared" / "paper"))
    if not folder.is_dir():
        pytest.skip(f"the tables' source is not here ({folder}); name its folder in CROSSFEED_PAPER")
    return folder


def tell(made: Run, value: Callable[[dict], float | None], called: Callable[[str], str | None] = OWNED.get) -> Run:
    """A run whose losses and similarities are of our making.

    Args:
        made: The run.
        value: The value of a record, given ``alpha, beta, seed, generation, metric`` and ``model, task`` in the paper's
            names; None leaves it as it is.
        called: A model's name in the paper.
    """
    values = []
    for row in made.records.to_dict("records"):
        found = value(row | {"model": called(row["model"]), "task": row["task"].replace("arc", "arc_challenge")})
        values.append(row["value"] if found is None else found)
    return replace(made, records=made.records.assign(value=values))


def as_in(*tables: str, scale: float = 1.0) -> Callable[[dict], float | None]:
    """The values of the paper's own tables, times a factor."""
    rows = pd.concat([paper.table(name) for name in tables])
    keys = ["metric", "alpha", "beta", "entity", "task"]
    known = {tuple(row[k] for k in keys): (row["initial"], row["final"]) for row in rows.to_dict("records")}

    def value(row: dict) -> float | None:
        found = known.get((row["metric"], row["alpha"], row["beta"], row["model"], row["task"]))
        return None if found is None else scale * found[min(row["generation"], 1)]

    return value
