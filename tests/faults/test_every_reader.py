"""Every reader of users' files, given what is none: the message names the file, what is wrong and what to give."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossfeed.description.registry import task_settings
from crossfeed.errors import CrossfeedError

LIBRARY = re.compile(
    r"\b(\w+Error|StopIteration|BadZipFile|ArrowInvalid|Exception|Traceback|NoneType|pickle\w*|site-packages)\b"
)
"""Words of libraries, which say nothing to somebody who has a file."""

FIELDS = {"prompt": "{q}", "completion": " {a}"}
PROSE = {"text": "{text}"}


def parquet_of(columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def npz_of(tmp_path, **arrays):
    np.savez(tmp_path / "made.npz", **arrays)
    return (tmp_path / "made.npz").read_bytes()


GOOD = parquet_of({"q": ["a"] * 40, "a": ["b"] * 40})
CONTENTS = {
    "empty": b"",
    "random": bytes(range(256)) * 40,
    "cut short": GOOD[: len(GOOD) // 2],
    "zeros": b"\0" * 4096,
    "a page of the web": b"<!DOCTYPE html><html><body>Sign in to download</body></html>",
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
}
READERS = {
    **{
        f"files{ending}": ("files", {"fields": PROSE if ending == ".txt" else FIELDS}, f"data{ending}")
        for ending in (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.zst")
    },
    "columns.csv": ("columns", {}, "data.csv"),
    "columns.parquet": ("columns", {}, "data.parquet"),
    "regression": ("regression", {}, "data.npz"),
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_none(reader, content, tmp_path):
    source, settings, name = READERS[reader]
    path = tmp_path / name
    path.write_bytes(CONTENTS[content])
    key = "features" if source == "regression" else "path"
    with pytest.raises(CrossfeedError) as caught:
        task_settings(source).model_validate({"source": source, key: str(path), **settings}).build("mine", None)
    _is_for_people(str(caught.value), name)


@pytest.mark.parametrize("content", CONTENTS)
def test_an_image_that_is_none(content, tmp_path):
    pytest.importorskip("PIL", reason="needs the extra 'images'")
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "cat" / "one.png").write_bytes(CONTENTS[content])
    settings = {"source": "images", "path": str(tmp_path / "pictures")}
    with pytest.raises(CrossfeedError) as caught:
        task_settings("images").model_validate(settings).build("mine", None)
    _is_for_people(str(caught.value), "one.png")


PARTS = ("config.json", "tokenizer.json", "model.safetensors")


def save_model(folder):
    """Save a language model of two tokens."""
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    model = tokenizers.Tokenizer(tokenizers.models.BPE({"<end>": 0, "a": 1}, []))
    PreTrainedTokenizerFast(tokenizer_object=model, eos_token="<end>").save_pretrained(folder)
    GPT2LMHeadModel(GPT2Config(vocab_size=2, n_embd=4, n_layer=1, n_head=1)).save_pretrained(folder)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_model_that_is_none(part, content, tmp_path):
    save_model(tmp_path)
    from crossfeed.learners.language.examination import examine

    assert examine(tmp_path, None).problems == []
    (tmp_path / part).write_bytes(CONTENTS[content])
    (problem,) = examine(tmp_path, None).problems
    _is_for_people(problem, tmp_path.name)


@pytest.mark.parametrize(("part", "content"), [(None, None), *((part, each) for part in PARTS for each in CONTENTS)])
def test_a_sentence_encoder_that_is_none(part, content, tmp_path):
    save_model(tmp_path)
    from crossfeed.learners.language.embedding import Embedder
    from crossfeed.learners.neural.device import open_device

    if part is not None:
        (tmp_path / part).write_bytes(CONTENTS[content])
    with pytest.raises(CrossfeedError) as caught:  # also of the whole model: its tokenizer cannot pad
        Embedder(str(tmp_path), open_device("cpu", "auto", 1)).embed(["a", "aa"])
    _is_for_people(str(caught.value), tmp_path.name)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ({"other": np.ones((9, 2))}, "features"),
        ({"features": np.ones(9)}, "features"),
        ({"features": np.full((9, 2), np.nan)}, "finite"),
        ({"features": np.array([["a", "b"]])}, "features"),
        ({"features": np.array([{"a": 1}], dtype=object)}, "features"),
    ],
)
def test_features_that_are_none(array, words, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(npz_of(tmp_path, **array))
    with pytest.raises(CrossfeedError, match=words) as caught:
        task_settings("regression").model_validate({"source": "regression", "features": str(path)}).build("mine", None)
    _is_for_people(str(caught.value), "data.npz")


def _is_for_people(message, name):
    assert name in message, message
    assert not LIBRARY.search(message), message
    assert len(message) < 900, message
    assert re.search(r"; |\. |\(", message), f"it says what to give instead: {message}"
    json.dumps(message)
