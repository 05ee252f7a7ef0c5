"""Texts made up for tests of metrics, and a snapshot in which models wrote them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"]


@dataclass
class Corpus:
    """A task: its prompts, and the texts that are trained on."""

    prompts: list[str]
    trained: list[str] = field(default_factory=list)

    @property
    def test(self) -> pa.Table:
        return pa.table({"prompt": self.prompts, "completion": pa.array([""] * len(self.prompts), pa.string())})

    @property
    def train(self) -> pa.Table:
        halves = [text.partition(" ") for text in self.trained]
        prompts = pa.array([first for first, _, _ in halves], pa.string())
        return pa.table(
            {"prompt": prompts, "completion": pa.array([gap + rest for _, gap, rest in halves], pa.string())}
        )

    @property
    def content(self) -> str:
        return repr((self.prompts, self.trained))


@dataclass
class Written:
    """A snapshot of what models wrote, by task: a table or texts of each entity."""

    texts: dict
    entities: tuple[str, ...] = ("a", "b")
    owned: dict = field(default_factory=dict)
    tasks: dict = field(default_factory=dict)
    corpora: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks = self.tasks or dict.fromkeys(self.texts)
        self.corpora = self.corpora or self.tasks

    def completions(self, task, items):
        tables = [own if isinstance(own, pa.Table) else pa.table({"completion": own}) for own in self.texts[task]]
        return [table.slice(0, items) for table in tables]


def measured(settings, snapshot) -> dict:
    """Numbers by model, task and name."""
    return {(n.model, n.task, n.metric): n.value for n in settings.build().measure(snapshot)}


def made_up(random: np.random.Generator, texts: int, longest: int = 30, words: int = len(WORDS)) -> list[str]:
    """Texts of some words each, at least one; the fewer different ones, the more they repeat."""
    lengths = random.integers(1, longest + 1, texts)
    return [" ".join(random.choice(WORDS[:words], length)) for length in lengths]
