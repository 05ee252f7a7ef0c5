"""Files as people have them: every value comes out as the text that was written, and what cannot be read is named."""

import csv
import datetime
import gzip
import io
import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfeed.description.registry import task_settings
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.fields import Fields, rows_of
from crossfeed.tasks.reading.files import ENDINGS, read_file
from crossfeed.tasks.reading.values import rows_of_arrow, written_number

QA = {"prompt": "{q}", "completion": " {answer}"}


def files(path, fields=QA, **more):
    return task_settings("files")(source="files", path=str(path), fields=fields, **more).build("mine", None)


def said(task):
    """Completions by prompt, of all splits."""
    splits = (task.train, task.validation, task.test)
    return {row["prompt"]: row["completion"] for split in splits for row in split.to_pylist()}


def jsonl(folder, rows, name="train.jsonl"):
    folder.mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


# Texts that readers like to take for something else, beside any other.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ["1969-07-20", "8", "8.0", "true", "null", "NaN", "1e5", '"red"', "[1]", '{"a": 1}', "", " ", "=1"]
    ),
)
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(lambda value: f"{value:f}"),
    st.sampled_from(["0.000044", "4.4E-05", "1.50", "-0", "-0.0", "1E+2"]),
)


class Number(str):
    """A number as it is written in a file."""

    __slots__ = ()


LEAVES = st.one_of(TEXTS, NUMBERS.map(Number), st.booleans(), st.none(), st.just(math.nan))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["q", "answer", "a.b", "größe"]), VALUES), min_size=1, max_size=6)


def written(value, *, ascii_only=False):
    """A value as JSON text, numbers exactly as they are given."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def as_text(value):
    """What it must come out as."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return str(value)


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, kind=st.sampled_from(["lines", "crlf", "bom", "ascii", "array", "array in an object", "gz", "zst"]))
def test_any_json_value_comes_out_as_it_was_written(tmp_path, rows, kind):
    objects = [written(row, ascii_only=kind == "ascii") for row in rows]
    text = "\r\n".join(objects) if kind == "crlf" else "\n".join(objects) + "\n"
    name = "train.json" if kind.startswith("array") else "train.jsonl"
    if kind.startswith("array"):
        text = f"[{', '.join(objects)}]"
    if kind == "array in an object":
        text = f'{{"version": 1, "data": {text}}}'
    content = text.encode("utf-8-sig" if kind == "bom" else "utf-8")
    if kind == "gz":
        content, name = gzip.compress(content), name + ".gz"
    if kind == "zst":
        content, name = pa.compress(content, "zstd", asbytes=True), name + ".zst"
    (tmp_path / name).write_bytes(content)
    expected = [{key: as_text(value) for key, value in row.items()} for row in rows]
    assert read_file("mine", tmp_path / name) == expected


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=6),
    kind=st.sampled_from([("csv", ","), ("csv", ";"), ("tsv", "\t")]),
)
def test_any_cell_of_a_table_comes_out_as_it_was_written(tmp_path, cells, kind):
    ending, delimiter = kind
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["q", "answer"], *cells])
    path = tmp_path / f"train.{ending}"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    assert read_file("mine", path) == [{"q": q or None, "answer": answer or None} for q, answer in cells]


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(LEAVES.filter(lambda value: value is not None), min_size=1, max_size=6),
    template=st.sampled_from(["{a}", "<{a}>", "{{{a}}}", "{n.a}", "{n.list.0}", "{n.list.1.a}"]),
)
def test_templates_give_the_text_that_was_written(tmp_path, values, template):
    rows = [
        {"q": f"{n}?", "a": value, "n": {"a": value, "list": [value, {"a": value}]}} for n, value in enumerate(values)
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(written(row) + "\n" for row in rows), encoding="utf-8")
    items = rows_of("mine", read_file("mine", path), Fields(prompt="{q}", completion=f" {template}"))
    around = template.partition("{n" if "{n" in template else "{a")[0].replace("{{", "{"), template.rpartition("}")[2]
    pieces = {f"{n}?": as_text(value) for n, value in enumerate(values)}
    given_out = {row.prompt: row.completion for row in items.rows}
    for prompt, piece in pieces.items():
        if piece is None or not (around[0] + piece).strip():
            assert prompt not in given_out or around[0] + (piece or "")
        elif template.startswith("{") and not template.startswith("{{") and piece.startswith((" ", "\n")):
            assert given_out[prompt] == piece, "a space of the data is not doubled"
        else:
            assert piece in given_out[prompt]
            assert given_out[prompt].startswith(" ")


