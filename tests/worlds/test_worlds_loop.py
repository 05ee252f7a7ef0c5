"""Worlds beyond one pool in step: the loop against a naive twin without calendar, mixture weights or lazy pools."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfeed import Experiment, MemoryStore
from crossfeed.cache import default_cache
from crossfeed.display.progress import Silent
from crossfeed.generation.cell_context import CellContext
from crossfeed.keys import address, generator, item_keys, uniforms
from crossfeed.protocols import LearnerContext
from crossfeed.running.cell_runner import CellRunner
from crossfeed.running.status import StatusProgress

NAMES = ("a", "b", "c", "d")
BASE = """
name: worlds
learner: {kind: fake}
tasks:
  x: {source: fake, words: [red, green], seed: 1}
  y: {source: fake, words: [blue, pink, grey], seed: 2}
  z: {source: fake, words: [one, two], seed: 3}
public: {source: fake, words: [red, blue, one, sky], seed: 4}
ecosystem:
  entities:
    - {name: a, private: x}
    - {name: b, private: y}
    - {name: c, private: z}
    - {name: d, private: x}
  alpha: 0.6
  beta: 0.5
n: 20
pool_size: 15
generations: 6
metrics: {loss: true}
"""


def context_of(experiment: Experiment, seed: int = 0) -> CellContext:
    cell = experiment.cells()[0]
    tasks = {name: each.build(name, None) for name, each in experiment.tasks.items()}
    tasks["public"] = experiment.public.build("public", None)
    learner = experiment.combined_learner.build(LearnerContext(tasks, cell.seed, default_cache(), Silent()))
    return CellContext.create(cell, learner, tasks)


def looped(experiment: Experiment) -> list:
    """The states after the last generation, by the loop."""
    context, store = context_of(experiment), MemoryStore()
    runner = CellRunner(context, store, StatusProgress(store, Silent()))
    runner.run()
    return runner._states(experiment.generations)


class Naive:
    """All texts of everybody, written in full; who trains and reads what is worked out step by step."""

    def __init__(self, experiment: Experiment) -> None:
        self.history: list[list] = [[] for _ in experiment.ecosystem.names]  # the pools as each reader saw them
        self.experiment, self.eco = experiment, experiment.ecosystem
        self.context = context_of(experiment)
        self.learner, self.seed = self.context.learner, self.context.cell.seed
        self.names, self.K = self.eco.names, len(self.eco.names)
        self.states = self.learner.start(range(self.K))
        self.base = list(self.states)
        self.texts: list[tuple[int, pa.Table, list] | None] = [None] * self.K  # birth, items, their prompts
        self.read: list[dict[int, tuple]] = [{} for _ in range(self.K)]  # what each found in the pool it last read

    def is_there(self, k: int, t: int) -> bool:
        e = self.eco.entities[k]
        return e.from_ <= t and (e.until is None or t <= e.until)

    def is_due(self, k: int, t: int) -> bool:
        e = self.eco.entities[k]
        if not self.is_there(k, t):
            return False
        if t == e.from_:
            return True
        every, phase = e.every or self.eco.every, self.eco.phase if e.phase is None else e.phase
        chance = self.eco.probability if e.probability is None else e.probability
        coin = generator(self.seed, "clock", t, e.name).random()
        return (t - phase) % every == 0 and coin < chance

    def size(self, value, t: int) -> int:
        return value if isinstance(value, int) else value[min(t, len(value)) - 1]

    def prompts(self, k: int, born: int, keys) -> list:
        asked = self.eco.entities[k].prompts or self.eco.prompts
        tasks, weights = {
            "public": (["public"], [1.0]),
        }.get(str(asked), (list(self.eco.entities[k].owned), list(self.eco.entities[k].owned.values())))
        if isinstance(asked, dict):
            total = sum(asked.values())
            tasks, weights = list(asked), [w / total for w in asked.values()]
        if asked == "pool" and born > 1 and self.read[k]:
            found = self.read[k]
            order = sorted(found)
            edges = np.cumsum([found[j][0] for j in order])
            chosen, item = [], uniforms(keys, 0x6974656D)
            for u, v in zip(uniforms(keys, 0x61736B), item, strict=True):
                _, _, theirs = found[order[int(np.searchsorted(edges[:-1], u * edges[-1], side="right"))]]
                chosen.append(theirs[int(v * len(theirs))])
            return chosen
        rows = []
        for u in uniforms(keys):
            edge = 0.0
            for task, weight in zip(tasks, weights, strict=True):
                if u < edge + weight or task == tasks[-1]:
                    table = self.context.tasks[task].train
                    at = u * table.num_rows if len(tasks) == 1 else (u - edge) / weight * table.num_rows
                    rows.append(table.slice(min(int(at), table.num_rows - 1), 1))
                    break
                edge += weight
        return rows

    def publish(self, k: int, born: int) -> None:
        size = self.size(self.experiment.pool_size, born)
        keys = item_keys(address(self.seed, "publish", born, self.names[k]), np.arange(size))
        asked = self.prompts(k, born, keys)
        (items,) = self.learner.generate(
            [self.states[k]], [pa.concat_tables(asked, promote_options="permissive")], [keys]
        )
        self.texts[k] = (born, items, asked)

    def pool(self, k: int, t: int) -> dict[int, tuple]:
        """Author: weight, items, prompts, as reader k finds them now, at generation t."""
        matrix = self.eco.network
        reading = self.eco.shares if matrix is None else matrix[k]
        there = {}
        for j, text in enumerate(self.texts):
            if text is None or reading[j] == 0:
                continue
            new = text[0] > t  # written within this generation, in turn
            if (new or self.is_there(j, t)) and (self.eco.stale == "keep" or text[0] >= t):
                there[j] = (reading[j], text[1], text[2])
        return there

    def train(self, k: int, t: int) -> None:
        e, first = self.eco.entities[k], t == self.eco.entities[k].from_
        alpha = float(self.eco.alphas(t)[k])
        beta = float(self.eco.betas(t)[k])
        found = self.pool(k, t) if t else {}
        self.read[k] = found
        pools = [found]
        if self.eco.accumulates and t:
            pools = [*self.history[k], found]
            self.history[k].append(found)
        pools = [each for each in pools if each]
        alpha = alpha if pools and t else 0.0
        sources: dict = {"private": (1 - alpha) * beta, "public": (1 - alpha) * (1 - beta)}
        tables = {"public": self.context.tasks["public"].train}
        for each in pools:
            total = sum(weight for weight, _, _ in each.values())
            for j, (weight, items, _) in each.items():
                key = (j, id(items))
                sources[key] = sources.get(key, 0.0) + alpha / len(pools) * weight / total
                tables[key] = items
        n = (
            self.experiment.initial_n
            if first and self.experiment.initial_n
            else self.size(self.experiment.n, max(t, 1))
        )
        numbers = generator(self.seed, "draw", t, e.name).random((n, 2))
        positive = [s for s, w in sources.items() if w > 0]
        edges = np.cumsum([sources[s] for s in positive])
        rows = []
        for u, v in numbers:
            source = positive[int(np.searchsorted(edges[:-1], u * edges[-1], side="right"))]
            if source == "private":
                edge = 0.0
                for task, weight in e.owned.items():
                    if v < edge + weight or task == list(e.owned)[-1]:
                        table = self.context.tasks[task].train
                        at = v * table.num_rows if len(e.owned) == 1 else (v - edge) / weight * table.num_rows
                        rows.append(table.slice(min(int(at), table.num_rows - 1), 1))
                        break
                    edge += weight
            else:
                table = tables[source]
                rows.append(table.slice(min(int(v * table.num_rows), table.num_rows - 1), 1))
        items = pa.concat_tables(rows, promote_options="permissive")
        start = e.start or self.eco.start
        if first or start == "base":
            begin = self.base[k]
        elif start == "scratch":
            begin = uniforms(item_keys(address(self.seed, "scratch", t, e.name), np.arange(len(self.base[k]))))
        else:
            begin = self.states[k] if start == "previous" else self.zero[k]

        class Set:
            pass

        Set.items = items
        key = address(self.seed, "update", t, e.name)
        (self.states[k],) = self.learner.update([begin], [Set], [key], 0 if first else t)

    def run(self) -> list:
        for t in range(self.experiment.generations + 1):
            if self.eco.order == "together" and t:
                for k in range(self.K):
                    if self.is_due(k, t - 1) and self.is_there(k, t):
                        self.publish(k, t)
            if self.eco.order == "sequential" and t == 1:
                for k in range(self.K):
                    if self.is_due(k, 0) and self.is_there(k, 1):
                        self.publish(k, 1)
            for k in range(self.K):
                if self.is_due(k, t):
                    self.train(k, t)
                    if self.eco.order == "sequential" and t and self.is_there(k, t + 1):
                        self.publish(k, t + 1)
                elif self.eco.accumulates and t:  # it read nothing now, and yet this pool is a part of its history
                    self.history[k].append(self.pool(k, t))
            if t == 0:
                self.zero = list(self.states)
        return self.states


OPTIONS = {
    "reads": [
        "ring",
        "star",
        {"graph": "complete", "self": 0.3},
        {"communities": {"p": ["a", "b"], "q": ["c", "d"]}, "within": 0.8},
        None,
    ],
    "every": [1, 2, 3],
    "probability": [1.0, 0.6],
    "stale": ["keep", "drop"],
    "order": ["together", "sequential"],
    "start": ["previous", "base", "own", "scratch"],
    "prompts": ["private", "public", "pool", {"x": 2, "y": 1}],
    "history": ["latest", "accumulate"],
}


@st.composite
def worlds(draw) -> Experiment:
    experiment = Experiment.from_yaml(BASE)
    data = experiment.model_dump(mode="json")
    eco = data["ecosystem"]
    for field, values in OPTIONS.items():
        eco[field] = draw(st.sampled_from(values))
    late = draw(st.sampled_from([0, 0, 2, 3]))
    eco["entities"][1]["from"] = late
    if eco["start"] == "own" and late:
        eco["entities"][1]["start"] = "base"
    eco["entities"][2]["until"] = draw(st.sampled_from([None, 0, 3]))
    eco["entities"][3]["phase"] = draw(st.integers(0, eco["every"] - 1))
    eco["entities"][0]["private"] = draw(st.sampled_from(["x", {"x": 2, "z": 1}]))
    if draw(st.booleans()):
        eco["entities"][3]["reads"] = {"a": 1, "d": 3}
    data["n"] = draw(st.sampled_from([20, [12, 25]]))
    data["initial_n"] = draw(st.sampled_from([None, 30]))
    data["pool_size"] = draw(st.sampled_from([15, [10, 18]]))
    data["seeds"] = [draw(st.integers(0, 10_000))]
    return Experiment.model_validate(data)


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_the_loop_agrees_with_its_naive_twin(experiment):
    for one, other in zip(looped(experiment), Naive(experiment).run(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)
