"""A curated pool: what passes, that draws are draws from what passes, and that a restart draws the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.registry import _FILTERS
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.executors import open_executor
from crossfeed.filters.loss import weighted_quantile
from crossfeed.generation.curation import PASSED, stored_masks
from crossfeed.generation.mixture import Source
from crossfeed.generation.realised import realised
from crossfeed.generation.turn import compose, publish, update
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC, Part, PoolView, Task, TrainingSet
from crossfeed.settings import FilterSettings
from crossfeed.store import open_store
from tests.test_generation import context_of, turns, whole_pool
from tests.tiny import LINEAR

BASE = ("ecosystem.alpha=0.5", "ecosystem.entities.1.share=3", "n=80", "generations=3")
CURATIONS = {
    "detector": ("ecosystem.curation={detector: {recall: 0.7, false_alarm: 0.2}}", "ecosystem.fresh_fraction=0.4"),
    "exact": ("ecosystem.curation={exact_answer: {}}",),
    "author": ("ecosystem.curation={loss: {quantile: 0.3}}",),
    "reader": ("ecosystem.curation={loss: {judge: reader, quantile: 0.5}}", "ecosystem.history=accumulate"),
    "best": ("ecosystem.curation={best: {reward: {likelihood: {weight: -1}}, share: 0.3, judge: reader}}",),
    "scores": (
        "ecosystem.curation={detector: {recall: 0.8, false_alarm: 0.2, use: score}}",
        "ecosystem.fresh_fraction=0.4",
    ),
    "scores of the best": (
        "ecosystem.curation={detector: {recall: 0.6, false_alarm: 0.3, use: score}, "
        "best: {reward: similarity, number: 40}}",
        "ecosystem.history=accumulate",
    ),
    "both": (
        "ecosystem.curation={loss: {at_most: 2.2}, detector: {recall: 0.5, false_alarm: 0.5}}",
        "ecosystem.fresh_fraction=0.4",
    ),
}


def first_turn(context):
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    return states, publish(context, 1, states) if context.selection.publishes(1) else None


def of_author(pool: pa.Table, name: str) -> pa.Table:
    return pool.filter(pc.equal(pool.column("author"), name))


@pytest.mark.parametrize("curation", ["exact", "author", "reader", "both", "best", "scores", "scores of the best"])
def test_draws_follow_the_pool_given_that_it_passes(fake, curation):
    """Against the definition: the probability of every single item of the pool, from its weight and its flag."""
    context = context_of(fake(*BASE, *CURATIONS[curation], "ecosystem.history=null", "n=20000", "pool_size=60"))
    _, pool = first_turn(context)
    eco, mask = context.cell.experiment.ecosystem, context.selection.mask(1)
    for k in range(2):
        chances: dict[tuple[str, int], float] = {}
        for name, share in zip(context.entities, eco.shares, strict=True):
            for row in of_author(pool, name).to_pylist():
                weight = row[PASSED][k] if PASSED in row else mask.synthetic[eco.names.index(name)][0, row["item"]]
                if weight:
                    chances[name, row["item"]] = float(weight) * (1 - eco.fresh_fraction) * share / 60
        for item in np.flatnonzero(mask.human):
            chances[FRESH, int(item)] = float(mask.human[item]) * eco.fresh_fraction / len(mask.human)
        total = sum(chances.values())
        draws = context.selection.draws(1, k)
        drawn: dict[tuple[str, int], int] = {}
        for code, index in zip(draws.source, draws.index, strict=True):
            place = draws.sources[code].name, int(index)
            drawn[place] = drawn.get(place, 0) + 1
        synthetic = {place: count for place, count in drawn.items() if place[0] not in (PRIVATE, PUBLIC)}
        assert set(synthetic) <= set(chances)
        counts = np.array([synthetic.get(place, 0) for place in chances])
        expected = np.array(list(chances.values())) / total * counts.sum()
        assert stats.chisquare(counts, expected).pvalue > 1e-6
        assert abs(counts.sum() - 10_000) < 5 * np.sqrt(5_000)  # alpha stays one half


def test_a_detector_changes_the_human_share_as_its_rates_say(fake):
    recall, alarm, fresh = 0.9, 0.1, 0.5
    context = context_of(
        fake(
            *("ecosystem.alpha=1", "n=40000", "pool_size=4000", "generations=1", "public.train=8000"),
            f"ecosystem.fresh_fraction={fresh}",
            f"ecosystem.curation={{detector: {{recall: {recall}, false_alarm: {alarm}}}}}",
        )
    )
    human, synthetic = fresh * (1 - alarm), (1 - fresh) * (1 - recall)
    share = human / (human + synthetic)
    drawn = {n.task: n.value for n in realised(context, 1, dict) if n.model == "warm" and n.metric == "drawn"}
    # Variance of the draws, and of the coins: those of 8000 synthetic items matter most (delta method).
    coins = (share * (1 - share)) ** 2 * (recall / (1 - recall) / 8000 + alarm / (1 - alarm) / 4000)
    error = np.sqrt(share * (1 - share) / 40_000 + coins)
    assert drawn["fresh"] / 40_000 == pytest.approx(share, abs=5 * error)
    passed = {n.task: n.value for n in realised(context, 1, dict) if n.model == "warm" and n.metric == "passed"}
    assert passed["fresh"] == pytest.approx(1 - alarm, abs=5 * np.sqrt(alarm * (1 - alarm) / 4000))
    assert passed["cold"] == pytest.approx(1 - recall, abs=5 * np.sqrt(recall * (1 - recall) / 4000))


def test_scores_are_those_whose_verdicts_err_as_often(fake):
    """Weights fall with the score, of which the same keys give the verdict: what it drops weighs least."""
    recall, alarm = 0.8, 0.3
    curation = "ecosystem.curation={{detector: {{recall: {}, false_alarm: {}, use: {}}}}}"
    sizes = ("pool_size=4000", "ecosystem.fresh_fraction=0.5", "public.train=8000", "generations=1")
    of = {use: context_of(fake(*sizes, curation.format(recall, alarm, use))) for use in ("verdict", "score")}
    verdict, score = (of[use].selection.mask(1) for use in ("verdict", "score"))
    threshold = stats.norm.isf(alarm)
    apart = stats.norm.ppf(recall) - stats.norm.ppf(alarm)
    at_threshold = 1 / (1 + np.exp(apart * threshold - apart**2 / 2))
    pairs = [(kept[0], weights[0]) for kept, weights in zip(verdict.synthetic, score.synthetic, strict=True)]
    for kept, weights in [*pairs, (verdict.human, score.human)]:
        assert weights[~kept].max() <= at_threshold <= weights[kept].min()
    # A weight is the probability of being human: among items of one weight, so many of both kinds are.
    human, synthetic = score.human, np.concatenate([weights for _, weights in pairs])[: len(score.human)]
    both = np.concatenate([human, synthetic])
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        there = (both >= low) & (both < high)
        error = np.sqrt((both * (1 - both))[there].sum())
        assert abs(((human >= low) & (human < high)).sum() - both[there].sum()) < 5 * error


def test_effective_sizes_are_recorded(fake):
    context = context_of(fake(*BASE, *CURATIONS["scores"]))
    found = {(n.task, n.metric): n.value for n in realised(context, 1, dict) if n.model == "warm"}
    weights = context.selection.mask(1).synthetic[1][0]
    assert found["cold", "passed"] == pytest.approx(weights.mean())
    assert found["cold", "effective"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    with pytest.raises(InvalidDescription, match="a detector that errs both ways"):
        fake("ecosystem.curation={detector: {recall: 1, use: score}}")


@pytest.mark.parametrize(("judge", "given", "kept"), [("author", "number: 7", 7), ("reader", "share: 0.2", 12)])
def test_the_best_are_kept(fake, judge, given, kept):
    best = f"{{reward: {{likelihood: {{weight: -2}}}}, judge: {judge}, {given}}}"
    context = context_of(fake(*BASE, f"ecosystem.curation={{best: {best}}}", "pool_size=60"))
    states, pool = first_turn(context)
    for author, flags in enumerate(stored_masks(pool, context.entities)):
        assert (flags.sum(axis=1) == kept).all()
        for reader, own in enumerate(flags):
            state = states[reader if judge == "reader" else author]
            scores = context.learner.score([state], [of_author(pool, context.entities[author])])[0][0]
            losses = np.round(scores.completion_loss / scores.completion_size * 2, 6)
            assert losses[own].min() >= losses[~own].max()
    with pytest.raises(InvalidDescription, match="give either number"):
        fake("ecosystem.curation={best: {reward: answer}}")


@pytest.mark.parametrize("history", ["latest", "accumulate"])
def test_a_filter_that_reads_nothing_generates_only_what_is_drawn(fake, history):
    context = context_of(fake(*BASE, *CURATIONS["detector"], f"ecosystem.history={history}", "generations=4"))
    assert not context.selection.reads_items
    _, pool = first_turn(context)
    assert 0 < pool.num_rows < 2 * 80
    assert PASSED not in pool.column_names
    lazy, naive = turns(context, 4, publish), turns(context, 4, whole_pool)
    for one, other in zip(lazy, naive, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_answers_correctly_passes(fake):
    context = context_of(fake(*BASE, *CURATIONS["exact"]))
    _, pool = first_turn(context)
    assert pool.num_rows == 2 * 80
    for k, name in enumerate(context.entities):
        own = of_author(pool, name)
        answers = context.private(k).column("answer").take(own.column("prompt_row")).to_pylist()
        right = [said.split()[0] == answer for said, answer in zip(own["completion"].to_pylist(), answers, strict=True)]
        assert [all(flags) for flags in own[PASSED].to_pylist()] == right
        assert [any(flags) for flags in own[PASSED].to_pylist()] == right
        assert 0 < sum(right) < 80


@pytest.mark.parametrize(("judge", "quantile"), [("author", 0.3), ("reader", 0.5), ("author", 1), ("reader", 0.01)])
def test_what_the_judge_finds_likeliest_passes(fake, judge, quantile):
    curation = f"ecosystem.curation={{loss: {{judge: {judge}, quantile: {quantile}}}}}"
    context = context_of(fake(*BASE, curation, "pool_size=50"))
    states, pool = first_turn(context)
    tables = [of_author(pool, name) for name in context.entities]
    flags = stored_masks(pool, context.entities)
    for k in range(2):
        losses = []
        for author, table in enumerate(tables):
            scores = context.learner.score([states[author if judge == "author" else k]], [table])[0][0]
            losses.append(scores.completion_loss / scores.completion_size)
        weights = [np.full(50, share / 50) for share in context.cell.experiment.ecosystem.shares]
        worst_kept = max(own[flag[k]].max() for own, flag in zip(losses, flags, strict=True) if flag[k].any())
        kept = sum(w[flag[k]].sum() for w, flag in zip(weights, flags, strict=True))
        below = sum(w[own < worst_kept].sum() for w, own in zip(weights, losses, strict=True))
        assert below < quantile <= kept * (1 + 1e-9)
        assert all((flag[k] == (own <= worst_kept)).all() for own, flag in zip(losses, flags, strict=True))
    assert (flags[0][0] == flags[0][1]).all() or judge == "reader"


def test_a_weighted_quantile_equals_that_of_repeated_values():
    random = np.random.default_rng()
    values, weights = random.integers(0, 9, 30).astype(float), random.integers(1, 5, 30)
    repeated = np.sort(np.repeat(values, weights))
    for share in (0.001, 0.25, 0.5, 0.9, 1.0):
        place = int(np.ceil(share * len(repeated) - 1e-9)) - 1
        assert weighted_quantile(values, weights.astype(float), share) == repeated[max(place, 0)]


@pytest.mark.parametrize("alpha", [0.5, 1])
def test_where_nothing_passes_training_sets_are_real_data(fake, alpha):
    context = context_of(fake(*BASE, f"ecosystem.alpha={alpha}", "ecosystem.curation={loss: {at_most: 0}}", "n=4000"))
    _, pool = first_turn(context)
    for training in compose(context, 1, {1: pool}):
        assert {part.source: part.weight for part in training.parts} == {PRIVATE: 0.5, PUBLIC: 0.5}
        counts = [part.items.num_rows for part in training.parts]
        assert abs(counts[0] - 2000) < 5 * np.sqrt(1000)
    assert {n.value for n in realised(context, 1, dict) if n.metric == "passed"} == {0.0}


@pytest.mark.parametrize("curation", CURATIONS)
def test_a_run_taken_up_again_draws_the_same(fake, tmp_path, curation):
    experiment = fake(*BASE, *CURATIONS[curation], "metrics={loss: {}}")
    whole = run(experiment, open_store(tmp_path / "whole"))
    assert not whole.failures
    wanted = numbers(whole.records)
    assert {metric for *_, metric in wanted} >= {"passed", "drawn", "loss"}
    check_restarts(experiment, wanted)


@pytest.mark.parametrize("spread", ["cells", "entities"])
def test_workers_draw_the_same(fake, tmp_path, spread):
    """The filter reads, entities have learners of their own, and history accumulates: all that draws depend on."""
    experiment = fake(
        *(*BASE, *CURATIONS["reader"], "metrics={loss: {}, similarity: {items: 4}}", "seeds=[0, 1]"),
        "ecosystem.entities.1.learner={reads_at_most: 40}",
    )
    here = run(experiment, MemoryStore())
    there = run(experiment, open_store(tmp_path / "run"), executor=open_executor("processes", 2), spread=spread)
    assert not there.failures
    assert numbers(there.records) == numbers(here.records)


class Stopping(MemoryStore):
    """A store that a run cannot write to more than so many times."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def write_table(self, *given, **more):
        self._step()
        super().write_table(*given, **more)

    def write_states(self, *given, **more):
        self._step()
        super().write_states(*given, **more)

    def _step(self):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def check_restarts(experiment: Experiment, wanted: dict) -> None:
    """A run of three generations that is stopped at any of its writes goes on to the same numbers."""
    for step in range(11):  # states and records of generation 0, then pool, states and records of each
        store = Stopping(step)
        with pytest.raises(KeyboardInterrupt):
            run(experiment, store)
        store.left = 10**6
        assert numbers(run(experiment, store).records) == wanted


