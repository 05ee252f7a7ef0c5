"""An exported run: nothing of the machine is in it, other libraries read it, and it is a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from crossfeed import Experiment, Run, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidInput, StoreError
from crossfeed.evaluation.checkpoints import results_of
from crossfeed.sharing.exporting import export_run
from crossfeed.sharing.facts import Facts, facts_of
from crossfeed.sharing.manifest import MANIFEST, describe
from tests.faults.cli import crossfeed_cli, empty_report
from tests.runs import numbers

SECRETS = ("ganondorf", "gerudo-9", "/opt/triforce", "hunter2")


def front_matter(path: Path) -> dict:
    begin, front, _ = path.read_text().split("---\n", 2)
    assert begin == ""
    return yaml.safe_load(front)


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "shared" / "fake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossfeed.reporting.html.write_report", empty_report)
        export_run(made, folder, checkpoints="all")
    return folder


def test_it_is_the_same_run(made, exported):
    before, after = Run.load(made), Run.load(exported)
    assert after.id == before.id
    assert after.experiment == before.experiment
    assert after.records.equals(before.records)
    assert numbers(pq.read_table(exported / "records.parquet")) == numbers(pq.read_table(made / "records.parquet"))
    cell = before.cells["cell"][1]
    for t in (1, 2):
        assert after.pool(cell, t).equals(before.pool(cell, t))
        assert after.outputs(cell, t).equals(before.outputs(cell, t))


def test_its_files_are_few_and_listed_with_hashes(exported):
    document = json.loads((exported / MANIFEST).read_text())
    assert document["files"] == describe(exported)
    assert sorted(path.name for path in exported.glob("packs/*/*.parquet")) == sorted(
        f"{path.stem}.parquet" for path in exported.glob("packs/*/*.json")
    )
    assert len(list(exported.glob("packs/*/*.parquet"))) == 3, "records, outputs, pool"
    assert not list(exported.rglob(".lock"))
    assert not list(exported.rglob(".partial*"))


def test_datasets_reads_every_table(exported, made, tmp_path):
    import datasets

    names = [each["config_name"] for each in front_matter(exported / "README.md")["configs"]]
    assert names == ["records", "pool", "outputs", "projection"]
    tables = {
        name: datasets.load_dataset(str(exported), name, split="train", cache_dir=str(tmp_path), keep_in_memory=True)
        for name in names
    }
    assert tables["records"].num_rows == len(Run.load(made).records)
    files = sorted(made.glob("pool/*/*.parquet"))
    pool = pa.concat_tables([pq.read_table(path) for path in files])
    assert tables["pool"].num_rows == pool.num_rows > 0
    assert sorted(tables["pool"]["completion"]) == sorted(pool.column("completion").to_pylist())
    assert set(tables["outputs"]["scope"]) > set(Run.load(made).cells["cell"])


def test_the_card_says_that_it_is_synthetic_and_of_what(exported):
    front = front_matter(exported / "README.md")
    assert "synthetic" in front["tags"]
    assert front["license"] == ["apache-2.0"]
    assert front["annotations_creators"] == ["machine-generated"]
    text = (exported / "README.md").read_text()
    document = json.loads((exported / "run.json").read_text())
    assert all(each in text for each in (document["id"], *document["data"].values()))
    assert "| warm | fake | trained from nothing | warm | its private training items |" in text


def test_licences_and_places_of_data_are_told():
    experiment = Experiment.from_yaml(read_preset("sciq-gsm8k-arc-small"))

    class Store:
        def read_document(self, name):
            return {"data": {"sciq": "abc"}} if name == "run" else None

        def documents(self, folder):
            return []

    class Stored:
        store, id, environment = Store(), "0123", {}

    facts = facts_of(Stored, experiment)
    told = {each.name: (each.repository, each.licence, each.content) for each in facts.data}
    assert told["sciq"] == ("allenai/sciq", "cc-by-nc-3.0", "abc")
    assert told["gsm8k"] == ("openai/gsm8k", "mit", "")
    assert told["arc"] == ("allenai/ai2_arc", "cc-by-sa-4.0", "")
    assert told["public"][1] == "unknown"
    assert facts.repositories[:3] == ["allenai/sciq", "openai/gsm8k", "allenai/ai2_arc"]


def test_croissant_is_valid_and_leads_to_the_rows(exported):
    """By its own package, in a process of its own: it changes how warnings and logs are shown."""
    pytest.importorskip("mlcroissant")
    code = """
import sys, mlcroissant
dataset = mlcroissant.Dataset(sys.argv[1])
issues = dataset.metadata.ctx.issues
assert not issues.errors and not issues.warnings, issues.report()
rows = list(dataset.records("pool"))
print(len(rows), rows[0]["pool/completion"].decode())
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(exported / "croissant.json")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    pool = pq.read_table(next(exported.glob("packs/pool/*.parquet")))
    assert answer.stdout.strip() == f"{pool.num_rows} {pool.column('completion')[0]}"


