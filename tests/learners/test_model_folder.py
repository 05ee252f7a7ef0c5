"""Model folders whose parts do not fit each other or the texts: each is named before anything is trained."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from crossfeed.errors import DataUnavailable, InvalidInput  # noqa: E402
from crossfeed.learners.language.model_folder import check_files, check_tokenizer, notes_on_texts  # noqa: E402
from crossfeed.learners.language.settings import LanguageSettings  # noqa: E402
from crossfeed.protocols import LearnerContext  # noqa: E402
from crossfeed.tasks.splits import Row, TextSettings, assemble  # noqa: E402

TEXTS = [f"Question: what is {n} and {n}?\nAnswer: {2 * n}, of course." for n in range(60)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small whole model with a tokenizer of its own."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "whole"
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS, vocab_size=300, special_tokens=["<|end|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<|end|>")
    tokenizer.save_pretrained(folder)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=512, eos_token_id=0)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to harm."""
    return shutil.copytree(whole, tmp_path / "model")


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def start(folder, tmp_path, texts=TEXTS, **training):
    """The first step of a run: the learner's start."""
    rows = [Row(*text.split("Answer:")) for text in texts]
    rows = [Row(f"{row.prompt}Answer:", row.completion) for row in rows]
    settings = TextSettings(source="mine")
    tasks = {name: assemble(name, {"train": rows}, settings, None) for name in ("a", "public")}
    log = []
    progress = type("Log", (), {"log": lambda self, text: log.append(text), "stage": None})()
    context = LearnerContext(tasks, 0, tmp_path / "cache", progress)
    learner = LanguageSettings(base={"model": str(folder)}, training={"max_length": 32} | training).build(context)
    learner.start([0])
    return log


def test_a_whole_model_starts_without_a_word(whole, tmp_path):
    assert start(whole, tmp_path) == []


def test_a_folder_without_a_tokenizer(folder, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(DataUnavailable, match=r"has no tokenizer .*every text would be empty"):
        start(folder, tmp_path)


def test_a_folder_with_an_adapter(folder, tmp_path):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    with pytest.raises(DataUnavailable, match="holds an adapter, not a model; merge it into some/base"):
        start(folder, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no config.json"), ("null", "holds NoneType"), ("{", "is no JSON"), ("{}", "names no model_type")],
)
def test_a_configuration_that_is_none(folder, content, message):
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(DataUnavailable, match=message):
        check_files(folder)


def test_token_ids_beyond_the_embeddings(folder, tmp_path):
    tokenizer = tokenizer_of(folder)
    size = len(tokenizer)
    tokenizer.add_tokens(["<|chat|>"])
    tokenizer.save_pretrained(folder)
    assert start(folder, tmp_path) == [], "a token that no text has does no harm"
    texts = [text.replace("what", "<|chat|>") for text in TEXTS]
    with pytest.raises(InvalidInput, match=rf"embeddings for {size} tokens.*<\|chat\|> \({size}\)"):
        start(folder, tmp_path, texts)
    with pytest.raises(InvalidInput, match="beyond them"):
        check_tokenizer("it", tokenizer, size - 250, TEXTS)


def test_special_tokens_within_texts_are_noted_with_counts(folder, tmp_path):
    texts = [f"{text}<|end|>" if n < 3 else text for n, text in enumerate(TEXTS)]
    (sentence,) = notes_on_texts(tokenizer_of(folder), texts)
    assert sentence == "3 of 60 texts hold <|end|>, which the tokenizer reads as its special token"
    assert any("texts hold <|end|>" in line for line in start(folder, tmp_path, texts))


def test_a_tokenizer_that_is_not_that_of_its_file(folder):
    tokenizer = tokenizer_of(folder)
    file = json.loads((folder / "tokenizer.json").read_text())
    file["pre_tokenizer"] = {"type": "Digits", "individual_digits": True}
    (folder / "tokenizer.json").write_text(json.dumps(file))
    (sentence,) = notes_on_texts(tokenizer, TEXTS)
    assert "gives other tokens than its tokenizer.json for" in sentence


def test_a_context_shorter_than_the_texts(folder, tmp_path):
    with pytest.raises(InvalidInput, match="reads at most 512 tokens"):
        start(folder, tmp_path, max_length=513)
