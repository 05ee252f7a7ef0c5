"""Numbers on the pages whose command is cheap are what it gives; files and sizes that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.exact.planning import linear_ecosystem
from crossfeed.exact.prediction import predict
from crossfeed.reporting.evidence.survey import evidence
from crossfeed.theory import best_choice, objective_value
from tests.docs.blocks import ROOT, blocks


def says(page: str, *sentences: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    for sentence in sentences:
        assert sentence in text, f"{page} does not say: {sentence}"


def preset(name: str, *overrides: str) -> Experiment:
    return Experiment.from_yaml(read_preset(name), overrides)


def test_theory_figure_2():
    told = {0.1: 0.36, 0.5: 0.44, 0.9: 0.24}
    means = {}
    for beta, alpha in told.items():
        near = f"grid={{ecosystem.alpha: [{alpha - 0.02:.2f}, {alpha}, {alpha + 0.02:.2f}]}}"
        limit = predict(preset("figure-2", f"ecosystem.beta={beta}", near)).limit.query(
            "metric == 'relative_efficiency'"
        )
        mean = limit.groupby("alpha")["value"].mean()
        assert mean.idxmax() == alpha
        means[beta] = mean.max()
    says(
        "docs/theory.md",
        f"Mean efficiency peaks at {means[0.1]:.2f} (α = 0.36) for β = 0.1, at {means[0.5]:.2f} (α = 0.44) for β = 0.5 "
        f"and at {means[0.9]:.2f} (α = 0.24) for β = 0.9",
    )


def test_theory_figure_4():
    found = predict(preset("figure-4"))
    last = found.records.query("metric == 'mspe' and model == 'a' and generation == generation.max()")
    error = last.set_index(["beta", "alpha", "task"])["value"]
    growth = found.limit.query("metric == 'variance_growth'")["value"]
    assert growth.max() == pytest.approx(growth.min())
    own, other = (error[0.5, 0.0, task] for task in ("a", "b"))
    own_half, other_half = (error[0.5, 0.5, task] for task in ("a", "b"))
    says(
        "docs/theory.md",
        f"lowers the error on the other's task from {other:.1f} to {other_half:.1f} and costs {own_half - own:.1f} on "
        f"the own one ({own:.1f} to {own_half:.1f})",
        f"at β = 1 from {error[1.0, 0.0, 'b']:.0f} to {error[1.0, 0.5, 'b']:.0f} (model a)",
        f"variance grows linearly, by {growth.max():.1f} a generation, whatever β",
    )


PLANS = [
    ("docs/theory.md", "figure-2", 0.41, 0.70, 0.062, "α = 0.41, β = 0.70"),
    ("docs/theory.md", "figure-2", 0.41, 0.70, 0.062, "one half and one half costs 6.2 % more"),
    ("docs/theory.md", "figure-4", 0.25, 0.57, 0.083, "α = 0.25, β = 0.57; one half and one half costs 8.3 %"),
    ("docs/tutorial.md", "", 0.264, 0.601, 0.139, "common optimum 0.264 0.601 0.44 +0.0 %"),
    ("docs/tutorial.md", "", 0.264, 0.601, 0.139, "half and half 0.500 0.500 0.51 +13.9 %"),
    ("docs/how-to/plan.md", "", 0.224, 0.624, 0.215, "common optimum 0.224 0.624 0.34 +1.4 %"),
    ("docs/how-to/plan.md", "", 0.224, 0.624, 0.215, "half and half 0.500 0.500 0.40 +21.5 %"),
]


@pytest.mark.parametrize(("page", "name", "alpha", "beta", "half", "said"), PLANS)
def test_plans(page, name, alpha, beta, half, said):
    text = read_preset(name) if name else blocks(ROOT / page, "yaml")[0].text
    eco = linear_ecosystem(Experiment.from_yaml(text, ("grid={}", "ecosystem.alpha=0.5", "ecosystem.beta=0.5")))

    def mean(a: float, b: float) -> float:
        return objective_value(eco.with_weights(np.full(eco.entities, a), np.full(eco.entities, b)), "mean")

    best = mean(alpha, beta)
    around = [(da, db) for da in (-0.03, 0, 0.03) for db in (-0.03, 0, 0.03) if da or db]
    assert all(best < mean(alpha + da, beta + db) for da, db in around)  # by more than the rounding of what is said
    own = best_choice(eco, per_entity=True).value
    assert mean(0.5, 0.5) / own - 1 == pytest.approx(half, abs=6e-4)
    says(page, said)


def test_fine_grid():
    one = preset("fine-grid", "grid={}", "ecosystem.alpha=0.9", "ecosystem.beta=0.3")
    numbers = (
        predict(one).records.query("generation == 15 and model == 'a' and task == 'a'").set_index("metric")["value"]
    )
    says(
        "docs/beyond.md",
        f"At alpha = 0.9, beta = 0.3 the prediction for `a` on `a` at t = 15 is {numbers['mspe']:.2f}, so "
        f"{numbers['loss']:.2f} a row",
    )
    assert len(preset("fine-grid").cells()) == 121


def test_evidence():
    found = evidence().public
    says(
        "docs/evidence.md",
        f"two families share {found.mean:.2f} of the kinds that they name, on average over 21 pairs ({found.low:.2f} "
        f"for the least, {found.high:.0f} for the most; also {found.stated:.2f} if only what is stated counts)",
        f"Read as the public share, that is beta = {1 - found.mean:.2f}.",
        f"{found.anyone:.2f} are named by some other family as well; read that way, beta = {1 - found.anyone:.2f}.",
    )
    says("docs/explanation/limits.md", f"two readings of beta, {1 - found.mean:.2f} and {1 - found.anyone:.2f}")


def test_the_size_of_the_quickstarts_models():
    made = preset("quickstart").learner.base.scratch
    width, inner, layers = (made.config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    assert made.config["tie_word_embeddings"]
    parameters = made.vocabulary * width + layers * (4 * width**2 + 3 * width * inner + 2 * width) + width
    for page in ("README.md", "docs/tutorial.md", "docs/results.md"):
        says(page, f"transformers of {parameters / 1e6:.2f} million parameters")


def test_memory_by_arithmetic():
    paper = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    for name, said in (("OPT-350m", "OPT-350m, whole"), ("Llama 3.2 1B", "Llama 3.2 1B, whole")):
        parameters = int(re.search(rf"{re.escape(said)}\*\* \(([\d,]+) parameters", paper)[1].replace(",", ""))
        says("docs/how-to/gpu.md", f"| {name} | {parameters * 16 / 1e9:.0f} GB | {parameters * 4 / 1e9:.1f} GB |")


def test_the_papers_presets_are_five_and_the_commands_say_so():
    names = [name for name in preset_names() if name.startswith(("opt-", "llama-"))]
    assert len(names) == 5
    says("docs/how-to/commands.md", "the paper's own experiments, for a GPU; five presets")
    for name in names:
        says("docs/paper.md", f"| `{name}` |")


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/commands.md"])
def test_the_examples_that_a_training_set_is_read_for(page):
    training = Experiment.from_yaml(blocks(ROOT / page, "yaml")[0].text).learner.training
    each = training.steps * training.batch_size * training.gradient_accumulation
    says(page, f"{training.steps} steps of {training.batch_size} x {training.gradient_accumulation} read {each} of it")


def test_what_the_first_pages_count():
    theory = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    questions = theory.partition("\n## Open questions")[2].partition("\n## ")[0].count("\n### ")
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    says("docs/index.md", f"{words[questions]} open questions answered")
    says("README.md", f"for {words[preset('quickstart').generations]} generations")


def test_every_preset_is_on_a_page():
    pages = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    for name in preset_names():
        assert name in pages, f"no page speaks of the preset {name}"


# Files of a run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run, without its report."""
    place = tmp_path_factory.mktemp("tree") / "run"
    run(preset("fake", "generations=2", "n=40"), open_store(str(place)))
    return place


@pytest.mark.parametrize("page", ["docs/index.md", "docs/reference/run-folder.md"])
def test_the_files_of_a_run_are_those_of_the_page(page, folder):
    section = (
        (ROOT / page)
        .read_text(encoding="utf-8")
        .partition("| | |\n" if page == "docs/index.md" else "| file | holds |")[2]
    )
    rows = re.findall(r"^\| (`.*?) \|", section.partition("\n\n")[0], re.M)
    named = {each.split("/")[0] for row in rows for each in re.findall(r"`([^`]+)`", row)}
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    # What comes after a run, and what only some have.
    after = {"report", "failures", "evaluation", "evaluation.parquet", "notes", "models", "known", "forecast.parquet"}
    assert named - there - {"added", "curves", "forecast", "packs"} == after
    assert there - named == set()


def test_what_a_table_is_made_of_is_readable_without_crossfeed(folder):
    import pyarrow.parquet as pq

    names = set(pq.read_schema(next((folder / "pool").rglob("*.parquet"))).names)
    assert {"author", "prompt", "completion", "key"} <= names
    assert not list(Path(folder).rglob("*.pkl"))
