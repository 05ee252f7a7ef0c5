"""Model folders whose parts do not fit each other or the texts: each is named before anything is trained."""

import json
import shutil
from types import SimpleNamespace

import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from tests.faults.cli import check_refused, crossfeed_cli  # noqa: E402

from crossfeed.display.progress import Silent  # noqa: E402
from crossfeed.errors import DataUnavailable, InvalidInput  # noqa: E402
from crossfeed.learners.language.item_notes import notes_on_items  # noqa: E402
from crossfeed.learners.language.model_folder import check_files, check_tokenizer, notes_on_texts  # noqa: E402
from crossfeed.learners.language.settings import LanguageSettings  # noqa: E402
from crossfeed.learners.language.tokens import ItemTokenizer  # noqa: E402
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


class Noted:
    """A journal that keeps sentences in a list."""

    def __init__(self, sentences):
        self.sentences = sentences

    def note(self, about, sentences):
        self.sentences += sentences

    def identify(self, models):
        for model in models:
            assert model.stamp
            assert model.content()


def start(folder, tmp_path, texts=TEXTS, **training):
    """The first step of a run: the learner's start."""
    rows = [Row(*text.split("Answer:")) for text in texts]
    rows = [Row(f"{row.prompt}Answer:", row.completion) for row in rows]
    settings = TextSettings(source="mine")
    tasks = {name: assemble(name, {"train": rows}, settings, None) for name in ("a", "public")}
    log = []
    context = LearnerContext(tasks, 0, tmp_path / "cache", Silent(), Noted(log))
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


BROKEN = [
    *(("config.json", {"n_head": value}) for value in (0, 3, -1, "x", None)),
    *(("config.json", {"n_layer": value}) for value in (0, -1, "x")),
    *(("config.json", {"n_embd": value}) for value in (0, 17, None)),
    *(("config.json", {"vocab_size": value}) for value in (0, "x", None)),
    *(("config.json", {"activation_function": value}) for value in ("x", 5)),
    *(("config.json", {name: "x"}) for name in ("dtype", "eos_token_id", "layer_norm_epsilon", "model_type")),
    # The packages for these are not installed.
    *(("config.json", {"quantization_config": {"quant_method": name, "bits": 4}}) for name in ("gptq", "awq")),
    ("config.json", {"quantization_config": []}),
    *(("tokenizer.json", content) for content in ("{}", "null", "[]", "", '{"model": {}}', '{"model": {"type": "X"}}')),
    *(("tokenizer_config.json", content) for content in ("null", "[]", "", '{"tokenizer_class": 5}')),
    *(("tokenizer_config.json", {name: value}) for name, value in (("model_max_length", "x"), ("eos_token", 5))),
    *(("generation_config.json", content) for content in ("null", "[]")),
    *(("special_tokens_map.json", content) for content in ("null", "[]")),
    *(("model.safetensors", content) for content in ("", "\0" * 8, "x" * 64)),
]


@pytest.mark.parametrize(("name", "content"), BROKEN, ids=lambda value: ascii(value)[:50])
def test_a_broken_file_of_a_folder_ends_the_start_by_name(folder, tmp_path, name, content):
    """Whatever type of error transformers has for it: none becomes the failure of a cell."""
    path = folder / name
    changed = json.dumps(json.loads(path.read_text()) | content) if isinstance(content, dict) else content
    path.write_text(changed)
    with pytest.raises(DataUnavailable) as caught:
        start(folder, tmp_path)
    assert str(folder) in str(caught.value)
    assert name in str(caught.value)


def test_a_broken_folder_ends_the_command_before_any_cell(folder, tmp_path):
    (folder / "tokenizer.json").write_text("{}")
    sets = ["--set", f"learner.base={{model: {folder}}}", "--set", "generations=1", "--out", str(tmp_path / "run")]
    check_refused(crossfeed_cli("run", "quickstart", "-q", *sets), (str(folder), "tokenizer.json"))
    assert not list((tmp_path / "run").glob("failures/*"))


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


def text_task(texts):
    """A task with these training items, prompt and completion parted by a bar, and without test items."""
    rows = [dict(zip(("prompt", "completion"), text.split("|"), strict=True)) for text in texts]
    items = pa.Table.from_pylist(rows)
    return SimpleNamespace(name="a", train=items, test=items.slice(0, 0))


def item_notes(folder, texts, longest=32, prompt=32):
    settings = LanguageSettings(
        base={"model": str(folder)},
        training={"max_length": longest},
        generation={"max_prompt_tokens": prompt},
    )
    return list(notes_on_items(ItemTokenizer(tokenizer_of(folder)), text_task(texts), settings))


def test_items_that_are_cut_or_lose_their_completion_are_counted(folder):
    texts = [f"{'?' * prompt}|{' it' * completion}" for prompt, completion in [(4, 4), (4, 40), (40, 4), (50, 4)]]
    whole = ItemTokenizer(tokenizer_of(folder)).examples(text_task(texts).train, 1000)
    lengths, prompts = [len(each.ids) for each in whole], [each.prompt for each in whole]
    assert all(each.join == "whole" for each in whole)
    assert item_notes(folder, texts, max(lengths), max(prompts)) == []
    cut = "3 of 4 training items are longer than training.max_length (30) and are cut"
    assert min(lengths[1:]) > 30 > lengths[0]
    assert prompts[1] < 30 <= min(prompts[2:])
    assert item_notes(folder, texts, 30, 30) == [
        f"{cut}; 2 lose their whole completion, which is neither learned nor measured",
        "the prompts of 2 of 4 training items are longer than generation.max_prompt_tokens (30); where they are "
        "completed, only their last tokens are read",
    ]
    assert item_notes(folder, texts[:2], 30, 30) == [cut.replace("3 of 4", "1 of 2")]


