"""Definitions of the words and symbols of reports, for a reader who has nothing but the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from crossfeed.description.entity import Entity, words_of
from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import plain, value_text
from crossfeed.reporting.data.measures import LOSS, SIMILARITY
from crossfeed.reporting.data.worlds import asked, clocks, readers, starts
from crossfeed.settings import Measure

__all__ = ["CHOICE", "DISCRETE", "THEORY", "WEIGHTS", "definitions", "last_generation", "length", "mark_words"]

WEIGHTS: Final = (
    "alpha, synthetic share: the part of a training set that was published by models, from generation 1 on. beta, "
    "private share: the part of its real data that is the model's own; the rest is public. Both are from 0 to 1."
)
"""The two weights, for places with room for a line or two."""

THEORY: Final = (
    "MSE: squared distance of the estimate from the true parameters, expected. MSPE: squared distance of predictions "
    "from the true means on a task. Efficiency: the MSE of least squares on all real data over the model's in the "
    "limit (1: as good). Dispersion: distance of the models from each other."
)
"""The numbers of exact theory, in the same way."""

DISCRETE: Final = (
    "H, heterozygosity: the probability that two items of a model differ, expected; at rest: after many generations "
    "(– where drift goes on for ever, or every generation stays in the pool). Symbols: how many the model can still "
    "write, expected; where theory has bounds alone, from the lower to the upper one. Distance: total variation of the "
    "model's expected distribution at last from the truth of its own task (0: the same, 1: nothing in common)."
)
"""The numbers of exact theory of discrete models."""

CHOICE: Final = (
    "Reward: that of a model's items by its own taste, expected. Entropy: of the model's distribution, in nats."
)
"""The numbers of theory where items are chosen among candidates."""

_MEANINGS: Final = {
    LOSS: "The mean loss on test items; lower is better. A model gains x % on data when its loss there falls by x % of "
    "what it was at t = 0.",
    SIMILARITY: "How alike two models' outputs for the same prompts are: the mean cosine of their embeddings, 1 for "
    "the same.",
}
_NAMED: Final = 4
_LISTED: Final = 12


def last_generation(experiment: Experiment) -> str:
    """Return the last generation; where a grid varies it, all of them: ``2 or 5``.

    Args:
        experiment: The experiment.
    """
    *others, last = map(str, experiment.ends)
    return f"{', '.join(others)} or {last}" if others else last


def length(experiment: Experiment) -> str:
    """Return how many generations follow generation 0: ``1 generation``, ``2 or 5 generations``.

    Args:
        experiment: The experiment.
    """
    return f"{last_generation(experiment)} generation{'' if experiment.ends == (1,) else 's'}"


def definitions(experiments: Sequence[Experiment], measures: Sequence[Measure]) -> list[tuple[str, str]]:
    """Return the words and symbols of a report, each with its meaning, and with its values if there is one experiment.

    Args:
        experiments: What was run: one experiment, or several side by side.
        measures: Declarations of what was measured.
    """
    one = experiments[0] if len(experiments) == 1 else None

    told = [
        (
            "α (alpha), synthetic share",
            "The part of a model's training set that was published by models, at generations t ≥ 1: a share from 0 "
            f"(real data alone) to 1 (no real data).{_here(one, partial(_weight, name='alpha'))}",
        ),
        (
            "β (beta), private share",
            "The part of a training set's real data that is the model's own; the rest is public. From 0 to 1. So a "
            "training set has (1 − α) β private, (1 − α) (1 − β) public and α published data."
            f"{_here(one, partial(_weight, name='beta'))}",
        ),
        (
            "generation t",
            "At t = 0 nothing is published yet, and every model is trained on real data alone. At each later one all "
            "models publish outputs, a training set is put together for each, and it is trained on that and measured."
            f"{_here(one, _generations)}",
        ),
        (
            "published data (the pool)",
            f"{_pool(one)}{_here(one, _shares)}{_here(one, _filters, 'Filters of what may be drawn')}"
            f"{_here(one, _access, 'Items that a reader is shown')}{_here(one, _choice, 'Choice among candidates')}",
        ),
        *_world(experiments),
        (
            "own, other and public data",
            "A model's own task is the data set that it owns; the others' are other tasks to it. Public data belong "
            "to all. All are measured on items that no training set holds.",
        ),
        ("seeds, ±", _seeds(one)),
    ]
    seeds = [len(experiment.seeds) for experiment in experiments]
    return [*told, *_numbers(measures, max(seeds), min(seeds))]


def mark_words(words: Sequence[str], bands: str, seeds: int, fewest: int) -> str:
    """Return the meaning of the marks of changes, for `crossfeed.reporting.data.numbers.mark`.

    Args:
        words: What a fall and a rise are called, perhaps with signs, and last what ``same`` and ``unclear`` are.
        bands: The dead band, in words; empty if there is none.
        seeds: The largest number of seeds behind a change.
        fewest: The smallest number of seeds behind a change.
    """
    *moved, same, unclear = words
    names = ", ".join(moved)
    if seeds == 1:
        return (
            f"{names}: the mean changed by more than {bands}; {same}: by that or less."
            if bands
            else f"{names}: any change."
        )
    small = f"and the mean changed by at most {bands}" if bands else "and nothing changed"
    alone = " Where there is one seed alone, the size decides." if fewest == 1 else ""
    return (
        f"{names}: the 95 % interval of the mean change over seeds leaves out zero; {same}: it holds zero, {small}; "
        f"{unclear}: it holds zero, and the mean changed by more.{alone}"
    )


def _world(experiments: Sequence[Experiment]) -> list[tuple[str, str]]:
    """Return what is other than in the paper's ecosystem, at any point of the grid."""
    told = []
    for term, meaning, say in (
        ("who reads whom", "The authors whose texts a model draws its published data from, and how much.", readers),
        ("clocks", "The generations at which a model is there, trains, and publishes anew.", clocks),
        ("start", "The weights that an update begins from.", starts),
        ("prompts", "The prompts that published texts answer.", asked),
    ):
        if any(say(cell.experiment) for each in experiments for cell in each.cells()[:: len(each.seeds)]):
            one = experiments[0] if len(experiments) == 1 else None
            told.append((term, meaning + _here(one, partial(_or_as_in_the_paper, say))))
    return told


