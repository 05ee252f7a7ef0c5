"""Accuracy of a run's checkpoints on more multiple choice questions than the run measured, beside that of their base.

    python benchmarks/choices.py RUN --source sciq --items 200 --data-root FOLDER

Each choice is scored as in the metric ``accuracy``. All models answer the same questions, so that differences between
them have smaller errors than each number: the last columns count the questions gained and lost against the base.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tell import say, show

from crossfeed import Experiment
from crossfeed.cache import default_cache
from crossfeed.description.reading import read_description
from crossfeed.description.registry import task_settings
from crossfeed.display.progress import Silent
from crossfeed.generation.snapshot import LiveSnapshot
from crossfeed.metrics.accuracy import choices_of, loss_per_token
from crossfeed.protocols import LearnerContext


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", default="sciq")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--data-root", type=Path, required=True)
    given = parser.parse_args()
    experiment = Experiment.from_yaml(read_description(str(given.run / "experiment.yaml")))
    task = task_settings(given.source)(source=given.source, test=given.items).build(given.source, given.data_root)
    learner = experiment.learner.build(LearnerContext({}, 0, default_cache(), Silent()))

    def answers(state: object) -> np.ndarray:
        snapshot = LiveSnapshot(0, ("one",), [state], {given.source: task}, learner, 0)
        choices = choices_of(task.test)
        return choices.correct(loss_per_token(snapshot.score(choices.table)[0]))

    right = {"base": answers(learner.start([0])[0])}
    kept = given.run / "checkpoints"
    for folder in sorted(path.parent for path in kept.rglob("config.json")):
        say(str(folder))
        right[str(folder.relative_to(kept))] = answers(learner.load(folder))
    base = right["base"]
    rows = [
        (name, float(own.mean()), float(np.sqrt(own.mean() * (1 - own.mean()) / len(own))), *_changes(own, base))
        for name, own in right.items()
    ]
    show(("model", "accuracy", "standard error", "gained", "lost"), rows)


def _changes(own, base) -> tuple[int, int]:
    return int((own & ~base).sum()), int((base & ~own).sum())


if __name__ == "__main__":
    main()
