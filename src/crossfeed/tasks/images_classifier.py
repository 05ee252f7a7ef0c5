r"""The classifier that grades images, and whose features metrics compare.

A perceptron with one hidden layer (scikit-learn's), trained once, on real images only: with x the pixels scaled to
[-1, 1],

.. math:: f(x) = \max(A^\top x + a, 0), \qquad \mathrm{class} = \arg\max_c\,(B^\top f(x) + b)_c ,

and the features are f(x) scaled to length 1. Its accuracy is that of such a model: high on digits, low on
photographs.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.cache import cached_folder
from crossfeed.errors import InvalidInput, MissingDependency
from crossfeed.tasks.pictures import Images

__all__ = ["Classifier", "fixed_classifier"]

_UNITS: Final = 128
_EPOCHS: Final = 100
_FORMAT: Final = 1
"""Part of the cache's names; to be raised when the same images would give another classifier."""
_NEVER_NOTHING: Final = 1e-6
"""Added to each unit, so that an image that activates none has features too."""
_FILE: Final = "weights.npz"
_ARRAYS: Final = ("hidden", "hidden_bias", "output", "output_bias")


@dataclass(frozen=True, eq=False)
class Classifier:
    """A perceptron with one hidden layer (see the module).

    Attributes:
        classes: The classes' names.
        shape: (height, width, channels) of its images.
        hidden: A, ``(pixels, units)``.
        hidden_bias: a, ``(units,)``.
        output: B, ``(units, classes)``.
        output_bias: b, ``(classes,)``.
    """

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output: NDArray[np.float64]
    output_bias: NDArray[np.float64]

    def predict(self, images: Images) -> list[str]:
        """Predict classes.

        Args:
            images: ``(n, height, width, channels)`` images.

        Returns:
            The name of each image's class.
        """
        return [self.classes[best] for best in self._logits(images).argmax(axis=1)]

    def probabilities(self, images: Images) -> NDArray[np.float64]:
        """Return ``(n, classes)`` probabilities of the classes: the softmax of the outputs.

        Args:
            images: ``(n, height, width, channels)`` images.
        """
        logits = self._logits(images)
        weights: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def _logits(self, images: Images) -> NDArray[np.float64]:
        logits: NDArray[np.float64] = self._units(images) @ self.output + self.output_bias
        return logits

    def features(self, images: Images) -> NDArray[np.float32]:
        """Compute features.

        Args:
            images: ``(n, height, width, channels)`` images.

        Returns:
            ``(n, units)`` unit-norm features.
        """
        units = self._units(images) + _NEVER_NOTHING
        unit: NDArray[np.float32] = (units / np.linalg.norm(units, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _units(self, images: Images) -> NDArray[np.float64]:
        if images.shape[1:] != self.shape and len(images):
            raise InvalidInput(
                f"images of the shape {images.shape[1:]} cannot be told apart by a classifier of images of the shape "
                f"{self.shape}; give all tasks one size and colour"
            )
        units: NDArray[np.float64] = np.maximum(_scaled(images, len(self.hidden)) @ self.hidden + self.hidden_bias, 0.0)
        return units


def fixed_classifier(labels: Sequence[str], images: Images, cache: Path) -> Classifier:
    """Return the classifier of real images, from the cache or trained and cached; their order does not matter.

    Args:
        labels: ``(n,)`` names of classes.
        images: ``(n, height, width, channels)`` images; repeats count once.
        cache: The cache's folder.

    Returns:
        The classifier.

    Raises:
        InvalidInput: There are fewer than two classes.
        MissingDependency: scikit-learn is not installed.
    """
    kept = dict(sorted({(label, image.tobytes()): image for label, image in zip(labels, images, strict=True)}.items()))
    names, pixels = [label for label, _ in kept], np.stack(list(kept.values()))
    if len(set(names)) < 2:
        raise InvalidInput(f"a classifier needs images of two classes or more; received {sorted(set(names))}")
    digest = hashlib.blake2b(json.dumps([_FORMAT, names, pixels.shape]).encode(), digest_size=10)
    digest.update(pixels.tobytes())

    def make(folder: Path) -> None:
        classes, weights = _fit(names, pixels)
        arrays: dict[str, Any] = dict(zip(_ARRAYS, weights, strict=True))
        np.savez(folder / _FILE, **arrays)
        (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")

    folder = cached_folder(cache / "classifier" / digest.hexdigest(), make)
    classes = tuple(json.loads((folder / "classes.json").read_text(encoding="utf-8")))
    with np.load(folder / _FILE, allow_pickle=False) as arrays:
        return Classifier(classes, pixels.shape[1:], *(arrays[name] for name in _ARRAYS))


def _fit(labels: list[str], images: Images) -> tuple[list[str], list[NDArray[np.float64]]]:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
    except ModuleNotFoundError as error:
        raise MissingDependency("images are graded by scikit-learn: pip install 'crossfeed[images]'") from error
    model = MLPClassifier((_UNITS,), alpha=1e-2, max_iter=_EPOCHS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is fixed on purpose
        model.fit(_scaled(images, images[0].size), labels)
    output, bias = model.coefs_[1], model.intercepts_[1]
    if output.shape[1] == 1:  # two classes share one output: its sign tells them apart
        output, bias = np.hstack([-output, output]), np.concatenate([-bias, bias])
    return model.classes_.tolist(), [model.coefs_[0], model.intercepts_[0], output, bias]


def _scaled(images: Images, pixels: int) -> NDArray[np.float64]:
    """Return ``(n, pixels)`` numbers in [-1, 1]."""
    return images.reshape(-1, pixels).astype(np.float64) / 127.5 - 1.0
