"""Phrases on the world that entities live in: who reads whom, who trains when, from where, and what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.entity import words_of
from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import plain, value_text

__all__ = ["asked", "clocks", "network_words", "readers", "starts"]

_LISTED: Final = 6

_STARTS: Final = {
    "previous": "its last weights",
    "base": "the common base",
    "own": "its own model of t = 0",
    "scratch": "new weights",
}
_PROMPTS: Final = {
    "private": "its author's private prompts",
    "public": "public prompts",
    "pool": "prompts of the texts that its author read before",
}


def network_words(reads: Any) -> str:
    """Return the name of a network: ``ring``, ``2 cliques``, ``watts_strogatz_graph (k: 4, p: 0.2; own texts 0.2)``.

    Args:
        reads: The value of `Ecosystem.reads`; also plain data of it.
    """
    if reads is None:
        return "one pool"
    if not isinstance(reads, Mapping):
        return "a matrix" if not isinstance(reads, str) else reads
    own = f"own texts {reads['self']:g}" if "self" in reads else ""
    if "graph" in reads:
        arguments = {key: value for key, value in reads.items() if key not in ("graph", "self")}
        count = arguments.pop("count", None)
        name = plain(str(reads["graph"])) if count is None else f"{count} {plain(str(reads['graph']))}"
        listed = ", ".join(f"{plain(str(key))}: {value_text(value)}" for key, value in arguments.items())
    elif "communities" in reads:
        name, listed = f"{len(reads['communities'])} communities", f"within: {reads['within']:g}"
    else:
        name, listed = f"{len(reads['edges'])} edges", ""
    inside = "; ".join(part for part in (listed, own) if part)
    return f"{name} ({inside})" if inside else name


def readers(experiment: Experiment) -> str:
    """Return who reads whom; empty where everybody reads one pool by the authors' shares.

    Args:
        experiment: A cell's experiment.
    """
    eco = experiment.ecosystem
    own = [f"{plain(e.name)} reads {words_of(e.reads)}" for e in eco.entities if e.reads is not None]
    if eco.reads is None and not own:
        return ""
    return "; ".join([network_words(eco.reads), *_first(own)])


def clocks(experiment: Experiment) -> str:
    """Return who trains when; empty where all are in step.

    Args:
        experiment: A cell's experiment.
    """
    eco = experiment.ecosystem
    if eco.in_step:
        return ""
    said = ["they train in turn, and read what those before them just wrote"] if eco.order == "sequential" else []
    own = [f"{plain(entity.name)} {clock}" for entity in eco.entities if (clock := _clock(eco, entity))]
    common = {clock.partition(" ")[2] for clock in own}
    if len(own) == len(eco.entities) and len(common) == 1:
        own = [f"each {common.pop()}"]
    stale = ["texts are in the pool for one generation"] if eco.stale == "drop" else []
    return "; ".join([*said, *_first(own), *stale])


def _clock(eco: Ecosystem, entity: Any) -> str:
    parts = []
    if eco.every_of(entity) > 1:
        phase = f" (t = {eco.phase_of(entity)} modulo {eco.every_of(entity)})" if eco.phase_of(entity) else ""
        parts.append(f"trains every {eco.every_of(entity)} generations{phase}")
    if eco.probability_of(entity) < 1:
        parts.append(f"trains with probability {eco.probability_of(entity):g}")
    if entity.from_:
        parts.append(f"arrives at t = {entity.from_}")
    if entity.until is not None:
        parts.append(f"stays until t = {entity.until}")
    return " and ".join(parts)


def starts(experiment: Experiment) -> str:
    """Return where updates begin; empty where that is at the last weights.

    Args:
        experiment: A cell's experiment.
    """
    eco = experiment.ecosystem
    chosen = {entity.name: eco.start_of(entity) for entity in eco.entities}
    if set(chosen.values()) == {"previous"}:
        return ""
    return _by_value({name: _STARTS[start] for name, start in chosen.items()}, "an update begins at")


def asked(experiment: Experiment) -> str:
    """Return what published texts answer; empty where that is private prompts.

    Args:
        experiment: A cell's experiment.
    """
    eco = experiment.ecosystem
    chosen = {entity.name: eco.prompts_of(entity) for entity in eco.entities}
    if all(prompts == "private" for prompts in chosen.values()):
        return ""
    words = {
        name: f"prompts of {words_of(prompts)}" if isinstance(prompts, dict) else _PROMPTS[prompts]
        for name, prompts in chosen.items()
    }
    return _by_value(words, "a text answers")


def _by_value(words: Mapping[str, str], what: str) -> str:
    if len(set(words.values())) == 1:
        return f"{what} {next(iter(words.values()))}"
    return f"{what}: " + "; ".join(_first([f"{plain(name)}: {word}" for name, word in words.items()]))


def _first(said: list[str]) -> list[str]:
    return said[:_LISTED] + ([f"{len(said) - _LISTED} more"] if len(said) > _LISTED else [])
