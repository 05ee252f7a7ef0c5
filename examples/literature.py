"""What do the literature's workflows of one model become when several models train on each other's outputs?

    OMP_NUM_THREADS=1 python examples/literature.py FOLDER                    # what docs/literature.md shows
    OMP_NUM_THREADS=1 python examples/literature.py FOLDER --replicates 8     # quick and rough

Every row is a preset, run with K = 1, 2, 4 and 8 models that each have private data of their own, from one truth. All
random numbers change from replicate to replicate, those of the real data too; all rows of one K share real data. By
default there are 48 / sqrt(K) replicates: five times as many where numbers are skewed, a tenth for linear models, each
run of which has 200 data sets, and 24 / K, at least 3, for mixtures. Beside it stands the exact expectation, where
there is one: `crossfeed.theory.densities` for Gaussian models and kernel density estimates,
`crossfeed.exact.prediction` for linear models. Numbers are means over the models, at the last generation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfeed import Experiment, MemoryStore, predict, run
from crossfeed.description.reading import read_preset
from crossfeed.learners.density.gmm import GaussianMixtureDensity
from crossfeed.records import state_scope_of
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.tasks.samples import SampleTask, points_of
from crossfeed.theory.densities import DensityEcosystem, DensityMoments, density_moments

Array = NDArray[np.float64]
ENTITIES = (1, 2, 4, 8)
SCHEMES = ("replace", "accumulate", "accumulate-and-subsample")
VARIANCE, ERROR, MSE = "variance", "error of the mean", "squared error"


@dataclass(frozen=True)
class Workflow:
    """One row of the table: a preset with overrides, of which one cell is left.

    Attributes:
        name: What it is called.
        preset: The preset.
        overrides: What is fixed of its grid.
        runs: How many times as many replicates it takes: more where numbers are skewed, fewer where a run has many.
    """

    name: str
    preset: str
    overrides: tuple[str, ...] = ()
    runs: float = 2.0

    def experiment(self, entities: int, replicate: int = 0) -> Experiment:
        """With K entities; every replicate has real data and random numbers of its own."""
        given = (f"ecosystem.entities={entities}", "checkpoints=all", "metrics={}", f"seeds=[{replicate}]")
        data = tuple(f"{where}.seed={replicate}" for where in ("tasks.each", "public"))
        return Experiment.from_yaml(read_preset(self.preset), (*given, *data, *self.overrides))


def _scheme(model: str, scheme: str) -> Workflow:
    name = f"{model}, {scheme}"
    runs = 0.2 if model == "linear" else 10.0 if scheme == "replace" else 2.0
    if scheme == "accumulate-and-subsample":
        return Workflow(name, f"subsample-{model}", (), runs)
    return Workflow(name, f"collapse-{model}", (f"grid={{ecosystem.update: [{scheme}]}}",), runs)


def _loop(name: str, alpha: float, fresh: float) -> Workflow:
    grid = f"grid={{ecosystem.alpha: [{alpha}], ecosystem.fresh_fraction: [{fresh}]}}"
    return Workflow(f"gaussian, {name}", "loops-gaussian", (grid,), 10.0 if alpha == 1 and not fresh else 2.0)


def _verified(name: str, curation: str) -> Workflow:
    return Workflow(f"kde, {name}", "verified-kde", (f"grid={{ecosystem.curation: [{curation}]}}",))


DENSITIES = [_scheme(model, scheme) for model in ("gaussian", "kde") for scheme in SCHEMES]
LINEAR = [_scheme("linear", scheme) for scheme in SCHEMES]
LOOPS = [
    _loop("fully synthetic loop", 1, 0),
    _loop("synthetic augmentation loop", 0.5, 0),
    _loop("fresh data loop", 1, 0.5),
]
VERIFIED = [
    _verified("nothing verified", "{}"),
    _verified("verifier", "{verifier: {mass: 0.99}}"),
    _verified("verifier of recall 0.5", "{verifier: {mass: 0.99, recall: 0.5}}"),
    _verified("authors verify themselves", "{loss: {quantile: 0.9}}"),
]


def exchange_of(experiment: Experiment) -> DensityEcosystem:
    """The ecosystem of a density experiment, as its exact theory reads it; real data are random."""
    ecosystem, T = experiment.ecosystem, experiment.generations
    names = [next(iter(entity.owned)) for entity in ecosystem.entities]
    tasks: list[SampleTask] = [experiment.tasks[name].build(name, None) for name in names]  # type: ignore[misc]
    tasks.append(experiment.public.build("public", None))  # type: ignore[arg-type]
    truths = [task.truth for task in tasks]
    rows = np.array([float(task.train.num_rows) for task in tasks])
    draws = experiment.learner.reading() == "draws"
    published = np.full(len(names), float(experiment.pool_size or experiment.n or 0)) if draws else rows[:-1]
    return DensityEcosystem(
        np.array([truth.mean for truth in truths if truth]),
        np.array([truth.covariance for truth in truths if truth]),
        rows,
        np.array([ecosystem.alphas(t) for t in range(T + 1)]),
        np.array([ecosystem.betas(t) for t in range(T + 1)]),
        ecosystem.shares,
        published,
        ecosystem.accumulates,
        ecosystem.fresh_fraction,
        rows[-1],
        np.array([[float(experiment.size(t, k)) for k in range(len(names))] for t in range(T + 1)]) if draws else None,
    )


def expected(experiment: Experiment) -> DensityMoments:
    """Exact moments of a Gaussian or kernel density experiment."""
    learner: Any = experiment.learner
    bandwidth = learner.bandwidth if learner.kind == "kde" else 0.0
    unbiased = learner.kind == "gaussian" and learner.covariance == "unbiased"
    return density_moments(exchange_of(experiment), unbiased=unbiased, bandwidth=bandwidth)


def states_of(experiment: Experiment) -> list[list[Any]]:
    """Each generation's states of an experiment of one cell."""
    store = MemoryStore()
    failures = run(experiment, store).failures
    if failures:
        raise RuntimeError(str(failures))
    (cell,) = experiment.cells()
    names, generations = experiment.ecosystem.names, range(experiment.generations + 1)
    return [store.read_states(state_scope_of(cell, t), t, names, lambda folder: None) for t in generations]


