"""Small inputs that once failed, each with the value that should be; other tests make their like."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.faults.cli import crossfeed_cli

from crossfeed.errors import DataUnavailable
from crossfeed.tasks.hub import FilesSettings


@pytest.fixture
def built(shared_cases):
    """A task of a file of the cases."""

    def build(name, prompt=None, completion=None, **more):
        fields = {"prompt": prompt, "completion": completion} if prompt else more.pop("fields")
        settings = {"source": "files", "path": str(shared_cases / "own-data" / name), "fields": fields, **more}
        return FilesSettings.model_validate(settings).build("mine", None)

    return build


def completions(task):
    return {
        item["prompt"]: item["completion"]
        for table in (task.train, task.validation, task.test)
        for item in table.to_pylist()
    }


def test_numbers_among_words(built):
    assert set(completions(built("mixed-answers.jsonl", "{q}", " {answer}")).values()) == {" red", " 8"}


def test_texts_that_look_like_dates(built):
    found = completions(built("dates.jsonl", "{question}", " {answer}"))
    assert found["On which day was bridge number 0 opened?"] == " 1910-01-10"
    assert all(re.fullmatch(r" \d{4}-\d\d-\d\d", each) for each in found.values())


def test_objects_whose_keys_vary(built):
    assert set(completions(built("ragged.jsonl", "{q}", " {meta.k}")).values()) == {" one", " two"}
    extra = built("ragged.jsonl", "{q}", " {meta.extra}")
    assert set(completions(extra).values()) == {" z"}
    assert extra.notes == ("train: 12 of 24 rows left out, without completion",)
    found = completions(built("struct-keys-vary.jsonl", "{question}", " {answer.value}"))
    assert found["Who built tower 3?"] == " Mason 3"
    assert len(found) == 60


def test_nan_is_no_value(built):
    task = built("nan.jsonl", "{q}", " {answer}")
    assert set(completions(task).values()) == {" 1.5"}
    assert task.notes == ("train: 12 of 24 rows left out, without completion",)


def test_whole_numbers_in_a_column_with_others(built):
    assert set(completions(built("floats-of-integers.jsonl", "{q}", " {answer}")).values()) == {" 3", " 2.5"}


def test_truth_values(built):
    assert set(completions(built("booleans.jsonl", "{question}", " {answer}")).values()) == {" true", " false"}
    choices = {"choices": ["no", "yes"], "labels": [False, True], "answer": "{answer}"}
    task = built("booleans.jsonl", fields={"prompt": "{question}", "completion": " {right_choice}", **choices})
    assert set(completions(task).values()) == {" no", " yes"}
    assert set(task.train.column("answer").to_pylist()) == {"no", "yes"}


def test_floats_of_32_bits(built):
    found = completions(built("float32.parquet", "{question}", " {height}"))
    assert found["What is the height of hill 1?"] == " 0.1"
    assert max(map(len, found.values())) <= 5


def test_numbers_with_exponents_are_text_as_written_and_graded_by_value(built):
    fields = {"prompt": "{question}", "completion": " {answer}", "answer": "{answer}"}
    task = built("scientific-notation.jsonl", fields=fields, grading="number")
    items = task.test
    assert all(re.fullmatch(r" [\d.]+e-0\d", text) for text in items.column("completion").to_pylist())
    plain = [f" {float(answer):.7f}" for answer in items.column("answer").to_pylist()]
    first_digit = [f" {answer[0]}" for answer in items.column("answer").to_pylist()]
    assert task.grade(items, plain).all()
    assert not task.grade(items, first_digit).any()


@pytest.mark.parametrize(("name", "words"), [("bad-line.jsonl", "line 31"), ("lone-surrogate.jsonl", "line 31")])
def test_lines_that_are_no_json_are_named(built, name, words):
    with pytest.raises(DataUnavailable, match=rf"{name}.*line \d+") as caught:
        built(name, "{question}", " {answer}")
    assert "DatasetGeneration" not in str(caught.value)


def test_prose_without_spaces(built):
    task = built("chinese-prose.jsonl", fields={"text": "{text}"})
    assert task.train.num_rows > 0
    for item in task.train.to_pylist():
        assert len(item["prompt"]) > 0 < len(item["completion"])


def test_odd_names_of_columns(built):
    columns = {"question": "Question:", "curly": "x{y}", "list": "q[0]", "dot": "a.b", "zero": "0"}
    fields = {
        "columns": columns,
        "prompt": "{question} {Best Answer} {zero}",
        "completion": " {curly} {list} {dot} {größe}",
    }
    found = completions(built("odd-column-names.parquet", fields=fields))
    assert found["What is 1? b1 1"] == " v1 e1 d1 u1"


TINY = """
ecosystem: {entities: [{name: a, private: mine}, {name: b, private: math}], alpha: 0.5}
learner:
  kind: language
  BASE
  training: {steps: 2, initial_steps: 2, max_length: 96}
  generation: {max_new_tokens: 4, max_prompt_tokens: 90}
