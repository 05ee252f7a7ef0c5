"""Whole generations, training and generating, against the Hugging Face stack; and two worker processes against one.

    python benchmarks/generation.py                     # all parts
    python benchmarks/generation.py whole train         # some: whole, train, generate, long
    python benchmarks/generation.py --quick             # with models of nothing: does everything run, no speed

All with the quickstart's model, data and settings at alpha = 0.5 on two cores, in one run on one machine. Those that
are compared take turns, and the order turns about; times are medians over the rounds, ratios are medians of the
rounds' own ratios. The rivals are set up as `rivals.stack` says; what their documentation leaves open (batch sizes,
attention, cache, processes and threads) is searched for before the rounds, and told.

- whole: generations t = 1, 2, ...: generate, train, evaluate the loss on three tasks. crossfeed is ``crossfeed run``
  with two workers, timed from the end of one generation to the end of the next, everything included: drawing,
  tokenising, writing the pool, two checkpoints and the records. The rivals start every generation from crossfeed's own
  checkpoints and train on the same draws; ``full`` generates the whole pool, ``lazy`` only what some training set
  holds. They write nothing. Bars: 5 and 2.5 times.
- train: generation 1's update of both entities, the same batches, from the same weights, two processes of one thread:
  against `SFTTrainer`, against its ``train()`` alone, and against a plain PyTorch loop over the model of transformers.
  All end in the same losses, or nothing is printed. Bars: 1.7 times, and not slower than the loop.
- generate: the completions of both entities' whole pools of generation 1, against `generate`. Bar: 1.5 times.
- long: four entities (two on each task, 3,200 examples at generation 0, losses measured) for twenty generations, by one
  process, by two workers, by two workers without a compiler, and by two workers in bf16, a generation in turn each. The
  records of the first two are the same, or nothing is printed. Bars: 1.8 times for two workers, and for compiling and
  bf16 1.4 times more (on a processor that has such instructions).

Sampled texts differ in length by chance. Where rivals' texts or training sets have over 2 % more or fewer tokens than
crossfeed's, their seconds of that stage are taken per token, and that is told. Lengths of texts are counted in the
same way for all: tokens of the text, and its end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from paced import PacedRun, described
from rivals.actor_pool import ActorPool
from rivals.search import best_evaluating, best_generating, best_training, fastest_actors
from rivals.stack import Setup, Training
from rivals.work import Reader, work_of
from rounds import ALIKE, Times, in_turns, ratio
from tell import say, show, timed
from verbs import Verbs, context_of, finished_run, reader_of

from crossfeed import Experiment
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.turn import compose

LONG = (
    "ecosystem.entities=[{name: facts, private: facts}, {name: math, private: math}, "
    "{name: more-facts, private: facts}, {name: more-math, private: math}]",
    "initial_n=3200",
    "metrics={loss: {}, completion_loss: {}}",
)


def training_of(experiment: Experiment) -> Training:
    how = experiment.learner.training
    if how.steps is not None or how.gradient_accumulation != 1 or how.carry_optimizer:
        sys.exit("the rivals train one pass, one micro-batch a step, with a new optimizer each generation")
    return Training(
        batch_size=how.batch_size,
        learning_rate=how.learning_rate,
        warmup=how.warmup,
        weight_decay=how.weight_decay,
        betas=tuple(how.betas),
        epsilon=how.epsilon,
        clipping=how.clipping,
        new_tokens=experiment.learner.generation.max_new_tokens,
    )


class Bench:
    """What the parts share: sizes, a folder, and a run through generation 1.

    Attributes:
        folder: Runs live below it.
        quick: Models of nothing.
    """

    def __init__(self, folder: Path, quick: bool, rounds: int | None) -> None:
        self.folder, self.quick, self._rounds = folder, quick, rounds

    def rounds(self, usual: int) -> int:
        """How many rounds, unless another number was asked for."""
        return self._rounds or usual

    def described(self, generations: int, *overrides: str) -> Experiment:
        """The quickstart's cell, with all checkpoints kept."""
        return described(self.quick, f"generations={generations}", "checkpoints=all", *overrides)

    @cached_property
    def start(self) -> PacedRun:
        """A run through generation 1, which the verbs alone start from."""
        say("training the models of generation 0")
        return finished_run(self.described(1, "metrics={loss: {}}"), self.folder / "start")

    def ours(self) -> ActorPool:
        """Crossfeed's verbs in two processes."""
        yaml = self.start.experiment.to_yaml()
        return ActorPool(Verbs, 2, 1, len(self.start.cell.experiment.ecosystem.names), yaml, self.folder / "start")


