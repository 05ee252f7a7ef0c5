"""The U-Net into which every state is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from diffusers.models.unets.unet_2d import UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.learners.neural.device import Device
from crossfeed.learners.neural.working_model import Tensors, WorkingModel

__all__ = ["VelocityModel", "make_network", "read_weights"]

_TIMES: Final = 1000.0
"""Diffusers' embedding of times expects steps of a thousand."""
_FILE: Final = "diffusion_pytorch_model.safetensors"
_DEFAULTS: Final[dict[str, Any]] = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "add_attention": False,
}


def make_network(network: Mapping[str, Any], shape: tuple[int, int, int], classes: int) -> UNet2DModel:
    """Return a U-Net with weights drawn from torch's generator.

    Args:
        network: Fields of its configuration, see `ImagesSettings.network`.
        shape: (height, width, channels) of the images.
        classes: Number of classes.

    Raises:
        InvalidInput: Diffusers has no such network, or it does not fit the images.
    """
    height, width, channels = shape
    chosen = {**_DEFAULTS, **network}
    try:
        levels = len(chosen["block_out_channels"])
        chosen.setdefault("down_block_types", ["DownBlock2D"] * levels)
        chosen.setdefault("up_block_types", ["UpBlock2D"] * levels)
        unet: UNet2DModel = UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            num_class_embeds=classes,
            **{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()},
        )
    except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError, KeyError) as error:
        raise InvalidInput(
            f"learner.network: diffusers.UNet2DModel cannot be made of {dict(network)}: {error}"
        ) from error
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise InvalidInput(
            f"learner.network: images of {height} x {width} pixels cannot be halved {levels - 1} times; give fewer "
            "block_out_channels, or scale the images by the task's `size`"
        )
    return unet


class VelocityModel(WorkingModel):
    """A velocity field into which states are loaded.

    Args:
        module: The network.
        shape: (height, width, channels) of the images.
        device: The device that it is moved to.

    Attributes:
        shape: (height, width, channels) of the images.
    """

    def __init__(self, module: nn.Module, shape: tuple[int, int, int], device: Device) -> None:
        super().__init__(module, device)
        self.shape = shape

    def velocity(self, pictures: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """Return v(x, t, c).

        Args:
            pictures: x, ``(n, channels, height, width)``.
            times: t, ``(n,)`` in [0, 1].
            classes: c, ``(n,)``.

        Returns:
            ``(n, channels, height, width)`` velocities.
        """
        velocity: Tensor = self.module(pictures, times * _TIMES, class_labels=classes, return_dict=False)[0]
        return velocity

    def save(self, weights: Tensors, folder: Path) -> None:
        """Write a state as a checkpoint of diffusers.

        Args:
            weights: The state's parameters by name.
            folder: An existing folder.
        """
        self.load(weights)
        self.module.save_pretrained(folder)


def read_weights(folder: Path, module: nn.Module) -> dict[str, Tensor]:
    """Read a state's parameters from a checkpoint.

    Args:
        folder: The checkpoint.
        module: The network that they are for.

    Raises:
        DataUnavailable: They cannot be read, or belong to another network.
    """
    try:
        weights: dict[str, Tensor] = load_file(folder / _FILE)
    except (OSError, SafetensorError) as error:
        raise DataUnavailable(f"{folder}: {_FILE} cannot be read ({error})") from error
    expected = {name: parameter.shape for name, parameter in module.named_parameters()}
    if {name: tensor.shape for name, tensor in weights.items()} != expected:
        raise DataUnavailable(f"{folder}: {_FILE} holds the weights of another network")
    return weights
