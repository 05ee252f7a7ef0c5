"""Images that models generated, by class, at every generation and grid point with samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crossfeed.display.formatting import clip
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.drawing.style import Frame, fitting, panels, styled
from crossfeed.reporting.page.blocks import Block, Picture, Words
from crossfeed.reporting.page.samples import pages, points_left_out
from crossfeed.tasks.images import from_bytes

__all__ = ["image_samples"]

_EACH: Final = 5
"""Images of each class."""
_CLASSES: Final = 20
_RARE: Final = 0.01
_MODELS: Final = 8
_IMAGE: Final = 0.2
"""Inches of an image, at most."""
_LETTERS: Final = 12
"""Letters of a class's name, at most."""
_COLUMNS: Final = {"model", "task", "item", "prompt", "completion", "reference"}

Sheets = Sequence[tuple[str, Mapping[str, Sequence[bytes]]]]
"""A title, and the files of some images of each class."""


def image_samples(run: Run) -> list[Block]:
    """Return a picture for each model; nothing if it does not draw images, or if none were kept.

    Args:
        run: The run.
    """
    outputs = [(label, images) for label, frame in pages(run) if len(images := _only_images(frame))]
    if not outputs:
        return []
    classes = _classes(pd.concat([frame["prompt"] for _, frame in outputs]))
    models = [
        name for name in run.experiment.ecosystem.names if any((frame["model"] == name).any() for _, frame in outputs)
    ]
    note = (
        "The images of models' outputs on test items at the first seed, a row for each caption; on the left, the data, "
        "unless the images are the data's and the captions the model's. "
        "The same item gets the same random numbers at every generation, so what changes is the model."
        f"{points_left_out(run)}"
    )
    return [Words([note]), *(_picture(outputs, model, classes) for model in models[:_MODELS])]


def _classes(captions: pd.Series[str]) -> list[str]:
    """Return the most frequent captions; rare ones, which a writer of captions may invent, only where all are rare."""
    shares = captions.value_counts(normalize=True)
    common = shares[shares >= _RARE]
    return sorted(str(name) for name in (common if len(common) else shares).index[:_CLASSES])


def _only_images(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that hold images."""
    if not set(frame.columns) >= _COLUMNS:
        return pd.DataFrame()
    return frame[[isinstance(said, bytes) for said in frame["completion"]]]


def _picture(outputs: list[tuple[str, pd.DataFrame]], model: str, classes: list[str]) -> Picture:
    own = [(label, frame[frame["model"] == model]) for label, frame in outputs]
    sheets = [(label, _by_class(frame, "completion", classes)) for label, frame in own]
    if not (own[0][1]["completion"] == own[0][1]["reference"]).all():  # a writer's images are the data's already
        sheets.insert(0, ("data", _by_class(own[0][1], "reference", classes)))
    told = ", ".join(label for label, _ in sheets)
    alt = f"Images put out by {model}, a row for each of the captions {', '.join(classes)}; one sheet each for {told}."
    caption = f"Outputs of {model}: a row for each caption."
    name = f"images-{model}"
    return Picture(name, clip(alt, 900), caption, partial(_draw, sheets, classes))


def _by_class(frame: pd.DataFrame, column: str, classes: list[str]) -> dict[str, list[bytes]]:
    """Return the first images of each class; an item of a task is there once."""
    rows = frame.sort_values(["task", "item"], kind="stable")
    return {name: [*rows.loc[rows["prompt"] == name, column].dropna()[:_EACH]] for name in classes}


@dataclass(frozen=True, eq=False)
class _Sheet:
    """Images side by side, in colours with a channel for what is see-through, and how far apart rows are in pixels."""

    pixels: NDArray[np.uint8]
    row: int


def _sheet(images: Mapping[str, Sequence[bytes]]) -> _Sheet:
    read = {name: [_pixels(data) for data in files] for name, files in images.items()}
    sizes = [image.shape for line in read.values() for image in line if image is not None]
    height, width = (max((size[axis] for size in sizes), default=8) + 1 for axis in (0, 1))
    pixels = np.zeros((height * len(read), width * _EACH, 4), dtype=np.uint8)
    for row, line in enumerate(read.values()):
        for column, image in enumerate(line):
            if image is not None:
                top, left = row * height, column * width
                pixels[top : top + image.shape[0], left : left + image.shape[1], :3] = image
                pixels[top : top + image.shape[0], left : left + image.shape[1], 3] = 255
    return _Sheet(pixels, height)


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    """Return an image, or None for bytes that are none: what a run's folder holds need not be what a learner wrote."""
    try:
        return from_bytes(data, "it")
    except InvalidInput:
        return None


@styled
def _draw(sheets: Sheets, classes: list[str], width: float) -> Figure:
    made = [(label, _sheet(images)) for label, images in sheets]
    left = 0.1 + 0.085 * min(max(len(name) for name in classes), _LETTERS)
    across = max(1, int(width / (left + 0.1 + _EACH * _IMAGE)))
    frame = Frame(width, _IMAGE * len(classes), across, left=left, gap=0.4, foot=0.1)
    figure, axes = panels(frame, len(made))
    for axis, (label, sheet) in zip(axes, made, strict=True):
        axis.imshow(sheet.pixels, interpolation="none")
        axis.set_anchor("NW")
        axis.set_title(fitting(label, frame.panel + left))
        axis.set_xticks([])
        axis.set_yticks(sheet.row * (np.arange(len(classes)) + 0.5), [fitting(name, left) for name in classes])
        axis.tick_params(length=0)
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    return figure
