r"""Networks, who reads whom and when: ecosystems beyond one pool that all read in step.

Reader k hears z_k = (1 - phi) sum_j W_kj p_j + phi f, where p_j = S_j theta_j + X_j'eps_j is what author j published
last and f the fresh human data. Rows of W sum to one; authors with nothing in the pool are left out and their weight is
dealt to the others in proportion. An entity trains at generation 0 and at generations t with t = phase (mod every),
each time with a probability; its texts are published once, at the generation after, and stay until the next ones.

Reference: DeGroot, Reaching a consensus, J. Amer. Statist. Assoc. 69 (1974), for matrices of weights; the rest is not
in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import finite, number_array
from crossfeed.theory.kernels import Array, Mask

Integers = npt.NDArray[np.int64]
#: Texts of earlier generations stay in the pool, or are there at the generation of publication alone.
Stale = Literal["keep", "drop"]
#: Entities of one generation train at once, or in turn.
Order = Literal["together", "sequential"]
#: Gram matrices of the rows published at a generation t >= 1, shape (K, d, d).
GeneratedAt = Callable[[int], npt.ArrayLike]

#: Entities that leave at this generation or later never do.
NEVER = 10**9

# Rows of weights are given by hand or as normalized counts; this much is rounding, more is a mistake.
_ROW_TOLERANCE = 1e-8

# Cycles beyond this are not followed.
_LONGEST_CYCLE = 10_000


@dataclass(frozen=True, eq=False)
class Reading:
    """Weights W = C R of the authors that each reader reads; where R is the identity, C is W.

    Attributes:
        heard: C, shape (K, r), an array or a sparse array.
        mixed: R, shape (r, K), or None where it is the identity.
    """

    heard: Any
    mixed: Array | None

    @property
    def channels(self) -> int:
        """Number r of channels."""
        return int(self.heard.shape[1])

    @property
    def is_sparse(self) -> bool:
        """True if W was given as a sparse array."""
        return not isinstance(self.heard, np.ndarray)

    def rows(self, readers: Any) -> Reading:
        """Return the weights of some readers.

        Args:
            readers: index array or slice.

        Returns:
            Their weights.
        """
        return Reading(self.heard[readers], self.mixed)

    def hear(self, values: Array) -> Array:
        """Return what readers hear of the authors, sum_j W_kj values_j.

        Args:
            values: shape (K, ...), one for each author.

        Returns:
            Shape (K, ...), one for each reader.
        """
        flat = values.reshape(len(values), -1)
        said = flat if self.mixed is None else self.mixed @ flat
        heard: Array = np.asarray(self.heard @ said).reshape(self.heard.shape[0], *values.shape[1:])
        return heard

    def matrix(self) -> Any:
        """Return the weights.

        Returns:
            W, shape (K, K), sparse where it was given so.
        """
        return self.heard if self.mixed is None else self.heard @ self.mixed


@dataclass(frozen=True, eq=False)
class Timing:
    """The generations at which entities are there, and train.

    Attributes:
        every: shape (K,).
        phase: shape (K,).
        probability: shape (K,).
        arrives: shape (K,).
        leaves: shape (K,).
        stale: "keep" or "drop".
        order: "together" or "sequential".
    """

    every: Integers
    phase: Integers
    probability: Array
    arrives: Integers
    leaves: Integers
    stale: Stale
    order: Order

    @cached_property
    def in_step(self) -> bool:
        """True if everybody trains at every generation, at once."""
        return bool((self.every == 1).all()) and not self.random and not self.changing and self.order == "together"

    @cached_property
    def random(self) -> bool:
        """True if coins decide who trains."""
        return bool((self.probability < 1).any())

    @cached_property
    def changing(self) -> bool:
        """True if somebody arrives after generation 0 or leaves."""
        return bool((self.arrives > 0).any() or (self.leaves < NEVER).any())

    @cached_property
    def period(self) -> int:
        """Number of generations after which the clocks begin again."""
        return math.lcm(*map(int, np.unique(self.every)))

    @cached_property
    def settled(self) -> int:
        """First generation after generation 0 from which nobody arrives or leaves any more."""
        last = self.leaves[self.leaves < NEVER]
        return int(max(self.arrives.max(), last.max(initial=0))) + 1

    def there(self, generation: int) -> Mask:
        """Tell who is there.

        Args:
            generation: t >= 0.

        Returns:
            Shape (K,).
        """
        mask: Mask = (self.arrives <= generation) & ((generation <= self.leaves) | (self.leaves == NEVER))
        return mask

    def first(self, generation: int) -> Mask:
        """Tell who trains a first model.

        Args:
            generation: t >= 0.

        Returns:
            Shape (K,).
        """
        mask: Mask = (self.arrives == generation) & self.there(generation)
        return mask

    def trains(self, generation: int) -> Mask:
        """Tell who trains, if its coin says so.

        Args:
            generation: t >= 0.

        Returns:
            Shape (K,).
        """
        due = (generation - self.phase) % self.every == 0
        mask: Mask = self.first(generation) | (due & self.there(generation) & (generation > 0))
        return mask

    def published(self, generation: int) -> Mask:
        """Tell whose texts are in the pool.

        Args:
            generation: t >= 0.

        Returns:
            Shape (K,).
        """
        mask = self.there(generation) & (self.arrives < generation)
        if self.stale == "drop" and generation > 0:
            mask = mask & self.trains(generation - 1)
        return mask


@dataclass(frozen=True, eq=False)
class Network:
    """All that makes an ecosystem more than one pool in step.

    Attributes:
        reading: who reads whom.
        given: True if the weights were given; False if they are the shares of one pool.
        timing: who trains when.
        generated_at: Gram matrices of the rows published at a generation; None where they are always the same.
    """

    reading: Reading
    given: bool
    timing: Timing
    generated_at: GeneratedAt | None

    @classmethod
    def read(
        cls,
        entities: int,
        shares: Array,
        reads: object = None,
        every: npt.ArrayLike = 1,
        phase: npt.ArrayLike = 0,
        probability: npt.ArrayLike = 1.0,
        stale: str = "keep",
        order: str = "together",
        arrives: npt.ArrayLike | None = None,
        leaves: npt.ArrayLike | None = None,
        generated_at: GeneratedAt | None = None,
        *,
        shares_given: bool = False,
        accumulate: bool = False,
    ) -> Network | None:
        """Validate the options of `crossfeed.theory.LinearEcosystem` of these names.

        Args:
            entities: K.
            shares: w, shape (K,) or (1,).
            reads: W, (C, R), a sparse array, or None.
            every: as in `LinearEcosystem`.
            phase: as in `LinearEcosystem`.
            probability: as in `LinearEcosystem`.
            stale: as in `LinearEcosystem`.
            order: as in `LinearEcosystem`.
            arrives: as in `LinearEcosystem`.
            leaves: as in `LinearEcosystem`.
            generated_at: as in `LinearEcosystem`.
            shares_given: True if the user gave shares.
            accumulate: True for the history "accumulate".

        Returns:
            The network; None where all read one pool in step.

        Raises:
            InvalidInput: naming the argument, what was received and what to give.
        """
        if reads is not None and shares_given:
            raise InvalidInput(
                "reads and shares were both given, and reads holds the weight of every author; give one of them"
            )
        if generated_at is not None and not callable(generated_at):
            raise InvalidInput(
                f"generated_at must be a function of the generation t >= 1 returning Gram matrices of shape (K, d, d); "
                f"received {type(generated_at).__name__}; give constant ones as generated"
            )
        timing = Timing(
            _integers(every, "every", entities, 1),
            _integers(phase, "phase", entities, None),
            _probabilities(probability, entities),
            _integers(0 if arrives is None else arrives, "arrives", entities, 0),
            np.minimum(_integers(NEVER if leaves is None else leaves, "leaves", entities, 0), NEVER),
            _named(stale, Stale, "stale"),
            _named(order, Order, "order"),
        )
        if reads is None and timing.in_step and generated_at is None and timing.stale == "keep":
            return None
        _check_together(timing, generated_at, accumulate=accumulate)
        pooled = Reading(np.ones((entities, 1)), np.broadcast_to(shares, (entities,))[None].copy())
        reading = pooled if reads is None else read_weights(reads, entities)
        return cls(reading, reads is not None, timing, generated_at)


def _check_together(timing: Timing, generated_at: GeneratedAt | None, *, accumulate: bool) -> None:
    if (timing.leaves < timing.arrives).any():
        k = int(np.argmax(timing.leaves < timing.arrives))
        raise InvalidInput(
            f"leaves must not be before arrives; entity {k} arrives at {timing.arrives[k]} and leaves at "
            f"{timing.leaves[k]}"
        )
    if timing.arrives.min() > 0:
        raise InvalidInput(
            f"arrives must be 0 for at least one entity, as generation 0 has the first models; received "
            f"{timing.arrives.min()} as the smallest; count generations from the first arrival"
        )
    if accumulate and not timing.in_step:
        raise InvalidInput(
            'history "accumulate" with entities that do not all train at every generation has no closed form here: it '
            'would count kept texts again at every generation; give history="latest", or every=1, probability=1, '
            'order="together" and no arrivals'
        )
    if timing.stale == "drop" and timing.random:
        raise InvalidInput(
            'stale="drop" with a probability below 1 does not close: who is heard, and so the training sets\' Gram '
            'matrices, would depend on the coins; give stale="keep", or clocks (every, phase) in place of a probability'
        )
    if timing.stale == "drop" and timing.order == "sequential":
        raise InvalidInput(
            'stale="drop" with order="sequential": texts that go at the end of their generation never reach those who '
            'trained before; give stale="keep" or order="together"'
        )
    if generated_at is not None and timing.random:
        raise InvalidInput(
            "generated_at with a probability below 1 does not close: the Gram matrices of kept texts would depend on "
            "the coins; give clocks (every, phase) in place of the probability, or constant generated data"
        )
    if timing.period > _LONGEST_CYCLE:
        raise InvalidInput(
            f"every has a common period of {timing.period} generations; give clocks with at most {_LONGEST_CYCLE}"
        )


def read_weights(reads: object, entities: int) -> Reading:
    """Validate weights of reading.

    Args:
        reads: W of shape (K, K), a pair (C, R) or a sparse array.
        entities: K.

    Returns:
        The weights; a dense W with few distinct rows as the communities that these are.

    Raises:
        InvalidInput: if a shape is another, a weight is negative or rows do not sum to one.
    """
    if isinstance(reads, tuple):
        if len(reads) != 2:
            raise InvalidInput(f"reads must be W or a pair (C, R); received a tuple of {len(reads)}")
        heard = _stochastic(reads[0], "reads[0], C,", (entities, None))
        return Reading(heard, _stochastic(reads[1], "reads[1], R,", (heard.shape[1], entities)))
    if hasattr(reads, "tocsr"):
        from scipy.sparse import csr_array

        matrix: Any = csr_array(cast(Any, reads), dtype=np.float64)
        _check_rows(matrix.data, np.asarray(matrix.sum(axis=1)).ravel(), matrix.shape, "reads", (entities, entities))
        return Reading(matrix, None)
    weights = _stochastic(reads, "reads", (entities, entities))
    distinct, labels = np.unique(weights, axis=0, return_inverse=True)
    if 2 * len(distinct) <= entities:
        return Reading(np.eye(len(distinct))[labels.ravel()], distinct)
    return Reading(weights, None)


def _stochastic(value: object, name: str, shape: tuple[int | None, ...]) -> Array:
    matrix = finite(number_array(value, name, f"weights of shape {shape}"), name)
    _check_rows(matrix, matrix.sum(axis=-1), matrix.shape, name, shape)
    return matrix


def _check_rows(weights: Array, sums: Array, shape: tuple[int, ...], name: str, wanted: tuple[int | None, ...]) -> None:
    if len(shape) != 2 or any(size not in (None, given) for size, given in zip(wanted, shape, strict=True)):
        raise InvalidInput(f"{name} must have shape {wanted}, one row for each reader; received shape {shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InvalidInput(f"{name} must hold weights that are finite and not negative; received {weights.min()}")
    off = np.abs(sums - 1.0)
    if (off > _ROW_TOLERANCE).any():
        row = int(np.argmax(off))
        raise InvalidInput(
            f"{name} must have rows that sum to one; row {row} sums to {sums[row]}; divide each row by its sum"
        )


def _integers(value: npt.ArrayLike, name: str, entities: int, least: int | None) -> Integers:
    wanted = f"a whole number or {entities} of them, one per entity"
    wanted += "" if least is None else f", at least {least}"
    array: npt.NDArray[Any] = number_array(value, name, wanted)
    if array.dtype.kind not in "iu" or array.shape not in ((), (entities,)):
        raise InvalidInput(f"{name} must be {wanted}; received shape {array.shape} of dtype {array.dtype}")
    if least is not None and (array < least).any():
        raise InvalidInput(f"{name} must be {wanted}; received {array.min()}")
    return np.broadcast_to(array, (entities,)).astype(np.int64)


def _probabilities(value: npt.ArrayLike, entities: int) -> Array:
    wanted = f"a number in (0, 1] or {entities} of them, one per entity"
    array = np.asarray(number_array(value, "probability", wanted), dtype=np.float64)
    if array.shape not in ((), (entities,)) or not ((array > 0) & (array <= 1)).all():
        received = f"shape {array.shape}" if array.shape not in ((), (entities,)) else f"{array.min()} to {array.max()}"
        raise InvalidInput(f"probability must be {wanted}; received {received}")
    return np.broadcast_to(array, (entities,)).copy()


def _named(value: str, kind: Any, name: str) -> Any:
    if value not in get_args(kind):
        names = " or ".join(f'"{each}"' for each in get_args(kind))
        raise InvalidInput(f"{name} must be {names}; received {value!r}")
    return value
