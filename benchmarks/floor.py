"""How far each stage is from its matrix products: their floating-point work at the rate that this CPU has for them.

    python benchmarks/floor.py
    python benchmarks/floor.py train score      # some stages: train, generate, score
    python benchmarks/floor.py --quick          # with a model of nothing: does everything run

One entity of the quickstart at generation 1, one process, one thread: its update on n examples, the completions of its
whole pool, and the losses of all tasks' test items. The floor counts the products that the mathematics needs, however
they are computed: every linear map once for each token that is read (no padding, and no last tokens, which predict
nothing), the head where a token is predicted, attention over the tokens before and not over those after; three times
that in training, for the gradients of inputs and of weights. Norms, softmax, sampling, the optimizer and everything
else count nothing, so that no program reaches the floor.

Rates are those of `torch.matmul` in fp32 on one thread, measured here in the shapes that the stage has at the
quickstart's batch sizes (``torch.utils.benchmark``, medians): forward, input gradient and weight gradient apart.
Times are medians over the rounds, after one that does not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from paced import described
from tell import say, show, timed
from torch.utils.benchmark import Timer
from verbs import Verbs, finished_run, reader_of


@dataclass(frozen=True)
class Product:
    """Matrix products of one shape, ``(m, k) @ (k, n)``, `count` of them at once.

    Attributes:
        shape: ``count, m, k, n``.
        work: Floating-point operations in all of the stage, a multiplication and an addition for each term.
    """

    shape: tuple[int, int, int, int]
    work: float

    @property
    def seconds(self) -> float:
        """The work at the shape's rate."""
        return self.work / rate(self.shape)


@cache
def rate(shape: tuple[int, int, int, int]) -> float:
    """Floating-point operations a second on one thread."""
    count, m, k, n = shape
    left, right = torch.rand(count, m, k), torch.rand(count, k, n)
    if count == 1:
        left, right = left[0], right[0]
    timer = Timer("left @ right", globals={"left": left, "right": right}, num_threads=1)
    return 2.0 * count * m * k * n / timer.blocked_autorange(min_run_time=0.1).median


def linear_maps(config) -> list[tuple[int, int]]:
    """Inputs and outputs of the linear maps of one Llama layer."""
    width, inner = config.hidden_size, config.intermediate_size
    size = width // config.num_attention_heads
    queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
    return [(width, queries), (width, keys), (width, keys), (queries, width), *[(width, inner)] * 2, (inner, width)]


def forward(config, lengths: Sequence[int], rows: int) -> Iterator[Product]:
    """Products of reading texts, `rows` at once, and predicting the token after every one of theirs.

    Args:
        config: The model's, of a Llama.
        lengths: Tokens of each text that are read.
        rows: Texts in a batch.
    """
    together = rows * round(sum(lengths) / len(lengths))
    yield from _linear(config, sum(lengths), together)
    yield from _head(config, sum(lengths), together)
    yield from _causal(config, lengths, rows)


def backward(products: Sequence[Product]) -> Iterator[Product]:
    """Products of the gradients: of the left and of the right factor of each forward product."""
    for product in products:
        count, m, k, n = product.shape
        yield Product((count, m, n, k), product.work)
        yield Product((count, k, m, n), product.work)


