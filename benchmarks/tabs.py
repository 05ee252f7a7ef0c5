"""What tabs of the explorer wait for while all of them move sliders at once, in this build and in another one.

    git worktree add ../before COMMIT
    python benchmarks/tabs.py --before ../before/src [--tabs 50] [--seconds 20]

Each tab asks again as soon as it is answered, as a page does while a slider is dragged; nothing is drawn. ``one
slider``: each tab moves one slider of its own, so that tabs come upon the same settings. ``two sliders``: alpha and
beta, drawn at random, so that hardly any two questions are equal. Seconds that answers took, and processor time of the
server for each; the builds take turns, on the machine as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tell import say, show
from websocket_tab import Tab, explorer

import crossfeed

HERE = str(Path(crossfeed.__file__).parents[1])
SPANS: dict[str, Callable[[random.Random], float]] = {
    "alpha": lambda some: some.randrange(101) / 100,
    "beta": lambda some: some.randrange(101) / 100,
    "noise": lambda some: some.randrange(81) / 20,
    "rank": lambda some: some.randrange(1, 16),
    "entities": lambda some: some.randrange(1, 21),
}
MOVES = {"one slider": lambda n: [list(SPANS)[n % len(SPANS)]], "two sliders": lambda n: ["alpha", "beta"]}


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drag(tab: Tab, moves: Iterator[dict[str, float]], until: float, waits: list[float]) -> None:
    turn = 0
    while time.perf_counter() < until:
        turn, begun = turn + 1, time.perf_counter()
        await tab.ask(turn, next(moves))
        await tab.answered(turn)
        waits.append(time.perf_counter() - begun)


def moves(names: list[str], number: int) -> Iterator[dict[str, float]]:
    some = random.Random(number)
    while True:
        yield {name: SPANS[name](some) for name in names}


async def measured(address: str, process: int, kind: str, given: argparse.Namespace) -> tuple[list[float], float]:
    """Seconds of all answers, and seconds of the server's processor for each."""
    tabs = [await Tab.at(address) for _ in range(given.tabs)]
    waits: list[float] = []
    begun, until = processor_seconds(process), time.perf_counter() + given.seconds
    await asyncio.gather(*(drag(tab, moves(MOVES[kind](n), n), until, waits) for n, tab in enumerate(tabs)))
    spent = (processor_seconds(process) - begun) / len(waits)
    await asyncio.gather(*(tab.close() for tab in tabs))
    return waits, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, help="src of the other build")
    parser.add_argument("--tabs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    rows = []
    for kind in MOVES:
        medians = {}
        for build, source in (("before", given.before), ("now", HERE)):
            say(f"{kind}, {build}")
            with explorer(environment={"PYTHONPATH": source}) as (address, process):
                waits, spent = asyncio.run(measured(address, process, kind, given))
            medians[build] = statistics.median(waits)
            rows.append([kind, build, len(waits), medians[build], max(waits), 1000 * spent])
        rows[-1].append(f"{medians['before'] / medians['now']:.1f}")
        rows[-2].append("")
    say(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    show(["moves", "build", "answers", "median, s", "longest, s", "processor ms an answer", "before / now"], rows)


if __name__ == "__main__":
    main()
