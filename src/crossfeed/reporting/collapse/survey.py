"""The definitions of collapse that each grid point of a run meets, from its records and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.exact.prediction import long_run
from crossfeed.reporting.collapse import definitions
from crossfeed.reporting.collapse.definitions import TITLES, Curve, Verdict, unknown
from crossfeed.reporting.data.exact import Theory
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.measures import LOSS, declared

__all__ = ["Judged", "collapses"]

_TAIL: Final = "tail_loss"
_VARIETY: Final = (("variety", "the Vendi score of outputs"), ("distinct_2", "distinct pairs of words"))
_SEPARATION_BAND: Final = 0.05
_DIVERSITY_BAND: Final = 0.05


@dataclass(frozen=True)
class Judged:
    """A grid point and its verdicts.

    Attributes:
        point: Its position.
        label: Its fields that vary, in words; empty if nothing varies.
        generations: The last generation that was measured.
        verdicts: One for each definition, in the order of `crossfeed.reporting.collapse.definitions.TITLES`.
    """

    point: int
    label: str
    generations: int
    verdicts: tuple[Verdict, ...]


def collapses(run: Run, theory: Theory, points: Sequence[int] | None = None) -> list[Judged]:
    """Judge grid points that have measured generations after 0.

    Args:
        run: The run.
        theory: What exact theory says of it.
        points: Positions of grid points; default all.
    """
    columns = columns_of(run.points)
    judged = []
    for point in columns.points if points is None else points:
        evidence = _Evidence(run, theory, point)
        if len(evidence.generations) > 1:
            verdicts = {verdict.definition: verdict for verdict in evidence.verdicts()}
            told = tuple(verdicts[name] for name in TITLES)
            judged.append(Judged(point, columns.labels[point], evidence.generations[-1], told))
    return judged


class _Evidence:
    """The measurements of one grid point, as curves.

    Attributes:
        generations: The measured generations that all its finished seeds have.
    """

    def __init__(self, run: Run, theory: Theory, point: int) -> None:
        self._run, self._theory, self._point = run, theory, point
        self._owned = {(name, task) for name, tasks in run.experiment.ecosystem.owned.items() for task in tasks}
        at = run.records["point"].to_numpy() == point
        records = run.records[at]
        pairs = zip(records["model"], records["task"], strict=True)
        self._own = records[np.fromiter((pair in self._owned for pair in pairs), dtype=bool, count=len(records))]
        loss = self._own[self._own["metric"] == LOSS]
        reached = loss.groupby("seed")["generation"].max()
        self._seeds = list(reached.index[reached == reached.max()]) if len(reached) else []
        chosen = loss[loss["seed"].isin(self._seeds)]
        self.generations: tuple[int, ...] = tuple(sorted(set(chosen["generation"])))
        self._features: dict[tuple[int, int], _Written] = {}
        self._cells = run.cells[run.cells["point"] == point].set_index("seed")["cell"]

    def verdicts(self) -> Iterable[Verdict]:
        """Yield all verdicts."""
        band = declared(LOSS, [self._run.experiment]).band
        loss = self._curve(LOSS)
        if loss is None:
            nothing = "the loss was not measured at generation 0 of all models"
            for name in ("catastrophic", "any-rise", "diverges"):
                yield unknown(name, "loss on own tasks", "", nothing)
        else:
            yield definitions.catastrophic(loss)
            yield definitions.any_rise(loss, band)
            yield definitions.diverges(loss, self._law)
        yield self._tails(band)
        yield self._variance()
        yield self._entanglement()
        yield self._diversity()
        yield self._scaling()

    @property
    def _law(self) -> tuple[str, float] | None:
        """The law of the errors and the spectral radius by exact theory; None where there is none."""
        exact = self._theory.exact
        if exact is None:
            return None
        settled = long_run(exact.experiments[self._point].ecosystem, exact.ecosystem(self._point))
        if settled is None or settled[0] == "schedule":
            return None
        return settled[0], settled[2].spectral_radius

    def _curve(self, metric: str) -> Curve | None:
        """Return a metric on own tasks, mean over models; None if some seed has no generation 0."""
        rows = self._own[(self._own["metric"] == metric) & self._own["seed"].isin(self._seeds)]
        if rows.empty:
            return None
        # Models that arrive later have no generation 0 to be compared with.
        first = rows[rows["generation"] == 0]
        known = set(zip(first["model"], first["task"], strict=True))
        kept = [pair in known for pair in zip(rows["model"], rows["task"], strict=True)]
        table = rows[kept].pivot_table(index="seed", columns="generation", values="value").dropna(axis=1)
        if table.shape[1] < 2 or table.columns[0] != 0:
            return None
        return Curve(tuple(int(t) for t in table.columns), table.to_numpy())

    def _tails(self, band: float) -> Verdict:
        tail = self._curve(_TAIL)
        if tail is None:
            what, threshold = "rise of the loss on the hardest items", "a rise"
            return unknown("tails", what, threshold, f"not measured; add {_TAIL} to the metrics")
        return definitions.tail_rise(tail, band)

    def _diversity(self) -> Verdict:
        for metric, what in _VARIETY:
            curve = self._curve(metric)
            if curve is not None and (curve.values[:, 0] > 0).all():
                relative = Curve(curve.generations, curve.values / curve.values[:, :1])
                return definitions.falls("diversity", relative, _DIVERSITY_BAND, f"{what}, relative")
        metrics = " or ".join(metric for metric, _ in _VARIETY)
        return unknown("diversity", "change of diversity, relative", "a fall", f"not measured; add {metrics}")

    def _variance(self) -> Verdict:
        curve = self._of_outputs(_variances)
        if curve is None:
            what, threshold = "variance of outputs over the initial one", "below 0.5"
            return unknown("variance", what, threshold, _NO_FEATURES)
        return definitions.variance(Curve(curve.generations, curve.values / curve.values[:, :1]))

    def _entanglement(self) -> Verdict:
        what = "the share of outputs nearest to their own task's mean"
        tasks = {task for _, task in self._owned}
        if len(tasks) < 2:
            return unknown("entanglement", f"change of {what}", "a fall", "the models own one task, which is one mode")
        curve = self._of_outputs(_separation)
        if curve is None:
            return unknown("entanglement", f"change of {what}", "a fall", _NO_FEATURES)
        return definitions.falls("entanglement", curve, _SEPARATION_BAND, what)

    def _of_outputs(self, measure: Callable[[_Written], float]) -> Curve | None:
        """Return a number of what models wrote on their own tasks; None if its features were not kept throughout."""
        by_generation = {t: [self._written(seed, t) for seed in self._seeds] for t in self.generations}
        kept = {t: [measure(each) for each in written] for t, written in by_generation.items() if all(written)}
        if len(kept) < 2 or 0 not in kept:
            return None
        return Curve(tuple(kept), np.array(list(kept.values()), dtype=np.float64).T)

    def _written(self, seed: int, generation: int) -> _Written:
        """Return features of outputs by the model and its own task; empty if none were kept."""
        key = seed, generation
        if key not in self._features:
            features = self._run.features(str(self._cells[seed]), generation)
            self._features[key] = {
                pair: rows for pair, rows in features.items() if pair in self._owned and len(rows) > 1
            }
        return self._features[key]

    def _scaling(self) -> Verdict:
        what, threshold = "change of the exponent of the loss in n", "95 % interval over seeds leaves out 0"
        sizes = self._alike_but_for_n()
        if len(sizes) < 2:
            return unknown("scaling", what, threshold, "n does not vary; put several values on the grid")
        curves = [_Evidence(self._run, self._theory, point)._curve(LOSS) for point in sizes.values()]
        last = min((curve.generations[-1] for curve in curves if curve is not None), default=0)
        told = [curve for curve in curves if curve is not None and {1, last} <= set(curve.generations)]
        if len(told) < len(curves) or last < 2 or len({len(curve.values) for curve in told}) > 1:
            return unknown("scaling", what, threshold, "not all sizes have generations 1 and 2 and the same seeds")
        at = [np.stack([c.values[:, c.generations.index(t)] for c in told], axis=1) for t in (1, last)]
        return definitions.scaling(list(sizes), *at)

    def _alike_but_for_n(self) -> dict[float, int]:
        """Return the grid points that differ from this one in n alone, by n."""
        points = self._run.points
        if "n" not in points.columns:
            return {}
        others = points.drop(columns="n")
        same = (others == others.loc[self._point]).all(axis=1)
        chosen = points.loc[same, "n"].items()
        return {float(n): int(str(point)) for point, n in chosen if isinstance(n, int | float)}


_NO_FEATURES: Final = "features of outputs were not kept at all generations; add similarity or variety to the metrics"
_Written = dict[tuple[str, str], NDArray[np.floating]]


def _variances(written: _Written) -> float:
    """Return the total variance of outputs, mean over models and their own tasks."""
    return float(np.mean([rows.astype(np.float64).var(axis=0, ddof=1).sum() for rows in written.values()]))


def _separation(written: _Written) -> float:
    """Return the share of outputs that are nearest to the mean of the others on their own task, mean over tasks."""
    tasks = list(dict.fromkeys(task for _, task in written))
    rows = [np.concatenate([x for (_, task), x in written.items() if task == name]).astype(float) for name in tasks]
    means = np.stack([each.mean(axis=0) for each in rows])
    shares = []
    for place, own in enumerate(rows):
        squared = ((own[:, None] - means) ** 2).sum(axis=2)
        squared[:, place] *= (len(own) / (len(own) - 1)) ** 2  # to the mean of the others, without the output itself
        shares.append((squared.argmin(axis=1) == place).mean())
    return float(np.mean(shares))
