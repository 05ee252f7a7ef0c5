"""The stack in processes, at the fastest of the settings that its documentation leaves open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tell import say, timed

from rivals.actor_pool import ActorPool
from rivals.stack import Setup, Stack, Training

LAYOUTS = ((2, 1), (1, 2))
"""Processes, and the threads of each."""
BATCHES = (64, 128, 256, 640)
EVALUATION_BATCHES = (32, 64, 128)
ATTENTIONS = ("sdpa", "eager")
CACHES = ("dynamic", "static")


def fastest_actors(training: Training, entities: int, trial: Callable[[ActorPool], float]) -> ActorPool:
    """The stack in the layout that is faster at something.

    Args:
        training: The run's own numbers.
        entities: How many there are.
        trial: Does it; gives its seconds. The first time, which imports what it needs, does not count.
    """
    pools, seconds = [ActorPool(Stack, *layout, entities, training) for layout in LAYOUTS], []
    for actors in pools:
        trial(actors)
        seconds.append(trial(actors))
    say("  " + ", ".join(f"{actors.name} {spent:.2f} s" for actors, spent in zip(pools, seconds, strict=True)))
    chosen = pools.pop(seconds.index(min(seconds)))
    for actors in pools:
        actors.close()
    return chosen


def best(setup: Setup, name: str, candidates: Sequence, seconds: Callable[[Setup], float]) -> Setup:
    """The setup with one field at its fastest."""
    found = {each: seconds(replace(setup, **{name: each})) for each in candidates}
    say(f"  {name}: " + ", ".join(f"{each} {spent:.2f} s" for each, spent in found.items()))
    return replace(setup, **{name: min(found, key=found.__getitem__)})


def best_generating(actors: ActorPool, setup: Setup, whole: bool) -> Setup:
    """The fastest way to complete the prompts that the actors were prepared with."""

    def seconds(candidate: Setup) -> float:
        return timed(lambda: actors.ask("publish", candidate, whole))

    setup = best(setup, "generate_batch", BATCHES, seconds)
    setup = best(setup, "generate_attention", ATTENTIONS, seconds)
    return best(setup, "cache", CACHES, seconds)


def best_training(setup: Setup, seconds: Callable[[Setup], float]) -> Setup:
    """The fastest way to train; `seconds` begins from fresh models."""
    return best(setup, "train_attention", ATTENTIONS, seconds)


def best_evaluating(actors: ActorPool, setup: Setup, pool: dict) -> Setup:
    """The fastest way to evaluate, after a training."""

    def seconds(candidate: Setup) -> float:
        return actors.slowest(actors.ask("learn", candidate, pool), "evaluate")["evaluate"]

    return best(setup, "evaluate_batch", EVALUATION_BATCHES, seconds)
