"""A forecast as a value: how well each cell is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from crossfeed.forecasting.answer import Cost, Forecast


def row(cell, generation, value, lower, upper, basis="forecast", metric="loss"):
    return {
        "cell": cell.name,
        "generation": generation,
        "metric": metric,
        "value": value,
        "lower": lower,
        "upper": upper,
        "basis": basis,
    }


@pytest.fixture
def forecast_from(fake):
    def make(*columns):
        experiment = fake("grid={ecosystem.alpha: [0, 0.5, 1], generations: [2, 3]}")
        rows = [each for made in columns for each in made(experiment.cells())]
        return experiment.cells(), Forecast(
            experiment, 0, pa.Table.from_pylist(rows), (), None, None, Cost(0, 0, 0, 0), ()
        )

    return make


def test_half_widths_are_the_largest_at_the_last_generation(forecast_from):
    cells, made = forecast_from(
        lambda cells: [
            row(cells[0], 1, 2.0, 0.1, 9.0),  # not the last one
            row(cells[0], 2, 2.0, 1.9, 2.1),
            row(cells[0], 2, 4.0, 3.4, 4.6),
            row(cells[0], 2, 4.0, 0.0, 40.0, metric="completion_loss"),
            row(cells[1], 2, 1.0, 0.1, 9.0),  # of a cell that ends at 3
            row(cells[1], 3, 1.0, 0.9, 1.2),
        ]
    )
    widths = made.half_widths()
    assert set(widths) == {cells[0].name, cells[1].name}
    assert np.isclose(widths[cells[0].name], 0.15)
    assert np.isclose(widths[cells[1].name], 0.15)


def test_there_is_none_of_a_cell_that_is_measured_or_extrapolated_in_part(forecast_from):
    cells, made = forecast_from(
        lambda cells: [
            row(cells[0], 2, 2.0, 2.0, 2.0, "measured"),
            row(cells[2], 2, 2.0, 1.5, 2.5, "extrapolated"),
            row(cells[4], 2, 2.0, 1.5, 2.5),
            row(cells[4], 2, 2.0, 1.0, 3.0, "extrapolated"),
            row(cells[1], 2, 2.0, 2.0, 2.0, "measured"),  # before the last generation
            row(cells[1], 3, 2.0, 1.8, 2.2),
        ]
    )
    widths = made.half_widths()
    assert [widths[cells[at].name] for at in (0, 2, 4)] == [None, None, None]
    assert np.isclose(widths[cells[1].name], 0.1)


def test_it_is_short_in_words(forecast_from):
    _, made = forecast_from(lambda cells: [row(cells[0], 2, 2.0, 1.9, 2.1)])
    assert repr(made) == f"Forecast({made.experiment.name!r}, seed: 0, 1 numbers)"