def test_items_whose_prompt_ends_within_a_token_are_counted(whole):
    assert item_notes(whole, ["what |is it", "what| is it"] * 5) == [
        "in 5 of 10 training items a token would span the end of the prompt; their prompt and completion are tokenised "
        "apart, as a model is given the prompt to complete"
    ]


def test_a_model_is_trained_on_the_tokens_that_it_is_given_to_complete(whole):
    tokenizer = ItemTokenizer(tokenizer_of(whole))
    texts = ["what |is it", "what| is it", "|what is", "what is|", "Answer:|\n", "Question: a \n|b", "what| "]
    items = pa.Table.from_pylist([dict(zip(("prompt", "completion"), text.split("|"), strict=True)) for text in texts])
    for example, prompt, item in zip(
        tokenizer.examples(items, 100), tokenizer.prompts(items, 100), items.to_pylist(), strict=True
    ):
        if item["prompt"]:
            assert example.ids[: example.prompt].tolist() == prompt.tolist()
        assert tokenizer.tokenizer.decode(example.ids[:-1]) == item["prompt"] + item["completion"]
        first = tokenizer.tokenizer.decode(example.ids[:1])
        assert example.text_bytes == len((item["prompt"] + item["completion"])[len(first) :].encode())


def sentencepiece():
    """A tokenizer that puts a space before the first word of a text, as Llama's and Mistral's do."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = ["</s>", "<unk>", "▁", "▁yes", "yes", "▁no", "no", "A", ":", "▁A", "\n", "y", "ye", "e", "s", "n", "o"]
    words += [":\n", "\n\n", "."]
    merges = [("▁", "A"), ("n", "o"), ("▁", "no"), ("y", "e"), ("ye", "s"), ("▁", "yes"), (":", "\n"), ("\n", "\n")]
    model = models.BPE({word: number for number, word in enumerate(words)}, merges, unk_token="<unk>", fuse_unk=False)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")


def test_a_tokenizer_that_begins_texts_with_a_space():
    tokenizer = ItemTokenizer(sentencepiece())
    items = pa.table({"prompt": ["A: ", "A:", "A:"], "completion": ["yes", " no", "\nyes"]})
    examples = tokenizer.examples(items, 100)
    words = [tokenizer.tokenizer.convert_ids_to_tokens(each.ids) for each in examples]
    assert words == [["▁A", ":", "▁", "yes", "</s>"], ["▁A", ":", "▁no", "</s>"], ["▁A", ":", "\n", "yes", "</s>"]]
    assert [each.join for each in examples] == ["apart", "whole", "apart"]
    assert [each.prompt for each in examples] == [3, 2, 2]


def test_however_many_items_are_tokenised_apart_the_tokenizer_is_called_as_often():
    class Counting:
        """A tokenizer that counts how often it is called."""

        def __init__(self):
            self.calls, self._own = 0, sentencepiece()

        def __getattr__(self, name):
            return getattr(self._own, name)

        def __call__(self, *texts, **options):
            self.calls += 1
            return self._own(*texts, **options)

    def calls(count):
        tokenizer = ItemTokenizer(Counting())
        items = pa.table({"prompt": ["A: "] * count, "completion": ["yes" + "o" * number for number in range(count)]})
        assert {each.join for each in tokenizer.examples(items, 100)} == {"apart"}
        return tokenizer.tokenizer.calls

    assert calls(20) == calls(2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "models/smal",
            r"there is no folder 'models/smal' \(is it 'models/small'\?\), and the Hugging Face hub does not",
        ),
        ("models/x/y", r"there is no folder 'models/x/y'; give a model's local folder or its hub id"),
        (
            "models/other",
            r"there is no folder 'models/other' \('models' holds large, small\), and the Hugging Face hub",
        ),
        ("smal", r"there is no folder 'smal', and the Hugging Face hub"),
        ("some one/model", r"there is no folder 'some one/model'; give a model's local folder"),
    ],
)
def test_a_slip_in_a_folders_name_is_not_blamed_on_the_hub(name, words, tmp_path, monkeypatch):
    from crossfeed.learners.language.pretrained import read_tokenizer

    monkeypatch.setattr("crossfeed.learners.language.pretrained.local_only", lambda: True)
    monkeypatch.chdir(tmp_path)
    for folder in ("models/small", "models/large"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataUnavailable, match=words):
        read_tokenizer(name, None)


def test_the_home_of_nobody():
    from crossfeed.learners.language.pretrained import read_tokenizer

    with pytest.raises(InvalidInput, match=r"~nobody.of.this.name/x: no home folder of that user is known"):
        read_tokenizer("~nobody.of.this.name/x", None)
