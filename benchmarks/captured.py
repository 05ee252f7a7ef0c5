"""What CUDA graphs save: training and completing with captured graphs against kernels launched one by one.

    python benchmarks/captured.py --data-root DATA                    # OPT-350m's architecture, random weights
    python benchmarks/captured.py --data-root DATA --model FOLDER     # another one
    python benchmarks/captured.py train complete --data-root DATA     # some parts: train, complete, score

In one process, with the preset's settings: an update on texts of SciQ (a hundred steps of 2 x 2), completions of its
questions, and losses of its texts, with and without in turns; medians. Random weights hardly ever end a text: every
completion is as long as it may be.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tell import say, timed

from crossfeed import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import Silent
from crossfeed.keys import item_keys
from crossfeed.learners.language.captured_decoding import CapturedDecoder
from crossfeed.protocols import LearnerContext, Part, TrainingSet

NAMES = ("captured", "launched one by one")
PARTS = ("train", "complete", "score")


class Contender:
    """A learner with or without captured graphs, and its work."""

    def __init__(self, experiment: Experiment, captured: bool, train: pa.Table, texts: int) -> None:
        self.learner = experiment.learner.build(LearnerContext({}, 0, Path(), Silent()))
        self._supports = CapturedDecoder.supports if captured else lambda model: False
        if not captured:
            self.learner._model.__dict__["captured_passes"] = None
        [self._state] = self.learner.start(range(1))
        read = self.learner.examples_read(train.num_rows, 1, 0)
        self._drawn = TrainingSet((Part("private", 0, 1.0, train.slice(0, read), np.arange(read)),))
        self._items, self._keys = train.slice(0, texts), item_keys(1, np.arange(texts))

    def train(self) -> None:
        """An update; its new state has come back to the host when it ends."""
        self.learner.update([self._state], [self._drawn], [1], 1)

    def complete(self) -> None:
        """Texts."""
        CapturedDecoder.supports = staticmethod(self._supports)
        self.learner.generate([self._state], [self._items], [self._keys])

    def score(self) -> None:
        """Losses."""
        self.learner.score([self._state], [self._items])


def main(parts: list[str], data_root: Path, out: Path, preset: str, model: str | None, texts: int, rounds: int) -> None:
    place = model or str(_random(out, preset, data_root))
    experiment = Experiment.from_yaml(read_preset(preset), (f"learner.base.model={place}", "ecosystem.alpha=0.5"))
    train = experiment.tasks["sciq"].build("sciq", data_root).train
    contenders = [Contender(experiment, name == NAMES[0], train, texts) for name in NAMES]
    print(f"{torch.cuda.get_device_name()}, {place}, {contenders[0].learner.describe()['precision']}")
    for what in parts or PARTS:
        seconds = [[timed(getattr(one, what)) for one in contenders] for _ in range(rounds + 1)]
        for one in seconds:
            say(f"{what}: " + ", ".join(f"{name} {each:.2f} s" for name, each in zip(NAMES, one, strict=True)))
        medians = [statistics.median(each) for each in zip(*seconds[1:], strict=True)]  # the first round sets up
        print(
            f"{what}: {medians[0]:.2f} s captured, {medians[1]:.2f} s one by one: {medians[1] / medians[0]:.2f} times"
        )


def _random(out: Path, preset: str, data_root: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
    from architectures import CONFIGS, texts_of, write

    name = preset.rpartition("-")[0]
    folder = out / f"{name}-random"
    return folder if (folder / "config.json").exists() else write(folder, CONFIGS[name], texts_of(data_root))


def _arguments() -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=[])
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/captured"))
    parser.add_argument("--preset", default="opt-350m-k2")
    parser.add_argument("--model", help="a hub id or local folder; default: random weights")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    return vars(parser.parse_args())


if __name__ == "__main__":
    given = _arguments()
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device here")
    main(**given)