def _or_as_in_the_paper(say: Callable[[Experiment], str], experiment: Experiment) -> str:
    return say(experiment) or _AS_IN_THE_PAPER[say]


_AS_IN_THE_PAPER: Final[dict[Callable[[Experiment], str], str]] = {
    readers: "one pool, by the authors' shares",
    clocks: "all are in step",
    starts: "an update begins at its last weights",
    asked: "a text answers its author's private prompts",
}


def _here(experiment: Experiment | None, say: Callable[[Experiment], str], about: str = "Here") -> str:
    """Return what holds at every point of the grid, or, if there are few, all that holds somewhere."""
    if experiment is None:
        return ""
    points = experiment.cells()[:: len(experiment.seeds)]
    said = list(dict.fromkeys(say(point.experiment) for point in points))
    if said == [""]:
        return ""
    return f" {about}, over the grid: {_listed(said)}." if len(said) > 1 else f" {about}: {said[0]}."


def _weight(experiment: Experiment, name: str) -> str:
    """Return alpha or beta as a phrase."""
    ecosystem = experiment.ecosystem
    value: Any = getattr(ecosystem, name)
    if name == "alpha" and ecosystem.update == "replace":
        value = 1.0
    if name == "alpha" and ecosystem.update == "accumulate":
        value = "proportional"
    if value == "proportional":
        said = "t/(t + 1) at generation t"
    elif isinstance(value, tuple):
        said = f"{_listed(value)} at t = 1, 2, ..., of which the last one stays"
    else:
        said = "each model's own" if value is None else value_text(value)
    return said + _own(experiment.ecosystem.entities, name)


def _own(entities: Sequence[Entity], name: str) -> str:
    """Return the entities that have weights of their own, after a comma."""
    own = [(entity.name, getattr(entity, name)) for entity in entities if getattr(entity, name) is not None]
    named = [f"{plain(who)}: {value_text(w) if isinstance(w, float | int) else words_of(w)}" for who, w in own[:_NAMED]]
    more = [f"{len(own) - _NAMED} more with their own"] if len(own) > _NAMED else []
    return f" ({'; '.join([*named, *more])})" if own else ""


