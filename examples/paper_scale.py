"""The paper's language-model experiment at its own scale, on one machine, with the figures that say what it costs.

    python examples/paper_scale.py --data-root DATA                            # OPT-350m's architecture, random weights
    python examples/paper_scale.py --data-root DATA --model facebook/opt-350m  # the published model

runs the preset opt-350m-k2 at beta = 0.5 and one alpha for as many generations as the minutes allow, and goes on where
it stopped if it is called again. It prints memory after each generation, seconds by stage, tokens a second in training
and in generation, their share of the matrix products that the device is measured to do, and what the whole of Table 2a
would take (three alphas, T = 15, one generation 0).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from architectures import CONFIGS, texts_of, write

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import LogProgress
from crossfeed.learners.language.pretrained import read_model, read_tokenizer
from crossfeed.learners.language.tokens import ItemTokenizer
from crossfeed.learners.neural.device import Device, open_device

TABLE_ALPHAS = (0.0, 0.5, 1.0)


def main(
    out: Path,
    data_root: Path | None,
    preset: str = "opt-350m-k2",
    model: str | None = None,
    alpha: float = 0.5,
    minutes: float = 20.0,
    overrides: Sequence[str] = (),
) -> dict[str, float]:
    """Run and report.

    Args:
        out: Where the run's folder and a model with random weights are kept.
        data_root: Real data, ``DATA/<data set>/<split>.parquet``; None reads the hub.
        preset: Which preset.
        model: A hub id or local folder; None makes a model with random weights, which needs a data root.
        alpha: The synthetic share.
        minutes: No generation is begun after so many.
        overrides: More fields, ``path.to.key=value``.

    Returns:
        Every number that is printed.
    """
    begun = time.monotonic()
    place = model or str(_random_model(preset, out, data_root))
    chosen = ("ecosystem.beta=0.5", f"ecosystem.alpha={alpha}", f"learner.base.model={place}", *overrides)
    experiment = Experiment.from_yaml(read_preset(preset), chosen)
    learner: Any = experiment.learner
    device = open_device(learner.device, learner.precision, learner.threads)
    numbers = {"matmul TFLOP/s": matmul_rate(device) / 1e12}
    print(f"{device.describe()['device']}: {numbers['matmul TFLOP/s']:.0f} TFLOP/s in matrix products", flush=True)
    folder = out / f"{experiment.name}-{experiment.id}"
    watch = _Watch(device, begun + 60 * minutes)
    try:
        run(experiment, open_store(folder), data_root=data_root, progress=watch)
    except KeyboardInterrupt:
        print(f"stopped after {minutes:g} minutes; the same command goes on")
    numbers |= watch.memory
    numbers |= _figures(experiment, folder, data_root, device, numbers["matmul TFLOP/s"] * 1e12)
    print(f"\n{device.describe()['device']}, {device.describe()['precision']}; {place}; run in {folder}")
    for name, value in numbers.items():
        print(f"{name:<52}{value:>14,.4g}")
    return numbers


def matmul_rate(device: Device, size: int | None = None) -> float:
    """Floating-point operations a second of square bf16 (or fp32, as the run is) matrix products, best of ten.

    Args:
        device: Where.
        size: Rows; default 8192, on a CPU 1024.
    """
    n = size or (1024 if device.on_host else 8192)
    kind = torch.bfloat16 if device.bf16 else torch.float32
    left, right = (torch.randn(n, n, device=device.torch_device, dtype=kind) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _wait(device)
        start = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


STAGES = ("start", "publish", "compose", "update", "store", "measure")


class _Watch:
    """Progress in lines, seconds by stage and memory after every generation, and an end when the time is up."""

    def __init__(self, device: Device, end: float) -> None:
        self.memory: dict[str, float] = {}
        self._lines = LogProgress(sys.stdout, seconds=60.0)
        self._device, self._end = device, end
        self._finished = 0
        self._spent: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Callable[[int], None]]:
        begun = time.monotonic()
        with self._lines.stage(name, total, detail) as advance:
            yield advance
        if name in STAGES:
            self._spent[name] = self._spent.get(name, 0.0) + time.monotonic() - begun

    def log(self, text: str) -> None:
        """A line; the one that closes a generation is followed by memory.

        Raises:
            KeyboardInterrupt: The time is up: as Ctrl-C would end it.
        """
        self._lines.log(text)
        if " t=" not in text:
            return
        found = _memory(self._device)
        turn = f"turn {self._finished} of this call"
        self.memory |= {f"{name}, {turn}": value for name, value in found.items()}
        self._lines.log(", ".join(f"{name} {seconds:.1f} s" for name, seconds in self._spent.items()))
        self._lines.log(", ".join(f"{name} {value:.2f}" for name, value in found.items()))
        self._spent.clear()
        self._finished += 1
        if time.monotonic() > self._end:
            raise KeyboardInterrupt


def _memory(device: Device) -> dict[str, float]:
    """Gigabytes held now, and at most since this was last asked."""
    found = _host_memory()
    if device.torch_device.type == "cuda":
        found["device GB held"] = torch.cuda.memory_allocated(device.torch_device) / 1e9
        found["device GB at most"] = torch.cuda.max_memory_allocated(device.torch_device) / 1e9
        torch.cuda.reset_peak_memory_stats(device.torch_device)
    return found


def _host_memory() -> dict[str, float]:
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    words = {"host GB held": "VmRSS", "host GB at most so far": "VmHWM"}
    return {name: float(lines[field].split()[0]) * 1024 / 1e9 for name, field in words.items()}


def _figures(
    experiment: Experiment, folder: Path, data_root: Path | None, device: Device, rate: float
) -> dict[str, float]:
    records = pd.read_parquet(folder / "records.parquet")
    seconds = records[records.metric == "seconds"].pivot_table("value", "generation", "task")
    numbers = {
        f"seconds, generation {generation}, {stage}": float(spent)
        for generation, row in seconds.iterrows()
        for stage, spent in row.dropna().items()
    }
    with _quiet_model(experiment, device) as (parameters, tokenizer):
        trained, generated = _tokens(experiment, records, folder, data_root, tokenizer)
    numbers["parameters in matrix products"] = parameters
    training = sum(trained.values()) / seconds["update"].sum()
    numbers["training, tokens a second"] = training
    numbers["training, share of the matmul rate"] = 6 * parameters * training / rate
    if generated:
        speed = sum(generated.values()) / seconds["publish"].sum()
        numbers["generation, tokens a second"] = speed
        numbers["generation, share of the matmul rate"] = 2 * parameters * speed / rate
    if len(seconds) > 1:
        numbers["hours for Table 2a in these settings"] = _table_hours(experiment, seconds)
    return numbers


@contextmanager
def _quiet_model(experiment: Experiment, device: Device) -> Iterator[tuple[float, ItemTokenizer]]:
    """How many parameters take part in matrix products, and the tokenizer."""
    learner: Any = experiment.learner
    name, revision = learner.base.model, learner.base.revision
    module = read_model(name, revision, device, learner.context_length)
    linear = [part.weight.numel() for part in module.modules() if isinstance(part, torch.nn.Linear)]
    yield float(sum(linear)), ItemTokenizer(read_tokenizer(name, revision))


def _tokens(
    experiment: Experiment, records: pd.DataFrame, folder: Path, data_root: Path | None, tokenizer: ItemTokenizer
) -> tuple[dict[int, float], dict[int, float]]:
    """Tokens read in training (draws of a source times its items' mean length) and sampled, by generation."""
    learner: Any = experiment.learner
    longest, limit = learner.training.max_length, learner.generation.max_new_tokens
    tasks = {name: task.build(name, data_root).train for name, task in experiment.tasks.items()}
    owned = {entity.name: tasks[entity.private] for entity in experiment.ecosystem.entities}
    public = experiment.public.build("public", data_root).train
    lengths = {(name, "private"): _mean(tokenizer, table, longest) for name, table in owned.items()}
    lengths |= dict.fromkeys([(name, "public") for name in owned], _mean(tokenizer, public, longest))
    trained: dict[int, float] = {}
    sampled: dict[int, float] = {}
    for generation, drawn in records[records.metric == "drawn"].groupby("generation"):
        pools = _pool(folder, int(generation))
        for row in drawn[drawn.value > 0].itertuples():
            mean = lengths.get((row.model, row.task)) or _mean(tokenizer, pools[row.task], longest)
            trained[int(generation)] = trained.get(int(generation), 0.0) + row.value * mean
        for pool in pools.values():
            sampled[int(generation)] = sampled.get(int(generation), 0.0) + _sampled(tokenizer, pool, limit)
    return trained, sampled


def _mean(tokenizer: ItemTokenizer, items: pa.Table, longest: int) -> float:
    return sum(len(example.ids) for example in tokenizer.examples(items, longest)) / items.num_rows


def _sampled(tokenizer: ItemTokenizer, pool: pa.Table, limit: int) -> float:
    """Tokens drawn for a pool; those of ended texts are counted again, one is their end."""
    ended = pool.filter(pool.column("finished"))
    again = sum(len(tokenizer.tokenizer(text)["input_ids"]) + 1 for text in ended.column("completion").to_pylist())
    return float(limit * (pool.num_rows - ended.num_rows) + again)


def _pool(folder: Path, generation: int) -> Mapping[str, pa.Table]:
    files = sorted((folder / "pool").rglob("*.parquet"))
    tables = [table for file in files if (table := pq.read_table(file))["generation"][0].as_py() == generation]
    if not tables:
        return {}
    pool = pa.concat_tables(tables)
    names = dict.fromkeys(pool.column("author").to_pylist())
    return {name: pool.filter(pa.compute.equal(pool.column("author"), name)) for name in names}


def _table_hours(experiment: Experiment, seconds: pd.DataFrame) -> float:
    """Generation 0 once, then T for each alpha. Publishing grows with alpha; the first and last one measure all."""
    alpha = experiment.ecosystem.common_alpha(1)
    zero, later = seconds.loc[0].sum(), seconds.drop(index=0)
    whole = float(seconds.loc[0, "measure"])
    between = later.drop(index=experiment.generations, errors="ignore")
    measured = float(between["measure"].median()) if len(between) else whole
    steady = float(later[["compose", "update", "store"]].sum(axis=1).median())
    published = float(later["publish"].median()) / alpha if alpha else 0.0
    turns = experiment.generations
    cells = [turns * (steady + published * each) + (turns - 1) * measured + whole for each in TABLE_ALPHAS]
    return float(zero + sum(cells)) / 3600


def _random_model(preset: str, out: Path, data_root: Path | None) -> Path:
    name = preset.rpartition("-")[0]
    if data_root is None:
        raise SystemExit("a model with random weights needs --data-root for its tokenizer; or give --model")
    folder = out / f"{name}-random"
    return folder if (folder / "config.json").exists() else write(folder, CONFIGS[name], texts_of(data_root))


def _wait(device: Device) -> None:
    if device.torch_device.type == "cuda":
        torch.cuda.synchronize(device.torch_device)


def _arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="opt-350m-k2")
    parser.add_argument("--model", help="a hub id or local folder; default: random weights")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/paper-scale"))
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    return vars(parser.parse_args())


if __name__ == "__main__":
    main(**_arguments())
