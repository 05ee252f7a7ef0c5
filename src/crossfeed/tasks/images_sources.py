"""Sources of images: the digits that ship with scikit-learn, and folders or Parquet files of your own.

All images of a source are graded by one classifier, trained on its training images of all classes, whatever part of
them a task takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, WithJsonSchema

from crossfeed.cache import default_cache, expanded
from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput, MissingDependency
from crossfeed.keys import generator
from crossfeed.settings import Sequence_, TaskSettings
from crossfeed.tasks.images import Ground, ImageTask, Labelled, table_of
from crossfeed.tasks.images_classifier import Classifier, fixed_classifier
from crossfeed.tasks.images_files import read_folder
from crossfeed.tasks.splits import SPLITS

__all__ = ["DigitsSettings", "ImageFilesSettings"]

_CUT: Final = {"test": 0.25, "validation": 0.05}
"""Shares of each class that missing splits are cut from train."""


def _as_word(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = Annotated[
    str,
    BeforeValidator(_as_word),
    Field(min_length=1, max_length=200),
    WithJsonSchema({"type": ["string", "integer"], "minLength": 1, "maxLength": 200}),
]
Cap = Annotated[int, Field(ge=1)] | None


class _ImageSettings(TaskSettings):
    """Settings that every source of images has.

    Attributes:
        classes: Names of the classes; default: all.
        skip: Number of training images of each class that are left out, for another task such as public data.
        per_class: Number of training images of each class, the first ones or those after `skip`; default: all.
        validation: Number of validation images; default: all.
        test: Number of test images; default: all.
        seed: Seed of the order of each split, and of the choice of images cut from train if a split is missing. Tasks
            that share a source without splits of its own must have the same seed.
    """

    classes: Annotated[Sequence_[ClassName], Field(min_length=1)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    per_class: Cap = None
    validation: Annotated[int, Field(ge=0)] | None = None
    test: Cap = None
    seed: Annotated[int, Field(ge=0)] = 0

    def _task(self, name: str, splits: Mapping[str, Labelled], notes: tuple[str, ...] = ()) -> ImageTask:
        """Choose from a source's splits."""
        known = sorted(set(splits["train"].labels.tolist()))
        unknown = sorted(set(self.classes or ()) - set(known))
        if unknown:
            raise InvalidInput(f"{name}: there is no class {shown(unknown[0])}; there are {', '.join(known)}")
        chosen = {split: self._chosen(name, split, data) for split, data in splits.items()}
        tables = {split: table_of(data.labels.tolist(), data.images) for split, data in chosen.items()}
        return ImageTask(name, **tables, classifier=partial(_classifier, splits["train"]), notes=notes)

    def _chosen(self, name: str, split: str, data: Labelled) -> Labelled:
        of_class = [np.flatnonzero(data.labels == each) for each in self.classes or sorted(set(data.labels.tolist()))]
        if split == "train":
            last = None if self.per_class is None else self.skip + self.per_class
            fewest = min(len(rows) for rows in of_class)
            if fewest < max(self.skip + 1, last or 0):
                raise InvalidInput(
                    f"{name}: skip and per_class ask for {max(self.skip + 1, last or 0)} training images of each "
                    f"class; one class has {fewest}"
                )
            of_class = [rows[self.skip : last] for rows in of_class]
        rows = np.concatenate(of_class) if of_class else np.zeros(0, dtype=np.int64)
        rows = rows[generator(self.seed, "tasks", split).permutation(len(rows))]
        cap = {"train": None, "validation": self.validation, "test": self.test}[split]
        if cap is not None and cap > len(rows):
            raise InvalidInput(f"{name}: {split}: {cap} images were requested; there are {len(rows)}")
        if not len(rows) and split != "validation":
            raise InvalidInput(f"{name}: there are no {split} images of these classes")
        return data.take(rows[:cap])