def numbers(records: pa.Table):
    rows = [row for row in records.to_pylist() if row["metric"] != "seconds"]
    return {(row["cell"], row["generation"], row["model"], row["task"], row["metric"]): row["value"] for row in rows}


def test_all_of_the_passing_items_are_weighed_by_learners_that_read_everything():
    experiment = Experiment.from_yaml(LINEAR, ("ecosystem.curation={loss: {quantile: 0.5}}", "ecosystem.alpha=0.6"))
    context = context_of(experiment)
    _, pool = first_turn(context)
    kept = {name: [all(flags) for flags in of_author(pool, name)[PASSED].to_pylist()] for name in context.entities}
    rates = {name: np.mean(flags) for name, flags in kept.items()}
    for training in compose(context, 1, {1: pool}):
        parts = {part.source: part for part in training.parts}
        assert sum(part.weight for part in training.parts) == pytest.approx(1)
        for name in context.entities:
            if rates[name]:
                assert parts[name].weight == pytest.approx(0.6 * rates[name] / sum(rates.values()))
                assert parts[name].items.num_rows == sum(kept[name])


POINTS = """
ecosystem: {entities: [{name: a, private: p}, {name: b, private: p}], alpha: 0.5}
learner: {kind: gaussian, reads: everything}
tasks: {p: {source: gaussian, mean: [0.0, 1.0], train: 30, test: 10}}
public: {source: gaussian, mean: [1.0, 0.0], train: 30, test: 10}
generations: 1
metrics: {loss: {}}
"""


