r"""Flow matching: training, scoring and drawing (Lipman et al., 2023; Liu et al., 2023).

With an image :math:`x_1` of class c, noise :math:`x_0 \sim N(0, I)` and a time t uniform in [0, 1],

.. math:: x_t = (1 - t)\,x_0 + t\,x_1, \qquad \ell = \big\| v(x_t, t, c) - (x_1 - x_0) \big\|^2 ,

and an image is drawn by following :math:`\dot x = v(x, t, c)` from noise at t = 0 to t = 1. All that is random is
the noise at the start, so an image is a function of the weights, the class and its key. Pixels are scaled to [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfeed.keys import address, generator, item_keys, uniforms
from crossfeed.learners.images.model import Weights, WorkingModel
from crossfeed.learners.images.noise import normals
from crossfeed.learners.images.settings import FlowTrainingSettings
from crossfeed.learners.neural.optimizer import adamw, set_rate, trapezoid
from crossfeed.learners.neural.steps import rows_of_steps
from crossfeed.learners.neural.watch import Watch
from crossfeed.tasks.pictures import Images

__all__ = ["Noised", "draw", "images_of_steps", "noised", "score", "to_model", "train"]


def to_model(images: Images) -> Tensor:
    """``(n, channels, height, width)`` numbers in [-1, 1]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0)


def train(
    model: WorkingModel,
    weights: Weights,
    images: Images,
    classes: NDArray[np.int64],
    settings: FlowTrainingSettings,
    generation: int,
    key: int,
    advance: Callable[[int], None],
) -> dict[str, Tensor]:
    """New weights.

    Args:
        model: The working model.
        weights: Where to start; they are left as they are.
        images: ``(n, height, width, channels)`` images in drawn order.
        classes: ``(n,)`` their classes.
        settings: How to train.
        generation: The generation t; 0 may have a number of steps of its own.
        key: Seeds noise, times and the order of repeated passes.
        advance: Told of every step.

    Raises:
        Diverged: A loss, gradient or weight is not finite.
    """
    plan = images_of_steps(len(images), settings, generation, key)
    pictures, labels = to_model(images), torch.from_numpy(classes)
    random = generator(key, "noise")
    model.load(weights)
    model.training()
    parameters = model.parameters()
    optimizer = adamw(parameters, settings.learning_rate, settings.betas, settings.weight_decay)
    watch = Watch(model.device.on_host, f"generation {generation}")
    device = model.device.torch_device
    try:
        for step, rows in enumerate(plan):
            warmup = min(settings.warmup, len(plan) - 1)
            set_rate(optimizer, settings.learning_rate * trapezoid(step, len(plan), warmup, settings.flat))
            target = pictures[rows]
            noise = torch.from_numpy(random.standard_normal(tuple(target.shape), dtype=np.float32))
            times = torch.from_numpy(random.random(len(rows), dtype=np.float32))
            batch = (part.to(device) for part in (target, noise, times, labels[rows]))
            loss = _losses(model, *batch).mean()
            torch.autograd.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clipping or torch.inf)
            watch.see(step, loss.detach(), norm)
            optimizer.step()
            optimizer.zero_grad()
            advance(1)
        watch.end(len(plan), parameters)
        return model.weights()
    finally:
        model.module.zero_grad()
        model.module.eval()


def images_of_steps(n: int, settings: FlowTrainingSettings, generation: int, key: int) -> list[NDArray[np.int64]]:
    """Which of n images each step of a generation's training reads (see `rows_of_steps`)."""
    return rows_of_steps(n, settings.batch_size, settings.steps_at(generation), key)


@dataclass(frozen=True, eq=False)
class Noised:
    """Images with the noise that they are scored with, J draws each.

    Attributes:
        images: x_1, ``(n, channels, height, width)``.
        noise: x_0, ``(n J, channels, height, width)``, an image's draws one after another.
        times: t, ``(n J,)``, one in each J-th part of [0, 1].
        classes: c, ``(n,)``.
    """

    images: Tensor
    noise: Tensor
    times: Tensor
    classes: Tensor


