"""The writer of captions: the contract, what it reads and makes, and an exchange with a generator of images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pytest

from tests.images.test_images_learner import SMALL

pytest.importorskip("torch", reason="images need the images extra")

from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.turn import compose, publish, update
from crossfeed.keys import item_keys
from crossfeed.learners.captions.learner import caption_in, spelled
from crossfeed.metrics.caption_match import CaptionMatchSettings
from crossfeed.protocols import LearnerContext
from crossfeed.tasks.images import images_of, table_of
from crossfeed.tasks.images_sources import DigitsSettings
from crossfeed.testing import LearnerContract

WRITER = """{kind: captions, language: {
  base: {scratch: {config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2},
                   vocabulary: 270, steps: 0, length: 32}},
  training: {steps: null, initial_steps: null, batch_size: 16, gradient_accumulation: 1, learning_rate: 0.01,
             max_length: 70},
  generation: {max_new_tokens: 3, max_prompt_tokens: 66}}}"""
MIXED = SMALL.replace("private: high}", f"private: high, learner: {WRITER}}}").replace(
    "{loss: {}, accuracy: {}, similarity: {}, frechet: {}, precision_recall: {}}", "{loss: {}, caption_match: {}}"
)


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSFEED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class TestContract(LearnerContract):
    experiment = MIXED

    def test_generated_items_answer_their_prompts_and_can_be_trained_on(self, context, trained):
        """A painter keeps the caption that it is given; a writer keeps the image."""
        table, keys = context.private(0).slice(0, 5), item_keys(11, np.arange(5))
        made = context.learner.generate(trained, [table] * 2, [keys] * 2)
        for one, column in zip(made, ("prompt", "completion"), strict=True):
            assert one.column(column).to_pylist() == table.column(column).to_pylist()
        pool = publish(context, 1, trained)
        assert len(update(context, 1, trained, compose(context, 1, {1: pool}))) == 2


def test_an_image_is_spelled_row_by_row():
    images = np.zeros((2, 2, 3, 1), dtype=np.uint8)
    images[0, 0, 1], images[0, 1, 2], images[1] = 255, 128, 14
    table = spelled(table_of(["7", "nine"], images))
    assert table.to_pylist() == [
        {"prompt": "090005:", "completion": " 7"},
        {"prompt": "000000:", "completion": " nine"},
    ]
    assert spelled(table_of(["7"], np.repeat(images[:1], 3, axis=3))).column("prompt").to_pylist() == ["090005:"]
    assert caption_in(" 7\n8") == "7"
    assert caption_in("") == ""


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> CellContext:
    cell = Experiment.from_yaml(MIXED, ("ecosystem.alpha=0.5", "ecosystem.beta=1")).cells()[0]
    tasks = {name: settings.build(name, None) for name, settings in cell.experiment.tasks.items()}
    tasks["public"] = cell.experiment.public.build("public", None)
    learner_context = LearnerContext(tasks, cell.seed, tmp_path_factory.mktemp("cache"), Silent())
    return CellContext.create(cell, cell.experiment.combined_learner.build(learner_context), tasks)


def test_what_is_exchanged_are_images_with_captions(context):
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    pool = publish(context, 1, states).to_pandas()
    drawn, written = pool[pool["author"] == "low"], pool[pool["author"] == "high"]
    known = {name: set(table.column("completion").to_pylist()) for name, table in _trains(context).items()}
    assert set(drawn["prompt"]) <= {"0", "1"}
    assert not set(drawn["completion"]) & known["low"]  # the painter's images are its own
    assert set(written["completion"]) <= known["high"]  # the writer's are real, and its captions are its own
    assert len(update(context, 1, states, compose(context, 1, {1: publish(context, 1, states)}))) == 2


def _trains(context):
    return {name: task.train for name, task in context.tasks.items()}


def test_a_writer_reads_the_image_and_not_the_caption(context):
    states = context.learner.start(range(2))
    table = context.tasks["high"].test.slice(0, 4)
    other = table.set_column(0, "prompt", pa.array(["nothing"] * 4))
    keys = item_keys(3, np.arange(4))
    first, second = (context.learner.generate(states[1:], [each], [keys])[0] for each in (table, other))
    assert first.equals(second)
    assert first.column("completion").equals(table.column("completion"))


def test_a_painter_learns_nothing_from_captions_that_name_no_class(context):
    (painter, _) = context.learner.start(range(2))
    sets = compose(context, 0, {})[:1]
    part = sets[0].parts[0]
    nonsense = part.items.set_column(0, "prompt", pa.array(["?"] * part.items.num_rows))
    (after,) = context.learner.update([painter], [replace(sets[0], parts=(replace(part, items=nonsense),))], [1], 0)
    table = context.tasks["low"].test
    before, then = context.learner.score([painter, after], [table])
    np.testing.assert_array_equal(before[0].loss, then[0].loss)


@dataclass
class HandMade:
    """A snapshot that gives what it was given."""

    made: list
    tasks: dict
    entities: tuple[str, ...] = ("a", "b")
    asked: list = field(default_factory=list)

    def completions(self, task, items):
        return [table.slice(0, items) for table in self.made]


def test_captions_match_what_the_classifier_reads():
    task = DigitsSettings(test=60).build("mine", None)
    read = task.classifier().predict(images_of(task.test, "x"))
    right = task.test.set_column(0, "prompt", pa.array(read))
    half = task.test.set_column(0, "prompt", pa.array([*read[:30], *["no digit"] * 30]))
    numbers = CaptionMatchSettings(items=60).build().measure(HandMade([right, half], {"mine": task}))
    assert [(one.model, one.value) for one in numbers] == [("a", 1.0), ("b", 0.5)]


def test_tasks_without_images_are_refused(tmp_path):
    cell = Experiment.from_yaml(MIXED, ("tasks.low={source: facts, train: 40, test: 4}",)).cells()[0]
    tasks = {name: settings.build(name, None) for name, settings in cell.experiment.tasks.items()}
    tasks["public"] = cell.experiment.public.build("public", None)
    with pytest.raises(InvalidInput, match="'low' has no images"):
        cell.experiment.learners[1].build(LearnerContext(tasks, 0, tmp_path, Silent()))
