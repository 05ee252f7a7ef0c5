"""What is asked often, or read by programs, waits for no library that it has no use for."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import crossfeed.running.status, crossfeed.store.folder", {"numpy", "pyarrow", "pandas", "yaml"}),
        (
            "from crossfeed.cli.app import read_experiment\nfrom crossfeed.exact.prediction import predict\n"
            "predict(read_experiment('collapse-linear', ['generations=2']))",
            {"pandas", "matplotlib"},
        ),
    ],
    ids=["status", "predict"],
)
def test_it_does_not_load(code, heavy):
    code += f"\nimport sys\nprint(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
