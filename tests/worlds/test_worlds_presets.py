"""The presets of worlds: each runs in small, and the example draws a figure of each."""

from __future__ import annotations

import json

import pytest

from crossfeed import Experiment
from crossfeed.description.reading import read_preset
from tests.test_examples import example

LANGUAGE = (
    "learner={kind: fake}",
    "generations=2",
    "n=12",
    "initial_n=20",
    "seeds=[0]",
    "metrics={loss: {}}",
    "public={source: fake, train: 24, test: 4}",
)
FAKE = {"train": 24, "test": 4}


def small(name: str) -> tuple[str, ...]:
    described = Experiment.from_yaml(read_preset(name))
    if described.learner.kind == "linear":
        return ("generations=3", "tasks.each.replicates=3", "public.replicates=3")
    tasks = {"each": FAKE | {"source": "fake", "seed": "{k}"}} if "e1" in described.tasks else {}
    tasks |= {task: FAKE | {"source": "fake"} for task in described.tasks if not task.startswith("e")}
    return (*LANGUAGE, f"tasks={json.dumps(tasks)}")


@pytest.mark.parametrize(
    "name",
    ["reading-networks", "reading-networks-linear", "late-entrant", "slow-lab", "asked-by-people", "ranked-reader"],
)
def test_worlds_run_and_are_drawn_in_small(name, tmp_path):
    changes = small(name)
    if name == "late-entrant":
        changes += ("grid={ecosystem.entities.2.from: [0, 1]}",)
    if name == "ranked-reader":
        changes += ("grid={ecosystem.access: [null, {rank: popularity, top: 5}, {rank: embedding, top: 3}]}",)
    numbers = example("worlds").main(tmp_path, [name], changes)
    lines = {key.split(", ")[1] for key in numbers}
    assert len(lines) >= 2
    assert (tmp_path / f"{name.replace('-', '_')}.png").stat().st_size > 10_000


def test_starts_lengths_and_segments_run_in_small(tmp_path):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    tiny = [f"learner.base.scratch.{name}={value}" for name, value in {"steps": 2, "vocabulary": 300}.items()]
    config = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tiny += [f"learner.base.scratch.config.{name}={value}" for name, value in config.items()]
    tiny += [
        "learner.generation.max_new_tokens=4",
        "generations=1",
        "n=8",
        "initial_n=16",
        "seeds=[0]",
        "learner.threads=1",
    ]
    tiny += ["metrics={loss: {}}", "public={source: stdlib-docs, test: 4}"]
    three = [
        f"tasks.{name}={{source: {name}, train: 30, validation: 4, test: 4}}" for name in ("facts", "math", "reason")
    ]
    worlds = example("worlds")
    starts = worlds.main(tmp_path, ["starts"], [*tiny, *three, "learner.training.steps=1"])
    last = {key.split(", ")[1]: value for key, value in starts.items() if key.endswith("own, last")}
    assert last.keys() == {"previous", "base", "scratch"}
    assert len(set(last.values())) == 3
    lengths = worlds.main(tmp_path, ["training-length"], [*tiny, *three, "grid.learner.training.steps=[1, 2]"])
    assert {key.split(", ")[1] for key in lengths} == {"1 steps", "2 steps"}
    segments = worlds.main(
        tmp_path, ["segments"], [*tiny, "tasks.each.test=4", "tasks.each.validation=4", "tasks.whole.test=4"]
    )
    assert {key.split(", ")[1] for key in segments} == {"M = 1", "M = 2", "M = 4", "M = 8"}
