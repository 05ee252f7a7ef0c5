"""N-gram models: a naive twin of counts and back-off, draws against probabilities, and what is refused."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from tests.runs import numbers
from tests.tiny import LINEAR, NGRAM

from crossfeed import Experiment, MemoryStore, open_executor, open_store, run
from crossfeed.errors import DataUnavailable, InvalidDescription, InvalidInput
from crossfeed.keys import item_keys
from crossfeed.learners.ngram.counts import NgramCounts
from crossfeed.learners.ngram.learner import NgramLearner
from crossfeed.learners.ngram.settings import NgramSettings
from crossfeed.learners.ngram.units import Texts, vocabulary_of
from crossfeed.protocols import Part, TrainingSet

WORDS = ["a b a c", "a b b", "", "c a b a c a", "b"]
CHARACTERS = ["abac é", "ab\nb", "", "ca  bacé", "b"]
UNITS = {"words": (WORDS, str.split), "characters": (CHARACTERS, list)}


def table_of(texts, prompt=0):
    """Items whose prompts are the first characters of texts."""
    prompts, completions = [text[:prompt] for text in texts], [text[prompt:] for text in texts]
    return pa.table({"prompt": pa.array(prompts, pa.string()), "completion": pa.array(completions, pa.string())})


def learner_of(texts, **fields):
    settings = NgramSettings.model_validate(fields)
    return NgramLearner(settings, vocabulary_of(settings.unit, [pa.array(texts, pa.large_string())]))


def trained(learner, texts):
    items = table_of(texts)
    part = Part("private", 0, 1.0, items, np.arange(len(texts)))
    return learner.update([None], [TrainingSet((part,))], [0], 0)[0]


class Naive:
    """The same model with a dictionary of counts."""

    def __init__(self, texts, split, order, prior, size):
        self.order, self.prior, self.size, self.split = order, prior, size, split
        self.counts = Counter(
            gram for text in texts for i, sequence in self.places(text) for gram in self.grams(sequence, i)
        )
        self.totals = Counter()
        for gram, count in self.counts.items():
            self.totals[gram[:-1]] += count

    def places(self, text):
        sequence = ("<s>", *self.split(text), "</s>")
        return [(i, sequence) for i in range(1, len(sequence))]

    def grams(self, sequence, i):
        return [sequence[i - j + 1 : i + 1] for j in range(1, min(self.order, i + 1) + 1)]

    def probability(self, sequence, i):
        p = 1 / self.size
        for gram in self.grams(sequence, i):
            total = self.totals[gram[:-1]]
            if total + self.prior > 0:
                p = (self.counts[gram] + self.prior * p) / (total + self.prior)
        return p

    def losses(self, text):
        with np.errstate(divide="ignore"):
            return [-float(np.log(self.probability(sequence, i))) for i, sequence in self.places(text)]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("prior", [0.0, 0.7, 40.0])
@pytest.mark.parametrize("unit", UNITS)
def test_losses_are_those_of_the_naive_twin(order, prior, unit):
    texts, split = UNITS[unit]
    tested = [*texts, "b c z", "a b a b c", "cab"]
    learner = learner_of([*texts, "d"], order=order, prior=prior, unit=unit)
    naive = Naive(texts, split, order, prior, learner.vocabulary.written)
    [[scores]] = learner.score([trained(learner, texts)], [table_of(tested)])
    np.testing.assert_allclose(scores.loss, [sum(naive.losses(text)) for text in tested])
    np.testing.assert_array_equal(scores.size, [len(split(text)) + 1 for text in tested])
    np.testing.assert_allclose(scores.completion_loss, scores.loss)
    np.testing.assert_array_equal(scores.text_bytes, [len(text.encode()) for text in tested])


def test_completions_are_scored_after_their_prompts():
    learner = learner_of(WORDS, order=3, prior=0.3)
    naive = Naive(WORDS, str.split, 3, 0.3, learner.vocabulary.written)
    text = "a b a c"
    [[scores]] = learner.score([trained(learner, WORDS)], [table_of([text, text], prompt=3)])
    np.testing.assert_allclose(scores.completion_loss, sum(naive.losses(text)[2:]))
    np.testing.assert_array_equal(scores.completion_size, 3)


def test_probabilities_of_every_context_sum_to_one():
    learner = learner_of(WORDS, order=3, prior=0.3)
    state, V = trained(learner, WORDS), learner.vocabulary.written
    for context in ([], [0], [2, 1], [1, 1, 0]):
        rows = [np.array([learner.vocabulary.begin, *context, unit]) for unit in range(V)]
        last = [state.probabilities(row, 0.3)[-1] for row in rows]
        assert sum(last) == pytest.approx(1)


def test_a_start_is_uniform():
    learner = learner_of(WORDS, order=2)
    [state] = learner.start([0])
    [[scores]] = learner.score([state], [table_of(WORDS)])
    np.testing.assert_allclose(scores.loss / scores.size, math.log(learner.vocabulary.written))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prior", [0.0, 2.0])
@pytest.mark.parametrize("prompt", ["", "a", "c a b", "zz b"])
def test_the_next_unit_is_drawn_with_its_probability(order, prior, prompt):
    """Counts within five standard errors, also after a prompt that no training set holds."""
    m, learner = 20_000, learner_of(WORDS, order=order, prior=prior, max_length=1)
    naive = Naive(WORDS, str.split, order, prior, learner.vocabulary.written)
    items = table_of([prompt] * m, prompt=len(prompt))
    [made] = learner.generate([trained(learner, WORDS)], [items], [item_keys(4, np.arange(m))])
    drawn = Counter(text.strip() for text in made.column("completion").to_pylist())
    units = {"a": "a", "b": "b", "c": "c", "<unk>": "<unk>", "": "</s>"}
    assert set(drawn) <= set(units)
    known = [unit if unit in {"a", "b", "c"} else "<unk>" for unit in prompt.split()]
    for text, unit in units.items():
        sequence = ("<s>", *known, unit)
        p = naive.probability(sequence, len(sequence) - 1)
        assert abs(drawn[text] / m - p) <= 5 * math.sqrt(p * (1 - p) / m)


def test_a_temperature_raises_the_counts_of_what_follows():
    texts, m = ["a b"] * 6 + ["a c"] * 3 + ["a a"], 20_000
    learner = learner_of(texts, order=2, temperature=0.5, max_length=1)
    items = table_of(["a"] * m, prompt=1)
    [made] = learner.generate([trained(learner, texts)], [items], [item_keys(4, np.arange(m))])
    drawn = Counter(text.strip() for text in made.column("completion").to_pylist())
    squares = {"b": 36, "c": 9, "a": 1, "": 1}  # after the second a the text ends
    for unit, weight in squares.items():
        p = weight / 47
        assert abs(drawn[unit] / m - p) <= 5 * math.sqrt(p * (1 - p) / m)


def test_a_long_order_without_a_prior_writes_what_it_read():
    learner = learner_of(WORDS, order=6, max_length=10)
    [made] = learner.generate([trained(learner, WORDS)], [table_of([""] * 200)], [item_keys(1, np.arange(200))])
    assert {text.strip() for text in made.column("completion").to_pylist()} == set(WORDS)
    assert made.column("finished").to_pylist() == [True] * 200


def test_texts_end_at_the_greatest_length():
    learner = learner_of(["a a a a a a a a"], order=2, max_length=3)
    state = trained(learner, ["a a a a a a a a"])
    [made] = learner.generate([state], [table_of([""] * 100)], [item_keys(1, np.arange(100))])
    rows = made.to_pylist()
    assert max(len(row["completion"].split()) for row in rows) == 3
    assert all(row["finished"] or len(row["completion"].split()) == 3 for row in rows)
    assert {row["finished"] for row in rows} == {True, False}


@pytest.mark.parametrize("unit", UNITS)
def test_texts_survive_the_vocabulary(unit):
    texts, split = UNITS[unit]
    vocabulary = vocabulary_of(unit, [pa.array(texts, pa.large_string())])
    coded = vocabulary.encode(pa.array([*texts, "z a"], pa.large_string()))
    assert coded.lengths.tolist() == [len(split(text)) for text in [*texts, "z a"]]
    back = vocabulary.decode(coded)
    unknown = "<unk> a" if unit == "words" else "\ufffd a"
    assert [split(text) for text in back] == [split(text) for text in [*texts, unknown]]
    if unit == "characters":
        assert back[:-1] == texts
    assert vocabulary.decode(Texts(np.empty(0, np.int64), np.zeros(2, np.int64))) == ["", ""]


def test_unseen_are_the_different_ngrams_without_a_count():
    learner = learner_of([*WORDS, "d"], order=2)
    state = trained(learner, WORDS)
    # <s> a, a b, b </s>, a d, d d, d </s>, b b: the four without d were read.
    assert learner.unseen(state, table_of(["a b", "a d d", "a b b"])) == pytest.approx(3 / 7)
    assert learner.unseen(learner.start([0])[0], table_of(["a b"])) == 1.0
    assert learner.unseen(state, table_of(WORDS)) == 0.0


def test_counts_do_not_depend_on_the_order_of_texts():
    learner = learner_of(WORDS, order=3)
    one, other = trained(learner, WORDS), trained(learner, WORDS[::-1])
    assert isinstance(one, NgramCounts)
    for first, second in zip(one.orders, other.orders, strict=True):
        np.testing.assert_array_equal(first.keys, second.keys)
        np.testing.assert_array_equal(first.counts, second.counts)


def test_a_file_that_is_no_state_is_refused(tmp_path):
    (tmp_path / "counts.npz").write_bytes(b"x")
    with pytest.raises(DataUnavailable, match=r"counts.npz cannot be read"):
        learner_of(WORDS).load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ("learner.prior=0",),
            r"metrics: loss, completion_loss, perplexity: a model of the kind ngram without",
        ),
        (("learner.temperature=0.9",), r"received 0.9 with prior: 20"),
        (("learner.order=0",), r"greater than or equal to 1"),
    ],
)
def test_impossible_descriptions_are_refused(changes, message):
    with pytest.raises(InvalidDescription, match=message):
        Experiment.from_yaml(NGRAM, changes)


def test_items_that_are_no_texts_are_refused():
    with pytest.raises(InvalidInput, match=r"reads texts; received RegressionTask; give a task with texts"):
        run(Experiment.from_yaml(LINEAR, ("learner={kind: ngram, prior: 1}", "n=5")), MemoryStore())


def test_unseen_ngrams_are_refused_for_learners_that_count_none():
    with pytest.raises(InvalidInput, match="its learner counts none; give a learner of kind: ngram"):
        run(Experiment.from_yaml(LINEAR, ("metrics.unseen_ngrams={}",)), MemoryStore())


def test_perplexity_is_the_exponential_of_the_loss():
    records = run(Experiment.from_yaml(NGRAM), MemoryStore()).records.to_pylist()
    values = {(r["model"], r["task"], r["generation"], r["metric"]): r["value"] for r in records}
    places = [place[:3] for place in values if place[3] == "perplexity"]
    assert len(places) == 2 * 3 * 3
    for place in places:
        assert values[*place, "perplexity"] == pytest.approx(math.exp(values[*place, "loss"]))
        assert 0 <= values[*place, "unseen_ngrams"] <= 1


WORLDS = {
    "plain": (),
    "accumulated, by characters": ("ecosystem.history=accumulate", "learner.unit=characters", "learner.order=4"),
    "without duplicates": ("ecosystem.curation={duplicates: {}}",),
    "judged by loss": ("ecosystem.curation={loss: {quantile: 0.7}}",),
    "ranked": ("ecosystem.access={rank: bm25, top: 5}",),
    "prompts of the pool, one of another order": ("ecosystem.prompts=pool", "ecosystem.entities.1.learner={order: 3}"),
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_restart_gives_the_same_numbers(world, tmp_path):
    changes = ("checkpoints=all", *WORLDS[world])
    experiment, where = Experiment.from_yaml(NGRAM, (*changes, "generations=3")), tmp_path / "run"
    whole = run(experiment, MemoryStore())
    assert not whole.failures
    run(Experiment.from_yaml(NGRAM, (*changes, "generations=1")), open_store(str(where)))
    assert numbers(run(experiment, open_store(str(where)))) == numbers(whole)


@pytest.mark.parametrize("spread", ["cells", "entities"])
def test_workers_give_the_same_numbers(tmp_path, spread):
    experiment = Experiment.from_yaml(NGRAM, ("seeds=[0, 1]", "metrics={unseen_ngrams: {}, perplexity: {}}"))
    workers = open_executor("processes", 2)
    there = run(experiment, open_store(str(tmp_path / "run")), executor=workers, spread=spread)
    assert not there.failures
    assert numbers(there) == numbers(run(experiment, MemoryStore()))
