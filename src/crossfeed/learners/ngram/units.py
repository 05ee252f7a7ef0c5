"""Texts as numbers of units and back, without a loop over units.

The numbers of a vocabulary of W units are 0 to W - 1 in their sorted order; W is any unknown unit, W + 1 the end of a
text, W + 2 its beginning, which is read before the first unit and never written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.learners.ngram.settings import Unit

__all__ = ["Integers", "Texts", "Vocabulary", "column_of", "text_of", "vocabulary_of"]

Integers = NDArray[np.int64]
_UNKNOWN: Final = "<unk>"
_REPLACEMENT: Final = 0xFFFD


@dataclass(frozen=True)
class Texts:
    """Texts as units, behind one another.

    Attributes:
        units: ``(total,)`` numbers of units.
        lengths: ``(n,)`` number of units of each text.
    """

    units: Integers
    lengths: Integers

    @property
    def ends(self) -> Integers:
        """``(n,)`` where each text ends."""
        return np.cumsum(self.lengths)


class Vocabulary(ABC):
    """The units of some texts."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number W of known units."""

    @abstractmethod
    def encode(self, texts: pa.Array) -> Texts:
        """Return texts as units.

        Args:
            texts: Strings.
        """

    @abstractmethod
    def decode(self, texts: Texts) -> list[str]:
        """Return completions as strings, as they follow a prompt.

        Args:
            texts: Units up to W.
        """

    @property
    def unknown(self) -> int:
        """The number W of whatever is not known."""
        return self.size

    @property
    def end(self) -> int:
        """The number of the end of a text."""
        return self.size + 1

    @property
    def begin(self) -> int:
        """The number of the beginning of a text."""
        return self.size + 2

    @property
    def written(self) -> int:
        """V, how many numbers can be written: the known units, the unknown one and the end."""
        return self.size + 2


def vocabulary_of(unit: Unit, texts: Sequence[pa.Array]) -> Vocabulary:
    """Return the units of texts.

    Args:
        unit: ``words`` or ``characters``.
        texts: Arrays of strings.
    """
    if unit == "words":
        return _Words(pc.unique(pa.chunked_array([_split(each)[0] for each in texts], pa.large_string())).sort())
    return _Characters(np.unique(np.concatenate([_points(each) for each in texts])))


def text_of(items: pa.Table) -> pa.Array:
    """Return the texts of items, prompts and completions.

    Args:
        items: Items with a ``prompt`` and a ``completion``.
    """
    empty = pa.scalar("", pa.large_string())
    return pc.binary_join_element_wise(column_of(items, "prompt"), column_of(items, "completion"), empty)


def column_of(items: pa.Table, name: str) -> pa.Array:
    """Return a column of items as one array of strings, null as the empty one.

    Args:
        items: Items.
        name: ``prompt`` or ``completion``.
    """
    column = items.column(name).cast(pa.large_string()).fill_null("")
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.large_string())


@dataclass(frozen=True, eq=False)
class _Words(Vocabulary):
    words: pa.Array

    @property
    def size(self) -> int:
        return len(self.words)

    def encode(self, texts: pa.Array) -> Texts:
        words, lengths = _split(texts)
        found = pc.index_in(words, value_set=self.words).fill_null(self.unknown)
        return Texts(found.to_numpy(zero_copy_only=False).astype(np.int64), lengths)

    def decode(self, texts: Texts) -> list[str]:
        words = self._written.take(pa.array(texts.units))
        offsets = pa.array(np.concatenate([[0], texts.ends]), pa.int64())
        listed, space = pa.LargeListArray.from_arrays(offsets, words), pa.scalar(" ", pa.large_string())
        return [f" {text}" if text else "" for text in pc.binary_join(listed, space).to_pylist()]

    @cached_property
    def _written(self) -> pa.Array:
        return pa.concat_arrays([self.words, pa.array([_UNKNOWN], pa.large_string())])


@dataclass(frozen=True, eq=False)
class _Characters(Vocabulary):
    points: NDArray[np.uint32]

    @property
    def size(self) -> int:
        return len(self.points)

    def encode(self, texts: pa.Array) -> Texts:
        points = _points(texts)
        place = np.searchsorted(self.points, points)
        known = self.points[np.minimum(place, self.size - 1)] == points if self.size else np.zeros(len(points), bool)
        return Texts(np.where(known, place, self.unknown), _numbers(pc.utf8_length(texts)))

    def decode(self, texts: Texts) -> list[str]:
        points = np.append(self.points, np.uint32(_REPLACEMENT))[texts.units]
        whole = points.astype("<u4").tobytes().decode("utf-32-le")
        ends = texts.ends.tolist()
        return [whole[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _split(texts: pa.Array) -> tuple[pa.Array, Integers]:
    """Return all words of texts, and the number of each."""
    listed = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts))
    words, lengths = listed.flatten(), _numbers(pc.list_value_length(listed))
    # A text without a word is split into one empty string.
    empty = _numbers(pc.equal(pc.utf8_length(words), 0)).astype(bool)
    owners = np.repeat(np.arange(len(lengths)), lengths)[empty]
    return words.filter(pa.array(~empty)), lengths - np.bincount(owners, minlength=len(lengths))


def _points(texts: pa.Array) -> NDArray[np.uint32]:
    """Return the code points of all texts, behind one another."""
    whole = "".join(texts.to_pylist())
    return np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def _numbers(values: pa.Array) -> Integers:
    numbers: Integers = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