def test_croissants_hashes_are_those_of_the_files(exported):
    document = json.loads((exported / "croissant.json").read_text())
    objects = {each["@id"]: each["sha256"] for each in document["distribution"] if each["@type"] == "cr:FileObject"}
    there = describe(exported)
    assert objects == {path: about["sha256"] for path, about in there.items() if path.endswith(".parquet")}


def test_checkpoints_have_cards_and_stay_whole(exported, made):
    cards = sorted(exported.glob("checkpoints/*/generation-002/warm/README.md"))
    assert len(cards) == 3
    assert "generation 2" in cards[0].read_text()
    assert "synthetic" in front_matter(cards[0])["tags"]
    cell = Run.load(made).cells["cell"][0]
    assert open_store(exported).has_states(cell, 2)


@pytest.mark.parametrize(("keep", "generations"), [("none", set()), ("last", {2}), ("all", {1, 2})])
def test_what_goes_along_is_chosen(made, tmp_path, keep, generations):
    export_run(made, tmp_path / "x", pool=keep, checkpoints=keep)
    run_ = Run.load(tmp_path / "x")
    cell = run_.cells["cell"][1]
    assert {t for t in (1, 2) if len(run_.pool(cell, t))} == generations
    assert {t for t in (1, 2) if run_.store.has_states(cell, t)} == generations
    names = [each["config_name"] for each in front_matter(tmp_path / "x" / "README.md")["configs"]]
    assert ("pool" in names) == bool(generations)


def test_the_same_run_gives_the_same_bytes(made, tmp_path):
    for name in ("one", "two"):
        export_run(made, tmp_path / f"{name}.zip", checkpoints="last")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.fixture
def planted(made, tmp_path, monkeypatch) -> Path:
    """A run on a machine whose user, home, host and folders are in everything that a run may keep."""
    home = tmp_path / "homes" / "ganondorf"
    folder = home / "work" / "fake"
    shutil.copytree(made, folder)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("platform.node", lambda: "gerudo-9.example")
    said = f"{home}/x.py on gerudo-9 of ganondorf, /opt/triforce/a.so, https://u:hunter2@host/"
    store = open_store(folder)
    document = store.read_document("run")
    store.begin(store.read_description(), document)
    failure = {"stage": "update", "generation": 1, "type": "OSError", "message": said, "traceback": f'File "{said}"'}
    cell = document["cells"][0]["cell"]
    store.write_document(f"failures/{cell}", {"cell": cell, "entity": "warm"} | failure)
    store.write_document("notes/0123", {"text": f"facts: read from {said}"})
    store.write_document("models/0123", {"name": f"the base model '{home}/m'", "stamp": "1", "content": "abc"})
    store.write_document("environment", {"learner": {"base": f"{home}/m", "device": "gerudo-9"}})
    store.write_document("sittings/001", {"begun": "2026-11-30T10:00:00+0000", "platform": "gerudo-9"})
    store.write_document("status/one", {"stage": said})
    results = {"config": {"model_args": {"data": f"{home}/data/sciq.parquet"}}, "pretty_env_info": said, "n-shot": 0}
    store.write_document(f"{results_of(cell, 2, 'warm')}/results_2026-11-30", results)
    numbers = pa.table({"generation": [2], "model": ["warm"], "task": ["sciq"], "metric": ["acc"], "value": [0.5]})
    store.write_table("evaluation", cell, 2, numbers)
    store.write_result("evaluation", numbers.append_column("cell", pa.array([cell])))
    pool = store.read_table("pool", document["cells"][1]["cell"], 1)
    texts = [f"see {home}/x", *pool.column("completion").to_pylist()[1:]]
    place = pool.schema.get_field_index("completion")
    store.write_table("pool", document["cells"][1]["cell"], 1, pool.set_column(place, "completion", pa.array(texts)))
    store.end()
    states = folder / "checkpoints" / document["cells"][1]["cell"] / "generation-002"
    settings = {"_name_or_path": f"{home}/models/llama", "base": "/opt/triforce/m", "hidden": 16}
    kept = shutil.copytree(states, tmp_path / "kept")
    open_store(folder, worker=True).write_states(
        document["cells"][1]["cell"],
        2,
        dict.fromkeys(("warm", "cold")),
        lambda _, path: _fill(kept / path.name, path, settings),
    )
    return folder


def _fill(source: Path, path: Path, settings: dict) -> None:
    for each in source.iterdir():
        shutil.copy(each, path / each.name)
    (path / "config.json").write_text(json.dumps(settings))


