"""The report of a finished run against a former commit's, in processor time of whole commands of one thread.

    git worktree add ../before COMMIT
    crossfeed run quickstart --out RUN
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/report.py ../before RUN

Both write every file of the page, by turns, and the medians of three rounds count. Below: which of the vector figures
and tables are the same in both (ids within an SVG are counted through, because matplotlib draws them by chance).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from planning import by_turns, processor_seconds
from tell import show

_ID = re.compile(r"\b(?:image|[mpch])[0-9a-f]{8,10}\b")


def counted_through(svg: str) -> str:
    """The same SVG with its ids numbered in the order of their first use."""
    numbers: dict[str, str] = {}
    return _ID.sub(lambda match: numbers.setdefault(match[0], f"id{len(numbers)}"), svg)


def same(old: Path, new: Path) -> bool:
    if new.suffix == ".svg":
        return counted_through(old.read_text()) == counted_through(new.read_text())
    return old.read_bytes() == new.read_bytes()


def main():
    builds = {"before": Path(sys.argv[1]).resolve(), "now": Path(__file__).resolve().parents[1]}
    run = Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        places = {path: Path(folder) / name for name, path in builds.items()}

        def write(path):
            command = ("-m", "crossfeed", "report", str(run), "--out", str(places[path]))
            return processor_seconds(path, *command)[0]

        medians, ratio = by_turns(builds, write)
        show(
            ["", "before, s", "now, s", "ratio"],
            [["crossfeed report", f"{medians['before']:.2f}", f"{medians['now']:.2f}", f"{ratio:.1f}"]],
        )
        old, new = places[builds["before"]], places[builds["now"]]
        files = [p.relative_to(new) for p in sorted(new.rglob("*")) if p.suffix in {".svg", ".csv", ".tex"}]
        other = [str(p) for p in files if not (old / p).exists() or not same(old / p, new / p)]
        print(f"{len(files) - len(other)} of {len(files)} figures and tables are the same; others: {other}")


if __name__ == "__main__":
    main()
