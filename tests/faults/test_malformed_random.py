"""Valid descriptions changed at random, random files and assignments: understood or refused, never a traceback."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossfeed.loop
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.description.strict_yaml import dump_yaml, parse_yaml
from crossfeed.display.formatting import word
from tests.faults.cli import Answer, accept, check_refused, check_tame, crossfeed_cli
from tests.faults.corpus.fields import BASE
from tests.tiny import LINEAR


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch) -> None:
    """In a folder of its own, up to where a run itself would begin."""
    monkeypatch.setattr(crossfeed.loop, "run", accept)
    monkeypatch.chdir(tmp_path)


def begin(content: bytes) -> Answer:
    Path("x.yaml").write_bytes(content)
    return crossfeed_cli("run", "x.yaml")


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 10**12, 10**18]),
    st.floats(),
    st.sampled_from(
        ["", " ", "../x", "/etc/passwd", "a/b", "..", "CON", "x" * 300, "{0}", "{a}", "=1", "$x_{", "~", "-"]
    ),
    st.text(max_size=8),
    st.sampled_from(["fake", "language", "linear", "facts", "files", "proportional", "latest", "replace", "all"]),
    st.dates(),
    st.binary(max_size=4),
    st.sets(st.integers(0, 3), max_size=2),
    st.lists(st.one_of(st.integers(-1, 3), st.floats(), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.text(max_size=6), st.integers(-1, 3), max_size=2),
    st.sampled_from([{"kind": "fake"}, {"source": "fake"}, {"source": "files", "path": "x"}, {"n": [1, 2]}, [[[]]]]),
).map(copy.deepcopy)
"""What may stand anywhere in a description; a copy, since a later change may go into what an earlier one put there."""


def places_in(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every key and entry of nested plain data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places_in(item, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[dict, list[str]]:
    """A valid description with up to three things changed, dropped or added, and words of what was there and is now."""
    data = yaml.safe_load(draw(st.sampled_from([BASE, LINEAR, *map(read_preset, ("fake", "quickstart", "figure-4"))])))
    words = []
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places_in(data), key=str)))
        parent = data
        for key in path[:-1]:
            parent = parent[key]
        what = draw(st.sampled_from(["replace", "replace", "drop", "add"]))
        words += [part for below in places_in({"": parent[path[-1]]}) for part in str(below[-1]).split(".") if part]
        if what == "drop":
            del parent[path[-1]]
        elif what == "add" and isinstance(parent, dict):
            key = draw(
                st.one_of(st.text(max_size=8), st.sampled_from(["alpah", "name", "kind", "__class__", "x" * 99]))
            )
            parent[key] = draw(HOSTILE)
            words.append(key)
        else:
            parent[path[-1]] = value = draw(HOSTILE)
            words += [value] if isinstance(value, str) and value else []
        words += [str(part) for part in path]
        if not data:
            break
    return data, words


RANDOMLY = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@RANDOMLY
@given(mutated())
def test_a_description_with_random_changes_is_understood_or_refused(found):
    data, words = found
    text = yaml.safe_dump(data, sort_keys=False)
    answer = begin(text.encode("utf-8", "surrogatepass"))
    if answer.code == 0:
        check_kept(Experiment.from_yaml(text))
    else:
        check_refused(answer, ())
        # A learner of another kind asks for other fields: those are named instead. A long key is shortened.
        named = [*words, *map(word, words), "line", "is missing", "leave it out"]
        assert any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", answer.err) for name in named), (words, answer.err)


def check_kept(experiment: Experiment) -> None:
    """What is accepted survives being written and read, and every name in it is the name of one file."""
    again = Experiment.from_yaml(experiment.to_yaml())
    assert again == experiment
    assert again.id == experiment.id
    for cell in experiment.cells():
        names = [experiment.name, cell.name, cell.zero, cell.start]
        names += [*cell.experiment.ecosystem.names, *cell.experiment.tasks]
        for name in names:
            assert re.fullmatch(r"[A-Za-z0-9][\w.-]{0,199}", name, re.ASCII), name
            assert ".." not in Path(name).parts


@RANDOMLY
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60), st.text("{}[]&*!|>-?:,#%@`'\" \n\tab1<", max_size=40)))
def test_a_random_file_is_refused(content):
    content = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    check_refused(begin(content), ())


@RANDOMLY
@given(st.one_of(st.text(max_size=20), st.text("ecosytm.alphn=05[]{}&*!: ", max_size=16)), HOSTILE)
def test_a_random_assignment_is_understood_or_refused(path, value):
    Path("good.yaml").write_text(BASE)
    for assignment in (path, f"{path}={value}", f"grid.{path}=[{value}]", f"tasks.warm.{path}={value}"):
        answer = crossfeed_cli("run", "good.yaml", "--set", assignment)
        assert answer.code in (0, 2), answer.err[-2000:]
        check_tame(answer)


@pytest.mark.parametrize("form", ["{}", "a{}", "a {} b", "{} ", "{0}\n{0}", "x" * 98 + "{}y z"])
def test_every_character_is_written_and_read_again(form):
    """Also those that end a line in Unicode, which YAML takes for spaces where they are not escaped."""
    characters = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x10000), 0x10000, 0x1F600, 0x10FFFF)]
    for begin in range(0, len(characters), 1000):
        texts = [form.format(each) for each in characters[begin : begin + 1000]]
        assert parse_yaml(dump_yaml({"texts": texts, "keys": dict.fromkeys(texts, 1)})) == {
            "texts": texts,
            "keys": dict.fromkeys(texts, 1),
        }
