"""What benchmarks count and compare; how fast anything is, no test says."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def llama():
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=101,
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            attn_implementation="eager",
        )
    )


def counted(work):
    """Floating-point operations of matrix products, as PyTorch counts them: of linear maps, and of stacks."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    counts = counter.get_flop_counts()["Global"]
    stacks = counts.pop(torch.ops.aten.bmm, 0)
    return sum(counts.values()), stacks


def split(products):
    products = list(products)
    alone = sum(one.work for one in products if one.shape[0] == 1)
    return alone, sum(one.work for one in products) - alone


def test_the_floor_counts_what_pytorch_counts(llama, monkeypatch):
    import torch

    monkeypatch.syspath_prepend(BENCHMARKS)
    import floor

    rows, length = 3, 7
    ids = torch.randint(0, 101, (rows, length))
    once = list(floor.forward(llama.config, [length] * rows, rows))
    linear, stacks = counted(partial(llama, ids, use_cache=False))
    # PyTorch's counter has the whole square of attention, the floor its lower triangle.
    square = 2 * length / (length + 1)
    assert split(once) == pytest.approx((linear, stacks / square))

    def learn():
        llama(ids, labels=ids, use_cache=False).loss.backward()

    linear, stacks = counted(learn)
    assert split([*once, *floor.backward(once)]) == pytest.approx((linear, stacks / square))


def test_the_floor_of_completing_is_that_of_token_after_token(llama, monkeypatch):
    import torch
    from transformers import DynamicCache

    monkeypatch.syspath_prepend(BENCHMARKS)
    import floor

    rows, prompt, new = 2, 5, 4

    def complete():
        with torch.inference_mode():
            cache, ids = DynamicCache(config=llama.config), torch.randint(0, 101, (rows, prompt))
            for _ in range(new):
                # By place: what the fourth argument is called depends on the version of transformers.
                found = llama(ids, None, None, cache, use_cache=True, logits_to_keep=1)
                ids = found.logits[:, -1:].argmax(-1)

    above = 4 * llama.config.hidden_size * llama.config.num_hidden_layers * rows * prompt * (prompt - 1) // 2
    found = floor.decode(llama.config, [prompt] * rows, [new] * rows, rows)
    assert sum(one.work for one in found) == sum(counted(complete)) - above


def test_tokens_that_differ_are_told_and_taken_per_token(monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from rounds import Times

    def times(generate, texts, tokens, trained):
        found = Times()
        for spent in generate:
            found.add(spent + 3.0, {"generate": spent, "train": 2.0})
        found.count(texts, tokens, trained)
        return found

    ours = times([1.0, 2.0, 4.0], 10, 100, 1000)
    near = times([2.0, 4.0, 6.0], 20, 202, 1010).by_the_token(ours, "near")
    assert near.median() == 7.0
    assert not capsys.readouterr().out
    far = times([2.0, 4.0, 6.0], 20, 400, 500).by_the_token(ours, "far")
    assert far.median("generate") == 2.0
    assert far.median("train") == 4.0
    assert "generate are taken times 0.500" in capsys.readouterr().out
    assert ours.over(ours) == 1.0
    assert near.over(ours) == np.median([5 / 4, 7 / 5, 9 / 7])


@pytest.mark.parametrize("name", ["generation", "floor", "scaling"])
def test_an_unknown_part_is_refused(name, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", [f"{name}.py", "nonsense"])
    with pytest.raises(SystemExit):
        import_module(name).main()
    assert "unknown: nonsense" in capsys.readouterr().err


def test_both_derivatives_of_a_surrogate_are_the_same(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = import_module("forecast")
    observations, conditions = benchmark.observed(2, 0)
    problem = benchmark._Problem(observations, benchmark.layout_of(observations.ecology, observations.first))
    x = problem.layout.expected
    steps = 1e-6 * np.eye(len(x))
    differences = [(problem.residuals(x + step) - problem.residuals(x - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(problem.jacobian(x), np.transpose(differences), atol=1e-6)
    assert conditions(0.5, 0.5, 3).generations == 3
