r"""Flow matching: training, scoring and sampling (Lipman et al., 2023; Liu et al., 2023).

With an image :math:`x_1` of class c, noise :math:`x_0 \sim N(0, I)` and a time t uniform in [0, 1],

.. math:: x_t = (1 - t)\,x_0 + t\,x_1, \qquad \ell = \big\| v(x_t, t, c) - (x_1 - x_0) \big\|^2 ,

and an image is sampled by following :math:`\dot x = v(x, t, c)` from noise at t = 0 to t = 1. Only the noise at the
start is random, so an image is a function of the weights, the class and its key. Pixels are scaled to [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfeed.keys import address, generator, item_keys, uniforms
from crossfeed.learners.images.model import VelocityModel
from crossfeed.learners.images.noise import normals
from crossfeed.learners.images.settings import FlowTrainingSettings
from crossfeed.learners.neural.finite_check import FiniteCheck
from crossfeed.learners.neural.fit import fit
from crossfeed.learners.neural.optimizer import adamw, trapezoid
from crossfeed.learners.neural.steps import rows_of_steps
from crossfeed.learners.neural.working_model import Tensors
from crossfeed.tasks.pictures import Images

__all__ = ["NoisyImages", "draw", "images_of_steps", "noised", "score", "to_model", "train"]


def to_model(images: Images) -> Tensor:
    """Scale images to numbers in [-1, 1].

    Args:
        images: ``(n, height, width, channels)`` bytes.

    Returns:
        ``(n, channels, height, width)`` numbers.
    """
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0)


def train(
    model: VelocityModel,
    weights: Tensors,
    images: Images,
    classes: NDArray[np.int64],
    settings: FlowTrainingSettings,
    generation: int,
    key: int,
    advance: Callable[[int], None],
) -> dict[str, Tensor]:
    """Return weights trained on images.

    Args:
        model: The working model.
        weights: Where to start; they are left as they are.
        images: ``(n, height, width, channels)`` images in drawn order.
        classes: ``(n,)`` their classes.
        settings: How to train.
        generation: The generation t; 0 may have a number of steps of its own.
        key: Seeds noise, times and the order of repeated passes.
        advance: Called with 1 after every step.

    Raises:
        Diverged: A loss, gradient or weight is not finite.
    """
    plan = images_of_steps(len(images), settings, generation, key)
    warmup = min(settings.warmup, len(plan) - 1)
    factors = (trapezoid(step, len(plan), warmup, settings.flat) for step in range(len(plan)))
    rates = [settings.learning_rate * factor for factor in factors]
    check = FiniteCheck(model.device.on_host, f"generation {generation}")
    pictures, labels = to_model(images), torch.from_numpy(classes)
    random = generator(key, "noise")

    def gradients(step: int) -> Tensor:
        target = pictures[plan[step]]
        noise = torch.from_numpy(random.standard_normal(tuple(target.shape), dtype=np.float32))
        times = torch.from_numpy(random.random(len(plan[step]), dtype=np.float32))
        batch = (part.to(model.device.torch_device) for part in (target, noise, times, labels[plan[step]]))
        loss = _losses(model, *batch).mean()
        torch.autograd.backward(loss)
        return loss.detach()

    model.load(weights)
    with model.training() as parameters:
        optimizer = adamw(parameters, settings.learning_rate, settings.betas, settings.weight_decay)
        fit(parameters, optimizer, rates, gradients, settings.clipping, check, advance)
        check.weights(len(plan), parameters)
        return model.weights()


def images_of_steps(n: int, settings: FlowTrainingSettings, generation: int, key: int) -> list[NDArray[np.int64]]:
    """Return the indices of the images that each step of a generation's training reads (see `rows_of_steps`).

    Args:
        n: Number of images.
        settings: How to train.
        generation: The generation t.
        key: Seeds the order of repeated passes.
    """
    return rows_of_steps(n, settings.batch_size, settings.steps_at(generation), key)


@dataclass(frozen=True, eq=False)
class NoisyImages:
    """Images with the noise that they are scored with, J noises each.

    Attributes:
        images: x_1, ``(n, channels, height, width)``.
        noise: x_0, ``(n J, channels, height, width)``, those of an image one after another.
        times: t, ``(n J,)``, one in each J-th part of [0, 1].
        classes: c, ``(n,)``.
    """

    images: Tensor
    noise: Tensor
    times: Tensor
    classes: Tensor


def noised(images: Images, names: list[str], classes: NDArray[np.int64], draws: int) -> NoisyImages:
    """Return images with noises and times that depend on each image and its class alone.

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
    return NoisyImages(pictures, noise, torch.from_numpy(times.astype(np.float32)), torch.from_numpy(classes))


def score(model: VelocityModel, items: NoisyImages, batch_size: int) -> NDArray[np.float64]:
    """Return ``(n,)`` losses under the loaded weights: squared errors, summed over pixels and averaged over noises.

    Args:
        model: The working model.
        items: Images and noises.
        batch_size: Noises at once.
    """
    draws = len(items.times) // max(1, len(items.images))
    losses = []
    with torch.inference_mode():
        for rows in _batches(len(items.times), batch_size):
            whole = (items.images[rows // draws], items.noise[rows], items.times[rows], items.classes[rows // draws])
            batch = (part.to(model.device.torch_device) for part in whole)
            losses.append(_losses(model, *batch).cpu().numpy().astype(np.float64))
    pixels = int(np.prod(model.shape))
    each: NDArray[np.float64] = np.concatenate([np.zeros(0), *losses])[: len(items.times)]
    return each.reshape(-1, draws).mean(axis=1) * pixels if draws else each


def draw(
    model: VelocityModel,
    classes: NDArray[np.int64],
    keys: NDArray[np.uint64],
    steps: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> Images:
    """Sample images with the loaded weights, by the midpoint rule.

    Args:
        model: The working model.
        classes: ``(n,)`` classes of the images.
        keys: ``(n,)`` keys.
        steps: Steps from noise to image.
        batch_size: Images at once.
        advance: Called with the number of images finished since the last call.

    Returns:
        ``(n, height, width, channels)`` images.
    """
    height, width, channels = model.shape
    device = model.device.torch_device
    images = []
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
            images.append(bytes_.transpose(0, 2, 3, 1))
            advance(len(rows))
    return np.concatenate([np.zeros((0, *model.shape), dtype=np.uint8), *images])[: len(keys)]


def _losses(model: VelocityModel, images: Tensor, noise: Tensor, times: Tensor, classes: Tensor) -> Tensor:
    """Return ``(n,)`` mean squared errors of the velocity over an image's pixels."""
    share = times[:, None, None, None]
    error = model.velocity((1 - share) * noise + share * images, times, classes) - (images - noise)
    return error.square().flatten(1).mean(dim=1)


def _batches(n: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows of equally large batches, so that all are rounded alike; the last batch repeats its last row."""
    for first in range(0, n, size):
        yield np.minimum(np.arange(first, first + size), n - 1)
