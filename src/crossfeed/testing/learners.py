"""The contract of learners (`crossfeed.protocols.Learner`)."""

# ruff: noqa: S101, D102 - tests assert, and their names say what
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import Silent
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.turn import compose, publish, update
from crossfeed.keys import address, item_keys
from crossfeed.protocols import LearnerContext, RestartingLearner, State, TracedLearner, TrainingSet
from crossfeed.tasks.partition import build_task

__all__ = ["LearnerContract"]

Prompts = tuple[pa.Table, NDArray[np.uint64]]


class LearnerContract:
    """The contract of learners.

    Attributes:
        experiment: YAML of an experiment of at least two entities of the learner. It is read with alpha = 0.5, and its
            first cell is trained for two generations by each test that needs it, which should take a second or less.
    """

    experiment: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def described(cls) -> str:
        """The experiment; override it to test several."""
        return cls.experiment

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls, described: str, tmp_path_factory: pytest.TempPathFactory) -> CellContext:
        """The experiment's first cell, with its data and its learner."""
        cell = Experiment.from_yaml(described, ("ecosystem.alpha=0.5",)).cells()[0]
        tasks = {name: build_task(settings, name, None) for name, settings in cell.experiment.tasks.items()}
        tasks["public"] = build_task(cell.experiment.public, "public", None)
        learner_context = LearnerContext(tasks, cell.seed, tmp_path_factory.mktemp("cache"), Silent())
        return CellContext.create(cell, cell.experiment.combined_learner.build(learner_context), tasks)

    @pytest.fixture(scope="class")
    @classmethod
    def sets(cls, context: CellContext) -> list[TrainingSet]:
        """Training sets of generation 0."""
        return compose(context, 0, {})

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, context: CellContext, sets: list[TrainingSet]) -> list[State]:
        """States after generation 0."""
        return update(context, 0, _start(context), sets)

    @pytest.fixture(scope="class")
    @classmethod
    def learner(cls, context: CellContext) -> TracedLearner:
        """The learner, if it trains in steps that can be looked at."""
        if not hasattr(context.learner, "trace"):
            pytest.skip("a learner without trace, which a forecast needs and a run does not")
        return cast(TracedLearner, context.learner)

    def test_entities_that_are_described_alike_start_from_one_base(self, context: CellContext) -> None:
        table = _losses(context, _start(context))
        np.testing.assert_array_equal(table[1:2], _losses(context, context.learner.start([1])))
        first, second, *_ = context.cell.experiment.learners
        if first == second:
            np.testing.assert_array_equal(table[0], table[1])

    def test_a_new_model_depends_on_its_key_alone(self, context: CellContext) -> None:
        if not all(each.restarts for each in context.cell.experiment.learners):
            pytest.skip("a learner whose models do not begin anew (start: scratch)")
        learner = cast(RestartingLearner, context.learner)
        both, alone = _losses(context, learner.anew([0, 1], [5, 6])), _losses(context, learner.anew([1], [6]))
        np.testing.assert_array_equal(both[1:2], alone)
        assert (both[0] != both[1]).any()

    def test_an_update_learns_and_changes_nothing_in_place(
        self, context: CellContext, sets: list[TrainingSet], trained: list[State]
    ) -> None:
        before = _losses(context, _start(context))
        states = _start(context)
        again = update(context, 0, states, sets)
        np.testing.assert_array_equal(_losses(context, states), before)
        np.testing.assert_array_equal(_losses(context, again), _losses(context, trained))
        entities = context.cell.experiment.ecosystem.entities
        own = [list(context.tasks).index(task) for entity in entities for task in entity.owned]
        after = _losses(context, trained)
        assert all(after[k, task] < before[k, task] for k, task in enumerate(own))

    def test_an_entitys_update_does_not_depend_on_the_others(
        self, context: CellContext, sets: list[TrainingSet], trained: list[State]
    ) -> None:
        key = address(context.cell.seed, "update", 0, context.entities[1])
        alone = context.learner.update(context.learner.start([1]), sets[1:2], [key], 0)
        np.testing.assert_array_equal(_losses(context, alone)[0], _losses(context, trained)[1])

    def test_a_learner_that_is_looked_at_trains_to_the_same_states(
        self, context: CellContext, learner: TracedLearner, sets: list[TrainingSet], trained: list[State]
    ) -> None:
        names = context.entities
        keys = [address(context.cell.seed, "update", 0, name) for name in names]
        states, before = _start(context), _losses(context, _start(context))
        seen = _Seen()
        traced = learner.trace(states, sets, keys, 0, seen)
        np.testing.assert_array_equal(_losses(context, traced), _losses(context, trained))
        np.testing.assert_array_equal(_losses(context, states), before)
        sizes = [context.cell.experiment.size(0, k) for k in range(len(names))]
        told = [learner.training_steps(learner.examples_read(n, 0, k), 0, k) for k, n in enumerate(sizes)]
        assert seen.steps == dict(enumerate(told))
        for k, state in enumerate(traced):
            shown = seen.shown[k]
            assert [step for step, _ in shown] == sorted(set(_Seen.wanted(told[k])))
            table = _losses(context, [each for _, each in shown])
            np.testing.assert_array_equal(table[-1], _losses(context, [state])[0])
            if len(shown) > 1:  # each is a state of its own, and none is the one before or after
                assert len(np.unique(table, axis=0)) == len(shown)
        assert learner.guess is None or learner.guess > 0

    def test_states_on_the_way_do_not_depend_on_the_other_entities(
        self, context: CellContext, learner: TracedLearner, sets: list[TrainingSet]
    ) -> None:
        seen, alone = _Seen(), _Seen()
        keys = [address(context.cell.seed, "update", 0, name) for name in context.entities]
        learner.trace(_start(context), sets, keys, 0, seen)
        learner.trace(learner.start([1]), sets[1:2], keys[1:2], 0, alone)
        assert list(alone.shown) == [0]
        for (step, state), (of_all, other) in zip(alone.shown[0], seen.shown[1], strict=True):
            assert step == of_all
            np.testing.assert_array_equal(_losses(context, [state]), _losses(context, [other]))

    def test_generated_items_answer_their_prompts_and_can_be_trained_on(
        self, context: CellContext, trained: list[State]
    ) -> None:
        table, keys = _prompts(context)
        made = context.learner.generate(trained, [table] * len(trained), [keys] * len(trained))
        for one in made:
            assert one.num_rows == table.num_rows
            for column in {"prompt", "x"} & set(table.column_names):  # what a response answers
                assert one.column(column).to_pylist() == table.column(column).to_pylist()
        pool = publish(context, 1, trained)
        assert len(update(context, 1, trained, compose(context, 1, {1: pool}))) == len(trained)

    def test_an_item_depends_on_its_key_alone(self, context: CellContext, trained: list[State]) -> None:
        table, keys = _prompts(context, 7)
        together = context.learner.generate(trained[:1], [table], [keys])[0].to_pylist()
        order = [4, 0, 6]
        apart = context.learner.generate(trained[:1], [table.take(pa.array(order))], [keys[order]])[0].to_pylist()
        assert apart == [together[row] for row in order]
        other = context.learner.generate(trained[:1], [table], [item_keys(12, np.arange(7))])[0].to_pylist()
        assert other != together

    def test_scores_are_additive(self, context: CellContext, trained: list[State]) -> None:
        table = context.tasks["public"].test
        whole = context.learner.score(trained, [table])[0][0]
        parts = context.learner.score(trained, [table.slice(0, 2), table.slice(2)])[0]
        for name in ("loss", "size", "completion_loss", "completion_size"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_allclose(joined, getattr(whole, name), rtol=2e-5)
            assert len(joined) == table.num_rows
        assert (whole.completion_loss <= whole.loss * (1 + 1e-6)).all()
        assert (whole.size >= whole.completion_size).all()

    def test_states_survive_saving(self, context: CellContext, trained: list[State], tmp_path: Path) -> None:
        folders = [tmp_path / str(number) for number in range(len(trained))]
        for folder, state in zip(folders, trained, strict=True):
            folder.mkdir()
            context.learner.save(state, folder)
        back = [context.learner.load(folder) for folder in folders]
        np.testing.assert_array_equal(_losses(context, back), _losses(context, trained))
        assert not [path for path in tmp_path.rglob("*") if path.suffix in {".pkl", ".bin", ".pt"}]

    def test_features_have_unit_norm(self, context: CellContext, trained: list[State]) -> None:
        table, keys = _prompts(context)
        features = context.learner.embed(context.learner.generate(trained[:1], [table], [keys]))[0]
        assert features.shape[0] == table.num_rows
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-3)

    def test_it_reads_no_more_than_is_drawn(self, context: CellContext) -> None:
        assert context.learner.reads == context.cell.experiment.learner.reading()
        for n in (1, 7, 1000):
            for t in (0, 1):
                assert all(1 <= context.learner.examples_read(n, t, k) <= n for k in range(len(context.entities)))

    def test_it_describes_what_it_runs_on(self, context: CellContext) -> None:
        described = context.learner.describe()
        assert "device" in described
        assert all(isinstance(value, str) for value in described.values())

    def test_building_a_learner_twice_gives_the_same_base(self, context: CellContext, tmp_path: Path) -> None:
        learner_context = LearnerContext(context.tasks, context.cell.seed, tmp_path, Silent())  # an empty cache
        again = context.cell.experiment.combined_learner.build(learner_context)
        first, second = (
            learner.score(learner.start(range(1)), [context.tasks["public"].test])[0][0]
            for learner in (context.learner, again)
        )
        np.testing.assert_array_equal(first.loss, second.loss)


@dataclass
class _Seen:
    """An observer that keeps what it is told and shown: states near the start, the middle and the end of updates."""

    steps: dict[int, int] = field(default_factory=dict)
    shown: dict[int, list[tuple[int, State]]] = field(default_factory=dict)

    @staticmethod
    def wanted(steps: int) -> list[int]:
        return [steps, 1, (steps + 1) // 2]

    def marks(self, entity: int, steps: int) -> list[int]:
        self.steps[entity] = steps
        return self.wanted(steps)

    def show(self, entity: int, step: int, state: State) -> None:
        self.shown.setdefault(entity, []).append((step, state))


def _start(context: CellContext) -> list[State]:
    return context.learner.start(range(len(context.entities)))


def _losses(context: CellContext, states: list[State]) -> NDArray[np.float64]:
    """Return ``(entities, tasks)`` mean losses."""
    tables = [task.test for task in context.tasks.values()]
    return np.array([[s.loss.sum() / s.size.sum() for s in row] for row in context.learner.score(states, tables)])


def _prompts(context: CellContext, rows: int = 5) -> Prompts:
    return context.private(0).slice(0, rows), item_keys(11, np.arange(rows))
