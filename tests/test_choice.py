"""Choice among candidates: what is kept, that only what is drawn is generated, that batches and restarts agree."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from crossfeed import Experiment, MemoryStore, run
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.executors import open_executor
from crossfeed.generation.realised import realised
from crossfeed.generation.tastes import DECIMALS, REWARD
from crossfeed.generation.turn import compose
from crossfeed.keys import address, item_keys, uniforms
from crossfeed.store import open_store
from crossfeed.tasks.samples import points_of
from tests.test_filters import check_restarts, first_turn, numbers
from tests.test_generation import context_of
from tests.tiny import LINEAR

BASE = ("ecosystem.alpha=0.7", "n=80", "generations=3", "metrics={loss: {}}")


def prefer(**fields):
    """Fields of a preference as an override."""
    given = {"best_of": 4, **fields}
    return f"ecosystem.preference={{{', '.join(f'{name}: {value}' for name, value in given.items())}}}"


CHOICES = {
    "answers": (prefer(reward="answer", others=0.5),),
    "the best": (prefer(reward="{likelihood: {under: author, weight: -1}}", rule="best", own=0.3),),
    "readers": (prefer(reward="{likelihood: {}, answer: {weight: 2}}", judge="reader", temperature=0.3),),
    "drift": (prefer(reward="similarity", drift=0.4, temperature=0.1, judge="reader"),),
    "accepted": (prefer(reward="{answer: {weight: 2}}", best_of="inf"),),
    "one of two": ("ecosystem.entities.1.preference={reward: answer, best_of: 3}",),
    "accumulated": (prefer(reward="answer", drift=0.2), "ecosystem.history=accumulate", "checkpoints=all"),
    "clocks": (prefer(reward="similarity", drift=0.5), "ecosystem.entities.warm.every=2", "pool_size=300"),
    "fresh": (prefer(reward="distance", drift=0.5), "ecosystem.fresh_fraction=0.3"),
    "detected": (prefer(reward="answer"), "ecosystem.curation={detector: {recall: 0.3}}"),
}


def naive_choice(context, states, reader, position, author, item, settings, reward):
    """One draw: every candidate is generated and rated by itself."""
    size, name = context.sizes.published(1)[author], context.entities[author]
    (key,) = item_keys(address(context.cell.seed, "prefer", 1, context.entities[reader]), np.array([position]))
    share = settings.own if author == reader else settings.others
    if uniforms(np.array([key]), 0)[0] >= share:
        return item
    ids = [item + c * size for c in range(settings.best_of)]
    rewards = []
    for one in ids:
        _, row = context.prompts.places(1, author, np.array([item]))
        asked = context.prompts_of(author).take(pa.array(row))
        made = context.learner.generate([states[author]], [asked], [context.prompts.keys(1, author, np.array([one]))])
        rewards.append(np.round(reward(name, made[0], asked), DECIMALS))
    if settings.rule == "best":
        weights = [float(each == max(rewards)) for each in rewards]
    else:
        weights = [np.exp((each - max(rewards)) / settings.temperature) for each in rewards]
    edges = list(itertools.accumulate(weights))
    number = uniforms(np.array([key]), 1)[0] * edges[-1]
    return next(one for one, edge in zip(ids, edges, strict=True) if number < edge)


@pytest.mark.parametrize("choice", ["answers", "the best", "readers"])
def test_what_is_kept_is_what_single_candidates_say(fake, choice):
    """The naive twin, and with it that neither the order of candidates in a batch nor its size decides anything."""
    context = context_of(fake(*BASE, *CHOICES[choice]))
    states, pool = first_turn(context)
    context.selection.recall({1: pool})
    wanted = set()
    for reader in range(2):
        settings = context.cell.experiment.ecosystem.preferences[reader]
        terms = context.tastes.tastes

        def reward(author, items, asked, reader=reader, settings=settings):
            judge = reader if settings.judge == "reader" else context.entities.index(author)
            own = context.tastes.of[judge]
            return context.tastes.rewards(author, items, asked, context.learner, states)[0, own]

        draws, kept = context.selection.draws(1, reader), context.selection.kept(1, reader)
        np.testing.assert_array_equal(draws.source, kept.source)
        assert len(terms) == (2 if choice == "readers" else 1)
        changed = 0
        for position in range(len(draws.source)):
            source, item = draws.sources[draws.source[position]], int(draws.index[position])
            if source.born == 0:
                assert kept.index[position] == item
                continue
            author = context.entities.index(source.name)
            size = context.sizes.published(1)[author]
            expected = naive_choice(context, states, reader, position, author, item, settings, reward)
            assert kept.index[position] == expected
            changed += expected != item
            share = settings.own if author == reader else settings.others
            key = item_keys(address(context.cell.seed, "prefer", 1, context.entities[reader]), np.array([position]))
            chosen = uniforms(key, 0)[0] < share
            wanted |= {(source.name, item + c * size) for c in range(settings.best_of if chosen else 1)}
        assert changed > 5
    made = set(zip(pool.column("author").to_pylist(), pool.column("item").to_pylist(), strict=True))
    assert made == wanted, "only what is drawn is generated, with its candidates"


def test_what_is_kept_is_what_is_trained_on(fake):
    context = context_of(fake(*BASE, *CHOICES["answers"]))
    _, pool = first_turn(context)
    sets = compose(context, 1, {1: pool})
    rows = {(row["author"], row["item"]): row for row in pool.to_pylist()}
    for reader, training in enumerate(sets):
        kept = context.selection.kept(1, reader)
        for part in (part for part in training.parts if part.born):
            items = [rows[part.source, int(kept.index[position])] for position in part.positions]
            assert part.items.column("completion").to_pylist() == [item["completion"] for item in items]
            assert REWARD not in part.items.column_names


@pytest.mark.parametrize("choice", CHOICES)
def test_a_run_taken_up_again_keeps_the_same(fake, choice):
    experiment = fake(*BASE, *CHOICES[choice])
    whole = run(experiment, MemoryStore())
    assert not whole.failures
    wanted = numbers(whole.records)
    assert {metric for *_, metric in wanted} >= {"reward_kept", "reward_offered", "candidates"}
    check_restarts(experiment, wanted)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("end", [1, 2])
def test_a_longer_run_keeps_what_one_made_at_once_does(fake, tmp_path, choice, end):
    if choice == "fresh":
        pytest.skip("fresh data are set aside for all generations before the first")
    longer = fake(*BASE, *CHOICES[choice], "generations=5")
    run(fake(*BASE, *CHOICES[choice], f"generations={end}"), open_store(tmp_path / "run"))
    assert numbers(run(longer, open_store(tmp_path / "run")).records) == numbers(run(longer, MemoryStore()).records)


@pytest.mark.parametrize("spread", ["cells", "entities"])
@pytest.mark.parametrize("choice", ["readers", "drift", "accepted"])
def test_workers_keep_the_same(fake, tmp_path, spread, choice):
    experiment = fake(*BASE, *CHOICES[choice], "seeds=[0, 1]")
    here = run(experiment, MemoryStore())
    there = run(experiment, open_store(tmp_path / "run"), executor=open_executor("processes", 2), spread=spread)
    assert not there.failures
    assert numbers(there.records) == numbers(here.records)


POINTS = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: p}]
  alpha: 1
learner: {kind: gaussian}
tasks: {p: {source: gaussian, train: 40000, test: 10}}
public: {source: gaussian, train: 50, test: 10}
n: 20000
pool_size: 100000000
generations: 2
metrics: {loss: {}}
"""