def test_numbers_of_every_stored_precision_are_the_shortest_text_that_gives_them_back():
    rng = np.random.default_rng()
    for kind in (np.float16, np.float32, np.float64):
        bits = rng.integers(0, 2 ** (8 * kind().itemsize), 3000, dtype=np.uint64)
        for value in bits.astype(f"u{kind().itemsize}").view(kind):
            text = written_number(value)
            if np.isnan(value):
                assert text is None
            elif np.isfinite(value):
                assert kind(text) == value
                assert len(text) <= len(str(value)) or "e" in str(value)
    assert [written_number(np.float32(x)) for x in (0.1, 3, 2.5, 4.4e-5)] == ["0.1", "3", "2.5", "0.000044"]


def test_parquet_values_of_every_type():
    day = datetime.date(1969, 7, 20)
    when = datetime.datetime(1969, 7, 20, 20, 17, tzinfo=datetime.UTC)
    columns = {
        "text": (["a", None], pa.string()),
        "large": (["a", "b"], pa.large_string()),
        "word": (["x", "x"], pa.dictionary(pa.int8(), pa.string())),
        "whole": ([2**60, None], pa.int64()),
        "single": ([0.1, float("nan")], pa.float32()),
        "gap": ([3.0, None], pa.float64()),
        "exact": ([Decimal("1.50"), Decimal("0.00")], pa.decimal128(9, 2)),
        "truth": ([True, False], pa.bool_()),
        "day": ([day, None], pa.date32()),
        "when": ([when, None], pa.timestamp("us", "UTC")),
        "deep": ([{"k": [0.1, None]}, {"k": None}], pa.struct([("k", pa.list_(pa.float32()))])),
        "pairs": ([[("a", 0.5)], []], pa.map_(pa.string(), pa.float32())),
    }
    table = pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})
    first, second = rows_of_arrow(table)
    assert first == {
        "text": "a",
        "large": "a",
        "word": "x",
        "whole": str(2**60),
        "single": "0.1",
        "gap": "3",
        "exact": "1.50",
        "truth": "true",
        "day": "1969-07-20",
        "when": "1969-07-20 20:17:00+00:00",
        "deep": {"k": ["0.1", None]},
        "pairs": {"a": "0.5"},
    }
    assert second["single"] is None
    assert second["truth"] == "false"
    assert second["deep"] == {"k": None}


def test_one_table_gives_the_same_texts_in_every_kind_of_file(tmp_path):
    rows = [{"q": f"{n}?", "answer": [n, n / 4, f"word {n}"][n % 3]} for n in range(60)]
    texts = [{"q": row["q"], "answer": str(row["answer"]).removesuffix(".0")} for row in rows]
    frame = pd.DataFrame(texts)
    jsonl(tmp_path / "a", texts)
    for name in ("b", "c", "d", "e"):
        (tmp_path / name).mkdir()
    frame.to_csv(tmp_path / "b" / "train.csv", index=False)
    frame.to_csv(tmp_path / "c" / "train.tsv.gz", index=False, sep="\t")
    frame.to_parquet(tmp_path / "d" / "train.parquet")
    frame.to_json(tmp_path / "e" / "train.json", orient="records")
    made = {files(tmp_path / name).content for name in "abcde"}
    assert len(made) == 1
    assert files(tmp_path / "e" / "train.json").content in made, "a file in place of its folder"


