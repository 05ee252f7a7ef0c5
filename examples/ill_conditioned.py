"""How many digits does exact theory keep when features are nearly dependent?

Question. Columns that nearly imply each other (powers of one number, overlapping counts) make Gram matrices
ill-conditioned, and rounding errors are multiplied by the condition number. What is left of a predicted error?

Method. K = 2, d = 4, 12 rows each, singular values spread evenly in logarithm, turned at random (seeds 0
to 4); alpha = beta = 0.5. The limiting MSE is compared with one of 60 digits (mpmath) of the very same numbers: with
features given, with Gram matrices given, and with the lifted system of Kd x Kd matrices in double precision, by
pseudo-inverses. The largest relative error over seeds; where an answer is refused, none.

Answer, as `python examples/ill_conditioned.py FOLDER` prints it in 20 s:

* With features given the error is 2.3e-11 at a condition number of 1e12 and 1.2e-10 at 1e14. Up to 1e4 they are used as
  they are; from there on they are whitened first.
* Gram matrices lose what their condition number says: 2.9e-10 at 1e8, 9.7e-8 at 1e10, 9.8e-6 at 1e12. Few digits are
  told from 1e11 on, and from 3.2e12 on an answer is refused.
* The lifted system without this care has an error of 2 % at 1e10, and no digit at 1e12.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossfeed.errors import IllConditioned, InvalidInput
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "theory"))
from lifted import Lifted
from precise import Precise, grams, precise

WAYS = ("features given", "Gram matrices given", "lifted system in doubles")


def drawn(condition: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Private and public features whose Gram matrices have about this condition number."""
    rng = np.random.default_rng(seed)
    turn, sizes = np.linalg.qr(rng.standard_normal((4, 4)))[0], np.geomspace(1.0, condition**-0.5, 4)
    rows = (rng.standard_normal((3, 12, 4)) * sizes) @ turn.T
    return rows[:2], rows[2]


def error(found: Callable[[], np.ndarray], wanted: np.ndarray) -> float:
    """Return the largest relative error; nan where the answer is refused."""
    try:
        return float(np.abs(found() / wanted - 1).max())
    except InvalidInput:
        return np.nan


def errors(condition: float, seed: int) -> tuple[list[float], bool]:
    """Return the errors by way, and whether an answer came with a warning of few digits."""
    private, public = drawn(condition, seed)
    given = private.swapaxes(1, 2) @ private, public.T @ public
    exact, _ = Precise(grams(private), grams([public])[0], grams(private), 0.5, 0.5).limit()
    of_grams = [precise(S) for S in given[0]]
    as_given, _ = Precise(of_grams, precise(given[1]), of_grams, 0.5, 0.5).limit()
    twin = Lifted(*given)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = [
            error(lambda: LinearEcosystem.from_features(private, public).limit().mse, exact),
            error(lambda: LinearEcosystem(*given).limit().mse, as_given),
            error(lambda: np.trace(twin.blocks(twin.limit()[1]), axis1=1, axis2=2), as_given),
        ]
    return found, any(issubclass(each.category, IllConditioned) for each in told)


def main(folder: Path, seeds: int = 5, last: int = 14, step: float = 0.5) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    conditions = 10.0 ** np.arange(0, last + step / 2, step)
    every = [[errors(condition, seed) for seed in range(seeds)] for condition in conditions]
    # One refusal is a refusal: nan is the largest.
    worst = np.array([np.max([found for found, _ in row], axis=0) for row in every])
    shown = np.maximum(worst, 1e-16)
    lines = [Curve(way, conditions, shown[:, i]) for i, way in enumerate(WAYS)]
    told = [any(warned for _, warned in row) for row in every]
    borders = {"Gram matrices: a warning from here": told, "Gram matrices: refused from here": np.isnan(worst[:, 1])}
    found = {}
    for label, mask in borders.items():
        if np.any(mask):
            found[label] = float(conditions[np.argmax(mask)])
            lines.append(Curve(label, np.full(2, found[label]), np.array([1e-16, 1.0])))
    chart = Chart("", "condition number of the Gram matrices", "relative error of the MSE", lines, log="xy")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ill_conditioned.png").write_bytes(to_png(charts([chart], columns=1, height=2.8)))
    at = [i for i, condition in enumerate(conditions) if np.log10(condition) % 2 == 0]
    return found | {f"condition {conditions[i]:.0e}: {way}": worst[i, j] for i in at for j, way in enumerate(WAYS)}


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.2g}")