def points(*overrides):
    return Experiment.from_yaml(POINTS, overrides)


def kept_points(experiment, reader=0):
    """What a reader keeps of the first pool, its authors' models, and the draws."""
    context = context_of(experiment)
    states, pool = first_turn(context)
    (training,) = compose(context, 1, {1: pool}, [reader])
    return states, {part.source: points_of(part.items)[:, 0] for part in training.parts if part.born}


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_accepted_candidates_follow_the_tilted_density(temperature):
    """A Gaussian that a quadratic reward tilts is the Gaussian whose precision and mean add up."""
    reward = "{quadratic: {centre: [2], scale: 1.5}}"
    experiment = points(prefer(reward=reward, best_of="inf", temperature=temperature))
    states, kept = kept_points(experiment)
    for state, own in zip(states, kept.values(), strict=True):
        precision = 1 / state["covariance"][0, 0] + 1 / (1.5**2 * temperature)
        mean = (state["mean"][0] / state["covariance"][0, 0] + 2 / (1.5**2 * temperature)) / precision
        assert stats.kstest(own, stats.norm(mean, precision**-0.5).cdf).pvalue > 1e-6


@pytest.mark.parametrize("best_of", [2, 5])
def test_the_best_of_some_points_is_their_greatest(best_of):
    states, kept = kept_points(points(prefer(reward="{linear: {direction: [3]}}", rule="best", best_of=best_of)))
    for state, own in zip(states, kept.values(), strict=True):
        of_one = stats.norm(state["mean"][0], state["covariance"][0, 0] ** 0.5).cdf
        assert stats.kstest(own, lambda x, one=of_one: one(x) ** best_of).pvalue > 1e-6


