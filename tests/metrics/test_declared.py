"""A metric is named in its own file and in the registry; everything else reads what it declares."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
from tests.tiny import CATEGORICAL, NGRAM

import crossfeed
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.description.registry import _LEARNERS, _METRICS, built_in_measures, learner_settings, metric_settings
from crossfeed.loop import run
from crossfeed.reporting.data import measures
from crossfeed.reporting.data.measures import by_section, declared, measured_in
from crossfeed.settings import measures_of
from crossfeed.store.memory import MemoryStore

PACKAGE = Path(crossfeed.__file__).parent

ALLOWED = {
    ("description/experiment.py", "loss"): "measured where a description names no metric",
    ("description/registry.py", "loss"): "the filter of this name",
    ("doctor/packages.py", "density"): "an extra",
    ("doctor/speed.py", "precision"): "of floating-point numbers",
    ("exact/prediction.py", "loss"): "theory's expectation of the same number",
    ("explorer/run_page.py", "similarity"): "the name of a figure in the page's template",
    ("forecasting/answer.py", "loss"): "what is traced and forecast",
    ("forecasting/answer.py", "completion_loss"): "what is traced and forecast",
    ("metrics/tail.py", "loss"): "the section of a report",
    ("reporting/collapse/survey.py", "tail_loss"): "judges a definition of collapse",
    ("reporting/collapse/survey.py", "distinct_2"): "judges a definition of collapse",
    ("reporting/differences/items.py", "loss"): "the metrics whose items are kept",
    ("reporting/differences/items.py", "completion_loss"): "the metrics whose items are kept",
    ("cli/paper.py", "loss"): "an example of a metric's name",
    ("reporting/data/terms.py", "length"): "the name of a function",
    ("reporting/collapse/survey.py", "variety"): "judges a definition of collapse",
    ("generation/snapshot.py", "loss"): "a column of the losses of items",
    ("generation/snapshot.py", "completion_loss"): "a column of the losses of items",
    ("reporting/forecasts/plan_tables.py", "loss"): "the heading of a column",
    ("reporting/forecasts/tables.py", "loss"): "the heading of a column",
    ("learners/categorical/learner.py", "precision"): "of floating-point numbers",
    ("learners/density/learner.py", "precision"): "of floating-point numbers",
    ("learners/language/learner.py", "precision"): "of floating-point numbers",
    ("learners/ngram/learner.py", "precision"): "of floating-point numbers",
    ("learners/regression/learner.py", "precision"): "of floating-point numbers",
    ("learners/neural/device.py", "precision"): "of floating-point numbers",
    ("running/merging.py", "precision"): "of floating-point numbers",
    ("running/merging.py", "projection"): "the file of a run",
    ("sharing/copying.py", "precision"): "of floating-point numbers",
    ("sharing/card.py", "projection"): "the file of a run",
    ("executors/distributed.py", "precision"): "of floating-point numbers",
    ("learners/language/examination.py", "loss"): "a fact of a model's folder",
    ("running/sittings.py", "precision"): "of floating-point numbers",
    ("running/session.py", "precision"): "of floating-point numbers",
    ("store/folder.py", "precision"): "of floating-point numbers",
    ("metrics/homogenisation.py", "similarity"): "a section",
    ("exact/discrete.py", "heterozygosity"): "a number that theory predicts",
    ("exact/discrete.py", "surviving_symbols"): "a number that theory predicts",
    ("exact/curated.py", "entropy"): "a number that theory predicts",
    ("exact/curated.py", "heterozygosity"): "a number that theory predicts",
    ("exact/curated.py", "reward"): "a number that theory predicts",
    ("exact/curated.py", "total_variation"): "a number that theory predicts",
    ("loop.py", "projection"): "a result's file",
    ("reporting/data/frames.py", "projection"): "a result's file",
    ("reporting/data/measures.py", "loss"): "the paper's: findings and figures are about it",
    ("reporting/data/measures.py", "similarity"): "the paper's: findings and figures are about it",
    ("metrics/centred_similarity.py", "similarity"): "a section",
    ("metrics/model_distance.py", "similarity"): "a section",
    ("metrics/self_similarity.py", "similarity"): "a section",
    ("metrics/symbols.py", "similarity"): "a section",
    ("metrics/variety.py", "similarity"): "a section",
    ("reporting/page/sections.py", "loss"): "a section",
    ("reporting/page/sections.py", "similarity"): "a section",
    ("reporting/side_by_side/sections.py", "loss"): "a section",
    ("settings.py", "loss"): "a section",
    ("description/key_reference.py", "reward"): "a group of the registry",
    ("description/schema_choices.py", "reward"): "a group of the registry",
    ("generation/tastes.py", "reward"): "a column of a pool",
    ("rewards/distance.py", "wasserstein"): "a kind of distance",
    ("settings.py", "similarity"): "a section",
    ("testing/learners.py", "loss"): "a field of a learner's scores",
    ("testing/learners.py", "completion_loss"): "a field of a learner's scores",
}


OF_SYMBOLS = ("heterozygosity", "surviving_symbols", "entropy", "total_variation")
"""Metrics that are refused for learners that fit no distribution over symbols."""

OF_NGRAMS = ("unseen_ngrams",)
"""Metrics that are refused for learners that count no n-grams."""


def words_of(path: Path) -> set[str]:
    """Every string in a file that is one word."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        nodes = ast.walk(ast.parse(text))
        return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return set(re.findall(r"""["'](\w+)["']""", text))