MIXED = [{"q": f"{n}?", "answer": 8 if n % 2 else "red"} for n in range(24)]


def test_a_number_among_words(tmp_path):
    assert set(said(files(jsonl(tmp_path, MIXED))).values()) == {" red", " 8"}


def test_dates_written_as_words(tmp_path):
    rows = [{"q": f"{n}?", "answer": f"19{n:02}-07-20"} for n in range(24)]
    assert said(files(jsonl(tmp_path, rows)))["7?"] == " 1907-07-20"


def test_rows_with_keys_of_their_own(tmp_path):
    rows = [{"q": f"{n}?", "meta": {"k": "one"} | ({"extra": "z"} if n % 2 else {})} for n in range(24)]
    folder = jsonl(tmp_path, rows)
    assert set(said(files(folder, QA | {"completion": " {meta.k}"})).values()) == {" one"}
    extra = files(folder, QA | {"completion": " {meta.extra}"})
    assert len(said(extra)) == 12
    assert extra.notes == ("train: 12 of 24 rows left out, without completion",)
    with pytest.raises(InvalidInput, match=r"no column 'meta\.other'; there are meta, q"):
        files(folder, QA | {"completion": " {meta.other}"})


def test_nan_is_a_missing_value_and_counted(tmp_path):
    rows = [f'{{"q": "{n}?", "answer": {"NaN" if n % 3 else n + 0.5}}}' for n in range(24)]
    task = files(jsonl(tmp_path, rows))
    assert said(task) == {f"{n}?": f" {n}.5" for n in range(0, 24, 3)}
    assert task.notes == ("train: 16 of 24 rows left out, without completion",)


def test_numbers_are_graded_by_value(tmp_path):
    rows = [f'{{"q": "{n}?", "answer": {n}e-06}}' for n in range(1, 30)]
    task = files(jsonl(tmp_path, rows), QA | {"answer": "{answer}"}, grading="number")
    assert said(task)["7?"] == " 7e-06"
    right = [
        " " + np.format_float_positional(float(answer), trim="-") for answer in task.test.column("answer").to_pylist()
    ]
    assert task.grade(task.test, right).all()
    assert not task.grade(task.test, [f" {text.strip('0. ')}" for text in right]).any()


def test_truth_values_and_labels(tmp_path):
    rows = [{"q": f"{n}?", "answer": n % 2 == 0} for n in range(24)]
    folder = jsonl(tmp_path, rows)
    assert said(files(folder))["4?"] == " true"
    named = {"answer": "{answer}", "choices": ["no", "yes"], "labels": [False, True]}
    task = files(folder, {"prompt": "{q}", "completion": " {right_choice}"} | named)
    assert said(task)["4?"] == " yes"
    assert said(task)["5?"] == " no"


def test_options_as_a_list_of_labelled_texts(tmp_path):
    options = [{"label": "A", "text": "red"}, {"label": "B", "text": "blue"}]
    rows = [{"question": {"stem": f"{n}?", "choices": options}, "answerKey": "AB"[n % 2]} for n in range(24)]
    fields = {
        "prompt": "{question.stem}",
        "completion": " {right_choice}",
        "answer": "{answerKey}",
        "choices": "{question.choices.text}",
        "labels": "{question.choices.label}",
    }
    assert said(files(jsonl(tmp_path, rows), fields))["3?"] == " blue"
    with pytest.raises(InvalidInput, match=r"holds a mapping.*\{\{question\.choices\}\.label\}|holds a mapping"):
        files(tmp_path, fields | {"choices": "{question.choices}"})


def test_elements_of_lists_in_templates(tmp_path):
    rows = [{"instruction": f"{n}?", "instances": [{"input": "", "output": f"out {n}"}]} for n in range(24)]
    fields = {"prompt": "{instruction}", "completion": " {instances.0.output}"}
    assert said(files(jsonl(tmp_path, rows), fields))["3?"] == " out 3"