def test_lures_rule_of_two_is_a_logistic_comparison():
    """With k = 2 the density is 2 p(x) E s(r(x) - r(Y)), s the logistic function: its mean by quadrature."""
    states, kept = kept_points(points(prefer(reward="{linear: {direction: [1]}}", best_of=2, temperature=0.7)))
    x = np.linspace(-8, 8, 1601)
    for state, own in zip(states, kept.values(), strict=True):
        density = stats.norm.pdf(x, state["mean"][0], state["covariance"][0, 0] ** 0.5)
        density /= density.sum()
        chosen = 2 * density * (density[None] / (1 + np.exp(-(x[:, None] - x[None]) / 0.7))).sum(axis=1)
        mean, square = (chosen * x).sum(), (chosen * x**2).sum()
        assert abs(own.mean() - mean) < 5 * ((square - mean**2) / len(own)) ** 0.5 + 1e-4


@pytest.mark.parametrize(("judge", "sign"), [("author", -1), ("reader", 1)])
def test_who_judges(judge, sign):
    """Two opposite tastes: what b's users publish is to b's taste, what a chooses of it is to a's."""
    own = "ecosystem.entities.1.preference={reward: {linear: {direction: [-1]}}, best_of: 8}"
    _, kept = kept_points(points(prefer(reward="{linear: {direction: [1]}}", best_of=8, judge=judge), own))
    assert kept["a"].mean() > 0.5
    assert sign * kept["b"].mean() > 0.5


def test_a_taste_drifts_towards_what_was_read(fake):
    """Against the recursion, computed here from what the reader kept."""
    experiment = fake(*BASE, prefer(reward="similarity", drift=0.3, judge="reader", temperature=0.1), "generations=4")
    store = MemoryStore()
    run(experiment, store)
    context = context_of(experiment)
    cell = experiment.cells()[0]
    left, towards = 1.0, 0.0
    for generation in (1, 2, 3):
        pool = store.read_table("pool", cell.name, generation)
        context.selection.recall({generation: pool})
        kept = context.selection.kept(generation, 0)
        authors, items = kept.published(generation, context.entities)
        place = {(row["author"], row["item"]): i for i, row in enumerate(pool.to_pylist())}
        rows = [place[context.entities[j], int(i)] for j, i in zip(authors, items, strict=True)]
        features = context.learner.embed([pool])[0].astype(float)
        left, towards = 0.7 * left, 0.7 * towards + 0.3 * features[rows].mean(axis=0)
        context.selection.see(generation)
        known = context.selection.choice._drifted[generation + 1][0]
        assert known[0] == pytest.approx(left)
        np.testing.assert_allclose(known[1], towards, atol=1e-12)


def test_rewards_and_candidates_are_recorded(fake):
    context = context_of(fake(*BASE, *CHOICES["answers"], "n=3000", "pool_size=2000"))
    _, pool = first_turn(context)
    found = {(n.model, n.task, n.metric): n.value for n in realised(context, 1, lambda _: {1: pool})}
    draws = context.selection.draws(1, 0)
    own, other = (np.count_nonzero(draws.source == draws.sources.index((name, 1))) for name in context.entities)
    assert found["warm", "warm", "candidates"] == 4 * own
    assert other < found["warm", "cold", "candidates"] < 4 * other
    rewards = {(row["author"], row["item"]): row[REWARD][0] for row in pool.to_pylist()}
    for k, reader in enumerate(context.entities):
        for metric, draws in (
            ("reward_offered", context.selection.draws(1, k)),
            ("reward_kept", context.selection.kept(1, k)),
        ):
            for author in context.entities:
                source = next(s for s in draws.sources if s.name == author)
                own = [rewards[author, int(item)] for item in draws.of(source)[1]]
                assert found[reader, author, metric] == pytest.approx(np.mean(own))
        assert found[reader, reader, "reward_kept"] > found[reader, reader, "reward_offered"]


