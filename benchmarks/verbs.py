"""crossfeed's learner by its verbs alone, as a worker of a run holds it: one process, one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from paced import PacedRun
from rivals.work import Reader

from crossfeed import Experiment, open_store
from crossfeed.cache import default_cache
from crossfeed.display.progress import Silent
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.turn import compose
from crossfeed.keys import address
from crossfeed.records import scope_of, state_scope_of
from crossfeed.running.session import Session, Setup


def finished_run(experiment: Experiment, folder: Path) -> PacedRun:
    """A run through its last generation, on two worker processes; `Verbs` start from what it left."""
    run = PacedRun(experiment, folder, workers=2)
    for _ in range(experiment.generations + 1):
        run.turn()
    run.finish()
    return run


class Verbs:
    """Some entities at the beginning of generation 1, of a run that kept all its checkpoints.

    Attributes:
        context: The run's only cell.
        learner: Its learner.
        sets: Each entity's training set.
        states: Each own entity's state after generation 0.
    """

    def __init__(self, entities: list[int], described: str, folder: Path) -> None:
        store = open_store(folder, worker=True)
        session = Session(Setup(Experiment.from_yaml(described), store, None, default_cache(), Silent()))
        one, self.learner, self.entities = session.prepared(0), session.learner(0), entities
        self.context = CellContext(one.cell, self.learner, one.tasks, one.fresh)
        names = [self.context.entities[k] for k in entities]
        found = store.read_states(state_scope_of(one.cell, 0), 0, names, self.learner.load)
        self.states = dict(zip(entities, found, strict=True))
        self.sets = compose(self.context, 1, {1: store.read_table("pool", scope_of(one.cell, 1), 1)})
        self.prompts, self.keys = {}, {}
        for author in entities:
            items = np.arange(self.context.sizes.published(1)[author])
            rows = self.context.prompts.places(1, author, items)[1]
            self.prompts[author] = self.context.prompts_of(author).take(pa.array(rows))
            self.keys[author] = self.context.prompts.keys(1, author, items)

    def update(self) -> dict[int, None]:
        """Train each own entity on its set; the states are kept for `losses`."""
        self.trained = {}
        for k in self.entities:
            key = address(self.context.cell.seed, "update", 1, self.context.entities[k])
            (self.trained[k],) = self.learner.update([self.states[k]], [self.sets[k]], [key], 1)
        return dict.fromkeys(self.entities)

    def generate(self) -> dict[int, pa.Table]:
        """Complete the prompts of each own author's whole pool."""
        found = {}
        for k in self.entities:
            (found[k],) = self.learner.generate([self.states[k]], [self.prompts[k]], [self.keys[k]])
        return found

    def score(self) -> dict[int, list]:
        """Losses of each own entity on every task's test items."""
        tables = [task.test for task in self.context.tasks.values()]
        return {k: self.learner.score([self.states[k]], tables)[0] for k in self.entities}

    def losses(self, folder: Path | None = None) -> dict[int, float]:
        """Mean loss over all test items after `update`, or of models that others wrote into a folder."""
        tables, found = [task.test for task in self.context.tasks.values()], {}
        for k in self.entities:
            state = self.trained[k] if folder is None else self.learner.load(folder / str(k))
            (scores,) = self.learner.score([state], tables)
            found[k] = sum(one.loss.sum() for one in scores) / sum(one.size.sum() for one in scores)
        return found


class EveryDraw:
    """A learner in name: all that draws need to know is that every drawn item is read."""

    reads = "draws"

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """All of them."""
        return n


def context_of(run: PacedRun) -> CellContext:
    """What a run's generations ask for, without its models."""
    one = Session(Setup(run.experiment, run.store, None, default_cache(), Silent())).prepared(0)
    return CellContext(one.cell, EveryDraw(), one.tasks, one.fresh)


def reader_of(experiment: Experiment, folder: Path) -> Reader:
    """The tokens that a run's models read, by the tokenizer of a checkpoint."""
    from transformers import AutoTokenizer

    settings = experiment.learner
    longest, longest_prompt = settings.training.max_length, settings.generation.max_prompt_tokens
    return Reader(AutoTokenizer.from_pretrained(folder), longest, longest_prompt)