tasks:
  mine: {source: files, path: PATH, fields: {prompt: "{question}", completion: " {answer}"}}
  math: {source: math, train: 20, validation: 2, test: 4}
public: {source: math, seed: 1, train: 40, validation: 2, test: 4}
n: 8
generations: 1
metrics: {loss: {}, completion_loss: {}}
"""


def test_prompts_that_fill_the_length_are_said_with_counts(shared_cases, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path / "cache"))
    config = "{hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2}"
    scratch = f"base: {{scratch: {{steps: 2, length: 32, vocabulary: 300, config: {config}}}}}"
    text = TINY.replace("PATH", str(shared_cases / "own-data" / "long-prompts.jsonl")).replace("BASE", scratch)
    (tmp_path / "it.yaml").write_text(text)
    answer = crossfeed_cli("run", str(tmp_path / "it.yaml"), "--out", str(tmp_path / "run"), "--executor", "serial")
    assert answer.code == 0, answer.err
    pattern = r"mine, read by [^:]+: (\d+) of (\d+) training items are longer than \S+ \(96\) and are cut; (\d+) lose"
    cut, of, lost = map(int, re.search(pattern, " ".join(answer.err.split())).groups())
    assert cut == of == lost > 150
    for words in (("show", str(tmp_path / "run")), ("show", str(tmp_path / "run"), "--json")):
        assert f"{lost} lose their whole completion" in " ".join(crossfeed_cli(*words).out.split())
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert f"{lost} lose their whole completion" in page


def test_a_model_with_more_tokens_than_embeddings(shared_cases, tmp_path):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    models = shared_cases / "models"
    text = TINY.replace("PATH", str(models / "gpt2_chat-data.jsonl")).replace(
        "BASE", f"base: {{model: '{models / 'gpt2_chat'}'}}"
    )
    file = tmp_path / "it.yaml"
    file.write_text(text)
    for command in (("run", str(file), "--out", str(tmp_path / "run")), ("check", str(file))):
        answer = crossfeed_cli(*command)
        told = " ".join((answer.err + answer.out).split())
        assert answer.code == 2, told
        assert "has embeddings for 700 tokens, and its tokenizer gives ids beyond them" in told
        assert "Traceback" not in told


def images(shared_cases, name):
    pytest.importorskip("PIL", reason="needs the extra 'images'")
    from crossfeed.tasks.images import images_of
    from crossfeed.tasks.images_sources import ImageFilesSettings

    settings = ImageFilesSettings(path=str(shared_cases / "images" / name / "img"))
    task = settings.build("images", None)
    return task, images_of(task.train, name)


def test_images_of_16_bits_are_scaled_by_their_range(shared_cases):
    from PIL import Image

    task, pixels = images(shared_cases, "sixteen-bit")
    files = sorted((shared_cases / "images" / "sixteen-bit" / "img").rglob("*.png"))
    raw = np.stack([np.asarray(Image.open(file), dtype=np.float64) for file in files])
    assert raw.max() > 255, "all of it was white once"
    assert task.train.num_rows > 1
    assert set(np.unique(pixels)) <= set(np.unique(np.round(raw / 65535 * 255)))


def test_transparent_images_lie_on_a_ground(shared_cases):
    task, pixels = images(shared_cases, "alpha-channel")
    labels = np.array(task.train.column("prompt").to_pylist())
    for label in set(labels):
        assert pixels[labels == label].std() > 1, f"the drawings of {label} are there"


def test_turned_images_are_turned_back(shared_cases):
    task, pixels = images(shared_cases, "exif-rotation")
    assert task.notes == ("80 images of 2 classes: 80 of 16 x 16 L, turned as EXIF says",)
    labels = np.array(task.train.column("prompt").to_pylist())
    for label, lies in (("pole", True), ("bar", False)):  # upright poles, whose tag lays them down
        by_rows, by_columns = (pixels[labels == label].astype(float).std(axis=axis).mean() for axis in (1, 2))
        assert (by_rows > by_columns) == lies


def test_hidden_files_are_left_out_and_said(shared_cases):
    task, _ = images(shared_cases, "resource-fork")
    assert any("hidden" in note for note in task.notes), task.notes
