"""Command lines, and words that the refusal must hold; `places` makes the files that they speak of."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from tests.faults.corpus.fields import BASE
from tests.tiny import LINEAR

__all__ = ["COMMANDS", "FINE_COMMANDS", "places"]

_HUGE: Final = "9" * 400


def places(folder: Path, run: Path) -> None:
    """Fill a folder with what command lines speak of.

    Args:
        folder: An empty folder.
        run: A finished run's folder, which is copied.
    """
    (folder / "good.yaml").write_text(BASE)
    (folder / "linear.yaml").write_text(LINEAR)
    (folder / "file").write_text("not a folder")
    (folder / "empty").mkdir()
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.tex").write_text("years of work")
    (folder / "locked").mkdir()
    os.mkfifo(folder / "pipe")
    shutil.copytree(run, folder / "run")
    for name, content in {
        "no-json": "{",
        "a-list": "[]",
        "no-schema": "{}",
        "words-for-schema": '{"schema": "one"}',
        "from-the-future": '{"schema": 99}',
        "not-utf-8": "\udcff",
    }.items():
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(content, errors="surrogateescape")
    for name, content in {
        "no-description": None,
        "bad-description": "a: [",
        "other-description": BASE.replace("n: 10", "n: 11"),
        "bomb": "a: &a [*a]",
    }.items():
        shutil.copytree(run, folder / name)
        (folder / name / "experiment.yaml").unlink()
        if content is not None:
            (folder / name / "experiment.yaml").write_text(content)
    shutil.copytree(run, folder / "bad-environment")
    (folder / "bad-environment" / "environment.json").write_text("[1")
    shutil.copytree(run, folder / "bad-records")
    for path in (folder / "bad-records" / "records").rglob("*.parquet"):
        path.write_bytes(b"PAR1 and then nothing PAR1")
    shutil.copytree(run, folder / "schema-of-words")
    document = json.loads((run / "run.json").read_text())
    (folder / "schema-of-words" / "run.json").write_text(json.dumps(document | {"schema": True, "id": ["x"]}))


COMMANDS: Final[list[tuple[list[str], tuple[str, ...]]]] = [
    # What to run.
    (["run"], ("PRESET|FILE",)),
    (["run", "good.yaml", "good.yaml"], ("good.yaml",)),
    (["run", ""], ("''", "neither")),
    (["run", "nothing"], ("nothing", "neither", "quickstart")),
    (["run", "quikcstart"], ("quikcstart", "Did you mean quickstart?")),
    (["run", "QUICKSTART"], ("QUICKSTART",)),
    (["run", "nothing.yaml"], ("nothing.yaml", "No such file")),
    (["run", "missing/x.yaml"], ("missing/x.yaml", "No such file")),
    (["run", "empty"], ("empty", "not a crossfeed run", "run.json")),
    (["run", "/"], ("/:", "not a crossfeed run")),
    (["run", "run", "--set", "n=7"], ("--set n=7", "another experiment", "experiment.yaml")),
    (["run", "run", "--out", "there"], ("--out there", "goes on where it is")),
    (["run", "no-json"], ("no-json", "run.json")),
    (["run", "bad-description"], ("bad-description", "experiment.yaml")),
    (["run", "from-the-future"], ("from-the-future", "99", "upgrade")),
    (["run", "file/x.yaml"], ("file/x.yaml", "Not a directory")),
    (["run", "file"], ("mapping", "not a folder")),
    (["run", "/dev/null"], ("mapping",)),
    (["run", "/dev/zero"], ("characters",)),
    (["run", "x" * 5000], ("xxx", "too long")),
    (["run", "a\0b"], ("null",)),
    (["run", "\x1b[2J\u202e.yaml"], ("\\x1b[2J\\u202e.yaml",)),
    (["run", "\udcff.yaml"], ("\\udcff.yaml",)),
    (["run", "https://example.org/x.yaml"], ("https://example.org/x.yaml", "neither")),
    (["run", "good.yaml", "--nothing"], ("--nothing",)),
    (["run", "good.yaml", "--quite"], ("--quite", "--quiet")),
    (["run", "good.yaml", "--quiet=5"], ("--quiet",)),
    (["run", "good.yaml", "-x"], ("-x",)),
    (["run", "--", "--good.yaml"], ("--good.yaml",)),
    # --set.
    (["run", "good.yaml", "--set"], ("--set",)),
    (["run", "good.yaml", "--set", ""], ("--set",)),
    (["run", "good.yaml", "--set", "="], ("--set =", "path.to.key=value")),
    (["run", "good.yaml", "--set", "n"], ("--set n", "path.to.key=value")),
    (["run", "good.yaml", "--set", "=5"], ("--set =5",)),
    (["run", "good.yaml", "--set", " =5"], ("--set  =5",)),
    (["run", "good.yaml", "--set", "n="], ("n", "missing")),
    (["run", "good.yaml", "--set", "n=="], ("n:", "'='")),
    (["run", "good.yaml", "--set", "n=[1"], ("--set n:", "not YAML")),
    (["run", "good.yaml", "--set", "n=\x1b[2J"], ("--set n:",)),
    (["run", "good.yaml", "--set", "n=5 # five", "--set", "n=x"], ("n:", "'x'")),
    (["run", "good.yaml", "--set", f"n={_HUGE}"], ("n", "whole number")),
    (["run", "good.yaml", "--set", f"n={'9' * 5000}"], ("--set n:", "no int")),
    (["run", "good.yaml", "--set", "n=&a [*a]"], ("--set n:", "refer to each other")),
    (["run", "good.yaml", "--set", "n=" + "[" * 5000], ("--set n:", "50 deep")),
    (["run", "good.yaml", "--set", "n=!!python/object/apply:os.system [ls]"], ("--set n:", "python/object")),
    (["run", "good.yaml", "--set", ".=5"], ("--set .=5", "not a dotted path")),
    (["run", "good.yaml", "--set", "n.=5"], ("--set n.=5", "not a dotted path")),
    (["run", "good.yaml", "--set", ".n=5"], ("--set .n=5", "not a dotted path")),
    (["run", "good.yaml", "--set", "ecosystem..alpha=5"], ("--set ecosystem..alpha=5", "not a dotted path")),
    (["run", "good.yaml", "--set", f"{'a.' * 20_000}a=5"], ("--set", "levels")),
    (["run", "good.yaml", "--set", "n.x=5"], ("--set n.x=5", "10")),
    (["run", "good.yaml", "--set", "ecosystem.entities.2.share=5"], ("entities.2.share", "list of 2")),
    (["run", "good.yaml", "--set", "ecosystem.entities.x.share=5"], ("entities.x.share", "list of 2")),
    (["run", "good.yaml", "--set", "ecosystem.entities.\u00b2.share=5"], ("list of 2",)),
    (["run", "good.yaml", "--set", f"ecosystem.entities.{_HUGE}.share=5"], ("list of 2",)),
    (["run", "good.yaml", "--set", "ecosystem.__class__=5"], ("ecosystem.__class__", "unknown key")),
    (["run", "good.yaml", "--set", "ecosystem/alpha=5"], ("ecosystem/alpha", "unknown key")),
    (["run", "good.yaml", "--set", "\x1b[2J=5"], ("\\x1b[2J", "unknown key")),
    (["run", "good.yaml", "--set", "\udcff=5"], ("\\udcff",)),
    (["run", "good.yaml", "--set", "x" * 100_000 + "=5"], ("unknown key",)),
    (["run", "good.yaml", "--set", "grid=5"], ("grid",)),
    (["run", "good.yaml", "--set", "grid.=[1]"], ("grid",)),
    (["run", "good.yaml", "--set", "grid.n=5"], ("grid.n",)),
    (["run", "good.yaml", "--set", "grid.nowhere=[1]"], ("nowhere",)),
    (["run", "good.yaml", "--set", "grid.n=[1, 1]"], ("grid", "n-1_seed-0")),
    (["run", "good.yaml", "--set", "grid.ecosystem=[{}]", "--set", "ecosystem.alpha=1"], ("ecosystem is on the grid",)),
    (["run", "good.yaml", "--set", f"grid.n={list(range(1, 60_000))}", "--set", "seeds=[0, 1]"], ("grid", "119,998")),
    (["run", "good.yaml", "--set", "tasks=5"], ("tasks",)),
    (["run", "good.yaml", "--set", "tasks.warm=5"], ("tasks.warm",)),
    (["run", "good.yaml", "--set", "metrics.colour=true"], ("metrics", "colour")),
    (["run", "good.yaml", "--set", "name=../../evil"], ("name", "../../evil")),
    # Folders.
    (["run", "good.yaml", "--out"], ("--out",)),
    (["run", "good.yaml", "--out", ""], ("--out",)),
    (["run", "good.yaml", "--out", "file"], ("file",)),
    (["run", "good.yaml", "--out", "good.yaml/run"], ("good.yaml/run",)),
    (["run", "good.yaml", "--out", "taken"], ("taken", "--out")),
    (["run", "good.yaml", "--out", "."], ("--out",)),
    (["run", "good.yaml", "--out", "a\0b"], ("--out", "NUL")),
    (["run", "good.yaml", "--out", "x" * 5000], ("xxx", "too long")),
    (["run", "good.yaml", "--out", "/proc/run"], ("/proc/run",)),
    (["run", "good.yaml", "--out", "/dev/null"], ("/dev/null",)),
    (["run", "good.yaml", "--out", "run", "--set", "n=11"], ("run", "--out")),
    (["run", "good.yaml", "--out", "from-the-future"], ("from-the-future", "99", "upgrade")),
    (["run", "good.yaml", "--out", "no-json"], ("no-json",)),
    (["run", "good.yaml", "--out", "a-list"], ("a-list",)),
    (["run", "good.yaml", "--data-root"], ("--data-root",)),
    (["run", "good.yaml", "--data-root", ""], ("--data-root",)),
    (["run", "good.yaml", "--data-root", "nowhere"], ("--data-root nowhere",)),
    (["run", "good.yaml", "--data-root", "file"], ("--data-root file",)),
    (["run", "good.yaml", "--data-root", "a\0b"], ("--data-root",)),
    (["run", "good.yaml", "--data-root", "empty", "--set", "tasks.warm=gsm8k"], ("warm", "empty/gsm8k")),
    # Reading runs.
    *[
        ([command, *arguments], words)
        for command in ("show", "report")
        for arguments, words in (
            ([], ("RUN",)),
            (["run", "run"], ("run",)),
            (["nowhere"], ("nowhere", "not a crossfeed run")),
            ([""], ()),
            (["file"], ("file",)),
            (["empty"], ("empty", "not a crossfeed run")),
            (["taken"], ("taken", "not a crossfeed run")),
            (["a\0b"], ("NUL",)),
            (["x" * 5000], ("xxx",)),
            (["\x1b[2J"], ("U+001B",)),
            (["\udcff"], ("U+DCFF",)),
            (["no-json"], ("no-json", "run.json")),
            (["a-list"], ("a-list", "run.json")),
            (["no-schema"], ("no-schema", "schema")),
            (["words-for-schema"], ("words-for-schema", "schema")),
            (["schema-of-words"], ("schema-of-words",)),
            (["not-utf-8"], ("not-utf-8", "run.json")),
            (["from-the-future"], ("from-the-future", "99", "upgrade")),
            (["no-description"], ("no-description", "experiment.yaml")),
            (["bad-description"], ("bad-description", "experiment.yaml")),
            (["bomb"], ("bomb", "experiment.yaml")),
            (["other-description"], ("other-description",)),
            (["bad-environment"], ("bad-environment", "environment.json")),
            (["bad-records"], ("bad-records", ".parquet")),
        )
    ],
    (["report", "run", "--nothing"], ("--nothing",)),
    (["show", "run", "-x"], ("-x",)),
    # Theory.
    *[
        ([command, *arguments], words)
        for command in ("predict", "plan")
        for arguments, words in (
            ([], ("PRESET|FILE",)),
            (["nothing"], ("nothing", "neither")),
            (["empty"], ("empty", {"predict": "directory", "plan": "not a crossfeed run"}[command])),
            (["linear.yaml", "--nothing"], ("--nothing",)),
            (["linear.yaml", "--set", "ecosystem.alpha=.nan"], ("ecosystem.alpha", "nan")),
            (["linear.yaml", "--set", "ecosystem.alpha=2"], ("ecosystem.alpha", "2")),
            (["linear.yaml", "--set", "generations=1000000000000"], ("generations", "1000000000000")),
            (["linear.yaml", "--set", "learner.noise=.inf"], ("learner.noise", "inf")),
            (["linear.yaml", "--set", "learner.noise=-1"], ("learner.noise", "-1")),
            (["linear.yaml", "--set", "tasks.p.rank=9"], ("tasks.p", "rank")),
            (["linear.yaml", "--set", "tasks.p.dimension=1000000000"], ("tasks.p", "dimension")),
            (["linear.yaml", "--set", "tasks.p.rows=1000000000000000"], ("tasks.p", "rows")),
            (["linear.yaml", "--set", "tasks.p.replicates=1000000000000000"], ("tasks.p", "replicates")),
            (["linear.yaml", "--set", "tasks.p.entity=1000000000000000"], ("tasks.p", "entity")),
            (["linear.yaml", "--set", "tasks.p.truth=[1]"], ("truth", "3")),
            (["linear.yaml", "--set", "tasks.p={source: regression, features: nowhere.npz}"], ("nowhere.npz",)),
            (["linear.yaml", "--set", "tasks.p={source: regression, features: file}"], ("file", "numpy.savez")),
            (["linear.yaml", "--set", "tasks.p={source: regression, features: empty}"], ("empty", "numpy.savez")),
            (["linear.yaml", "--set", "tasks.p=facts"], ("p", "regression")),
            (["linear.yaml", "--out", "file", "--set", "generations=1"], ("file", "--out")),
            (["linear.yaml", "--out", "a\0b", "--set", "generations=1"], ("--out", "NUL")),
        )
    ],
    (["predict", "good.yaml"], ("fake",)),
    (["predict", "quickstart"], ("language",)),
    (["plan", "quickstart", "--objective", "nobody"], ("--objective nobody", "mean, worst")),
    (["plan", "quickstart", "--budget", "nan"], ("budget", "nan")),
    (["plan", "quickstart", "--horizon", "2"], ("--horizon 2",)),
    (["plan", "linear.yaml", "--budget", "2"], ("--budget 2",)),
    (["plan", "linear.yaml", "--objective"], ("--objective",)),
    (["plan", "linear.yaml", "--objective", ""], ("--objective",)),
    (["plan", "linear.yaml", "--objective", "nobody"], ("--objective nobody", "mean, worst")),
    (["plan", "linear.yaml", "--objective", "\x1b[2J"], ("--objective", "U+001B")),
    (["plan", "linear.yaml", "--set", "grid.n=[1]"], ("n:", "leave it out")),
    (["plan", "figure-4", "--set", "ecosystem.update=replace"], ("update",)),
    # The rest.
    (["presets", "nothing"], ("nothing", "quickstart")),
    (["presets", ""], ("''", "quickstart")),
    (["presets", "../quickstart"], ("../quickstart",)),
    (["presets", "fake", "fake"], ("fake",)),
    (["presets", "--nothing"], ("--nothing",)),
    (["nothing"], ("nothing",)),
    ([""], ("command",)),
    (["--nothing"], ("--nothing",)),
    (["\x1b[2J"], ("command",)),
    (["run --help"], ("run --help",)),
]

FINE_COMMANDS: Final[list[list[str]]] = [
    ["run", "good.yaml", "--set", "n= 5"],
    ["run", "good.yaml", "--set", "n=0x10"],
    ["run", "good.yaml", "--set", "tasks.warm.words=[a, b]"],
    ["run", "good.yaml", "--set", "metrics.similarity=true"],
    ["run", "good.yaml", "--set", "description=a=b=c"],
    ["run", "good.yaml", "--set", "description=2026-01-01"],
    ["run", "good.yaml", "--set", 'description="\\e[2J"'],
    ["run", "./good.yaml", "--out", "new/and/deep"],
    ["run", "good.yaml", "--out", "empty"],
    [
        "run",
        "good.yaml",
        "--out",
        "grid",
        "--set",
        "grid.tasks=[{warm: facts, cold: math}, {warm: facts, cold: math, x: math}]",
    ],
    ["run", "good.yaml", "--data-root", "empty"],
    ["show", "run"],
    ["report", "run/"],
    ["presets"],
    ["presets", "fake"],
    ["predict", "linear.yaml", "--set", "generations=0", "--json"],
    ["--help"],
    ["--version"],
]
