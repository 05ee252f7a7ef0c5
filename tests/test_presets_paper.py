"""The presets of the paper's language-model experiments, and the paper's architectures through them, made small."""

from __future__ import annotations

import gc
import json
import re

import pytest

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import DataUnavailable
from tests.small_paper import example, small_data, small_model

torch = pytest.importorskip("torch", reason="the language learner needs the lm extra")

# Preset, hub id, K, T, examples of a micro-batch: the paper's Section 6 and Table 9.
PAPER = [
    ("opt-350m-k2", "facebook/opt-350m", 2, 15, 2),
    ("llama-3.2-1b-k2", "meta-llama/Llama-3.2-1B", 2, 15, 2),
    ("llama-3.2-3b-k2", "meta-llama/Llama-3.2-3B", 2, 8, 8),
    ("opt-350m-k3", "facebook/opt-350m", 3, 15, 2),
    ("llama-3.2-1b-k3", "meta-llama/Llama-3.2-1B", 3, 8, 8),
]
SHORT = (
    "generations=1",
    "learner.training.steps=3",
    "learner.training.initial_steps=3",
    "learner.generation.max_new_tokens=8",
    "learner.threads=1",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with small data under ``data`` and a small model of each architecture."""
    folder = tmp_path_factory.mktemp("paper")
    small_data(folder / "data")
    for name in ("opt-350m", "llama-3.2-1b", "llama-3.2-3b"):
        small_model(folder, name)
    return folder


def described(preset, small, *more):
    model = f"learner.base.model={small / preset.rpartition('-')[0]}"
    return Experiment.from_yaml(read_preset(preset), (model, *SHORT, *more))


@pytest.mark.parametrize(("name", "model", "K", "T", "batch"), PAPER, ids=[row[0] for row in PAPER])
def test_a_preset_is_the_papers_experiment(name, model, K, T, batch):
    experiment = Experiment.from_yaml(read_preset(name))
    training, cells = experiment.learner.training, experiment.cells()
    assert experiment.name == name
    assert experiment.learner.base.model == model
    assert [entity.private for entity in experiment.ecosystem.entities] == ["sciq", "gsm8k", "arc"][:K]
    assert (experiment.n, experiment.generations, experiment.learner.precision) == (12500, T, "bf16")
    assert (training.steps, training.batch_size, training.gradient_accumulation) == (100, batch, 2)
    assert (training.learning_rate, training.warmup, training.max_length) == (8e-6, 0.025, 512)
    assert experiment.metrics["similarity"].items == 200
    shares = {(cell.experiment.ecosystem.alpha, cell.experiment.ecosystem.beta) for cell in cells}
    assert shares == {(alpha, beta) for alpha in (0, 0.5, 1) for beta in (0, 0.5, 1)}
    assert len({cell.start for cell in cells}) == 1  # one generation 0 for all cells, trained and measured once
    assert len({cell.zero for cell in cells}) == 1
    assert cells[0].experiment.ecosystem.betas(0).tolist() == [0.5] * K


@pytest.mark.parametrize("preset", ["opt-350m-k2", "opt-350m-k3", "llama-3.2-1b-k2", "llama-3.2-3b-k2"])
def test_an_architecture_goes_through_its_preset(small, tmp_path, preset):
    experiment = described(preset, small, "ecosystem.alpha=0.5", "ecosystem.beta=0.5", "checkpoints=last")
    outcome = run(experiment, open_store(tmp_path), data_root=small / "data")
    assert not outcome.failures
    records = outcome.records.to_pandas()
    losses = records[records.metric == "loss"]
    K = len(experiment.ecosystem.entities)
    assert len(losses) == 2 * K * (K + 1)
    assert losses.value.between(4, 8).all()  # near that of even guesses: ln 400 = 6.0, ln 700 = 6.6
    read = records[records.metric == "drawn"].groupby(["generation", "model"]).value.sum()
    assert set(read) == {3.0 * experiment.learner.training.examples_per_step}
    trained = losses[losses.task == "sciq"].pivot_table("value", "generation", "model")
    assert (trained.loc[0] != trained.loc[1]).all()
    asked = json.loads((small / preset.rpartition("-")[0] / "config.json").read_text())
    for path in (tmp_path / "checkpoints").rglob("config.json"):
        kept = json.loads(path.read_text())
        assert kept["hidden_size"] == asked["hidden_size"]
        for switch in ("word_embed_proj_dim", "do_layer_norm_before", "num_key_value_heads", "head_dim"):
            assert kept.get(switch) == asked.get(switch)


def test_all_cells_of_a_preset_share_one_generation_0(small, tmp_path):
    experiment = described("opt-350m-k2", small, "metrics={loss: {}}")
    outcome = run(experiment, open_store(tmp_path), data_root=small / "data")
    records = outcome.records.to_pandas()
    losses = records[records.metric == "loss"].set_index(["generation", "alpha", "beta", "model", "task"]).value
    first = losses[0].groupby(["model", "task"]).nunique()
    assert set(first) == {1}
    later = losses[1].groupby(["model", "task"]).nunique()
    assert set(later) == {7}  # without real data the private share has no say: three of nine cells are the same


def test_memory_does_not_grow_with_the_generations(small, tmp_path):
    """Bytes of all tensors alive after generation t >= 1 are the same: nothing is carried from turn to turn."""
    alive = []

    class Watch:
        def stage(self, name, total=None, detail=""):
            from crossfeed.display.progress import Silent

            return Silent().stage(name, total, detail)

        def log(self, text):
            if " t=" in text:
                gc.collect()
                tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
                places = {found.untyped_storage().data_ptr(): found.untyped_storage().nbytes() for found in tensors}
                alive.append(sum(places.values()))

    more = ("ecosystem.alpha=0.5", "ecosystem.beta=0.5", "generations=4", "metrics={loss: {}}")
    experiment = described("opt-350m-k2", small, *more)
    outcome = run(experiment, open_store(tmp_path), data_root=small / "data", progress=Watch())
    assert not outcome.failures
    assert len(alive) == 5
    assert alive[1] == alive[2] == alive[3] == alive[4]


def test_an_unfinished_checkpoint_is_refused(small, tmp_path):
    """Transformers would fill what is missing with random numbers, and say so in a log that nobody reads."""
    import shutil

    from safetensors.torch import load_file, save_file

    from crossfeed.learners.language.pretrained import read_model
    from crossfeed.learners.neural.device import Device

    folder = shutil.copytree(small / "opt-350m", tmp_path / "opt")
    weights = load_file(folder / "model.safetensors")
    tied = weights.pop("model.decoder.embed_tokens.weight")
    save_file(weights | {"lm_head.weight": tied}, folder / "model.safetensors", metadata={"format": "pt"})
    device = Device(torch.device("cpu"), bf16=False)
    assert torch.equal(read_model(str(folder), None, device, 64).get_input_embeddings().weight, tied.float())
    del weights["model.decoder.project_in.weight"]
    save_file(weights | {"lm_head.weight": tied}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataUnavailable, match=r"lacks weights .*project_in"):
        read_model(str(folder), None, device, 64)


def test_the_script_for_a_gpu_runs_small(small, tmp_path, capsys):
    more = ("generations=15", *SHORT[1:], "tasks.sciq.test=4")
    model = str(small / "opt-350m")
    stopped = example("paper_scale").main(tmp_path, small / "data", model=model, minutes=0.0, overrides=more)
    assert "seconds, generation 0, update" in stopped
    said = capsys.readouterr().out
    assert "the same command goes on" in said
    assert re.search(r"start [\d.]+ s, compose [\d.]+ s, update [\d.]+ s, store [\d.]+ s, measure [\d.]+ s\n", said)
    assert "generation, tokens a second" not in stopped
    more = ("generations=2", *more[1:])
    numbers = example("paper_scale").main(tmp_path, small / "data", model=model, overrides=more)
    for name in (
        "training, tokens a second",
        "generation, tokens a second",
        "matmul TFLOP/s",
        "hours for Table 2a in these settings",
    ):
        assert numbers[name] > 0
    # How large the share is says how fast this machine is: that of a model this small was above one on a slow one.
    products = 6 * numbers["parameters in matrix products"] * numbers["training, tokens a second"]
    share = products / (1e12 * numbers["matmul TFLOP/s"])
    assert numbers["training, share of the matmul rate"] == pytest.approx(share)
    assert {f"seconds, generation 2, {stage}" for stage in ("publish", "update", "measure", "store")} <= set(numbers)
    # OPT: four square projections and two of the feed-forward net a layer, two around the embedding, and the head.
    assert numbers["parameters in matrix products"] == 2 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 16 * 32 + 400 * 16


def test_the_published_configurations_have_the_published_sizes():
    """Counted without making the weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"opt-350m": 331_196_416, "llama-3.2-1b": 1_235_814_400, "llama-3.2-3b": 3_212_749_824}
    for name, config in example("architectures").CONFIGS.items():
        fields = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **fields))
        model.tie_weights()
        assert model.num_parameters() == sizes[name]


@pytest.mark.parametrize("preset", ["opt-350m-k2", "llama-3.2-1b-k2"])
def test_a_model_that_is_too_large_to_train_goes_through_its_stages(small, preset):
    model = str(small / preset.rpartition("-")[0])
    numbers = example("too_large_to_train").main(preset, model, small / "data", steps=3)
    assert 4 < numbers["loss"] < 8
    # AdamW's first steps move by about the rate each; the first of the warmup does not move.
    assert 8e-6 <= numbers["largest move"] < 2.1 * 8e-6
