"""Paired differences of a run's points and of two runs: the numbers, which points pair, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.faults.cli import crossfeed_cli
from tests.report.conftest import SMALL

from crossfeed import Contrast, Run, contrast, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.differences import judged, paired_differences
from crossfeed.reporting.data.numbers import mark
from crossfeed.settings import Measure

LOSS = Measure("loss", "Loss", 0.1, ("better", "worse"))


def records(values: dict[int, dict[int, list[float]]], model: str = "a") -> pd.DataFrame:
    """Records of one model on one task: values over generations by point and seed."""
    rows = [
        (point, seed, generation, model, "t", "loss", value)
        for point, by_seed in values.items()
        for seed, line in by_seed.items()
        for generation, value in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=["point", "seed", "generation", "model", "task", "metric", "value"])


def test_pairing_is_by_seed_and_not_by_order():
    rng = np.random.default_rng()
    shared = rng.normal(3, 1, 6)
    one = {seed: [shared[seed]] for seed in range(6)}
    two = {seed: [shared[seed] + 0.1 * rng.normal() + 0.5] for seed in reversed(range(6))}
    table = records({0: one, 1: two})
    for order in range(3):
        mixed = table.sample(frac=1, random_state=order)
        (row,) = paired_differences(mixed, mixed, [(0, 1)], ["loss"]).to_dict("records")
        gaps = [two[seed][0] - one[seed][0] for seed in range(6)]
        assert row["difference"] == pytest.approx(np.mean(gaps))
        assert row["difference_se"] == pytest.approx(stats.sem(gaps))
        assert row["p"] == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)


def test_the_last_generation_that_both_reached_counts():
    table = records({0: {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}, 1: {0: [1, 5, 6], 1: [1, 5]}})
    (row,) = paired_differences(table, table, [(0, 1)], ["loss"]).to_dict("records")
    assert (row["generation"], row["seeds"], row["difference"], row["error"], row["seed"]) == (2, 1, 3.0, "none", 0)
    (row,) = paired_differences(table, table, [(0, 1)], ["loss"], generation=1).to_dict("records")
    assert (row["generation"], row["seeds"], row["difference"]) == (1, 2, 3.0)
    assert paired_differences(table, table, [(0, 1)], ["loss"], generation=3).empty
    assert paired_differences(table, table, [(0, 1)], ["accuracy"]).empty


def test_verdicts_are_by_corrected_p_values_and_sizes():
    rng = np.random.default_rng(0)
    rows = [
        records(
            {0: {s: [3.0 + s] for s in range(5)}, 1: {s: [3.0 + s + gap + 0.05 * rng.normal()] for s in range(5)}}, name
        )
        for name, gap in (("rises", 0.5), ("falls", -0.5), ("rests", 0.0))
    ]
    unsure = records({0: {s: [3.0] for s in range(5)}, 1: {s: [3.2 + (-1) ** s] for s in range(5)}}, "unsure")
    table = pd.concat([*rows, unsure])
    found = judged(paired_differences(table, table, [(0, 1)], ["loss"]), {"loss": LOSS}, detect=0.5)
    assert dict(zip(found["model"], found["verdict"], strict=True)) == {
        "rises": "worse",
        "falls": "better",
        "rests": "same",
        "unsure": "unclear",
    }
    assert (found["p_holm"] >= found["p"]).all()
    assert found["seeds_to_detect"].iloc[0] < found["seeds_to_detect"].iloc[3]


@pytest.mark.parametrize(
    ("change", "ends", "word"),
    [
        (0.02, (0.01, 0.03), "worse"),  # as small as it is
        (-0.5, (-0.6, -0.4), "better"),
        (0.05, (-0.01, 0.11), "same"),
        (0.5, (-0.1, 1.1), "unclear"),
        (0.05, (math.nan, math.nan), "same"),
        (0.5, (math.nan, math.nan), "worse"),
        (0.0, (0.0, 0.0), "same"),
        (math.nan, (math.nan, math.nan), "unknown"),
    ],
)
def test_a_change_counts_by_its_interval_and_without_one_by_its_size(change, ends, word):
    assert mark(change, *ends, LOSS) == word


def test_a_call_gives_the_runs_own_differences(seeds):
    found = contrast(seeds, of={"alpha": 0.5}, against={"alpha": 1}, model="warm")
    assert isinstance(found, Contrast)
    losses = seeds.records.query("metric == 'loss' and generation == 2 and model == 'warm'")
    assert found.table["task"].tolist() == ["warm", "cold", "public"]
    for row in found.table.to_dict("records"):
        wide = losses[losses["task"] == row["task"]].pivot_table("value", "seed", "alpha")
        gaps = wide[0.5] - wide[1.0]
        assert row["difference"] == pytest.approx(gaps.mean())
        assert row["difference_se"] == pytest.approx(gaps.sem())
        assert (row["of"], row["against"], row["seeds"]) == ("alpha = 0.5", "alpha = 1", 3)
        assert row["of_mean"] == pytest.approx(wide[0.5].mean())
    shown = found._repr_html_()
    assert "Paired differences of fake" in shown
    assert "alpha = 0.5" in shown
    assert repr(found).startswith("Contrast(fake")


def test_by_default_all_points_are_compared_with_the_lowest_in_their_row(grid):
    table = contrast(grid).table
    pairs = table[["of", "against"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [[f"alpha = 1, beta = {b}", f"alpha = 0, beta = {b}"] for b in (0.2, 0.8)]
    other = contrast(grid, of={"beta": 0.8}, against={"ecosystem.beta": 0.2}).table
    assert set(other["of"]) == {"alpha = 0, beta = 0.8", "alpha = 1, beta = 0.8"}
    assert (other["error"] == "none").all()
    assert "have no error" in " ".join(contrast(grid).notes)


def test_two_runs_are_compared_point_by_point(make, seeds):
    other = make("seeds=[2,1]", "ecosystem.beta=0.9", "grid={ecosystem.alpha: [1, 0.5]}")
    found = contrast([seeds, other], against={"beta": 0.5}, of={"beta": 0.9})
    assert set(zip(found.table["of"], found.table["against"], strict=True)) == {
        ("B: alpha = 0.5", "A: alpha = 0.5"),
        ("B: alpha = 1", "A: alpha = 1"),
    }
    assert set(found.table["seeds"]) == {2}
    assert "seeds 0" in " ".join(found.notes)
    both = [
        each.records.query("metric == 'loss' and generation == 2 and alpha == 1 and model == 'warm' and task == 'cold'")
        for each in (seeds, other)
    ]
    ours, theirs = (each.set_index("seed")["value"] for each in both)
    row = found.table.query("of == 'B: alpha = 1' and model == 'warm' and task == 'cold'").iloc[0]
    assert row["difference"] == pytest.approx((theirs - ours).dropna().mean())
    assert row["difference_se"] == pytest.approx((theirs - ours).dropna().sem())


def test_the_same_description_gives_no_difference(make, seeds, tmp_path):
    run(Experiment.from_yaml(read_description("fake"), (*SMALL, "seeds=[0,1,2]")), open_store(tmp_path / "again"))
    table = contrast([seeds, tmp_path / "again"]).table
    assert len(table) == 3 * 6
    assert (table["difference"] == 0).all()
    assert (table["p_holm"] == 1).all()
    assert set(table["verdict"]) == {"same"}


def test_one_seed_has_errors_over_items_if_losses_are_kept(make):
    one = make("seeds=[0]", "metrics={loss: {keep_items: true}, accuracy: {}}")
    found = contrast(one, of={"alpha": 1}, against={"alpha": 0}, metric=["loss", "accuracy"])
    assert set(found.table.query("metric == 'loss'")["error"]) == {"items"}
    assert set(found.table.query("metric == 'accuracy'")["error"]) == {"none"}
    assert found.table["p"].isna().all()
    row = found.table.query("metric == 'loss' and model == 'warm' and task == 'cold'").iloc[0]
    ratios = []
    kept = [one.item_losses(f"alpha-{alpha}_seed-0", 2).query("model == 'warm' and task == 'cold'") for alpha in (0, 1)]
    rng = np.random.default_rng()
    for _ in range(2000):
        items = rng.integers(0, len(kept[0]), len(kept[0]))
        some = [each.sort_values("item").iloc[items] for each in kept]
        ratios.append(np.diff([each["loss"].sum() / each["size"].sum() for each in some])[0])
    assert row["lower"] <= row["difference"] <= row["upper"]
    assert row["difference_se"] == pytest.approx(np.std(ratios), rel=0.25)
    pd.testing.assert_frame_equal(
        found.table, contrast(one, of={"alpha": 1}, against={"alpha": 0}, metric=["loss", "accuracy"]).table
    )
    assert "over test items" in " ".join(found.notes)


def test_a_failed_cell_is_named_and_an_earlier_generation_can_be_compared(partly):
    wanted = {"of": {"learner.diverge_at": 2}, "against": {"learner.diverge_at": 9}}
    with pytest.raises(
        InvalidInput, match=r"cell alpha-0.5_diverge_at-2_seed-0 failed \(Diverged at generation 2.*--generation 1"
    ):
        contrast(partly, **wanted)
    table = contrast(partly, **wanted, generation=1).table
    assert set(table["generation"]) == {1}
    assert set(table["seeds"]) == {2}


def test_what_cannot_be_compared_is_refused_with_exit_code_2(make, seeds, grid):
    place = str(seeds.folder)

    def refused(*arguments: str) -> str:
        answer = crossfeed_cli("compare", *arguments)
        assert answer.code == 2, answer.err
        assert answer.out == ""
        return answer.err

    def of(*overrides: str) -> str:
        return str(make(*overrides).folder)

    others = of("seeds=[7,8]")
    assert "no seed is in both (0, 1, 2; 7, 8)" in " ".join(refused(place, others, "--paired").split())
    assert "no model is in both" in refused(place, str(grid.folder), "--paired")
    data = of("seeds=[0,1]", "tasks.cold.words=[ice, snow]")
    assert "other data under the same name (cold)" in " ".join(refused(place, data, "--paired").split())
    assert "given more than once" in refused(place, place, "--paired")
    assert "of one run or of two" in refused(place, others, data, "--paired")
    assert "one grid point" in refused(of("seeds=[0,1]", "ecosystem.alpha=0.5"), "--paired")
    assert "--of: no grid point has {'alpha': 0.7}" in refused(
        place, "--paired", "--of", "alpha=0.7", "--against", "alpha=0"
    )
    assert "--against: 'gamma' is no field of the grid" in refused(place, "--paired", "--against", "gamma=0")
    assert "say against what, too" in refused(place, "--paired", "--of", "alpha=1")
    assert "give FIELD=VALUE" in refused(place, "--paired", "--against", "alpha")
    assert "measured: loss" in refused(place, "--paired", "--metric", "perplexity")
    assert "give one from 0 to 2" in refused(place, "--paired", "--generation", "9")
    assert "there are warm, cold" in refused(place, "--paired", "--model", "hot")
    assert "above zero" in refused(place, "--paired", "--detect", "0")
    assert "add --paired" in refused(place, "--against", "alpha=0")
    assert "leave one of them out" in " ".join(refused(place, "--paired", "--paper", "7").split())
    assert "any of 2 points" in refused(str(grid.folder), "--paired", "--of", "beta=0.8", "--against", "alpha=0")


def test_the_command_prints_and_writes_what_the_call_gives(seeds, tmp_path):
    place = str(seeds.folder)
    told = json.loads(crossfeed_cli("compare", place, "--paired", "--detect", "0.1", "--json").out)
    table = contrast(seeds, detect=0.1).table
    assert told.keys() == {"runs", "detect", "differences", "notes"}
    assert [row["difference"] for row in told["differences"]] == table["difference"].tolist()
    assert told["differences"][0].keys() == set(table.columns)
    shown = crossfeed_cli("compare", place, "--paired", "--out", str(tmp_path / "there"))
    assert shown.code == 0
    assert "alpha = 0.5 against alpha = 0 (generation 2, 3 seeds)" in shown.out
    assert max(map(len, shown.out.splitlines()[:-1])) <= 80
    for word in set(table["verdict"]):
        assert word in shown.out
    written = pd.read_csv(tmp_path / "there" / "differences.csv")
    assert written["p_holm"].tolist() == pytest.approx(table["p_holm"].tolist())
    assert isinstance(Run.load(place), Run)
