"""Presets beyond the paper: valid, run in miniature, and what they are made of."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_description
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.exact.prediction import predict
from crossfeed.generation.snapshot import LiveSnapshot
from crossfeed.generation.turn import compose, measure, publish, update
from crossfeed.learners.language.settings import LanguageSettings
from crossfeed.metrics.loss import BitsPerByteSettings
from crossfeed.tasks.builtin import TopicSettings
from crossfeed.tasks.topics import TOPICS
from tests.test_generation import context_of
from tests.tiny import TINY

FAKE = (
    *("learner={kind: fake}", "public={source: math, seed: 1, train: 80, validation: 4, test: 6}"),
    *("n=20", "initial_n=30", "generations=2"),
)
TWO_TASKS = (
    "tasks.facts={source: facts, train: 40, validation: 4, test: 6}",
    "tasks.math={source: math, train: 40, validation: 4, test: 6}",
)
CELLS = {
    "many-entities": 3,
    "many-generations": 3,
    "human-text": 5,
    "dominant-provider": 3,
    "curated-pool": 4,
    "unequal-models": 3,
}


def preset(name: str, *overrides: str) -> Experiment:
    return Experiment.from_yaml(read_description(name), overrides)


@pytest.mark.parametrize("name", CELLS)
def test_language_presets_are_of_language_models_and_share_one_generation_zero(name):
    experiment = preset(name)
    cells = experiment.cells()
    assert len(cells) == CELLS[name]
    assert len({cell.zero for cell in cells}) == 1
    assert all(isinstance(each, LanguageSettings) for cell in cells for each in cell.experiment.learners)


@pytest.mark.parametrize("name", sorted(set(CELLS) - {"unequal-models"}))
def test_presets_run_in_miniature(name):
    own = () if name == "many-entities" else TWO_TASKS
    outcome = run(preset(name, *FAKE, *own), MemoryStore())
    assert outcome.failures == {}
    rows = outcome.records.to_pylist()
    assert len({row["cell"] for row in rows}) == CELLS[name]
    assert {row["generation"] for row in rows if row["metric"] == "drawn"} == {0, 1, 2}


def test_a_model_of_half_the_width_and_vocabulary_reads_the_same_pool():
    pytest.importorskip("torch", reason="the language learner needs the lm extra")
    small = "learner.base.scratch.{}".format
    experiment = preset(
        *("unequal-models", *TWO_TASKS, *FAKE[1:], "generations=1", "ecosystem.alpha=0.5"),
        *(
            small("steps=2"),
            small("vocabulary=300"),
            small("config.hidden_size=16"),
            small("config.intermediate_size=32"),
        ),
        "ecosystem.entities.1.learner.base.scratch={vocabulary: 280, config: {hidden_size: 8, intermediate_size: 16}}",
        *("learner.generation.max_new_tokens=4", "metrics={loss: {}, bits_per_byte: {}}"),
    )
    outcome = run(experiment, MemoryStore())
    assert outcome.failures == {}
    found = {(row["model"], row["task"]) for row in outcome.records.to_pylist() if row["metric"] == "bits_per_byte"}
    assert found == {(model, task) for model in ("facts", "math") for task in ("facts", "math", "public")}


def test_every_cell_of_the_fine_grid_is_predicted_and_runs_as_predicted():
    cells = preset("fine-grid").cells()
    tenths = {round(0.1 * step, 1) for step in range(11)}
    assert {(c.experiment.ecosystem.alpha, c.experiment.ecosystem.beta) for c in cells} == {
        (alpha, beta) for alpha in tenths for beta in tenths
    }
    given = ("grid.ecosystem.alpha=[0.3, 0.9]", "grid.ecosystem.beta=[0.3, 0.6]", "generations=3")
    small = preset("fine-grid", *given, "metrics={loss: {}}")
    outcome = run(small, MemoryStore())
    assert not outcome.failures
    losses = {
        (row["cell"], row["generation"], row["model"], row["task"]): row["value"]
        for row in outcome.records.to_pylist()
        if row["metric"] == "loss" and row["task"] != "public"
    }
    expected = predict(small).records
    expected = expected[(expected["metric"] == "mspe") & expected["task"].isin(["a", "b"])]
    assert len(expected) == len(losses) == 4 * 4 * 4
    for row in expected.itertuples():
        # A loss is the mean over 12 rows and 200 replicates of a squared error of at most 12 degrees of freedom.
        found = losses[row.cell, row.generation, row.model, row.task] * 12
        assert found == pytest.approx(row.value, rel=6 * np.sqrt(2 / 200))


def test_no_two_topics_have_an_item_in_common():
    tasks = [TopicSettings(number=number).build(f"e{number}", None) for number in range(1, len(TOPICS) + 1)]
    assert len(tasks) >= 50
    prompts = [{*task.train["prompt"].to_pylist(), *task.test["prompt"].to_pylist()} for task in tasks]
    assert not [(i, j) for (i, one), (j, other) in combinations(enumerate(prompts), 2) if one & other]
    assert {(task.train.num_rows, task.validation.num_rows, task.test.num_rows) for task in tasks} == {(110, 10, 20)}
    assert Counter(task.answers for task in tasks[:12]) == {"text": 4, "number": 4, "choice": 4}


def test_a_topic_is_fixed_by_its_number_and_seed():
    def content(**given):
        return TopicSettings(**given).build("t", None).content

    for number in (1, 2, 3):
        assert content(number=number) == content(number=number)
        assert content(number=number) != content(number=number, seed=1)
        short, whole = (TopicSettings(number=number, train=size).build("t", None) for size in (20, 110))
        assert short.test == whole.test
        assert not set(short.train["prompt"].to_pylist()) - set(whole.train["prompt"].to_pylist())
    with pytest.raises(InvalidInput, match="140 in all"):
        TopicSettings(number=1, train=200).build("t", None)


def test_a_number_of_entities_stands_for_entities_with_a_task_each():
    experiment = preset("many-entities", "ecosystem.entities=3", "tasks.each.test=5")
    assert [(e.name, e.private) for e in experiment.ecosystem.entities] == [("e1", "e1"), ("e2", "e2"), ("e3", "e3")]
    assert [experiment.tasks[name].number for name in ("e1", "e2", "e3")] == [1, 2, 3]
    assert experiment.tasks["e2"].test == 5
    assert set(experiment.tasks) == {"e1", "e2", "e3", "facts", "math", "reason"}
    again = Experiment.from_yaml(experiment.to_yaml())
    assert again == experiment
    assert again.id == experiment.id


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ecosystem.entities=55", ["tasks.e55.number", "less than or equal to 54"]),
        ("ecosystem.entities=0", ["ecosystem.entities", "from 1 to 1000", "0"]),
        ("ecosystem.entities=1000000000", ["ecosystem.entities", "from 1 to 1000"]),
        ("ecosystem.entities=true", ["ecosystem.entities"]),
        ("tasks={facts: facts}", ["tasks.each", "10 entities"]),
        ("tasks.e2=math", ["tasks.e2", "choose another"]),
        ("tasks.each.nummer=1", ["tasks.e1.nummer", "unknown key"]),
        ("grid.ecosystem.entities=[2, 3]", ["ecosystem.entities", "grid"]),
        ("measured=some", ["measured", "some"]),
    ],
)
def test_impossible_numbers_are_refused_by_name(override, words):
    with pytest.raises(InvalidDescription) as error:
        preset("many-entities", override).cells()
    for word in words:
        assert word in str(error.value)


def test_what_is_measured_on_own_tasks_is_part_of_what_is_measured_on_all(fake):
    metrics = "metrics={loss: {}, accuracy: {}, distinct: {items: 4}, similarity: {items: 4}}"
    given = ("ecosystem.alpha=0.5", metrics, "tasks.nobodys={source: fake, words: [a, b]}", "generations=1")
    every, own = (
        {
            (row["generation"], row["model"], row["task"], row["metric"]): row["value"]
            for row in run(fake(*given, f"measured={which}"), MemoryStore()).records.to_pylist()
            if row["metric"] not in ("seconds", "drawn")
        }
        for which in ("all", "own")
    )
    assert own.items() <= every.items()
    missing = {(model, task) for _, model, task, _ in set(every) - set(own)}
    assert missing == {("warm", "cold"), ("cold", "warm"), ("warm+cold", "warm"), ("warm+cold", "cold")}


def test_work_grows_with_the_number_of_entities_not_with_its_square():
    work = {number: _work(number) for number in (5, 10, 20)}
    for kind in ("scored", "generated", "read"):
        doubled = [work[10][kind] / work[5][kind], work[20][kind] / work[10][kind]]
        assert max(doubled) < 2.15, (kind, work)


def _work(entities: int) -> Counter:
    """Items that go through the learner in one turn of many entities."""
    done: Counter = Counter()

    class Counting:
        def __getattr__(self, name):
            return getattr(learner, name)

        def update(self, states, sets, keys, generation):
            done["read"] += sum(training.size for training in sets)
            return learner.update(states, sets, keys, generation)

        def generate(self, states, prompts, keys):
            done["generated"] += sum(table.num_rows for table in prompts)
            return learner.generate(states, prompts, keys)

        def score(self, states, tables):
            done["scored"] += len(states) * sum(table.num_rows for table in tables)
            return learner.score(states, tables)

    context = context_of(preset("many-entities", f"ecosystem.entities={entities}", "ecosystem.alpha=0.5", *FAKE))
    learner = context.learner
    object.__setattr__(context, "learner", Counting())
    states = learner.start(range(entities))
    measure(context, 0, states)
    pool = publish(context, 1, states)
    update(context, 1, states, compose(context, 1, {1: pool}))
    return done


def test_fifty_entities_run():
    outcome = run(preset("many-entities", "ecosystem.entities=50", "ecosystem.alpha=0.5", *FAKE), MemoryStore())
    assert outcome.failures == {}
    losses = [row for row in outcome.records.to_pylist() if row["metric"] == "loss" and row["generation"] == 2]
    assert Counter(row["task"] for row in losses if row["task"] == row["model"]).total() == 50
    assert Counter(row["task"] for row in losses)["public"] == 50


def test_bits_a_byte_are_of_the_text_whose_tokens_are_predicted():
    pytest.importorskip("torch", reason="the language learner needs the lm extra")
    whole, cut = (
        context_of(Experiment.from_yaml(TINY, ("ecosystem.alpha=0.5", f"learner.training.max_length={length}")))
        for length in (160, 12)
    )
    test = whole.tasks["facts"].test
    ((scores,),), ((shorter,),) = (
        context.learner.score(context.learner.start([0]), [test]) for context in (whole, cut)
    )
    prompts, completions = (test.column(name).to_pylist() for name in ("prompt", "completion"))
    tokenizer = whole.learner._tokenizer.tokenizer
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        text = prompt + completion
        tokens = tokenizer.tokenize(text)  # byte-level: a token has as many characters as bytes
        assert sum(map(len, tokens)) == len(text.encode())
        assert scores.text_bytes[row] == sum(map(len, tokens[1:]))
        if text.isascii():
            assert shorter.text_bytes[row] == sum(map(len, tokens[1:12]))
    snapshot = LiveSnapshot(0, ("a",), whole.learner.start([0]), whole.tasks, whole.learner, 0)
    numbers = {n.task: n.value for n in BitsPerByteSettings().build().measure(snapshot)}
    assert numbers["facts"] == pytest.approx(np.log2(np.e) * scores.loss.sum() / scores.text_bytes.sum())


def test_one_model_learns_from_its_own_beams(tmp_path):
    """The preset after Shumailov et al. in miniature, with its learner: what it writes is what beam search finds."""
    pytest.importorskip("torch", reason="the language learner needs the lm extra")
    small = (
        *(
            "learner.base.scratch.steps=3",
            "learner.base.scratch.config.hidden_size=16",
            "learner.base.scratch.length=32",
        ),
        *("learner.base.scratch.config.word_embed_proj_dim=16", "learner.generation.max_new_tokens=6"),
        *("learner.training.learning_rate=1e-2", "n=16", "initial_n=16", "generations=1", "metrics={loss: {}}"),
        *("tasks.prose.train=40", "tasks.prose.test=6", "public.train=40", "public.test=6"),
    )
    outcome = run(preset("shumailov-wikitext", *small), MemoryStore(), cache=tmp_path)
    assert outcome.failures == {}
    (settings,) = preset("shumailov-wikitext").cells()[0].experiment.learners
    assert isinstance(settings, LanguageSettings)
    assert settings.generation.beams == 5
    drawn = [row for row in outcome.records.to_pylist() if row["metric"] == "drawn" and row["generation"] == 1]
    shares = {row["alpha"]: row["value"] for row in drawn if row["task"] == "opt"}
    assert shares[1.0] == 16
    assert shares.get(0.9, 0) < 17