def test_nothing_of_the_machine_is_in_it(planted, tmp_path):
    export_run(planted, tmp_path / "out" / "x.zip", checkpoints="all")
    with zipfile.ZipFile(tmp_path / "out" / "x.zip") as archive:
        assert len(archive.namelist()) > 20
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(".parquet"):
                content += json.dumps(pq.read_table(pa.BufferReader(content)).to_pylist()).encode()
            for secret in (*SECRETS, str(tmp_path)):
                assert secret.encode() not in content, f"{secret} in {name}"
        assert b"x.py" in archive.read(next(each for each in archive.namelist() if each.startswith("failures/")))
        assert not [each for each in archive.namelist() if each.startswith("status/")]


def test_benchmark_numbers_go_along_with_the_harnesss_files(planted, tmp_path):
    export_run(planted, tmp_path / "x")
    cell = Run.load(planted).cells["cell"][0]
    store = open_store(tmp_path / "x")
    assert store.read_table("evaluation", cell, 2).to_pylist()[0]["value"] == 0.5
    document = store.read_document(f"{results_of(cell, 2, 'warm')}/results_2026-11-30")
    assert document["config"] == {"model_args": {"data": "[removed]/sciq.parquet"}}
    assert document["n-shot"] == 0
    names = [each["config_name"] for each in front_matter(tmp_path / "x" / "README.md")["configs"]]
    assert "evaluation" in names


def test_nothing_of_the_machine_is_in_its_real_report(planted, tmp_path):
    """By the command in a process of its own, whose user has that name: the page is drawn from what was cleaned."""
    home = planted.parents[1]
    command = [sys.executable, "-m", "crossfeed", "export", str(planted), "x", "--quiet"]
    environment = os.environ | {"HOME": str(home), "USER": "gerudo-9", "CROSSFEED_CACHE": str(tmp_path / "cache")}
    answer = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    texts = [
        path for path in (home / "x").rglob("*") if path.suffix in {".html", ".csv", ".tex", ".svg", ".json", ".md"}
    ]
    assert len(texts) > 20
    for path in texts:
        assert not [each for each in (*SECRETS, str(tmp_path)) if each in path.read_text()], path


def test_text_of_strangers_is_no_markup_in_the_card(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "run")
    store = open_store(folder, worker=True)
    store.write_document("environment", {"packages": {"crossfeed": "[x](http://y) <script>"}})
    export_run(folder, tmp_path / "x")
    text = (tmp_path / "x" / "README.md").read_text()
    assert "<script>" not in text
    assert r"\[x\](http" in text
    assert "[x](http" not in text.replace(r"\[x\]", "")


