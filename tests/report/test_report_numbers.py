"""Tables of numbers against naive twins that loop over rows."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from crossfeed.metrics.loss import DEAD_BAND
from crossfeed.reporting.data.numbers import by_generation, change, mixture, timing, verdict

WORDS = ("better", "worse")


def random_records(seed: int, seeds: int = 3) -> pd.DataFrame:
    """Records of two points; in the second, one seed stops early."""
    rng = np.random.default_rng(seed)
    rows = []
    for point, number, model, task, metric in product(range(2), range(seeds), "ab", "xy", ("loss", "accuracy")):
        last = 2 if point == 1 and number == 1 else 4
        for generation in range(last + 1):
            rows.append((f"{point}-{number}", number, point, generation, model, task, metric, rng.uniform(0.5, 4)))
    columns = ["cell", "seed", "point", "generation", "model", "task", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=seed, ignore_index=True)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return mean, spread / math.sqrt(len(values))


def naive_change(records: pd.DataFrame, metric: str) -> dict[tuple, dict]:
    rows = [row for row in records.to_dict("records") if row["metric"] == metric]
    found = {}
    for place in {(row["point"], row["model"], row["task"]) for row in rows}:
        own = [row for row in rows if (row["point"], row["model"], row["task"]) == place]
        last = max(row["generation"] for row in own)
        first = {row["seed"]: row["value"] for row in own if row["generation"] == 0}
        final = {row["seed"]: row["value"] for row in own if row["generation"] == last}
        both = sorted(first.keys() & final.keys())
        found[place] = {
            "generation": last,
            "seeds": len(both),
            "initial": mean_and_error([first[s] for s in both]),
            "final": mean_and_error([final[s] for s in both]),
            "change": mean_and_error([final[s] - first[s] for s in both]),
            "percent": mean_and_error([100 * (final[s] - first[s]) / first[s] for s in both]),
        }
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("seeds", [1, 3])
def test_change_is_what_a_loop_over_rows_gives(seed, seeds):
    records = random_records(seed, seeds)
    found, expected = change(records, "loss"), naive_change(records, "loss")
    assert len(found) == len(expected) == 8
    for row in found.to_dict("records"):
        wanted = expected[row["point"], row["model"], row["task"]]
        assert (row["generation"], row["seeds"]) == (wanted["generation"], wanted["seeds"])
        for name in ("initial", "final", "change", "percent"):
            assert [row[name], row[f"{name}_se"]] == pytest.approx(list(wanted[name]), nan_ok=True)


def test_a_seed_that_stopped_early_counts_at_neither_end():
    found = change(random_records(0), "loss")
    assert set(found.loc[found["point"] == 0, "seeds"]) == {3}
    assert set(found.loc[found["point"] == 1, "seeds"]) == {2}
    assert set(found["generation"]) == {4}


@pytest.mark.parametrize("seed", range(3))
def test_means_by_generation_are_what_a_loop_over_rows_gives(seed):
    records = random_records(seed)
    for row in by_generation(records, "accuracy").to_dict("records"):
        values = [
            each["value"]
            for each in records.to_dict("records")
            if each["metric"] == "accuracy"
            and all(each[name] == row[name] for name in ("point", "model", "task", "generation"))
        ]
        assert row["seeds"] == len(values)
        assert [row["mean"], row["se"]] == pytest.approx(list(mean_and_error(values)))


def test_an_initial_value_of_zero_has_no_percentage():
    records = random_records(0)
    records.loc[records["generation"] == 0, "value"] = 0.0
    assert change(records, "loss")["percent"].isna().all()


def test_no_records_give_empty_tables():
    none = random_records(0).iloc[:0]
    cells = pd.DataFrame({"cell": ["0-0"], "zero": ["z"]})
    for table in (change(none, "loss"), by_generation(none, "loss"), mixture(none), timing(none, cells)):
        assert table.empty


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (3.0, 3.1, "same"),  # 3.1 - 3.0 is more than 0.1 in binary
        (3.1, 3.0, "same"),
        (3.0, 3.1001, "worse"),
        (3.1001, 3.0, "better"),
        (3.0, 3.0, "same"),
        (3.0, math.inf, "worse"),
        (3.0, math.nan, "unknown"),
    ],
)
def test_the_dead_band_includes_its_edges(before, after, word):
    assert verdict(after - before, DEAD_BAND, WORDS) == word


def test_shares_are_counts_over_their_sum(seeds):
    table = mixture(seeds.records)
    assert table.groupby(["point", "model", "generation"])["share"].sum().to_numpy() == pytest.approx(1.0)
    raw = seeds.records.query("metric == 'drawn' and point == 1 and model == 'cold' and generation == 2")
    counts = raw.groupby("task")["value"].mean()
    found = table.query("point == 1 and model == 'cold' and generation == 2").set_index("source")["share"]
    assert found.to_dict() == pytest.approx((counts / counts.sum()).to_dict())


def test_a_shared_generation_counts_its_time_once(seeds):
    table = timing(seeds.records, seeds.cells).set_index("stage")
    spent = seeds.records[seeds.records["metric"] == "seconds"]
    once = spent.query("generation == 0 and point == 0 and task == 'update'")["value"].sum()
    later = spent.query("generation > 0 and task == 'update'")["value"]
    assert table.loc["update", "first"] == pytest.approx(once)
    assert table.loc["update", "later"] == pytest.approx(later.sum())
    assert table.loc["update", "each"] == pytest.approx(later.mean())
    assert table["share"].sum() == pytest.approx(1.0)
    assert list(table.index) == ["start", "publish", "compose", "update", "store", "measure"]
