"""No pickle, no remote code, no shell, and no name that leads out of a run's folder.

The first part reads the package's own source: what could run what it reads is not there, and these tests would fail
on it. The second part hands in what would run, if it were read.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossfeed
from crossfeed.description.experiment import Experiment
from crossfeed.errors import DataUnavailable, InvalidDescription
from crossfeed.loop import run
from crossfeed.store import open_store

PACKAGE = Path(crossfeed.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code", "pty", "runpy"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "input", "breakpoint"),
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "os.spawnl", "subprocess.getoutput"),
    *("torch.load", "torch.save", "torch.jit.load", "torch.hub.load", "numpy.fromfile", "np.fromfile"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all", "yaml.full_load_all"),
    *("pd.read_pickle", "pandas.read_pickle", "pd.eval", "tempfile.mktemp"),
}
ALWAYS_FALSE = {"trust_remote_code", "shell", "allow_pickle"}
ONLY_IN = {
    # Names of modules come from our own tables, and from entry points of installed packages (`EntryPoint.load` in
    # description/registry.py), never from a word of a description.
    "import_module": {"description/registry.py", "__init__.py", "learners/language/fingerprints.py", "tasks/docs.py"},
    # A subclass of the safe loader.
    "yaml.load": {"description/strict_yaml.py"},
    # Our own style sheet.
    "Markup": {"reporting/html.py"},
    # Names that learners' settings classes declare, and the name that the process that started a worker gives a class
    # which it has imported itself; never a word of a description.
    "resolve_name": {"settings.py", "learners/language/settings.py", "executors/request_handler.py"},
}


def faults(source: str, name: str = "x.py") -> Iterator[str]:
    """What a source file may not hold."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            parts = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            parts |= {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
            yield from (f"imports {part}" for part in sorted(parts & MODULES))
        elif isinstance(node, ast.Call):
            yield from _calls(node, name)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in ALWAYS_FALSE and not _is(value, False):
                    yield f"{key.value} is not False"
                if isinstance(key, ast.Constant) and key.value == "use_safetensors" and not _is(value, True):
                    yield "use_safetensors is not True"


def _calls(node: ast.Call, name: str) -> Iterator[str]:
    called = ast.unparse(node.func)
    given_ = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in CALLS or called.removesuffix(")").rpartition(".")[2] in {"read_pickle", "to_pickle"}:
        yield f"calls {called}"
    if called in ONLY_IN and name not in ONLY_IN[called]:
        yield f"calls {called}"
    for word in ALWAYS_FALSE & set(given_):
        if not _is(given_[word], False):
            yield f"{word} is not False"
    if called in {"np.load", "numpy.load", "np.save", "numpy.save"} and "allow_pickle" not in given_:
        yield f"{called} does not say allow_pickle=False"
    if called == "yaml.load" and "Loader" not in given_:
        yield "yaml.load without a loader"
    if called in {"Environment", "jinja2.Environment"} and not _is(given_.get("autoescape"), True):
        yield "a template that does not escape"
    if "use_safetensors" in given_ and not _is(given_["use_safetensors"], True):
        yield "use_safetensors is not True"


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_source_file_runs_what_it_reads(path):
    assert not list(faults(path.read_text(encoding="utf-8"), str(path.relative_to(PACKAGE)))), path


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads", "import cloudpickle as c", "from joblib import load"),
        *("eval(x)", "exec(x)", "__import__(x)", "os.system(x)", "torch.load(p)", "torch.load(p, weights_only=True)"),
        *("np.load(p)", "np.load(p, allow_pickle=True)", "np.load(p, allow_pickle=flag)", "np.save(p, a)"),
        *("subprocess.run(x, shell=True)", "f(trust_remote_code=True)", "f(trust_remote_code=flag)"),
        *("f(**{'trust_remote_code': True})", "f(use_safetensors=None)", "f(**{'use_safetensors': False})"),
        *("yaml.load(t)", "yaml.load(t, Loader=yaml.Loader)", "yaml.unsafe_load(t)", "pd.read_pickle(p)"),
        *(
            "import_module(word)",
            "resolve_name(word)",
            "Environment()",
            "Environment(autoescape=False)",
            "Markup(x)",
            "frame.to_pickle(p)",
        ),
    ],
)
def test_the_reading_of_sources_sees_what_it_should(source):
    assert list(faults(source))


def test_models_are_read_from_safetensors_without_code_of_theirs():
    """The places where weights come in say so, each for itself."""
    pretrained = (PACKAGE / "learners/language/pretrained.py").read_text()
    embedding = (PACKAGE / "learners/language/embedding.py").read_text()
    assert "use_safetensors=True" in pretrained
    for source in (pretrained, embedding):
        assert re.search(r"""["']?trust_remote_code["']?\s*[:=]\s*False""", source)
    assert re.search(r"""["']use_safetensors["']: True""", embedding)


# What would run, if it were read.


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A model folder as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("base")
    words = {word: number for number, word in enumerate(["<unk>", "</s>", "a", "b"])}
    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>", eos_token="</s>").save_pretrained(
        folder
    )
    config = transformers.LlamaConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def read(folder: Path) -> None:
    from crossfeed.learners.language.pretrained import read_model, read_tokenizer
    from crossfeed.learners.neural.device import open_device

    read_tokenizer(str(folder), None)
    read_model(str(folder), None, open_device("cpu", "fp32", 1), 16)


