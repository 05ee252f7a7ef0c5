"""What runs, descriptions, predictions and plans look like in a notebook: a title, facts, tables.

Names and texts come from anywhere: everything is escaped, and what is invisible is shown as its code point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import pandas as pd

from crossfeed.report.text import clip, number, plain, value_text

if TYPE_CHECKING:
    from crossfeed.ecosystem import Ecosystem
    from crossfeed.experiment import Experiment
    from crossfeed.plan import Plan
    from crossfeed.predict import Prediction
    from crossfeed.report.frames import Run

__all__ = ["ecosystem_html", "experiment_html", "plan_html", "prediction_html", "run_html"]

_ROWS: Final = 24
_LONGEST: Final = 300
_LIMITS: Final = (
    ("spectral radius", "spectral_radius", "max"),
    ("MSE, mean", "mse", "mean"),
    ("MSE, worst model", "mse", "max"),
    ("efficiency, mean", "relative_efficiency", "mean"),
)


def ecosystem_html(ecosystem: Ecosystem) -> str:
    """Who trains on what."""
    alpha = "own" if ecosystem.alpha is None else ecosystem.alpha
    facts = {"alpha": alpha, "beta": ecosystem.beta, "history": "all" if ecosystem.accumulates else "latest"}
    facts |= {"update": ecosystem.update, "fresh fraction": ecosystem.fresh_fraction}
    if ecosystem.curation:
        facts["curation"] = ", ".join(ecosystem.curation)
    return _page(f"Ecosystem of {len(ecosystem.entities)}", facts, {"": _entities(ecosystem)})


def experiment_html(experiment: Experiment) -> str:
    """What is described, and how many cells it is."""
    facts = {
        "": experiment.description,
        "learner": experiment.learner.kind,
        "n": "everything" if experiment.n is None else experiment.n,
        "generations": experiment.generations,
        "metrics": ", ".join(experiment.metrics),
        "public": experiment.public.source,
        "seeds": ", ".join(map(str, experiment.seeds)),
        "cells": math.prod(map(len, experiment.grid.values())) * len(experiment.seeds),
    }
    tables = {"Entities": _entities(experiment.ecosystem)}
    sources = [(name, task.source) for name, task in experiment.tasks.items()]
    tables["Tasks"] = pd.DataFrame(sources, columns=["task", "source"])
    if experiment.grid:
        varied = [(path, _listed(values)) for path, values in experiment.grid.items()]
        tables["Grid"] = pd.DataFrame(varied, columns=["field", "values"])
    return _page(f"Experiment {experiment.name}", facts, tables)


def run_html(run: Run) -> str:
    """How far it is, and what the losses did."""
    from crossfeed.report.layout import change_table

    experiment, states = run.experiment, run.cells["state"].value_counts()
    facts = {
        "": str(run.store),
        "cells": ", ".join(f"{count} {state}" for state, count in states.items()),
        "generations": experiment.generations,
        "records": len(run.records),
    }
    tables = {}
    table = change_table(run, "loss")
    if table is not None:
        labels = table.columns.labels
        rows = [
            {"": row.label}
            | {
                labels[point] or "loss": " → ".join(text for text in (entry.initial, entry.final) if text)
                + (f" {entry.mark}" if entry.mark else "")
                for point, entry in row.entries.items()
            }
            for row in table.rows
        ]
        tables["Loss, initial → final"] = pd.DataFrame(rows).fillna("")
    if len(run.failures):
        tables["Failed"] = run.failures
    return _page(f"Run {experiment.name} ({run.id})", facts, tables)


def prediction_html(prediction: Prediction) -> str:
    """The limit of every cell, over its models."""
    from crossfeed.report.theory_figures import column_of

    experiment, limit = prediction.experiment, prediction.limit
    limit = limit[limit["seed"] == experiment.seeds[0]]
    cells = limit.drop_duplicates("cell").set_index("cell")
    table = cells[[*(column_of(path) for path in experiment.grid), "law"]].copy()
    for title, metric, how in _LIMITS:
        table[title] = limit[limit["metric"] == metric].groupby("cell")["value"].agg(how)
    facts = {"models": len(experiment.ecosystem.names), "generations": f"0 to {experiment.generations}"}
    tables = {"In the limit": table}
    return _page(f"Prediction of {experiment.name} ({experiment.id}), exact", facts | {"cells": len(cells)}, tables)


def plan_html(plan: Plan) -> str:
    """The best weights and what others cost."""
    best = plan.optimum
    facts = {"minimised": plan.objective, "best alpha": f"{best.alpha:.3f}", "best beta": f"{best.beta:.3f}"}
    tables = {"The price of other weights": plan.prices, "Each for itself (Nash)": plan.entities}
    return _page(f"Plan of {plan.experiment.name} ({plan.experiment.id})", facts, tables)


def _entities(ecosystem: Ecosystem) -> pd.DataFrame:
    rows = [
        (entity.name, entity.private, share, _own(entity.alpha), _own(entity.beta))
        for entity, share in zip(ecosystem.entities, ecosystem.shares, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["entity", "private data", "share of the pool", "own alpha", "own beta"])
    return frame.drop(columns=[name for name in ("own alpha", "own beta") if (frame[name] == "").all()])


def _own(value: float | tuple[float, ...] | None) -> str:
    return "" if value is None else _listed(value) if isinstance(value, tuple) else value_text(value)


def _listed(values: Sequence[object]) -> str:
    return clip(", ".join(map(value_text, values)), _LONGEST)


def _page(title: str, facts: Mapping[str, object], tables: Mapping[str, pd.DataFrame]) -> str:
    """A fact without a name is a sentence of its own."""
    named = "; ".join(f"{name}: {value}" for name, value in facts.items() if name)
    lines = [str(facts.get("", "")), named]
    parts = [f"<strong>{_text(title)}</strong>", *(f"<div>{_text(line)}</div>" for line in lines if line)]
    for caption, table in tables.items():
        parts += [f"<div><em>{_text(caption)}</em></div>"] if caption else []
        parts.append(_table(table))
    return f"<div>{''.join(parts)}</div>"


def _text(text: str) -> str:
    return escape(clip(text, _LONGEST))


def _table(frame: pd.DataFrame) -> str:
    """The first rows; pandas escapes."""
    shown = frame.head(_ROWS).map(_cell)
    shown.columns = pd.Index([plain(name) for name in frame.columns])
    text: str = shown.to_html(index=False, escape=True, border=0)
    return text + (f"<div>... and {len(frame) - _ROWS:,} more rows</div>" if len(frame) > _ROWS else "")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else number(value)  # noqa: PLR0124 - not a number
    return clip(value, _LONGEST)
