"""What adapters save: steps of training, completions and memory, against training all of a model.

    python benchmarks/adapters.py train        # an update of the quickstart's model and of a larger one
    python benchmarks/adapters.py complete     # completions by sampling and by five beams
    python benchmarks/adapters.py memory       # what the states of 1 to 64 entities take
    python benchmarks/adapters.py learn        # losses after 200 steps, with and without the embeddings

On a CPU with one thread, in one process; seconds are those of the processor, so that other work on the machine counts
less. ``by hand`` is the handwritten twin with merged matrices, ``module`` is transformers, with peft's layers for an
adapter. The larger model has random weights, and is too large for a handwritten twin.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from crossfeed import Experiment
from crossfeed.cache import default_cache
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import Silent
from crossfeed.keys import item_keys
from crossfeed.protocols import LearnerContext, Part, TrainingSet

PARTS = ("train", "complete", "memory", "learn")
ADAPTER = "learner.adapter={rank: 16, alpha: 32}"
LARGE = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 14,
    "num_attention_heads": 8,
    "tie_word_embeddings": True,
    "max_position_embeddings": 128,
}


class Contender:
    """A learner, a state and the quickstart's facts."""

    def __init__(self, *changes: str, by_hand: bool = True, steps: int = 20) -> None:
        short = (f"learner.training.steps={steps}", "ecosystem.alpha=0.5", "grid={}", "learner.device=cpu")
        experiment = Experiment.from_yaml(read_preset("quickstart"), (*short, *changes))
        tasks = {name: task.build(name, None) for name, task in experiment.tasks.items()}
        tasks["public"] = experiment.public.build("public", None)
        self.learner: Any = experiment.learner.build(LearnerContext(tasks, 0, default_cache(), Silent()))
        [self.state] = self.learner.start(range(1))
        if not by_hand:
            self.learner._model.handwritten = None
        self._tasks, items = tasks, tasks["facts"].train
        self._drawn = TrainingSet((Part("private", 0, 1.0, items.slice(0, 320), np.arange(320)),))
        self._items, self._keys = items.slice(0, 64), item_keys(1, np.arange(64))

    def train(self) -> Any:
        """One update."""
        [trained] = self.learner.update([self.state], [self._drawn], [1], 1)
        return trained

    def loss(self, task: str) -> float:
        """The loss on a task after an update on 1600 items of it and as many public ones, in turns."""
        draws = np.random.default_rng(0).integers
        rows = [self._tasks[name].train for name in (task, "public")]
        tables = [table.take(pa.array(draws(table.num_rows, size=1600))) for table in rows]
        parts = [Part(f"{i}", 0, 0.5, table, i + 2 * np.arange(1600)) for i, table in enumerate(tables)]
        trained = self.learner.update([self.state], [TrainingSet(tuple(parts))], [1], 0)
        [[scores]] = self.learner.score(trained, [self._tasks[task].test])
        return float(scores.loss.sum() / scores.size.sum())

    def complete(self) -> None:
        """Completions of 64 prompts."""
        self.learner.generate([self.state], [self._items], [self._keys])


def seconds(contenders: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Print the median processor seconds of some pieces of work, done in turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, work in contenders.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    medians = {name: statistics.median(each[1:]) for name, each in times.items()}  # the first round sets up
    first = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"  {name:30s} {median:7.2f} s  {median / first:5.2f} times the first")


def large(folder: Path) -> str:
    """Write a model of 45 million random parameters with the quickstart's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (folder / "config.json").exists():
        tokenizer = Contender().learner._tokenizer.tokenizer
        config = AutoConfig.for_model("llama", vocab_size=len(tokenizer), **LARGE)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return f"learner.base={{model: {folder}}}"


def train(out: Path, rounds: int) -> None:
    """Updates: all of a model, and an adapter."""
    print("quickstart, 20 steps of 16")
    made = {
        "all, by hand": Contender(),
        "adapter, by hand": Contender(ADAPTER),
        "all, module": Contender(by_hand=False),
        "adapter, module": Contender(ADAPTER, by_hand=False),
    }
    seconds({name: one.train for name, one in made.items()}, rounds)
    print("45 million parameters, 2 steps of 16")
    base = large(out)
    made = {"all, module": Contender(base, steps=2), "adapter, module": Contender(base, ADAPTER, steps=2)}
    seconds({name: one.train for name, one in made.items()}, rounds)


def complete(out: Path, rounds: int) -> None:
    """Completions."""
    print("quickstart, 64 prompts, up to 64 tokens")
    made = {
        "sampled, by hand": Contender(),
        "top_k 50, by hand": Contender("learner.generation.top_k=50"),
        "repetition penalty, by hand": Contender("learner.generation.repetition_penalty=1.2"),
        "sampled, adapter by hand": Contender(ADAPTER),
        "sampled, module": Contender(by_hand=False),
        "sampled, adapter in module": Contender(ADAPTER, by_hand=False),
        "five beams (module)": Contender("learner.generation.beams=5"),
    }
    seconds({name: one.complete for name, one in made.items()}, rounds)


def memory(out: Path, rounds: int) -> None:
    """Bytes of all tensors that are there, as trained states are added."""
    for name, changes, marks in (("all", (), (1, 2, 4)), ("adapter", (ADAPTER,), (1, 2, 4, 16, 64))):
        made = Contender(large(out), *changes, "learner.training.batch_size=1", steps=1)
        start, states = live(), []
        for k in range(1, marks[-1] + 1):
            states.append(made.train())
            if k in marks:
                grown = (live() - start) / 1e6
                print(
                    f"  {name}: {start / 1e6:.1f} MB before, {grown:7.1f} MB more with {k} states, {grown / k:.2f} each"
                )
        del made, states


def learn(out: Path, rounds: int) -> None:
    """Losses on facts and on maths after 200 steps of 16 on each and public text, by what is trained and how fast."""
    for name, changes in (
        ("all", ()),
        ("all but the embeddings", ()),
        ("adapter of rank 16", (ADAPTER,)),
        ("adapter of rank 64", ("learner.adapter={rank: 64, alpha: 128}",)),
    ):
        for rate in (1e-3, 3e-3, 1e-2):
            made = Contender(*changes, f"learner.training.learning_rate={rate}")
            if name == "all but the embeddings":
                rest = {key: each for key, each in made.learner._model.parameters().items() if "embed" not in key}
                made.learner._model.parameters = rest.copy
            print(
                f"  {name:24s} {rate:.3f}: " + ", ".join(f"{task} {made.loss(task):.2f}" for task in ("facts", "math"))
            )


def live() -> int:
    """Return the bytes of all tensors of this process; memory that the allocator keeps for later is not counted."""
    gc.collect()
    tensors = (each for each in gc.get_objects() if isinstance(each, torch.Tensor))
    return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=[])
    parser.add_argument("--out", type=Path, default=Path("runs/adapters-large"), help="the folder of the larger model")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for part in given.parts or PARTS:
        {"train": train, "complete": complete, "memory": memory, "learn": learn}[part](given.out, given.rounds)


if __name__ == "__main__":
    main()