def whole(bench: Bench) -> None:
    rounds = bench.rounds(3)
    experiment = bench.described(rounds, "metrics={loss: {}}")
    run = PacedRun(experiment, bench.folder / "whole", workers=2)
    say(f"generation 0 (and the base model, if there is none): {run.turn():.0f} s")
    context, reader = context_of(run), reader_of(experiment, run.checkpoints(0)[0])
    say("looking for the stack's fastest setup")
    actors, setups = searched(experiment, context, run, reader)
    times = {name: Times() for name in ("crossfeed", *setups)}

    def ours(t: int) -> None:
        seconds, stages = run.turn(), run.stages(t)
        train = stages["compose"] + stages["update"]
        named = {"generate": stages["publish"], "train": train, "evaluate": stages["measure"]}
        times["crossfeed"].add(seconds, named)
        pool = run.pool(t)
        sets = compose(context, t, {t: pool})
        trained = sum(len(ids) - 1 for one in sets for ids in reader.texts(one.items))
        times["crossfeed"].count(pool.num_rows, reader.new_tokens(pool), trained)

    def rival(name: str, t: int) -> None:
        setup, work = setups[name], work_of(context, t, reader)
        actors.ask("prepare", run.checkpoints(t - 1), work)
        begun = time.perf_counter()
        pool = actors.ask("publish", setup, name == "full")
        published = time.perf_counter() - begun
        learnt = actors.ask("learn", setup, pool)
        seconds = time.perf_counter() - begun
        if {one["steps"] for one in learnt.values()} != {-(-experiment.n // experiment.learner.training.batch_size)}:
            sys.exit(f"{name}: not as many steps as crossfeed takes: {learnt}")
        times[name].add(seconds, {"generate": published} | actors.slowest(learnt, "train", "evaluate"))
        new = reader.new_tokens_of(work.prompts, pool)
        times[name].count(sum(map(len, pool.values())), new, sum(one["tokens"] for one in learnt.values()))

    in_turns(rounds, {"crossfeed": ours} | {name: partial(rival, name) for name in setups})
    run.finish()
    actors.close()
    rows = []
    for name, each in times.items():
        alike = each.by_the_token(times["crossfeed"], name)
        seconds = [alike.median(stage) for stage in ("generate", "train", "evaluate", "rest")]
        work = [each.texts // rounds, each.new_tokens / each.texts, each.trained // rounds]
        rows.append([name, *seconds, alike.median(), alike.over(times["crossfeed"]), *work])
    columns = ("", "generate, s", "train, s", "evaluate, s", "rest, s", "whole, s", "ratio")
    show((*columns, "texts", "tokens a text", "tokens trained on"), rows)
    for name, setup in setups.items():
        print(f"{name}: {actors.name}, {setup}")


def searched(
    experiment: Experiment, context: CellContext, run: PacedRun, reader: Reader
) -> tuple[ActorPool, dict[str, Setup]]:
    """The stack in its fastest layout, and its fastest setups for the whole pool and for the drawn items."""
    folders, work = run.checkpoints(0), work_of(context, 1, reader)

    def prepared(actors: ActorPool) -> ActorPool:
        actors.ask("prepare", folders, work)
        return actors

    def generation(actors: ActorPool) -> float:
        prepared(actors)
        return timed(lambda: actors.ask("learn", Setup(), actors.ask("publish", Setup(), False)))

    actors = fastest_actors(training_of(experiment), len(context.entities), generation)
    pool = prepared(actors).ask("publish", Setup(), False)
    common = best_training(
        Setup(), lambda one: actors.slowest(prepared(actors).ask("learn", one, pool), "train")["train"]
    )
    common = best_evaluating(actors, common, pool)
    prepared(actors)
    return actors, {"full": best_generating(actors, common, True), "lazy": best_generating(actors, common, False)}


def train(bench: Bench) -> None:
    rounds, run = bench.rounds(5), bench.start
    context, folders = context_of(run), run.checkpoints(0)
    reader, training = reader_of(run.experiment, folders[0]), training_of(run.experiment)
    sets = [reader.texts(one.items) for one in compose(context, 1, {1: run.pool(1)})]
    work = replace(work_of(context, 1, reader), sets=sets)

    def trained(verb: str, actors: ActorPool, setup: Setup) -> tuple[float, dict]:
        actors.ask("prepare", folders, work)
        begun = time.perf_counter()
        answers = actors.ask(verb, setup)
        return time.perf_counter() - begun, answers

    say("looking for the rivals' fastest setups")
    actors = fastest_actors(training, len(folders), lambda one: trained("train", one, Setup())[0])
    setups = {}
    for verb in ("train", "loop"):
        trained(verb, actors, Setup())  # a first time, which does not count
        setups[verb] = best_training(Setup(), lambda one, verb=verb: trained(verb, actors, one)[0])
    own = bench.ours()
    own.ask("update")
    times: dict[str, list[float]] = {name: [] for name in ("crossfeed", "SFTTrainer", "its train() alone", "loop")}

    def ours(_: int) -> None:
        times["crossfeed"].append(timed(lambda: own.ask("update")))

    def sft(_: int) -> None:
        seconds, answers = trained("train", actors, setups["train"])
        times["SFTTrainer"].append(seconds)
        times["its train() alone"].append(seconds - actors.slowest(answers, "made")["made"])

    def loop(_: int) -> None:
        times["loop"].append(trained("loop", actors, setups["loop"])[0])

    in_turns(rounds, {"crossfeed": ours, "SFTTrainer": sft, "loop": loop})
    losses = {"crossfeed": own.ask("losses")}
    for verb, setup in setups.items():
        trained(verb, actors, setup)
        actors.ask("save", bench.folder / verb)
        losses[verb] = own.ask("losses", bench.folder / verb)
    check_alike(losses)
    own.close()
    actors.close()
    tokens = sum(len(ids) - 1 for one in sets for ids in one)
    rows = [[name, statistics.median(each), ratio(each, times["crossfeed"])] for name, each in times.items()]
    show((f"training on {tokens} tokens", "seconds", "ratio"), rows)
    for verb, setup in setups.items():
        print(f"{verb}: {actors.name}, {setup.train_attention}")


def check_alike(losses: dict[str, dict[int, float]]) -> None:
    """The same batches from the same weights end in the same losses, to rounding."""
    for name, found in losses.items():
        say(f"  mean test losses after {name}: " + ", ".join(f"{loss:.4f}" for loss in found.values()))
        for k, loss in found.items():
            if abs(loss / losses["crossfeed"][k] - 1) > ALIKE:
                sys.exit(f"{name} did not learn what crossfeed did: {losses}")


def generate(bench: Bench) -> None:
    rounds, run = bench.rounds(3), bench.start
    context, folders = context_of(run), run.checkpoints(0)
    reader = reader_of(run.experiment, folders[0])
    work = work_of(context, 1, reader)
    say("looking for the fastest setup of `generate`")

    def completed(actors: ActorPool) -> float:
        actors.ask("prepare", folders, work)
        return timed(lambda: actors.ask("publish", Setup(), True))

    actors = fastest_actors(training_of(run.experiment), len(folders), completed)
    setup, own = best_generating(actors, Setup(), True), bench.ours()
    own.ask("generate")
    times = {"crossfeed": Times(), "generate": Times()}

    def ours(_: int) -> None:
        begun = time.perf_counter()
        tables = own.ask("generate").values()
        times["crossfeed"].add(seconds := time.perf_counter() - begun, {"generate": seconds})
        for table in tables:
            times["crossfeed"].count(table.num_rows, reader.new_tokens(table))

    def rival(_: int) -> None:
        begun = time.perf_counter()
        pool = actors.ask("publish", setup, True)
        times["generate"].add(seconds := time.perf_counter() - begun, {"generate": seconds})
        times["generate"].count(sum(map(len, pool.values())), reader.new_tokens_of(work.prompts, pool))

    in_turns(rounds, {"crossfeed": ours, "generate": rival})
    own.close()
    actors.close()
    rows = []
    for name, each in times.items():
        alike = each.by_the_token(times["crossfeed"], name)
        done = [each.texts // rounds, each.new_tokens / each.texts]
        rows.append([name, alike.median(), alike.over(times["crossfeed"]), *done])
    show(("", "seconds", "ratio", "texts", "tokens a text"), rows)
    print(f"generate: {actors.name}, {setup}")


def long(bench: Bench) -> None:
    generations = 2 if bench.quick else 20
    experiment = bench.described(generations, *LONG)
    in_bf16 = bench.described(generations, *LONG, "learner.precision=bf16")
    runs = {
        "one process": PacedRun(experiment, bench.folder / "one", workers=0),
        "two workers": PacedRun(experiment, bench.folder / "two", workers=2),
        "two workers, bf16": PacedRun(in_bf16, bench.folder / "bf16", workers=2),
    }
    times: dict[str, list[float]] = {name: [run.turn()] for name, run in runs.items()}
    with patch.dict(os.environ, CC=""):  # its workers, which start now, find no compiler
        runs["two workers, not compiled"] = PacedRun(experiment, bench.folder / "plain", workers=2)
        times["two workers, not compiled"] = [runs["two workers, not compiled"].turn()]
    say("  generation 0: " + ", ".join(f"{name} {each[0]:.0f} s" for name, each in times.items()))
    in_turns(generations, {n: lambda _, n=n, run=run: times[n].append(run.turn()) for n, run in runs.items()})
    for name, run in runs.items():
        times[name].append(run.finish())
    for t in range(generations + 1):
        if runs["one process"].numbers(t) != runs["two workers"].numbers(t):
            sys.exit(f"the records of generation {t} differ")
    one, two, bf16, plain = times.values()
    parts = {
        "a generation (median)": (
            lambda each: statistics.median(each[1:-1]),
            lambda slow, fast: ratio(slow[1:-1], fast[1:-1]),
        ),
        "generation 0 and the start": (lambda each: each[0], lambda slow, fast: slow[0] / fast[0]),
        "all": (sum, lambda slow, fast: sum(slow) / sum(fast)),
    }
    rows = [
        [name, *map(seconds, (one, two, plain, bf16)), over(one, two), over(plain, two), over(plain, bf16)]
        for name, (seconds, over) in parts.items()
    ]
    head = ("one process, s", "two workers, s", "not compiled, s", "in bf16, s")
    ratios = ("two workers", "compiled", "compiled and in bf16")
    show((f"K = 4, T = {generations}", *head, *ratios), rows)


PARTS = {"whole": whole, "train": train, "generate": generate, "long": long}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: ratios mean nothing")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds; default 3, of train 5; long has one a generation"
    )
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    if find_spec("trl") is None and set(given.parts or PARTS) != {"long"}:
        parser.error("the rivals are not installed: pip install 'crossfeed[bench]'")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.quick, given.rounds)
        for name, part in PARTS.items():  # in this order: `long` has a learner in this process
            if name in (given.parts or PARTS):
                say(name)
                part(bench)


if __name__ == "__main__":
    main()
