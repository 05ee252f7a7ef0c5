"""Checks of what callers give: every refusal names the argument, what was received and what to give instead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

# Shares are given by hand or as normalized counts; this much is rounding, more is a mistake.
_SHARE_TOLERANCE = 1e-8


def number_array(value: object, name: str, wanted: str) -> npt.NDArray[np.generic]:
    """Read `value` as an array of real numbers, keeping its dtype (a memory map stays one).

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

    Raises:
        InvalidInput: naming the argument, if a number is nan or infinite.
    """
    numbers = np.asarray(array, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{name} holds numbers that are not finite; give finite numbers")
    return numbers


def vector(value: object, name: str, shape: tuple[int, ...]) -> Array:
    """Validate an array of finite numbers of one shape.

    Raises:
        InvalidInput: naming the argument, if the shape is another or a number is not finite.
    """
    array = finite(number_array(value, name, f"an array of shape {shape}"), name)
    if array.shape != shape:
        raise InvalidInput(f"{name} must have shape {shape}; received shape {array.shape}")
    return array


def share_vector(shares: object, entities: int) -> Array:
    """Validate the generator shares w.

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

    Raises:
        InvalidInput: naming the argument, if it is not one finite number >= 0.
    """
    array = number_array(value, name, "a number >= 0")
    if array.shape != () or not 0 <= float(array) < np.inf:
        raise InvalidInput(f"{name} must be a number >= 0; received {value!r}")
    return float(array)
