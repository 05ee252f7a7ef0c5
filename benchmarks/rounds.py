"""Those who are compared take turns: their seconds round by round, and what they did in them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tell import say

ALIKE = 0.02
"""Numbers that differ by no more are the same work."""


@dataclass
class Times:
    """Seconds of each round by stage, and what was done in them."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    texts: int = 0
    new_tokens: int = 0
    trained: int = 0

    def add(self, whole: float, stages: dict[str, float]) -> None:
        """Note the seconds of a round, and of its stages."""
        self.rounds.append(stages | {"rest": whole - sum(stages.values())})

    def count(self, texts: int, new_tokens: int, trained: int = 0) -> None:
        """Note what was done in a round: texts generated, tokens sampled for them, tokens trained on."""
        self.texts += texts
        self.new_tokens += new_tokens
        self.trained += trained

    def each(self, *stages: str) -> list[float]:
        """Seconds by round, of some stages or of all."""
        return [sum(spent for stage, spent in one.items() if not stages or stage in stages) for one in self.rounds]

    def median(self, *stages: str) -> float:
        """The median over the rounds, of some stages or of all."""
        return statistics.median(self.each(*stages))

    def over(self, other: Times) -> float:
        """The median of the rounds' ratios to another's."""
        return ratio(self.each(), other.each())

    def by_the_token(self, ours: Times, name: str) -> Times:
        """The same at the lengths of our texts and training sets, where they differ."""
        factors = {"generate": (ours.new_tokens / ours.texts) / (self.new_tokens / self.texts)}
        if self.trained:
            factors["train"] = ours.trained / self.trained
        far = {stage: factor for stage, factor in factors.items() if abs(factor - 1) > ALIKE}
        for stage, factor in far.items():
            print(f"{name}: its tokens differ, seconds of {stage} are taken times {factor:.3f}")
        rounds = [{stage: far.get(stage, 1.0) * spent for stage, spent in one.items()} for one in self.rounds]
        return replace(self, rounds=rounds)


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def in_turns(rounds: int, work: dict[str, Callable[[int], None]]) -> None:
    """Everyone's work in every round, forwards and backwards in turn."""
    for number in range(1, rounds + 1):
        say(f"  round {number} of {rounds}")
        for name in list(work)[:: 1 if number % 2 else -1]:
            work[name](number)