def _generations(experiment: Experiment) -> str:
    first = "as later"
    ecosystem = experiment.ecosystem
    if ecosystem.initial_beta is not None:
        first = f"β = {ecosystem.initial_beta:g}"
    if experiment.n is None or experiment.learner.reading() == "everything":
        size = "a training set has all items of every source, each source with its weight"
    elif ecosystem.update == "accumulate":
        size = f"a training set has {words_of(experiment.n)} items at t = 0, and {experiment.n} more at each generation"
    else:
        start = experiment.initial_n
        size = f"a training set has {words_of(experiment.n)} items"
        size += f", {start} at t = 0" if start not in (None, experiment.n) else ""
    size += _own(ecosystem.entities, "n")
    return f"t = 0 to {last_generation(experiment)}; at t = 0 the private share is {first}; {size}"


def _pool(experiment: Experiment | None) -> str:
    if experiment is None:
        return "What models may draw their published data from: the newest generation alone, or every one so far."
    if any(path.startswith(("ecosystem.history", "ecosystem.update")) for path in experiment.grid):
        return "What models may draw from: the newest generation alone (latest), or every one so far (accumulate)."
    kept = "every generation so far" if experiment.ecosystem.accumulates else "the newest generation alone"
    return f"What models may draw from: the outputs of {kept}."


def _shares(experiment: Experiment) -> str:
    ecosystem = experiment.ecosystem
    shares = ecosystem.shares.tolist()
    if len(set(shares)) == 1:
        said = "all of it is the one model's" if len(shares) == 1 else "every model publishes an equal share"
    else:
        each = [f"{plain(name)} {share:.3g}" for name, share in zip(ecosystem.names, shares, strict=True)]
        rest = f" and {len(each) - _LISTED} more" if len(each) > _LISTED else ""
        said = f"shares of {', '.join(each[:_LISTED])}{rest}"
    fresh = f" ({ecosystem.fresh_fraction:g} of each new pool is fresh human data)" if ecosystem.fresh_fraction else ""
    return said + fresh


def _filters(experiment: Experiment) -> str:
    return ", ".join(experiment.ecosystem.curation)


def _access(experiment: Experiment) -> str:
    access = experiment.ecosystem.access
    return "" if access is None else f"the first {access.top} by {access.rank}"


def _choice(experiment: Experiment) -> str:
    preferences = experiment.ecosystem.preferences
    return (
        "" if preferences is None else "; ".join(dict.fromkeys(str(each) for each in preferences if each is not None))
    )


def _seeds(experiment: Experiment | None) -> str:
    several = (
        "Seeds repeat a run with other random choices. Numbers are means over S seeds, and ± is their standard error, "
        "s/√S with the sample standard deviation s of the seeds' own values. A change is each seed's own, and its 95 % "
        "interval is that of Student's t with S - 1 degrees of freedom."
    )
    if experiment is None:
        return several
    if len(experiment.seeds) == 1:
        return (
            "A seed decides all random choices. There is one, so numbers have no standard error (±), and changes no "
            "interval: their size alone decides whether they count."
        )
    return f"{several} Here: S = {len(experiment.seeds)}."


def _numbers(measures: Sequence[Measure], seeds: int, fewest: int) -> list[tuple[str, str]]:
    """Return what the paper's metrics are and what all marks mean, those of other metrics together where they agree."""
    told: list[tuple[str, str]] = []
    others: dict[str, list[str]] = {}
    for measure in measures:
        meaning = mark_words(
            (*measure.words, "same", "unclear"), f"{measure.band:g}" if measure.band else "", seeds, fewest
        )
        if measure.metric in _MEANINGS:
            told.append((measure.heading, f"{_MEANINGS[measure.metric]} {meaning}"))
        elif "page" in measure.shown:
            others.setdefault(meaning, []).append(measure.heading)
    return [*told, *((", ".join(headings), meaning) for meaning, headings in others.items())]


def _listed(values: Sequence[Any]) -> str:
    texts = [value_text(value) or "none" for value in values]
    between = "; " if any(" " in text for text in texts) else ", "
    if len(texts) > _LISTED:
        texts = [*texts[:2], "…", f"{texts[-1]} ({len(values)} values)"]
    return between.join(texts)
