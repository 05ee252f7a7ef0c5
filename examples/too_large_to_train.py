"""A model whose training does not fit into memory, as far as it goes: read, score, generate, and train its first layer.

    python examples/too_large_to_train.py llama-3.2-1b-k2 MODEL --data-root FOLDER

takes a preset's settings and a model's folder. Training a whole model of P parameters holds 16 P bytes (weights,
gradients, two moments of AdamW, in fp32) and the states that other entities need besides. Here every layer is gone
through forwards and backwards, but AdamW moves the first one and the norms alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from crossfeed import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import Silent
from crossfeed.keys import address, item_keys
from crossfeed.learners.language.model import CausalModel, LanguageState
from crossfeed.learners.language.pretrained import read_model, read_tokenizer
from crossfeed.learners.language.tokens import ItemTokenizer
from crossfeed.learners.language.training import train
from crossfeed.learners.neural.device import open_device
from crossfeed.protocols import LearnerContext


def main(preset: str, model: str, data_root: Path, items: int = 4, steps: int = 2, tokens: int = 8) -> dict[str, float]:
    """Go through what the preset would do to a model.

    Args:
        preset: A preset of language models with a task ``sciq``.
        model: The model's folder.
        data_root: Real data, ``FOLDER/sciq/<split>.parquet``.
        items: How many items are scored and completed.
        steps: How many steps are trained.
        tokens: Longest completion.

    Returns:
        Seconds and peak gigabytes by stage, the loss, and how far the first layer moved at most.
    """
    small = (
        f"learner.generation.max_new_tokens={tokens}",
        f"tasks.sciq.test={items}",
        f"learner.training.steps={steps}",
    )
    experiment = Experiment.from_yaml(read_preset(preset), (f"learner.base.model={model}", *small))
    task = experiment.tasks["sciq"].build("sciq", data_root)
    numbers: dict[str, float] = {}
    with TemporaryDirectory() as cache, _Stage("score and generate", numbers):
        learner: Any = experiment.learner.build(LearnerContext({"sciq": task}, 0, Path(cache), Silent()))
        states = learner.start([0])
        [[scores]] = learner.score(states, [task.test])
        learner.generate(states, [task.test], [item_keys(address(0, "large"), np.arange(items))])
        numbers["parameters"] = sum(weight.numel() for weight in states[0].weights.values())
        numbers["loss"] = float(scores.loss.sum() / scores.size.sum())
    del learner, states
    with _Stage("train", numbers):
        numbers["largest move"] = _train_first_layer(experiment, task)
    for name, value in numbers.items():
        print(f"{name:<40}{value:>18,.4g}")
    return numbers


def _train_first_layer(experiment: Experiment, task: Any) -> float:
    learner: Any = experiment.learner
    training, name = learner.training, learner.base.model
    device = open_device(learner.device, learner.precision, learner.threads)
    module = read_model(name, None, device, learner.context_length)
    for place, parameter in module.named_parameters():
        parameter.requires_grad_(".layers.0." in place or "norm" in place)
    tokenizer = ItemTokenizer(read_tokenizer(name, None))
    items = task.train.slice(0, training.steps * training.examples_per_step)
    examples = [example.ids for example in tokenizer.examples(items, training.max_length)]
    # The state shares the module's memory: a copy of it would be one too many.
    state = LanguageState({place: parameter.detach() for place, parameter in module.named_parameters()})
    moving = [place for place, parameter in module.named_parameters() if parameter.requires_grad]
    before = {place: state.weights[place].clone() for place in moving}
    after = train(CausalModel(module, device), state, examples, training, 1, 0, tokenizer.pad, lambda _: None)
    return max(float((after.weights[place] - before[place]).abs().max()) for place in moving)


class _Stage:
    """Notes seconds and the peak of memory."""

    def __init__(self, name: str, numbers: dict[str, float]) -> None:
        self._name, self._numbers = name, numbers

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        import resource

        self._numbers[f"seconds, {self._name}"] = time.perf_counter() - self._begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._numbers[f"GB at most, until then ({self._name})"] = peak * 1024 / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("model")
    parser.add_argument("--data-root", type=Path, required=True)
    main(**vars(parser.parse_args()))
