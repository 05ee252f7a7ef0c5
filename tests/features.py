"""A snapshot of features and texts made by hand, for metrics in feature space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pyarrow as pa


def unit(rows) -> np.ndarray:
    """Rows of unit norm, in single precision as learners give them."""
    rows = np.asarray(rows, dtype=float)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def around(random, rows: int, dimension: int, centre=None, spread: float = 1.0) -> np.ndarray:
    """Unit-norm points around a centre; without one in all directions."""
    return unit(spread * random.normal(size=(rows, dimension)) + (0 if centre is None else np.asarray(centre)))


@dataclass
class Features:
    """A snapshot of one task ``x``; every output has text where `texts` says nothing else.

    Attributes:
        made: Features of each entity's outputs.
        texts: Texts of each entity's outputs; None for items that are no text.
        real: Features of the test items.
        past: Earlier generations of the same.
    """

    made: Mapping[str, np.ndarray]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    real: np.ndarray | None = None
    generation: int = 0
    past: Mapping[int, Features] = field(default_factory=dict)
    is_text: bool = True

    @property
    def entities(self):
        return tuple(self.made)

    @property
    def tasks(self):
        rows = len(next(iter(self.made.values()))) if self.real is None else len(self.real)
        return {"x": SimpleNamespace(test=pa.table({"prompt": ["p"] * rows}))}

    def completions(self, task, items):
        return [self._table(entity, rows[:items]) for entity, rows in self.made.items()]

    def embeddings(self, task, items):
        return [rows[:items] for rows in self.made.values()]

    def reference_embeddings(self, task, items):
        return self.real[:items]

    def completions_at(self, generation, task, items):
        return dict(zip(self.past[generation].made, self.past[generation].completions(task, items), strict=True))

    def embeddings_at(self, generation, task, items):
        return {entity: rows[:items] for entity, rows in self.past[generation].made.items()}

    def _table(self, entity, rows):
        if not self.is_text:
            return pa.table({"x": np.zeros(len(rows))})
        return pa.table({"completion": list(self.texts.get(entity, ["text"] * len(rows)))[: len(rows)]})


def measured(settings, snapshot) -> dict[tuple[str, str], float]:
    """What a metric gives, by model and name."""
    numbers = settings.build().measure(snapshot)
    found = {(each.model, each.metric): each.value for each in numbers}
    assert len(found) == len(numbers)
    assert all(isinstance(value, float) for value in found.values())
    return found
