import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from tests.fake_hub import serving

from crossfeed.description.registry import task_settings
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.reading import hub as reading_hub

NAMED = ("sciq", "gsm8k", "arc_challenge", "bookcorpus")
SPLITS = ("train", "validation", "test")
QA = {"prompt": "Question: {question}\nAnswer:", "completion": " {answer}"}


def settings(source, **fields):
    return task_settings(source)(source=source, **fields)


def every(task):
    return {split: getattr(task, split).to_pylist() for split in SPLITS}


def raw(root, name, split):
    return pq.read_table(root / name / f"{split}.parquet").to_pylist()


@pytest.fixture(scope="module")
def built(published):
    return {name: settings(name).build("mine", published) for name in NAMED}


def plain(text):
    return " ".join(text.casefold().split())


def question(row):
    return plain(row["prompt"].removeprefix("Question: ").split("\n")[0])


@pytest.mark.parametrize(("name", "seed"), [*((name, 0) for name in NAMED), ("gsm8k", 1), ("arc_challenge", 2)])
def test_splits_share_no_item(published, built, name, seed):
    task = built[name] if seed == 0 else settings(name, seed=seed).build("mine", published)
    identity = question if name != "bookcorpus" else lambda row: plain(row["prompt"] + row["completion"])
    items = {split: {identity(row) for row in rows} for split, rows in every(task).items()}
    assert all(len(found) >= 200 for found in items.values())
    assert not items["train"] & items["test"]
    assert not items["train"] & items["validation"]
    assert not items["validation"] & items["test"]
    for rows in every(task).values():
        assert len({row["prompt"] + row["completion"] for row in rows}) == len(rows)


@pytest.mark.parametrize("name", NAMED)
def test_sources_do_not_lose_much(published, built, name):
    folder = name if name != "bookcorpus" else "books"
    for split in ("train", "test"):
        share = getattr(built[name], split).num_rows / len(raw(published, folder, split))
        assert share > 0.88


def test_sciq_formatting(published, built):
    known = {plain(row["question"]): row for row in raw(published, "sciq", "test")}
    for row in every(built["sciq"])["test"]:
        source = known[question(row)]
        support, right = source["support"].strip(), source["correct_answer"].strip()
        assert len(support) > 40
        assert row["prompt"] == f"Question: {source['question'].strip()}\nAnswer:"
        assert row["completion"] == f" {right}. {support}"
        assert row["answer"] == right
        distractors = [source[f"distractor{place}"].strip() for place in (1, 2, 3)]
        assert sorted(row["choices"]) == sorted([right, *distractors])
    assert built["sciq"].answers == "choice"


def test_gsm8k_formatting(published, built):
    known = {plain(row["question"]): row for row in raw(published, "gsm8k", "test")}
    task = built["gsm8k"]
    for row in every(task)["test"]:
        source = known[plain(row["prompt"].removeprefix("Question: ").removesuffix("\nAnswer:"))]
        assert "<<" not in row["completion"]
        assert row["completion"].startswith(" ")
        assert row["completion"].endswith(f"#### {source['answer'].split('#### ')[1]}")
        assert row["answer"] == source["answer"].split("#### ")[1].replace(",", "")
    said = task.test.column("completion").to_pylist()
    assert task.grade(task.test, said).all()
    assert task.grade(task.test, said[1:] + said[:1]).mean() < 0.1
    assert 0.045 < task.validation.num_rows / len(raw(published, "gsm8k", "train")) < 0.055


def test_arc_formatting(published, built):
    def prompt(source):
        listed = [f"{a}. {b}" for a, b in zip(source["choices"]["label"], source["choices"]["text"], strict=True)]
        return "\n".join([f"Question: {source['question'].strip()}", *listed, "Answer:"])

    known = {prompt(row): row["choices"] | {"key": row["answerKey"]} for row in raw(published, "arc_challenge", "test")}
    assert built["arc_challenge"].test.num_rows == len(known)
    for row in every(built["arc_challenge"])["test"]:
        source = known[row["prompt"]]
        right = source["text"][source["label"].index(source["key"])]
        assert row["completion"] == f" {right}"
        assert row["answer"] == right
        assert row["choices"] == source["text"]
    assert {"A", "D", "1", "4"} <= {label for source in known.values() for label in source["label"]}


def test_book_prose(published, built):
    paragraphs = " ".join(row["text"] for row in raw(published, "books", "test"))
    for row in every(built["bookcorpus"])["test"]:
        assert len(row["prompt"].split()) == 24
        assert len(row["completion"].split()) >= 10
        assert row["prompt"] + row["completion"] in paragraphs
        assert row["answer"] is None


