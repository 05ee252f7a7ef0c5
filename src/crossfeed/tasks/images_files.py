"""Images read from folders and Parquet files; paths named in a table are never opened."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.images import FORMATS, Ground, Labelled, from_bytes
from crossfeed.tasks.pictures import Images
from crossfeed.tasks.splits import SPLITS

__all__ = ["read_folder"]

_ORIENTATION: Final = 0x0112  # EXIF
_SHOWN: Final = 4
_ENDINGS: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


def read_folder(
    where: str, folder: Path, size: int | None, colour: str | None, ground: Ground, columns: tuple[str, str]
) -> tuple[dict[str, Labelled], tuple[str, ...]]:
    """Read a folder of images.

    Args:
        where: What is read, for messages.
        folder: The folder (`crossfeed.tasks.images_sources.ImageFilesSettings` says how it is laid out).
        size: Pixels of a side to scale to, or None.
        colour: ``grey``, ``rgb`` or None.
        ground: What lies behind transparent pixels.
        columns: The Parquet columns of images and of classes.

    Returns:
        Images by split, ``train`` always among them; and sentences about what was read and what was left out.

    Raises:
        DataUnavailable: The folder does not exist, or has another layout.
        InvalidInput: A file is no image, or images differ in size or colour.
    """
    left_out: list[Path] = []
    if not folder.is_dir():
        raise DataUnavailable(f"{where}: there is no folder {folder}; give one with a subfolder for each class")
    if (folder / "train.parquet").is_file():
        paths = {split: folder / f"{split}.parquet" for split in SPLITS}
        files = {split: _from_parquet(where, path, columns) for split, path in paths.items() if path.is_file()}
    elif (folder / "train").is_dir():
        files = {split: _from_classes(where, folder / split, left_out) for split in SPLITS if (folder / split).is_dir()}
    else:
        files = {"train": _from_classes(where, folder, left_out)}
    read = {
        split: Labelled(np.array([label for label, *_ in found]), _images(where, found, size, colour, ground))
        for split, found in files.items()
    }
    shapes = {data.images.shape[1:] for data in read.values()}
    if len(shapes) > 1:
        raise InvalidInput(f"{where}: splits hold images of other sizes or colours; give size and colour")
    return read, (_read(files), *_left_out(left_out))


def _read(files: Mapping[str, Files]) -> str:
    """One sentence: how many images, of which sizes and modes, in how many classes."""
    from PIL import Image

    kinds: Counter[str] = Counter()
    for _, _, data in (each for split in files.values() for each in split):
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            turned = ", turned as EXIF says" if image.getexif().get(_ORIENTATION, 1) != 1 else ""
            kinds[f"{image.width} x {image.height} {image.mode}{turned}"] += 1
    most = kinds.most_common(_SHOWN)
    listed = ", ".join(f"{count:,} of {kind}" for kind, count in most)
    more = f", and {len(kinds) - _SHOWN} more kinds" if len(kinds) > _SHOWN else ""
    classes = {label for split in files.values() for label, *_ in split}
    return f"{kinds.total():,} images of {len(classes)} classes: {listed}{more}"


def _left_out(files: Sequence[Path]) -> tuple[str, ...]:
    if not files:
        return ()
    names = ", ".join(sorted({path.name for path in files})[:_SHOWN])
    return (
        f"{len(files):,} hidden or other files and folders left out: {names}{', ...' if len(files) > _SHOWN else ''}",
    )


Files = list[tuple[str, str, bytes]]
"""The class, the place and the bytes of each image."""


def _from_classes(where: str, folder: Path, left_out: list[Path]) -> Files:
    """Files of every class; what is hidden (``._000.png`` of macOS) or of another kind is left out, and listed."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    left_out += [path for path in folder.iterdir() if path not in classes]
    found = []
    for one in classes:
        for path in sorted(one.iterdir()):
            if path.suffix.lower() in _ENDINGS and not path.name.startswith(".") and path.is_file():
                found.append((one.name, str(path), path.read_bytes()))
            else:
                left_out.append(path)
    if not found:
        raise DataUnavailable(
            f"{where}: {folder} has no subfolders with {', '.join(sorted(_ENDINGS))} files; put the images of each "
            "class into a subfolder of its name, or give train.parquet"
        )
    return found


def _from_parquet(where: str, path: Path, columns: tuple[str, str]) -> Files:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataUnavailable(f"{where}: {path} cannot be read ({str(error).splitlines()[0]})") from error
    for field, name in zip(("image", "label"), columns, strict=True):
        if name not in table.column_names:
            there = ", ".join(table.column_names)
            raise InvalidInput(f"{where}: {path.name} has no column {name!r}; there are {there}: give `{field}`")
    images, labels = (table.column(name).to_pylist() for name in columns)
    pairs = enumerate(zip(images, labels, strict=True))
    entries = [(_label(where, path, row, label), *_file(where, path, row, image)) for row, (image, label) in pairs]
    if not entries:
        raise DataUnavailable(f"{where}: {path} has no rows")
    return entries


def _label(where: str, path: Path, row: int, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InvalidInput(f"{where}: {path.name}: row {row}: the class is {value!r}; give text or whole numbers")
    return str(value)


def _file(where: str, path: Path, row: int, value: Any) -> tuple[str, bytes]:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise InvalidInput(
            f"{where}: {path.name}: row {row}: the image is a {type(data).__name__}; give files' bytes, or mappings "
            "with bytes"
        )
    return f"{path.name}: row {row}", data


def _images(where: str, files: Files, size: int | None, colour: str | None, ground: Ground) -> Images:
    first: tuple[int, ...] | None = None
    images = []
    for _, place, data in files:
        image = from_bytes(data, f"{where}: {place}", size, colour, ground)
        first = first or image.shape
        if image.shape != first:
            raise InvalidInput(
                f"{where}: {place} is of the shape {image.shape}, and the first image of {first} (height, width, "
                "channels); give size and colour"
            )
        images.append(image)
    return np.stack(images)