@pytest.mark.parametrize("described", [LINEAR, POINTS])
def test_scores_weigh_items_where_everything_is_read(described):
    curation = "ecosystem.curation={detector: {recall: 0.8, false_alarm: 0.3, use: score}}"
    experiment = Experiment.from_yaml(described, (curation, "ecosystem.alpha=0.6", "generations=1"))
    context = context_of(experiment)
    states, pool = first_turn(context)
    sets = compose(context, 1, {1: pool})
    masks = context.selection.mask(1).synthetic
    for training in sets:
        parts = {part.source: part for part in training.parts}
        for j, name in enumerate(context.entities):
            weights = masks[j][0][masks[j][0] > 0]
            np.testing.assert_allclose(parts[name].relative, weights / weights.mean())
    after = update(context, 1, states, sets)
    # Doubling the items is the same as doubling their weights.
    doubled = [TrainingSet(tuple(repeated(part) for part in training.parts)) for training in sets]
    for one, other in zip(after, update(context, 1, states, doubled), strict=True):
        for value, same in zip(arrays(one), arrays(other), strict=True):
            np.testing.assert_allclose(value, same, rtol=1e-9, atol=1e-12)


def repeated(part: Part) -> Part:
    """The same part with its heaviest item in two halves."""
    if part.relative is None:
        return part
    (most,) = np.flatnonzero(part.relative == part.relative.max())[:1]
    rows = np.append(np.arange(part.items.num_rows), most)
    relative = part.relative[rows].copy()
    relative[[most, -1]] /= 2
    # Densities spread a source's weight over its rows, regressions give it to each.
    scale = len(rows) / part.items.num_rows if "point" in part.items.column_names else 1.0
    return replace(
        part, items=part.items.take(pa.array(rows)), positions=np.arange(len(rows)), relative=relative * scale
    )