def decode(config, prompts: Sequence[int], new: Sequence[int], rows: int) -> Iterator[Product]:
    """Products of completing prompts, `rows` at once: the prompts together, then token after token.

    Args:
        config: The model's, of a Llama.
        prompts: Tokens of each prompt.
        new: Tokens sampled for each, the end of text included.
        rows: Texts in a batch.
    """
    fed_back = sum(new) - len(new)  # nothing is read after the last one
    yield from _linear(config, sum(prompts), rows * round(sum(prompts) / len(prompts)))
    yield from _causal(config, prompts, rows)
    yield from _linear(config, fed_back, rows)
    yield from _head(config, sum(new), rows)
    seen = sum((own - 1) * prompt + own * (own - 1) // 2 for prompt, own in zip(prompts, new, strict=True))
    yield from _attention(config, seen, rows, 1, max(1, round(seen / max(1, fed_back))))


def _linear(config, tokens: int, together: int) -> Iterator[Product]:
    for inputs, outputs in linear_maps(config):
        yield Product((1, together, inputs, outputs), 2.0 * tokens * inputs * outputs * config.num_hidden_layers)


def _head(config, tokens: int, together: int) -> Iterator[Product]:
    shape = (1, together, config.hidden_size, config.vocab_size)
    yield Product(shape, 2.0 * tokens * config.hidden_size * config.vocab_size)


def _causal(config, lengths: Sequence[int], rows: int) -> Iterator[Product]:
    pairs = sum(length * (length + 1) // 2 for length in lengths)  # a token sees itself and those before it
    mean = round(sum(lengths) / len(lengths))
    yield from _attention(config, pairs, rows, mean, mean)


def _attention(config, pairs: int, rows: int, asking: int, seen: int) -> Iterator[Product]:
    """Scores of pairs of tokens, and the values that they weigh."""
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    work = 2.0 * pairs * size * heads * config.num_hidden_layers
    yield Product((rows * heads, asking, size, seen), work)
    yield Product((rows * heads, asking, seen, size), work)


STAGES = ("train", "generate", "score")


class Bench:
    """One entity's stages: their products and their times."""

    def __init__(self, folder: Path, quick: bool) -> None:
        from transformers import AutoConfig

        experiment = described(quick, "generations=1", "checkpoints=all", "metrics={loss: {}}")
        say("training the models of generation 0")
        run = finished_run(experiment, folder)
        torch.set_num_threads(1)
        self._checkpoint = run.checkpoints(0)[0]
        self._reader, self._settings = reader_of(experiment, self._checkpoint), experiment.learner
        self._config = AutoConfig.from_pretrained(self._checkpoint)
        self._verbs = Verbs([0], experiment.to_yaml(), folder)

    def work(self, stage: str) -> float:
        """Seconds of a stage."""
        verb = {"train": self._verbs.update, "generate": self._verbs.generate, "score": self._verbs.score}[stage]
        return timed(verb)

    def products(self, stage: str) -> list[Product]:
        """What a stage multiplies."""
        settings, config = self._settings, self._config
        if stage == "train":
            once = list(forward(config, self._read(self._verbs.sets[0].items), settings.training.batch_size))
            return [*once, *backward(once)]
        if stage == "score":
            tasks = self._verbs.context.tasks.values()
            lengths = [length for task in tasks for length in self._read(task.test)]
            return list(forward(config, lengths, settings.evaluation.batch_size))
        table = self._verbs.generate()[0]
        prompts = [len(ids) for ids in self._reader.prompts(table)]
        new = [self._reader.new_tokens(table.slice(row, 1)) for row in range(table.num_rows)]
        return list(decode(config, prompts, new, settings.generation.batch_size))

    def _read(self, items) -> list[int]:
        return [len(ids) - 1 for ids in self._reader.texts(items)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"any of {', '.join(STAGES)}; default all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: numbers mean nothing")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds; default 5")
    given = parser.parse_args()
    unknown = set(given.stages) - set(STAGES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; stages: {', '.join(STAGES)}")
    stages, rows = given.stages or STAGES, []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "run", given.quick)
        for stage in stages:
            say(stage)
            products = bench.products(stage)
            bench.work(stage)
            seconds = statistics.median(bench.work(stage) for _ in range(given.rounds))
            work, floor = sum(one.work for one in products), sum(one.seconds for one in products)
            rows.append([stage, work / 1e9, work / 1e9 / floor, floor, seconds, seconds / floor])
    show(("stage", "GFLOP", "GFLOP/s for its shapes", "floor, s", "crossfeed, s", "over the floor"), rows)


if __name__ == "__main__":
    main()
