"""Helpers for the tests of the language learner: tiny data, a tiny base that is trained once, tiny random models."""

import atexit
import contextlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from crossfeed.keys import address, item_keys  # noqa: E402
from crossfeed.learners.fake import FakeTask  # noqa: E402
from crossfeed.learners.language.settings import LanguageSettings  # noqa: E402
from crossfeed.protocols import LearnerContext, Part, TrainingSet  # noqa: E402

NAMES = ("Ann", "Bob", "Cid")
THINGS = ("apples", "pears", "coins", "books")


class Stages:
    """A progress that remembers its stages."""

    def __init__(self):
        self.seen = []

    @contextlib.contextmanager
    def stage(self, name, total=None, detail=""):
        self.seen.append((name, total))
        self.steps = 0
        yield self.advance

    def advance(self, steps):
        self.steps += steps

    def log(self, text):
        """Nothing is noted."""


def sums(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(1, 99, (2, n)).tolist()
    who, what = rng.choice(NAMES, n).tolist(), rng.choice(THINGS, n).tolist()
    rows = list(zip(a, b, who, what, strict=True))
    prompts = [f"Question: {w} has {x} {t} and finds {y}. How many?\nAnswer:" for x, y, w, t in rows]
    return pa.table({"prompt": prompts, "completion": [f" {x} + {y} = {x + y} {t}." for x, y, _, t in rows]})


def prose(seed, n):
    rng = np.random.default_rng(seed)
    text = [" ".join(rng.choice([*NAMES, *THINGS, "has", "and", "the", "buys", "é7"], 12 + i % 20)) for i in range(n)]
    return pa.table({"prompt": [""] * n, "completion": [f"{line}." for line in text]})


def task(name, items):
    n = items.num_rows
    return FakeTask(name, items.slice(0, n - 20), items.slice(n - 20, 10), items.slice(n - 10), name)


@cache
def folder():
    """A folder for all tests of this process."""
    made = Path(tempfile.mkdtemp(prefix="crossfeed-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def context(cache_folder=None, seed=0):
    tasks = {"sums": task("sums", sums(0, 220)), "public": task("public", prose(1, 320))}
    return LearnerContext(tasks, seed, cache_folder or folder(), Stages())


SCRATCH = {
    "architecture": "llama",
    "config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
    },
    "vocabulary": 320,
    "steps": 60,
    "length": 64,
    "warmup": 10,
}


def settings(base=None, **sections):
    training = {
        "steps": 4,
        "initial_steps": 6,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "learning_rate": 1e-3,
        "max_length": 96,
    } | sections.pop("training", {})
    generation = {"max_new_tokens": 16, "max_prompt_tokens": 48, "batch_size": 16} | sections.pop("generation", {})
    described = {
        "base": base or {"scratch": SCRATCH},
        "training": training,
        "generation": generation,
        "device": "cpu",
        "threads": 1,
        **sections,
    }
    return LanguageSettings.model_validate(described)


def learner(base=None, **sections):
    return settings(base, **sections).build(context())


def training_set(*tables):
    """Items of several sources, drawn in turns."""
    weight = 1 / len(tables)
    parts = [
        Part(f"source {i}", 0, weight, items, i + len(tables) * np.arange(items.num_rows))
        for i, items in enumerate(tables)
    ]
    return TrainingSet(tuple(parts))


def keys(n, *path):
    return item_keys(address(0, *path), np.arange(n))


def random_model(kind, where, **config):
    """A tiny random checkpoint with the tiny base's tokenizer, written by transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from crossfeed.learners.language.scratch import train_tokenizer

    tokenizer = train_tokenizer(context().tasks["sums"].train["prompt"].to_pylist(), 300)
    tokenizer.pad_token = None if kind == "llama" else tokenizer.pad_token
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # as drawn, logits would be nearly equal
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


OPT_350M = {
    "hidden_size": 32,
    "word_embed_proj_dim": 16,
    "do_layer_norm_before": False,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "ffn_dim": 48,
    "max_position_embeddings": 128,
    "dropout": 0.1,
}
LLAMA_3 = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "max_position_embeddings": 256,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}
