"""No home, an unknown user, an unusable cache, and names that a disk takes for one: refused in one paragraph."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crossfeed.cache import cached_folder, default_cache, expanded
from crossfeed.description.experiment import Experiment
from crossfeed.errors import InvalidDescription, InvalidInput, StoreError
from crossfeed.learners.neural.compiled import library
from crossfeed.loop import run
from crossfeed.store import open_store
from tests.faults.cli import check_refused, crossfeed_cli
from tests.faults.test_links import TEXT


@pytest.fixture
def homeless(monkeypatch):
    """Neither a variable nor the system knows this user's home."""
    for name in ("HOME", "CROSSFEED_CACHE", "XDG_CACHE_HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)

    def unknown(*_):
        raise KeyError("no such user")

    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def described(folder: Path, text: str = TEXT) -> str:
    (folder / "linked.yaml").write_text(text)
    return str(folder / "linked.yaml")


def test_a_user_without_a_home_is_told_the_variable(homeless, tmp_path, monkeypatch):
    words = ["run", described(tmp_path), "--out", str(tmp_path / "run"), "-q"]
    check_refused(crossfeed_cli(*words), ("~/.cache/crossfeed", "CROSSFEED_CACHE"))
    with pytest.raises(InvalidInput, match="CROSSFEED_CACHE"):
        default_cache()
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path / "cache"))
    assert crossfeed_cli(*words).code == 0


@pytest.mark.parametrize("name", ["~nobody-of-that-name/data.npz", "~nobody-of-that-name"])
def test_an_unknown_user_is_named(tmp_path, name):
    with pytest.raises(InvalidInput, match=r"~nobody-of-that-name.*give the whole path"):
        expanded(name)
    task = f"{{source: regression, features: {name}}}"
    text = f"""
ecosystem: {{entities: [{{name: a, private: p}}], alpha: 0.5}}
learner: {{kind: linear}}
tasks: {{p: {task}}}
public: {task}
generations: 1
"""
    check_refused(crossfeed_cli("run", described(tmp_path, text), "--out", str(tmp_path / "run")), (name,))


def fill(folder: Path) -> None:
    (folder / "x").write_text("x")


@pytest.mark.parametrize("harm", ["a file in its place", "a file above it", "a lock that is a folder"])
def test_a_cache_that_cannot_be_written_is_named_with_its_variable(tmp_path, harm):
    place = tmp_path / "cache" / "base" / "x"
    if harm == "a file above it":
        (tmp_path / "cache").write_text("")
    elif harm == "a file in its place":
        place.parent.mkdir(parents=True)
        place.write_text("")
    else:
        place.with_name("x.lock").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"base/x: the cache cannot be written .*CROSSFEED_CACHE"):
        cached_folder(place, fill)


def test_a_cache_on_a_full_disk_is_named(tmp_path):
    def fail(folder: Path) -> None:
        raise OSError(28, os.strerror(28))

    with pytest.raises(StoreError, match=r"No space left on device.*CROSSFEED_CACHE"):
        cached_folder(tmp_path / "x", fail)
    assert not list(tmp_path.glob("*.part"))


def test_compiled_code_is_only_left_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path / "file" / "cache"))
    assert library.library() is None


ALIKE = {
    "entities": TEXT.replace("{name: a, private: p}", "{name: a, private: p}, {name: A, private: p}"),
    "tasks": TEXT.replace("tasks: {p: ", "tasks: {P: {source: fake, train: 6, test: 2}, p: "),
}


@pytest.mark.parametrize("what", ["entities", "tasks"])
def test_names_that_differ_in_case_alone_are_refused(tmp_path, what):
    words = (f"{what}: ", "upper and lower case alone")
    path = described(tmp_path, ALIKE[what])
    check_refused(crossfeed_cli("run", path, "--out", str(tmp_path / "run")), words)
    check_refused(crossfeed_cli("check", path), words)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InvalidDescription):
        Experiment.from_yaml(ALIKE[what]).refuse_alike()


def test_a_run_that_was_begun_with_such_names_goes_on(tmp_path, monkeypatch):
    experiment = Experiment.from_yaml(ALIKE["entities"])
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "refuse_alike", lambda _: None)
        before = run(experiment, open_store(tmp_path / "run")).records
    assert run(experiment, open_store(tmp_path / "run")).records.equals(before)


def test_what_a_killed_process_left_of_a_folder_in_the_cache_goes_when_it_is_made(tmp_path):
    left, other = tmp_path / "base.abc.part", tmp_path / "base-2.abc.part"
    for each in (left, other):
        each.mkdir()
        (each / "half").write_text("of it")
    folder = cached_folder(tmp_path / "base", lambda made: (made / "whole").write_text("all"))
    assert (folder / "whole").read_text() == "all"
    assert (left.exists(), other.exists()) == (False, True)
