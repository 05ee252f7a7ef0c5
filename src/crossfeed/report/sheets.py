"""The numbers behind a report's tables and figures, as tables of their own."""

from __future__ import annotations

import pandas as pd

from crossfeed.report.blocks import Sample
from crossfeed.report.exact import Theory
from crossfeed.report.frames import Run
from crossfeed.report.layout import MEASURES, other_metrics
from crossfeed.report.numbers import by_generation, change, mixture, timing
from crossfeed.report.samples import samples
from crossfeed.report.together import Together

__all__ = ["sheets", "together_sheets"]


def sheets(run: Run, theory: Theory) -> dict[str, pd.DataFrame]:
    """Tables by name; those that would be empty are left out.

    Args:
        run: The run.
        theory: What exact theory says of it.
    """
    metrics = (*MEASURES, *other_metrics(run.records))
    changed = [change(run.records, metric).assign(metric=metric) for metric in metrics]
    traced = [by_generation(run.records, metric).assign(metric=metric) for metric in metrics]
    made = {
        "change": _with_points(run, _join(changed)),
        "by_generation": _with_points(run, _join(traced)),
        "exact": pd.DataFrame() if theory.exact is None else _with_points(run, theory.exact.beside),
        "mixture": _with_points(run, mixture(run.records)),
        "timing": timing(run.records, run.cells),
        "samples": _samples(samples(run)),
        "cells": _with_points(run, run.cells.drop(columns="zero")),
        "failures": run.failures,
    }
    return {name: frame for name, frame in made.items() if len(frame)}


def together_sheets(together: Together) -> dict[str, pd.DataFrame]:
    """Tables of runs side by side, by name; those that would be empty are left out."""
    columns = together.columns
    points = [(p, group.label, columns.labels[p]) for group in columns.groups for p in group.points]
    called = pd.DataFrame(points, columns=["point", "run", "at"])
    changed = [change(together.records, metric).assign(metric=metric) for metric in together.metrics]
    traced = [by_generation(together.records, metric).assign(metric=metric) for metric in together.metrics]
    spent = [timing(r.records, r.cells).assign(run=n) for n, r in zip(together.names, together.runs, strict=True)]
    made = {
        "differences": together.differences(),
        "change": called.merge(_join(changed), on="point").drop(columns="point"),
        "by_generation": called.merge(_join(traced), on="point").drop(columns="point"),
        "timing": pd.concat([each[["run", *each.columns.drop("run")]] for each in spent], ignore_index=True),
    }
    return {name: frame for name, frame in made.items() if len(frame)}


def _join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One table of those that hold something; the metric comes first."""
    full = [frame for frame in frames if len(frame)]
    if not full:
        return pd.DataFrame({"point": []})
    joined = pd.concat(full, ignore_index=True)
    return joined[["metric", *(name for name in joined.columns if name != "metric")]]


def _with_points(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The grid's fields in place of the point's number."""
    points = run.points.reset_index()
    return points.merge(frame, on="point", how="inner").drop(columns="point")


def _samples(found: list[Sample]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"task": each.task, "item": each.item, "when": when, "model": model, "prompt": each.prompt, "text": text}
            for each in found
            for when, texts in each.rows
            for model, text in zip(each.models, texts, strict=True)
        ]
    )
