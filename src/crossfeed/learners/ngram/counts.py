r"""Counts of n-grams in sorted arrays, and the probabilities and draws that follow from them.

The j-grams of texts are numbered in the order of their keys: that of a 1-gram is its unit, that of a longer one

.. math:: \mathrm{key}(w_1 \dots w_j) = \mathrm{number}(w_1 \dots w_{j-1}) \, S + w_j ,

with S the number of units, the beginning of a text included. What follows one context therefore lies in one piece, and
a context is found by bisection; there is no mapping, and no step is a loop over n-grams or texts. Probabilities back
off recursively (MacKay and Peto, 1995),

.. math:: p_j(w \mid h) = \frac{c(h, w) + a \, p_{j-1}(w \mid h')}{c(h) + a}, \qquad p_0 = 1 / V ,

with h' the context h without its first unit. A context that reaches beyond the beginning of a text is one that was
never read: it backs off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossfeed.keys import uniforms
from crossfeed.learners.ngram.units import Integers, Texts
from crossfeed.protocols import Array

__all__ = ["NgramCounts", "OrderCounts", "Sampler", "counted", "distinct_places", "framed"]


@dataclass(frozen=True)
class OrderCounts:
    """The counts of the n-grams of one order.

    Attributes:
        keys: ``(g,)`` keys, ascending; of order 1 all units.
        counts: ``(g,)`` how often each was read.
    """

    keys: Integers
    counts: Integers

    @cached_property
    def cumulated(self) -> Integers:
        """``(g + 1,)`` counts of all n-grams before each."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def find(self, context: Integers, unit: Integers, symbols: int) -> Integers:
        """Return the numbers of n-grams, -1 for those that were never read.

        Args:
            context: ``(m,)`` numbers of their first units; -1 for one that was never read.
            unit: ``(m,)`` their last units.
            symbols: S.
        """
        if not len(self.keys):
            return np.full(len(context), -1)
        key = context * symbols + unit
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where((context >= 0) & (unit >= 0) & (self.keys[place] == key), place, -1)

    def piece(self, context: Integers, symbols: int) -> tuple[Integers, Integers]:
        """Return the first n-gram of each context and the one after its last; none of a context that was never read.

        Args:
            context: ``(m,)`` numbers of contexts, or -1.
            symbols: S.
        """
        begin, end = (np.searchsorted(self.keys, (context + more) * symbols) for more in (0, 1))
        return begin, np.where(context >= 0, end, begin)


@dataclass(frozen=True)
class NgramCounts:
    """The counts of all orders up to m: the state of a model.

    Attributes:
        symbols: S, the units and the beginning of a text, which is the last one.
        orders: The counts of n-grams of each order from 1 on.
    """

    symbols: int
    orders: tuple[OrderCounts, ...]

    @classmethod
    def empty(cls, symbols: int, order: int) -> NgramCounts:
        """Return the counts of nothing.

        Args:
            symbols: S.
            order: m.
        """
        none = np.empty(0, np.int64)
        first = OrderCounts(np.arange(symbols), np.zeros(symbols, np.int64))
        return cls(symbols, (first, *[OrderCounts(none, none)] * (order - 1)))

    def numbers(self, units: Integers) -> list[Integers]:
        """Return the n-gram that ends at each place of framed texts, for each order; -1 if it was never read.

        Args:
            units: ``(total,)`` units of texts that begin with the beginning of a text.
        """
        inside, before = units != self.symbols - 1, units
        found = [units]
        for order in self.orders[1:]:
            before = np.where(inside, order.find(np.roll(before, 1), units, self.symbols), -1)
            found.append(before)
        return found

    def probabilities(self, units: Integers, prior: float) -> Array:
        """Return the probability of each unit given those before it.

        Args:
            units: ``(total,)`` units of framed texts.
            prior: a.

        Returns:
            ``(total,)`` probabilities; those of beginnings have no meaning.
        """
        grams = self.numbers(units)
        probability = np.full(len(units), 1.0 / (self.symbols - 1))
        context = np.zeros(len(units), np.int64)
        for order, gram in zip(self.orders, grams, strict=True):
            begin, end = order.piece(context, self.symbols)
            total = order.cumulated[end] - order.cumulated[begin]
            count = np.where(gram >= 0, order.counts[gram], 0) if len(order.keys) else np.zeros(len(units))
            known = total + prior > 0
            mixed = (count + prior * probability) / np.where(known, total + prior, 1.0)
            probability = np.where(known, mixed, probability)
            context = np.roll(gram, 1)
        return probability


