"""The numbers behind a report's tables and figures, as tables of their own."""

from __future__ import annotations

import pandas as pd

from crossfeed.reporting.data.exact import Theory
from crossfeed.reporting.data.forecasted import beside_measured
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.numbers import by_generation, change, mixture, timing
from crossfeed.reporting.page.blocks import Sample
from crossfeed.reporting.page.paired import paired_sheet
from crossfeed.reporting.page.samples import samples

__all__ = ["joined", "sheets"]


def sheets(run: Run, theory: Theory) -> dict[str, pd.DataFrame]:
    """Return Tables by name; those that would be empty are left out.

    Args:
        run: The run.
        theory: What exact theory says of it.
    """
    metrics = [measure.metric for measure in run.measures]
    changed = [change(run.records, metric).assign(metric=metric) for metric in metrics]
    traced = [by_generation(run.records, metric).assign(metric=metric) for metric in metrics]
    made = {
        "change": _with_points(run, joined(changed)),
        "by_generation": _with_points(run, joined(traced)),
        "paired": paired_sheet(run),
        "exact": _exact(run, theory),
        "forecast": _with_points(run, beside_measured(run)),
        "mixture": _with_points(run, mixture(run.records)),
        "timing": timing(run.records, run.cells),
        "samples": _samples(samples(run)),
        "cells": _with_points(run, run.cells.drop(columns="zero")),
        "failures": run.failures,
        "left_out": run.left_out,
    }
    return {name: frame for name, frame in made.items() if len(frame)}


def _exact(run: Run, theory: Theory) -> pd.DataFrame:
    known = theory.exact or theory.discrete
    return pd.DataFrame() if known is None else _with_points(run, known.beside)


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return one table of those that hold something; the metric comes first.

    Args:
        frames: Tables with a column ``metric``.
    """
    full = [frame for frame in frames if len(frame)]
    if not full:
        return pd.DataFrame({"point": []})
    whole = pd.concat(full, ignore_index=True)
    return whole[["metric", *(name for name in whole.columns if name != "metric")]]


def _with_points(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the grid's fields in place of the point's number."""
    points = run.points.reset_index()
    return points.merge(frame, on="point", how="inner").drop(columns="point")


def _samples(shown: list[Sample]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"task": each.task, "item": each.item, "when": when, "model": model, "prompt": each.prompt, "text": text}
            for each in shown
            for when, texts in each.rows
            for model, text in zip(each.models, texts, strict=True)
        ]
    )
