r"""Choice among candidates: the items that readers draw, and those that they keep instead.

An author's item i is the first of its candidates; with N published items, candidate c is the item :math:`i + cN`, which
answers the same prompt with a key of its own. So candidates are stored in the pool like any item, and are the same for
all who choose among them. Whether a draw is chosen, and what is, depends on the key of (seed, t, reader, position) and
on the rewards of its own candidates alone. So it is known before anything is generated which candidates that takes;
where they are accepted one after the other (``best_of: inf``) they are generated until every draw has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.description.preference import Preference
from crossfeed.errors import InvalidInput
from crossfeed.generation.calendar import Calendar
from crossfeed.generation.mixture import Draws, Sizes, Source
from crossfeed.generation.tastes import DECIMALS, Tastes, rewards_of
from crossfeed.keys import address, item_keys, uniforms
from crossfeed.protocols import FRESH, Array, Learner

__all__ = ["Choice", "Chosen"]

Items = NDArray[np.int64]

# Salts of a draw's key: whether it is chosen, what is chosen, and whether candidate c is accepted.
_CHOSEN: Final = 0
_WHICH: Final = 1
_ACCEPTED: Final = 2

_MOST_CANDIDATES: Final = 20_000
"""Candidates of one item after which it is given up that one is accepted."""


@dataclass(frozen=True)
class Chosen:
    """The items that a reader chooses of one author.

    Attributes:
        candidates: The number of candidates among which they were chosen, those that are taken as they are included.
        offered: Mean reward, by the reader's own taste, of the first candidates of all that it drew.
        kept: That of what it kept.
    """

    candidates: int
    offered: float
    kept: float


class _Stored:
    """Rewards, and features where tastes drift, of one stored pool."""

    def __init__(self, pool: pa.Table, names: Sequence[str], learner: Learner) -> None:
        place = {name: j for j, name in enumerate(names)}
        authors = np.array([place[name] for name in pool.column("author").to_pylist()], dtype=np.int64)
        self._items = pool.column("item").to_numpy()
        self._most = int(self._items.max()) + 1
        self._codes = authors * self._most + self._items
        self.rewards = rewards_of(pool)
        self._learner, self._pool = learner, pool

    def rows(self, author: int, items: Items) -> tuple[Items, NDArray[np.bool_]]:
        """Return the rows of an author's items, and which of them are there."""
        codes = author * self._most + items
        rows = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return rows, (self._codes[rows] == codes) & (items < self._most)

    @cached_property
    def features(self) -> Array:
        """``(rows, dimension)`` features of all items, computed together."""
        return self._learner.embed([self._pool])[0].astype(np.float64)