def test_caps_and_seed(published):
    small = settings("sciq", train=50, validation=10, test=20).build("mine", published)
    assert [getattr(small, split).num_rows for split in SPLITS] == [50, 10, 20]
    assert settings("sciq", train=50, validation=10, test=20).build("mine", published).content == small.content
    assert settings("sciq", train=50, validation=10, test=20, seed=1).build("mine", published).content != small.content
    whole = settings("sciq").build("mine", published)
    assert pa.concat_tables([small.train, small.spare]).equals(whole.train)
    assert whole.spare.num_rows == 0
    kept, fresh = small.reserve(5)
    assert kept.spare.equals(small.spare)
    assert kept.train.num_rows == 25
    assert [items.num_rows for items in fresh] == [5] * 5
    with pytest.raises(InvalidInput, match="sciq has 884; give at most 884"):
        settings("sciq", test=1000).build("mine", published)


def test_the_same_data_in_every_process(published, built):
    code = (
        "import sys\nfrom pathlib import Path\nfrom crossfeed.description.registry import task_settings\n"
        "for name in ('sciq', 'gsm8k', 'arc_challenge'):\n"
        "    print(task_settings(name)(source=name).build('x', Path(sys.argv[1])).content)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "11"}
    command = [sys.executable, "-c", code, str(published)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [built[name].content for name in ("sciq", "gsm8k", "arc_challenge")]


ARC = {
    "prompt": "Question: {question}\nAnswer:",
    "completion": " {right_choice}",
    "answer": "{answerKey}",
    "choices": "{choices.text}",
    "labels": ["{choices.label}"],
    "key": "{question}",
}


def test_any_set_by_its_id_from_a_local_copy(published, built):
    fields = {
        "prompt": "Question: {question}\nAnswer:",
        "completion": " {correct_answer}. {support}",
        "answer": "{correct_answer}",
        "choices": ["{correct_answer}", "{distractor1}"],
        "key": "{question}",
    }
    task = settings("hub", id="allenai/sciq", fields=fields).build("mine", published)
    assert task.answers == "choice"
    mine = {row["prompt"]: row for row in every(task)["test"]}
    for row in every(built["sciq"])["test"][:100]:
        assert mine[row["prompt"]]["completion"] == row["completion"]
    labelled = {**ARC, "labels": "{choices.label}"}
    arc = settings("hub", id="allenai/arc_challenge", fields=labelled).build("mine", published)
    assert {row["answer"] for row in every(arc)["test"]} == {
        row["answer"] for row in every(built["arc_challenge"])["test"]
    }
    with pytest.raises(InvalidInput, match="holds a list"):
        settings("hub", id="allenai/arc_challenge", fields=ARC).build("mine", published)


def test_files_are_formatted_like_the_hub(published, built):
    fields = {**QA, "answer": "{answer}", "key": "{question}"}
    task = settings("files", path=str(published / "gsm8k"), fields=fields, grading="number").build("x", None)
    said = [row["completion"] for row in every(built["gsm8k"])["test"]]
    graded = {row["prompt"]: row for row in every(task)["test"]}
    order = [graded[row["prompt"]] for row in every(built["gsm8k"])["test"]]
    items = pa.Table.from_pylist(order, schema=task.test.schema)
    assert task.grade(items, said).all()


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("datasets", reason="reading data sets needs the lm extra")
    place = tmp_path / "mine [1]"
    place.mkdir()
    rows = [{"question": f"What is {n} + {n}?", "answer": str(2 * n), "n": n, "more": [n]} for n in range(60)]
    rows[7]["answer"] = None
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist([{**rows[n], "n": n} for n in (3, 4)]), place / "dev.parquet")
    return place


def files(folder, **fields):
    fields.setdefault("fields", QA)
    return settings("files", path=str(folder), **fields).build("mine", None)


def test_json_lines_and_missing_splits(folder):
    task = files(folder)
    sizes = [getattr(task, split).num_rows for split in SPLITS]
    assert sum(sizes) == 59, "the row without an answer is left out"
    assert sizes[1:] == [2, 2]
    dev = files(folder, splits={"validation": "dev"})
    assert {row["completion"] for row in every(dev)["validation"]} <= {" 6", " 8"}
    assert not {" 6", " 8"} & {row["completion"] for row in every(dev)["train"]}
    assert task.content == files(folder).content


def test_values_of_other_types(folder):
    task = files(folder, fields={"prompt": "{{{n}}}", "completion": "\n{n}", "answer": "{n}"}, grading="number")
    assert all(re.fullmatch(r"\{\d+\}", row["prompt"]) for row in every(task)["train"])
    assert task.grade(task.test, task.test.column("completion").to_pylist()).all()


def test_prose_of_short_rows_is_joined(folder):
    (folder / "train.jsonl").write_text(
        "".join(json.dumps({"t": f"Sentence {n} is short."}) + "\n" for n in range(900))
    )
    task = files(folder, fields={"text": "{t}"})
    assert all(len(row["prompt"].split()) == 24 for row in every(task)["train"])
    assert task.train.num_rows == 90
    assert task.grade(task.test, ["x"] * task.test.num_rows) is None


MALFORMED = [
    ({"prompt": "Q: {q}", "completion": " {answer}"}, r"no column 'q'; there are answer, more, n, question"),
    ({"prompt": "Q: {question.part}", "completion": " {answer}"}, r"no column 'question.part'"),
    ({"prompt": "Q: {more}", "completion": " {answer}"}, r"'more' holds a list"),
    ({**QA, "answer": "{answer}", "choices": "{question}"}, "does not stand for a list"),
    ({**QA, "answer": "{answer}", "choices": ["{question}"]}, "not among the choices"),
    ({**QA, "answer": "{answer}", "choices": "{more}", "labels": ["a", "b"]}, "must be one of 1 labels"),
    ({**QA, "key": "{id}"}, "no column 'id'"),
    ({"prompt": "{right_choice}", "completion": " {answer}"}, "no column 'right_choice'"),
    ({"text": "{body}"}, "no column 'body'"),
]


@pytest.mark.parametrize(("fields", "message"), MALFORMED)
def test_a_mapping_that_does_not_fit(folder, fields, message):
    with pytest.raises(InvalidInput, match=message):
        files(folder, fields=fields)


IMPOSSIBLE = [
    ({}, "give prompt and completion"),
    ({"prompt": "{question}"}, "give prompt and completion"),
    ({"prompt": " ", "completion": " {a}"}, "prompt is empty"),
    ({"prompt": "{q}", "completion": "A: {a}"}, "space or a newline"),
    ({"prompt": "{q}", "completion": "{{a}} {a}"}, "space or a newline"),
    ({"text": "{q}", "prompt": "{q}"}, "leave out prompt"),
    ({**QA, "choices": "{more}"}, "choices need answer"),
    ({**QA, "labels": "{more}"}, "labels need choices"),
    ({**QA, "question": "{q}"}, "Extra inputs"),
    ({"prompt": "{q!r}", "completion": " a"}, "cannot use the template"),
    ({"text": "text"}, "text names no column: received 'text'"),
    ({"prompt": "{q}", "completion": " a"}, "completion names no column"),
    ({"prompt": "{q:>99999999999}", "completion": " a"}, "cannot use the template"),
    ({"prompt": "{q[0]}", "completion": " a"}, "cannot use the template"),
    ({"prompt": "{}", "completion": " a"}, "cannot use the template"),
    ({"prompt": "{0}", "completion": " a"}, "cannot use the template"),
    ({"prompt": "{q", "completion": " a"}, "cannot use the template"),
    ({"prompt": 3, "completion": " a"}, "string"),
]


@pytest.mark.parametrize(("fields", "message"), IMPOSSIBLE)
def test_an_impossible_mapping(fields, message):
    with pytest.raises(ValidationError, match=message):
        settings("files", path="somewhere", fields=fields)


@pytest.mark.parametrize("bad", ["../x", "/etc/passwd", "a/b/c", "a/..", "..", "", "a b/c", "x/../../y", "-a/b"])
def test_an_id_is_never_a_path(bad):
    with pytest.raises(ValidationError, match="not the id of a data set"):
        settings("hub", id=bad, fields=QA)


@pytest.mark.parametrize("bad", ["../train", "a/b", ".hidden", ""])
def test_a_split_is_never_a_path(bad):
    with pytest.raises(ValidationError, match="names become parts of paths"):
        settings("files", path="somewhere", fields=QA, splits={"train": bad})


def test_missing_and_broken_files(folder, tmp_path):
    with pytest.raises(DataUnavailable, match="no folder"):
        files(tmp_path / "nowhere")
    with pytest.raises(DataUnavailable, match=r"has no valid\.parquet or valid\.jsonl"):
        files(folder, splits={"validation": "valid"})
    with pytest.raises(DataUnavailable, match="arc_easy"):
        settings("arc_easy").build("mine", tmp_path)
    (folder / "test.jsonl").write_text("{]\n")
    with pytest.raises(
        DataUnavailable, match=r"test\.jsonl, line 1: this is no JSON \(expecting property name .* column 2\)"
    ):
        files(folder)
    (folder / "test.jsonl").unlink()
    (folder / "test.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataUnavailable, match=r"test\.parquet: the file is no Parquet"):
        files(folder)
    (folder / "test.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="has both"):
        files(folder)


def test_a_named_set_with_other_columns(folder, tmp_path):
    (tmp_path / "sciq").mkdir()
    (tmp_path / "sciq" / "train.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    with pytest.raises(DataUnavailable, match=r"no column 'support'.* there are question, answer"):
        settings("sciq").build("mine", tmp_path)


def test_nothing_to_test_is_an_error(folder):
    (folder / "train.jsonl").write_text('{"question": "a", "answer": null}\n')
    with pytest.raises(DataUnavailable, match="no usable"):
        files(folder)


SAYS = (
    "import sys\nfrom crossfeed.description.registry import task_settings\n"
    "from crossfeed.errors import DataUnavailable\n"
    + ("try: task_settings('sciq')(source='sciq').build('mine', None)\nexcept DataUnavailable as error: print(error)\n")
)


@pytest.mark.parametrize(
    "offline", [{"HF_HUB_OFFLINE": "1"}, {"HF_DATASETS_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}]
)
def test_without_network_one_clear_line_and_fast(offline, tmp_path):
    pytest.importorskip("datasets", reason="reading data sets needs the lm extra")
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**cleared, **offline, "HF_HOME": str(tmp_path)}
    started = time.monotonic()
    command = [sys.executable, "-W", "error", "-c", SAYS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 15
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    for word in ("allenai/sciq", "--data-root FOLDER", "FOLDER/sciq/train.parquet", "source: files"):
        assert word in done.stdout


def test_a_hub_that_never_answers(monkeypatch):
    datasets = pytest.importorskip("datasets", reason="reading data sets needs the lm extra")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(reading_hub, "_CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(DataUnavailable, match="could not be reached"):
            settings("gsm8k").build("mine", None)
        assert time.monotonic() - started < 5


@pytest.fixture
def hub(published, monkeypatch, tmp_path):
    """A hub on this machine that serves the local copies to the hub's own clients; gives the paths they ask for."""
    datasets = pytest.importorskip("datasets", reason="reading data sets needs the lm extra")
    from huggingface_hub import constants, hf_api

    folders = {"allenai/sciq": "sciq", "openai/gsm8k": "gsm8k", "allenai/ai2_arc": "arc_challenge"}
    configs = {"openai/gsm8k": "main", "allenai/ai2_arc": "ARC-Challenge"}
    repositories = {}
    for name, folder in folders.items():
        place = tmp_path / "hub" / folder
        shutil.copytree(published / folder, place / configs.get(name, "data"))
        repositories[name] = place
        if name in configs:
            files = [{"config_name": configs[name], "data_dir": configs[name]}]
            (place / "README.md").write_text(f"---\nconfigs: {json.dumps(files)}\n---\n")
    repositories["bookcorpus/bookcorpus"] = published / "books"
    with serving(repositories) as (endpoint, asked):
        for module, field in (
            (datasets.config, "HF_ENDPOINT"),
            (constants, "ENDPOINT"),
            (hf_api.constants, "ENDPOINT"),
        ):
            monkeypatch.setattr(module, field, endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield asked


@pytest.mark.parametrize("name", ["sciq", "gsm8k", "arc_challenge"])
def test_the_hub_gives_the_same_items(hub, built, name):
    assert settings(name).build("mine", None).content == built[name].content
    assert any(path.endswith(".parquet") for path in hub)


def test_a_copy_in_the_cache_serves_without_the_hub(hub, built, monkeypatch):
    import datasets
    from huggingface_hub import constants

    first = settings("gsm8k").build("mine", None)
    hub.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert settings("gsm8k").build("mine", None).content == first.content
    assert hub == []


def test_bookcorpus_is_streamed(hub):
    task = settings("bookcorpus", rows=1000).build("mine", None)
    assert any("refs/convert/parquet" in path for path in hub)
    assert 900 < task.train.num_rows <= 1000


def test_splits_of_the_hub(hub):
    task = settings("hub", id="openai/gsm8k", config="main", fields=QA).build("mine", None)
    assert task.validation.num_rows > 300
    with pytest.raises(InvalidInput, match=r"no split 'dev'; it has .*train"):
        settings("hub", id="openai/gsm8k", fields=QA, splits={"validation": "dev"}).build("mine", None)


def test_without_the_library(monkeypatch, tmp_path):
    from crossfeed.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000-of-00001.jsonl").write_text("{}\n")
    with pytest.raises(MissingDependency, match=r"crossfeed\[lm\]"):
        files(tmp_path)
    (tmp_path / "train.jsonl").write_text("".join(f'{{"question": "{n}?", "answer": "{n}"}}\n' for n in range(3)))
    assert files(tmp_path).train.num_rows == 1, "files called after a split need no library"