def homes() -> dict[str, Path]:
    """The file of every name that a built-in metric, or a number of one, has."""
    found = {}
    for name in _METRICS:
        settings = metric_settings(name)
        home = Path(str(sys.modules[settings.__module__].__file__)).relative_to(PACKAGE)
        found |= dict.fromkeys((name, *measures_of({name: settings})), home)
    return found


def test_a_metric_is_named_in_its_own_file_and_in_the_registry_alone():
    registered, named = set(_METRICS), set()
    for path in (*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")):
        file, words = path.relative_to(PACKAGE), words_of(path)
        for name, home in homes().items():
            in_registry = file == Path("description/registry.py") and name in registered - {"loss"}
            if name in words and file != home and not in_registry:
                named.add((file.as_posix(), name))
    assert named == set(ALLOWED)


def test_what_a_built_in_metric_gives_is_declared():
    asked = [name for name in _METRICS if name not in {*OF_SYMBOLS, *OF_NGRAMS}]
    assert len(given_by(read_preset("fake"), asked, "ecosystem.preference={reward: answer, best_of: 2}")) >= 8
    assert given_by(CATEGORICAL, OF_SYMBOLS) == set(OF_SYMBOLS)
    assert given_by(NGRAM, OF_NGRAMS) == set(OF_NGRAMS)


def given_by(text: str, metrics: Iterable[str], *changes: str) -> set[str]:
    """The numbers that metrics give, each of which is declared."""
    asked = f"metrics={{{', '.join(f'{name}: {{}}' for name in metrics)}}}"
    described = Experiment.from_yaml(text, ("n=10", "generations=1", asked, *changes))
    given = set(run(described, MemoryStore()).records["metric"].to_pylist()) - measures._BOOKKEEPING
    assert given <= built_in_measures().keys()
    return given


@pytest.mark.parametrize("name", _METRICS)
def test_declarations_are_complete(name):
    for metric, measure in measures_of({name: metric_settings(name)}).items():
        assert measure.metric == metric
        assert measure.title[:1].isupper()
        assert measure.band >= 0
        assert measure.words in {("better", "worse"), ("down", "up")}


def records(*metrics: str) -> pd.DataFrame:
    return pd.DataFrame({"metric": metrics})


def test_tables_are_in_the_registrys_order_then_in_the_records():
    order = ("unheard_of", "wasserstein", "recall", "drawn", "similarity", "accuracy", "seconds", "loss", "mine")
    found = measured_in(records(*order), [])
    assert [each.metric for each in found] == [
        "loss", "accuracy", "similarity", "recall", "unheard_of", "wasserstein", "mine",
    ]  # fmt: skip
    assert [each.metric for each in by_section(found, "terminal")] == [
        "loss", "similarity", "accuracy", "unheard_of", "wasserstein", "mine",
    ]  # fmt: skip
    plain = next(each for each in found if each.metric == "unheard_of")
    assert (plain.title, plain.band, plain.words, plain.bounded) == ("Unheard of", 0.0, ("down", "up"), False)


@pytest.mark.parametrize(
    ("preset", "heading", "axis"),
    [
        ("quickstart", "Loss (nats/token)", "loss (nats/token)"),
        ("figure-4", "Loss (squared error)", "loss (squared error)"),
        ("digits", "Loss (squared error/image)", "loss (squared error/image)"),
        ("mixed", "Loss", "loss"),  # a writer's and a painter's losses have no unit in common
        ("unequal-models", "Loss (nats/token)", "loss (nats/token)"),
    ],
)
def test_losses_have_the_unit_of_their_learner(preset, heading, axis):
    loss = declared("loss", [Experiment.from_yaml(read_preset(preset))])
    assert (loss.heading, loss.axis) == (heading, axis)
    assert (loss,) == measured_in(records("loss"), [Experiment.from_yaml(read_preset(preset))])


def test_losses_of_different_kinds_have_no_unit_and_other_numbers_their_own():
    both = [Experiment.from_yaml(read_preset(name)) for name in ("quickstart", "figure-4")]
    assert [declared(name, both).axis for name in ("loss", "completion_loss")] == ["loss", "completion loss"]
    assert declared("similarity", both).heading == "Similarity of outputs (mean cosine)"
    assert declared("unheard_of", both).heading == "Unheard of"


@pytest.mark.parametrize("kind", sorted(_LEARNERS))
def test_every_learner_that_comes_along_says_the_unit_of_its_losses(kind):
    assert learner_settings(kind).loss_unit
