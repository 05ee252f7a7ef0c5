"""Where bases come from: made here and kept by content, or read from folders and the hub."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from test_language_kit import LLAMA_3, SCRATCH, context, keys, random_model, settings, sums  # noqa: E402

from crossfeed.cache import cached_folder  # noqa: E402
from crossfeed.errors import DataUnavailable, InvalidInput  # noqa: E402
from crossfeed.learners.language.gradient_shards import GradientShards  # noqa: E402
from crossfeed.learners.language.model import CausalModel  # noqa: E402
from crossfeed.learners.language.scratch import _blocks  # noqa: E402
from crossfeed.learners.language.settings import LanguageSettings, ScratchSettings  # noqa: E402
from crossfeed.learners.neural.device import open_device  # noqa: E402
from crossfeed.learners.neural.optimizer import constant_with_warmup, trapezoid  # noqa: E402
from crossfeed.settings import identity  # noqa: E402


def start(cache, seed=0, **scratch):
    """The first state, and the stages that were gone through."""
    where = context(cache, seed)
    [state] = settings({"scratch": SCRATCH | {"steps": 3} | scratch}).build(where).start(range(1))
    return state, where.progress.seen


def equal(left, right):
    return all(torch.equal(left.weights[name], right.weights[name]) for name in left.weights)


def test_a_base_is_made_once_for_what_it_depends_on(tmp_path):
    first, stages = start(tmp_path)
    assert stages == [("base", 3)]
    again, stages = start(tmp_path, seed=1)
    assert stages == []
    assert equal(first, again)
    other, stages = start(tmp_path, learning_rate=1e-3)
    assert stages == [("base", 3)]
    assert not equal(first, other)
    assert sorted(path.suffix for path in (tmp_path / "base").iterdir()) == ["", "", ".lock", ".lock"]


def test_a_base_of_its_own_for_every_seed(tmp_path):
    def state(cell):
        where = context(tmp_path, cell)
        described = {"scratch": SCRATCH | {"steps": 1, "seed": None}}
        return settings(described).build(where).start(range(1))[0]

    assert not equal(state(0), state(1))


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "unseal"])
def test_a_damaged_base_is_made_again(tmp_path, harm):
    first, _ = start(tmp_path)
    [folder] = [path for path in (tmp_path / "base").iterdir() if path.is_dir()]
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if harm == "truncate":
        weights.write_bytes(data[:-10])
    elif harm == "flip":
        data[-5] ^= 1
        weights.write_bytes(data)
    elif harm == "remove":
        weights.unlink()
    else:
        (folder / "sealed.json").write_text("{")
    again, stages = start(tmp_path)
    assert stages == [("base", 3)]
    assert equal(first, again)


def test_an_interrupted_base_leaves_nothing_in_its_place(tmp_path):
    def interrupted(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_folder(tmp_path / "x", interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]
    cached_folder(tmp_path / "x", lambda folder: (folder / "whole").write_text("x"))
    assert (tmp_path / "x" / "whole").exists()


def with_spare(cache, spare):
    """A world in which nobody trains on some of the sums."""
    where = context(cache)
    whole = where.tasks["sums"]
    left_out = whole.train.slice(100 if spare else whole.train.num_rows)
    capped = SimpleNamespace(
        name="sums", content="sums", train=whole.train.slice(0, 100), test=whole.test, spare=left_out
    )
    return replace(where, tasks={**where.tasks, "sums": capped})


def test_a_base_reads_what_caps_leave_out(tmp_path):
    def loss(spare):
        where = with_spare(tmp_path, spare=True)
        made = settings({"scratch": SCRATCH | {"steps": 60, "spare": spare}}).build(where)
        [[scores]] = made.score(made.start(range(1)), [where.tasks["sums"].test])
        return scores.loss.sum() / scores.size.sum()

    assert loss(0.5) < 0.7 * loss(0.0)


def test_without_anything_left_out_there_is_nothing_to_read(tmp_path):
    made = settings({"scratch": SCRATCH | {"spare": 0.5}}).build(with_spare(tmp_path, spare=False))
    with pytest.raises(InvalidInput, match="none does here; give `train` of some task fewer items"):
        made.start(range(1))


def test_too_little_to_read_is_told_before_the_first_block():
    described = ScratchSettings(length=10, batch_size=4, spare=0.001)
    with pytest.raises(InvalidInput, match=r"the spare sums training text has 9 tokens.*give sums a smaller train"):
        next(_blocks({"public": np.arange(640), "sums": np.arange(9)}, described, 0))


def test_spare_texts_make_their_share_of_the_blocks():
    """In standard errors; each block once in a pass, and public blocks are the same whatever else is read."""
    streams = {"public": np.arange(0, 640), "one": np.arange(1000, 1100), "other": np.arange(2000, 2700)}
    rng = np.random.default_rng()
    share, seed = float(rng.uniform(0.1, 0.9)), int(rng.integers(1 << 30))
    described = ScratchSettings(length=10, batch_size=4, spare=share)
    rows = np.concatenate([block for block, _ in zip(_blocks(streams, described, seed), range(1000), strict=False)])
    assert (np.diff(rows, axis=1) == 1).all()
    source = rows[:, 0] // 1000
    assert abs((source > 0).mean() - share) < 5 * (share * (1 - share) / 4000) ** 0.5
    assert abs((source[source > 0] == 1).mean() - 0.5) < 5 * (0.25 / (source > 0).sum()) ** 0.5
    once = rows[source == 0][:63, 0]
    assert len(set(once)) == len(once)
    alone = _blocks({"public": streams["public"]}, described.model_copy(update={"spare": 0.0}), seed)
    alone = np.concatenate([block for block, _ in zip(alone, range(1000), strict=False)])
    public = rows[source == 0]
    assert np.array_equal(alone[: len(public)], public)


def test_pretraining_learns(tmp_path):
    def loss(steps):
        where = context(tmp_path)
        made = settings({"scratch": SCRATCH | {"steps": steps}}).build(where)
        [[scores]] = made.score(made.start(range(1)), [where.tasks["public"].test])
        return scores.loss.sum() / scores.size.sum()

    assert loss(60) < 0.7 * loss(0)


def working_model(by_hand, **changes):
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model("llama", vocab_size=60, tie_word_embeddings=True, **shape | changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(config, attn_implementation="eager" if by_hand else None)
    model = CausalModel(module, open_device("cpu", "fp32", 1))
    assert (model.handwritten is not None) == by_hand
    model.training()
    return model


def mean_loss(model, block):
    logits = model.module(input_ids=block[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), block[:, 1:].flatten())


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_two_shards_are_the_whole(rows, by_hand):
    block = torch.randint(60, (rows, 9))
    model = working_model(by_hand)
    with GradientShards(model) as shards:
        for _ in range(3):  # the first step is done by one thread, the others by two
            loss = shards.gradients(block)
            found = [parameter.grad.clone() for parameter in model.parameters().values()]
            model.module.zero_grad()
            whole = mean_loss(model, block)
            expected = torch.autograd.grad(whole, list(model.parameters().values()))
            assert torch.allclose(loss, whole, rtol=1e-5)
            for own, other in zip(found, expected, strict=True):
                assert torch.allclose(own, other, rtol=1e-3, atol=1e-6)
            with torch.no_grad():
                for parameter in model.parameters().values():
                    parameter.mul_(1.1)  # the twin sees what the optimizer does


@pytest.mark.parametrize("by_hand", [True, False])
def test_shards_do_not_depend_on_who_computes_them(by_hand):
    block = torch.randint(60, (8, 33))
    model = working_model(by_hand)
    parameters = model.parameters()

    def part(shard):
        if by_hand:
            found = model.handwritten.gradients(list(shard.numpy()), 1 / (8 * 32), model.handwritten.weights())[1]
            return [found[name] for name in parameters]
        return torch.autograd.grad(mean_loss(model, shard) * 0.5, list(parameters.values()))

    parts = [part(shard) for shard in block.tensor_split(2)]
    with GradientShards(model) as shards:
        for _ in range(20):
            model.module.zero_grad()
            shards.gradients(block)
            for parameter, first, second in zip(parameters.values(), *parts, strict=True):
                assert torch.equal(parameter.grad, first + second)


def test_dropout_is_drawn_in_one_order():
    block = torch.randint(60, (4, 17))
    model = working_model(False, attention_dropout=0.5)

    def losses():
        with model.device.seeded(7), GradientShards(model) as shards:
            return [shards.gradients(block).item() for _ in range(10)]

    first = losses()
    assert len(set(first)) > 1
    assert losses() == first


def test_numbers_are_split_into_digits_and_bytes_come_back(tmp_path):
    made = settings().build(context())
    tokenizer = made._tokenizer.tokenizer
    assert len(tokenizer) <= SCRATCH["vocabulary"]
    assert [tokenizer.decode([i]) for i in tokenizer("1234")["input_ids"]] == list("1234")
    for text in ("naïve 日本 \n\t 42!", " leading", "trailing "):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert made._tokenizer.pad != made._tokenizer.eos


@pytest.mark.parametrize(
    ("scratch", "message"),
    [
        ({"architecture": "llamma"}, "'llamma' is not a model type of transformers"),
        ({"config": {"hiden_size": 3}}, "hiden_size is not a field of LlamaConfig"),
        ({"architecture": "t5", "config": {}}, "no causal language model of architecture 't5'"),
        ({"length": 100_000}, "reads|the public training text has"),
    ],
)
def test_a_base_that_cannot_be_made(tmp_path, scratch, message):
    with pytest.raises(InvalidInput, match=message):
        start(tmp_path, **scratch)
    assert not [path for path in (tmp_path / "base").iterdir() if path.is_dir()]


def test_pickled_weights_are_refused(tmp_path):
    random_model("llama", tmp_path, **LLAMA_3)
    from safetensors.torch import load_file

    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DataUnavailable, match="safetensors"):
        settings({"model": str(tmp_path)}).build(context()).start(range(1))


def test_code_in_a_folder_is_not_run(tmp_path):
    random_model("llama", tmp_path, **LLAMA_3)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataUnavailable):
        settings({"model": str(tmp_path)}).build(context()).start(range(1))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_one_line_says_what_to_do(monkeypatch, offline):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("time.sleep", lambda _: None)  # the library tries five times, after longer and longer pauses
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr("crossfeed.learners.language.hub.getproxies", dict)
    with pytest.raises(DataUnavailable, match=r"nobody/no-such-model.*local folder") as caught:
        settings({"model": "nobody/no-such-model"}).build(context()).start(range(1))
    assert "\n" not in str(caught.value)
    made = settings(embedder="nobody/no-such-encoder").build(context())
    with pytest.raises(DataUnavailable, match=r"nobody/no-such-encoder.*local folder"):
        made.embed([sums(0, 2)])


def test_a_folder_that_is_not_there():
    with pytest.raises(DataUnavailable, match=r"there is no folder './nothing'"):
        settings({"model": "./nothing"}).build(context()).start(range(1))


def test_models_that_are_too_short_are_refused(tmp_path):
    random_model("llama", tmp_path, **LLAMA_3)
    with pytest.raises(InvalidInput, match="at most 256 tokens, the settings ask for 300"):
        settings({"model": str(tmp_path)}, training={"max_length": 300}).build(context()).start(range(1))


def test_bf16_autocast_runs_and_stays_close(tmp_path):
    items = sums(3, 12)
    base = {"model": str(random_model("llama", tmp_path, **LLAMA_3))}
    losses = []
    for precision in ("fp32", "bf16"):
        made = settings(base, precision=precision).build(context())
        state = made.start(range(1))
        losses.append(made.score(state, [items])[0][0].loss)
        assert made.generate(state, [items], [keys(12)])[0].num_rows == 12
    np.testing.assert_allclose(*losses, rtol=0.02)


def test_the_schedules():
    assert [constant_with_warmup(s, 100, 0.025) for s in range(5)] == [0.0, 1 / 3, 2 / 3, 1.0, 1.0]
    assert constant_with_warmup(0, 100, 0.0) == 1.0
    rates = [trapezoid(s, 100, 10, 0.3) for s in range(100)]
    assert rates[9:30] == [1.0] * 21
    assert rates[0] == 0.1
    assert rates[99] == pytest.approx(1 / 70)


def test_the_paper_is_the_default():
    described = LanguageSettings.model_validate({"base": {"model": "facebook/opt-350m"}})
    training = described.training
    assert (training.steps, training.batch_size, training.gradient_accumulation) == (100, 2, 2)
    assert (training.learning_rate, training.warmup, training.max_length) == (8e-6, 0.025, 512)
    assert not {"device", "threads"} & identity(described).keys()
    assert identity(described).get("evaluation", {}) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base": {}}, ["base", "either `model`", "got none"]),
        ({"base": {"model": "a", "scratch": {}}}, ["base", "got model and scratch"]),
        ({"base": {"scratch": {}, "revision": "main"}}, ["base", "revision"]),
        ({"base": {"scratch": {"config": {"vocab_size": 3}}}}, ["base.scratch.config", "vocab_size", "vocabulary"]),
        ({"device": "gpu"}, ["device", "'gpu'", "cuda"]),
        ({"precision": "fp16"}, ["precision", "'fp32'", "fp16"]),
        ({"training": {"step": 3}}, ["training.step", "not permitted"]),
        ({"training": {"betas": [0.9, 1.0]}}, ["training.betas.1", "less than 1"]),
        ({"generation": {"top_p": 0}}, ["generation.top_p", "greater than 0"]),
        ({"generation": {"temperature": -1}}, ["generation.temperature", "greater than or equal to 0"]),
    ],
)
def test_what_cannot_be_is_named(change, words):
    with pytest.raises(ValueError, match="validation error") as caught:
        LanguageSettings.model_validate({"base": {"model": "a"}} | change)
    for word in words:
        assert word in str(caught.value)


def test_settings_need_no_torch():
    code = "import sys, crossfeed.learners.language.settings as s; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