class DigitsSettings(_ImageSettings):
    """The 1,797 handwritten digits of scikit-learn, 8 x 8 pixels in grey (from UCI's test set; Alpaydin and Kaynak).

    A quarter of each class is for testing, a twentieth for validation.
    """

    source: Literal["digits"] = "digits"
    licence: ClassVar[str] = "cc-by-4.0"

    def build(self, name: str, data_root: Path | None) -> ImageTask:
        """Take the images; `data_root` is not read.

        Raises:
            MissingDependency: scikit-learn is not installed.
        """
        return self._task(name, _digits(self.seed))


class ImageFilesSettings(_ImageSettings):
    """Images of your own: PNG, JPEG, BMP or WEBP files in a folder for each class, or Parquet with a column of images.

    ``FOLDER/<class>/*.png``; or ``FOLDER/<split>/<class>/*.png``; or ``FOLDER/<split>.parquet``, as data sets of images
    on the Hugging Face Hub are stored. Where there is no validation or test split, a twentieth or a quarter of each
    class is cut from train. A repeated image is kept once.

    Attributes:
        path: The folder; ``~`` is the home folder, and a relative path starts where the command is run.
        size: Pixels of a side that all images are scaled to; default: as they are, which must be alike.
        colour: ``grey`` or ``rgb``; default: as they are, which must be alike.
        ground: What lies behind transparent pixels, ``white`` or ``black``.
        image: The Parquet column of images: files' bytes, or mappings with ``bytes``.
        label: The Parquet column of classes: text or whole numbers.
    """

    source: Literal["images"] = "images"
    path: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=4, le=256)] | None = None
    colour: Literal["grey", "rgb"] | None = None
    ground: Ground = "white"
    image: Annotated[str, Field(min_length=1)] = "image"
    label: Annotated[str, Field(min_length=1)] = "label"

    def build(self, name: str, data_root: Path | None) -> ImageTask:
        """Read the folder; `data_root` is not read.

        Raises:
            DataUnavailable: The folder does not exist, or has another layout.
            InvalidInput: A file is no image, or images differ in size or colour.
        """
        where = f"{name} ({self.path})"
        columns = (self.image, self.label)
        folder = expanded(self.path)
        given, notes = read_folder(where, folder, self.size, self.colour, self.ground, columns)
        return self._task(name, _without_repeats(_cut(given, self.seed)), notes)


@cache
def _digits(seed: int) -> dict[str, Labelled]:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingDependency("the digits ship with scikit-learn: pip install 'crossfeed[images]'") from error
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return _without_repeats(_cut({"train": Labelled(digits.target.astype(np.str_), pixels)}, seed))


def _cut(given: Mapping[str, Labelled], seed: int) -> dict[str, Labelled]:
    """Give every split images: missing splits are cut from a shuffled train, class by class."""
    train, splits = given["train"], dict(given)
    missing = [split for split in _CUT if split not in given]
    if missing:
        taken: dict[str, list[NDArray[np.int64]]] = {split: [] for split in (*missing, "train")}
        for name in sorted(set(train.labels.tolist())):
            rows = np.flatnonzero(train.labels == name)
            rows = rows[generator(seed, "tasks", "cut", name).permutation(len(rows))]
            for split in missing:
                count = max(1, round(_CUT[split] * len(rows)))
                taken[split].append(rows[:count])
                rows = rows[count:]
            taken["train"].append(rows)
        splits |= {split: train.take(np.concatenate(rows)) for split, rows in taken.items()}
    return splits


def _without_repeats(given: Mapping[str, Labelled]) -> dict[str, Labelled]:
    """Drop repeats: validation loses the images of test, train those of both."""
    seen: set[bytes] = set()
    kept = {}
    for split in reversed(SPLITS):
        data, rows = given[split], []
        for row, image in enumerate(data.images):
            if (content := image.tobytes()) not in seen:
                seen.add(content)
                rows.append(row)
        kept[split] = data.take(np.array(rows, dtype=np.int64))
    return kept


def _classifier(train: Labelled) -> Classifier:
    return fixed_classifier(train.labels.tolist(), train.images, default_cache())
