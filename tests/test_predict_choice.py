"""Predictions where items are chosen among candidates: beside runs with many draws, in tables, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from crossfeed import Experiment, MemoryStore, open_store, predict, run
from crossfeed.cli import app
from crossfeed.errors import InvalidDescription
from crossfeed.exact.curated import curated_ecosystem
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.data.frames import Run

TEXT = """
ecosystem:
  entities:
    - {name: right, private: p}
    - {name: left, private: p, preference: {reward: {symbols: {values: [1, 0.5, 0]}}, best_of: 3}}
  alpha: 0.5
  beta: 1
  reads: {graph: complete, self: 0.75}
  preference: {reward: {symbols: {values: [0, 0.5, 1]}}, best_of: 3}
learner: {kind: categorical}
tasks: {p: {source: categorical, probabilities: [2, 2, 1], train: 20000, test: 500}}
public: {source: categorical, uniform: 3, train: 100, test: 10}
n: 4000
generations: 4
metrics: {heterozygosity: {}, entropy: {}, total_variation: {}, reward: {items: 500}}
"""
ONE, COMMON = "one chooses", "ecosystem.preference."
CASES = {
    "author": (),
    "reader": ("ecosystem.preference.judge=reader",),
    "many": ("ecosystem.preference.best_of=inf", "ecosystem.alpha=[0.5,0.8]"),
    "best": ("ecosystem.preference.rule=best", "ecosystem.preference.others=0.2"),
    "cold": ("ecosystem.preference.temperature=0.3", "learner.temperature=0.8", "learner.prior=100"),
    "kept": ("ecosystem.history=accumulate", "ecosystem.fresh_fraction=0.3", "public.train=20000"),
    "one chooses": (ONE,),
}


def described(changes, **fields):
    """An experiment with changes; the entity "left" chooses as all do, by a taste of its own, or it alone chooses."""
    data = yaml.safe_load(TEXT) | fields
    common = data["ecosystem"]["preference"]
    own = [each.removeprefix("ecosystem.preference.").split("=") for each in changes if each.startswith(COMMON)]
    common |= {key: yaml.safe_load(value) for key, value in own}
    data["ecosystem"]["entities"][1]["preference"] = {"reward": {"symbols": {"values": [1, 0.5, 0]}}} | {
        key: value for key, value in common.items() if key != "reward"
    }
    if ONE in changes:
        del data["ecosystem"]["preference"]
    others = tuple(each for each in changes if each != ONE and not each.startswith(COMMON))
    return Experiment.from_yaml(yaml.safe_dump(data), others)


@pytest.mark.parametrize("case", CASES)
def test_runs_of_many_draws_have_the_numbers(case):
    experiment = described(CASES[case], seeds=list(range(12)))
    outcome = run(experiment, MemoryStore())
    assert not outcome.failures
    measured = outcome.records.to_pandas()
    keys = ["metric", "model", "task", "generation"]
    found = measured.groupby(keys)["value"].agg(["mean", "sem"])
    records = predict(experiment).records
    exact = records[records["seed"] == 0].set_index(keys)["value"].dropna()
    both = found.join(exact, how="inner")
    assert {"heterozygosity", "entropy", "total_variation"} <= set(both.index.get_level_values("metric"))
    assert len(both) >= 40
    # Averages of n = 4,000 draws differ from the limit by terms of 1/n; total variation by the noise of each symbol.
    slack = np.where(both.index.get_level_values("metric") == "total_variation", 0.02, 0.002)
    assert (np.abs(both["mean"] - both["value"]) < 6 * both["sem"] + slack).all()


def test_tables_and_files_say_that_there_is_no_sampling_noise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "choice.yaml").write_text(TEXT)
    answer = CliRunner().invoke(app, ["predict", "choice.yaml", "--out", "there"])
    assert answer.exit_code == 0, answer.output
    assert "without sampling noise" in answer.stdout
    rest = predict(described(())).limit
    reward = rest[(rest["metric"] == "reward") & (rest["model"] == "right")]["value"].iloc[0]
    assert f"{reward:.4f}" in answer.stdout
    assert (tmp_path / "there" / "limit.csv").exists()
    kept = predict(described(CASES["kept"]))
    assert kept.limit.empty
    assert "reward" in kept._repr_html_()


def test_the_rest_is_where_many_generations_lead():
    late = predict(described(("generations=80",))).final
    rest = predict(described(())).limit
    keys = ["metric", "model", "task"]
    np.testing.assert_allclose(
        late.set_index(keys)["value"].sort_index(), rest.set_index(keys)["value"].sort_index(), atol=1e-9
    )


def test_an_entity_without_a_taste_has_no_reward():
    records = predict(described(CASES["one chooses"])).records
    reward = records[records["metric"] == "reward"].set_index("model")["value"]
    assert reward["right"].isna().all()
    assert reward["left"].notna().all()
    eco = curated_ecosystem(described(CASES["one chooses"]))
    np.testing.assert_array_equal(eco.curated, [[0, 0], [1, 1]])
    assert eco.tastes[1][0] is None  # its author has no taste to publish by
    assert eco.tastes[1][1] is not None


def test_a_report_says_why_no_theory_stands_beside(tmp_path):
    folder = tmp_path / "run"
    run(described(("generations=1", "n=50")), open_store(folder))
    assert "ecosystem.preference" in theory_of(Run.load(folder)).reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("ecosystem.preference.drift=0.5",), "drift: theory has tastes that stay; received 0.5"),
        (("ecosystem.preference.reward={length: {}}",), "rewards of symbols"),
        (("ecosystem.preference.reward={symbols: {values: [1]}}",), "1 numbers for 3 symbols; give 3"),
        (("ecosystem.every=2",), "leave every"),
    ],
)
def test_what_has_no_theory_is_refused(changes, words):
    with pytest.raises(InvalidDescription, match=words):
        predict(described(changes))