class Choice:
    """The choices of one cell's readers; what is stored of a pool, and how tastes drifted, is remembered here.

    Args:
        preferences: Each entity's choice among candidates, in order.
        tastes: Their tastes.
        calendar: The ecosystem and the seed.
        sizes: The number of items of each source.
        learner: Gives features.
        fresh: Fresh human items of generations t = 1, 2, ...

    Attributes:
        drifts: True if some taste drifts.
        candidates: The greatest number of candidates that are generated at once.
        open_ended: True if some candidates are accepted one after the other.

    Raises:
        InvalidInput: Candidates are to be accepted by a reward that has no greatest value.
    """

    def __init__(
        self,
        preferences: Sequence[Preference | None],
        tastes: Tastes,
        calendar: Calendar,
        sizes: Sizes,
        learner: Learner,
        fresh: Sequence[pa.Table],
    ) -> None:
        known = [each for each in preferences if each is not None]
        self.drifts = any(each.drift > 0 for each in known)
        self.candidates = max(each.candidates for each in known)
        self.open_ended = any(each.best_of == "inf" for each in known)
        self._preferences, self.tastes, self._calendar = tuple(preferences), tastes, calendar
        self._sizes, self._learner, self._fresh = sizes, learner, fresh
        self._names = calendar.ecosystem.names
        self._place = {name: j for j, name in enumerate(self._names)}
        self._stored: dict[int, _Stored] = {}
        self._drifted: list[dict[int, tuple[float, Array]]] = [{}, {}]  # of each generation, by entity
        if self.open_ended:
            self._refuse_unbounded()

    def _refuse_unbounded(self) -> None:
        for k, preference in enumerate(self._preferences):
            place = self.tastes.of[k]
            if preference is not None and place is not None and not np.isfinite(self.tastes.tastes[place].most):
                raise InvalidInput(
                    f"ecosystem.preference.best_of: inf: candidates are accepted by the greatest reward there is, and "
                    f"{' + '.join(preference.reward)} has none; give a number, such as 8, or a reward that has"
                )

    def knows(self, born: int) -> bool:
        """Return True if the rewards of a pool are known here."""
        return born in self._stored

    def recall(self, pools: Mapping[int, pa.Table]) -> None:
        """Take the rewards of stored pools.

        Args:
            pools: Stored pools by generation.
        """
        for born, pool in pools.items():
            known = self._stored.get(born)
            if known is None or len(known.rewards) != pool.num_rows:  # a pool may have been completed meanwhile
                self._stored[born] = _Stored(pool, self._names, self._learner)

    def forget_all_except(self, born: int) -> None:
        """Forget the rewards of other generations' pools."""
        self._stored = {known: each for known, each in self._stored.items() if known == born}

    def wanted(self, draws: Draws, born: int, generation: int, reader: int) -> tuple[Items, Items]:
        """Return the items of one pool that draws take, with all candidates that are generated at once.

        Args:
            draws: A training set's draws.
            born: The generation of the pool.
            generation: The generation t of the training set.
            reader: The reader's index k.

        Returns:
            ``(m,)`` authors' indices and ``(m,)`` items, in any order.
        """
        found = [draws.published(born, self._names)]
        for source, _, index in self._of_pool(draws, generation, reader):
            author, (_, preference) = self._place[source.name], self._decides(source, reader)
            if source.born == born:
                size = self._sizes.published(born)[author]
                found += [(np.full_like(index, author), index + c * size) for c in range(1, preference.candidates)]
        authors, items = zip(*found, strict=True)
        return np.concatenate(authors), np.concatenate(items)

    def missing(self, draws: Draws, born: int, generation: int, reader: int) -> tuple[Items, Items]:
        """Return the next candidates of draws of one pool that have none yet (``best_of: inf``).

        Args:
            draws: See `wanted`.
            born: The generation of the pool, whose rewards are known.
            generation: The generation t of the training set.
            reader: The reader's index k.

        Returns:
            ``(m,)`` authors' indices and ``(m,)`` items.
        """
        authors, items = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for source, positions, index in self._of_pool(draws, generation, reader):
            if source.born == born and self._decides(source, reader)[1].best_of == "inf":
                more = self._accepted(source, positions, index, generation, reader)[1]
                authors.append(np.full_like(more, self._place[source.name]))
                items.append(more)
        return np.concatenate(authors), np.concatenate(items)

    def kept(self, draws: Draws, generation: int, reader: int) -> Draws:
        """Return draws with what is kept in the place of what was drawn.

        Args:
            draws: A training set's draws.
            generation: The generation t.
            reader: The reader's index k.

        Raises:
            KeyError: The rewards of a pool were not recalled.
        """
        index = draws.index.copy()
        for source, positions, own in self._of_pool(draws, generation, reader):
            if self._decides(source, reader)[1].best_of == "inf":
                index[positions], missing = self._accepted(source, positions, own, generation, reader)
                if len(missing):
                    raise KeyError(f"candidates of {source.name} of generation {source.born} were not generated")
            else:
                index[positions] = self._one_of(source, positions, own, generation, reader)
        return replace(draws, index=index)

    def summary(self, draws: Draws, kept: Draws, generation: int, reader: int) -> dict[str, Chosen]:
        """Return what a reader chose of each author that it drew items of; empty if it takes them as they are.

        Args:
            draws: The draws of its training set.
            kept: The same with what it kept.
            generation: The generation t.
            reader: The reader's index k.
        """
        taste = self.tastes.of[reader]
        if taste is None:
            return {}
        chosen = self._chosen(draws, generation, reader)
        sums: dict[str, Array] = {}
        for place, source in enumerate(draws.sources):
            here = draws.source == place
            if source.name in self._place and here.any():
                author, stored = self._place[source.name], self._stored[source.born]
                offered, after = (
                    stored.rewards[stored.rows(author, each.index[here])[0], taste] for each in (draws, kept)
                )
                best_of = self._decides(source, reader)[1].best_of if chosen[here].any() else 1
                if best_of == "inf":  # candidates before the one that was accepted were looked at
                    seen = kept.index[here] // self._sizes.published(source.born)[author] + 1
                else:
                    seen = np.where(chosen[here], best_of, 1)
                own = np.array([here.sum(), seen.sum(), offered.sum(), after.sum()], dtype=np.float64)
                sums[source.name] = sums.get(source.name, 0.0) + own
        return {
            name: Chosen(int(seen), float(offered / count), float(after / count))
            for name, (count, seen, offered, after) in sums.items()
        }

    def _keys(self, generation: int, reader: int, count: int) -> NDArray[np.uint64]:
        base = address(self._calendar.seed, "prefer", generation, self._names[reader])
        return item_keys(base, np.arange(count))

    def _chosen(self, draws: Draws, generation: int, reader: int) -> NDArray[np.bool_]:
        """Return which draws are chosen among candidates."""
        shares = np.array([self._share(source, reader) for source in draws.sources])
        keys = self._keys(generation, reader, len(draws.source))
        return np.asarray(uniforms(keys, _CHOSEN) < shares[draws.source])

    def _share(self, source: Source, reader: int) -> float:
        """Return the probability with which a draw from a source is chosen among candidates."""
        preference = self._preferences[reader]
        author = self._place.get(source.name)
        if preference is None or author is None or source.born == 0:
            return 0.0
        if self.tastes.of[self._judge(author, reader)] is None:
            return 0.0
        return preference.own if author == reader else preference.others

    def _judge(self, author: int, reader: int) -> int:
        """Return whose choice it is what a reader that chooses keeps of an author's items."""
        preference = self._preferences[reader]
        return reader if preference is not None and preference.judge == "reader" else author

    def _decides(self, source: Source, reader: int) -> tuple[int, Preference]:
        """Return who decides on a source's items for a reader, and how, where they are chosen."""
        judge = self._judge(self._place[source.name], reader)
        preference = self._preferences[judge]
        assert preference is not None  # noqa: S101 - for the type checker; see `_share`
        return judge, preference

    def _of_pool(self, draws: Draws, generation: int, reader: int) -> list[tuple[Source, Items, Items]]:
        """Return the chosen draws by source: positions, and items as drawn."""
        chosen = self._chosen(draws, generation, reader)
        found = []
        for place in np.unique(draws.source[chosen]).tolist():
            positions = np.flatnonzero(chosen & (draws.source == place))
            found.append((draws.sources[place], positions, draws.index[positions]))
        return found

    def _one_of(self, source: Source, positions: Items, drawn: Items, generation: int, reader: int) -> Items:
        """Choose one of k candidates for each draw."""
        author, (_, preference) = self._place[source.name], self._decides(source, reader)
        size = self._sizes.published(source.born)[author]
        ids = drawn[:, None] + size * np.arange(preference.candidates)
        rewards = self._rewards(source, author, ids.reshape(-1), generation, reader).reshape(ids.shape)
        uniform = uniforms(self._keys(generation, reader, int(positions[-1]) + 1)[positions], _WHICH)
        best = rewards == rewards.max(axis=1, keepdims=True)
        if preference.rule == "luce":
            weights = np.exp((rewards - rewards.max(axis=1, keepdims=True)) / preference.temperature)
        else:
            weights = best.astype(np.float64)
        edges = np.cumsum(weights, axis=1)
        which = (edges <= uniform[:, None] * edges[:, -1:]).sum(axis=1)
        kept: Items = ids[np.arange(len(ids)), np.minimum(which, ids.shape[1] - 1)]
        return kept

    def _accepted(
        self, source: Source, positions: Items, drawn: Items, generation: int, reader: int
    ) -> tuple[Items, Items]:
        """Return the accepted candidate of each draw, and the next candidates of those that have none yet."""
        author, (judge, preference) = self._place[source.name], self._decides(source, reader)
        size, taste = self._sizes.published(source.born)[author], self.tastes.of[judge]
        assert taste is not None  # noqa: S101 - for the type checker
        keys = self._keys(generation, reader, int(positions[-1]) + 1)[positions]
        stored, most = self._stored[source.born], self.tastes.tastes[taste].most
        kept, left, missing = drawn.copy(), np.arange(len(drawn)), [np.empty(0, np.int64)]
        for c in range(_MOST_CANDIDATES):
            ids = drawn[left] + c * size
            rows, there = stored.rows(author, ids)
            missing.append(ids[~there])
            left, ids, rows = left[there], ids[there], rows[there]
            chance = np.exp((stored.rewards[rows, taste] - most) / preference.temperature)
            accepted = uniforms(keys[left], _ACCEPTED + c) < chance
            kept[left[accepted]] = ids[accepted]
            left = left[~accepted]
            if not len(left):
                return kept, np.unique(np.concatenate(missing))
        raise InvalidInput(
            f"ecosystem.preference.best_of: inf: of {_MOST_CANDIDATES} candidates of an item of {source.name} none was "
            "accepted, since all are far from the greatest reward; give a higher temperature, or a number of candidates"
        )

    def _rewards(self, source: Source, author: int, items: Items, generation: int, reader: int) -> Array:
        """Return the ``(m,)`` rewards of some items at a generation by the taste that decides."""
        judge = self._judge(author, reader)
        taste, stored = self.tastes.of[judge], self._stored[source.born]
        rows, there = stored.rows(author, items)
        if not there.all():
            raise KeyError(f"candidates of {source.name} of generation {source.born} were not generated")
        rewards: Array = stored.rewards[rows, taste]
        if not self.drifts or judge not in self._drifted[generation]:
            return rewards
        left, towards = self._drifted[generation][judge]
        return np.asarray(np.round(left * rewards + stored.features[rows] @ towards, DECIMALS))

    def unseen(self, generation: int) -> range:
        """Return the generations whose readings are still to be seen before tastes at a generation are known.

        Args:
            generation: The generation t.
        """
        return range(len(self._drifted) - 1, generation) if self.drifts else range(0)

    def see(self, generation: int, kept: Mapping[int, Draws]) -> None:
        """Let tastes drift by what was read at a generation, the first of the unseen ones.

        Args:
            generation: The generation t.
            kept: The draws of those who trained, as they were kept, by entity.
        """
        after = dict(self._drifted[generation])
        for k, draws in kept.items():
            preference = self._preferences[k]
            seen = self._mean_features(draws) if preference is not None and preference.drift > 0 else None
            if preference is not None and seen is not None:
                left, towards = after.get(k, (1.0, np.zeros_like(seen)))
                step = preference.drift
                after[k] = (1 - step) * left, (1 - step) * towards + step * seen
        self._drifted.append(after)

    def _mean_features(self, draws: Draws) -> Array | None:
        """Return the mean features of what was read of the pool; None if nothing was."""
        total, count = None, 0
        for source, _, index in draws.by_source():
            if source.born == 0:
                continue
            if source.name == FRESH:
                features = self._learner.embed([self._fresh[source.born - 1]])[0].astype(np.float64)[index]
            else:
                stored = self._stored[source.born]
                features = stored.features[stored.rows(self._place[source.name], index)[0]]
            total = features.sum(axis=0) + (0.0 if total is None else total)
            count += len(index)
        return None if total is None else total / count