def test_cells_of_different_tastes_rate_the_same_first_models_by_their_own(fake):
    grid = "grid.ecosystem.preference.reward.likelihood.weight=[1, 2]"
    experiment = fake(*BASE, prefer(reward="{likelihood: {under: author}}"), "metrics={reward: {}}", grid, "n=20")
    first, second = experiment.cells()
    assert first.start == second.start
    assert first.zero != second.zero
    found = numbers(run(experiment, MemoryStore()).records)
    one, other = (
        {place[2:]: v for place, v in found.items() if place[:2] == (cell.name, 0)} for cell in (first, second)
    )
    assert one.keys() == other.keys()
    for place in one:
        if place[2].startswith("reward"):
            assert other[place] == pytest.approx(2 * one[place])
    assert fake(*BASE, prefer(reward="answer")).id != fake(*BASE, prefer(reward="similarity")).id
    plain = fake(*BASE, "metrics={loss: {}}", "n=20").cells()[0]
    assert fake(*BASE, prefer(reward="answer"), "n=20").cells()[0].zero == plain.zero


REFUSED = [
    ("{best_of: 4}", ["ecosystem.preference.reward", "missing"]),
    ("{reward: beauty, best_of: 4}", ["ecosystem.preference.reward", "beauty", "likelihood"]),
    ("{reward: answer, best_of: 1}", ["ecosystem.preference.best_of", "greater than or equal to 2"]),
    ("{reward: answer, best_of: all}", ["ecosystem.preference.best_of", "or inf"]),
    ("{reward: answer, best_of: inf, rule: best}", ["give a number best_of"]),
    ("{reward: answer, best_of: inf, drift: 0.1}", ["drift", "give a number best_of"]),
    ("{reward: answer, best_of: 4, own: 2}", ["ecosystem.preference.own", "less than or equal to 1"]),
    ("{reward: answer, best_of: 4, rule: best, temperature: 2}", ["temperature", "leave one of them out"]),
    ("{reward: answer, best_of: 4, mine: 1}", ["ecosystem.preference.mine", "unknown key"]),
    ("{reward: {length: {weigth: 1}}, best_of: 4}", ["ecosystem.preference.reward.length.weigth", "weight"]),
]


@pytest.mark.parametrize(("given", "words"), REFUSED)
def test_what_cannot_be_is_refused(fake, given, words):
    with pytest.raises(InvalidDescription) as refused:
        fake(*BASE, f"ecosystem.preference={given}")
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("ecosystem.order=sequential",), "order: together"),
        (("ecosystem.access={rank: popularity}",), "leave one of them out"),
    ],
)
def test_worlds_in_which_nobody_can_choose(fake, overrides, words):
    with pytest.raises(InvalidDescription, match=words):
        fake(*BASE, *CHOICES["answers"], *overrides)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("ecosystem.curation={exact_answer: {}}",), "leave one of the two out"),
        (("ecosystem.prompts=pool",), "prompts of one task"),
        ((prefer(reward="{quadratic: {centre: [0]}}"),), "none; give a reward of what it generates"),
        ((prefer(reward="{likelihood: {under: nobody}}"),), "'nobody' is no entity"),
        ((prefer(reward="{similarity: {to: nothing}}"),), "'nothing' is not under tasks"),
        ((prefer(reward="{symbols: {values: [0, 1]}}"),), "give tasks of source: categorical"),
        ((prefer(reward='{class_probability: {label: "7"}}'),), "are no images"),
        ((prefer(reward="length", best_of="inf"),), "length has none"),
    ],
)
def test_what_the_data_do_not_have(fake, overrides, words):
    with pytest.raises(InvalidInput, match=words):
        run(fake(*BASE, *CHOICES["answers"], *overrides), MemoryStore())


def test_what_weighs_everything_draws_nothing():
    with pytest.raises(InvalidDescription, match="give a learner that reads draws"):
        Experiment.from_yaml(LINEAR, (prefer(reward="answer"),))


def test_points_have_no_words():
    with pytest.raises(InvalidInput, match="counts words"):
        run(points(prefer(reward="length")), MemoryStore())
    with pytest.raises(InvalidInput, match="2 numbers for points of 1; give 1"):
        run(points(prefer(reward="{linear: {direction: [1, 2]}}")), MemoryStore())