def test_a_file_of_weights_that_holds_a_path_is_refused(planted, tmp_path):
    store = open_store(planted, worker=True)
    cell = Run.load(planted).cells["cell"][1]
    home = planted.parents[1]
    header = json.dumps({"__metadata__": {"from": f"{home}/m"}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(64)
    for name, content in (("w.bin", bytes(2**24 - 9) + f"{home}/m".encode()), ("w.safetensors", weights)):
        store.write_states(cell, 2, {"warm": None}, lambda _, path, n=name, c=content: (path / n).write_bytes(c))
        with pytest.raises(StoreError, match=rf"warm/{name} of a checkpoint holds the path"):
            export_run(planted, tmp_path / "out", checkpoints="all")
        assert not (tmp_path / "out").exists()
    export_run(planted, tmp_path / "out", checkpoints="none")


@pytest.fixture(scope="module")
def with_paths(tmp_path_factory) -> Path:
    """A run whose description names folders, on its grid too."""
    place = tmp_path_factory.mktemp("data") / "ganondorf"
    place.mkdir()
    for name in ("a", "b", "c"):
        rows = [f"{0.1 * k},{(k * 7) % 11}" for k in range(60)]
        (place / f"{name}.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    text = f"""
name: paths
ecosystem: {{entities: [{{name: a, private: p}}], alpha: 0.5, beta: 0.5}}
learner: {{kind: gaussian}}
tasks: {{p: {{source: columns, path: {place}/a.csv, columns: [x, y], test: 20}}}}
public: {{source: columns, columns: [x, y], test: 20}}
n: 10
generations: 1
metrics: {{loss: {{}}}}
grid: {{public.path: [{place}/b.csv, {place}/c.csv]}}
"""
    folder = tmp_path_factory.mktemp("runs") / "paths"
    run(Experiment.from_yaml(text), open_store(folder))
    return folder


def test_a_run_whose_paths_were_taken_out_is_shown_and_not_gone_on_with(with_paths, tmp_path):
    exported = export_run(with_paths, tmp_path / "x")
    assert exported.manifest.removed == ["tasks.p.path", "public.path", "grid.public.path"]
    assert b"ganondorf" not in b"".join(path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file())
    before, after = Run.load(with_paths), Run.load(tmp_path / "x")
    assert after.id == before.id
    assert len(after.records) == len(before.records)
    assert after.records["value"].equals(before.records["value"])
    old, new = before.cells["cell"], after.cells["cell"]
    assert not set(old) & set(new), "names of cells are made of the grid's values"
    assert [len(after.pool(cell, 1)) for cell in new] == [len(before.pool(cell, 1)) for cell in old]
    assert set(after.pool(new[0], 1)["cell"]) == {new[0]}
    again = export_run(tmp_path / "x", tmp_path / "y")
    assert again.manifest.removed == exported.manifest.removed
    answer = crossfeed_cli("show", str(tmp_path / "x"))
    assert (answer.code, answer.err) == (0, "")
    answer = crossfeed_cli("run", str(tmp_path / "x"))
    assert answer.code == 2
    assert "tasks.p.path, public.path" in answer.err


def test_a_run_of_many_cells_is_exported_from_its_packs(tmp_path):
    seeds = f"seeds={list(range(22))}"
    small = ("generations=1", "n=4", "pool_size=4", "public.test=2", "checkpoints=none", "metrics={loss: {}}", seeds)
    run(Experiment.from_yaml(read_preset("fake"), small), open_store(tmp_path / "many"))
    assert list((tmp_path / "many" / "packs").iterdir()), "66 cells are packed"
    export_run(tmp_path / "many", tmp_path / "x")
    assert Run.load(tmp_path / "x").records.equals(Run.load(tmp_path / "many").records)
    assert len(list(tmp_path.glob("x/packs/records/*.parquet"))) == 1


def test_images_are_shown_as_images(tmp_path):
    pytest.importorskip("PIL")
    datasets = pytest.importorskip("datasets")
    import io

    from PIL import Image

    from crossfeed.sharing.card import configs_of, run_card
    from crossfeed.sharing.copying import Copied

    picture = io.BytesIO()
    Image.new("L", (8, 8), 7).save(picture, "PNG")
    columns = {"prompt": ["a", "b"], "completion": [picture.getvalue(), None], "key": pa.array([1, 2], pa.uint64())}
    columns |= {"embedding": pa.array([[0.5], [1.0]], pa.list_(pa.float32()))}
    (tmp_path / "packs" / "pool").mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "packs" / "pool" / "0001-x.parquet")
    pq.write_table(pa.table({"value": [1.0], "raw": [b"no image"]}), tmp_path / "records.parquet")
    experiment = Experiment.from_yaml(read_preset("fake"))
    copied = Copied(experiment, [], {"pool": [["packs/pool/0001-x.parquet"]]})
    configs = configs_of(tmp_path, copied)
    (tmp_path / "README.md").write_text(run_card(Facts("0", experiment, [], [], "", {}, []), copied, configs))
    (described,) = front_matter(tmp_path / "README.md")["dataset_info"]
    assert described["config_name"] == "pool"
    shown = datasets.load_dataset(str(tmp_path), "pool", split="train", cache_dir=str(tmp_path / "cache"))
    assert shown[0]["completion"].size == (8, 8)
    assert shown[1]["completion"] is None
    assert shown[1]["embedding"] == [1.0]


def test_a_run_of_the_first_schema_is_exported(tmp_path):
    golden = Path(__file__).parents[1] / "golden" / "schema-1"
    export_run(golden, tmp_path / "x", checkpoints="last")
    assert Run.load(tmp_path / "x").records.equals(Run.load(golden).records)


def test_nothing_is_overwritten_and_nothing_is_left_behind(made, tmp_path, monkeypatch):
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(InvalidInput, match="is there already"):
        export_run(made, tmp_path / "there.zip")
    assert (tmp_path / "there.zip").read_text() == "mine"

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfeed.sharing.exporting._describe", interrupted)
    for name in ("new.zip", "new"):
        with pytest.raises(KeyboardInterrupt):
            export_run(made, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]


def test_the_command_says_what_it_did(planted, tmp_path):
    answer = crossfeed_cli("export", str(planted), str(tmp_path / "x.zip"), "--quiet")
    assert answer.code == 0, answer.err
    assert "removed  folders of this machine in 1 texts of tables" in answer.out
    assert answer.out.endswith(f"export   {tmp_path}/x.zip\n")
    for arguments, words in (
        ((str(tmp_path / "none"), "x.zip"), "not a crossfeed run"),
        ((str(planted), str(tmp_path / "x.zip")), "is there already"),
        ((str(planted), str(tmp_path / "x.zip" / "y")), "cannot be written"),
    ):
        answer = crossfeed_cli("export", *arguments, "--quiet")
        assert answer.code == 2
        assert words in answer.err
        assert answer.err.count("\n") == 1
