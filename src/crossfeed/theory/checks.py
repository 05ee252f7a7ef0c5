"""Checks of arguments: every refusal names the argument, states what was received and what to give instead.

Source: the conditions on shares, noise levels and truths are those of the paper, Section 5 (training workflow).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

# Shares are given by hand or as normalized counts; this much is rounding, more is a mistake.
_SHARE_TOLERANCE = 1e-8


def number_array(value: object, name: str, wanted: str) -> npt.NDArray[np.generic]:
    """Read a value as an array of real numbers, keeping its dtype (a memory map stays one).

    Args:
        value: anything that numpy reads as an array.
        name: the argument's name, for the message.
        wanted: the numbers that are expected, for the message.

    Returns:
        The array, of any shape and real dtype.

    Raises:
        InvalidInput: naming the argument, if it is not an array of real numbers.
    """
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise InvalidInput(f"{name} must be {wanted}; it could not be read as one array: {error}") from error
    if array.dtype.kind not in "fiu":
        raise InvalidInput(f"{name} must be {wanted}; received {type(value).__name__} of dtype {array.dtype}")
    return array


def finite(array: npt.NDArray[np.generic], name: str) -> Array:
    """Convert to float64 and refuse numbers that are not finite.

    Args:
        array: real numbers, of any shape.
        name: the argument's name, for the message.

    Returns:
        The numbers in the same shape.

    Raises:
        InvalidInput: naming the argument, if a number is nan or infinite.
    """
    numbers = np.asarray(array, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{name} holds numbers that are not finite; give finite numbers")
    return numbers


def vector(value: object, name: str, shape: tuple[int, ...]) -> Array:
    """Validate an array of finite numbers of one shape.

    Args:
        value: anything that numpy reads as an array.
        name: the argument's name, for the message.
        shape: the only shape that is accepted.

    Returns:
        The numbers, in that shape.

    Raises:
        InvalidInput: naming the argument, if the shape is another or a number is not finite.
    """
    array = finite(number_array(value, name, f"an array of shape {shape}"), name)
    if array.shape != shape:
        raise InvalidInput(f"{name} must have shape {shape}; received shape {array.shape}")
    return array


def share_vector(shares: object, entities: int) -> Array:
    """Validate the generator shares w.

    Args:
        shares: shape (K,), or None for equal shares.
        entities: K.

    Returns:
        Shape (K,), or (1,) holding 1/K when None is given.

    Raises:
        InvalidInput: if they are negative or do not sum to one.
    """
    if shares is None:
        return np.full(1, 1.0 / entities)
    array = vector(shares, "shares", (entities,))
    if (array < 0).any() or abs(array.sum() - 1.0) > _SHARE_TOLERANCE:
        raise InvalidInput(
            f"shares must be {entities} numbers >= 0 that sum to 1; received a sum of {array.sum():.6g} and a "
            f"smallest of {array.min():.6g}"
        )
    return array


def noise_level(value: object, name: str) -> float:
    """Validate a noise standard deviation.

    Args:
        value: one number, in the unit of the labels.
        name: the argument's name, for the message.

    Returns:
        The standard deviation.

    Raises:
        InvalidInput: naming the argument, if it is not one finite number >= 0.
    """
    array = number_array(value, name, "a number >= 0")
    if array.shape != () or not 0 <= float(array) < np.inf:
        raise InvalidInput(f"{name} must be a number >= 0; received {value!r}")
    return float(array)


def public_truth(truth_public: object | None, dimension: int) -> Array:
    """Validate the parameter that public and fresh labels follow.

    Args:
        truth_public: theta*_0, shape (d,), or None for zero.
        dimension: d.

    Returns:
        Shape (d,).

    Raises:
        InvalidInput: if the shape does not fit or a number is not finite.
    """
    return np.zeros(dimension) if truth_public is None else vector(truth_public, "truth_public", (dimension,))


def truth_vectors(truths: object | None, truth_public: object | None, entities: int, dimension: int) -> Array:
    """Validate the parameters that every entity's private labels follow.

    Args:
        truths: theta*_k, shape (K, d), or None: the public one for all.
        truth_public: theta*_0, shape (d,), or None for zero.
        entities: K.
        dimension: d.

    Returns:
        Shape (K, d); one row repeated with stride zero where `truths` is None.

    Raises:
        InvalidInput: if a shape does not fit, a number is not finite, or only `truths` is given.
    """
    if truths is not None and truth_public is None:
        raise InvalidInput("truths was given without truth_public; give what the public labels follow too, shape (d,)")
    common, shape = public_truth(truth_public, dimension), (entities, dimension)
    return np.broadcast_to(common if truths is None else vector(truths, "truths", shape), shape)
