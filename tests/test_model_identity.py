"""A run goes on with the models that it was begun with, or says which of them is another one now."""

import os
import shutil
import sys

import pytest

torch = pytest.importorskip("torch", reason="the language learner needs the lm extra")

from crossfeed import Experiment, open_store, run  # noqa: E402
from crossfeed.display.progress import Silent  # noqa: E402
from crossfeed.errors import StoreMismatch  # noqa: E402
from crossfeed.learners.language.fingerprints import identified  # noqa: E402
from tests.tiny import TINY  # noqa: E402


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """A cache with the base of TINY, and that base's folder."""
    cache = tmp_path_factory.mktemp("cache")
    described = Experiment.from_yaml(TINY, ("generations=0", "metrics={loss: {}}", "grid={}", "ecosystem.alpha=0"))
    run(described, open_store(tmp_path_factory.mktemp("made") / "run"), cache=cache)
    return cache, made_in(cache)


def made_in(cache):
    (folder,) = (path for path in (cache / "base").iterdir() if path.is_dir())
    return folder


@pytest.fixture
def base(bases, tmp_path):
    """A copy of it that is a base of its own."""
    return shutil.copytree(bases[1], tmp_path / "models" / "small")


def described(base, *more):
    fixed = (f"learner.base={{model: '{base}'}}", "metrics={loss: {}}", "generations=1", "n=16", *more)
    return Experiment.from_yaml(TINY, fixed)


def retrain(folder):
    """Other weights under the same names, with the times of the former files."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    before = path.stat()
    tensors = {name: tensor + 0.01 for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_base_that_was_replaced_is_refused_by_name(base, tmp_path):
    folder = tmp_path / "run"
    before = run(described(base), open_store(folder)).records
    assert run(described(base), open_store(folder)).records.equals(before)
    retrain(base)
    with pytest.raises(StoreMismatch, match=r"the base model '.*small' is no longer what this run was begun with"):
        run(described(base), open_store(folder))  # a finished run, too


def test_files_that_were_only_copied_again_are_the_same_model(base, tmp_path):
    folder, store = tmp_path / "run", open_store(tmp_path / "run")
    run(described(base), store)
    (name,) = (each for each in store.documents("models") if "base model" in store.read_document(each)["name"])
    before = store.read_document(name)
    moved = base.rename(base.with_name("away"))
    shutil.copytree(moved, base)
    run(described(base), open_store(folder))
    after = store.read_document(name)
    assert (after["content"], after["stamp"] == before["stamp"]) == (before["content"], False)


def test_what_is_kept_below_a_models_folder_is_not_that_model(base, tmp_path, monkeypatch):
    monkeypatch.chdir(base)
    before = run(described("."), open_store("runs/mine")).records
    (base / "checkpoint-1").mkdir()
    shutil.copy(base / "model.safetensors", base / "checkpoint-1")
    assert run(described("."), open_store("runs/mine")).records.equals(before)


def test_a_tokenizer_that_was_replaced_is_refused(base, tmp_path):
    run(described(base), open_store(tmp_path / "run"))
    path = base / "tokenizer.json"
    path.write_text(path.read_text().replace('"ignore_merges": false', '"ignore_merges": true'))
    with pytest.raises(StoreMismatch, match="no longer what this run was begun with"):
        run(described(base), open_store(tmp_path / "run"))


def test_a_base_that_is_replaced_while_a_grid_is_run_stops_it(base, tmp_path):
    class Replacing:
        """Progress that replaces the base when the first seed is done."""

        stage = staticmethod(Silent().stage)

        def log(self, text):
            if "t=1/1" in text:
                retrain(base)

    folder = tmp_path / "run"
    with pytest.raises(StoreMismatch, match="the base model"):
        run(described(base, "seeds=[0, 1]", "grid={}", "ecosystem.alpha=0"), open_store(folder), progress=Replacing())
    records = open_store(folder).read_result("records").to_pandas()
    assert set(records["seed"]) == {0}, "nothing of the other base is in the run"


@pytest.mark.parametrize("file", ["config.json", "1_Pooling/config.json"])
def test_a_sentence_encoder_that_was_replaced_is_refused(file, base, tmp_path):
    embedder = tmp_path / "encoder"
    embedder.mkdir()
    (embedder / "config.json").write_text("{}")
    (embedder / "modules.json").write_text('[{"path": ""}, {"path": "1_Pooling"}]')
    (embedder / "1_Pooling").mkdir()
    own = f"learner.embedder='{embedder}'"
    run(described(base, own), open_store(tmp_path / "run"))
    (embedder / file).write_text('{"a": 1}')
    with pytest.raises(StoreMismatch, match=r"the sentence encoder '.*encoder' is no longer"):
        run(described(base, own), open_store(tmp_path / "run"))


def test_a_base_that_another_machine_makes_differently_is_refused(bases, tmp_path, monkeypatch):
    cache = bases[0]
    fixed = ("metrics={loss: {}}", "generations=1", "n=16", "grid={}", "ecosystem.alpha=0")
    folder = tmp_path / "run"
    run(Experiment.from_yaml(TINY, fixed), open_store(folder), cache=cache)
    monkeypatch.setattr("crossfeed.learners.language.scratch.address", lambda *_: 7)
    shutil.rmtree(folder / "checkpoints")
    shutil.rmtree(folder / "records")
    with pytest.raises(StoreMismatch, match=r"the base that was made from scratch, .*is no longer"):
        run(Experiment.from_yaml(TINY, fixed), open_store(folder), cache=tmp_path / "other")


def test_entities_with_bases_of_their_own(base, tmp_path):
    other = shutil.copytree(base, tmp_path / "other")
    first = f"{{name: a, private: facts, learner: {{base: {{model: '{other}'}}}}}}"
    own = f"ecosystem.entities=[{first}, {{name: b, private: math}}]"
    run(described(base, own), open_store(tmp_path / "run"))
    retrain(other)
    with pytest.raises(StoreMismatch, match=r"the base model '.*other'"):
        run(described(base, own), open_store(tmp_path / "run"))


def test_without_the_hubs_library_nothing_identifies_a_model_of_the_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert list(identified("the base model", "owner/name")) == []  # who reads it names the extra that is missing
