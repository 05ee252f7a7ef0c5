"""Every command where crossfeed is installed without extras: it works, or one line says which extra to install.

Run by the interpreter of that environment, in which nothing else is installed::

    python tests/install/commands.py

It prints a line for each command and exits with 1 if one did something else. `matrix.sh` runs it for every Python.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

WORKS: tuple[tuple[str, ...], ...] = (
    ("--version",),
    ("--help",),
    ("presets",),
    ("presets", "figure-4"),
    ("keys",),
    ("keys", "learner.language"),
    ("schema",),
    ("doctor",),
    ("predict", "figure-4", "--out", "predicted"),
    ("plan", "figure-2", "--out", "planned"),
    ("evidence",),
    ("check", "fake"),
    ("run", "fake", "--out", "runs/fake", "--quiet"),
    ("run", "collapse-linear", "--out", "runs/linear", "--quiet"),
    ("run", "fake", "--out", "runs/other", "--set", "seeds=[1]", "--quiet"),
    ("merge", "runs/fake", "runs/other", "--out", "runs/both", "--quiet"),
    ("extend", "runs/other", "--generations", "6", "--quiet"),
    ("run", "fake", "--out", "runs/shared", "--cells", "1/1", "--quiet"),
    ("slurm", "fake"),
    ("export", "runs/fake", "fake.zip"),
    ("import", "fake.zip", "--out", "runs/imported"),
    ("show", "runs/fake"),
    ("status", "runs/fake"),
    ("report", "runs/fake"),
    ("collapse", "runs/linear"),
    ("compare", "runs/fake", "--paired"),
    ("forecast", "figure-4", "--out", "forecasts"),
    ("run", "fake", "--out", "runs/tracked", "--track", "tensorboard", "--quiet"),  # a run outlives its tracker
)
"""Commands that need no extra."""

NEEDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lm", ("run", "quickstart", "--out", "runs/quickstart")),
    ("lm", ("check", "quickstart")),
    ("lm", ("forecast", "quickstart")),
    ("lm", ("run", "opt-350m-k2", "--out", "runs/opt")),
    ("lm", ("doctor", "--model", ".")),
    ("eval", ("evaluate", "runs/fake", "--tasks", "sciq")),
    ("explore", ("explore", "figure-4")),
    ("images", ("run", "digits", "--out", "runs/digits")),
    ("density", ("run", "real-share-gmm", "--out", "runs/gmm")),
    ("measure", ("run", "fake", "--out", "runs/mauve", "--set", "metrics={mauve: {}}")),
    ("pool", ("run", "fake", "--out", "runs/twins", "--set", "ecosystem.curation={duplicates: {}}")),
    ("pool", ("run", "fake", "--out", "runs/ranked", "--set", "ecosystem.access={rank: bm25}")),
    ("hub", ("push", "runs/fake", "hf://datasets/me/mine")),
    ("ray", ("run", "fake", "--out", "runs/ray", "--executor", "ray")),
    ("remote", ("run", "fake", "--out", "s3://bucket/run")),
    ("remote", ("show", "s3://bucket/run")),
)
"""Commands that need an extra, with its name: they exit with 2."""


def _said(arguments: tuple[str, ...]) -> tuple[int, str]:
    command = [sys.executable, "-m", "crossfeed", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return done.returncode, f"{done.stdout}\n{done.stderr}"


def _wrong(arguments: tuple[str, ...], extra: str) -> str:
    """What is wrong with what a command did; empty if nothing."""
    code, said = _said(arguments)
    if not extra:
        return "" if code == 0 else f"exit code {code}: {said.strip()[-300:]}"
    named = any(f"crossfeed[{extra}" in line or f",{extra}" in line for line in said.splitlines())
    return "" if code == 2 and named and "Traceback" not in said else f"exit code {code}: {said.strip()[-300:]}"


def main() -> int:
    """Try all of them in a folder of their own."""
    import os

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for extra, arguments in (*(("", each) for each in WORKS), *NEEDS):
            found = _wrong(arguments, extra)
            wrong += bool(found)
            expected = f"names the extra {extra}" if extra else "works"
            line = f"{'WRONG' if found else 'ok':5}  {expected:22}  crossfeed {' '.join(arguments)}  {found}"
            print(line, flush=True)
        os.chdir(Path(sys.prefix))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