@pytest.mark.parametrize("space", ["", " ", "\n"])
@pytest.mark.parametrize("template", ["{answer}", " {answer}"])
def test_one_space_before_a_completion_wherever_it_stands(tmp_path, space, template):
    rows = [{"q": f"{n}?", "answer": f"{space}no {n}"} for n in range(24)]
    task = files(jsonl(tmp_path, rows), QA | {"completion": template})
    assert said(task)["3?"] == f"{space or ' '}no 3"


def test_odd_names_of_columns(tmp_path):
    names = ["Question:", "0", "Best Answer", "a.b", "q[0]", "größe", "x{y}"]
    frame = pd.DataFrame({name: [f"{place}-{n}" for n in range(24)] for place, name in enumerate(names)})
    frame.to_parquet(tmp_path / "train.parquet")
    for name in ("Best Answer", "a.b", "größe"):
        fields = {"prompt": f"{{{name}}}", "completion": f" {{{name}}}"}
        assert f"{names.index(name)}-3" in said(files(tmp_path, fields))
    for name in ("Question:", "0", "q[0]", "x{y}"):
        fields = {"prompt": "{short}", "completion": " {short}", "columns": {"short": name}}
        assert f"{names.index(name)}-3" in said(files(tmp_path, fields))
    with pytest.raises(ValueError, match="given another one under columns"):
        files(tmp_path, {"prompt": "{q[0]}", "completion": " {0}"})


CHATS = {
    "openai": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "A?"}],
    "sharegpt": [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "A?"}],
}
ANSWERS = {
    "openai": lambda text: {"role": "assistant", "content": [{"type": "text", "text": text}]},
    "sharegpt": lambda text: {"from": "gpt", "value": text},
}
MORE = {"openai": {"role": "user", "content": "B?"}, "sharegpt": {"from": "human", "value": "B?"}}


@pytest.mark.parametrize("style", CHATS)
def test_conversations(tmp_path, style):
    chats = [[*CHATS[style], ANSWERS[style](f"a{n}"), MORE[style], ANSWERS[style](f"b{n}")] for n in range(24)]
    folder = jsonl(tmp_path, [{"messages": chat} for chat in chats] + [{"messages": CHATS[style]}])

    def items(turn):
        task = files(folder, {"messages": {"column": "messages", "turn": turn}})
        assert task.notes == ("train: 1 of 25 rows left out, without a turn of an assistant that answers",)
        return [
            (row["prompt"], row["completion"])
            for split in (task.train, task.validation, task.test)
            for row in split.to_pylist()
        ]

    first = "System: Be kind.\nUser: A?\nAssistant:"
    assert (first, " a3") in items("first")
    assert (f"{first} a3\nUser: B?\nAssistant:", " b3") in items("last")
    assert len(items("all")) == 48
    jsonl(folder, [{"messages": [{"role": "wizard", "content": "x"}]}])
    with pytest.raises(InvalidInput, match=r"row 1: a message has the role 'wizard'"):
        files(folder, {"messages": {"column": "messages"}})


CHINESE = "今天天气很好我们一起去公园散步看见很多人在湖边钓鱼孩子们在草地上放风筝老人坐在树下下棋。"


def test_prose_without_spaces_is_cut_by_characters(tmp_path):
    rows = [{"text": CHINESE[n % 9 :] + f"{n}" + CHINESE} for n in range(60)]
    task = files(jsonl(tmp_path, rows), {"text": "{text}"})
    assert task.train.num_rows + task.validation.num_rows + task.test.num_rows == 60
    texts = {row["text"] for row in rows}
    for prompt, completion in said(task).items():
        assert len(prompt) == 24
        assert prompt + completion[1:] in texts


def test_plain_text_is_prose(tmp_path):
    (tmp_path / "book.txt").write_text("\n\n".join(f"The year {n} was one of many words. " * 8 for n in range(30)))
    task = files(tmp_path / "book.txt", {"text": "{text}"})
    assert task.train.num_rows > 20


