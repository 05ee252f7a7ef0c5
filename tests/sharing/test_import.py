"""What arrives is what was sent, goes on as if it had never been away, or is refused in one line."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossfeed import Experiment, Run, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import StoreError
from crossfeed.learners import fake
from crossfeed.sharing.exporting import export_run
from crossfeed.sharing.importing import import_run
from crossfeed.sharing.manifest import MANIFEST, describe
from tests.faults.cli import check_refused, crossfeed_cli, empty_report
from tests.runs import numbers
from tests.sharing.conftest import SMALL


@pytest.fixture(scope="module")
def sent(made, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("sent") / "fake.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossfeed.reporting.html.write_report", empty_report)
        export_run(made, file, checkpoints="last")
    return file


def changed(sent: Path, to: Path, change: Callable[[str, bytes], bytes | None] = lambda _, content: content) -> Path:
    """A copy of an archive, file by file; None leaves one out."""
    with zipfile.ZipFile(sent) as before, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = change(name, before.read(name))
            if content is not None:
                after.writestr(name, content)
    return to


def relisted(sent: Path, to: Path, files: dict[str, bytes], **fields) -> Path:
    """A copy with files added or replaced whose list is right about them: whoever sends it made the list, too."""

    def change(name: str, content: bytes) -> bytes | None:
        if name != MANIFEST:
            return None if name in files else content
        document = json.loads(content) | fields
        for path, new in files.items():
            document["files"][path] = {"bytes": len(new), "sha256": hashlib.sha256(new).hexdigest()}
        return json.dumps(document).encode()

    changed(sent, to, change)
    with zipfile.ZipFile(to, "a", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return to


def refused(file: Path, tmp_path: Path, *words: str) -> None:
    """The command refuses it in one line, and leaves nothing behind."""
    before = sorted(path for path in tmp_path.rglob("*"))
    answer = crossfeed_cli("import", str(file), "--out", str(tmp_path / "arrived"))
    check_refused(answer, words)
    assert answer.err.count("\n") == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_an_imported_run_is_shown_and_compared(sent, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = crossfeed_cli("import", str(sent))
    place = Path("runs") / f"fake-{Run.load(made).id}"
    assert (answer.code, answer.out, answer.err) == (0, f"run      {place}\n", "")
    assert Run.load(place).records.equals(Run.load(made).records)
    assert crossfeed_cli("show", str(place)).code == 0
    assert crossfeed_cli("report", str(place), str(made), "--out", "both").code == 0
    assert not (place / MANIFEST).exists()
    again = crossfeed_cli("import", str(sent))
    assert again.code == 2
    assert "is there already" in again.err


def test_the_senders_pages_stay_out(sent, tmp_path):
    with zipfile.ZipFile(sent) as archive:
        assert "report/index.html" in archive.namelist()
    assert not (import_run(sent, tmp_path / "x") / "report").exists()


def test_it_goes_on_to_the_same_records(tmp_path, monkeypatch):
    """A run that fails after generation 1 is sent away, and finished there as it would have been here."""
    experiment = Experiment.from_yaml(read_preset("fake"), (*SMALL, "generations=3"))
    whole = run(experiment, open_store(tmp_path / "whole"))
    update = fake.FakeLearner.update
    left = [5]

    def interrupted(*arguments, **named):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return update(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(fake.FakeLearner, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(experiment, open_store(tmp_path / "begun"))
    begun = Run.load(tmp_path / "begun")
    assert {"unfinished"} <= set(begun.cells["state"])
    assert len(begun.records)
    export_run(begun, tmp_path / "begun.zip", checkpoints="last")
    place = import_run(tmp_path / "begun.zip", tmp_path / "arrived")
    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(fake.FakeLearner, "update", lambda *a, **n: calls.append(1) or update(*a, **n))
        outcome = run(Run.load(place).experiment, open_store(place))
    assert numbers(outcome) == numbers(whole)
    assert len(calls) <= 10 - 5, "what was trained before is not trained again"


OUTSIDE = ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "a\\..\\out.txt", "C:/out.txt", "./a", "a//b"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_out_of_the_folder_is_refused(sent, tmp_path, name):
    file = relisted(sent, tmp_path / "x.zip", {name: b"harmless"})
    refused(file, tmp_path, "nothing was unpacked")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("name", [b"\0ZZZ", b"Z\0ZZ"])
def test_a_name_with_nul_is_refused(sent, tmp_path, name):
    file = relisted(sent, tmp_path / "x.zip", {"ZZZZ": b"harmless"})
    file.write_bytes(file.read_bytes().replace(b"ZZZZ", name))
    refused(file, tmp_path, "is not a path within a run; nothing was unpacked")


@pytest.mark.parametrize(("kind", "words"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "no plain file")])
def test_a_link_is_refused(sent, tmp_path, kind, words):
    file = changed(sent, tmp_path / "x.zip")
    entry = zipfile.ZipInfo("pool/link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, "/etc/hostname")
    refused(file, tmp_path, "'pool/link' is " + words)


def test_a_folder_entry_is_refused(sent, tmp_path):
    file = changed(sent, tmp_path / "x.zip")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("pool/", "")
    refused(file, tmp_path, "no plain file")


def test_huge_growth_is_refused_before_anything_is_unpacked(sent, tmp_path):
    file = relisted(sent, tmp_path / "x.zip", {"zeros.bin": bytes(2**27)})
    assert file.stat().st_size < 2**21
    refused(file, tmp_path, "would grow to", "nothing was unpacked")


def test_more_than_the_list_says_is_refused(sent, tmp_path):
    def longer(name: str, content: bytes) -> bytes:
        return content + b"\n" if name == "experiment.yaml" else content

    refused(changed(sent, tmp_path / "x.zip", longer), tmp_path, "experiment.yaml has another size")


def test_more_than_there_is_room_for_is_refused(sent, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    refused(sent, tmp_path, "has room for 100 bytes")


@pytest.mark.parametrize("name", ["records.parquet", "run.json", "report/index.html", "packs/pool"])
def test_an_altered_file_is_refused(sent, tmp_path, name):
    def flipped(path: str, content: bytes) -> bytes:
        if not path.startswith(name):
            return content
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]

    refused(changed(sent, tmp_path / "x.zip", flipped), tmp_path, "its checksum differs")


def test_an_altered_archive_is_refused_at_any_byte(sent, tmp_path):
    """One byte in a hundred places: the archive is refused in one line, or the run is the one that was sent."""
    content = sent.read_bytes()
    right = json.loads(zipfile.ZipFile(sent).read(MANIFEST))["files"]
    kept = {name: about for name, about in right.items() if not name.startswith("report/")}
    faults = []
    for k in range(60):
        place = (k * len(content)) // 60
        file = tmp_path / "x.zip"
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            assert describe(import_run(file, tmp_path / f"arrived-{k}")) == kept
        except StoreError as error:
            faults.append(str(error))
    assert len(faults) > 30
    assert not [fault for fault in faults if "\n" in fault]


def test_missing_and_additional_files_are_refused(sent, tmp_path):
    file = changed(sent, tmp_path / "a.zip", lambda name, content: None if name == "README.md" else content)
    refused(file, tmp_path, "README.md is missing")
    file = changed(sent, tmp_path / "b.zip")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("more.txt", "harmless")
    refused(file, tmp_path, "more.txt is not listed")
    file = changed(sent, tmp_path / "c.zip", lambda name, content: None if name == MANIFEST else content)
    refused(file, tmp_path, f"has no {MANIFEST}")


def test_two_files_of_one_name_are_refused(sent, tmp_path):
    file = relisted(sent, tmp_path / "x.zip", {"readme.MD": b"harmless"})
    refused(file, tmp_path, "two files of one name")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": 99}, "upgrade crossfeed"),
        ({"format": None}, "is none of crossfeed's"),
        ({"id": "../../x"}, "its id is not a name"),
        ({"name": "a/b"}, "its name is not a name"),
        ({"id": "0123456789ab"}, "of another run than its run.json"),
        ({"removed": "all"}, "its removed is not a list of texts"),
    ],
)
def test_a_list_of_another_form_is_refused(sent, tmp_path, fields, words):
    refused(relisted(sent, tmp_path / "x.zip", {}, **fields), tmp_path, words)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "x.zip", tmp_path, "x.zip")


def test_a_truncated_archive_is_refused(sent, tmp_path):
    content = sent.read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "x.zip").write_bytes(content[: int(part * len(content))])
        refused(tmp_path / "x.zip", tmp_path, "is no whole zip file")


def test_a_run_of_a_newer_crossfeed_is_refused(sent, tmp_path):
    newer = json.loads(zipfile.ZipFile(sent).read("run.json")) | {"schema": 99}
    file = relisted(sent, tmp_path / "x.zip", {"run.json": json.dumps(newer).encode()})
    refused(file, tmp_path, "upgrade crossfeed")


def test_a_folder_needs_no_import(made, tmp_path):
    export_run(made, tmp_path / "x")
    check_refused(crossfeed_cli("import", str(tmp_path / "x")), ("an exported folder is a run as it is",))
    check_refused(crossfeed_cli("import", str(tmp_path / "y.zip")), ("no such file",))


def test_an_interrupt_leaves_nothing(sent, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfeed.sharing.importing.document_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_run(sent, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    assert crossfeed_cli("import", str(sent), "--out", str(tmp_path / "x")).code == 130
