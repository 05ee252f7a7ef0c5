"""Image tasks: tables of class names and images, graded by a fixed classifier.

An image is an array of bytes of the shape (height, width, channels), with one channel (grey) or three (red, green,
blue). In tables it is stored as a PNG.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.tasks.fresh import set_aside
from crossfeed.tasks.images_classifier import Classifier
from crossfeed.tasks.pictures import Images

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "SCHEMA", "Ground", "ImageTask", "Labelled", "from_bytes", "images_of", "table_of", "to_png"]

FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP")
"""Formats that are read; others would start programs or decoders that nobody requested."""
Ground = Literal["white", "black"]
_SIXTEEN_BITS: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})  # PNG's only samples of more than 8 bits
_GREY: Final = frozenset({"1", "L", "LA", "La"}) | _SIXTEEN_BITS
LARGEST: Final = 1024
"""Largest number of pixels of a side."""

SCHEMA: Final = pa.schema([("prompt", pa.string()), ("completion", pa.binary()), ("answer", pa.string())])
"""Columns of every split: the name of the requested class, an image of it, and the name again."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images and the names of their classes.

    Attributes:
        labels: ``(n,)`` names of classes.
        images: ``(n, height, width, channels)`` images.
    """

    labels: NDArray[np.str_]
    images: Images

    def take(self, rows: NDArray[np.integer]) -> Labelled:
        """Return some rows.

        Args:
            rows: ``(m,)`` positions.

        Returns:
            The images of these rows.
        """
        return Labelled(self.labels[rows], self.images[rows])


# Compared by identity: tables have no hash, and two tasks with equal `content` hold equal data anyway.
@dataclass(frozen=True, eq=False)
class ImageTask:
    """A data set of images with classes (the `crossfeed.protocols.Task` protocol).

    No image is in two splits or twice in one; sources drop repeats before they build a task.

    Attributes:
        name: Its name in the experiment.
        train: Items of `SCHEMA` that training sets and prompts are drawn from.
        validation: Items for choosing settings.
        test: Items that metrics are measured on.
        classifier: Gives the classifier that grades: one for all the classes of the source, trained on real images.
        notes: Sentences about the images that were read, and files that were left out.
        content: A hash of all the splits.
    """

    name: str
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    classifier: Callable[[], Classifier] = field(repr=False)
    notes: tuple[str, ...] = ()
    content: str = field(init=False)

    def __post_init__(self) -> None:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        digest, owner = hashlib.blake2b(digest_size=16), dict[bytes, str]()
        for split, table in splits.items():
            if not table.schema.equals(SCHEMA):
                raise InvalidInput(f"{self.name}: {split}: columns are {table.schema.names}; give {SCHEMA.names}")
            digest.update(json.dumps([split, table.column("prompt").to_pylist()]).encode())
            pixels = images_of(table, f"{self.name}: {split}")
            digest.update(json.dumps(pixels.shape).encode() + pixels.tobytes())
            for number, image in enumerate(pixels):
                if owner.setdefault(image.tobytes(), split) != split:
                    raise InvalidInput(f"{self.name}: image {number} of {split} is also in another split")
        object.__setattr__(self, "content", digest.hexdigest())

    def restricted(self, rows: NDArray[np.int64]) -> ImageTask:
        """Return the task with some rows of `train` alone."""
        return replace(self, train=self.train.take(pa.array(rows)))

    def reserve(self, generations: int) -> tuple[ImageTask, Sequence[pa.Table]]:
        """Set the last half of `train` aside as fresh data (see `crossfeed.tasks.fresh`)."""
        kept, fresh = set_aside(self.name, self.train, generations)
        return replace(self, train=kept), fresh

    def grade(self, items: pa.Table, completions: Sequence[str | bytes]) -> NDArray[np.bool_] | None:
        """Grade images: right is an image that the classifier assigns to the requested class.

        Args:
            items: Rows of a split.
            completions: One image for each row, as a file's bytes; other values and other sizes are wrong.

        Returns:
            ``(rows,)`` truth values.

        Raises:
            InvalidInput: There is not one image for each row.
        """
        if len(completions) != items.num_rows:
            raise InvalidInput(f"{self.name}: {len(completions)} images were given for {items.num_rows} items")
        classifier, right = self.classifier(), np.zeros(len(completions), dtype=np.bool_)
        read = {row: _image_or_none(one) for row, one in enumerate(completions)}
        fit = {row: image for row, image in read.items() if image is not None and image.shape == classifier.shape}
        if fit:
            answers, predicted = items.column("answer").to_pylist(), classifier.predict(np.stack(list(fit.values())))
            right[list(fit)] = [one == answers[row] for row, one in zip(fit, predicted, strict=True)]
        return right


def to_png(image: Images) -> bytes:
    """Encode one ``(height, width, channels)`` image as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()


