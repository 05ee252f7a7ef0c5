"""The paper's data and architectures, made small: data sets under a data root, and local models of the very kinds."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

EXAMPLES = Path(__file__).parents[1] / "examples"
WORDS = ["water", "light", "cell", "stone", "plant", "heat", "rain", "metal", "leaf", "blood", "star", "wave"]
OPT = {"hidden_size": 32, "ffn_dim": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "word_embed_proj_dim": 16}
LLAMA = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL = {
    "opt-350m": OPT | {"max_position_embeddings": 512, "vocab_size": 400},
    "llama-3.2-1b": LLAMA
    | {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 700, "bos_token_id": 444, "eos_token_id": 445},
    "llama-3.2-3b": LLAMA
    | {"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 700, "bos_token_id": 444, "eos_token_id": 445},
}


def example(name):
    """A module of the examples' folder; examples import each other as scripts do."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return importlib.import_module(name)


def small_model(folder, name):
    """One of the paper's architectures with its own switches and small sizes."""
    architectures = example("architectures")
    config = architectures.CONFIGS[name] | SMALL[name]
    return architectures.write(folder / name, config, [*_prose(0, 60), *_sums(0, 60)])


def small_data(root):
    """``root/{sciq,gsm8k,arc_challenge,books}/<split>.parquet`` with the published columns."""
    for seed, (split, rows) in enumerate({"train": 60, "validation": 6, "test": 6}.items()):
        rng = random.Random(seed)
        _write(root / "sciq", split, [_science(rng) for _ in range(rows)])
        _write(root / "gsm8k", split, [{"question": q, "answer": a} for q, a in _pairs(seed, rows)])
        _write(root / "arc_challenge", split, [_choice(rng, f"{split}-{row}") for row in range(rows)])
        _write(root / "books", split, [{"text": text} for text in _prose(seed, rows)])
    return root


def _write(folder, split, rows):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")


def _phrase(rng, length):
    return " ".join(rng.choice(WORDS) for _ in range(length))


def _prose(seed, rows):
    rng = random.Random(f"prose {seed}")
    return [f"{_phrase(rng, 40)}." for _ in range(rows)]


def _pairs(seed, rows):
    rng = random.Random(f"sums {seed}")
    return [_pair(rng.randrange(10, 99), rng.randrange(10, 99), rng.choice(WORDS)) for _ in range(rows)]


def _pair(a, b, what):
    return f"{a} {what} and {b} more. How many?", f"{a} + {b} = <<{a}+{b}={a + b}>>{a + b}\n#### {a + b}"


def _sums(seed, rows):
    return [f"{question} {answer}" for question, answer in _pairs(seed, rows)]


def _science(rng):
    right, *wrong = rng.sample(WORDS, 4)
    distractors = {f"distractor{place}": word for place, word in zip((3, 1, 2), wrong, strict=True)}
    question, support = f"What is made of {_phrase(rng, 5)}?", f"It is {right}, since {_phrase(rng, 12)}."
    return {"question": question, **distractors, "correct_answer": right, "support": support}


def _choice(rng, name):
    labels, options = ["A", "B", "C", "D"], rng.sample(WORDS, 4)
    choices = {"text": options, "label": labels}
    return {"id": name, "question": f"Which is {_phrase(rng, 6)}?", "choices": choices, "answerKey": rng.choice(labels)}