def moments_of(state: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean and covariance of a Gaussian or kernel density model."""
    if "covariance" in state:
        return state["mean"], state["covariance"]
    mean = state["weights"] @ state["points"]
    apart = state["points"] - mean
    kernel = state["bandwidth"] ** 2 * np.eye(len(mean))
    return mean, apart.T @ (state["weights"][:, None] * apart) + kernel


def density_paths(experiment: Experiment) -> dict[str, Array]:
    """Variance within models, and squared error of their means, by generation: means over models and coordinates."""
    found: dict[str, list[float]] = {VARIANCE: [], ERROR: []}
    for states in states_of(experiment):
        moments = [moments_of(state) for state in states]
        found[VARIANCE].append(float(np.mean([np.diag(covariance) for _, covariance in moments])))
        found[ERROR].append(float(np.mean([mean**2 for mean, _ in moments])))  # truths have mean 0
    return {name: np.array(path) for name, path in found.items()}


def linear_paths(experiment: Experiment) -> dict[str, Array]:
    """Squared errors of estimates by generation: means over models and replicates."""
    truth = np.array(experiment.public.truth)  # type: ignore[attr-defined]
    path = [
        np.mean([((theta - truth) ** 2).sum(axis=1).mean() for theta in states]) for states in states_of(experiment)
    ]
    return {MSE: np.array(path)}


def exact_paths(workflow: Workflow, entities: int, replicates: int) -> dict[str, Array]:
    """What theory says about the same numbers; empty where it says nothing."""
    experiment = workflow.experiment(entities)
    if experiment.learner.kind == "linear":
        if experiment.learner.reading() == "draws":
            return {}
        every = [predict(workflow.experiment(entities, replicate)).records for replicate in range(replicates)]
        mses = [each[each["metric"] == "mse"].groupby("generation")["value"].mean().to_numpy() for each in every]
        return {MSE: np.mean(mses, axis=0)}  # features are drawn too
    if experiment.ecosystem.curation:
        return {}
    moments = expected(experiment)
    dimension = moments.mean.shape[-1]
    drift = np.einsum("tkaa->t", moments.drift(np.zeros((entities, dimension)))) / entities / dimension
    return {VARIANCE: np.einsum("tkaa->t", moments.covariance) / entities / dimension, ERROR: drift}


@dataclass(frozen=True)
class Found:
    """One entry: paths over generations, simulated and exact.

    Attributes:
        mean: Simulated means, shape (T + 1,).
        error: Their standard errors.
        exact: The expectation; None where there is none.
    """

    mean: Array
    error: Array
    exact: Array | None

    def __str__(self) -> str:
        """The last generation, exact first."""
        simulated = f"{self.mean[-1]:.3f} ± {self.error[-1]:.3f}"
        return simulated if self.exact is None else f"**{self.exact[-1]:.3f}** ({simulated})"


def measure(workflow: Workflow, entities: int, replicates: int) -> dict[str, Found]:
    """Simulate one workflow with K entities."""
    paths: Callable[[Experiment], dict[str, Array]] = linear_paths if workflow in LINEAR else density_paths
    all_paths = [paths(workflow.experiment(entities, replicate)) for replicate in range(replicates)]
    exact = exact_paths(workflow, entities, replicates)
    found = {}
    for name in all_paths[0]:
        values = np.array([each[name] for each in all_paths])
        found[name] = Found(values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(replicates), exact.get(name))
    return found


Table = dict[tuple[str, str], dict[int, Found]]
SHARES = (0.0, 0.3, 0.5, 0.8, 0.9, 0.95, 1.0)
EXCESS = "excess loss"


def share_table(replicates: int, entities: tuple[int, ...] = ENTITIES) -> Table:
    """Mixtures retrained on fixed real data and their newest outputs: loss above the truth's own, in nats."""
    rows: Table = {}
    for alpha in SHARES:
        workflow = Workflow(f"gmm, alpha = {alpha:g}", "real-share-gmm", (f"grid={{ecosystem.alpha: [{alpha}]}}",))
        for K in entities:
            paths = [excess_losses(workflow.experiment(K, replicate)) for replicate in range(max(3, replicates // K))]
            error = np.std(paths, axis=0, ddof=1) / np.sqrt(len(paths))
            rows.setdefault((workflow.name, EXCESS), {})[K] = Found(np.mean(paths, axis=0), error, None)
    return rows


def excess_losses(experiment: Experiment) -> Array:
    """By generation: how much likelier the truth finds its test points than the models do, in nats a point."""
    task: Any = experiment.public.build("public", None)
    points = points_of(task.test)
    best = task.truth.log_density(points).mean()
    family = GaussianMixtureDensity(1, 1, 0.0)
    found = [[family.log_density(state, points).mean() for state in states] for states in states_of(experiment)]
    return np.asarray(best - np.mean(found, axis=1))


def table_of(workflows: list[Workflow], replicates: int, entities: tuple[int, ...] = ENTITIES) -> Table:
    """Every workflow with every number of entities."""
    rows: Table = {}
    for workflow in workflows:
        for K in entities:
            count = max(2, int(workflow.runs * replicates / np.sqrt(K)))
            for name, found in measure(workflow, K, count).items():
                rows.setdefault((workflow.name, name), {})[K] = found
    return rows


def as_markdown(rows: Table) -> str:
    """The table; exact expectations in bold."""
    entities = list(next(iter(rows.values())))
    lines = ["| workflow | number | " + " | ".join(f"K = {K}" for K in entities) + " |"]
    lines.append("|---|---|" + "--:|" * len(entities))
    for (workflow, name), found in rows.items():
        lines.append(f"| {workflow} | {name} | " + " | ".join(str(found[K]) for K in entities) + " |")
    return "\n".join(lines)


def figure(rows: Table, wanted: list[tuple[str, str, str]], columns: int = 3) -> bytes:
    """Panels over generations: a line for each K (exact where it can be), dots for what was simulated at K = 1 and 8.

    Args:
        rows: The table.
        wanted: Workflow, number and title of each panel.
        columns: Panels in a row.
    """
    parts = []
    for workflow, name, title in wanted:
        lines = []
        for look, (K, found) in enumerate(rows[workflow, name].items()):
            t = np.arange(len(found.mean), dtype=float)
            line = found.mean if found.exact is None else found.exact
            lines.append(Curve(f"K = {K}", t, line, look, 0))
            if found.exact is not None and K in (1, max(rows[workflow, name])):
                lines.append(Curve(f"K = {K}, simulated", t, found.mean, look, 1))
        parts.append(Chart(title, "generation", name, lines))
    return to_png(charts(parts, columns=columns, height=1.9))


def short(name: str) -> str:
    """A workflow's name that fits above a panel."""
    name = name.replace("accumulate-and-subsample", "subsample")
    return name.removeprefix("gaussian, ").removeprefix("synthetic ") if name.endswith("loop") else name


def main(folder: Path, replicates: int = 100, entities: tuple[int, ...] = ENTITIES) -> dict[str, Table]:
    """Write the figures and return the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {}
    for name, workflows in {"collapse": DENSITIES + LINEAR, "loops": LOOPS, "verified": VERIFIED}.items():
        tables[name] = table_of(workflows, replicates, entities)
        print(f"\n{name}, {replicates} replicates\n\n{as_markdown(tables[name])}", flush=True)
    tables["real share"] = share_table(replicates, entities)
    print(f"\nreal share, {replicates} replicates\n\n{as_markdown(tables['real share'])}", flush=True)
    wanted = [(each.name, VARIANCE, short(each.name)) for each in DENSITIES]
    wanted += [(each.name, MSE, short(each.name)) for each in LINEAR]
    (folder / "literature_collapse.png").write_bytes(figure(tables["collapse"], wanted))
    wanted = [(each.name, name, short(each.name)) for name in (VARIANCE, ERROR) for each in LOOPS]
    (folder / "literature_loops.png").write_bytes(figure(tables["loops"], wanted))
    wanted = [(each.name, VARIANCE, each.name) for each in VERIFIED]
    (folder / "literature_verified.png").write_bytes(figure(tables["verified"], wanted, columns=2))
    wanted = [(workflow, EXCESS, workflow) for workflow, _ in tables["real share"] if not workflow.endswith("= 0.3")]
    (folder / "literature_real_share.png").write_bytes(figure(tables["real share"], wanted))
    return tables


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("examples-out"))
    parser.add_argument("--replicates", type=int, default=24)
    given = parser.parse_args()
    main(given.folder, given.replicates)