def test_a_folder_of_safetensors_is_read(base):
    read(base)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.pt", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_refused(base, tmp_path, name):
    torch = pytest.importorskip("torch")
    folder = shutil.copytree(base, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Trap(tmp_path / "owned")}, folder / name)
    with pytest.raises(DataUnavailable, match="safetensors"):
        read(folder)
    assert not (tmp_path / "owned").exists()


def test_pickled_weights_under_the_name_of_safe_ones_are_refused(base, tmp_path):
    torch = pytest.importorskip("torch")
    folder = shutil.copytree(base, tmp_path / "model")
    torch.save({"weight": Trap(tmp_path / "owned")}, folder / "model.safetensors")
    with pytest.raises(DataUnavailable, match="safetensors"):
        read(folder)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("what", ["model", "tokenizer", "config"])
def test_a_model_that_brings_its_own_code_is_refused(base, tmp_path, what):
    folder = shutil.copytree(base, tmp_path / "model")
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'owned')!r}).touch()\n")
    name = "tokenizer_config.json" if what == "tokenizer" else "config.json"
    config = json.loads((folder / name).read_text())
    kinds = {"model": "AutoModelForCausalLM", "tokenizer": "AutoTokenizer", "config": "AutoConfig"}
    entry = ["own.Own", "own.Own"] if what == "tokenizer" else "own.Own"
    config |= (
        {"auto_map": {kinds[what]: entry}, "model_type": "own"}
        if what == "config"
        else {"auto_map": {kinds[what]: entry}}
    )
    if what == "tokenizer":
        config["tokenizer_class"] = "OwnTokenizer"
    (folder / name).write_text(json.dumps(config))
    with contextlib.suppress(DataUnavailable):  # or transformers knows the architecture itself, and takes that
        read(folder)
    assert not (tmp_path / "owned").exists()


def test_an_embedder_that_brings_its_own_code_is_refused(base, tmp_path):
    pytest.importorskip("sentence_transformers")
    from crossfeed.learners.language.embedding import Embedder
    from crossfeed.learners.neural.device import open_device

    folder = shutil.copytree(base, tmp_path / "encoder")
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'owned')!r}).touch()\n")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "own.Own"}]))
    with pytest.raises(DataUnavailable, match="encoder"):
        Embedder(str(folder), open_device("cpu", "fp32", 1)).embed(["a"])
    assert not (tmp_path / "owned").exists()


def test_arrays_of_objects_are_refused(tmp_path):
    """Features, and the checkpoints of learners that keep arrays."""
    path = tmp_path / "features.npz"
    np.savez(path, features=np.array([[Trap(tmp_path / "owned")]], dtype=object))
    task = {"source": "regression", "features": str(path)}
    text = {
        "ecosystem": {"entities": [{"name": "a", "private": "p"}], "alpha": 0.5},
        "learner": {"kind": "linear"},
        "tasks": {"p": task},
        "public": task,
        "generations": 1,
    }
    with pytest.raises(DataUnavailable, match="features hold objects"):
        run(Experiment.from_yaml(json.dumps(text)), open_store(tmp_path / "run"))
    assert not (tmp_path / "owned").exists()


# Names.


def paths_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# Anything at all, and what the checks of names let through.
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
    st.sampled_from(["..", "../x", "/etc/x", "a/../../x", "a\\..\\x", "~", "x" * 65, "con", "a.", "a\0", "\u2215etc"]),
    st.text(max_size=12),
)
VALUES = st.one_of(NAMES, st.integers(-9, 9), st.floats(0, 1), st.lists(NAMES, min_size=1, max_size=2))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=4, max_size=4), st.lists(VALUES, min_size=1, max_size=2))
def test_no_name_leads_out_of_the_runs_folder(tmp_path_factory, names, values):
    """Whatever entities, tasks, grid values and the experiment are called: refused, or kept within the folder."""
    around = tmp_path_factory.mktemp("around")
    name, entity, task, other = names
    source = {"source": "fake", "train": 6, "test": 2}
    text = {
        "name": name,
        "ecosystem": {"entities": [{"name": entity, "private": task}, {"name": "b", "private": other}], "alpha": 1},
        "learner": {"kind": "fake"},
        "tasks": {task: source, other: source},
        "public": source,
        "n": 4,
        "generations": 1,
        "metrics": {"loss": {}, "similarity": {}},
        "checkpoints": "all",
        "grid": {"public.words": [value if isinstance(value, list) else [str(value)] for value in values]},
    }
    folder = around / "in" / "run"
    try:
        experiment = Experiment.from_yaml(json.dumps(text))
        outcome = run(experiment, open_store(folder))
    except InvalidDescription:
        assert paths_of(around) == set()
        return
    assert not outcome.failures
    assert all(path.startswith("in/run/") for path in paths_of(around) - {"in", "in/run"})
    assert Path(f"{experiment.name}-{experiment.id}").name == f"{experiment.name}-{experiment.id}"
    cells = {cell.name for cell in experiment.cells()}
    assert {path.name for path in (folder / "records").iterdir() if not path.name.startswith(".")} == {"shared", *cells}
    kept = {path.name for path in folder.glob("checkpoints/*/generation-001/*") if path.is_dir()}
    assert kept == {entity, "b"}
