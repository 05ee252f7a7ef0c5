"""A check of the size of gradient steps before anything is computed.

Source: gradient descent on a quadratic with the largest curvature lambda_max diverges from steps of 2/lambda_max on
(`crossfeed.theory.training`).
"""

from __future__ import annotations

from crossfeed.theory.grams import map_blocks
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Specified


def check_step_size(eco: Specified, last: int) -> None:
    """Refuse gradient steps that diverge for some entity at some generation.

    Args:
        eco: a `LinearEcosystem`.
        last: the last generation T that is looked at, at least 1.

    Raises:
        InvalidInput: naming the largest eigenvalue and the steps that it allows.
    """
    spec = eco.specification.conditioned
    if spec.training.steps is None:
        return
    weights = [spec.weights.at(t) for t in range(1, 2 if spec.weights.constant else last + 1)]

    def check(rows: slice) -> None:
        block = EntityBlock.read(spec, rows)
        for each in weights:
            block.filtered(each)

    for _ in map_blocks(check, spec.entities, spec.dimension):
        pass