def noised(images: Images, names: list[str], classes: NDArray[np.int64], draws: int) -> Noised:
    """Noise and times that hang on each image and its class alone.

    Args:
        images: ``(n, height, width, channels)`` images.
        names: ``(n,)`` names of their classes.
        classes: ``(n,)`` the same as numbers.
        draws: J.
    """
    pictures = to_model(images)
    own = [address("score", name, image.tobytes().hex()) for name, image in zip(names, images, strict=True)]
    keys = np.array([item_keys(key, np.arange(draws)) for key in own], dtype=np.uint64).ravel()
    times = (np.tile(np.arange(draws), len(images)) + uniforms(keys, 1)) / draws
    noise = torch.from_numpy(normals(keys, images[0].size if len(images) else 0)).reshape(-1, *pictures.shape[1:])
    return Noised(pictures, noise, torch.from_numpy(times.astype(np.float32)), torch.from_numpy(classes))


def score(model: WorkingModel, items: Noised, batch_size: int) -> NDArray[np.float64]:
    """``(n,)`` losses under the loaded weights: squared errors, summed over pixels and averaged over draws."""
    draws = len(items.times) // max(1, len(items.images))
    losses = []
    with torch.inference_mode():
        for rows in _batches(len(items.times), batch_size):
            whole = (items.images[rows // draws], items.noise[rows], items.times[rows], items.classes[rows // draws])
            batch = (part.to(model.device.torch_device) for part in whole)
            losses.append(_losses(model, *batch).cpu().numpy().astype(np.float64))
    pixels = int(np.prod(model.shape))
    found: NDArray[np.float64] = np.concatenate([np.zeros(0), *losses])[: len(items.times)]
    return found.reshape(-1, draws).mean(axis=1) * pixels if draws else found


def draw(
    model: WorkingModel,
    classes: NDArray[np.int64],
    keys: NDArray[np.uint64],
    steps: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> Images:
    """Draw images with the loaded weights, by the midpoint rule.

    Args:
        model: The working model.
        classes: ``(n,)`` what to draw.
        keys: ``(n,)`` keys.
        steps: Steps from noise to image.
        batch_size: Images at once.
        advance: Told of finished images.

    Returns:
        ``(n, height, width, channels)`` images.
    """
    height, width, channels = model.shape
    device = model.device.torch_device
    found = []
    with torch.inference_mode():
        for rows in _batches(len(keys), batch_size):
            x = torch.from_numpy(normals(keys[rows], height * width * channels)).to(device)
            x = x.reshape(-1, channels, height, width)
            labels = torch.from_numpy(classes[rows]).to(device)
            for step in range(steps):
                begin = torch.full((len(x),), step / steps, device=device)
                half = x + model.velocity(x, begin, labels) / (2 * steps)
                x = x + model.velocity(half, begin + 0.5 / steps, labels) / steps
            bytes_ = ((x.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8).cpu().numpy()
            found.append(bytes_.transpose(0, 2, 3, 1))
            advance(len(rows))
    return np.concatenate([np.zeros((0, *model.shape), dtype=np.uint8), *found])[: len(keys)]


def _losses(model: WorkingModel, images: Tensor, noise: Tensor, times: Tensor, classes: Tensor) -> Tensor:
    """``(n,)`` mean squared error of the velocity over an image's pixels."""
    share = times[:, None, None, None]
    error = model.velocity((1 - share) * noise + share * images, times, classes) - (images - noise)
    return error.square().flatten(1).mean(dim=1)


def _batches(n: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Rows of batches that are all equally large, so that all are rounded alike; the last one repeats its last row."""
    for first in range(0, n, size):
        yield np.minimum(np.arange(first, first + size), n - 1)
