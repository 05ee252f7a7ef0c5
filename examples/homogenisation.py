"""Do models grow alike on public prompts, and why does the mean cosine not tell?

Question. The paper reports that models which train on each other's outputs answer public prompts more and more alike
(Table 3: +0.09 at alpha = 0, +0.14 at alpha = 0.5). Runs of small models here show no such rise. Is there none, or is
it not seen?

Method. With c the mean of all models' embedded outputs at generation 0, the mean cosine of two models' outputs x and y
to the same prompts is, exactly,

    <x, y>  =  <x - c, y - c>  +  (<x, c> + <y, c> - <c, c>):

what they have in common beyond generation 0, and what is left in them of generation 0's common part. The script prints
both for a run, by alpha and generation, with standard errors over seeds. Runs:

    crossfeed run quickstart --set 'seeds=[0,1,2,3]' --set generations=12 --out runs/public --set 'metrics={loss: {},
      tail_loss: {}, similarity: {}, centred_similarity: {}, variety: {}, distinct: {}}'
    python examples/homogenisation.py runs/public

Answer (two models of 0.16 million parameters): at alpha = 1 they do grow alike, from generation 1 on, and the mean
cosine hides it. The own part rises from 0.006 to 0.26 within twelve generations. In the same time the common part, the
language of the public data that both knew at the beginning, falls from 0.18 to nothing, so that their sum first falls
(0.185 to 0.170) and is only then above where it began (0.251). At alpha = 0.5 there is next to nothing: over
generations 1 to 12 the own part is greater than at alpha = 0 by 0.0069 +/- 0.0005, seed by seed, the common part less
by 0.0038 +/- 0.0016; with four times as many examples in a generation (n = 2560, three seeds, generations 1 to 6) the
own part is not greater at all (-0.0013 +/- 0.0015). At alpha = 0, where nobody reads what others wrote, the own part
stays where it was (0.006 +/- 0.001, and 0.008 +/- 0.003 at the end).
"""

from __future__ import annotations

import sys

import numpy as np

from crossfeed import Run

__all__ = ["main", "parts"]


def parts(run: Run, cell: str, generation: int, task: str = "public") -> tuple[float, float, float]:
    """Return the mean cosine of all pairs of models, its own part and its common part.

    Args:
        run: A run whose outputs are embedded.
        cell: A cell's name.
        generation: The generation.
        task: The data set whose test prompts are answered.
    """

    def outputs(of: int) -> list[np.ndarray]:
        return [features for (_, name), features in sorted(run.features(cell, of).items()) if name == task]

    centre = np.concatenate(outputs(0)).mean(axis=0)
    now = outputs(generation)
    pairs = [(x, y) for i, x in enumerate(now) for y in now[i + 1 :]]
    cosine = float(np.mean([(x * y).sum(axis=1).mean() for x, y in pairs]))
    own = float(np.mean([((x - centre) * (y - centre)).sum(axis=1).mean() for x, y in pairs]))
    return cosine, own, cosine - own


def main(location: str, task: str = "public") -> dict[str, tuple[float, float]]:
    """Print the parts of the mean cosine of a run's models.

    Args:
        location: The run.
        task: The data set.

    Returns:
        Mean and standard error over seeds by a name such as ``alpha = 1, t = 4, own``.
    """
    run, found = Run.load(location), {}
    last, lowest = run.experiment.generations, None
    for point, row in run.points.iterrows():
        cells = run.cells[run.cells["point"] == point]
        alpha = f"{row['alpha']:g}" if isinstance(row["alpha"], int | float) else row["alpha"]
        measured = [t for t in range(last + 1) if all(run.features(cell, t) for cell in cells["cell"])]
        values = np.array([[parts(run, cell, t, task) for t in measured] for cell in cells["cell"]])
        print(f"alpha = {alpha}, beta = {row['beta']}, {len(cells)} seeds")
        print("  t   mean cosine        own part           common part")
        for place, t in enumerate(measured):
            found |= say(f"alpha = {alpha}, t = {t}", f"{t:3d}", values[:, place])
        later = values[:, 1:].mean(axis=1)  # of each seed
        if lowest is None:
            lowest = alpha, later
        else:
            span = f"generations {measured[1]} to {last}"
            print(f"     mean over {span}, minus that of alpha = {lowest[0]}, seed by seed:")
            found |= say(f"alpha = {alpha} - {lowest[0]}", "   ", later - lowest[1])
    return found


def say(name: str, begin: str, values: np.ndarray) -> dict[str, tuple[float, float]]:
    """Print means and standard errors over seeds of the cosine, its own and its common part; return them by name."""
    means, seeds = values.mean(axis=0), len(values)
    errors = values.std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(3, np.nan)
    pairs = list(zip(means.tolist(), errors.tolist(), strict=True))
    print(f"{begin}  {'  '.join(f'{mean:8.4f} ± {error:.4f}' for mean, error in pairs)}")
    return {f"{name}, {part}": pair for part, pair in zip(("cosine", "own", "common"), pairs, strict=True)}


if __name__ == "__main__":
    main(*sys.argv[1:3])