def counted(units: Integers, symbols: int, order: int) -> NgramCounts:
    """Count the n-grams of texts.

    Args:
        units: ``(total,)`` units of framed texts.
        symbols: S.
        order: m.
    """
    inside, before = np.flatnonzero(units != symbols - 1), units
    orders = [OrderCounts(np.arange(symbols), np.bincount(units[inside], minlength=symbols))]
    for _ in range(order - 1):
        context = before[inside - 1]
        whole, numbers = inside[context >= 0], np.full(len(units), -1)
        keys, place, counts = np.unique(
            context[context >= 0] * symbols + units[whole], return_inverse=True, return_counts=True
        )
        numbers[whole] = place
        orders.append(OrderCounts(keys, counts))
        before = numbers
    return NgramCounts(symbols, tuple(orders))


def distinct_places(units: Integers, symbols: int, order: int) -> Integers:
    """Return a place of each different n-gram of the highest order.

    Args:
        units: ``(total,)`` units of framed texts.
        symbols: S.
        order: m.

    Returns:
        ``(different,)`` places where they end.
    """
    numbers = counted(units, symbols, order).numbers(units)[-1]
    whole = np.flatnonzero((numbers >= 0) & (units != symbols - 1))
    return whole[np.unique(numbers[whole], return_index=True)[1]]


def framed(texts: Texts, begin: int, end: int) -> Integers:
    """Return texts behind one another, each with its beginning before it and its end after it.

    Args:
        texts: The texts.
        begin: The unit of a beginning.
        end: The unit of an end.

    Returns:
        ``(total + 2 n,)`` units.
    """
    n = len(texts.lengths)
    ends = texts.ends + 2 * np.arange(1, n + 1)
    units = np.empty(len(texts.units) + 2 * n, np.int64)
    frame = np.zeros(len(units), bool)
    for places, unit in ((ends - texts.lengths - 2, begin), (ends - 1, end)):
        units[places], frame[places] = unit, True
    units[~frame] = texts.units
    return units


class Sampler:
    """Draws units from counts, for many texts at once.

    Args:
        counts: The counts.
        prior: a.
        temperature: tau; other than 1 only if a is 0.
    """

    def __init__(self, counts: NgramCounts, prior: float, temperature: float) -> None:
        self._counts, self._prior = counts, prior
        self._weights: list[Array | Integers] = [
            order.cumulated
            if temperature == 1
            else np.concatenate([[0.0], np.cumsum(order.counts.astype(np.float64) ** (1 / temperature))])
            for order in counts.orders
        ]

    def contexts(self, recent: Integers) -> list[Integers]:
        """Return the contexts in which texts go on, one for each order.

        Args:
            recent: ``(rows, m - 1)`` their last units, -1 before their beginning.
        """
        contexts = [np.zeros(len(recent), np.int64), *(np.full(len(recent), -1) for _ in self._counts.orders[1:])]
        for unit in recent.T:
            contexts = self.advanced(contexts, unit)
        return contexts

    def advanced(self, contexts: Sequence[Integers], unit: Integers) -> list[Integers]:
        """Return the contexts after one more unit.

        Args:
            contexts: ``(rows,)`` numbers for each order.
            unit: ``(rows,)`` units; -1 for none.
        """
        after = [contexts[0]]
        for j, (order, context) in enumerate(zip(self._counts.orders[:-1], contexts[:-1], strict=True)):
            after.append(unit if j == 0 else order.find(context, unit, self._counts.symbols))
        return after

    def draw(self, contexts: Sequence[Integers], keys: NDArray[np.uint64], position: int) -> Integers:
        """Draw the next unit of each text.

        A level of the back-off is left with the probability a / (c(h) + a), by a number of its own.

        Args:
            contexts: ``(rows,)`` numbers for each order.
            keys: ``(rows,)`` keys.
            position: The number of units drawn before.

        Returns:
            ``(rows,)`` units.
        """
        written, levels = self._counts.symbols - 1, len(contexts) + 1
        salt = position * levels + 1
        drawn = np.minimum((uniforms(keys, salt) * written).astype(np.int64), written - 1)
        waiting = np.arange(len(keys))
        for j in reversed(range(len(contexts))):
            order, weights = self._counts.orders[j], self._weights[j]
            begin, end = order.piece(contexts[j][waiting], self._counts.symbols)
            low, high = weights[begin].astype(np.float64), weights[end].astype(np.float64)
            place = uniforms(keys[waiting], salt + 1 + j) * (high - low + self._prior)
            stays = place < high - low
            target = np.minimum(low + place, np.nextafter(high, 0.0))[stays]
            chosen = np.searchsorted(weights, target, side="right") - 1
            drawn[waiting[stays]] = order.keys[chosen] % self._counts.symbols
            waiting = waiting[~stays]
        return drawn
