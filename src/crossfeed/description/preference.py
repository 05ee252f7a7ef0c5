r"""Curation by choice: of some candidates one is kept, the one that somebody likes.

For each synthetic item that a reader draws, with a probability (`own` for its own texts, `others` for those of others)
k candidates of the same author and prompt are generated, and one of them is kept: by Luce's rule,

.. math:: P(\text{candidate } i) = \frac{e^{r(x_i) / \tau}}{\sum_j e^{r(x_j) / \tau}},

or the best. With ``inf`` candidates Luce's rule tends to the distribution :math:`p(x) e^{r(x)/\tau} / Z`, of which an
item is accepted with the probability :math:`e^{(r(x) - r_\max)/\tau}`, one candidate after the other (Ferbach et al.,
2024, arXiv 2407.09499, Lemma 2.1; several models that choose: Wei, Zhang and Zhang, 2026, arXiv 2605.29267).

Tastes may drift towards what is seen. With :math:`\varphi` the features in which outputs are compared, and
:math:`\bar\varphi_t` their mean over what an entity read of the pool at generation t,

.. math:: r_{t+1}(x) = (1 - \delta)\, r_t(x) + \delta\, \langle \varphi(x), \bar\varphi_t \rangle .
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from crossfeed.description.parts import Rewards
from crossfeed.settings import Frozen, Number, Share

__all__ = ["Preference"]


def _candidates(value: Any) -> Any:
    if value == "inf" or (isinstance(value, float) and value == math.inf):
        return "inf"
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("give the number of candidates, such as 4, or inf")
    return value


Candidates = Annotated[
    Annotated[int, Field(ge=2, le=1000)] | Literal["inf"],
    BeforeValidator(_candidates, json_schema_input_type=Annotated[int, Field(ge=2, le=1000)] | Literal["inf"]),
]


class Preference(Frozen):
    """The choice among candidates of what an entity reads.

    Where authors judge, the reward, the number of candidates, the rule, its temperature and the drift are those of the
    author, and an author that has none is taken as it is; `own`, `others` and `judge` are always the reader's.

    Attributes:
        reward: The reward that it is made by: a name, or several by name, which are added up with their weights.
        best_of: The number k of candidates, or ``inf``.
        rule: ``luce``: one candidate at random, in proportion to exp(reward / temperature). ``best``: that of the
            highest reward; of several, one at random.
        temperature: tau of Luce's rule.
        own: The probability with which an item of the entity's own is chosen among candidates.
        others: The probability with which an item of another author is.
        judge: Who chooses: ``author``: the users of a model choose what is published of it. ``reader``: whoever reads
            it does.
        drift: delta, the step by which a taste moves towards what is seen from one generation to the next.
    """

    reward: Rewards
    best_of: Candidates
    rule: Literal["luce", "best"] = "luce"
    temperature: Annotated[Number, Field(gt=0.0)] = 1.0
    own: Share = 1.0
    others: Share = 1.0
    judge: Literal["author", "reader"] = "author"
    drift: Share = 0.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.best_of == "inf" and self.rule == "best":
            raise ValueError("rule: best of infinitely many candidates is the best item of all; give a number best_of")
        if self.best_of == "inf" and self.drift > 0:
            raise ValueError(
                "best_of: inf accepts candidates by the greatest reward there is, and a drift moves it; give a number "
                "best_of, or drift: 0"
            )
        if self.rule == "best" and self.temperature != 1.0:
            raise ValueError("temperature is that of Luce's rule, and rule: best has none; leave one of them out")
        return self

    @property
    def candidates(self) -> int:
        """The number of candidates that are generated at once: 1 if they are accepted one after the other."""
        return 1 if self.best_of == "inf" else self.best_of

    def __str__(self) -> str:
        rule = f" by {' + '.join(self.reward)}, judged by the {self.judge}"
        return f"{'the best' if self.rule == 'best' else 'one'} of {self.best_of}{rule}"
