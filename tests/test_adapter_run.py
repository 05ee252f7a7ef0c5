"""Whole runs whose entities train adapters of one base: what is on disk, resuming, benchmarks."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from crossfeed import Experiment, open_store, run
from crossfeed.evaluation.checkpoints import Evaluated, Score, evaluate_checkpoints
from tests.runs import numbers
from tests.tiny import ADAPTED

torch = pytest.importorskip("torch", reason="the language learner needs the lm extra")
pytest.importorskip("peft", reason="needs the extra 'adapters'")

CHANGES = ("checkpoints=all", "learner.training.carry_optimizer=true")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """A finished run: its experiment, folder and outcome."""
    folder = tmp_path_factory.mktemp("adapters") / "run"
    experiment = Experiment.from_yaml(ADAPTED, CHANGES)
    outcome = run(experiment, open_store(folder), cache=cache)
    assert not outcome.failures
    return experiment, folder, outcome


def checkpoints(folder):
    return sorted(path.parent for path in folder.glob("checkpoints/**/adapter_config.json"))


def test_checkpoints_hold_adapters_and_no_base(finished):
    _, folder, _ = finished
    found = checkpoints(folder)
    assert len(found) == 2 * (1 + 2 * 2), "generation 0 is shared by the two cells"
    for place in found:
        assert {path.name for path in place.glob("*.safetensors")} == {
            "adapter_model.safetensors",
            "optimizer.safetensors",
        }
    assert not list(folder.rglob("model.safetensors"))


@pytest.mark.parametrize("last", [0, 1])
def test_a_run_that_stopped_goes_on_to_identical_records(finished, cache, tmp_path, last):
    experiment, folder, outcome = finished
    again = shutil.copytree(folder, tmp_path / "run")
    for path in [*again.glob("*.parquet"), *again.rglob("generation-*")]:
        number = path.name.removeprefix("generation-")[:3]
        if not number.isdigit() or int(number) > last:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert numbers(run(experiment, open_store(again), cache=cache)) == numbers(outcome)


class Losses:
    """An evaluator that reads checkpoints as transformers does, and knows nothing of adapters."""

    tasks, options = ("facts",), ""

    def __init__(self, experiment):
        test = experiment.tasks["facts"].build("facts", None).test
        self.texts = [row["prompt"] + row["completion"] for row in test.to_pylist()]

    def evaluate(self, folder, tasks, name):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        total = count = 0.0
        for text in self.texts:
            ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id][:160]])
            with torch.no_grad():
                total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
        return Evaluated([Score("facts", "loss", total / count, 0.0, len(self.texts), 0, "")])


def test_benchmarks_are_those_of_the_merged_models(finished, tmp_path):
    experiment, folder, outcome = finished
    copied = shutil.copytree(folder, tmp_path / "run")
    before = {path.relative_to(copied) for path in copied.glob("checkpoints/**/*")}
    table = evaluate_checkpoints(experiment, open_store(copied), Losses(experiment)).to_pandas()
    records = outcome.records.to_pandas().query("task == 'facts' and metric == 'loss'")
    keys = ["cell", "generation", "model"]
    both = table.merge(records, on=keys, suffixes=("", "_recorded"))
    assert len(both) == len(table) == 12
    np.testing.assert_allclose(both["value"], both["value_recorded"], rtol=1e-5)
    assert both["value"].nunique() == 10
    assert {path.relative_to(copied) for path in copied.glob("checkpoints/**/*")} == before


def test_an_entity_with_an_adapter_beside_one_that_is_trained_in_full(cache, tmp_path):
    text = ADAPTED.replace("{name: b, private: math}", "{name: b, private: math, learner: {adapter: null}}")
    experiment = Experiment.from_yaml(text, ("checkpoints=last", "grid={}", "ecosystem.alpha=0.5"))
    outcome = run(experiment, open_store(tmp_path / "run"), cache=cache)
    assert not outcome.failures
    (last,) = {place.parent for place in checkpoints(tmp_path / "run")}
    assert (last / "a" / "adapter_model.safetensors").is_file()
    assert (last / "b" / "model.safetensors").is_file()


def test_an_adapter_is_another_experiment_and_none_is_the_one_before():
    plain = Experiment.from_yaml(ADAPTED, ("learner.adapter=null",))
    assert plain.id == Experiment.from_yaml(ADAPTED.replace("  adapter: {rank: 2, alpha: 4}\n", "")).id
    assert Experiment.from_yaml(ADAPTED).id != plain.id
    one, other = (
        Experiment.from_yaml(ADAPTED, (f"learner.adapter.targets=[{targets}]",)).id
        for targets in ("q_proj, v_proj", "v_proj, q_proj")
    )
    assert one == other