def from_bytes(
    data: str | bytes, where: str, size: int | None = None, colour: str | None = None, ground: Ground = "white"
) -> Images:
    """Read one ``(height, width, channels)`` image of bytes from a file's bytes.

    It is turned as its EXIF orientation says; samples of 16 bits are scaled by their range; what is transparent shows
    the ground.

    Args:
        data: A file's bytes.
        where: Name of the image, for messages.
        size: Pixels of a side to scale it to; default: unchanged.
        colour: ``grey`` or ``rgb``; default: grey if the file has no colours.
        ground: What lies behind transparent pixels.

    Returns:
        The ``(height, width, channels)`` image.

    Raises:
        InvalidInput: It is no image, or too large.
    """
    from PIL import Image, ImageOps

    if not isinstance(data, bytes):
        raise InvalidInput(f"{where}: it is text, and no image")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if max(opened.size) > LARGEST:  # known before decoding
                raise InvalidInput(f"{where}: it has {opened.width} x {opened.height} pixels; give at most {LARGEST}")
            grey = colour == "grey" or (colour is None and opened.mode in _GREY)
            image = _on_ground(_of_bytes(ImageOps.exif_transpose(opened)), ground).convert("L" if grey else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.LANCZOS)
            pixels = np.asarray(image, dtype=np.uint8)
    except InvalidInput:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{where}: it is no {', '.join(FORMATS)} image that can be read ({error})") from error
    return pixels[:, :, None] if grey else pixels


def _of_bytes(image: Image.Image) -> Image.Image:
    """Scale samples of more than 8 bits by the range that their file has; others stay."""
    from PIL import Image

    if image.mode not in _SIXTEEN_BITS:
        return image
    return Image.fromarray(np.rint(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8))


def _on_ground(image: Image.Image, ground: Ground) -> Image.Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, ground), layer)


def images_of(table: pa.Table, where: str) -> Images:
    """Decode the images of items.

    Args:
        table: Items of `SCHEMA`.
        where: Name of the table, for messages.

    Returns:
        ``(n, height, width, channels)`` images.

    Raises:
        InvalidInput: They are no images, or not of one size.
    """
    files = table.column("completion").to_pylist()
    if not files:
        return np.zeros((0, 0, 0, 0), dtype=np.uint8)
    pixels = [from_bytes(data, f"{where}: image {number}") for number, data in enumerate(files)]
    shapes = {image.shape: None for image in pixels}
    if len(shapes) > 1:
        raise InvalidInput(f"{where}: images are of several sizes or colours: {' and '.join(map(str, shapes))}")
    return np.stack(pixels)


def table_of(labels: Sequence[str], images: Images) -> pa.Table:
    """Build items from names of classes and images.

    Args:
        labels: ``(n,)`` names of classes.
        images: ``(n, height, width, channels)`` images.

    Returns:
        A table of `SCHEMA`.
    """
    columns = {"prompt": list(labels), "completion": [to_png(image) for image in images], "answer": list(labels)}
    return pa.table(columns, schema=SCHEMA)


def _image_or_none(data: str | bytes) -> Images | None:
    try:
        return from_bytes(data, "it")
    except InvalidInput:
        return None