def arrays(state):
    return list(state.values()) if isinstance(state, dict) else [state]


class EvenSettings(FilterSettings):
    """A filter of one's own: every other item."""

    def build(self, owned: Mapping[str, Task]):
        assert set(owned) == {"warm", "cold"}
        return Even()


@dataclass(frozen=True)
class Even:
    reads: bool = False

    def synthetic(self, pool: PoolView) -> Sequence[np.ndarray]:
        return [np.arange(len(pool.keys(author)))[None] % 2 == 0 for author in range(len(pool.authors))]

    def human(self, keys: np.ndarray) -> np.ndarray:
        return np.ones(len(keys), dtype=bool)


def test_filters_of_ones_own_can_be_plugged_in(fake, monkeypatch):
    monkeypatch.setitem(_FILTERS, "even", "tests.test_filters:EvenSettings")
    context = context_of(fake(*BASE, "ecosystem.curation={even: true}"))
    for name in context.entities:
        drawn = context.selection.draws(1, 0).of(Source(name, 1))[1]
        assert len(drawn)
        assert (drawn % 2 == 0).all()


@pytest.mark.parametrize(
    ("curation", "words"),
    [
        ("{colour: {}}", ["colour", "detector", "exact_answer", "loss"]),
        ("[loss]", ["curation", "mapping"]),
        ("{loss: {}}", ["curation.loss", "neither"]),
        ("{loss: {quantile: 0.5, at_most: 1}}", ["curation.loss", "both"]),
        ("{loss: {quantile: 0}}", ["curation.loss.quantile", "greater than 0"]),
        ("{loss: {quantle: 0.5}}", ["curation.loss.quantle", "did you mean quantile"]),
        ("{detector: {}}", ["curation.detector.recall", "missing"]),
        ("{detector: {recall: 2}}", ["curation.detector.recall", "less than or equal to 1"]),
    ],
)
def test_impossible_filters_are_refused_by_name(fake, curation, words):
    with pytest.raises(InvalidDescription) as error:
        fake(f"ecosystem.curation={curation}")
    for word in words:
        assert word in str(error.value)


def test_answers_that_cannot_be_checked_are_refused_before_anything_is_trained(fake):
    experiment = fake("tasks.cold={source: regression, dimension: 2, rows: 9}", "ecosystem.curation={exact_answer: {}}")
    with pytest.raises(InvalidInput, match=r"exact_answer.*'cold'.*another filter"):
        run(experiment, MemoryStore())


def test_a_rate_can_be_varied_and_shares_generation_zero(fake):
    cells = fake(
        "ecosystem.fresh_fraction=0.5", "grid.ecosystem.curation={}", "ecosystem.curation={detector: {recall: 0.5}}"
    )
    assert cells.grid.keys() == {"ecosystem.alpha"}
    varied = fake(
        *("ecosystem.alpha=0.5", "ecosystem.curation={detector: {recall: 0}}"),
        "grid.ecosystem.curation.detector.recall=[0, 0.5, 1]",
    ).cells()
    assert len({cell.id for cell in varied}) == 3
    assert len({cell.zero for cell in varied}) == 1
