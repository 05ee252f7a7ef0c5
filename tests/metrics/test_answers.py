"""Accuracy's companions against their definitions: calibration, Brier score, and numbers as the harness finds them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.metrics.test_metrics import Graded, HandMade

from crossfeed.metrics.accuracy import AccuracySettings, flexible_number
from crossfeed.protocols import Scores

TEXTS = [
    "The answer is 72.",
    "#### 1,200\nQuestion: 3",
    "$5.50 for each, so $11.00.",
    "-3",
    "about 7 - 3 = 4",
    "no number at all",
    "Well... I do not know",
    "12,000,000",
    "1.5e3",
    "5.",
    "3/4 of 8",
    "x = -12.5 and y = 0",
]


def choices_snapshot(losses, choices, answers, sizes=None):
    """Return a snapshot of one entity whose choices have given losses, item by item."""
    flat = np.array([loss for item in losses for loss in item], dtype=float)
    size = np.ones_like(flat) if sizes is None else np.array(sizes, dtype=float)
    scored = Scores(flat, size, flat, size)
    test = pa.table({"prompt": [f"q{i}" for i in range(len(choices))], "choices": choices, "answer": answers})
    return HandMade(entities=("a",), tasks={"x": Graded(test)}, losses={"choices": lambda items, k: scored})


def naive(losses, right):
    """Return calibration error and Brier score, one item after another."""
    bins, squares = {}, []
    for item, place in zip(losses, right, strict=True):
        p = np.exp(-np.array(item)) / np.exp(-np.array(item)).sum()
        best = int(np.argmax(p))
        number = next(b for b in range(1, 11) if p[best] <= b / 10 + 1e-15)
        bins.setdefault(number, []).append((best == place) - p[best])
        squares.append(sum((p[c] - (c == place)) ** 2 for c in range(len(p))))
    return sum(abs(sum(each)) for each in bins.values()) / len(losses), float(np.mean(squares))


def test_calibration_is_that_of_a_plain_loop():
    rng = np.random.default_rng()
    losses = [list(rng.normal(2, 1, rng.integers(2, 6))) for _ in range(200)]
    right = [int(rng.integers(len(each))) for each in losses]
    choices = [[f"c{c}" for c in range(len(each))] for each in losses]
    snapshot = choices_snapshot(losses, choices, [each[place] for each, place in zip(choices, right, strict=True)])
    numbers = {n.metric: n.value for n in AccuracySettings(items=200, calibration=True).build().measure(snapshot)}
    error, brier = naive(losses, right)
    assert numbers["calibration_error"] == pytest.approx(error, abs=1e-12)
    assert numbers["brier"] == pytest.approx(brier, abs=1e-12)
    best = [int(np.argmin(each)) for each in losses]
    assert numbers["accuracy"] == pytest.approx(np.mean([b == r for b, r in zip(best, right, strict=True)]))


def test_a_model_that_is_as_right_as_it_is_sure_is_calibrated():
    sure = -np.log([0.75, 0.25])
    losses = [list(sure)] * 4
    snapshot = choices_snapshot(losses, [["y", "n"]] * 4, ["y", "y", "y", "n"])
    numbers = {n.metric: n.value for n in AccuracySettings(calibration=True).build().measure(snapshot)}
    assert numbers["calibration_error"] == pytest.approx(0, abs=1e-12)
    assert numbers["brier"] == pytest.approx(2 * (0.75 * 0.25**2 + 0.25 * 0.75**2))


def test_items_beyond_the_length_limit_are_wrong_and_of_no_confidence():
    snapshot = choices_snapshot([[1, 2], [1, 2]], [["y", "n"]] * 2, ["y", "y"], sizes=[1, 1, 0, 0])
    numbers = {n.metric: n.value for n in AccuracySettings(calibration=True).build().measure(snapshot)}
    p = 1 / (1 + np.exp(-1))
    assert numbers["accuracy"] == 0.5
    assert numbers["calibration_error"] == pytest.approx(1 - p)


def test_calibration_is_measured_on_request_alone():
    snapshot = choices_snapshot([[1, 2]], [["y", "n"]], ["y"])
    assert [n.metric for n in AccuracySettings().build().measure(snapshot)] == ["accuracy"]


def test_numbers_are_found_as_the_harness_finds_them():
    extraction = pytest.importorskip("lm_eval.filters.extraction", reason="needs the extra eval")
    metrics = pytest.importorskip("lm_eval.api.metrics", reason="needs the extra eval")
    rule = extraction.RegexFilter("(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
    found = rule.apply([[text] for text in TEXTS], [{}] * len(TEXTS))
    for answer in ("72", "1200", "11", "11.00", "-3", "4", "12000000", "3", "5", "8", "0", "7"):
        theirs = [
            bool(
                metrics.exact_match_fn(
                    predictions=[text],
                    references=[f"so it is\n#### {answer}"],
                    ignore_case=True,
                    ignore_punctuation=False,
                    regexes_to_ignore=[",", r"\$", "(?s).*#### ", r"\.$"],
                )["exact_match"]
            )
            for [text] in found
        ]
        assert theirs == [flexible_number(text) == answer for text in TEXTS], answer


def test_flexible_accuracy_is_of_answers_that_are_numbers():
    test = pa.table({"prompt": ["p"] * 3, "answer": ["1,200", "7", "4"]})
    words = pa.table({"prompt": ["p"], "answer": ["seven"]})
    snapshot = HandMade(
        entities=("a",),
        tasks={"x": Graded(test), "y": Graded(words)},
        texts={"x": [["$1,200. Question", "it is 7, then 8", "4."]], "y": [["seven"]]},
    )
    numbers = {(n.task, n.metric): n.value for n in AccuracySettings(flexible=True).build().measure(snapshot)}
    assert numbers == {("x", "accuracy"): 0.0, ("x", "flexible_accuracy"): pytest.approx(2 / 3), ("y", "accuracy"): 1.0}