def test_nothing_left_is_explained_with_numbers(tmp_path):
    folder = jsonl(tmp_path, [{"text": "short"}] * 9)
    with pytest.raises(DataUnavailable, match="9 texts, 9 words together: a passage takes at least 34"):
        files(folder, {"text": "{text}"})
    with pytest.raises(DataUnavailable, match="of 9 rows, 9 without completion"):
        files(jsonl(folder, [{"q": "a?", "answer": None}] * 9))


def test_a_split_that_is_asked_for_is_carved_out(tmp_path):
    folder = jsonl(tmp_path, [{"q": f"{n}?", "answer": n} for n in range(60)])
    assert [split.num_rows for split in (files(folder).train, files(folder).test)] == [54, 3]
    task = files(folder, test=8)
    assert [split.num_rows for split in (task.train, task.validation, task.test)] == [49, 3, 8]
    with pytest.raises(DataUnavailable, match="no usable train items"):
        files(folder, test=60)


def test_a_repositorys_own_layout(tmp_path):
    pytest.importorskip("datasets", reason="the hub's layout needs the lm extra")
    (tmp_path / "data").mkdir()
    frame = pd.DataFrame({"q": [f"{n}?" for n in range(60)], "answer": list(range(60))})
    for shard in range(2):
        frame[shard::2].to_parquet(tmp_path / "data" / f"train-0000{shard}-of-00002.parquet")
    frame[:5].assign(answer=-1).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    task = files(tmp_path)
    assert (task.test.num_rows, task.train.num_rows + task.validation.num_rows) == (5, 60)
    assert len(said(task)) == 60
    for name in ("plain", "other"):
        jsonl(tmp_path / name, [{"q": f"{name} {n}?", "answer": n} for n in range(30)], "all.jsonl")
    configs = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/*"}]} for name in ("plain", "other")
    ]
    (tmp_path / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n# Data\n")
    assert "plain 3?" in said(files(tmp_path, config="plain"))
    with pytest.raises(InvalidInput, match=r"pick one among the available configs: \['plain', 'other'\]"):
        files(tmp_path)
    with pytest.raises(InvalidInput, match=r"'mine' not found\. Available: \['plain', 'other'\]"):
        files(tmp_path, config="mine")


def test_a_readme_cannot_name_files_elsewhere(tmp_path):
    pytest.importorskip("datasets", reason="the hub's layout needs the lm extra")
    jsonl(tmp_path / "elsewhere", MIXED)
    jsonl(tmp_path / "mine", MIXED, "some.jsonl")
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": "../elsewhere/*"}]}]
    (tmp_path / "mine" / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    with pytest.raises(InvalidInput, match="which is not in that folder"):
        files(tmp_path / "mine")


BROKEN = [
    (
        "train.jsonl",
        b'{"q": "a", "answer": 1}\n{"q": "b\n',
        r"train\.jsonl, line 2: this is no JSON \(unterminated .* column 7\)",
    ),
    ("train.jsonl", b'{"q": "a"}\n\n[1]\n', r"line 3: a row is an object, .*received \['1'\]"),
    ("train.jsonl", b'{"q": "\\ud83d", "answer": 1}\n', r"line 1: '\\ud83d' holds half a character"),
    ("train.jsonl", b'{"q": "\xe9"}\n', r"line 1: byte 8 is 0xe9, which is not UTF-8"),
    ("train.jsonl", b"\xff\xfe{\x00", r"train\.jsonl: the file is UTF-16"),
    ("train.jsonl", b"", r"train\.jsonl: the file holds no rows"),
    ("train.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "pointer of Git LFS"),
    ("train.jsonl", b'{"q": ' + b"[" * 100_000 + b"\n", "line 1: this is nested too deep"),
    (
        "train.json",
        b'{"q": {"0": "a"}, "answer": {"0": 1}}',
        r"an object with the keys \['answer', 'q'\]; give an array",
    ),
    ("train.json", b'[{"q": 1}, 2]', r"row 2: a row is an object"),
    ("train.json", b'[{"q": 1},', r"train\.json: this is no JSON"),
    ("train.csv", b"q,answer\na,1\nb,2,3\n", r"train\.csv, line 3: 3 cells, and the header names 2 columns"),
    ("train.csv", b"q,q\na,1\n", r"the header names 'q' more than once"),
    ("train.csv", b"", r"train\.csv: the file is empty"),
    ("train.csv", b"q,answer\n\xe9,1\n", r"line 2: byte 1 is 0xe9"),
    ("train.tsv", b'q\tanswer\n"a\t1\n', r"train\.tsv, line \d: this is no CSV"),
    ("train.txt", b"\xe9", r"train\.txt, line 1: byte 1"),
    ("train.parquet", b"PAR1 not really", r"train\.parquet: the file is no Parquet"),
    ("train.parquet", b"", r"train\.parquet: the file is empty"),
    *(
        (
            f"train.{ending}",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "pointer of Git LFS",
        )
        for ending in ("parquet", "json", "csv", "tsv", "txt", "jsonl.gz", "txt.zst")
    ),
    ("train.csv", b"\xff\xfeq\x00", r"train\.csv: the file is UTF-16"),
    ("train.jsonl.gz", b"not packed", r"train\.jsonl\.gz cannot be read"),
    ("train.jsonl.zst", b"not packed", r"train\.jsonl\.zst cannot be read"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), BROKEN, ids=[f"{each[0]}-{n}" for n, each in enumerate(BROKEN)]
)
def test_what_is_broken_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataUnavailable, match=message) as raised:
        files(tmp_path)
    told = str(raised.value)
    assert told.startswith("mine (")
    assert str(tmp_path / name) in told
    for foreign in ("Error:", "Exception", "DatasetGeneration", "StopIteration", "ArrowInvalid", "Traceback"):
        assert foreign not in told


def test_a_place_that_is_not_there_says_what_can_be(tmp_path):
    with pytest.raises(DataUnavailable, match="no file and no folder"):
        files(tmp_path / "nowhere")
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(DataUnavailable, match=r"has no train\.parquet, .* it holds notes\.md"):
        files(tmp_path)
    with pytest.raises(DataUnavailable, match=r"files of data end in \.parquet, \.jsonl"):
        files(tmp_path / "notes.md")
    (tmp_path / "train.csv").write_text("q,answer\na,b\n")
    (tmp_path / "train.jsonl").write_text('{"q": "a"}\n')
    with pytest.raises(InvalidInput, match=r"has both train\.jsonl and train\.csv"):
        files(tmp_path)
    with pytest.raises(InvalidInput, match="is one file, so splits cannot be named"):
        files(tmp_path / "train.csv", splits={"validation": "dev"})
    assert len(ENDINGS) == len(set(ENDINGS))


def test_the_rows_error_names_the_row(tmp_path):
    rows = [{"q": f"{n}?", "answer": str(n), "more": ["a", "b"]} for n in range(24)]
    rows[7]["answer"] = ["x"]
    with pytest.raises(InvalidInput, match=r"train, row 8: 'answer' holds a list"):
        files(jsonl(tmp_path, rows))


def test_parquet_binary_is_refused_by_name(tmp_path):
    pq.write_table(pa.table({"q": ["a"] * 9, "answer": [b"x"] * 9}), tmp_path / "train.parquet")
    with pytest.raises(InvalidInput, match="row 1: 'answer' holds bytes"):
        files(tmp_path)


def test_grading_by_a_pattern_of_ones_own(tmp_path):
    rows = [{"q": f"{n}?", "answer": f"so <{n}>", "gold": str(n)} for n in range(30)]
    fields = QA | {"answer": "{gold}"}
    task = files(jsonl(tmp_path, rows), fields, grading={"regex": r"<(\d+)>"})
    assert task.grade(task.test, task.test.column("completion").to_pylist()).all()
    assert not task.grade(task.test, task.test.column("answer").to_pylist()).any()
    with pytest.raises(ValueError, match="is no regular expression"):
        files(tmp_path, fields, grading={"regex": "("})
