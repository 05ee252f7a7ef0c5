"""Golden trajectories: the same description gives the same numbers in every version, until a change says otherwise.

After a change that is meant to change results, write them anew with ``python -m tests.golden.test_golden`` and say so
in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_description

GOLDEN = Path(__file__).with_name("trajectories.json")
RUNS = {
    "latest": ("generations=3",),
    "accumulate-with-fresh-data": (
        "generations=3",
        "ecosystem.alpha=[0.3, 0.6]",
        "ecosystem.history=accumulate",
        "ecosystem.fresh_fraction=0.25",
        "ecosystem.entities.1.share=3",
        "pool_size=50",
        "seeds=[7]",
    ),
}


def trajectory(overrides: tuple[str, ...]) -> dict[str, float]:
    """Every number of a run of the preset ``fake``, but the timings."""
    experiment = Experiment.from_yaml(read_description("fake"), overrides)
    rows = run(experiment, MemoryStore()).records.to_pylist()
    return {
        " ".join(str(row[name]) for name in ("cell", "generation", "model", "task", "metric")): row["value"]
        for row in rows
        if row["metric"] != "seconds"
    }


@pytest.mark.parametrize("name", sorted(RUNS))
def test_numbers_are_what_they_were(name):
    assert trajectory(RUNS[name]) == pytest.approx(json.loads(GOLDEN.read_text())[name], rel=1e-9)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: trajectory(how) for name, how in RUNS.items()}, indent=0) + "\n")
